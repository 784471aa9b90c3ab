//! The AI peer in process: a model that joins every document that people have open, as a suggester like any other.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ai_peer::{AiPeer, Clock, Config, Ended, Link};
use crdt::{DocId, Identity, Part, PeerKind, Role};
use model::{Artifact, EngineOptions, Generator, Locations, ModelInfo, Runtime, Worker};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

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

/// Loads the model and runs its peer until the relay ends. Without a model or its runtime the relay goes on without an AI
/// peer; the log and `GET /status` say why.
pub async fn run(relay: Relay, config: AiConfig) {
    match tokio::task::spawn_blocking(move || load(config)).await {
        Ok(Ok(generator)) => attend(relay, generator).await,
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

/// Runs one peer for every document that people have open, all on one model, until the relay ends.
pub async fn attend(relay: Relay, generator: Arc<dyn Generator>) {
    relay.set_models(vec![status(generator.info())]);
    relay.set_model_problem(None);
    let identity = Identity {
        // New for each run: peers of linked relays meet in one document, and no two may share a name there.
        id: format!("ai-{}", clock::ulid().to_string().to_lowercase()),
        name: generator.info().name.clone(),
        kind: PeerKind::Ai,
        model: Some(generator.info().name.clone()),
    };
    let mut open = relay.open_documents();
    let mut peers: HashMap<DocId, (oneshot::Sender<()>, JoinHandle<()>)> = HashMap::new();
    loop {
        let wanted = open.borrow_and_update().clone();
        peers.retain(|doc, (_, task)| wanted.contains(doc) && !task.is_finished()); // dropping the sender ends the peer
        for doc in wanted {
            peers.entry(doc.clone()).or_insert_with(|| {
                let (stop, stopped) = oneshot::channel();
                let peer = AiPeer::new(
                    identity.clone(),
                    Arc::clone(&generator),
                    Config::new(Clock::new(clock::now)),
                );
                (
                    stop,
                    tokio::spawn(accompany(relay.clone(), doc, identity.clone(), peer, stopped)),
                )
            });
        }
        if open.changed().await.is_err() {
            return;
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
) {
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
            Ended::Shutdown => return,
            Ended::Refused(reason) => {
                tracing::warn!(%doc, reason, "the room refuses the AI peer");
                return;
            }
            ended => tracing::debug!(%doc, ?ended, "the AI peer joins again"),
        }
        tokio::select! {
            _ = &mut stop => return,
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
