//! Versions that are kept by themselves, while a document is being written.

use crdt::history::{Kind, Pace, Packed};
use crdt::room::Record;
use crdt::{Part, PeerKind};

use super::{RoomTask, State};
use crate::clock;
use crate::store::{Loaded, NewVersion};

impl RoomTask {
    /// Finds out how much is in no version yet.
    pub(super) fn resume_versions(&mut self, loaded: &Loaded) {
        let (held, last) = loaded.last_version.unzip();
        let held = held.unwrap_or_default();
        self.pace = Pace::after(last);
        let tail = &loaded.stored.tail;
        let covered = tail
            .first()
            .map_or(loaded.stored.next_seq, |first| first.seq)
            .saturating_sub(1);
        // What a snapshot stands for: how much it was is not known any more, nor by whom.
        if let Some(row) = loaded.row.as_ref().filter(|_| covered > held) {
            self.pace.wrote(row.updated_at, 0);
        }
        for record in tail.iter().filter(|record| record.seq > held) {
            self.wrote(record);
        }
    }

    /// Something was written.
    pub(super) fn wrote(&mut self, record: &Record) {
        if let Some(body) = &record.body {
            self.pace.wrote(record.at, body.len());
            if record.author.kind != PeerKind::Relay || self.last_author.is_none() {
                self.last_author = Some(record.author.clone());
            }
        }
    }

    /// Keeps a version when it is time for one. `ends`: everybody has left, and the room is about to go.
    pub(super) async fn keep_version_if_due(&mut self, ends: bool) {
        let now = clock::now();
        let rhythm = &self.limits.versions;
        let due = self.pace.is_due(now, rhythm) || ends && self.pace.is_due_at_the_end(now, rhythm);
        if !due || !self.is_saved() || Box::pin(self.wake()).await.is_err() {
            return;
        }
        let State::Open(room) = &self.state else { return };
        let snapshot_seq = room.saved_seq();
        let body = crdt::history::state(room.document(Part::Body));
        self.pace.kept(now);
        let by = self.last_author.clone().unwrap_or_else(clock::relay);
        let (store, doc) = (self.shared.store.clone(), self.doc.clone());
        tokio::spawn(async move {
            let packed = tokio::task::spawn_blocking(move || Packed::v2(body)).await;
            let Ok(body) = packed else { return };
            let version = NewVersion {
                at: now,
                by,
                kind: Kind::Automatic,
                name: None,
                why: None,
                seq: snapshot_seq,
                body,
            };
            // What it would have held is in the next one.
            if let Err(error) = store.keep_version(doc.clone(), version).await {
                tracing::warn!(%doc, %error, "no version could be kept");
            }
        });
    }
}
