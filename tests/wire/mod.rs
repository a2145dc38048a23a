//! The wire contract, kept by three servers: a Rust agent, a Python agent on the native engine, and the same file on the
//! official SDK, which is the oracle for what the tables say.
//!
//! The contract is in the `.yaml` files beside this one; the code here only asks and compares.

mod agent;
mod agent_health;
mod compare;
mod exchange;
mod expect;
mod overview;
mod pattern;
mod request;
mod responses;
mod run;
mod servers;
mod table;
mod table_rules;

use crate::support::{python_with, workspace};
use servers::{PythonAgents, PythonEngine, RustAgents, Servers};
use table::{Server, Table};

/// Fails with everything that is wrong.
fn keeps_the_contract(server: Server, servers: &(impl Servers + Sync)) {
    let table = Table::read(&workspace().join("tests/wire")).unwrap_or_else(|it| panic!("{it}"));
    let failed = run::run(&table, server, servers);
    let count = table.rows_for(server).count();
    assert!(
        failed.is_empty(),
        "{} of {count} rows fail\n\n{}",
        failed.len(),
        failed.join("\n")
    );
}

#[test]
fn rust_agent_keeps_the_contract() {
    keeps_the_contract(Server::Rust, &RustAgents);
}

#[test]
fn native_engine_keeps_the_contract() {
    python_agents_keep_the_contract(Server::Native, PythonEngine::Native);
}

#[test]
fn official_sdk_keeps_the_contract() {
    python_agents_keep_the_contract(Server::Sdk, PythonEngine::Sdk);
}

fn python_agents_keep_the_contract(server: Server, engine: PythonEngine) {
    // The rows about its models need pydantic, which comes with the SDK.
    if let Some(python) = python_with("bedrock_agentcore") {
        keeps_the_contract(server, &PythonAgents { python, engine });
    }
}
