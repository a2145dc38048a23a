//! Docker and compatible engines, through their HTTP API: find one, build images, run containers, follow their logs, list,
//! remove.
//!
//! It has no terminal and no policy: what is built, what a container may do and what is said of it is decided by callers.
//! It does not read the environment; what the docker command would read there is passed in.

mod architecture;
mod build;
mod container;
pub mod context;
mod credentials;
mod endpoint;
mod engine;
mod error;
mod find;
mod hex;
mod image;
mod network;

pub use architecture::Architecture;
pub use build::{BuildError, BuildEvent, BuildRequest, OnEvent};
pub use container::{Container, ContainerRequest, ContainerState, ContainerSummary, StdStream};
pub use endpoint::Endpoint;
pub use engine::Engine;
pub use error::{Cause, EngineError, Unreachable};
pub use find::{FindError, HostProblem, Surroundings, Tried, find};
pub use image::Image;
pub use network::NetworkRequest;
