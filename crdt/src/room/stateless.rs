//! Texts on the body's provider: decisions and previews (`docs/protocol.md`).

use super::{Effect, Room};
use crate::ids::{ConnId, IdSource, Part, Timestamp};

impl Room {
    pub(super) fn stateless(
        &mut self,
        _now: Timestamp,
        _ids: &mut dyn IdSource,
        conn: ConnId,
        part: Part,
        payload: &str,
        effects: &mut Vec<Effect>,
    ) {
        if self.joined(conn, part).is_some() && payload.len() > self.limits.max_stateless {
            let reason = format!(
                "the message is longer than {} KB",
                self.limits.max_stateless >> 10
            );
            self.close(conn, part, super::CLOSE_TOO_BIG, reason, effects);
        }
    }

    pub(super) fn repair(&mut self, _now: Timestamp, _effects: &mut Vec<Effect>) {
        self.body.take_decided();
    }
}
