//! Errors as the page gets them: a code to switch on and words to show.

use serde::Serialize;

/// What a command answers when it cannot do what was asked.
#[derive(Debug, Clone, Serialize, thiserror::Error)]
#[error("{message}")]
pub(crate) struct IpcError {
    /// For the page to switch on.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) message: String,
}

impl IpcError {
    /// The link with that number is not open (any more).
    pub(crate) fn no_such_link(link: u32) -> Self {
        Self {
            code: "no_such_link",
            message: format!("the connection {link} to the local relay is closed"),
        }
    }

    /// The request is not of the form that the command takes.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self {
            code: "bad_request",
            message: message.into(),
        }
    }

    /// The system refuses what was asked of it.
    pub(crate) fn system(what: &str, error: &std::io::Error) -> Self {
        Self {
            code: "system",
            message: format!("{what}: {error}"),
        }
    }
}
