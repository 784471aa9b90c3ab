//! The tasks behind the window: the relay, its links to other servers, the AI peers.

use std::path::PathBuf;

use anyhow::Context as _;
use sync_server::{DocId, Relay, RelayConfig, ai};

use crate::config::Config;

/// The relay with the runtime that its tasks run on.
#[derive(Debug)]
pub(crate) struct Background {
    runtime: tokio::runtime::Runtime,
    relay: Relay,
    peers: Option<ai::AiPeers>,
}

/// Opens the store and starts everything. The model loads meanwhile; the window does not wait for it.
pub(crate) fn start(config: &Config) -> anyhow::Result<Background> {
    let data = data_folder(config)?;
    std::fs::create_dir_all(&data)
        .with_context(|| format!("the folder {} cannot be made", data.display()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let relay = runtime
        .block_on(Relay::open(RelayConfig::desktop(data.join("inkling.sqlite"))))
        .with_context(|| format!("the document store in {} cannot be opened", data.display()))?;
    let peers = (!config.no_ai).then(|| {
        let settings = config.ai(&data)?;
        let _entered = runtime.enter();
        anyhow::Ok(ai::AiPeers::start(relay.clone(), settings))
    });
    let peers = peers.transpose()?;
    Ok(Background {
        runtime,
        relay,
        peers,
    })
}

impl Background {
    pub(crate) fn relay(&self) -> Relay {
        self.relay.clone()
    }

    /// The document to begin with: the one that was changed last, or a welcome in an empty store.
    pub(crate) fn first_document(&self) -> anyhow::Result<DocId> {
        self.runtime
            .block_on(self.relay.first_document())
            .context("there is no document to begin with")
    }

    pub(crate) fn handle(&self) -> tokio::runtime::Handle {
        self.runtime.handle().clone()
    }

    /// Lets the AI peers say goodbye, brings everything that the relay holds to the disk and ends its tasks.
    pub(crate) fn shutdown(self) {
        self.runtime.block_on(async {
            if let Some(peers) = self.peers {
                peers.stop().await;
            }
            self.relay.shutdown().await;
        });
        self.runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    }
}

pub(crate) fn data_folder(config: &Config) -> anyhow::Result<PathBuf> {
    if let Some(folder) = &config.data {
        return Ok(folder.clone());
    }
    let folders = directories::ProjectDirs::from("app", "Inkling", "Inkling")
        .context("this system names no folder for application data; give one with --data")?;
    Ok(folders.data_dir().to_path_buf())
}
