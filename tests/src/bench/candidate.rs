//! The servers that are measured beside each other: ours and its peers, each as its own documentation starts it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::load::client::Address;
use super::server::{Server, free_port};

/// A server that can be measured.
#[derive(Debug, Clone)]
pub struct Candidate {
    kind: Kind,
    /// Our program, or the folder of the peers' packages.
    place: PathBuf,
}

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Kind {
    /// Our relay.
    Ours,
    /// `@y/websocket-server` with `y-leveldb`.
    YWebsocket,
    /// `@hocuspocus/server` with its SQLite extension.
    Hocuspocus,
    /// y-sweet with its file store.
    YSweet,
}

impl Kind {
    /// As it stands over a column.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::YWebsocket => "y-websocket",
            Self::Hocuspocus => "hocuspocus",
            Self::YSweet => "y-sweet",
        }
    }

    /// What it does before it lets others know that an edit is safe.
    #[must_use]
    pub const fn durability(self) -> &'static str {
        match self {
            Self::Ours => {
                "SQLite in WAL mode, synchronous=FULL: SyncStatus(true) after the fsync of the commit that holds the edit"
            }
            Self::YWebsocket => "y-leveldb, LevelDB's default: written without fsync; no acknowledgement",
            Self::Hocuspocus => {
                "SQLite with its defaults, 2 s after the last edit and 10 s after the first at the latest; SyncStatus(true) \
                 before"
            }
            Self::YSweet => "files, saved every 10 s; no acknowledgement",
        }
    }
}

impl Candidate {
    /// Those of `wanted` (all when empty) that are installed: `ours` is our program, `peers` the folder with the peers'
    /// packages. The second list says why the others are missing.
    #[must_use]
    pub fn installed(wanted: &[Kind], ours: &Path, peers: Option<&Path>) -> (Vec<Self>, Vec<String>) {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for kind in [Kind::Ours, Kind::YWebsocket, Kind::Hocuspocus, Kind::YSweet] {
            if !wanted.is_empty() && !wanted.contains(&kind) {
                continue;
            }
            let place = match (kind, peers) {
                (Kind::Ours, _) => Some(ours.to_path_buf()),
                (_, Some(peers)) => Some(peers.to_path_buf()),
                (_, None) => None,
            };
            let needed = place.as_ref().map(|place| match kind {
                Kind::Ours => place.clone(),
                Kind::YWebsocket => place.join("node_modules/@y/websocket-server/src/server.js"),
                Kind::Hocuspocus => place.join("node_modules/@hocuspocus/server/package.json"),
                Kind::YSweet => place.join("bin/y-sweet"),
            });
            match (place, needed) {
                (Some(place), Some(needed)) if needed.exists() => found.push(Self { kind, place }),
                _ => missing.push(format!("{} is not installed", kind.name())),
            }
        }
        (found, missing)
    }

    /// Which one it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Starts it on `data` and waits until it answers; on the first core alone where `pinned`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, data: &Path, pinned: bool) -> anyhow::Result<Running> {
        let port = free_port()?;
        let mut command = if pinned {
            let mut taskset = Command::new("taskset");
            taskset.args(["-c", "0"]).arg(self.program());
            taskset
        } else {
            Command::new(self.program())
        };
        match self.kind {
            Kind::Ours => {
                command
                    .args(["--no-ai", "--listen", &format!("127.0.0.1:{port}"), "--data"])
                    .arg(data);
            }
            Kind::YWebsocket => {
                command
                    .arg(self.place.join("node_modules/@y/websocket-server/src/server.js"))
                    .env("HOST", "127.0.0.1")
                    .env("PORT", port.to_string())
                    .env("YPERSISTENCE", data);
            }
            Kind::Hocuspocus => {
                command
                    .arg(self.place.join("hocuspocus.mjs"))
                    .arg(port.to_string())
                    .arg(data.join("hocuspocus.sqlite"));
            }
            Kind::YSweet => {
                command
                    .args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()])
                    .arg(data);
            }
        }
        Ok(Running {
            kind: self.kind,
            server: Server::spawn(command, port)?,
        })
    }

    fn program(&self) -> PathBuf {
        match self.kind {
            Kind::Ours => self.place.clone(),
            Kind::YWebsocket | Kind::Hocuspocus => "node".into(),
            Kind::YSweet => self.place.join("bin/y-sweet"),
        }
    }
}

/// A candidate that runs.
#[derive(Debug)]
pub struct Running {
    kind: Kind,
    server: Server,
}

impl Running {
    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Where a document is, in the dialect that most of the server's clients speak.
    #[must_use]
    pub fn address(&self, doc: &str) -> Address {
        let port = self.server.port;
        let (path, hocuspocus) = match self.kind {
            Kind::Ours => (format!("/y/{doc}"), None),
            Kind::YWebsocket => (format!("/{doc}"), None),
            Kind::Hocuspocus => ("/".to_owned(), Some(doc.to_owned())),
            Kind::YSweet => (format!("/d/{doc}/ws/{doc}"), None),
        };
        Address {
            port,
            path,
            hocuspocus,
        }
    }

    /// Where a document is for a client that is told when its edits are safe; `None` where nobody is told.
    #[must_use]
    pub fn acknowledging(&self, doc: &str) -> Option<Address> {
        match self.kind {
            Kind::Ours => Some(Address {
                port: self.server.port,
                path: "/hocuspocus".to_owned(),
                hocuspocus: Some(doc.to_owned()),
            }),
            Kind::Hocuspocus => Some(self.address(doc)),
            Kind::YWebsocket | Kind::YSweet => None,
        }
    }

    /// Ends it as `kill -9` does.
    pub fn kill(self) {
        self.server.kill();
    }
}
