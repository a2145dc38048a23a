//! Which files are sent and which are not, on real folders.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use super::*;

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----\n";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, content).expect("a file");
    }
    folder
}

/// The files that are listed, without folders.
fn listed(files: &SourceFiles) -> Vec<String> {
    let files = files.files().map(|it| it.expect("readable"));
    let files = files.filter(|it| it.kind != context::FileKind::Folder);
    files.map(|it| it.path.display().to_string()).collect()
}

fn left_out(files: &SourceFiles) -> Vec<String> {
    let paths = files.left_out_secrets().expect("readable");
    paths.iter().map(|it| it.display().to_string()).collect()
}

#[test]
fn without_an_ignore_file_the_template_applies() {
    let kept = [
        ".agentcore.yaml",
        ".github/x",
        ".gitignore",
        "agent.py",
        "build/x.py",
        "data.log",
        "docs/a.md",
        "env/simulator.py",
        "pkg/target/x.py",
        "requirements.txt",
        "tests/test_a.py",
    ];
    let dropped = [
        ".git/config",
        "sub/.git",
        ".venv/bin/python",
        "sub/venv/x",
        "node_modules/a.js",
        "ui/node_modules/b.js",
        "pkg/__pycache__/a.pyc",
        "a.pyc",
        "target/debug/x",
        ".agentcore/state.json",
        "sub/.agentcore/logs/x",
        ".bedrock_agentcore/a/dependencies.zip",
        ".pytest_cache/x",
        ".mypy_cache/x",
        ".ruff_cache/x",
        ".DS_Store",
        "sub/.DS_Store",
        ".agent.py.swp",
    ];
    let all: Vec<_> = kept.iter().chain(&dropped).map(|it| (*it, "")).collect();
    let folder = folder(&all);
    // What git ignores may well be needed.
    fs::write(folder.path().join(".gitignore"), "data.log\n*.py\n").expect("a file");
    let files = SourceFiles::of(folder.path()).expect("rules");
    assert_eq!(listed(&files), kept);
    assert!(left_out(&files).is_empty());
    for path in kept {
        assert!(files.contains(Path::new(path)), "{path}");
    }
    for path in dropped {
        assert!(!files.contains(Path::new(path)), "{path}");
    }
}

#[test]
fn an_ignore_file_replaces_the_template_but_not_what_is_always_out() {
    let folder = folder(&[
        (
            ".dockerignore",
            "*\n!src\n!.agentcore\n!.agentcore/**\nsrc/*.md\n",
        ),
        (".agentcore/logs/agent.log", ""),
        ("src/.agentcore/x", ""),
        ("src/.venv/x", ""),
        ("src/a.md", ""),
        ("other", ""),
    ]);
    let files = SourceFiles::of(folder.path()).expect("rules");
    // Docker sends its ignore file, though `*` leaves it out.
    assert_eq!(listed(&files), [".dockerignore", "src/.venv/x"]);
}

#[test]
fn secrets_stay_out_and_are_told() {
    let secrets = [
        (".aws/credentials", ""),
        (".docker/config.json", ""),
        (".env", ""),
        (".env.local", ""),
        (".envrc", ""),
        (".git-credentials", ""),
        (".netrc", ""),
        (".npmrc", "//r/:_authToken=x"),
        (".pypirc", "password = x"),
        (".ssh/config", ""),
        (".streamlit/secrets.toml", ""),
        ("SERVER.P12", ""),
        ("a/b/.env.production", ""),
        (
            "a/credentials.json",
            r#"{"installed": {"client_secret": "x"}}"#,
        ),
        ("a/key.pem", KEY),
        ("a/prod.env", ""),
        ("a/server.key", ""),
        ("id_rsa", KEY),
        ("my-service-account.json", r#"{"private_key": "x"}"#),
        ("safe.kdbx", ""),
        ("terraform.tfstate", "{}"),
    ];
    let harmless = [
        (".dockerignore", ""),
        (".env.example", ""),
        (".env.sample", ""),
        (".environment", ""),
        ("a/.env.template", ""),
        ("a/.npmrc", "registry=https://r"),
        ("a/ca.pem", CERTIFICATE),
        ("a/config.json", ""),
        ("a/credentials.py", ""),
        ("a/token.json", "{}"),
        ("environment.py", ""),
        ("example.env", ""),
        ("id_rsa.pub", "ssh-rsa AAAA"),
        ("id_rsa_reader.py", "import x"),
        ("monkey", ""),
    ];
    let all: Vec<_> = secrets.iter().chain(&harmless).copied().collect();
    let folder = folder(&all);
    std::os::unix::fs::symlink("../elsewhere", folder.path().join("z.env")).expect("a link");
    let files = SourceFiles::of(folder.path()).expect("rules");
    assert_eq!(listed(&files), harmless.map(|it| it.0));
    let told: Vec<_> = secrets
        .iter()
        .map(|(path, _)| match path.split_once('/') {
            Some((folder @ (".aws" | ".ssh"), _)) => folder,
            _ => path,
        })
        .chain(["z.env"])
        .collect();
    assert_eq!(left_out(&files), told);
    for (path, _) in secrets {
        assert!(!files.contains(Path::new(path)), "{path}");
    }
    for (path, _) in harmless {
        assert!(files.contains(Path::new(path)), "{path}");
    }
}

#[test]
fn a_secret_gets_in_only_by_its_name() {
    let files: Vec<_> = [
        ".env",
        "config/.env",
        "config/x",
        "config/key.pem",
        ".aws/config",
        ".aws/credentials",
        ".aws/id_rsa",
    ]
    .map(|it| (it, KEY))
    .to_vec();
    let aws = [".aws/config", ".aws/credentials"];
    for (rules, secrets) in [
        ("", &[] as &[&str]),
        ("!.env", &[".env"]),
        ("!**/.env", &[".env", "config/.env"]),
        ("!*", &[]),
        ("*\n!config", &[]),
        ("*\n!config/*", &[]),
        ("*\n!config/.env", &["config/.env"]),
        ("!**/.env*", &[]),
        ("!.en[v]", &[]),
        ("!\\.env", &[".env"]),
        ("!.env\n.env", &[]),
        (".env\n!.env", &[".env"]),
        ("!.env\n.env\n!*", &[]),
        ("!config/key.pem", &["config/key.pem"]),
        ("!**/*.pem", &[]),
        ("!.aws", &aws),
        ("!.aws/**", &aws),
        ("!.aws/config", &aws[..1]),
        ("!**/config", &[]),
        ("!.aws\n.aws/credentials", &aws[..1]),
        (
            "!.aws\n!.aws/id_rsa",
            &[".aws/config", ".aws/credentials", ".aws/id_rsa"],
        ),
    ] {
        let folder = folder(&files);
        fs::write(folder.path().join(".dockerignore"), rules).expect("a file");
        let source = SourceFiles::of(folder.path()).expect("rules");
        let listed: BTreeSet<String> = listed(&source).into_iter().collect();
        let told: Vec<PathBuf> = source.left_out_secrets().expect("readable");
        for (path, _) in &files {
            let is_in = listed.contains(*path);
            assert_eq!(source.contains(Path::new(path)), is_in, "{rules:?}: {path}");
            let is_told = told.iter().any(|it| Path::new(path).starts_with(it));
            assert!(!(is_in && is_told), "{rules:?}: {path} is in");
            if *path != "config/x" {
                assert_eq!(is_in, secrets.contains(path), "{rules:?}: {path}");
            }
        }
    }
}

#[test]
fn a_pattern_that_is_none_is_named_with_its_file_and_line() {
    let folder = folder(&[(".dockerignore", "a\n\n[b\n")]);
    let error = SourceFiles::of(folder.path()).expect_err("no pattern");
    let path = folder.path().join(".dockerignore");
    assert_eq!(
        error.to_string(),
        format!("`{}`, line 3: `[b` is not a pattern", path.display())
    );
    let error = CliError::from(error);
    assert_eq!(error.kind(), crate::error::Kind::Configuration);
    assert!(!error.hints().is_empty());

    fs::remove_file(&path).expect("a file");
    fs::create_dir(&path).expect("a folder");
    let error = SourceFiles::of(folder.path()).expect_err("a folder");
    assert_eq!(
        error.to_string(),
        format!("cannot read `{}`", path.display())
    );
}

#[test]
fn the_text_for_other_tools_leaves_out_the_same() {
    let files = [
        (".dockerignore", "\u{feff}*.md\n!README.md"),
        (".env", ""),
        (".env.example", ""),
        ("README.md", ""),
        ("a.md", ""),
        ("a/ke y.pem", KEY),
        ("a/ca.pem", CERTIFICATE),
        ("a/!odd[x].pem", KEY),
        ("b/.env_local", ""),
        ("b/prod.env", ""),
        ("b/x.tfstate", ""),
        (".aws/x", ""),
        ("b/agent.py", ""),
        (".agentcore/x", ""),
        ("id_ed25519", KEY),
        (".docker/config.json", ""),
    ];
    let folder = folder(&files);
    let source = SourceFiles::of(folder.path()).expect("rules");
    let text = source.ignore_text(&source.left_out_secrets().expect("readable"));
    let rules = IgnoreRules::parse(&text).expect("rules");
    for (path, _) in files {
        let path = Path::new(path);
        assert_eq!(
            rules.excludes(path),
            !source.contains(path),
            "{}",
            path.display()
        );
    }
    // The names alone, before anything of the kind is there.
    let rules = IgnoreRules::parse(&source.ignore_text(&[])).expect("rules");
    for (path, excluded) in [
        ("c/.env.local", true),
        ("c/.env", true),
        ("c/.env.example", false),
        ("c/sample.env", false),
        ("c/x.key", true),
        ("c/environment.py", false),
        ("c/.ssh/x", true),
        ("c/.environment", false),
        ("c/id_rsa", true),
        ("c/x.pem", false),
    ] {
        assert_eq!(rules.excludes(Path::new(path)), excluded, "{path}");
    }
}

#[test]
fn the_archive_is_of_the_same_files() {
    use futures_util::TryStreamExt;

    let folder = folder(&[
        (".env", ""),
        ("a/agent.py", "x"),
        (".dockerignore", "Dockerfile\n"),
        ("Dockerfile", "FROM x"),
    ]);
    let source = SourceFiles::of(folder.path()).expect("rules");
    let dockerfile = Extra {
        path: "Dockerfile".into(),
        content: context::ExtraContent::File(folder.path().join("Dockerfile")),
        mode: 0o644,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let chunks = source.archive(vec![dockerfile]).try_collect::<Vec<Bytes>>();
    let bytes = runtime.block_on(chunks).expect("readable").concat();
    let has = |name: &str| {
        bytes
            .windows(name.len())
            .any(|it| it == OsStr::new(name).as_bytes())
    };
    assert!(has("Dockerfile\0") && has("FROM x") && has("a/agent.py\0") && has(".dockerignore\0"));
    assert!(!has(".env\0"));
}
