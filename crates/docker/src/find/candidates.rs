//! The sockets where engines of this machine listen when nobody has said where.

use std::path::{Path, PathBuf};

use super::Surroundings;

/// Where the docker command looks, and where a service that is started by the system listens.
pub(super) const SYSTEM_SOCKET: &str = "/var/run/docker.sock";

/// Podman's socket as a service of the system.
const SYSTEM_PODMAN_SOCKET: &str = "/run/podman/podman.sock";

/// Below the home folder: Docker Desktop (of today, of Linux), Colima, Rancher Desktop.
const HOME_SOCKETS: &[&str] = &[
    ".docker/run/docker.sock",
    ".docker/desktop/docker.sock",
    ".colima/default/docker.sock",
    ".rd/docker.sock",
];

/// Below the home folder, on macOS alone: `OrbStack`, and the virtual machine that Podman uses.
const MACOS_SOCKETS: &[&str] = if cfg!(target_os = "macos") {
    &[
        ".orbstack/run/docker.sock",
        ".local/share/containers/podman/machine/podman.sock",
        ".local/share/containers/podman/machine/qemu/podman.sock",
    ]
} else {
    &[]
};

/// The candidates, the likeliest first: Docker's before Podman's.
pub(super) fn of(surroundings: &Surroundings) -> Vec<PathBuf> {
    let runtime_dir = surroundings
        .runtime_dir
        .clone()
        .unwrap_or_else(default_runtime_dir);
    let in_home = |names: &[&str]| match surroundings.home.as_deref() {
        Some(home) => names.iter().map(|name| home.join(name)).collect(),
        None => Vec::new(),
    };
    let mut candidates = vec![
        PathBuf::from(SYSTEM_SOCKET),
        runtime_dir.join("docker.sock"),
    ];
    candidates.extend(in_home(HOME_SOCKETS));
    candidates.push(runtime_dir.join("podman/podman.sock"));
    candidates.push(PathBuf::from(SYSTEM_PODMAN_SOCKET));
    candidates.extend(in_home(MACOS_SOCKETS));
    candidates
}

/// Where rootless engines listen for a user whose session has no runtime folder, such as one of `su`.
fn default_runtime_dir() -> PathBuf {
    Path::new("/run/user").join(rustix::process::getuid().as_raw().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(surroundings: &Surroundings) -> Vec<String> {
        let candidates = of(surroundings);
        candidates
            .iter()
            .map(|path| path.display().to_string())
            .collect()
    }

    #[test]
    fn docker_comes_before_podman_and_the_system_before_the_user() {
        let surroundings = Surroundings {
            home: Some(PathBuf::from("/home/me")),
            runtime_dir: Some(PathBuf::from("/run/user/1000")),
            ..Surroundings::default()
        };
        let expected = [
            "/var/run/docker.sock",
            "/run/user/1000/docker.sock",
            "/home/me/.docker/run/docker.sock",
            "/home/me/.docker/desktop/docker.sock",
            "/home/me/.colima/default/docker.sock",
            "/home/me/.rd/docker.sock",
            "/run/user/1000/podman/podman.sock",
            "/run/podman/podman.sock",
        ];
        assert_eq!(texts(&surroundings)[..expected.len()], expected);
    }

    #[test]
    fn without_a_session_the_runtime_folder_is_guessed() {
        let user = rustix::process::getuid().as_raw();
        let expected = [
            "/var/run/docker.sock".to_owned(),
            format!("/run/user/{user}/docker.sock"),
            format!("/run/user/{user}/podman/podman.sock"),
            "/run/podman/podman.sock".to_owned(),
        ];
        assert_eq!(texts(&Surroundings::default()), expected);
    }
}
