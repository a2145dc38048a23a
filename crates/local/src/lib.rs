//! The AgentCore service on this machine: a front door that gives every session a sandbox of its own.
//!
//! [`FrontDoor`] listens, starts sandboxes from a [`SandboxSpec`], passes calls through, and ends what is idle, too old or
//! not wanted any more. It reaches a sandbox only through HTTP and never builds one; what happens it tells as [`Event`]s.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use agentcore_local::{FrontDoor, FrontDoorConfig, Limits, ProcessSpec};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = FrontDoorConfig {
//!     agent: "my_agent".into(),
//!     arn: "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/my_agent-local".into(),
//!     instance: "4f1d".into(),
//!     spec: ProcessSpec {
//!         program: "/path/to/agent".into(),
//!         args: vec![],
//!         cwd: "/path/to".into(),
//!         env: [("PATH".into(), "/usr/bin:/bin".into())].into(),
//!     }
//!     .into(),
//!     limits: Limits::default(),
//!     run_dir: "/run/user/1000/agentcore/4f1d".into(),
//!     orphan_mark: "/path/to#my_agent".into(),
//!     events: Arc::new(|event| println!("{event:?}")),
//! };
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! let front_door = FrontDoor::start(config, listener).await?;
//! front_door.serve(std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```

mod error;
mod event;
mod front_door;
mod process_tree;
mod run_dir;
mod sandbox;
mod sessions;
mod spec;
mod status;

pub use error::{ContainerEnd, EndCause, SandboxFailure, StartError};
pub use event::{Event, EventSink, OutputStream};
pub use front_door::FrontDoor;
pub use process_tree::end_orphans;
pub use sandbox::end_orphan_containers;
pub use spec::{
    ContainerRoot, ContainerSpec, FrontDoorConfig, Limits, ProcessSpec, SandboxKind, SandboxSpec,
};
pub use status::{INSTANCE_HEADER, STATUS_PATH, SandboxState, SandboxStatus, StatusReport};
