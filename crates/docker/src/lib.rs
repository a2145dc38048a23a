//! Docker and compatible engines, through their HTTP API: find one, build images, run containers, follow their logs, list,
//! remove.
//!
//! It has no terminal and no policy: what is built, what a container may do and what is said of it is decided by callers.
//! It does not read the environment; what the docker command would read there is passed in.

mod architecture;
pub mod context;
mod endpoint;

pub use architecture::Architecture;
pub use endpoint::Endpoint;
