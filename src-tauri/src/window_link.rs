//! Links between the page and the embedded relay: Hocuspocus frames over Tauri's IPC.
//!
//! The page's side is a WebSocket-shaped adapter (`ui/editor/transport-tauri.ts`), so that the editor is the
//! same code in the window and in a browser.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sync_server::Relay;
use tauri::ipc::{Channel, InvokeResponseBody};
use tokio::sync::mpsc;

use crate::error::IpcError;

/// The links that are open, by number.
#[derive(Debug)]
pub(crate) struct WindowLinks {
    relay: Relay,
    runtime: tokio::runtime::Handle,
    next: AtomicU32,
    open: Arc<Mutex<HashMap<u32, mpsc::Sender<Bytes>>>>,
}

impl WindowLinks {
    /// Links to `relay`, whose tasks run on `runtime`.
    pub(crate) fn new(relay: Relay, runtime: tokio::runtime::Handle) -> Self {
        Self {
            relay,
            runtime,
            next: AtomicU32::new(1),
            open: Arc::default(),
        }
    }

    /// Opens a link; what the relay sends goes to `channel`.
    pub(crate) fn open(&self, channel: Channel<InvokeResponseBody>) -> u32 {
        let link = self.next.fetch_add(1, Ordering::Relaxed);
        let _inside = self.runtime.enter();
        let mut pipe = self.relay.connect_hocuspocus();
        self.links().insert(link, pipe.to_relay);
        let open = Arc::clone(&self.open);
        self.runtime.spawn(async move {
            while let Some(frame) = pipe.from_relay.recv().await {
                if channel.send(InvokeResponseBody::Raw(frame.into())).is_err() {
                    break; // the page is gone
                }
            }
            open.lock().unwrap_or_else(PoisonError::into_inner).remove(&link);
            // The page may be gone already; then nobody needs to be told.
            drop(channel.send(InvokeResponseBody::Json(
                r#"{"closed":"the relay closed the connection"}"#.into(),
            )));
        });
        link
    }

    /// Hands a frame to the relay; waits while the relay's queue is full.
    pub(crate) async fn send(&self, link: u32, frame: Bytes) -> Result<(), IpcError> {
        let to_relay = self
            .links()
            .get(&link)
            .cloned()
            .ok_or_else(|| IpcError::no_such_link(link))?;
        to_relay
            .send(frame)
            .await
            .map_err(|_| IpcError::no_such_link(link))
    }

    /// Closes a link, if it is open.
    pub(crate) fn close(&self, link: u32) {
        self.links().remove(&link);
    }

    /// Closes every link: the window goes away.
    pub(crate) fn close_all(&self) {
        self.links().clear();
    }

    fn links(&self) -> std::sync::MutexGuard<'_, HashMap<u32, mpsc::Sender<Bytes>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
