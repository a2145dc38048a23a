//! Writing what an image is built from into the agent's source, where a plain `docker build` finds it too.
//!
//! No engine is asked here. What depends on the engine's architecture is put beside it by the build.

use std::path::{Path, PathBuf};

use agentcore_docker::Architecture;

use super::error::ImageError;
use super::folder::{AGENT, DOCKERFILE, Folder, HOST, IGNORE, ROOT};
use super::recipe::{OwnRecipe, PythonRecipe, Recipe, RecipeKind, RustRecipe};
use super::{dockerfile, rust_root};
use crate::config::state::FOLDER as STATE;
use crate::model::Invalid;
use crate::model::name::AgentName;
use crate::services::source_files::SourceFiles;

const RUST_TEMPLATE: &str = include_str!("../../../templates/rust.Dockerfile");

/// An image that is ready to be built.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The folder that is built.
    pub(super) source: PathBuf,
    pub(super) kind: PreparedKind,
    dockerfile: PathBuf,
    notes: Vec<String>,
    left_out: Vec<PathBuf>,
}

/// What an image is built from.
#[derive(Debug)]
pub(super) enum PreparedKind {
    /// From the source, and the folder that was written into it.
    Python {
        recipe: PythonRecipe,
        files: SourceFiles,
        folder: Folder,
    },
    /// From the source alone.
    OwnDockerfile {
        recipe: OwnRecipe,
        files: SourceFiles,
    },
    /// From the written folder alone.
    Rust { recipe: RustRecipe, folder: Folder },
}

impl Prepared {
    /// The Dockerfile, absolute.
    pub(crate) fn dockerfile(&self) -> &Path {
        &self.dockerfile
    }

    /// What the user should know before the build, a sentence each.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The files of the source that look like secrets and are not sent to the engine.
    pub(crate) fn left_out_secrets(&self) -> &[PathBuf] {
        &self.left_out
    }
}

/// Writes the Dockerfile and what belongs beside it, where that has changed. For a Dockerfile of the user's own nothing is
/// written.
///
/// # Errors
///
/// Fails if the folder cannot be written, or if a file that the image needs is not among those that are sent.
pub(crate) fn write(recipe: Recipe) -> Result<Prepared, ImageError> {
    let Recipe {
        agent,
        source,
        kind,
        notes,
    } = recipe;
    let (kind, dockerfile, left_out) = match kind {
        RecipeKind::Python(recipe) => {
            let folder = Folder::make(&source, &agent)?;
            let (files, left_out) = write_python(&recipe, &agent, &folder, &source)?;
            let dockerfile = folder.file(DOCKERFILE);
            let kind = PreparedKind::Python {
                recipe,
                files,
                folder,
            };
            (kind, dockerfile, left_out)
        }
        RecipeKind::OwnDockerfile(recipe) => {
            let files = SourceFiles::of(&source)?;
            let (dockerfile, left_out) = (recipe.dockerfile.clone(), files.left_out_secrets()?);
            let kind = PreparedKind::OwnDockerfile { recipe, files };
            (kind, dockerfile, left_out)
        }
        RecipeKind::Rust(recipe) => {
            let folder = Folder::make(&source, &agent)?;
            write_rust(&agent, &folder)?;
            let dockerfile = folder.file(DOCKERFILE);
            let kind = PreparedKind::Rust { recipe, folder };
            (kind, dockerfile, Vec::new())
        }
    };
    Ok(Prepared {
        source,
        kind,
        dockerfile,
        notes,
        left_out,
    })
}

fn write_python(
    recipe: &PythonRecipe,
    agent: &AgentName,
    folder: &Folder,
    source: &Path,
) -> Result<(SourceFiles, Vec<PathBuf>), ImageError> {
    folder.put(DOCKERFILE, recipe.dockerfile(agent).as_bytes())?;
    folder.keep_only(&[DOCKERFILE, IGNORE, HOST])?;
    // So that a plain build works before an engine was ever asked. That there is none is the build's to say.
    let here = Architecture::parse(std::env::consts::ARCH);
    if let Ok(host) = recipe.hosts.find(&here) {
        folder.put_program(HOST, &host.bytes)?;
    }
    let files = SourceFiles::of(source)?;
    let left_out = files.left_out_secrets()?;
    folder.put(IGNORE, &ignore(&files, &left_out, folder))?;
    check(recipe, &files)?;
    Ok((files, left_out))
}

fn write_rust(agent: &AgentName, folder: &Folder) -> Result<(), ImageError> {
    let text = dockerfile::fill(RUST_TEMPLATE, &[("agent", agent.as_str())]);
    folder.put(DOCKERFILE, text.as_bytes())?;
    let root = rust_root::archive().map_err(|source| ImageError::Write {
        path: folder.file(ROOT),
        source,
    })?;
    folder.put(ROOT, &root)?;
    folder.keep_only(&[DOCKERFILE, ROOT, AGENT])
}

/// What BuildKit leaves out: as the source says, but not the program that goes into the image.
fn ignore(files: &SourceFiles, left_out: &[PathBuf], folder: &Folder) -> Vec<u8> {
    let mut text = files.ignore_text(left_out);
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    let inside = folder.in_source("");
    let inside = inside.display().to_string();
    let inside = inside.trim_end_matches('/');
    // Step by step down: older versions take in everything beside an exception in a folder that is left out as a whole.
    let down = format!("{STATE}/*\n!{inside}\n{inside}/*\n!{inside}/{HOST}\n");
    text.extend(down.into_bytes());
    text
}

/// Tells of files that the image needs and the source's `.dockerignore` leaves out.
fn check(recipe: &PythonRecipe, files: &SourceFiles) -> Result<(), Invalid> {
    let dependencies = recipe.dependencies.paths();
    let needed = dependencies.iter().map(|it| it.as_str());
    for path in needed.chain([recipe.file.as_str()]) {
        if path != "." && !files.contains(Path::new(path)) {
            return Err(Invalid::new(format!(
                "the agent needs `{path}`, and it is not among the files of the image: `.dockerignore` leaves it out"
            ))
            .hint(format!("add the line `!{path}` at the end of `.dockerignore`")));
        }
    }
    Ok(())
}
