//! `inkling-peer`: lets a model, local or behind an endpoint, take part in a document on any y-websocket server.

mod address;
mod clock;
mod socket;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ai_peer::privacy::{Departure, Gate, Known, Place, Warden};
use ai_peer::wardrobe::{Chosen, Wardrobe};
use ai_peer::{AiPeer, Clock, Config, Ended};
use anyhow::Context;
use clap::Parser;
use crdt::ids::IdSource;
use crdt::policy::Adapters;
use crdt::{DocId, Identity, Leave, PeerKind, Policy};
use model::manager::AdapterLibrary;
use model::{
    Artifact, EngineOptions, Generator, Locations, Provider, RemoteEngine, RemoteOptions, Runtime, Worker,
};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;

use address::Address;
use socket::OpenError;

/// The first pause before a new connection; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A connection that held for so long was a good one.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// Lets a model take part in a document on any y-websocket server: it answers what people ask for in the
/// document's margin with proposals, and never writes the text itself.
#[derive(Debug, Parser)]
#[command(name = "inkling-peer", version)]
struct Arguments {
    /// The server, with the path that documents are under: ws://localhost:4444/y
    #[arg(long)]
    url: String,
    /// The document.
    #[arg(long)]
    doc: String,
    /// The access key, where the server asks for one.
    #[arg(long, env = "INKLING_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Certificates (PEM) of authorities to trust besides those that browsers trust.
    #[arg(long, env = "INKLING_CA")]
    ca: Option<PathBuf>,
    /// What people see; the model's name unless given.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    local: LocalArguments,
    #[command(flatten)]
    engine: EngineArguments,
}

/// The model here, and what runs it.
#[derive(Debug, clap::Args)]
struct LocalArguments {
    /// The model's folder, in the layout of the Hugging Face hub's ONNX exports.
    #[arg(long)]
    model_dir: Option<PathBuf>,
    /// ONNX Runtime's library.
    #[arg(long)]
    ort_lib: Option<PathBuf>,
    /// The LoRA adapter that the model wears (see `inkling-models adapters list`).
    #[arg(long, conflicts_with = "engine_url")]
    adapter: Option<String>,
    /// Devices to ask for, in this order, as `cuda,cpu`; the CPU comes last by itself.
    #[arg(
        long,
        env = "INKLING_DEVICES",
        value_delimiter = ',',
        default_value = "cuda,directml,cpu"
    )]
    devices: Vec<Provider>,
    /// Threads for the model; 0 is one for each core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

/// A model that another program runs, instead of one here. What people ask for, and the text around it, goes there.
#[derive(Debug, clap::Args)]
struct EngineArguments {
    /// An OpenAI-compatible endpoint, such as http://localhost:11434/v1; documents' text is sent there. Its key, if it asks for one, is
    /// taken from the environment (INKLING_ENGINE_KEY) or a file, so that no list of processes shows it.
    #[arg(long, conflicts_with_all = ["model_dir", "ort_lib"])]
    engine_url: Option<url::Url>,
    /// A file with the endpoint's key. It comes before the one in INKLING_ENGINE_KEY.
    #[arg(long, env = "INKLING_ENGINE_KEY_FILE", requires = "engine_url")]
    engine_key_file: Option<PathBuf>,
    /// How text may go to an endpoint that is not on this machine: masked (personal data is replaced on the way, and put back
    /// in the answer), or as-is.
    #[arg(long, default_value = "masked", requires = "engine_url", value_parser = leave)]
    engine_leave: Leave,
    /// The model's name there; the first that the endpoint lists unless given.
    #[arg(long, requires = "engine_url")]
    engine_model: Option<String>,
}

fn leave(word: &str) -> Result<Leave, String> {
    match word {
        "masked" => Ok(Leave::Masked),
        "as-is" => Ok(Leave::AsIs),
        _ => Err(format!("`{word}` is neither masked nor as-is")),
    }
}

/// The word of whoever started this program: it stands on no relay's list, so it is logged.
#[derive(Debug)]
struct Stated(Policy);

impl Warden for Stated {
    fn policy(&self) -> Policy {
        self.0.clone()
    }

    /// Whoever started the program has: it is in the help, and what leaves is in the log.
    fn agreed(&self, _: &str, _: &str, _: Leave) -> bool {
        true
    }

    fn record(&self, departure: Departure) -> Result<(), String> {
        tracing::info!(?departure, "text leaves this machine");
        Ok(())
    }
}

impl EngineArguments {
    /// How to reach it, if there is one.
    fn options(self) -> anyhow::Result<Option<RemoteOptions>> {
        let Some(url) = self.engine_url else {
            return Ok(None);
        };
        let key = match self.engine_key_file {
            Some(file) => Some(read_key(&file)?),
            None => variable(ENGINE_KEY),
        };
        Ok(Some(RemoteOptions {
            key: key.filter(|key| !key.is_empty()),
            model: self.engine_model,
            ..RemoteOptions::new(url)
        }))
    }
}

/// Where the endpoint's key is in the environment.
const ENGINE_KEY: &str = "INKLING_ENGINE_KEY";

fn read_key(file: &Path) -> anyhow::Result<String> {
    let key = std::fs::read_to_string(file)
        .with_context(|| format!("the engine's key cannot be read from {}", file.display()))?;
    Ok(key.trim().to_owned())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a key has no flag: everybody who lists the processes would see it"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,onnxruntime=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match attend(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn attend(arguments: Arguments) -> anyhow::Result<()> {
    let doc = DocId::parse(&arguments.doc).context("--doc")?;
    let address = Address::parse(&arguments.url).context("--url")?;
    let trust = socket::trust(arguments.ca.as_deref())?;
    let leave = arguments.engine.engine_leave;
    let place = arguments.engine.engine_url.as_ref().map(Place::of);
    let remote = arguments.engine.options()?;
    let mut local = arguments.local;
    let wardrobe = local.adapter.take().map(wardrobe);
    let generator = tokio::task::spawn_blocking(move || -> anyhow::Result<Arc<dyn Generator>> {
        Ok(match remote {
            Some(remote) => Arc::new(RemoteEngine::connect(remote)?),
            None => Arc::new(load(local)?),
        })
    })
    .await??;
    let info = generator.info();
    tracing::info!(
        "{} ({}) {}",
        info.name,
        info.licence.as_deref().unwrap_or("licence not stated"),
        info.device.summary()
    );
    let id = (|| rand::random::<u128>()).ulid(clock::now());
    let identity = Identity {
        id: format!("ai-{}", id.to_string().to_lowercase()),
        name: arguments.name.unwrap_or_else(|| info.name.clone()),
        kind: PeerKind::Ai,
        model: Some(info.name.clone()),
    };
    let urls = address.urls(&doc, &identity, arguments.key.as_deref());
    let mut config = Config::new(Clock::new(clock::now));
    if let Some(wardrobe) = wardrobe {
        // a mistake is told now, and not by every answer
        if let Some(name) = wardrobe.adapters.usual.as_deref() {
            wardrobe.has(name, &info.id).map_err(anyhow::Error::msg)?;
        }
        config.wardrobe = Some(Arc::new(wardrobe));
    }
    let generator: Arc<dyn Generator> = match place {
        None => generator,
        Some(place) => {
            let (name, known) = (info.name.clone(), Known::default());
            let policy = Policy {
                leave,
                engines: vec![name.clone()],
            };
            config.place = Some(place.words().to_owned());
            config.known = Some(known.clone());
            Arc::new(Gate::new(
                Arc::clone(&generator),
                name,
                place,
                Arc::new(Stated(policy)),
                known,
            ))
        }
    };
    let mut peer = AiPeer::new(identity, generator, config);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        interrupted().await;
        stop.send_replace(true);
    });
    stay(&mut peer, &urls, &trust, stopped).await
}

/// Connects, and connects again, until it is interrupted or refused.
async fn stay(
    peer: &mut AiPeer,
    urls: &[String; 2],
    trust: &Arc<rustls::ClientConfig>,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut pause = FIRST_PAUSE;
    loop {
        let opened = tokio::select! {
            opened = connect(urls, trust) => opened,
            _ = stopped.wait_for(|stop| *stop) => return Ok(()),
        };
        let started = Instant::now();
        match opened {
            Ok((body, margin)) => {
                tracing::info!("connected");
                let mut stop = stopped.clone();
                let shutdown = async move { drop(stop.wait_for(|stop| *stop).await) };
                match peer.run(body, margin, shutdown).await {
                    Ended::Shutdown => return Ok(()),
                    Ended::Refused(words) => anyhow::bail!(
                        "the server does not let this peer suggest anything: {words}; give it a key with the role suggester (--key)"
                    ),
                    Ended::Broken(words) => tracing::warn!("the server sent something unusable: {words}"),
                    _ => tracing::warn!("the server closed the connection"),
                }
            }
            Err(error) if error.is_final() => return Err(error.into()),
            Err(error) => tracing::warn!("{error}"),
        }
        if started.elapsed() > GOOD_AFTER {
            pause = FIRST_PAUSE;
        }
        // Not all peers at once when a server comes back.
        let pause_now = pause.mul_f64(rand::random_range(0.7..1.3));
        tracing::info!("connecting again in {:.1} s", pause_now.as_secs_f64());
        tokio::select! {
            () = tokio::time::sleep(pause_now) => {}
            _ = stopped.wait_for(|stop| *stop) => return Ok(()),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn connect(
    [body, margin]: &[String; 2],
    trust: &Arc<rustls::ClientConfig>,
) -> Result<(ai_peer::Link, ai_peer::Link), OpenError> {
    Ok((
        socket::open(body, trust).await?,
        socket::open(margin, trust).await?,
    ))
}

/// One adapter for everything.
fn wardrobe(adapter: String) -> Chosen {
    Chosen {
        adapters: Adapters {
            usual: Some(adapter),
            ..Adapters::default()
        },
        library: AdapterLibrary::new(Locations::from_environment().adapters()),
    }
}

fn load(settings: LocalArguments) -> anyhow::Result<Worker> {
    let places = Locations::from_environment();
    let adapters = places.adapters();
    let runtime = Runtime::load(&settings.ort_lib.unwrap_or(places.runtime))?;
    let artifact = Artifact::open(&settings.model_dir.unwrap_or(places.model))?;
    let options = EngineOptions {
        threads: settings.threads,
        devices: settings.devices,
        clock: Some(|| clock::now().0 / 1000),
        adapters: Some(adapters),
        ..EngineOptions::default()
    };
    Ok(Worker::spawn(&runtime, artifact, options)?)
}

/// Waits for Ctrl+C, or for a service manager's wish to end.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
