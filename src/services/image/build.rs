//! Building an image: the engine builds, the result is looked at, and what it replaces is removed.

use std::collections::{BTreeMap, VecDeque};

use agentcore_docker::{
    Architecture, BuildError, BuildEvent, BuildRequest, Engine, Image, OnEvent,
};
use agentcore_local::ContainerRoot;

use super::context::{Context, make_ready};
use super::error::ImageError;
use super::write::{Prepared, PreparedKind};

/// Where agents listen in their containers.
const PORT: u16 = 8080;
/// The home and the number of the user of the images that are described here; the templates say the same.
const HOME: &str = "/home/agent";
const UID: u32 = 10001;
/// How many of the last lines of a build are kept, to be shown if it fails.
const KEPT_LINES: usize = 40;
/// How often a build is begun that lost the engine's cache under its hands.
const ATTEMPTS: u32 = 4;
/// How many hexadecimal digits of an agent's mark are part of its image's name.
const MARK_DIGITS: usize = 12;

/// The label that the classic builder sets last: it goes by their names.
const LAST_LABEL: &str = "agentcore.project";

/// Whose image it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageIdentity {
    /// The project's folder.
    pub(crate) project: String,
    /// The agent's name.
    pub(crate) agent: String,
    /// What tells this agent of this project from all others on this machine.
    pub(crate) mark: String,
}

/// An image that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuiltImage {
    /// Its digest.
    pub(crate) id: String,
    /// Its name.
    pub(crate) tag: String,
    /// What becomes of its files in a container.
    pub(crate) root: ContainerRoot,
    /// The port that the agent listens on.
    pub(crate) port: u16,
}

/// Builds the image for the engine. Dropping the future ends the build.
///
/// # Errors
///
/// See [`ImageError`].
pub(crate) async fn build(
    engine: &Engine,
    prepared: &Prepared,
    identity: &ImageIdentity,
    on_event: OnEvent<'_>,
) -> Result<BuiltImage, ImageError> {
    make_ready(engine, prepared, on_event).await?;
    let mut attempt = 1;
    let image = loop {
        match once(engine, prepared, identity, on_event).await {
            Err(ImageError::Build { error, .. })
                if attempt < ATTEMPTS && lost_its_cache(&error) =>
            {
                attempt += 1;
            }
            result => break result?,
        }
    };
    check(engine.architecture(), prepared, &image.architecture)?;
    remove_earlier(engine, identity, &image.id).await;
    Ok(BuiltImage {
        id: image.id,
        tag: identity.tag(),
        root: prepared.root(),
        port: PORT,
    })
}

/// Lets the engine build.
async fn once(
    engine: &Engine,
    prepared: &Prepared,
    identity: &ImageIdentity,
    on_event: OnEvent<'_>,
) -> Result<Image, ImageError> {
    let Context {
        archive,
        dockerfile,
    } = Context::of(prepared)?;
    let request = BuildRequest {
        dockerfile,
        tag: identity.tag(),
        labels: identity.labels(),
        ..BuildRequest::default()
    };
    let mut said = VecDeque::with_capacity(KEPT_LINES);
    let mut on_event = |event: BuildEvent| {
        keep(&mut said, &event);
        on_event(event);
    };
    let built = engine.build(&request, archive, &mut on_event).await;
    built.map_err(|error| ImageError::Build {
        error,
        said: Vec::from(said).join("\n"),
    })
}

/// Whether a step was gone that the engine had just found in its cache. Removing an image takes the steps along that no
/// other image has, also those that a build which goes on counts on; images of different agents have their first steps in
/// common.
fn lost_its_cache(error: &BuildError) -> bool {
    // The engine has only words for it.
    const SAYS: [&str; 5] = [
        "no such image: sha256:",
        "unable to find image \"sha256:",
        "failed to get digest sha256:",
        "unknown parent image id sha256:",
        "layer does not exist",
    ];
    match error {
        BuildError::Step {
            message,
            code: None,
            ..
        } => {
            let message = message.to_lowercase();
            SAYS.iter().any(|it| message.contains(it))
        }
        _ => false,
    }
}

impl ImageIdentity {
    /// The image's name: that of the agent for people, and the mark, which tells it from others of the same name.
    fn tag(&self) -> String {
        let agent = self.agent.to_lowercase();
        let words: Vec<&str> = agent.split('_').filter(|it| !it.is_empty()).collect();
        let mark = self.mark.get(..MARK_DIGITS).unwrap_or(&self.mark);
        format!("agentcore-{}:{mark}", words.join("-"))
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let Self {
            project,
            agent,
            mark,
        } = self;
        [("project", project), ("agent", agent), ("mark", mark)]
            .map(|(name, value)| (format!("agentcore.{name}"), value.clone()))
            .into()
    }
}

impl Prepared {
    fn root(&self) -> ContainerRoot {
        match self.kind {
            PreparedKind::Python { .. } | PreparedKind::Rust { .. } => ContainerRoot::ReadOnly {
                home: HOME.to_owned(),
                uid: UID,
            },
            PreparedKind::OwnDockerfile { .. } => ContainerRoot::AsBuilt,
        }
    }
}

/// Remembers the last lines.
fn keep(said: &mut VecDeque<String>, event: &BuildEvent) {
    let line = match event {
        BuildEvent::Output(line) => line.clone(),
        BuildEvent::Step { text, .. } => format!("> {text}"),
        _ => return,
    };
    if said.len() == KEPT_LINES {
        said.pop_front();
    }
    said.push_back(line);
}

/// The classic builder takes a base image of another architecture without a word.
pub(super) fn check(
    engine: &Architecture,
    prepared: &Prepared,
    image: &Architecture,
) -> Result<(), ImageError> {
    if image == engine {
        return Ok(());
    }
    let hint = match &prepared.kind {
        PreparedKind::OwnDockerfile { .. } => {
            "leave `--platform` out of its `FROM`, or pull the image it starts from for this engine"
                .to_owned()
        }
        PreparedKind::Python { recipe, .. } => format!(
            "run `docker pull {}` to have it for this engine, or choose another with `--base-image`",
            recipe.base
        ),
        PreparedKind::Rust { .. } => "check the settings of the Docker engine".to_owned(),
    };
    Err(ImageError::Architecture {
        image: image.clone(),
        engine: engine.clone(),
        hint,
    })
}

/// Removes what earlier builds of the same agent have left: images without a name, other than the one that is kept, that no
/// container uses. One that a person has given a name stays.
///
/// The build does that itself; it is worth doing again when the containers of an earlier image are gone. Whatever stays
/// behind is no failure: the next build tries again.
pub(crate) async fn remove_earlier(engine: &Engine, identity: &ImageIdentity, kept: &str) {
    let mark = identity.labels().into_iter();
    let mark = mark.filter(|(name, _)| name == "agentcore.mark").collect();
    let Ok(images) = engine.images_with(&mark).await else {
        return;
    };
    for earlier in images {
        // What a build that goes on has got so far has not every label yet.
        let is_whole = earlier.labels.contains_key(LAST_LABEL);
        let is_left = earlier.id != kept && earlier.tags.is_empty() && is_whole;
        if is_left && engine.remove_image(&earlier.id).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(agent: &str) -> ImageIdentity {
        ImageIdentity {
            project: "/p".to_owned(),
            agent: agent.to_owned(),
            mark: "0123456789abcdef0123456789abcdef".to_owned(),
        }
    }

    #[test]
    fn every_agents_name_becomes_the_name_of_an_image() {
        for (agent, tag) in [
            ("agent", "agentcore-agent:0123456789ab"),
            ("My_Agent", "agentcore-my-agent:0123456789ab"),
            ("a___b_", "agentcore-a-b:0123456789ab"),
        ] {
            assert_eq!(identity(agent).tag(), tag);
            assert!(tag.parse::<crate::model::image::ImageReference>().is_ok());
        }
    }

    #[test]
    fn only_a_lost_cache_is_worth_another_attempt() {
        let step = |message: &str, code| BuildError::Step {
            message: message.to_owned(),
            step: Some("ADD root.tar /".to_owned()),
            code,
        };
        for message in [
            "No such image: sha256:f8a8",
            "unable to find image \"sha256:cbed\"",
            "failed to get digest sha256:12: open /x: no such file or directory",
        ] {
            assert!(lost_its_cache(&step(message, None)), "{message}");
            assert!(!lost_its_cache(&step(message, Some(1))), "{message}");
        }
        assert!(!lost_its_cache(&step("COPY failed: no source files", None)));
    }

    #[test]
    fn the_last_label_is_the_last() {
        let labels = identity("a").labels();
        assert_eq!(labels.into_keys().last().as_deref(), Some(LAST_LABEL));
    }

    #[test]
    fn only_the_end_of_a_build_is_kept() {
        let mut said = VecDeque::new();
        keep(&mut said, &BuildEvent::Sent(1));
        let text = "RUN x".to_owned();
        keep(
            &mut said,
            &BuildEvent::Step {
                number: 1,
                total: None,
                text,
            },
        );
        for number in 0..KEPT_LINES - 1 {
            keep(&mut said, &BuildEvent::Output(number.to_string()));
        }
        assert_eq!(said.front().map(String::as_str), Some("> RUN x"));
        keep(&mut said, &BuildEvent::Output("last".to_owned()));
        assert_eq!(said.front().map(String::as_str), Some("0"));
        assert_eq!(said.len(), KEPT_LINES);
    }
}
