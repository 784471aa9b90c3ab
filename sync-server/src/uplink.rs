//! Links to other servers: a document here and the same document there, joined as one more peer of each other's room.
//!
//! Both ends are rooms, and each asks the other what it lacks when the link comes up. So an interruption of any length is
//! healed by connecting again; nothing is kept about what the other side has.

mod address;
mod asking;
mod pipe;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crdt::{DocId, Part, Role};
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
    /// The other server's document has another history now: this one is a document of its own from then on.
    Replaced,
}

/// All links of a relay.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uplinks(Arc<Mutex<BTreeMap<DocId, Uplink>>>);

#[derive(Debug)]
struct Uplink {
    target: Target,
    parts: Arc<Mutex<[LinkState; 2]>>,
    /// What the store keeps of it.
    row: LinkRow,
    tasks: Vec<AbortHandle>,
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

    /// What the store keeps of a link.
    fn row(&self, doc: &DocId) -> Option<LinkRow> {
        self.lock().get(doc).map(|link| link.row.clone())
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
        if self.uplinks.row(&doc).is_some_and(|row| row.replaced) {
            return Err(LinkError::Replaced);
        }
        let link = LinkRow {
            doc: doc.clone(),
            url: url.to_owned(),
            epoch: None,
            replaced: false,
        };
        self.put_link(link.clone()).await?;
        self.start_link(target, link);
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
        self.start_link(Target::parse(&link.url)?, link.clone());
        Ok(())
    }

    async fn put_link(&self, link: LinkRow) -> Result<(), StoreError> {
        let put = Write::PutLink {
            link,
            at: clock::now(),
        };
        self.shared.store.write(put).await
    }

    /// Takes note of the epoch that the other server names. `false`: it is not the one from before.
    async fn is_same_epoch(&self, doc: &DocId, epoch: &str) -> bool {
        let row = {
            let mut links = self.uplinks.lock();
            let Some(link) = links.get_mut(doc) else {
                return true;
            };
            match &link.row.epoch {
                Some(known) => return known == epoch,
                None => link.row.epoch = Some(epoch.to_owned()),
            }
            link.row.clone()
        };
        if let Err(error) = self.put_link(row).await {
            tracing::warn!(%doc, %error, "the epoch of a linked document cannot be kept");
        }
        true
    }

    /// The document on the other server was replaced: what is here is kept as a document of its own, and says so in its title.
    async fn keep_as_branch(&self, doc: &DocId) {
        let row = {
            let mut links = self.uplinks.lock();
            let Some(link) = links.get_mut(doc).filter(|link| !link.row.replaced) else {
                return;
            };
            link.row.replaced = true;
            *link.parts.lock().unwrap_or_else(PoisonError::into_inner) = [LinkState::Replaced; 2];
            link.row.clone()
        };
        if let Err(error) = self.put_link(row).await {
            tracing::warn!(%doc, %error, "that a link has ended cannot be kept");
        }
        let title = match self.shared.store.document(doc.clone()).await {
            Ok(Some(row)) => row.title,
            Ok(None) | Err(_) => String::new(),
        };
        let title = format!("{title} (kept {})", clock::date(clock::now()))
            .trim()
            .to_owned();
        let named = self.rename(doc, (clock::relay(), Role::Owner), title).await;
        if let Err(error) = named {
            tracing::warn!(%doc, %error, "a document that was replaced elsewhere cannot be renamed");
        }
    }

    fn start_link(&self, target: Target, row: LinkRow) {
        let begin = if row.replaced {
            LinkState::Replaced
        } else {
            LinkState::Offline
        };
        let parts = Arc::new(Mutex::new([begin; 2]));
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
        // The lock is held until the link is in the list: its tasks look for it there.
        let mut links = self.uplinks.lock();
        let tasks = if row.replaced {
            Vec::new()
        } else {
            vec![start(Part::Body, 0), start(Part::Margin, 1)]
        };
        let doc = target.doc().clone();
        let link = Uplink {
            target,
            parts: Arc::clone(&parts),
            row,
            tasks,
        };
        links.insert(doc, link);
    }
}
