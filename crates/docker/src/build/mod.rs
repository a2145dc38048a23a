//! Building an image from a streamed context, and pulling one, both told as they go.
//!
//! The classic builder is used: it is in every engine and needs no session. A failure comes in the stream, after an HTTP
//! status that says all is well, so nothing counts as done until the engine has named the image.

mod context_stream;
mod error;
mod pull;
mod reference;
mod transcript;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::body_try_stream;
use bollard::errors::Error as ClientError;
use bollard::query_parameters::BuildImageOptions;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use tokio::time::{MissedTickBehavior, interval};

pub use error::BuildError;

use crate::{Engine, EngineError, Image, credentials};
use context_stream::ContextStream;
use error::Problems;
use transcript::Transcript;

/// How often it is told how much of the context was sent.
const SENT_PAUSE: Duration = Duration::from_millis(100);

/// What is to be built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildRequest {
    /// The Dockerfile's path in the context.
    pub dockerfile: PathBuf,
    /// The image's name, `name:tag`.
    pub tag: String,
    /// The image's labels.
    pub labels: BTreeMap<String, String>,
    /// The platform to build for (`linux/arm64`), if not the engine's own.
    pub platform: Option<String>,
    /// Whether every step is done again.
    pub no_cache: bool,
}

/// What a build or a pull tells while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildEvent {
    /// A step begins.
    Step {
        /// Its number, from 1.
        number: u32,
        /// How many there are, if known.
        total: Option<u32>,
        /// The instruction: `COPY . .`.
        text: String,
    },
    /// A line that the engine or a program in the build printed, without colours.
    Output(String),
    /// An image is being downloaded.
    Pull {
        /// Its name.
        image: String,
        /// Bytes so far, of the layers that are known.
        current: u64,
        /// Bytes of the layers that are known; grows as the engine learns of more.
        total: u64,
    },
    /// So many bytes of the context were sent so far.
    Sent(u64),
}

/// Where the events of a build go.
pub type OnEvent<'a> = &'a mut (dyn FnMut(BuildEvent) + Send);

impl Engine {
    /// Builds an image from a tar archive that is streamed to the engine.
    ///
    /// Dropping the future ends the build on the engine and removes its containers. A context that fails half way fails the
    /// build.
    ///
    /// # Errors
    ///
    /// See [`BuildError`].
    pub async fn build<S>(
        &self,
        request: &BuildRequest,
        context: S,
        on_event: OnEvent<'_>,
    ) -> Result<Image, BuildError>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let options = request.options()?;
        let (credentials, problems) = self.credentials().await;
        let watched = ContextStream::default();
        let body = body_try_stream(watched.watch(context));
        let mut transcript = Transcript::new();

        let docker = self.patient();
        let mut answers = docker.build_image(options, credentials, Some(body));
        let mut ticks = interval(SENT_PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = 0;
        let ended = loop {
            tokio::select! {
                biased;
                answer = answers.next() => match answer {
                    Some(Ok(answer)) => {
                        tell_sent(&watched, &mut told, on_event);
                        transcript.take(answer, on_event);
                    }
                    Some(Err(error)) => break Err(error),
                    None => break Ok(()),
                },
                _ = ticks.tick() => tell_sent(&watched, &mut told, on_event),
            }
        };
        transcript.flush(on_event);
        if let Some(error) = watched.failure() {
            return Err(BuildError::Context(error));
        }
        match ended {
            Ok(()) => self.built(transcript).await,
            Err(error) => Err(self
                .build_error(&transcript, error)
                .with_problems(&problems)),
        }
    }

    /// The user's credentials, and why some of them could not be had.
    async fn credentials(&self) -> (Option<HashMap<String, DockerCredentials>>, Problems) {
        let (mut credentials, mut problems) = (HashMap::new(), Problems::new());
        for (registry, found) in credentials::for_all_registries(self.config_dir()).await {
            problems.extend(found.problem.map(|problem| (registry.clone(), problem)));
            credentials.extend(found.credentials.map(|credential| (registry, credential)));
        }
        ((!credentials.is_empty()).then_some(credentials), problems)
    }

    /// Looks at the image that the engine says it has built.
    async fn built(&self, transcript: Transcript) -> Result<Image, BuildError> {
        let found = match transcript.into_image_id() {
            Some(id) => self.image(&id).await?,
            None => None,
        };
        found.ok_or_else(|| {
            BuildError::Engine(EngineError::Broken {
                endpoint: self.endpoint().clone(),
                action: "build the image".to_owned(),
                source: "the engine ended the build without an image and without a reason".into(),
            })
        })
    }

    fn build_error(&self, transcript: &Transcript, error: ClientError) -> BuildError {
        match error {
            ClientError::DockerStreamError { error } => transcript.failure(&error),
            // What is wrong with the Dockerfile as a whole is told by the status, before any step.
            ClientError::DockerResponseServerError { message, .. } => transcript.failure(&message),
            error => BuildError::Engine(self.error("build the image", error)),
        }
    }
}

impl BuildRequest {
    fn options(&self) -> Result<BuildImageOptions, BuildError> {
        let Some(dockerfile) = self.dockerfile.to_str() else {
            let problem = "the Dockerfile's path is not UTF-8";
            return Err(BuildError::Context(io::Error::new(
                io::ErrorKind::InvalidInput,
                problem,
            )));
        };
        Ok(BuildImageOptions {
            dockerfile: dockerfile.to_owned(),
            t: Some(self.tag.clone()),
            labels: Some(self.labels.clone().into_iter().collect()),
            platform: self.platform.clone().unwrap_or_default(),
            nocache: self.no_cache,
            rm: true,
            // Also after a failed or abandoned step: nothing may be left behind.
            forcerm: true,
            ..BuildImageOptions::default()
        })
    }
}

fn tell_sent(context: &ContextStream, told: &mut u64, on_event: OnEvent<'_>) {
    let sent = context.sent();
    if sent != *told {
        *told = sent;
        on_event(BuildEvent::Sent(sent));
    }
}
