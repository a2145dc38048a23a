//! The image of an agent: what decides it, the Dockerfile that is written for it, and building it.
//!
//! [`Recipe::of`] reads the project, [`write()`] writes `.agentcore/<agent>/` into the source before any engine is asked, and
//! [`build`] does the rest. What runs in the image and how is not decided here.

mod build;
mod context;
mod dependencies;
mod dockerfile;
mod error;
mod folder;
mod pyproject;
mod python;
mod recipe;
mod requirement_line;
mod requirements;
mod rust_root;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use self::build::{BuiltImage, ImageIdentity, build, remove_earlier};
pub(crate) use self::error::ImageError;
pub(crate) use self::recipe::{Recipe, Request};
pub(crate) use self::write::{Prepared, write};
