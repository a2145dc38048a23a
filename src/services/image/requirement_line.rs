//! The lines of a requirements file as pip reads them, and the paths in them.
//!
//! No disk is looked at here.

/// A path that a line names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// Another requirements or constraints file.
    Include(String),
    /// A package to install: a folder or an archive.
    Package(String),
    /// The name of an archive without a folder, which may be the name of a package instead.
    Archive(String),
    /// A folder or page in which pip looks for archives.
    Links(String),
}

/// The endings of the archives that pip installs.
const ARCHIVES: [&str; 9] = [
    ".whl",
    ".zip",
    ".tar.gz",
    ".tgz",
    ".tar",
    ".tar.bz2",
    ".tbz",
    ".tar.xz",
    ".tar.lzma",
];

/// The lines of `text` without comments, joined where they are continued, with the number of their first.
pub(super) fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut continued = false;
    for (index, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let comment = comment_start(raw);
        let ends_open = comment.is_none() && raw.ends_with('\\');
        let part = &raw[..comment.unwrap_or(raw.len() - usize::from(ends_open))];
        match lines.last_mut().filter(|_| continued) {
            Some((_, line)) => line.push_str(part),
            None => lines.push((index + 1, part.to_owned())),
        }
        continued = ends_open;
    }
    lines.retain(|(_, line)| !line.trim().is_empty());
    lines
}

/// Where a comment begins: at a `#` that begins the line or follows a space.
fn comment_start(line: &str) -> Option<usize> {
    line.match_indices('#')
        .map(|(at, _)| at)
        .find(|&at| line[..at].is_empty() || line[..at].ends_with(char::is_whitespace))
}

/// The paths that one line names. What depends on variables is left to pip.
pub(super) fn named(line: &str) -> Vec<Named> {
    let line = line.trim();
    let mut found = if line.starts_with('-') {
        of_options(&words(line))
    } else {
        of_requirement(line).into_iter().collect()
    };
    found.retain(|it| {
        let (Named::Include(path)
        | Named::Package(path)
        | Named::Archive(path)
        | Named::Links(path)) = it;
        !path.is_empty() && !path.contains("${")
    });
    found
}

/// The short and the long name of an option, and what its value names.
type PathOption = (&'static str, &'static str, fn(&str) -> Option<Named>);

fn of_options(words: &[String]) -> Vec<Named> {
    const OPTIONS: [PathOption; 4] = [
        ("-r", "--requirement", include),
        ("-c", "--constraint", include),
        ("-e", "--editable", of_editable),
        ("-f", "--find-links", links),
    ];
    let mut found = Vec::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        for (short, long, read) in OPTIONS {
            let value = if word == short || word == long {
                words.next()
            } else if let Some(rest) = word.strip_prefix(long) {
                rest.strip_prefix('=')
            } else {
                word.strip_prefix(short).filter(|_| !word.starts_with("--"))
            };
            if let Some(value) = value {
                found.extend(read(value));
                break;
            }
        }
    }
    found
}

fn include(value: &str) -> Option<Named> {
    local(value).map(Named::Include)
}

fn links(value: &str) -> Option<Named> {
    local(value).map(Named::Links)
}

fn of_editable(value: &str) -> Option<Named> {
    local(without_extras(value)).map(Named::Package)
}

/// The path that a requirement is installed from, if it is not the name of a package.
fn of_requirement(line: &str) -> Option<Named> {
    // Options of one requirement follow it.
    let text = line.split(" --").next().unwrap_or(line);
    if let Some((_, url)) = text
        .split_once('@')
        .filter(|(name, _)| !looks_like_path(name))
    {
        let url = url.split(" ;").next().unwrap_or(url).trim();
        return url
            .starts_with("file:")
            .then(|| local(url).map(Named::Package))?;
    }
    if is_url(text) {
        let url = text.split("; ").next().unwrap_or(text).trim();
        return local(url).map(Named::Package);
    }
    let path = without_extras(text.split(';').next().unwrap_or(text).trim());
    if looks_like_path(path) {
        return Some(Named::Package(path.to_owned()));
    }
    let is_archive = ARCHIVES
        .iter()
        .any(|it| path.to_ascii_lowercase().ends_with(it));
    is_archive.then(|| Named::Archive(path.to_owned()))
}

fn looks_like_path(text: &str) -> bool {
    text.starts_with('.') || text.contains('/')
}

fn without_extras(text: &str) -> &str {
    match text.split_once('[') {
        Some((path, rest)) if rest.ends_with(']') && !path.is_empty() => path,
        _ => text,
    }
}

fn is_url(text: &str) -> bool {
    let scheme = text.split([':', '/']).next().unwrap_or_default();
    let is_scheme = ["http", "https", "ftp", "file"].contains(&scheme)
        || ["git", "hg", "svn", "bzr"]
            .iter()
            .any(|it| scheme.split('+').next() == Some(it) && scheme.contains('+'));
    is_scheme && text[scheme.len()..].starts_with(':')
}

/// The path that `text` is, if it is one of this machine: a path, or a URL of a file.
fn local(text: &str) -> Option<String> {
    if let Some(rest) = text.strip_prefix("file:") {
        let rest = rest.strip_prefix("//localhost").unwrap_or(rest);
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let path = rest.split('#').next().unwrap_or(rest);
        let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
        return Some(path.into_owned());
    }
    (!is_url(text)).then(|| text.to_owned())
}

/// Words as a POSIX shell takes them apart; an open quote ends with the line.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(characters.next()),
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_comments_dropped() {
        let text = "\u{feff}a\\\n  b # c\n# d\\\ne#f\n\n-r \\\n x.txt\n";
        let lines = [(1, "a  b "), (4, "e#f"), (6, "-r  x.txt")];
        assert_eq!(
            logical_lines(text),
            lines.map(|(number, line)| (number, line.to_owned()))
        );
    }

    #[test]
    fn paths_are_told_from_names_and_urls() {
        use Named::{Archive, Include, Links, Package};
        let include = |it: &str| vec![Include(it.into())];
        let package = |it: &str| vec![Package(it.into())];
        for (line, expected) in [
            ("boto3", vec![]),
            ("boto3[crt]>=1.0,<2 ; python_version < '3.13'", vec![]),
            ("boto3==1 --hash=sha256:00 --hash=sha256:11/22", vec![]),
            ("x @ https://host/x.whl", vec![]),
            ("x@https://host/x.whl", vec![]),
            ("git+https://host/x.git@main#egg=x", vec![]),
            ("https://host/x-1.tar.gz ; python_version < '3'", vec![]),
            ("x @ file:///srv/x.whl", package("/srv/x.whl")),
            ("x @ file:lib%20x", package("lib x")),
            ("./lib", package("./lib")),
            ("lib/x[all] ; python_version < '3'", package("lib/x")),
            (".", package(".")),
            (".[dev]", package(".")),
            (
                "x-1-py3-none-any.whl",
                vec![Archive("x-1-py3-none-any.whl".into())],
            ),
            ("-r a.txt", include("a.txt")),
            ("-ra.txt", include("a.txt")),
            ("-c 'my pins.txt'", include("my pins.txt")),
            ("--constraint=a\\ b.txt", include("a b.txt")),
            ("--requirement \"a.txt\"", include("a.txt")),
            ("-r https://host/a.txt", vec![]),
            ("-r ${DEPS}/a.txt", vec![]),
            ("-e ./lib[x]", package("./lib")),
            ("-e git+ssh://git@host/x.git", vec![]),
            ("--find-links wheels", vec![Links("wheels".into())]),
            ("-f https://host/links", vec![]),
            (
                "-i https://host/simple --extra-index-url https://other/simple",
                vec![],
            ),
            ("--no-binary :all: -r a.txt", include("a.txt")),
            ("--pre", vec![]),
            ("--config-settings x=./y", vec![]),
        ] {
            assert_eq!(named(line), expected, "{line}");
        }
    }
}
