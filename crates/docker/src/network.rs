//! Networks for containers: one that keeps its containers apart from each other, made once however many programs ask for it.
//!
//! Engines do not keep network names unique: two programs that create one at the same time get two, and then the name means
//! neither. The names of bridge interfaces are unique, so each network has one that follows from its name, and whoever
//! comes second waits for the first.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::models::{Network, NetworkCreateRequest};
use bollard::query_parameters::ListNetworksOptions;
use tokio::time::{Instant, sleep};

use crate::hex::sha256;
use crate::{Engine, EngineError};

/// The option of Docker's bridge driver that lets its containers talk to each other.
const TALK_OPTION: &str = "com.docker.network.bridge.enable_icc";

/// The option of Docker's bridge driver, which Podman has too, for the name of its interface.
const INTERFACE_OPTION: &str = "com.docker.network.bridge.name";

/// How long a network that somebody else creates may take to show up.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);

/// How often it is looked for.
const SETTLE_PAUSE: Duration = Duration::from_millis(50);

/// A network to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRequest {
    /// Its name.
    pub name: String,
    /// Its labels, if it is created.
    pub labels: BTreeMap<String, String>,
}

impl Engine {
    /// Makes sure that a bridge network of this name exists whose containers cannot reach each other. Returns its id.
    ///
    /// # Errors
    ///
    /// Fails if there is such a network already that lets its containers talk, or the engine cannot create one.
    pub async fn ensure_network(&self, request: &NetworkRequest) -> Result<String, EngineError> {
        if let Some(found) = self.network_called(&request.name).await? {
            return self.checked(&request.name, found);
        }
        let refusal = match self.create_network(request).await {
            Ok(id) => return Ok(id),
            Err(error) if is_taken(&error) => error,
            Err(error) => return Err(error),
        };
        // Somebody else is creating it: it shows up when it is ready.
        let end = Instant::now() + SETTLE_LIMIT;
        while Instant::now() < end {
            if let Some(found) = self.network_called(&request.name).await? {
                return self.checked(&request.name, found);
            }
            sleep(SETTLE_PAUSE).await;
        }
        Err(refusal)
    }

    /// Removes the networks of this name. One that is in use stays, and one that is gone is no error.
    pub async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        for network in self.networks_called(name).await? {
            self.remove_network_id(&network.id.unwrap_or_default())
                .await?;
        }
        Ok(())
    }

    /// All networks of exactly this name, in an order that every program sees the same.
    async fn networks_called(&self, name: &str) -> Result<Vec<Network>, EngineError> {
        let options = ListNetworksOptions {
            filters: Some(HashMap::from([("name".to_owned(), vec![name.to_owned()])])),
        };
        let listed = self.docker().list_networks(Some(options)).await;
        let mut networks = listed.map_err(|error| self.error("list the networks", error))?;
        // The engine's filter also finds names that merely contain this one.
        networks.retain(|network| network.name.as_deref() == Some(name));
        networks.sort_by(|a, b| (&a.created, &a.id).cmp(&(&b.created, &b.id)));
        Ok(networks)
    }

    async fn network_called(&self, name: &str) -> Result<Option<Network>, EngineError> {
        Ok(self.networks_called(name).await?.into_iter().next())
    }

    async fn create_network(&self, request: &NetworkRequest) -> Result<String, EngineError> {
        let mut options = HashMap::from([(INTERFACE_OPTION.to_owned(), interface(&request.name))]);
        // Podman does not know it, and refuses what it does not know.
        if !self.is_podman() {
            options.insert(TALK_OPTION.to_owned(), "false".to_owned());
        }
        let body = NetworkCreateRequest {
            name: request.name.clone(),
            driver: Some("bridge".to_owned()),
            options: Some(options),
            labels: Some(request.labels.clone().into_iter().collect()),
            ..NetworkCreateRequest::default()
        };
        let created = self.docker().create_network(body).await;
        let created = created
            .map_err(|error| self.error(format!("create the network `{}`", request.name), error))?;
        Ok(created.id)
    }

    async fn remove_network_id(&self, id: &str) -> Result<(), EngineError> {
        let removed = self.docker().remove_network(id).await;
        match removed.map_err(|error| self.error(format!("remove the network `{id}`"), error)) {
            // In use is 403 in Docker and 409 in Podman.
            Ok(())
            | Err(
                EngineError::NotFound { .. }
                | EngineError::Conflict { .. }
                | EngineError::Refused { status: 403, .. },
            ) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The id of a network, if it does what ours are for.
    fn checked(&self, name: &str, network: Network) -> Result<String, EngineError> {
        let options = network.options.as_ref();
        let keeps_apart = options
            .and_then(|it| it.get(TALK_OPTION))
            .is_some_and(|value| value == "false");
        if keeps_apart || self.is_podman() {
            return Ok(network.id.unwrap_or_default());
        }
        Err(EngineError::Conflict {
            action: format!("use the network `{name}`"),
            message: "it exists already and lets its containers talk to each other; remove it"
                .to_owned(),
        })
    }
}

/// The interface of a network: Linux allows 15 characters.
fn interface(network: &str) -> String {
    format!("ac-{}", &sha256(network)[..12])
}

/// Whether somebody else has the name or the interface.
fn is_taken(error: &EngineError) -> bool {
    match error {
        EngineError::Conflict { .. } => true,
        EngineError::Refused { message, .. } => message.contains("conflicts with network"),
        _ => false,
    }
}
