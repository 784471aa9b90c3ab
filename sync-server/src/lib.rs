//! The relay: rooms, their store, and every way in. The server binary and the desktop application run the same one.
//!
//! **Invariants.** One task owns each room. Nothing is acknowledged before it is on disk. A queue that is full cuts its
//! reader off and never drops a message. A link's role is decided before it reaches a room.
//!
//! In reading order: [`relay`] (what there is), [`access`] (who may), [`store`] (durable bytes), `rooms` and [`room`] (one
//! task each), `outbox` and `framing` (what goes out), `connection` (one link), `socket`, `router`, `api`, `ui` (over
//! HTTP), [`engine_room`] (what is asked of the engines), `local` (the program's own commands), [`uplink`] (to other servers), [`serve`](mod@serve), [`tls`], [`fetch`].

pub mod access;
#[cfg(feature = "ai")]
pub mod ai;
mod api;
pub mod clock;
mod connection;
pub mod engine_room;
pub mod error;
pub mod fetch;
mod framing;
mod import;
pub mod limits;
mod local;
mod outbox;
pub mod relay;
pub mod room;
mod rooms;
mod router;
pub mod serve;
mod socket;
pub mod store;
pub mod tls;
mod ui;
pub mod uplink;
pub mod welcome;

pub use access::Access;
pub use crdt::DocId;
pub use engine_room::{EngineRoom, EngineStatus};
pub use limits::Limits;
pub use local::{LocalAddress, LocalDoor, open_local_door};
pub use outbox::{CLOSE_GOING_AWAY, CLOSE_TOO_SLOW, Closing};
pub use relay::{ApiAnswer, DeviceStatus, FramePipe, ModelStatus, Relay, RelayConfig, RelayError, UiSource};
pub use serve::{ServeError, serve, serve_with};
pub use store::StorePath;
