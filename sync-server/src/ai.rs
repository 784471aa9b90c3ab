//! The AI peers in process: engines that join every document that people have open, as suggesters like any other.

pub mod engines;
mod peers;
mod room;

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use ai_peer::Thresholds;
use model::{Artifact, Checkup, EngineOptions, Generator, Locations, Runtime, Worker};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use model::Provider;

pub use engines::{EngineConfig, EngineError, EnginesFile, Seat, read_key};

use crate::clock;
use crate::relay::Relay;
use engines::Seats;
use peers::Peers;
use room::{Room, status};

/// Which model, the library that runs it, and which engines elsewhere. What is not given is where the set-up puts it.
#[derive(Debug, Clone, Default)]
pub struct AiConfig {
    /// Folder of the model, in the Hugging Face ONNX layout.
    pub model: Option<PathBuf>,
    /// The ONNX Runtime library.
    pub ort: Option<PathBuf>,
    /// Devices to ask for, in this order.
    pub devices: Option<Vec<Provider>>,
    /// Engines elsewhere, the one to ask first first.
    pub engines: Vec<EngineConfig>,
    /// When the model here is not sure enough of its words.
    pub thresholds: Thresholds,
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

/// Loads the model, reaches the other engines and runs their peers until `stop`. Without a model or its runtime the relay
/// goes on with the other engines, if there are any; the log and `GET /status` say why.
pub async fn run(relay: Relay, config: AiConfig, stop: impl Future<Output = ()>) {
    let seats = watch::channel(Seats::new()).0;
    let AiConfig {
        model,
        ort,
        devices,
        engines,
        thresholds,
    } = config;
    engines::reach(engines, &seats);
    let loading = tokio::task::spawn_blocking(move || load(model, ort, devices));
    let (told, problems) = (seats.clone(), relay.clone());
    let local = async move {
        match loading.await {
            Ok(Ok(generator)) => told.send_modify(|seats| {
                let mut seat = Seat::local(generator);
                if seats.iter().any(|other| other.name == seat.name) {
                    seat.name.push_str(" (here)"); // policies tell engines apart by their names
                }
                seats.insert(0, seat);
            }),
            Ok(Err(problem)) => {
                tracing::warn!("there is no model here: {problem}");
                problems.set_model_problem(Some(problem));
            }
            Err(error) => {
                tracing::error!(%error, "loading the model failed");
                problems.set_model_problem(Some("the model could not be loaded; the log says more".into()));
            }
        }
        std::future::pending::<()>().await;
    };
    let mut stop = pin!(stop);
    let attending = attend_all(relay, seats.subscribe(), thresholds, &mut stop);
    drop(seats);
    tokio::select! {
        () = attending => {}
        () = local => {}
    }
}

fn load(
    model: Option<PathBuf>,
    ort: Option<PathBuf>,
    devices: Option<Vec<Provider>>,
) -> Result<Arc<dyn Generator>, String> {
    let mut places = Locations::from_environment();
    places.runtime = ort.unwrap_or(places.runtime);
    places.model = model.unwrap_or(places.model);
    let runtime = Runtime::load(&places.runtime).map_err(|error| error.to_string())?;
    let artifact = Artifact::open(&places.model).map_err(|error| error.to_string())?;
    let usual = EngineOptions::default();
    let options = EngineOptions {
        clock: Some(|| clock::now().0 / 1000),
        adapters: Some(places.adapters()),
        devices: devices.unwrap_or(usual.devices.clone()),
        ..usual
    };
    let worker = Worker::spawn(&runtime, artifact, options).map_err(|error| error.to_string())?;
    let info = worker.info();
    tracing::info!(model = info.name, device = %info.device.provider, load_ms = info.load_ms, "the AI peer is ready");
    for refusal in &info.device.refused {
        tracing::info!(device = %refusal.provider, reason = refusal.reason, "not used");
    }
    Ok(Arc::new(worker))
}

/// Loads the model here as a server would, has it write some words, and tells in words what was asked for, what runs, how
/// fast and why not otherwise; then asks each engine elsewhere for some words, too. Returns this report, and whether one of the
/// devices that were named, if any were, runs the model. Blocks.
///
/// # Errors
/// Words about why there is no model; they are the report then.
pub fn doctor(config: AiConfig) -> Result<(String, bool), String> {
    let asked = config.devices.clone();
    let local =
        load(config.model, config.ort, config.devices).map(|generator| Checkup::examine(generator.as_ref()));
    let (mut report, well) = match &local {
        Ok(checkup) => match elsewhere(checkup.model.device.provider, asked.as_deref()) {
            Some(words) => (checkup.words() + &words, false),
            None => (checkup.words(), true),
        },
        Err(problem) => (format!("There is no model here: {problem}\n"), false),
    };
    for engine in &config.engines {
        let words = match engine.connect() {
            Ok(remote) => Checkup::examine(&remote).words(),
            Err(error) => format!("It is not there: {}\n", engines::problem(&error)),
        };
        report.push_str(&format!("\n{}, {}\n{words}", engine.name, engine.place.words()));
    }
    if local.is_ok() {
        Ok((report, well))
    } else {
        Err(report)
    }
}

/// What is said when none of the devices that were named runs the model.
fn elsewhere(runs: Provider, asked: Option<&[Provider]>) -> Option<String> {
    let asked = asked.filter(|asked| !asked.is_empty() && !asked.contains(&runs))?;
    let names: Vec<&str> = asked.iter().map(|provider| provider.name()).collect();
    Some(format!(
        "None of the devices asked for ({}) runs the model; the {runs} does.\n",
        names.join(", ")
    ))
}

/// Runs one peer for every document that people have open, all on one model, until `stop`; then all have left.
pub async fn attend(relay: Relay, generator: Arc<dyn Generator>, stop: impl Future<Output = ()>) {
    let (seats, seen) = watch::channel(vec![Seat::local(generator)]);
    attend_all(relay, seen, Thresholds::default(), stop).await;
    drop(seats);
}

/// Runs a peer for every engine in every document that people have open and whose policy lets it be there, until `stop`;
/// then all have left.
pub async fn attend_all(
    relay: Relay,
    mut seats: watch::Receiver<Vec<Seat>>,
    thresholds: Thresholds,
    stop: impl Future<Output = ()>,
) {
    relay.set_engine_room(Some(Arc::new(Room(seats.clone()))));
    let mut open = relay.open_documents();
    let mut policies = relay.shared.guard.changes();
    let mut peers = Peers::new(relay.clone(), thresholds);
    let mut stop = pin!(stop);
    let mut seats_change = true;
    loop {
        let known = seats.borrow_and_update().clone();
        relay.set_models(known.iter().map(status).collect());
        if known.iter().any(|seat| seat.place.is_none()) {
            relay.set_model_problem(None);
        }
        policies.mark_unchanged();
        let wanted = open.borrow_and_update().clone();
        peers.follow(&wanted, &known);
        tokio::select! {
            () = &mut stop => break,
            changed = open.changed() => if changed.is_err() { break },
            changed = policies.changed() => if changed.is_err() { break },
            changed = seats.changed(), if seats_change => seats_change = changed.is_ok(),
            () = peers.one_left(), if peers.any() => {}
        }
    }
    peers.leave().await;
    relay.set_engine_room(None);
}
