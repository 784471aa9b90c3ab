//! Links to other servers: a document here and the same document there, joined as one more peer of each other's room.
//!
//! Both ends are rooms, and each asks the other what it lacks when the link comes up. So an interruption of any length is
//! healed by connecting again; nothing is kept about what the other side has.

mod address;
mod pipe;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crdt::{DocId, Part};
use serde::Serialize;
use tokio::task::AbortHandle;

use crate::clock;
use crate::relay::Relay;
use crate::store::{LinkRow, StoreError, Write};

pub use address::LinkError;
use address::Target;

/// How a link to another server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LinkState {
    /// Both parts of the document are in sync from now on.
    Connected,
    /// The other server is not reached; it is tried again.
    Offline,
    /// The other server does not let this one in; it is tried again, seldom.
    Refused,
}

/// All links of a relay.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uplinks(Arc<Mutex<BTreeMap<DocId, Uplink>>>);

#[derive(Debug)]
struct Uplink {
    target: Target,
    parts: Arc<Mutex<[LinkState; 2]>>,
    tasks: [AbortHandle; 2],
}

impl Uplink {
    fn state(&self) -> LinkState {
        let [body, margin] = *self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        body.max(margin)
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort(); // its pipe goes with it, and so its place in the room
        }
    }
}

impl Uplinks {
    /// Ends all links of this process; the store keeps them.
    pub(crate) fn stop(&self) {
        self.lock().clear();
    }

    /// Address (without its key) and state of every link.
    pub(crate) fn states(&self) -> BTreeMap<DocId, (String, LinkState)> {
        let shown = |(doc, link): (&DocId, &Uplink)| (doc.clone(), (link.target.shown(), link.state()));
        self.lock().iter().map(shown).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<DocId, Uplink>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Relay {
    /// Keeps a document in sync with the same one on another server, from now on and after every start. `url` is the link
    /// that the other server shows for it: `http://host:4444/#/d/{id}?key=…`.
    ///
    /// # Errors
    /// [`LinkError`] when the address names no document of another server, or cannot be kept. A server that is not reached
    /// is no error: it is tried until it is.
    pub async fn link(&self, url: &str) -> Result<DocId, LinkError> {
        let target = Target::parse(url)?;
        if self.listening().is_some_and(|own| target.is(own)) {
            return Err(LinkError::Address {
                reason: "it leads to this server itself",
            });
        }
        let doc = target.doc().clone();
        let link = LinkRow {
            doc: doc.clone(),
            url: url.to_owned(),
        };
        self.shared
            .store
            .write(Write::PutLink {
                link,
                at: clock::now(),
            })
            .await?;
        self.start_link(target);
        Ok(doc)
    }

    /// Ends a document's link, if it has one.
    pub(crate) async fn unlink(&self, doc: &DocId) -> Result<(), StoreError> {
        if self.uplinks.lock().remove(doc).is_some() {
            self.shared
                .store
                .write(Write::RemoveLink { doc: doc.clone() })
                .await?;
        }
        Ok(())
    }

    /// Starts a link that the store has kept.
    pub(crate) fn resume_link(&self, link: &LinkRow) -> Result<(), LinkError> {
        self.start_link(Target::parse(&link.url)?);
        Ok(())
    }

    fn start_link(&self, target: Target) {
        let parts = Arc::new(Mutex::new([LinkState::Offline; 2]));
        let start = |part: Part, index: usize| {
            let parts = Arc::clone(&parts);
            let report = move |state| {
                if let Some(part) = parts
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_mut(index)
                {
                    *part = state;
                }
            };
            tokio::spawn(pipe::run(self.clone(), target.clone(), part, report)).abort_handle()
        };
        let tasks = [start(Part::Body, 0), start(Part::Margin, 1)];
        let doc = target.doc().clone();
        self.uplinks.lock().insert(doc, Uplink { target, parts, tasks });
    }
}
