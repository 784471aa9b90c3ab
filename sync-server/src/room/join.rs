//! Why a document cannot be joined, and how a link is closed then.

use crdt::DocId;
use crdt::room::OpenError;

use crate::outbox::{CLOSE_GOING_AWAY, Closing};
use crate::store::StoreError;

/// Close code: the document has been deleted or is not there. Private range (RFC 6455, 7.4.2), after HTTP's 404.
pub const CLOSE_NO_DOCUMENT: u16 = 4404;

/// Close code: the document has another history than the client's copy. Private range, after HTTP's 409.
pub const CLOSE_EPOCH: u16 = 4409;

/// Close code: the document cannot be opened now. Private range, after HTTP's 503.
pub const CLOSE_UNAVAILABLE: u16 = 4503;

/// Why a document cannot be joined.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// There is no such document, and the caller may not make one.
    #[error("there is no document {0} here: check the link, or ask whoever gave it to you")]
    Unknown(DocId),
    /// It has been deleted.
    #[error("document {0} has been deleted")]
    Deleted(DocId),
    /// It was replaced, and the caller's copy belongs to what it was before.
    #[error(
        "epoch: this document was replaced on the server; your copy is kept apart from it. Open it again"
    )]
    Epoch,
    /// The store cannot give it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the store gave is damaged.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The relay is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl JoinError {
    /// Whether it may be otherwise in a moment: the client is to come again, not to give up.
    pub(crate) const fn is_transient(&self) -> bool {
        match self {
            Self::Store(StoreError::Damaged { .. } | StoreError::Deleted(_)) => false,
            Self::Store(_) | Self::ShuttingDown => true,
            Self::Unknown(_) | Self::Deleted(_) | Self::Epoch | Self::Open(_) => false,
        }
    }

    /// How a link that serves this document alone is closed.
    pub(crate) fn closing(&self) -> Closing {
        let code = match self {
            Self::Unknown(_) | Self::Deleted(_) => CLOSE_NO_DOCUMENT,
            Self::Epoch => CLOSE_EPOCH,
            Self::Store(_) | Self::Open(_) => CLOSE_UNAVAILABLE,
            Self::ShuttingDown => CLOSE_GOING_AWAY,
        };
        Closing::new(code, self.to_string())
    }
}
