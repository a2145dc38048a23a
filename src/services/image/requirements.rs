//! What a requirements file needs beside itself before pip can read it: files that it includes, and packages that lie in
//! the source.
//!
//! Only that is looked for, by pip's rules for the file's form; what the requirements mean is pip's matter. Paths of
//! included files are relative to the file that names them, all others to the folder in which pip runs: that of the first
//! file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::requirement_line::{Named, logical_lines, named};
use crate::model::Invalid;
use crate::model::path::ProjectPath;

/// What must be in the image before pip runs, by its paths in the source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Needs {
    /// The file itself, what it includes, and archives that it installs.
    pub(super) files: BTreeSet<ProjectPath>,
    /// Packages that it installs, and folders in which pip looks for more.
    pub(super) folders: BTreeSet<ProjectPath>,
}

impl Needs {
    /// Reads the requirements file at `file` in `source` and every file that it includes.
    ///
    /// # Errors
    ///
    /// Fails if something that it names is not in the source.
    pub(super) fn of(source: &Path, file: &ProjectPath) -> Result<Self, Invalid> {
        let mut reader = Reader {
            source,
            folder: folder_of(file),
            needs: Self::default(),
        };
        reader.read(file)?;
        let Self { files, mut folders } = reader.needs;
        // A folder brings everything below it.
        let below = |path: &ProjectPath| {
            folders
                .iter()
                .any(|it| it != path && (it.is_root() || is_below(path, it)))
        };
        let covered: Vec<_> = folders.iter().filter(|it| below(it)).cloned().collect();
        let files = files.into_iter().filter(|it| !below(it)).collect();
        folders.retain(|it| !covered.contains(it));
        Ok(Self { files, folders })
    }

    /// Whether the whole source is needed.
    pub(super) fn everything(&self) -> bool {
        self.folders.iter().any(ProjectPath::is_root)
    }
}

fn is_below(path: &ProjectPath, folder: &ProjectPath) -> bool {
    Path::new(path.as_str()).starts_with(folder.as_str())
}

/// The folder of a file, by its path in the source; empty for the source itself.
pub(super) fn folder_of(file: &ProjectPath) -> &str {
    file.as_str()
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder)
}

struct Reader<'a> {
    source: &'a Path,
    /// Where pip runs.
    folder: &'a str,
    needs: Needs,
}

/// A line, and how to speak of it.
struct Line<'a> {
    file: &'a ProjectPath,
    number: usize,
}

impl Reader<'_> {
    fn read(&mut self, file: &ProjectPath) -> Result<(), Invalid> {
        if !self.needs.files.insert(file.clone()) {
            return Ok(());
        }
        let bytes = fs::read(file.in_project(self.source))
            .map_err(|error| Invalid::new(format!("cannot read `{file}`: {error}")))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for (number, text) in logical_lines(&text) {
            for named in named(&text) {
                self.take(&Line { file, number }, named)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, line: &Line<'_>, named: Named) -> Result<(), Invalid> {
        match named {
            Named::Include(path) => {
                let (path, is_folder) = self
                    .find(line, folder_of(line.file), &path)?
                    .ok_or_else(|| line.missing(&path, folder_of(line.file)))?;
                if is_folder {
                    return Err(line.wrong(&format!("includes the folder `{path}`")));
                }
                self.read(&path)
            }
            Named::Package(path) => {
                let found = self.find(line, self.folder, &path)?;
                let found = found.ok_or_else(|| line.missing(&path, self.folder))?;
                self.add(found);
                Ok(())
            }
            Named::Archive(path) => {
                // Without such a file it is the name of a package.
                if let Ok(Some(found)) = self.find(line, self.folder, &path) {
                    self.add(found);
                }
                Ok(())
            }
            Named::Links(path) => {
                let beside = self.find(line, folder_of(line.file), &path)?;
                let found = match beside {
                    Some(found) => Some(found),
                    None => self.find(line, self.folder, &path)?,
                };
                let found = found.ok_or_else(|| line.missing(&path, folder_of(line.file)))?;
                self.add(found);
                Ok(())
            }
        }
    }

    fn add(&mut self, (path, is_folder): (ProjectPath, bool)) {
        if is_folder {
            self.needs.folders.insert(path);
        } else {
            self.needs.files.insert(path);
        }
    }

    /// What `path` in `folder` is in the source, and whether it is a folder; nothing if it is not there.
    fn find(
        &self,
        line: &Line<'_>,
        folder: &str,
        path: &str,
    ) -> Result<Option<(ProjectPath, bool)>, Invalid> {
        if Path::new(path).is_absolute() {
            return Err(line
                .wrong(&format!(
                    "names `{path}`, which an image built elsewhere does not have"
                ))
                .hint("write it relative to the requirements file, inside the agent's source"));
        }
        let in_source = if folder.is_empty() {
            path.parse()
        } else {
            format!("{folder}/{path}").parse()
        };
        let in_source: ProjectPath = in_source.map_err(|_| {
            line.wrong(&format!(
                "names `{path}`, which is outside of the agent's source"
            ))
            .hint("move it into the agent's source, or let `source` name a folder above both")
        })?;
        if in_source.as_str().chars().any(char::is_control) {
            return Err(line.wrong("names a path with control characters"));
        }
        Ok(fs::metadata(in_source.in_project(self.source))
            .ok()
            .map(|metadata| (in_source, metadata.is_dir())))
    }
}

impl Line<'_> {
    fn wrong(&self, what: &str) -> Invalid {
        Invalid::new(format!("line {} of `{}` {what}", self.number, self.file))
    }

    fn missing(&self, path: &str, folder: &str) -> Invalid {
        let shown = if folder.is_empty() {
            "the agent's source".to_owned()
        } else {
            format!("`{folder}`")
        };
        self.wrong(&format!("names `{path}`, which does not exist"))
            .hint(format!("correct the path; it is relative to {shown}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(files: &[(&str, &str)]) -> tempfile::TempDir {
        let source = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = source.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        source
    }

    fn needs(files: &[(&str, &str)]) -> Result<(Vec<String>, Vec<String>), Invalid> {
        let source = source(files);
        let Needs { files, folders } = Needs::of(source.path(), &files[0].0.parse().unwrap())?;
        let texts = |paths: BTreeSet<ProjectPath>| paths.iter().map(ToString::to_string).collect();
        Ok((texts(files), texts(folders)))
    }

    fn lists(files: &[&str], folders: &[&str]) -> (Vec<String>, Vec<String>) {
        let owned = |list: &[&str]| list.iter().map(|&it| it.to_owned()).collect();
        (owned(files), owned(folders))
    }

    #[test]
    fn included_files_are_found_beside_the_file_that_names_them_also_in_a_circle() {
        let found = needs(&[
            ("deps/main.txt", "-r sub/other.txt\n-c ../pins.txt\nboto3\n"),
            ("deps/sub/other.txt", "--requirement=../main.txt\n"),
            ("pins.txt", "boto3==1\n"),
        ]);
        assert_eq!(
            found,
            Ok(lists(
                &["deps/main.txt", "deps/sub/other.txt", "pins.txt"],
                &[]
            ))
        );
    }

    #[test]
    fn packages_are_found_where_pip_runs_and_cover_what_lies_in_them() {
        let found = needs(&[
            (
                "requirements.txt",
                "./lib\n-e lib/inner\nwheels/a-1-py3-none-any.whl ; python_version > '3'\n-f wheels/more\n",
            ),
            ("lib/pyproject.toml", ""),
            ("lib/inner/pyproject.toml", ""),
            ("wheels/a-1-py3-none-any.whl", ""),
            ("wheels/more/b.whl", ""),
        ]);
        assert_eq!(
            found,
            Ok(lists(
                &["requirements.txt", "wheels/a-1-py3-none-any.whl"],
                &["lib", "wheels/more"]
            ))
        );
    }

    #[test]
    fn the_source_itself_means_everything() {
        for line in ["-e .", ".[extra]", "./", "--editable=.", "-e ./sub/.."] {
            let source = source(&[("requirements.txt", line), ("sub/x", "")]);
            let needs = Needs::of(source.path(), &"requirements.txt".parse().unwrap()).unwrap();
            assert!(needs.everything(), "{line}");
            assert!(needs.files.is_empty(), "{line}");
        }
    }

    #[test]
    fn what_the_image_could_not_have_is_an_error_that_names_the_line() {
        for (text, message) in [
            (
                "a\n-r gone.txt\n",
                "line 2 of `requirements.txt` names `gone.txt`, which does not exist",
            ),
            (
                "./gone\n",
                "line 1 of `requirements.txt` names `./gone`, which does not exist",
            ),
            (
                "\n../up\n",
                "line 2 of `requirements.txt` names `../up`, which is outside of the agent's source",
            ),
            (
                "-c /etc/pins.txt\n",
                "line 1 of `requirements.txt` names `/etc/pins.txt`, which an image built elsewhere does not have",
            ),
            (
                "x @ file:///srv/x.whl\n",
                "line 1 of `requirements.txt` names `/srv/x.whl`, which an image built elsewhere does not have",
            ),
            (
                "-r .\n",
                "line 1 of `requirements.txt` includes the folder `.`",
            ),
        ] {
            let error = needs(&[("requirements.txt", text)]).unwrap_err();
            assert_eq!(error.message, message);
        }
    }
}
