//! The arrows of the house: what each folder may name and what each crate may pull in.
//!
//! `docs/architecture.md` states these rules; here they are read off `cargo metadata` and the sources. The sources are
//! read as text without comments, which is enough to find a path such as `clap::Parser`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

/// Crates that talk to a terminal; only the CLI may name them.
const TERMINAL: &[&str] = &["clap", "dialoguer", "indicatif", "console"];

/// Crates that would make a server large, or tie it to a cloud, a TLS stack or a container engine.
const HEAVY: &[&str] = &[
    "rustls",
    "native_tls",
    "openssl",
    "ring",
    "aws_config",
    "aws_smithy_runtime",
    "bollard",
    "reqwest",
];

/// A folder, the paths that its code must not contain, and the files in it that may.
struct Rule {
    folder: &'static str,
    forbidden: &'static [&'static str],
    except: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        folder: "crates/protocol/src",
        forbidden: &[
            "tokio",
            "agentcore_runtime",
            "agentcore_host",
            "agentcore_local",
            "std::net",
            "std::process",
            "std::env",
        ],
        except: &[],
    },
    Rule {
        folder: "crates/runtime/src",
        forbidden: &[
            "agentcore_host",
            "agentcore_local",
            "agentcore_docker",
            "std::process::Command",
        ],
        except: &[],
    },
    Rule {
        folder: "crates/host/src",
        forbidden: &["agentcore_local", "agentcore_docker"],
        except: &[],
    },
    Rule {
        folder: "crates/local/src",
        forbidden: &[
            "agentcore_runtime",
            "agentcore_host",
            "agentcore_cli",
            "bollard",
        ],
        except: &[],
    },
    // It knows engines and nothing of agents; what the docker command reads in the environment is passed in.
    Rule {
        folder: "crates/docker/src",
        forbidden: &[
            "agentcore_protocol",
            "agentcore_runtime",
            "agentcore_host",
            "agentcore_local",
            "std::env",
        ],
        except: &[],
    },
    // Plain data and rules.
    Rule {
        folder: "src/model",
        forbidden: &[
            "std::fs",
            "std::env",
            "std::net",
            "std::process",
            "std::io",
            "tokio",
            "reqwest",
            "clap",
            "crate::commands",
            "crate::config",
            "crate::context",
            "crate::services",
            "crate::ui",
        ],
        except: &[],
    },
    // Services do the work and know no terminal.
    Rule {
        folder: "src/services",
        forbidden: &[
            "clap",
            "anstream",
            "anstyle",
            "crate::ui",
            "crate::commands",
            "crate::cli",
            "std::io::stdout",
            "std::io::stderr",
        ],
        except: &[],
    },
    Rule {
        folder: "src/config",
        forbidden: &["clap", "crate::ui", "crate::commands", "crate::services"],
        except: &[],
    },
    Rule {
        folder: "src/ui",
        forbidden: &["crate::commands", "crate::services"],
        except: &[],
    },
    // One printer.
    Rule {
        folder: "src",
        forbidden: &["anstream", "dialoguer", "indicatif", "console"],
        except: &["src/ui"],
    },
    // Engines are reached through the crate for them.
    Rule {
        folder: "src",
        forbidden: &["bollard"],
        except: &[],
    },
    // One reader of the environment.
    Rule {
        folder: "src",
        forbidden: &["env::var", "env::var_os", "env::vars", "env::vars_os"],
        except: &["src/config/env.rs"],
    },
];

#[test]
fn arrows_point_one_way() {
    let mut broken = Vec::new();
    for rule in RULES {
        broken.extend(violations(rule));
    }
    for folder in [
        "crates/protocol/src",
        "crates/runtime/src",
        "crates/docker/src",
        "crates/local/src",
        "crates/host/src",
    ] {
        broken.extend(violations(&Rule {
            folder,
            forbidden: TERMINAL,
            except: &["crates/host/src/main.rs"],
        }));
    }
    for folder in [
        "crates/protocol/src",
        "crates/runtime/src",
        "crates/host/src",
    ] {
        broken.extend(violations(&Rule {
            folder,
            forbidden: HEAVY,
            except: &[],
        }));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn only_the_printer_prints() {
    let mut broken = Vec::new();
    for file in rust_files(&root().join("src")) {
        let path = shown(&file);
        for (number, line) in code_lines(&fs::read_to_string(&file).unwrap()) {
            let prints = [
                "println!",
                "eprintln!",
                "print!(",
                "eprint!(",
                "io::stdout",
                "io::stderr",
            ];
            if !path.starts_with("src/ui/") && prints.iter().any(|it| line.contains(it)) {
                broken.push(format!("{path}:{number} prints; only src/ui does"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_rust_file_opens_with_its_role_and_stays_small() {
    let mut broken = Vec::new();
    for folder in [
        "src", "crates", "examples", "benches", "xtask", "tests", "fuzz",
    ] {
        for file in rust_files(&root().join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            // Cases for the compiler are data: its messages count their lines.
            let is_case = shown(&file).contains("/compile_errors/");
            if !is_case && !text.starts_with("//! ") {
                broken.push(format!("{} does not open with `//!`", shown(&file)));
            }
            let lines = text
                .lines()
                .position(|line| line == "#[cfg(test)]")
                .unwrap_or(text.lines().count());
            if lines > 500 && folder != "tests" {
                broken.push(format!(
                    "{} has {lines} lines before its tests; split it",
                    shown(&file)
                ));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn crates_depend_in_one_direction() {
    let allowed: &[(&str, &[&str])] = &[
        ("agentcore-protocol", &[]),
        ("agentcore-runtime", &["agentcore-protocol"]),
        (
            "agentcore-host",
            &["agentcore-protocol", "agentcore-runtime"],
        ),
        (
            "agentcore-local",
            &["agentcore-protocol", "agentcore-docker"],
        ),
        ("agentcore-docker", &[]),
    ];
    for (name, may) in allowed {
        let Some(package) = METADATA.packages.iter().find(|it| it.name == *name) else {
            continue;
        };
        for dependency in normal_dependencies(package).filter(|it| it.starts_with("agentcore-")) {
            assert!(
                may.contains(&dependency.as_str()),
                "`{name}` must not depend on `{dependency}`"
            );
        }
    }
}

#[test]
fn servers_stay_small_and_need_no_c_compiler() {
    // Both are built statically for other machines, and Rust authors link the runtime into their agents.
    let unwanted = |name: &str| {
        let c_code = ["cc", "cmake", "bindgen", "pkg-config"];
        let heavy = [
            "rustls",
            "native-tls",
            "ring",
            "aws-lc-rs",
            "bollard",
            "reqwest",
            "hyper-util-tls",
        ];
        c_code.contains(&name)
            || heavy.contains(&name)
            || name.starts_with("openssl")
            || name.starts_with("aws-")
    };
    for (root, extra) in [
        ("agentcore-runtime", &["clap"] as &[&str]),
        ("agentcore-protocol", &["clap", "tokio"]),
        ("agentcore-host", &[]),
    ] {
        for name in reached_from(root) {
            assert!(
                !unwanted(&name) && !extra.contains(&name.as_str()),
                "`{root}` pulls in `{name}`"
            );
        }
    }
}

#[test]
fn the_hello_agent_needs_three_crates() {
    let hello = METADATA
        .packages
        .iter()
        .find(|it| it.name == "hello-rust")
        .unwrap();
    let names: BTreeSet<_> = normal_dependencies(hello).collect();
    assert_eq!(
        names,
        ["agentcore-runtime", "serde_json", "tokio"]
            .map(str::to_owned)
            .into()
    );
}

#[test]
fn every_package_takes_the_workspace_lints() {
    for package in METADATA.workspace_packages() {
        let manifest = fs::read_to_string(&package.manifest_path).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} sets its own lints",
            package.manifest_path
        );
    }
}

#[test]
fn unsafe_code_is_forbidden_where_the_wire_is() {
    for file in ["crates/protocol/src/lib.rs", "crates/runtime/src/lib.rs"] {
        assert!(
            fs::read_to_string(root().join(file))
                .unwrap()
                .contains("#![forbid(unsafe_code)]"),
            "{file} allows it"
        );
    }
}

#[test]
fn a_path_is_found_wherever_it_starts() {
    assert!(names("use clap::Parser;", "clap"));
    assert!(names("    let x = std::fs::read(path);", "std::fs"));
    assert!(names("use std::{fs, io};", "std::fs"));
    assert!(names("use tokio;", "tokio"));
    assert!(names("let x = std::env::var(\"X\");", "env::var"));
    assert!(!names("let x = std::env::var_os(\"X\");", "env::var"));
    assert!(!names("let console = console + 1;", "console"));
    assert!(!names("let overclap = x::clap_it();", "clap"));
    assert!(!names("use crate::uniform::X;", "crate::ui"));
}

/// The packages of the workspace and what they depend on, for the machine that runs the tests.
static METADATA: LazyLock<Metadata> = LazyLock::new(|| {
    let version = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(
            ["--locked", "--offline", "--filter-platform", host]
                .map(str::to_owned)
                .to_vec(),
        )
        .exec()
        .unwrap()
});

fn normal_dependencies(package: &Package) -> impl Iterator<Item = String> {
    let normal = package
        .dependencies
        .iter()
        .filter(|it| it.kind != DependencyKind::Development);
    normal.map(|it| it.name.clone())
}

/// The names of all packages that `root` is built from, itself left out; development dependencies do not count.
fn reached_from(root: &str) -> BTreeSet<String> {
    let start = &METADATA
        .packages
        .iter()
        .find(|it| it.name == root)
        .unwrap()
        .id;
    let nodes = &METADATA.resolve.as_ref().unwrap().nodes;
    let mut seen: BTreeSet<&PackageId> = BTreeSet::new();
    let mut open = vec![start];
    while let Some(id) = open.pop() {
        let node = nodes.iter().find(|it| it.id == *id).unwrap();
        let used = node.deps.iter().filter(|it| {
            it.dep_kinds
                .iter()
                .any(|it| it.kind != DependencyKind::Development)
        });
        open.extend(used.map(|it| &it.pkg).filter(|id| seen.insert(id)));
    }
    seen.into_iter()
        .map(|id| METADATA[id].name.to_string())
        .collect()
}

fn violations(rule: &Rule) -> Vec<String> {
    let Rule {
        folder,
        forbidden,
        except,
    } = rule;
    let mut found = Vec::new();
    for file in rust_files(&root().join(folder)) {
        let path = shown(&file);
        if path.ends_with("/tests.rs") || except.iter().any(|it| path.starts_with(it)) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        // What stands in tests is not part of what the folder depends on.
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for (number, line) in code_lines(text) {
            for name in forbidden.iter().filter(|name| names(line, name)) {
                found.push(format!("{path}:{number} must not name `{name}`"));
            }
        }
    }
    found
}

/// Whether `line` contains the path `name`, not merely as a part of a longer word. A module that is imported in braces
/// (`use std::{fs, io}`) counts too.
fn names(line: &str, name: &str) -> bool {
    let word = |it: char| it.is_alphanumeric() || it == '_';
    let is_crate = !name.contains("::");
    let found = line.match_indices(name).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + name.len()..]);
        let begins = !before.ends_with(|it| word(it) || is_crate && it == ':');
        // A crate is named by a path or an import; the same word alone is a variable.
        let leads_on = !is_crate || after.starts_with("::") || before.ends_with("use ");
        begins && !after.starts_with(word) && leads_on
    });
    let Some((parent, last)) = name.rsplit_once("::") else {
        return found;
    };
    let group = format!("use {parent}::{{");
    let in_group = line.trim_start().strip_prefix(&group).is_some_and(|inner| {
        let mut names = inner.split([',', '}', ';']);
        names.any(|it| it.trim().split("::").next() == Some(last))
    });
    found || in_group
}

/// The lines that are not comments, with their numbers.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|it| it != "target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}
