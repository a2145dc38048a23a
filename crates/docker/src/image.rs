//! Images that an engine has: looking at one, finding them by label, removing them.

use std::collections::{BTreeMap, HashMap};

use bollard::models::ImageInspect;
use bollard::query_parameters::{ListImagesOptions, RemoveImageOptions};

use crate::{Architecture, Engine, EngineError};

/// An image that an engine has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// Its digest: `sha256:…`.
    pub id: String,
    /// Its names, `name:tag`; none if another image took them over.
    pub tags: Vec<String>,
    /// The architecture that it says it is for.
    pub architecture: Architecture,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The user that its processes run as; empty for root.
    pub user: String,
    /// The start of its command line.
    pub entrypoint: Vec<String>,
    /// The rest of its command line.
    pub command: Vec<String>,
    /// The names of the environment variables that it sets. Their values may be secrets.
    pub variables: Vec<String>,
    /// The ports that it says it listens on: `8080/tcp`.
    pub ports: Vec<String>,
    /// The paths that it keeps in volumes.
    pub volumes: Vec<String>,
    /// Its size in bytes.
    pub size: u64,
}

impl Engine {
    /// Looks at an image; there may be none of that name or id.
    ///
    /// # Errors
    ///
    /// Fails if the engine does not answer, or not to such a name.
    pub async fn image(&self, reference: &str) -> Result<Option<Image>, EngineError> {
        let action = format!("look at the image `{reference}`");
        match self.docker().inspect_image(reference).await {
            Ok(found) => Ok(Some(Image::of(found))),
            Err(error) => match self.error(action, error) {
                EngineError::NotFound { .. } => Ok(None),
                error => Err(error),
            },
        }
    }

    /// The images that carry all of these labels, those without a name too.
    pub async fn images_with(
        &self,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Image>, EngineError> {
        let options = ListImagesOptions {
            filters: Some(label_filters(labels)),
            ..ListImagesOptions::default()
        };
        let listed = self.docker().list_images(Some(options)).await;
        let listed = listed.map_err(|error| self.error("list the images", error))?;
        let mut images = Vec::with_capacity(listed.len());
        for summary in listed {
            // One that is gone by now is no image with these labels.
            images.extend(self.image(&summary.id).await?);
        }
        Ok(images)
    }

    /// Removes an image, unless a container uses it. Returns whether it is gone by this.
    pub async fn remove_image(&self, id: &str) -> Result<bool, EngineError> {
        let removed = self
            .docker()
            .remove_image(id, None::<RemoveImageOptions>, None)
            .await;
        match removed.map_err(|error| self.error(format!("remove the image `{id}`"), error)) {
            Ok(_) => Ok(true),
            Err(EngineError::NotFound { .. } | EngineError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Image {
    fn of(found: ImageInspect) -> Self {
        let config = found.config.unwrap_or_default();
        let variables = config.env.unwrap_or_default();
        let name_of = |variable: String| variable.split('=').next().unwrap_or_default().to_owned();
        Self {
            id: found.id.unwrap_or_default(),
            tags: found.repo_tags.unwrap_or_default(),
            architecture: Architecture::parse(&found.architecture.unwrap_or_default()),
            labels: config.labels.unwrap_or_default().into_iter().collect(),
            user: config.user.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            command: config.cmd.unwrap_or_default(),
            variables: variables.into_iter().map(name_of).collect(),
            ports: config.exposed_ports.unwrap_or_default(),
            volumes: config.volumes.unwrap_or_default(),
            size: found
                .size
                .and_then(|bytes| bytes.try_into().ok())
                .unwrap_or_default(),
        }
    }
}

/// The filter that engines understand for "all of these labels".
pub(crate) fn label_filters(labels: &BTreeMap<String, String>) -> HashMap<String, Vec<String>> {
    let labels = labels.iter().map(|(key, value)| format!("{key}={value}"));
    HashMap::from([("label".to_owned(), labels.collect())])
}
