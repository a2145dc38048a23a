//! What is sent to the engine: what depends on its architecture is made and put beside the Dockerfile first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use agentcore_docker::context::{Extra, ExtraContent, archive};
use agentcore_docker::{Architecture, BuildEvent, Engine, OnEvent};
use bytes::Bytes;
use futures_util::Stream;

use super::error::ImageError;
use super::folder::{AGENT, DOCKERFILE, Folder, HOST, ROOT};
use super::recipe::{OwnRecipe, PythonRecipe, RustRecipe};
use super::write::{Prepared, PreparedKind};
use crate::services::cargo::{StaticBuild, Told};
use crate::services::elf::Machine;
use crate::services::source_files::SourceFiles;

/// The name of a Dockerfile in the context that lies outside of the source.
const OUTSIDE: &str = ".agentcore.Dockerfile";
const IGNORE_FILE: &str = ".dockerignore";

/// What is sent to the engine.
pub(super) struct Context {
    /// The archive.
    pub(super) archive: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
    /// Where the Dockerfile is in it.
    pub(super) dockerfile: PathBuf,
}

/// Gets everything ready that depends on the engine.
///
/// # Errors
///
/// Fails if the program that goes into the image cannot be had, or the base image.
pub(super) async fn make_ready(
    engine: &Engine,
    prepared: &Prepared,
    on_event: OnEvent<'_>,
) -> Result<(), ImageError> {
    let architecture = engine.architecture();
    match &prepared.kind {
        PreparedKind::Python {
            recipe,
            files: _,
            folder,
        } => {
            let host = recipe.hosts.find(architecture)?;
            folder.put_program(HOST, &host.bytes)?;
            have_base(engine, recipe, on_event).await
        }
        PreparedKind::OwnDockerfile { .. } => Ok(()),
        PreparedKind::Rust { recipe, folder } => {
            let program = program(architecture, recipe, on_event).await?;
            folder.put_program(AGENT, &program)
        }
    }
}

impl Context {
    /// The context of an image for which everything is ready.
    ///
    /// # Errors
    ///
    /// Fails if the rules of the source cannot be read.
    pub(super) fn of(prepared: &Prepared) -> Result<Self, ImageError> {
        match &prepared.kind {
            PreparedKind::Python {
                recipe: _,
                files,
                folder,
            } => Ok(Self::python(files, folder)),
            PreparedKind::OwnDockerfile { recipe, files } => {
                Self::own(recipe, files, &prepared.source)
            }
            PreparedKind::Rust { recipe: _, folder } => Ok(Self::rust(folder)),
        }
    }

    fn python(files: &SourceFiles, folder: &Folder) -> Self {
        let dockerfile = folder.in_source(DOCKERFILE);
        let extras = vec![
            file(dockerfile.clone(), folder.file(DOCKERFILE), 0o644),
            file(folder.in_source(HOST), folder.file(HOST), 0o755),
        ];
        Self {
            archive: Box::pin(files.archive(extras)),
            dockerfile,
        }
    }

    fn rust(folder: &Folder) -> Self {
        let extras = [(DOCKERFILE, 0o644), (AGENT, 0o755), (ROOT, 0o644)]
            .map(|(name, mode)| file(name.into(), folder.file(name), mode));
        Self {
            archive: Box::pin(archive(&folder.file(""), std::iter::empty(), extras.into())),
            dockerfile: DOCKERFILE.into(),
        }
    }

    /// As the docker command does it: the Dockerfile is sent also where `.dockerignore` leaves it out or where it lies
    /// elsewhere, and the engine takes it away again before anything is copied.
    fn own(recipe: &OwnRecipe, files: &SourceFiles, source: &Path) -> Result<Self, ImageError> {
        let path = &recipe.dockerfile;
        let (inside, extras) = match path.strip_prefix(source) {
            Ok(inside) if files.contains(inside) => (inside, Vec::new()),
            Ok(inside) => (inside, vec![file(inside.to_owned(), path.clone(), 0o644)]),
            Err(_) => {
                let ignore = source.join(IGNORE_FILE);
                let rules = ignore_with_outside(&ignore).map_err(|source| ImageError::Read {
                    path: ignore,
                    source,
                })?;
                let extras = vec![
                    file(OUTSIDE.into(), path.clone(), 0o644),
                    Extra {
                        path: IGNORE_FILE.into(),
                        content: ExtraContent::Bytes(rules),
                        mode: 0o644,
                    },
                ];
                (Path::new(OUTSIDE), extras)
            }
        };
        Ok(Self {
            archive: Box::pin(files.archive(extras)),
            dockerfile: inside.to_owned(),
        })
    }
}

/// The source's rules, and those that take away again what is sent only for the engine to read.
fn ignore_with_outside(ignore: &Path) -> io::Result<Vec<u8>> {
    let mut rules = match fs::read(ignore) {
        Ok(mut rules) => {
            rules.push(b'\n');
            rules
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("{IGNORE_FILE}\n").into_bytes()
        }
        Err(error) => return Err(error),
    };
    rules.extend(format!("{OUTSIDE}\n").into_bytes());
    Ok(rules)
}

fn file(path: PathBuf, on_disk: PathBuf, mode: u32) -> Extra {
    Extra {
        path,
        content: ExtraContent::File(on_disk),
        mode,
    }
}

/// Pulls the base image, with the user's credentials, if the engine does not have it.
async fn have_base(
    engine: &Engine,
    recipe: &PythonRecipe,
    on_event: OnEvent<'_>,
) -> Result<(), ImageError> {
    let base = recipe.base.as_str();
    if engine.image(base).await?.is_some() {
        return Ok(());
    }
    let pulled = engine.pull(base, on_event).await;
    pulled.map_err(|error| ImageError::Build {
        error,
        said: String::new(),
    })
}

/// Builds a Rust agent for the engine's architecture.
async fn program(
    architecture: &Architecture,
    recipe: &RustRecipe,
    on_event: OnEvent<'_>,
) -> Result<Vec<u8>, ImageError> {
    if Machine::named(architecture.rust()).is_none() {
        return Err(ImageError::NoTarget(architecture.clone()));
    }
    let mut number = 0;
    let mut on_told = |told| {
        on_event(match told {
            Told::Line(line) => BuildEvent::Output(line),
            Told::Step(text) => {
                number += 1;
                BuildEvent::Step {
                    number,
                    total: None,
                    text,
                }
            }
        });
    };
    let build = StaticBuild {
        manifest: &recipe.target.manifest,
        bin: &recipe.target.bin,
        architecture: architecture.rust(),
        variables: &recipe.variables,
    };
    Ok(build.run(&mut on_told).await?)
}
