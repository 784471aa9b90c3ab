//! What the others see of the peer: who it is, which model, what it does, and its caret.

use model::Provider;
use serde_json::{Value, json};

use super::desk::Desk;
use super::job::Job;

/// The awareness state, as `docs/protocol.md` has it. Of several jobs the caret is where the first one that writes does.
pub(super) fn state(desk: &Desk, jobs: &[Job]) -> Value {
    let info = desk.generator.info();
    let mut user = json!({
        "id": desk.identity.id,
        "name": desk.identity.name,
        "color": desk.config.color,
        "kind": "ai",
        "model": info.name,
        "device": desk.device(),
        "quantisation": info.quantisation,
    });
    if let Some(user) = user.as_object_mut() {
        if let Some(licence) = &info.licence {
            user.insert("licence".to_owned(), json!(licence));
        }
        if info.device.provider == Provider::Remote {
            user.remove("quantisation"); // nobody has told it
        }
    }
    // One digit: more would be news with every batch.
    let speed = (desk.speed * 10.0).round() / 10.0;
    let mut ai = json!({"state": "idle", "tokensPerSecond": speed});
    let mut cursor = Value::Null;
    let writes = |job: &&Job| job.held.proposal.is_some();
    if let Some(job) = jobs.iter().find(writes).or_else(|| jobs.first()) {
        let doing = if job.held.proposal.is_some() {
            "writing"
        } else {
            "thinking"
        };
        ai = json!({"state": doing, "request": job.held.request, "tokensPerSecond": speed});
        let place = job.place();
        cursor = json!({"anchor": place, "head": place});
    }
    json!({"user": user, "ai": ai, "cursor": cursor})
}
