//! What decides an agent's image: read from the project before anything is written or built.

use std::path::{Path, PathBuf};

use agentcore_host::{EngineChoice, OLDEST};

use super::dependencies::Dependencies;
use super::error::ImageError;
use crate::config::cross::Variables;
use crate::config::entrypoint::{RustTarget, Target, dependency_file};
use crate::config::env::Env;
use crate::config::state;
use crate::model::Invalid;
use crate::model::image::ImageReference;
use crate::model::name::AgentName;
use crate::model::path::ProjectPath;
use crate::model::project::AgentConfig;
use crate::services::host_binary::Places;

/// The Python of an image where nobody decided one.
const DEFAULT_PYTHON: &str = "3.13";

/// What a recipe is made from.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// The agent's name.
    pub(crate) agent: &'a AgentName,
    /// The project's folder, absolute.
    pub(crate) root: &'a Path,
    /// What the project file says about the agent.
    pub(crate) config: &'a AgentConfig,
    /// What its entrypoint is on the disk.
    pub(crate) target: &'a Target,
    /// What serves a Python agent.
    pub(crate) engine: EngineChoice,
    /// The base image that was typed, which goes before that of the project file.
    pub(crate) base: Option<&'a ImageReference>,
    /// Where programs are found, and what was decided about them.
    pub(crate) env: &'a Env,
    /// The file of this program.
    pub(crate) program: &'a Path,
}

/// All that decides an image.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// The agent's name.
    pub(super) agent: AgentName,
    /// The folder that is built, absolute.
    pub(super) source: PathBuf,
    /// How.
    pub(super) kind: RecipeKind,
    /// What the user should know.
    pub(super) notes: Vec<String>,
}

/// How an image is made.
#[derive(Debug)]
pub(super) enum RecipeKind {
    /// By a Dockerfile that is written for a Python agent.
    Python(PythonRecipe),
    /// By a Dockerfile of the user's own.
    OwnDockerfile(OwnRecipe),
    /// From the program that a Rust agent is.
    Rust(RustRecipe),
}

/// The image of a Python agent.
#[derive(Debug)]
pub(super) struct PythonRecipe {
    /// The image that it starts from.
    pub(super) base: ImageReference,
    /// The agent's file, by its path in the source.
    pub(super) file: String,
    /// The app in it, if one is chosen.
    pub(super) app: Option<String>,
    /// What serves it.
    pub(super) engine: EngineChoice,
    /// What pip installs.
    pub(super) dependencies: Dependencies,
    /// Where the program that serves it is found.
    pub(super) hosts: Places,
}

/// An image by a Dockerfile of the user's own.
#[derive(Debug)]
pub(super) struct OwnRecipe {
    /// The Dockerfile, absolute.
    pub(super) dockerfile: PathBuf,
}

/// The image of a Rust agent.
#[derive(Debug)]
pub(super) struct RustRecipe {
    /// The binary and its package.
    pub(super) target: RustTarget,
    /// Where compilers are found, and which the user chose.
    pub(super) variables: Variables,
}

impl Recipe {
    /// Reads what decides the image.
    ///
    /// # Errors
    ///
    /// Fails with a sentence and a hint if no image can be made from what the project says.
    pub(crate) fn of(request: &Request<'_>) -> Result<Self, ImageError> {
        let source = request.source();
        let mut notes = Vec::new();
        let kind = match (request.own_dockerfile(&source)?, request.target) {
            (Some(dockerfile), _) => request.with_own_dockerfile(dockerfile, &mut notes)?,
            (None, Target::Python { file }) => request.python(&source, file, &mut notes)?,
            (None, Target::Rust(target)) => request.rust(target)?,
        };
        Ok(Self {
            agent: request.agent.clone(),
            source,
            kind,
            notes,
        })
    }
}

impl Request<'_> {
    /// The folder that is built: the one that the project names, else that of the project or of the Rust package.
    fn source(&self) -> PathBuf {
        match (&self.config.source, self.target) {
            (Some(source), _) => source.in_project(self.root),
            (None, Target::Python { .. }) => self.root.to_owned(),
            (None, Target::Rust(target)) => {
                target.manifest.parent().unwrap_or(self.root).to_owned()
            }
        }
    }

    /// The user's own Dockerfile: the one that the project names, else the one at the top of the source.
    fn own_dockerfile(&self, source: &Path) -> Result<Option<PathBuf>, ImageError> {
        let named = self
            .config
            .image
            .as_ref()
            .and_then(|it| it.dockerfile.as_ref());
        let Some(named) = named else {
            return Ok(Some(source.join("Dockerfile")).filter(|it| it.is_file()));
        };
        if named.as_str().split('/').any(|it| it == state::FOLDER) {
            return Err(Invalid::new(format!(
                "`image.dockerfile` names `{named}`, which is in the folder that this program writes"
            ))
            .hint("copy the Dockerfile out of it, or leave out `image.dockerfile` to have one written")
            .into());
        }
        let path = named.in_project(self.root);
        if path.is_file() {
            return Ok(Some(path));
        }
        Err(Invalid::new(format!("there is no Dockerfile `{named}`"))
            .hint("correct `image.dockerfile` in the project file, relative to that file, or leave it out to have one written")
            .into())
    }

    fn with_own_dockerfile(
        &self,
        dockerfile: PathBuf,
        notes: &mut Vec<String>,
    ) -> Result<RecipeKind, ImageError> {
        let shown = shown(&dockerfile, self.root);
        if self.base.is_some() {
            let invalid = Invalid::new(format!(
                "`--base-image` has no effect on an image that `{shown}` describes"
            ));
            return Err(ImageError::Usage(
                invalid.hint("change its `FROM`, or leave out `--base-image`"),
            ));
        }
        notes.push(format!("The image is built as `{shown}` says."));
        if self
            .config
            .image
            .as_ref()
            .is_some_and(|it| it.base.is_some())
        {
            notes.push(format!(
                "`image.base` of the project file has no effect: `{shown}` says what the image starts from."
            ));
        }
        Ok(RecipeKind::OwnDockerfile(OwnRecipe { dockerfile }))
    }

    fn python(
        &self,
        source: &Path,
        file: &Path,
        notes: &mut Vec<String>,
    ) -> Result<RecipeKind, ImageError> {
        let dependencies = match self.dependency_file(source, notes)? {
            Some(file) => Dependencies::of(source, file)?,
            None => Dependencies::None,
        };
        notes.extend(dependencies.note());
        Ok(RecipeKind::Python(PythonRecipe {
            base: self.python_base()?,
            file: self.file_in_source(source, file)?,
            app: self.config.entrypoint.app.clone(),
            engine: self.engine,
            dependencies,
            hosts: Places {
                named: self.env.host_dir(),
                beside: self.program.parent().unwrap_or(Path::new("/")).to_owned(),
            },
        }))
    }

    fn python_base(&self) -> Result<ImageReference, Invalid> {
        let of_project = self.config.image.as_ref().and_then(|it| it.base.as_ref());
        if let Some(base) = self.base.or(of_project) {
            return Ok(base.clone());
        }
        let version = self.config.python.as_ref();
        let version = version.map_or_else(|| DEFAULT_PYTHON.to_owned(), ToString::to_string);
        let (major, oldest) = OLDEST;
        let minor = version.strip_prefix("3.").and_then(|it| it.parse().ok());
        if minor.is_some_and(|minor: u8| minor < oldest) {
            return Err(Invalid::new(format!(
                "the image would have Python {version}, and an agent needs {major}.{oldest} or newer"
            ))
            .hint("write a newer version as `python` in the project file"));
        }
        format!("python:{version}-slim").parse()
    }

    /// The agent's file, by its path in the source.
    fn file_in_source(&self, source: &Path, file: &Path) -> Result<String, Invalid> {
        let shown_source = shown(source, self.root);
        let Ok(inside) = file.strip_prefix(source) else {
            let entrypoint = &self.config.entrypoint.path;
            return Err(Invalid::new(format!(
                "the entrypoint `{entrypoint}` is outside of the agent's source `{shown_source}`"
            ))
            .hint("let `source` name a folder that holds the entrypoint"));
        };
        let text = inside.to_str().ok_or_else(|| {
            Invalid::new(format!(
                "the path of the entrypoint `{}` is not valid UTF-8",
                inside.display()
            ))
        })?;
        Ok(text.to_owned())
    }

    /// The dependency file, by its path in the source.
    fn dependency_file(
        &self,
        source: &Path,
        notes: &mut Vec<String>,
    ) -> Result<Option<ProjectPath>, Invalid> {
        let Self { root, config, .. } = self;
        let decided = config.dependencies.clone();
        let found = || dependency_file(root, &config.entrypoint.path);
        let Some(file) = decided.clone().or_else(found) else {
            return Ok(None);
        };
        let shown_source = shown(source, root);
        let inside = file.in_project(root);
        let inside = inside.strip_prefix(source).ok().and_then(Path::to_str);
        match inside.map(str::parse) {
            Some(inside) => inside.map(Some),
            // It may be about something else in the project.
            None if decided.is_none() => {
                notes.push(format!(
                    "`{file}` is not installed: it is outside of the agent's source `{shown_source}`."
                ));
                Ok(None)
            }
            None => Err(Invalid::new(format!(
                "the dependency file `{file}` is outside of the agent's source `{shown_source}`"
            ))
            .hint("move it into the source, or let `source` name a folder above both")),
        }
    }

    fn rust(&self, target: &RustTarget) -> Result<RecipeKind, ImageError> {
        let invalid = |what: &str| {
            Invalid::new(format!(
                "{what} has no effect on a Rust agent, whose image holds nothing but its program"
            ))
            .hint("leave it out, or write a `Dockerfile` of your own into the agent's source")
        };
        if self.base.is_some() {
            return Err(ImageError::Usage(invalid("`--base-image`")));
        }
        if self
            .config
            .image
            .as_ref()
            .is_some_and(|it| it.base.is_some())
        {
            return Err(invalid("`image.base`").into());
        }
        Ok(RecipeKind::Rust(RustRecipe {
            target: target.clone(),
            variables: Variables::of(self.env),
        }))
    }
}

/// A path as people know it in their project.
fn shown(path: &Path, root: &Path) -> String {
    match path.strip_prefix(root) {
        Ok(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
        Ok(inside) => inside.display().to_string(),
        Err(_) => path.display().to_string(),
    }
}
