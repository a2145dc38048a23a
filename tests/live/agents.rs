//! Agents for tests: Python files, and the Rust examples as packages of their own.

use std::path::{Path, PathBuf};

use super::Project;

/// Answers with what it was told, counts the calls of its session, and prints the prompt.
pub(crate) const COUNTING: &str = r#"
import os
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()
calls = 0

@app.entrypoint
def invoke(payload, context):
    global calls
    calls += 1
    prompt = payload.get("prompt", "")
    print("was told", prompt)
    return {"result": "You said: " + prompt, "calls": calls, "session": context.session_id}

app.run()
"#;

/// Answers with the variables that it is asked for.
pub(crate) const ENVIRONMENT: &str = r#"
import os
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()

@app.entrypoint
def invoke(payload):
    return {name: os.environ.get(name) for name in payload["names"]}

app.run()
"#;

/// Streams in the ways that it is asked for.
pub(crate) const STREAMING: &str = r#"
import asyncio, os
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()

@app.entrypoint
async def invoke(payload):
    yield "one"
    if "gate" in payload:
        while not os.path.exists(payload["gate"]):
            await asyncio.sleep(0.01)
    if payload.get("fail"):
        raise ValueError("no more")
    if payload.get("die"):
        os._exit(3)
    while payload.get("endless"):
        yield "."
        await asyncio.sleep(0.01)
    yield {"n": 2, "s": "a b"}
    yield "three"

app.run()
"#;

/// Cannot be loaded.
pub(crate) const BROKEN: &str = "import os\nraise RuntimeError('the model is missing')\n";

/// Where the Rust agents of all tests are built, once.
pub(crate) fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("agents")
}

/// Copies the Rust example `name` into the project, as a package that stands alone.
pub(crate) fn copy_rust_example(project: &Project, name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
    let example = root.join("examples").join(name);
    let runtime = root.join("crates/runtime").display().to_string();
    project.write("Cargo.toml", &format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         agentcore-runtime = {{ path = \"{runtime}\" }}\nserde_json = \"1\"\n\
         futures-util = {{ version = \"0.3\", default-features = false, features = [\"std\"] }}\n\
         tokio = {{ version = \"1\", features = [\"macros\", \"rt-multi-thread\", \"time\"] }}\n"
    ));
    // The versions that are on this machine already.
    project.write("Cargo.lock", &read(root.join("Cargo.lock")));
    project.write("src/main.rs", &read(example.join("src/main.rs")));
}
