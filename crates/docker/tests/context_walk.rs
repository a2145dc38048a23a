//! The walk through a folder, against the plain meaning of the rules: any folder, any rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use agentcore_docker::context::{FileKind, IgnoreRules, Opinion, files};
use proptest::prelude::*;

/// Paths that patterns can well match.
fn paths() -> impl Strategy<Value = BTreeSet<PathBuf>> {
    let name = prop_oneof![Just("a"), Just("b"), Just("ab"), Just("a.b"), Just(".c")];
    let path = prop::collection::vec(name, 1..5).prop_map(|names| names.iter().collect());
    prop::collection::btree_set(path, 1..12)
}

/// Ignore files in which most patterns match something.
fn rules() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        3 => Just("a"), 2 => Just("b"), 1 => Just("ab"), 2 => Just("*"), 2 => Just("**"), 1 => Just("?"), 1 => Just("*b"),
        1 => Just("a*"), 1 => Just("[a.]"), 1 => Just("a**"), 1 => Just("**b"), 1 => Just(".c"), 1 => Just("[^b]*"),
    ];
    let pattern = (any::<bool>(), prop::collection::vec(part, 1..4));
    let line = pattern.prop_map(|(exception, parts)| {
        format!("{}{}\n", if exception { "!" } else { "" }, parts.join("/"))
    });
    prop::collection::vec(line, 0..6).prop_map(|lines| lines.concat())
}

/// Makes files at `paths`, but for those where others need a folder.
fn make(paths: &BTreeSet<PathBuf>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for path in paths {
        let is_folder = paths.iter().any(|it| it != path && it.starts_with(path));
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if is_folder {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::write(path, "").unwrap();
        }
    }
    folder
}

/// Everything below `folder`, relative to `root`.
fn everything(root: &Path, folder: &Path, all: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            everything(root, &path, all);
        }
        all.insert(path.strip_prefix(root).unwrap().to_owned());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_kept_is_listed_with_the_folders_it_is_in(paths in paths(), rules in rules()) {
        let folder = make(&paths);
        let rules = IgnoreRules::parse(rules.as_bytes()).unwrap();
        let mut all = BTreeSet::new();
        everything(folder.path(), folder.path(), &mut all);
        let kept = all.iter().filter(|it| !rules.excludes(it));
        let expected: BTreeSet<PathBuf> = kept
            .flat_map(|it| it.ancestors().map(Path::to_owned))
            .filter(|it| !it.as_os_str().is_empty())
            .collect();
        let list: Vec<PathBuf> = files(folder.path(), &rules).map(|it| it.unwrap().path).collect();
        prop_assert!(list.is_sorted());
        prop_assert_eq!(list.len(), expected.len());
        prop_assert_eq!(list.into_iter().collect::<BTreeSet<_>>(), expected);
    }

    #[test]
    fn any_bytes_are_rules_or_an_error(text in prop::collection::vec(any::<u8>(), 0..200), path in "[a-c*/.]{1,12}") {
        if let Ok(rules) = IgnoreRules::parse(&text) {
            let kept = rules.clone().keeping(Path::new(&path));
            prop_assert!(!kept.excludes(Path::new(&path)));
            let none = IgnoreRules::default().followed_by(&rules);
            prop_assert_eq!(none.excludes(Path::new(&path)), rules.excludes(Path::new(&path)));
        }
    }
}

/// What patterns made of these parts mean, written down without a thought for speed.
fn plainly_matches(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], _) => path.is_empty(),
        (["**"], _) => !path.is_empty(),
        (["**", pattern @ ..], _) => {
            (0..=path.len()).any(|at| plainly_matches(pattern, &path[at..]))
        }
        ([part, pattern @ ..], [name, path @ ..]) => {
            let fits = match *part {
                "*" => true,
                "?" => name.len() == 1,
                "a*" => name.starts_with('a'),
                "*b" => name.ends_with('b'),
                "[ab]" => ["a", "b"].contains(name),
                literal => literal == *name,
            };
            fits && plainly_matches(pattern, path)
        }
        (_, []) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pattern_means_what_it_plainly_means(
        pattern in prop::collection::vec(prop::sample::select(&["a", "b", "*", "**", "?", "a*", "*b", "[ab]", "a.b"][..]), 1..5),
        path in prop::collection::vec(prop::sample::select(&["a", "b", "ab", "a.b", "aXb", "c"][..]), 1..5),
    ) {
        let rules = IgnoreRules::parse(pattern.join("/").as_bytes()).unwrap();
        let expected = (1..=path.len()).any(|end| plainly_matches(&pattern, &path[..end]));
        prop_assert_eq!(rules.excludes(Path::new(&path.join("/"))), expected);
    }
}

/// The second judge is asked of a folder just before it is read.
#[test]
fn folders_that_cannot_matter_are_not_read() {
    for (rules, read) in [
        ("node_modules", false),
        ("**/node_modules", false),
        ("node_modules\n!src/x", false),
        ("node_modules\n!src/**/*.py", false),
        ("!**/*.py\nnode_modules", false),
        ("*\n!node_modules_of_mine/**", false),
        ("*\n!node_module", false),
        ("*\n!node_modules*/x", true),
        ("node_modules\n!**/*.py", true),
        ("node_modules\n!node_modules/keep", true),
        ("node_modules\n!*/keep", true),
        ("node_modules\n!node_modules/**/keep", true),
    ] {
        let folder = make(&BTreeSet::from(["a".into(), "node_modules/x.js".into()]));
        let parsed = IgnoreRules::parse(rules.as_bytes()).unwrap();
        let (sender, asked) = std::sync::mpsc::channel();
        let list = files(folder.path(), &parsed).unless(move |file| {
            sender.send(file.path.clone()).unwrap();
            Opinion::Keep
        });
        assert!(list.count() <= 1);
        let was_read = asked.try_iter().any(|it| it == Path::new("node_modules"));
        assert_eq!(was_read, read, "{rules:?}");
    }
}

#[test]
fn a_second_judge_leaves_out_files_and_whole_folders() {
    let paths = ["a/b/x", "a/b/y", "a/z", "c/x", "d/e/x", "d/e/y", "f"];
    let folder = make(&paths.iter().map(PathBuf::from).collect());
    let list = files(folder.path(), &IgnoreRules::default()).unless(|file| {
        let name = file.path.to_str().unwrap();
        match name {
            "a/b" | "f" | "d/e/y" => Opinion::LeaveOut,
            "d" | "d/e" | "c" => Opinion::LookInside,
            "c/x" => {
                assert_eq!(file.kind, FileKind::File { len: 0 });
                Opinion::LeaveOut
            }
            _ => {
                assert!(
                    !name.starts_with("a/b/"),
                    "it is in a folder that is left out"
                );
                Opinion::Keep
            }
        }
    });
    let list: Vec<PathBuf> = list.map(|it| it.unwrap().path).collect();
    let expected = ["a", "a/z", "d", "d/e", "d/e/x"].map(PathBuf::from);
    assert_eq!(list, expected);
}
