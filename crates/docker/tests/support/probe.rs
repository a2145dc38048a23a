//! The program that runs in the tests' containers, and the image with nothing else in it.
//!
//! Both are made on first use and kept: the program in the build folder, the image on the engine under a name with the
//! program's digest. A newer image removes the older ones.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use agentcore_docker::{BuildRequest, Engine};
use sha2::{Digest, Sha256};

const SOURCE: &str = include_str!("../programs/probe.rs");

/// The image's id, built if the engine does not have it.
pub(super) async fn image(engine: &Engine) -> String {
    let tag = format!("agentcore-test-a-probe:{}", digest());
    if let Some(image) = engine.image(&tag).await.unwrap() {
        return image.id;
    }
    // One at a time: tests are threads or processes that start together, and removing an image under the builder's hands
    // breaks the build.
    let lock = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("probe.lock")).unwrap();
    lock.lock().unwrap();
    if let Some(image) = engine.image(&tag).await.unwrap() {
        return image.id;
    }
    let program = std::fs::read(program()).unwrap();
    let dockerfile = b"FROM scratch\nCOPY probe /probe\nENTRYPOINT [\"/probe\"]\n";
    let context = super::context(&[("Dockerfile", dockerfile), ("probe", &program)]);
    let labels = BTreeMap::from([("agentcore.test".to_owned(), "probe".to_owned())]);
    let request = BuildRequest {
        dockerfile: "Dockerfile".into(),
        tag,
        labels: labels.clone(),
        ..BuildRequest::default()
    };
    let built = engine.build(&request, context, &mut |_| {}).await.unwrap();
    for older in engine.images_with(&labels).await.unwrap() {
        if older.id != built.id {
            engine.remove_image(&older.id).await.unwrap();
        }
    }
    built.id
}

/// The path of the static program, compiled if it is not there.
pub(super) fn program() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = folder.join(format!("probe-{}", digest()));
    if program.exists() {
        return program;
    }
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/probe.rs");
    // Tests are processes that run at the same time: each makes its own, and the last rename wins.
    let mine = folder.join(format!("probe-{}.new", std::process::id()));
    let arch = std::env::consts::ARCH;
    let musl = format!("{arch}-unknown-linux-musl");
    let gnu = format!("{arch}-unknown-linux-gnu");
    let attempts = [
        (musl.as_str(), ""),
        (gnu.as_str(), "-Ctarget-feature=+crt-static"),
    ];
    let mut said = String::new();
    for (target, option) in attempts {
        let mut rustc =
            Command::new(super::variable("RUSTC").unwrap_or_else(|| "rustc".to_owned()));
        rustc.args([
            "--edition=2024",
            "-Copt-level=1",
            "-Cstrip=symbols",
            "--target",
            target,
        ]);
        rustc
            .args(Some(option).filter(|it| !it.is_empty()))
            .arg("-o")
            .arg(&mine)
            .arg(source);
        let output = rustc.output().unwrap();
        if output.status.success() {
            std::fs::rename(&mine, &program).unwrap();
            return program;
        }
        said.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    panic!("no static program can be made of {source}:\n{said}")
}

fn digest() -> String {
    let bytes = Sha256::digest(SOURCE);
    let start = bytes.first_chunk::<6>().unwrap();
    let number = start
        .iter()
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{number:012x}")
}
