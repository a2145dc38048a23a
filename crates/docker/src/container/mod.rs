//! Containers: what one is to be, creating it, and finding those that exist.

mod attach;
mod handle;
mod logs;
mod state;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, PortBinding};
use bollard::query_parameters::{CreateContainerOptions, ListContainersOptions};

pub use handle::Container;
pub use logs::StdStream;
pub use state::ContainerState;

use crate::image::label_filters;
use crate::{Engine, EngineError};

/// What a container is to be.
#[derive(Clone, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of the engine, each named where it is set"
)]
pub struct ContainerRequest {
    /// Its name, unique on the engine.
    pub name: String,
    /// The image, by id or name. It must be there: nothing is pulled.
    pub image: String,
    /// Its environment, on top of the image's.
    pub env: BTreeMap<String, String>,
    /// Its command, if not the image's.
    pub command: Option<Vec<String>>,
    /// Its labels, which cannot be changed afterwards.
    pub labels: BTreeMap<String, String>,
    /// The port inside that is published on a free port of this machine's loopback interface.
    pub port: u16,
    /// The network, by id or name; the engine's default one if there is none.
    pub network: Option<String>,
    /// How many processors it may use.
    pub cpus: Option<f64>,
    /// How many bytes of memory it may use, swap included.
    pub memory: Option<u64>,
    /// How many processes and threads it may have.
    pub pids: Option<u32>,
    /// Whether its root file system is read-only.
    pub read_only: bool,
    /// Folders that are writable and kept in memory: path and mount options.
    pub tmpfs: BTreeMap<String, String>,
    /// Whether the engine puts an init process in front of the command.
    pub init: bool,
    /// Whether its processes have none of root's capabilities.
    pub drop_capabilities: bool,
    /// Whether its processes can never gain privileges.
    pub no_new_privileges: bool,
}

/// A container that exists, as a list shows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ContainerSummary {
    /// The container.
    pub container: Container,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its names, without the slash that the engine puts before them.
    pub names: Vec<String>,
    /// Whether its main process runs.
    pub running: bool,
}

impl Engine {
    /// Creates a container and does not start it.
    ///
    /// # Errors
    ///
    /// Fails if the image is not there, the name is taken, or the engine cannot give what is asked for.
    pub async fn create(&self, request: &ContainerRequest) -> Result<Container, EngineError> {
        let options = CreateContainerOptions {
            name: Some(request.name.clone()),
            ..CreateContainerOptions::default()
        };
        let created = self
            .docker()
            .create_container(Some(options), request.body())
            .await;
        let created = created.map_err(|error| {
            self.error(format!("create the container `{}`", request.name), error)
        })?;
        Ok(Container::new(self.clone(), created.id))
    }

    /// The containers that carry all of these labels, whether they run or not.
    pub async fn containers_with(
        &self,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        let options = ListContainersOptions {
            all: true,
            filters: Some(label_filters(labels)),
            ..ListContainersOptions::default()
        };
        let list = || self.docker().list_containers(Some(options.clone()));
        let listed = handle::settled(list).await;
        let listed = listed.map_err(|error| self.error("list the containers", error))?;
        Ok(listed
            .into_iter()
            .map(|summary| self.summary(summary))
            .collect())
    }

    /// A container by its id or name. It need not exist.
    pub fn container(&self, id: impl Into<String>) -> Container {
        Container::new(self.clone(), id.into())
    }

    fn summary(&self, summary: bollard::models::ContainerSummary) -> ContainerSummary {
        let names = summary.names.unwrap_or_default();
        ContainerSummary {
            container: self.container(summary.id.unwrap_or_default()),
            labels: summary.labels.unwrap_or_default().into_iter().collect(),
            names: names
                .iter()
                .map(|name| name.trim_start_matches('/').to_owned())
                .collect(),
            running: summary.state.is_some_and(state::is_running),
        }
    }
}

impl ContainerRequest {
    fn body(&self) -> ContainerCreateBody {
        let port = format!("{}/tcp", self.port);
        ContainerCreateBody {
            image: Some(self.image.clone()),
            env: Some(
                self.env
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect(),
            ),
            cmd: self.command.clone(),
            labels: Some(self.labels.clone().into_iter().collect()),
            exposed_ports: Some(vec![port.clone()]),
            host_config: Some(self.host_config(port)),
            ..ContainerCreateBody::default()
        }
    }

    fn host_config(&self, port: String) -> HostConfig {
        let binding = PortBinding {
            host_ip: Some("127.0.0.1".to_owned()),
            host_port: Some(String::new()),
        };
        let memory = self
            .memory
            .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        HostConfig {
            port_bindings: Some(HashMap::from([(port, Some(vec![binding]))])),
            network_mode: self.network.clone(),
            nano_cpus: self.cpus.map(nano_cpus),
            memory,
            // Equal to the memory: no swap on top of it, which would only make a full sandbox slow instead of ended.
            memory_swap: memory,
            pids_limit: self.pids.map(i64::from),
            readonly_rootfs: Some(self.read_only),
            tmpfs: Some(self.tmpfs.clone().into_iter().collect()),
            init: self.init.then_some(true),
            cap_drop: self.drop_capabilities.then(|| vec!["ALL".to_owned()]),
            security_opt: self
                .no_new_privileges
                .then(|| vec!["no-new-privileges".to_owned()]),
            log_config: Some(log_config()),
            ..HostConfig::default()
        }
    }
}

/// Logs that can be read back whatever the engine's default is, and that cannot fill its disk.
fn log_config() -> HostConfigLogConfig {
    let options = [("max-size", "32m"), ("max-file", "2")];
    HostConfigLogConfig {
        typ: Some("json-file".to_owned()),
        config: Some(
            options
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        ),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a number of processors; the cast saturates"
)]
fn nano_cpus(cpus: f64) -> i64 {
    (cpus * 1e9).round() as i64
}

/// The values of the environment may be secrets, so only its names are shown.
impl fmt::Debug for ContainerRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            image,
            env,
            command,
            labels,
            port,
            network,
            cpus,
            memory,
            pids,
            read_only,
            tmpfs,
            init,
            drop_capabilities,
            no_new_privileges,
        } = self;
        f.debug_struct("ContainerRequest")
            .field("name", name)
            .field("image", image)
            .field("env", &env.keys().collect::<Vec<_>>())
            .field("command", command)
            .field("labels", labels)
            .field("port", port)
            .field("network", network)
            .field("cpus", cpus)
            .field("memory", memory)
            .field("pids", pids)
            .field("read_only", read_only)
            .field("tmpfs", tmpfs)
            .field("init", init)
            .field("drop_capabilities", drop_capabilities)
            .field("no_new_privileges", no_new_privileges)
            .finish()
    }
}
