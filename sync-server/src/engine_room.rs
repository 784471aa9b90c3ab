//! What the REST interface asks of the engines, without knowing them.

use std::sync::{Arc, PoisonError};

use serde::Serialize;
use serde_json::Value;

use crate::relay::Relay;

/// An engine as the settings of a document show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineStatus {
    /// What people call it; policies name it so.
    pub name: String,
    /// `here` (in this program), `machine`, `network` or `internet`.
    pub place: &'static str,
    /// The same in words.
    pub place_words: String,
    /// The model's name, once it has been reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The model's id (the name of its folder), once it has been reached.
    #[serde(skip)]
    pub id: Option<String>,
    /// Why it cannot be used, if it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Whoever runs the engines. All calls may block.
pub trait EngineRoom: Send + Sync + std::fmt::Debug {
    /// All engines.
    fn engines(&self) -> Vec<EngineStatus>;

    /// Has every engine write some words; a report for each, as JSON with the same in words.
    fn examine(&self) -> Value;

    /// What of a text would be masked, and how it would look then, as JSON.
    fn preview(&self, text: &str, names: &[String]) -> Value;
}

impl Relay {
    /// Says who runs the engines; `None`: nobody any more.
    pub fn set_engine_room(&self, room: Option<Arc<dyn EngineRoom>>) {
        *self.shared.engines.lock().unwrap_or_else(PoisonError::into_inner) = room;
    }

    /// Who runs the engines.
    pub(crate) fn engine_room(&self) -> Option<Arc<dyn EngineRoom>> {
        self.shared
            .engines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
