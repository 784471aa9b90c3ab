//! The log of a document that is written a lot, replaced by a snapshot now and then.

use tokio::time::Instant;

use super::RoomTask;
use crate::store::{PackedSnapshot, StoreError, Write};

impl RoomTask {
    /// Replaces a long log by a snapshot. Only when nothing is on its way to the disk: a snapshot holds all that the room has.
    pub(super) async fn compact_if_long(&mut self) {
        if let Some(running) = self.compaction.take_if(|running| running.is_finished()) {
            let covered = std::mem::take(&mut self.covering);
            if let Ok(Err(error)) = running.await {
                tracing::warn!(doc = %self.doc, %error, "the log could not be replaced by a snapshot; it is tried again");
                self.log = (self.log.0 + covered.0, self.log.1 + covered.1);
                self.compact_after = Instant::now() + self.limits.compact_again;
            }
        }
        let long = self.log.0 >= self.limits.compact_records || self.log.1 >= self.limits.compact_bytes;
        let waits = self.compaction.is_some() || Instant::now() < self.compact_after;
        if !long || waits || !self.is_saved() {
            return;
        }
        let Ok(room) = self.room() else { return };
        let snapshot = room.snapshot();
        self.covering = std::mem::take(&mut self.log);
        let (store, doc) = (self.shared.store.clone(), self.doc.clone());
        self.compaction = Some(tokio::spawn(async move {
            let packed = tokio::task::spawn_blocking(move || PackedSnapshot::pack(snapshot)).await;
            let snapshot = packed.map_err(|_| StoreError::Closed)?;
            store.write(Write::Compact { doc, snapshot }).await
        }));
    }
}
