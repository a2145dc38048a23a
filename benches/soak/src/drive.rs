//! The connections: each carries out its share of the plan, one request after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Failure;
use crate::ask::carry_out;
use crate::client::Client;
use crate::plan::Ask;
use crate::tally::Tally;

/// No answer takes so long; one that does was lost.
const LONGEST: Duration = Duration::from_mins(1);

/// What to fire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) seed: u64,
    pub(crate) invocations: u64,
    pub(crate) connections: u64,
    /// The first nonce; those of another load are far away.
    pub(crate) first_nonce: u64,
}

/// Fires the whole load, or until too much went wrong.
pub(crate) async fn fire(load: Load, address: SocketAddr, tally: Arc<Tally>) {
    let Load {
        seed,
        invocations,
        connections,
        first_nonce,
    } = load;
    let mut seeds = Rng::with_seed(seed);
    let mut tasks = JoinSet::new();
    for number in 0..connections {
        let first = invocations * number / connections;
        let end = invocations * (number + 1) / connections;
        let (nonces, rng) = (first_nonce + first..first_nonce + end, seeds.fork());
        tasks.spawn(one_connection(nonces, rng, address, Arc::clone(&tally)));
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(panic) = ended {
            tally.fail(format!("the soak itself failed: {panic}"));
        }
    }
}

async fn one_connection(
    nonces: std::ops::Range<u64>,
    mut rng: Rng,
    address: SocketAddr,
    tally: Arc<Tally>,
) {
    let mut connection: Option<Client> = None;
    for nonce in nonces {
        let ask = Ask::draw(&mut rng, nonce);
        let asked = carry_out(&ask, address, &mut connection, &tally);
        let went = match timeout(LONGEST, asked).await {
            Ok(went) => went,
            Err(_) => Err(Failure::from(format!("took longer than {LONGEST:?}"))),
        };
        match went {
            Ok(went) => tally.count(&ask.work, &went),
            Err(error) => tally.fail(format!("{error}, asked {}", shown(&ask))),
        }
        if tally.is_enough() {
            return;
        }
    }
}

/// A request without what makes it long.
fn shown(ask: &Ask) -> String {
    format!("{ask:?}").chars().take(300).collect()
}
