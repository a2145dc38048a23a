//! What `launch --local` reports when the agent is ready.

use std::fmt;

use serde::Serialize;

use super::sandbox::SandboxReport;
use crate::commands::chosen::Chosen;
use crate::services::local::record::Record;

/// The result of `launch --local`.
#[derive(Debug, Serialize)]
pub(super) struct LaunchReport {
    agent: String,
    address: String,
    port: u16,
    pid: u32,
    arn: String,
    instance: String,
    detached: bool,
    sandbox: SandboxReport,
    logs: String,
}

impl LaunchReport {
    pub(super) fn new(
        chosen: &Chosen,
        sandbox: SandboxReport,
        detached: bool,
        record: &Record,
    ) -> Self {
        Self {
            agent: chosen.name.to_string(),
            address: record.base(),
            port: record.port,
            pid: record.pid,
            arn: record.arn.clone(),
            instance: record.instance.clone(),
            detached,
            sandbox,
            logs: chosen.places().log().display().to_string(),
        }
    }
}

impl fmt::Display for LaunchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agent, address, .. } = self;
        write!(f, "{agent} is ready at {address}")
    }
}
