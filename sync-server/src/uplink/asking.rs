//! One question over REST to the server that a document is linked to, for a person who is here.

use std::time::Duration;

use crdt::DocId;
use serde_json::Value;

use super::LinkState;
use crate::fetch::{Request, fetch};
use crate::relay::Relay;

/// How long the other server may take, and the most bytes of its answer.
const WITHIN: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 1 << 20;

impl Relay {
    /// Asks the other server something about a linked document: `path` below the document, `person` as their requests name
    /// them. The status and the JSON of the answer; `None` when there is no link, it is not up, or nothing comes back.
    pub(crate) async fn ask_there(
        &self,
        doc: &DocId,
        (method, path): (&str, &str),
        person: &str,
        body: Option<&str>,
    ) -> Option<(u16, Value)> {
        let target = {
            let links = self.uplinks.lock();
            let link = links.get(doc)?;
            (link.state() == LinkState::Connected).then(|| link.target.clone())?
        };
        let url = target.api(path, person);
        let request = Request {
            method,
            url: url.as_str(),
            bearer: target.key(),
            body,
            max_answer: MAX_ANSWER,
            within: WITHIN,
        };
        let answer = fetch(&request, &self.shared.tls).await;
        let answer = answer
            .inspect_err(|error| tracing::warn!(%doc, %error, "the other server was asked in vain"))
            .ok()?;
        let json = serde_json::from_slice(&answer.body).ok()?;
        Some((answer.status, json))
    }
}
