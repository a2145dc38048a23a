//! A program that runs a front door, for tests that kill it, and for measuring.
//!
//! `local_test_front_door CONFIG` reads the configuration from a JSON text, prints the port, and serves until it is asked
//! to end with SIGTERM.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its port and its failure are all it has to say"
)]

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use agentcore_local::{FrontDoor, FrontDoorConfig, Limits};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let argument = std::env::args().nth(1).expect("the configuration is given");
    let config: Value = serde_json::from_str(&argument).expect("the configuration is JSON");
    let text = |key: &str| config[key].as_str().expect("the key is there").to_owned();
    let config = FrontDoorConfig {
        agent: config["agent"].as_str().unwrap_or("my_agent").into(),
        arn: text("arn"),
        instance: text("instance"),
        spec: serde_json::from_value(config["spec"].clone()).expect("the spec is complete"),
        limits: Limits::default(),
        run_dir: text("run_dir").into(),
        orphan_mark: text("orphan_mark"),
        events: Arc::new(|_| ()),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let front_door = match FrontDoor::start(config, listener).await {
        Ok(front_door) => front_door,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", front_door.local_addr().port());
    std::io::stdout().flush().expect("stdout is open");
    let mut asked = signal(SignalKind::terminate()).expect("signals can be heard");
    let served = front_door
        .serve(async move {
            let _ = asked.recv().await;
        })
        .await;
    ExitCode::from(u8::from(served.is_err()))
}
