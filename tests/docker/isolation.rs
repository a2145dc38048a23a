//! Two sessions of one agent share nothing: no memory, no files, no processes, no network.

use serde_json::{Value, json};

use super::Contained;
use super::agents::OBEDIENT;

/// Listens on every address of the container, and tells the container's own.
const LISTEN: &str = r#"
import socket, threading
server = socket.create_server(("0.0.0.0", 9999))
state["server"] = server
def serve():
    while True:
        server.accept()[0].sendall(b"secret of one")
threading.Thread(target=serve, daemon=True).start()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    probe.connect(("192.0.2.1", 9))
    result = probe.getsockname()[0]
"#;

#[test]
fn memory_files_and_processes_are_each_sessions_own() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    project.launch(&[]);
    let write = r#"
import os, subprocess
state["secret"] = "of one"
for place in ["/tmp/secret", os.path.expanduser("~/secret")]:
    open(place, "w").write("of one")
os.environ["SECRET"] = "of one"
subprocess.Popen(["sleep", "600"])
result = True
"#;
    let look = r#"
import os
processes = [open(f"/proc/{pid}/cmdline").read() for pid in os.listdir("/proc") if pid.isdigit()]
result = {
    "memory": state.get("secret"),
    "tmp": os.path.exists("/tmp/secret"),
    "home": os.path.exists(os.path.expanduser("~/secret")),
    "environment": os.environ.get("SECRET"),
    "sleeps": any("sleep" in it for it in processes),
}
"#;
    project.script("one", write);
    let present = json!({ "memory": "of one", "tmp": true, "home": true, "environment": "of one", "sleeps": true });
    let absent = json!({ "memory": null, "tmp": false, "home": false, "environment": null, "sleeps": false });
    assert_eq!(project.script("one", look), present);
    assert_eq!(project.script("two", look), absent);
    let [one, two] = ["one", "two"].map(|it| project.container(it)["Id"].clone());
    assert_ne!(one, two);
}

#[test]
fn no_session_reaches_another_over_the_network() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    project.launch(&[]);
    let address = project.script("one", LISTEN);
    let connect = |address: &str, port: u16| {
        format!(
            "import socket\ntry:\n    with socket.create_connection(({address:?}, {port}), timeout=2) as peer:\n        \
             result = peer.recv(100).decode() if {port} == 9999 else 'connected'\nexcept OSError as error:\n    result = 'refused'\n"
        )
    };
    let address = address.as_str().unwrap();
    // It listens: whoever is in the same container gets through.
    assert_eq!(
        project.script("one", &connect(address, 9999)),
        "secret of one"
    );
    assert_eq!(project.script("two", &connect(address, 9999)), "refused");
    assert_eq!(project.script("two", &connect(address, 8080)), "refused");
    let networks = project.networks();
    assert_eq!(networks.len(), 1, "one network a project: {networks:?}");
    let options = &networks[0]["Options"];
    assert_eq!(options["com.docker.network.bridge.enable_icc"], "false");
}

#[test]
fn a_session_ends_and_another_one_of_that_name_knows_nothing() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    project.launch(&[]);
    let count = "state['n'] = state.get('n', 0) + 1\nresult = state['n']";
    assert_eq!(project.script("s", count), 1);
    assert_eq!(project.script("s", count), 2);
    let id = project.container("s")["Id"].clone();
    project.launch(&["--restart"]);
    assert_eq!(project.script("s", count), 1);
    let ids: Vec<Value> = project
        .containers()
        .iter()
        .map(|it| it["Id"].clone())
        .collect();
    assert!(!ids.contains(&id), "the container of before is gone");
}
