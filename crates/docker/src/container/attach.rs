//! What a container prints, straight from its streams.
//!
//! Unlike its log it has no past: who listens before the start hears everything. Engines that follow a log repeat or lose
//! lines where the file is rotated; here nothing is stored in between.

use bollard::query_parameters::AttachContainerOptions;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;

use super::{Container, StdStream};
use crate::EngineError;

impl Container {
    /// All that it prints from now on, until it ends or the connection does: which of them it was, its state tells.
    ///
    /// A container that is not heard out waits for its listener.
    ///
    /// # Errors
    ///
    /// Fails if the container is gone or the engine does not answer.
    pub async fn attach(
        &self,
    ) -> Result<
        impl Stream<Item = Result<(StdStream, Bytes), EngineError>> + Send + use<>,
        EngineError,
    > {
        let options = AttachContainerOptions {
            stream: true,
            stdout: true,
            stderr: true,
            ..AttachContainerOptions::default()
        };
        let docker = self.engine().docker();
        let attached = docker.attach_container(self.id(), Some(options)).await;
        let attached = attached.map_err(|error| self.error("listen to", error))?;
        let (container, input) = (self.clone(), attached.input);
        Ok(attached.output.map(move |part| {
            // The connection is open both ways as long as somebody listens.
            let _ = &input;
            match part {
                Ok(part) => container.part(part),
                Err(error) => Err(container.error("listen to", error)),
            }
        }))
    }
}
