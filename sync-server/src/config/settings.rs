//! The limits that can be set; what each is for stands with [`Limits`].

use std::time::Duration;

use sync_server::Limits;

/// Limits of a server that differ from the usual ones.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitSettings {
    /// The largest frame from a client, in megabytes. It must hold a whole document. Usual: 32.
    #[arg(long, env = "INKLING_MAX_FRAME_MB", value_parser = clap::value_parser!(u32).range(1..=1024))]
    max_frame_mb: Option<u32>,
    /// The largest document, in megabytes, body and margin each. Usual: 32.
    #[arg(long, env = "INKLING_MAX_DOCUMENT_MB", value_parser = clap::value_parser!(u32).range(1..=1024))]
    max_document_mb: Option<u32>,
    /// The longest awareness state of one client, in kilobytes. Usual: 16.
    #[arg(long, env = "INKLING_MAX_AWARENESS_KB", value_parser = clap::value_parser!(u32).range(1..=1024))]
    max_awareness_kb: Option<u32>,
    /// Awareness messages a second from one connection; more wait. Usual: 200.
    #[arg(long, env = "INKLING_AWARENESS_PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    awareness_per_second: Option<u32>,
    /// Connections from one address. Usual: 500.
    #[arg(long, env = "INKLING_CONNECTIONS_PER_ADDRESS")]
    connections_per_address: Option<usize>,
    /// Connections to one document. Usual: 10000.
    #[arg(long, env = "INKLING_CONNECTIONS_PER_DOCUMENT")]
    connections_per_document: Option<usize>,
    /// Requests a second from one address; four times as many may come at once. Usual: 50.
    #[arg(long, env = "INKLING_REQUESTS_PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_second: Option<u32>,
    /// Seconds that a connection may take to say who it is. Usual: 10.
    #[arg(long, env = "INKLING_AUTHENTICATE_WITHIN", value_parser = clap::value_parser!(u64).range(1..=3600))]
    authenticate_within: Option<u64>,
}

impl LimitSettings {
    /// Puts what was set in the place of what is usual.
    pub(crate) fn apply(&self, limits: &mut Limits) {
        let bytes = |megabytes: u32| (megabytes as usize) << 20;
        if let Some(frame) = self.max_frame_mb.map(bytes) {
            limits.frame_bytes = frame;
            limits.room.max_message = frame;
        }
        if let Some(document) = self.max_document_mb.map(bytes) {
            limits.room.max_part = document;
        }
        if let Some(kilobytes) = self.max_awareness_kb {
            limits.room.max_awareness_state = (kilobytes as usize) << 10;
        }
        set(&mut limits.awareness_per_second, self.awareness_per_second);
        set(&mut limits.connections_per_address, self.connections_per_address);
        set(
            &mut limits.connections_per_document,
            self.connections_per_document,
        );
        set(&mut limits.requests_per_second, self.requests_per_second);
        let within = self.authenticate_within.map(Duration::from_secs);
        set(&mut limits.authenticate_within, within);
    }
}

fn set<T>(limit: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *limit = given;
    }
}
