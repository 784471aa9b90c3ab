//! The AI peer in process: a model that joins every document that people have open, as a suggester like any other.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ai_peer::{AiPeer, Clock, Config, Ended, Link};
use crdt::{DocId, Identity, Part, PeerKind, Role};
use model::{Artifact, EngineOptions, Generator, Locations, ModelInfo, Runtime, Worker};
use tokio::sync::{oneshot, watch};
use tokio::task::{Id, JoinHandle, JoinSet};

use crate::clock;
use crate::relay::{DeviceStatus, ModelStatus, Relay};

/// How long the peer waits before it joins a document again whose room sent it away.
const REJOIN_AFTER: Duration = Duration::from_secs(1);

/// Which model, and the library that runs it. What is not given is where the set-up puts it.
#[derive(Debug, Clone, Default)]
pub struct AiConfig {
    /// Folder of the model, in the Hugging Face ONNX layout.
    pub model: Option<PathBuf>,
    /// The ONNX Runtime library.
    pub ort: Option<PathBuf>,
}

/// The AI peers of a relay, running. Stop them before the relay is shut down, so that what they hold is given back.
#[derive(Debug)]
pub struct AiPeers {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl AiPeers {
    /// Loads the model and runs its peers until [`Self::stop`]. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(relay: Relay, config: AiConfig) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(run(relay, config, async move {
            drop(stopped.wait_for(|stop| *stop).await); // an error says the same
        }));
        Self { stop, task }
    }

    /// Asks every peer to leave and waits until all of them have: their requests are given back, their links closed.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the AI peers ended badly");
        }
    }
}

/// Loads the model and runs its peers until `stop`. Without a model or its runtime the relay goes on without an AI
/// peer; the log and `GET /status` say why.
pub async fn run(relay: Relay, config: AiConfig, stop: impl Future<Output = ()>) {
    let mut stop = pin!(stop);
    let loading = tokio::task::spawn_blocking(move || load(config));
    let loaded = tokio::select! {
        loaded = loading => loaded,
        () = &mut stop => return,
    };
    match loaded {
        Ok(Ok(generator)) => attend(relay, generator, stop).await,
        Ok(Err(problem)) => {
            tracing::warn!("there is no AI peer: {problem}");
            relay.set_model_problem(Some(problem));
        }
        Err(error) => {
            tracing::error!(%error, "loading the model failed");
            relay.set_model_problem(Some("the model could not be loaded; the log says more".into()));
        }
    }
}

fn load(config: AiConfig) -> Result<Arc<dyn Generator>, String> {
    let mut places = Locations::from_environment();
    places.runtime = config.ort.unwrap_or(places.runtime);
    places.model = config.model.unwrap_or(places.model);
    let runtime = Runtime::load(&places.runtime).map_err(|error| error.to_string())?;
    let artifact = Artifact::open(&places.model).map_err(|error| error.to_string())?;
    let options = EngineOptions {
        clock: Some(|| clock::now().0 / 1000),
        adapters: Some(places.adapters()),
        ..EngineOptions::default()
    };
    let worker = Worker::spawn(&runtime, artifact, options).map_err(|error| error.to_string())?;
    let info = worker.info();
    tracing::info!(model = info.name, device = %info.device.provider, load_ms = info.load_ms, "the AI peer is ready");
    for refusal in &info.device.refused {
        tracing::info!(device = %refusal.provider, reason = refusal.reason, "not used");
    }
    Ok(Arc::new(worker))
}

/// Runs one peer for every document that people have open, all on one model, until `stop`; then all have left.
pub async fn attend(relay: Relay, generator: Arc<dyn Generator>, stop: impl Future<Output = ()>) {
    relay.set_models(vec![status(generator.info())]);
    relay.set_model_problem(None);
    let mut open = relay.open_documents();
    let mut peers = Peers::new(relay, generator);
    let mut stop = pin!(stop);
    loop {
        let wanted = open.borrow_and_update().clone();
        peers.follow(&wanted);
        tokio::select! {
            () = &mut stop => break,
            changed = open.changed() => if changed.is_err() { break },
            () = peers.one_left(), if peers.any() => {}
        }
    }
    peers.leave().await;
}

/// The peers by document.
#[derive(Debug)]
struct Peers {
    relay: Relay,
    generator: Arc<dyn Generator>,
    identity: Identity,
    tasks: JoinSet<End>,
    documents: HashMap<DocId, Peer>,
}

/// One document's peer.
#[derive(Debug)]
enum Peer {
    /// It is there until the sender is dropped.
    Running(
        Id,
        #[allow(dead_code, reason = "dropping it is what ends the peer")] oneshot::Sender<()>,
    ),
    /// It was told to leave and has not done so yet; a new one would meet it.
    Leaving(Id),
    /// It broke and may be replaced.
    Broken,
    /// The room does not want one while the document is open.
    Refused,
}

/// How a peer's stay in a document ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Asked,
    Refused,
}

impl Peers {
    fn new(relay: Relay, generator: Arc<dyn Generator>) -> Self {
        let identity = Identity {
            // New for each run: peers of linked relays meet in one document, and no two may share a name there.
            id: format!("ai-{}", clock::ulid().to_string().to_lowercase()),
            name: generator.info().name.clone(),
            kind: PeerKind::Ai,
            model: Some(generator.info().name.clone()),
        };
        Self {
            relay,
            generator,
            identity,
            tasks: JoinSet::new(),
            documents: HashMap::new(),
        }
    }

    /// Sends peers to the documents that are wanted and lack one, and calls back those from others.
    fn follow(&mut self, wanted: &BTreeSet<DocId>) {
        self.documents.retain(|doc, peer| {
            if wanted.contains(doc) {
                return true;
            }
            if let Peer::Running(id, _) = peer {
                *peer = Peer::Leaving(*id); // drops the sender, which ends it
            }
            matches!(peer, Peer::Leaving(_))
        });
        for doc in wanted {
            let pause = match self.documents.get(doc) {
                None => Duration::ZERO,
                Some(Peer::Broken) => REJOIN_AFTER,
                Some(Peer::Running(..) | Peer::Leaving(_) | Peer::Refused) => continue,
            };
            let (stop, stopped) = oneshot::channel();
            let peer = AiPeer::new(
                self.identity.clone(),
                Arc::clone(&self.generator),
                Config::new(Clock::new(clock::now)),
            );
            let task = accompany(
                self.relay.clone(),
                doc.clone(),
                self.identity.clone(),
                peer,
                stopped,
                pause,
            );
            let id = self.tasks.spawn(task).id();
            self.documents.insert(doc.clone(), Peer::Running(id, stop));
        }
    }

    fn any(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Waits until one peer has left, for whatever reason, and notes it.
    async fn one_left(&mut self) {
        let (left, end) = match self.tasks.join_next_with_id().await {
            Some(Ok((id, end))) => (id, Some(end)),
            Some(Err(error)) => {
                tracing::error!(%error, "an AI peer broke");
                (error.id(), None)
            }
            None => return,
        };
        let found = self.documents.iter().find_map(|(doc, peer)| match peer {
            Peer::Running(id, _) if *id == left => Some((doc.clone(), true)),
            Peer::Leaving(id) if *id == left => Some((doc.clone(), false)),
            _ => None,
        });
        match (found, end) {
            (Some((doc, true)), Some(End::Refused)) => drop(self.documents.insert(doc, Peer::Refused)),
            (Some((doc, true)), None) => drop(self.documents.insert(doc, Peer::Broken)),
            (Some((doc, _)), _) => drop(self.documents.remove(&doc)),
            (None, _) => {}
        }
    }

    /// Calls all of them back and waits until they have left.
    async fn leave(mut self) {
        self.documents.clear();
        while let Some(left) = self.tasks.join_next().await {
            if let Err(error) = left {
                tracing::error!(%error, "an AI peer broke");
            }
        }
    }
}

/// Keeps one peer in one document until `stop`.
async fn accompany(
    relay: Relay,
    doc: DocId,
    identity: Identity,
    mut peer: AiPeer,
    mut stop: oneshot::Receiver<()>,
    pause: Duration,
) -> End {
    tokio::select! {
        biased;
        _ = &mut stop => return End::Asked,
        () = tokio::time::sleep(pause) => {}
    }
    loop {
        let link = |part| {
            let pipe = relay.connect_y(Relay::name(doc.clone(), part), identity.clone(), Role::Suggester);
            Link {
                tx: pipe.to_relay,
                rx: pipe.from_relay,
            }
        };
        let ended = peer
            .run(link(Part::Body), link(Part::Margin), async {
                drop((&mut stop).await);
            })
            .await;
        match ended {
            Ended::Shutdown => return End::Asked,
            Ended::Refused(reason) => {
                tracing::warn!(%doc, reason, "the room refuses the AI peer");
                return End::Refused;
            }
            ended => tracing::debug!(%doc, ?ended, "the AI peer joins again"),
        }
        tokio::select! {
            _ = &mut stop => return End::Asked,
            () = tokio::time::sleep(REJOIN_AFTER) => {}
        }
    }
}

/// What `GET /status` says about a model.
fn status(info: &ModelInfo) -> ModelStatus {
    let device = &info.device;
    let shares: Vec<String> = device
        .shares
        .iter()
        .map(|share| format!("{} nodes on {}", share.nodes, share.provider))
        .collect();
    let runs = DeviceStatus {
        provider: device.provider.name().to_owned(),
        running: true,
        reason: format!("{}: {}", device.engine(), shares.join(", ")),
    };
    let refused = device.refused.iter().map(|refusal| DeviceStatus {
        provider: refusal.provider.name().to_owned(),
        running: false,
        reason: refusal.reason.clone(),
    });
    ModelStatus {
        id: info.id.clone(),
        name: info.name.clone(),
        device: device.provider.name().to_owned(),
        quantisation: info.quantisation.clone(),
        licence: info.licence.clone().unwrap_or_else(|| "not stated".into()),
        tokens_per_second: Some(info.decode_tokens_per_second),
        context_length: info.context_length,
        devices: refused.chain([runs]).collect(),
    }
}
