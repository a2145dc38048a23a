//! How a container is: whether it runs, how it ended, and where its port is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bollard::errors::Error as ClientError;
use bollard::models::{
    ContainerInspectResponse, ContainerSummaryStateEnum, NetworkSettings, PortBinding,
};

/// How a container is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContainerState {
    /// Whether its main process runs.
    pub running: bool,
    /// What its main process ended with; none while it runs.
    pub exit_code: Option<i64>,
    /// Whether a process in it was killed because the memory was used up.
    pub oom_killed: bool,
    /// What the engine says of its start or end; none if nothing.
    pub error: Option<String>,
    /// Its main process on the engine's machine; none unless it runs.
    pub pid: Option<u32>,
    /// Where its port is published on this machine; none unless it runs.
    pub address: Option<SocketAddr>,
}

impl ContainerState {
    pub(super) fn of(found: ContainerInspectResponse) -> Self {
        let state = found.state.unwrap_or_default();
        let running = state.running.unwrap_or_default();
        Self {
            running,
            exit_code: state.exit_code.filter(|_| !running),
            oom_killed: state.oom_killed.unwrap_or_default(),
            error: state.error.filter(|text| !text.is_empty()),
            pid: state
                .pid
                .and_then(|pid| pid.try_into().ok())
                .filter(|pid| *pid != 0),
            // Podman knows it as soon as the container is created.
            address: found
                .network_settings
                .and_then(published)
                .filter(|_| running),
        }
    }
}

/// Whether a list shows a container as one whose main process exists.
pub(super) fn is_running(state: ContainerSummaryStateEnum) -> bool {
    matches!(
        state,
        ContainerSummaryStateEnum::RUNNING
            | ContainerSummaryStateEnum::PAUSED
            | ContainerSummaryStateEnum::RESTARTING
    )
}

/// Whether an answer could not be read because a container is between running and ended: Podman has a word of its own for
/// that, which the client does not know.
pub(super) fn is_ending(error: &ClientError) -> bool {
    matches!(error, ClientError::JsonDataError { message, .. } if message.contains("unknown variant `stopped`"))
}

/// The one port that is published; those that an image merely exposes have no binding.
fn published(settings: NetworkSettings) -> Option<SocketAddr> {
    let bindings = settings.ports?.into_values().flatten().flatten();
    bindings.filter_map(address).min_by_key(SocketAddr::is_ipv6)
}

fn address(binding: PortBinding) -> Option<SocketAddr> {
    let port = binding.host_port?.parse().ok().filter(|port| *port != 0)?;
    let ip = binding.host_ip.and_then(|ip| ip.parse::<IpAddr>().ok());
    // Some engines publish on every address whatever they are told, and say so with `0.0.0.0` or nothing.
    let ip = ip
        .filter(|ip| !ip.is_unspecified())
        .unwrap_or(Ipv4Addr::LOCALHOST.into());
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn address_of(ports: &serde_json::Value) -> Option<String> {
        let settings = json!({ "Ports": ports });
        published(serde_json::from_value(settings).unwrap()).map(|address| address.to_string())
    }

    #[test]
    fn the_published_port_is_found_among_the_exposed_ones() {
        let bound = json!([{ "HostIp": "127.0.0.1", "HostPort": "49153" }]);
        assert_eq!(
            address_of(&json!({ "80/tcp": null, "8080/tcp": bound })).as_deref(),
            Some("127.0.0.1:49153")
        );
        assert_eq!(address_of(&json!({ "8080/tcp": [] })), None);
        assert_eq!(address_of(&json!({})), None);
    }

    #[test]
    fn every_address_means_the_loopback_one() {
        let bound =
            json!([{ "HostIp": "::", "HostPort": "1" }, { "HostIp": "0.0.0.0", "HostPort": "2" }]);
        assert_eq!(
            address_of(&json!({ "8080/tcp": bound })).as_deref(),
            Some("127.0.0.1:1")
        );
        assert_eq!(
            address_of(&json!({ "8080/tcp": [{ "HostIp": "", "HostPort": "3" }] })).as_deref(),
            Some("127.0.0.1:3")
        );
    }

    #[test]
    fn a_port_that_is_not_chosen_yet_is_none() {
        for port in ["", "0", "x"] {
            assert_eq!(
                address_of(&json!({ "8080/tcp": [{ "HostIp": "127.0.0.1", "HostPort": port }] })),
                None
            );
        }
    }
}
