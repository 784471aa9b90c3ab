//! What the tests share: a relay in memory, people, and a model that follows a script.

#![allow(dead_code, reason = "not every suite uses all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test that fails says where"
)]

pub mod adapter;
pub mod human;
pub mod relay;
pub mod script;
pub mod server;

use std::sync::Arc;
use std::time::Duration;

use ai_peer::{AiPeer, Clock, Config, Ended};
use crdt::{Identity, PeerKind, Timestamp};
use model::Generator;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use human::Human;
pub use relay::Relay;

/// A clock that goes with tokio's, so that a paused runtime turns it.
pub fn clock() -> Clock {
    let start = Instant::now();
    Clock::new(move || Timestamp(1_700_000_000_000 + u64::try_from(start.elapsed().as_millis()).unwrap()))
}

pub fn ai_identity(id: &str) -> Identity {
    Identity {
        id: id.to_owned(),
        name: format!("AI {id}"),
        kind: PeerKind::Ai,
        model: None,
    }
}

/// A peer that runs as a task of its own.
pub struct Running {
    task: JoinHandle<(AiPeer, Ended)>,
    stop: oneshot::Sender<()>,
}

impl Running {
    /// Asks it to leave and waits until it has.
    pub async fn leave(self) -> (AiPeer, Ended) {
        let _ = self.stop.send(());
        self.task.await.expect("the peer does not panic")
    }

    /// Waits until it ends by itself.
    pub async fn ended(self) -> (AiPeer, Ended) {
        tokio::time::timeout(Duration::from_secs(120), self.task)
            .await
            .expect("the peer ends")
            .expect("the peer does not panic")
    }

    /// Kills it as a crash would: it writes nothing more. Its links stay as they are until the relay drops them.
    pub fn crash(self) {
        self.task.abort();
        drop(self.stop);
    }

    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }
}

/// A new peer.
pub fn peer(id: &str, clock: &Clock, generator: &Arc<impl Generator + 'static>) -> AiPeer {
    let generator: Arc<dyn Generator> = generator.clone();
    AiPeer::new(ai_identity(id), generator, Config::new(clock.clone()))
}

/// Connects a peer and lets it run.
pub fn run(relay: &Relay, mut peer: AiPeer, id: &str, latency: Duration) -> Running {
    let (body, margin) = relay.connect(&ai_identity(id), crdt::Role::Suggester, latency);
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let shutdown = async {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let ended = peer.run(body, margin, shutdown).await;
        (peer, ended)
    });
    Running { task, stop }
}
