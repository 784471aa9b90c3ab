//! Texts on the body's provider: decisions and previews (`docs/protocol.md`), and the repair of decisions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use yrs::Transact;

use super::part_doc::{Applied, ApplyError};
use super::write::{Change, RoomFor, send};
use super::{CLOSE_TOO_BIG, Effect, Outgoing, Room};
use crate::decision::{self, Action, DecideError};
use crate::ids::{ConnId, IdSource, Identity, Part, PeerKind, Role, Timestamp};
use crate::margin::{self, Person};

/// What a client asks.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Question {
    Decide {
        /// Comes back in the answer.
        #[serde(default)]
        seq: Value,
        proposal: String,
        action: Action,
        #[serde(default)]
        force: bool,
    },
    Preview {
        #[serde(default)]
        seq: Value,
        proposal: String,
    },
    /// For other versions of the relay.
    #[serde(other)]
    Unknown,
}

/// Why a decision was not carried out.
enum Failure {
    Decide(DecideError),
    Broken,
}

impl From<ApplyError> for Failure {
    fn from(_: ApplyError) -> Self {
        Self::Broken
    }
}

impl Room {
    pub(super) fn stateless(
        &mut self,
        now: Timestamp,
        ids: &mut dyn IdSource,
        conn: ConnId,
        part: Part,
        payload: &str,
        effects: &mut Vec<Effect>,
    ) {
        if self.joined(conn, part).is_none() {
            return;
        }
        if payload.len() > self.limits.max_stateless {
            let reason = format!(
                "the message is longer than {} KB",
                self.limits.max_stateless >> 10
            );
            return self.close(conn, part, CLOSE_TOO_BIG, reason, effects);
        }
        let answer = match serde_json::from_str(payload) {
            Ok(Question::Decide {
                seq,
                proposal,
                action,
                force,
            }) => {
                let refusal = match self.decide(now, ids, conn, &proposal, action, force, effects) {
                    Ok(decision) => {
                        let answer =
                            json!({ "type": "decided", "seq": seq, "ok": true, "decision": decision });
                        let answer = send(conn, part, Outgoing::Stateless(answer.to_string()));
                        return self.journal.when_saved(answer, effects);
                    }
                    Err(refusal) => refusal,
                };
                refusal.answer("decided", &seq)
            }
            Ok(Question::Preview { seq, proposal }) => self.preview(&proposal, &seq),
            // Not for this relay, or from a client of another make: not a reason to part.
            Ok(Question::Unknown) | Err(_) => return,
        };
        effects.push(send(conn, part, Outgoing::Stateless(answer.to_string())));
    }

    /// Carries out a decision on both parts, as one record.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a field of the question, or who asks when"
    )]
    fn decide(
        &mut self,
        now: Timestamp,
        ids: &mut dyn IdSource,
        conn: ConnId,
        proposal: &str,
        action: Action,
        force: bool,
        effects: &mut Vec<Effect>,
    ) -> Result<String, Refusal> {
        let Some(connection) = self.connections.get(&conn) else {
            return Err(Refusal::broken());
        };
        // A decision changes the body, so what counts is the role there, whichever link asks.
        let role = connection
            .body
            .as_ref()
            .map_or(Role::Viewer, |joined| joined.role);
        let identity = Arc::clone(&connection.identity);
        if !role.may_decide() || identity.kind == PeerKind::Ai {
            return Err(Refusal::new(
                "forbidden",
                format!("Your role here ({role}) does not decide about proposals."),
            ));
        }
        // A decision is about as large as the proposal that it takes up.
        if let RoomFor::Later(reason) | RoomFor::Never(reason) = self.room_for(Part::Body, 0) {
            return Err(Refusal::new("failed", reason));
        }
        self.check_payload(proposal)?;
        let by = Person {
            id: identity.id.clone(),
            name: identity.name.clone(),
        };
        let Self { body, margin, .. } = self;
        // The body inside: it is the one whose content can turn out to be impossible, and then neither is changed.
        let done = margin.change(|margin| {
            body.change(|body| {
                decision::decide(body, margin, proposal, action, &by, now, ids, force)
                    .map_err(Failure::Decide)
            })
        });
        let ((outcome, in_body), in_margin) = done.map_err(Refusal::from)?;
        let changes = [change(Part::Body, in_body), change(Part::Margin, in_margin)];
        self.publish(
            now,
            &identity,
            changes.into_iter().flatten().collect(),
            None,
            effects,
        );
        self.body.take_decided();
        Ok(outcome.decision)
    }

    fn preview(&self, proposal: &str, seq: &Value) -> Value {
        if let Err(refusal) = self.check_payload(proposal) {
            return refusal.answer("previewed", seq);
        }
        let (body, margin) = (self.body.doc(), self.margin.doc());
        // Only reads, so a panic about what somebody put into the margin leaves nothing half done.
        match catch_unwind(AssertUnwindSafe(|| decision::preview(body, margin, proposal))) {
            Ok(Ok((preview, stale))) => {
                json!({ "type": "previewed", "seq": seq, "ok": true, "stale": stale, "preview": preview })
            }
            Ok(Err(error)) => Refusal::from(Failure::Decide(error)).answer("previewed", seq),
            Err(_) => Refusal::broken().answer("previewed", seq),
        }
    }

    fn check_payload(&self, proposal: &str) -> Result<(), Refusal> {
        let limit = self.limits.max_payload;
        let found = margin::proposal(&self.margin.doc().transact(), proposal);
        if found.is_some_and(|found| found.payload.len() > limit) {
            let words = format!(
                "This proposal is longer than {} KB. Copy the parts that you want.",
                limit >> 10
            );
            return Err(Refusal::new("failed", words));
        }
        Ok(())
    }

    /// After a write of the body: takes out what decisions made at several places did too much.
    pub(super) fn repair(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if !self.body.take_decided() {
            return;
        }
        let repaired = self
            .body
            .change(|body| decision::repair(body).map_err(Failure::Decide));
        if let Ok((_, applied)) = repaired
            && let Some(change) = change(Part::Body, applied)
        {
            self.publish(now, &relay(), vec![change], None, effects);
        }
        self.body.take_decided();
    }
}

/// The author of what the relay does of itself.
fn relay() -> Identity {
    Identity {
        id: "relay".to_owned(),
        name: "Inkling".to_owned(),
        kind: PeerKind::Relay,
        model: None,
    }
}

fn change(part: Part, applied: Applied) -> Option<Change> {
    Some(Change {
        part,
        update: applied.update?,
        ranges: applied.ranges,
    })
}

/// Why there is no decision, as the client is told.
struct Refusal {
    code: &'static str,
    message: String,
    preview: Option<Value>,
}

impl Refusal {
    fn new(code: &'static str, message: String) -> Self {
        Self {
            code,
            message,
            preview: None,
        }
    }

    fn broken() -> Self {
        Self::new(
            "failed",
            "This proposal cannot be taken up: it does not fit the document.".to_owned(),
        )
    }

    fn answer(self, kind: &str, seq: &Value) -> Value {
        let mut answer =
            json!({ "type": kind, "seq": seq, "ok": false, "code": self.code, "message": self.message });
        if let (Some(preview), Some(fields)) = (self.preview, answer.as_object_mut()) {
            fields.insert("preview".to_owned(), preview);
        }
        answer
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Decide(error) => Self {
                code: error.code(),
                message: error.to_string(),
                preview: error.preview().map(|preview| json!(preview)),
            },
            Failure::Broken => Self::broken(),
        }
    }
}
