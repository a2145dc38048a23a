//! Pulling an image, with the user's credential for its registry.

use bollard::errors::Error as ClientError;
use bollard::query_parameters::CreateImageOptions;
use futures_util::StreamExt;

use super::error::classify;
use super::reference::Reference;
use super::transcript::Download;
use super::{BuildError, BuildEvent, OnEvent};
use crate::Engine;
use crate::credentials::{self, server_name};

impl Engine {
    /// Pulls an image for the engine's own architecture. Dropping the future ends it.
    ///
    /// # Errors
    ///
    /// See [`BuildError`]; an image that cannot be had is [`BuildError::BaseImage`].
    pub async fn pull(&self, reference: &str, on_event: OnEvent<'_>) -> Result<(), BuildError> {
        let image = Reference::parse(reference);
        let found = credentials::for_registry(self.config_dir(), image.registry).await;
        let options = CreateImageOptions {
            from_image: Some(image.with_tag()),
            ..CreateImageOptions::default()
        };
        let mut download = Download::default();
        let mut answers = self
            .patient()
            .create_image(Some(options), None, found.credentials);
        while let Some(answer) = answers.next().await {
            let answer = answer
                .map_err(|error| self.pull_error(reference, error, found.problem.as_deref()))?;
            let status = answer.status.unwrap_or_default();
            download.take(
                &status,
                answer.id.as_deref(),
                answer.progress_detail.as_ref(),
            );
            download.tell(reference, on_event);
            if answer.id.is_none() && !status.is_empty() {
                on_event(BuildEvent::Output(status));
            }
        }
        Ok(())
    }

    fn pull_error(&self, reference: &str, error: ClientError, problem: Option<&str>) -> BuildError {
        let message = match error {
            ClientError::DockerStreamError { error } => error,
            ClientError::DockerResponseServerError { message, .. } => message,
            error => {
                return BuildError::Engine(
                    self.error(format!("pull the image `{reference}`"), error),
                );
            }
        };
        let registry = server_name(Reference::parse(reference).registry);
        let problems = problem.map(|problem| (registry.to_owned(), problem.to_owned()));
        let error = classify(&message, Some(&format!("FROM {reference}")), []);
        error.with_problems(&problems.into_iter().collect())
    }
}
