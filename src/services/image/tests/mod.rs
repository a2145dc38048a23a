//! Images from projects on the disk: what is written for them, and what an engine makes of it.

mod engine;
mod project;
mod written;
