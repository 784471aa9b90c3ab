//! The self-hosted server: one program, one file of documents, no other service.

#[cfg(not(target_env = "msvc"))]
mod allocator;
mod cli;
mod commands;
mod config;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use sync_server::{Relay, ai, clock, serve_with, tls};
use tokio::net::TcpListener;

use config::Config;

/// Exit code when the server cannot start the way it was asked to.
const CANNOT_START: u8 = 2;

fn main() -> ExitCode {
    if let Some(done) = cli::run() {
        return done;
    }
    let config = Config::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the system gives no threads: {error}")),
    };
    let end = match runtime.block_on(run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{error:#}")),
    };
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    end
}

/// Says it once, in plain words, whatever the log's level.
fn fail(message: &str) -> ExitCode {
    // Nobody reads it when even this fails.
    drop(writeln!(std::io::stderr(), "inkling-server: {message}"));
    ExitCode::from(CANNOT_START)
}

async fn run(mut config: Config) -> anyhow::Result<()> {
    if let Some(command) = config.command.take() {
        return command.run().await;
    }
    let settings = config.relay()?;
    let certificate = match (&config.tls_cert, &config.tls_key) {
        (Some(certificate), Some(key)) => Some(tls::server(certificate, key)?),
        _ => None,
    };
    if !config.listen.ip().is_loopback() && !settings.access.is_guarded() {
        anyhow::bail!(
            "{} can be reached from other machines, so the server needs a key. Start it with one, for example\n  \
             --key {}\nand give people the link that it prints then.",
            config.listen,
            new_key()
        );
    }
    let listener = TcpListener::bind(config.listen).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "{} is in use by another program, perhaps another inkling-server: stop that one, or choose another port \
             with --listen {}:{}",
            config.listen,
            config.listen.ip(),
            config.listen.port().wrapping_add(1)
        ),
        _ => anyhow::Error::new(error).context(format!("cannot listen on {}", config.listen)),
    })?;
    let address = listener.local_addr()?;
    let store = settings.store.clone();
    let relay = Relay::open(settings).await.with_context(|| match &store {
        sync_server::StorePath::Sqlite(path) => {
            format!("the documents in {} cannot be opened", path.display())
        }
        sync_server::StorePath::Memory => "the documents cannot be opened".to_owned(),
    })?;
    greet(&relay, &config, address).await;
    // For `inkling-server backup` and the like; a server without it serves all the same.
    let _door = match sync_server::open_local_door(&relay, &config.data_folder()?).await {
        Ok(door) => Some(door),
        Err(error) => {
            tracing::warn!(%error, "backup, restore and check cannot reach this server while it runs");
            None
        }
    };
    let peers = (!config.no_ai).then(|| {
        let settings = config.ai()?;
        anyhow::Ok(ai::AiPeers::start(relay.clone(), settings))
    });
    let peers = peers.transpose()?;
    let shutdown = async move {
        stop_signal().await;
        if let Some(peers) = peers {
            peers.stop().await; // while there is a relay to say goodbye to
        }
    };
    serve_with(relay, listener, certificate, shutdown).await?;
    tracing::info!("stopped; everything is saved");
    Ok(())
}

/// Prints the address, with a document to begin with.
async fn greet(relay: &Relay, config: &Config, address: SocketAddr) {
    let mut shown = address;
    if shown.ip().is_unspecified() {
        shown.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let key = config.key.as_deref().filter(|key| !key.is_empty());
    let query = key.map(|key| format!("?key={}", encode(key))).unwrap_or_default();
    let document = match relay.first_document().await {
        Ok(document) => format!("#/d/{}{query}", encode(document.as_str())),
        Err(error) => {
            tracing::error!(%error, "there is no document to begin with");
            format!("#/{query}")
        }
    };
    let scheme = if config.tls_cert.is_some() {
        "https"
    } else {
        "http"
    };
    let mut lines = format!("Inkling is at {scheme}://{shown}/{document}\n");
    if address.ip().is_unspecified() {
        lines.push_str("From other machines, use this machine's name or address instead of 127.0.0.1.\n");
    }
    if !relay.is_guarded() {
        lines.push_str("Only this machine can reach it, and everybody on it is the owner. For others: --listen 0.0.0.0:4444 --key KEY\n");
    }
    // A closed standard output is no reason not to serve.
    drop(std::io::stdout().write_all(lines.as_bytes()));
    drop(std::io::stdout().flush());
}

fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

/// A key that nobody guesses: 130 bits or so.
fn new_key() -> String {
    // The time in an id's first ten characters is no secret; of each id the other sixteen are chance.
    let chance = || clock::ulid().to_string().to_lowercase().split_off(10);
    chance() + &chance()
}

/// Waits for Ctrl+C, or for SIGTERM where there is one.
async fn stop_signal() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        let terminated = async {
            match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
                Ok(mut signal) => {
                    signal.recv().await;
                }
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! { () = interrupted => {}, () = terminated => {} }
    }
    #[cfg(not(unix))]
    interrupted.await;
}
