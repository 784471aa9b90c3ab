//! A new document's first content, and titles.

use crdt::{DocId, Identity, Node, Role};
use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, StateVector, Transact, Update};

use crate::clock;
use crate::limits::Limits;
use crate::relay::Relay;
use crate::room::{EditError, JoinError};
use crate::store::Write;

/// The longest title that is taken from a text's first heading, in characters.
const MAX_TITLE: usize = 120;

/// The longest title that somebody may give, in bytes.
const MAX_GIVEN_TITLE: usize = 1000;

/// Refuses a title that is longer than any title.
///
/// # Errors
/// [`EditError::TooLarge`].
pub(crate) fn check_title(title: Option<&str>) -> Result<(), EditError> {
    match title {
        Some(title) if title.len() > MAX_GIVEN_TITLE => Err(EditError::TooLarge(format!(
            "a title may have {MAX_GIVEN_TITLE} bytes"
        ))),
        _ => Ok(()),
    }
}

/// The first content of a document as an update, worked out on a thread that serves nobody. `None`: it begins empty.
///
/// # Errors
/// [`EditError`] when the text is longer than [`Limits::import_bytes`] or no document can hold it.
pub(crate) async fn read(
    title: Option<&str>,
    markdown: Option<&str>,
    limits: &Limits,
) -> Result<Option<Vec<u8>>, EditError> {
    let most = limits.import_bytes;
    if markdown.is_some_and(|text| text.len() > most) {
        let words = format!("the text is longer than {} MB: import it in parts", most >> 20);
        return Err(EditError::TooLarge(words));
    }
    let (title, markdown) = (title.map(str::to_owned), markdown.map(str::to_owned));
    let most = limits.room.max_part.min(limits.room.max_message);
    let content = tokio::task::spawn_blocking(move || {
        let nodes = markdown.as_deref().map(crdt::markdown::parse).unwrap_or_default();
        if title.is_none() && nodes.is_empty() {
            return None;
        }
        let body = crdt::doc::open(u64::from(rand::random::<u32>()));
        write(&body, title.as_deref(), &nodes);
        let whole = body.transact().encode_state_as_update_v1(&StateVector::default());
        Some(whole)
    });
    let content = content
        .await
        .map_err(|_| EditError::Refused("the text cannot be read as Markdown".into()))?;
    match content {
        Some(content) if content.len() > most => {
            Err(EditError::TooLarge("the document would be too large".into()))
        }
        content => Ok(content),
    }
}

/// Puts the content that [`read`] has made into an empty body.
pub(crate) fn apply(body: &Doc, content: &[u8]) {
    let applied =
        Update::decode_v1(content).is_ok_and(|update| body.transact_mut().apply_update(update).is_ok());
    if !applied {
        tracing::error!("the first content of a document cannot be applied");
    }
}

impl Relay {
    /// Makes a document and returns its id.
    ///
    /// # Errors
    /// [`EditError`].
    pub async fn create(
        &self,
        who: (Identity, Role),
        title: Option<&str>,
        markdown: Option<&str>,
    ) -> Result<DocId, EditError> {
        check_title(title)?;
        // Before the document is there: what cannot be read in leaves nothing behind.
        let content = read(title, markdown, &self.shared.limits).await?;
        let id = clock::ulid().to_string().to_lowercase();
        let doc = DocId::parse(&id).map_err(|error| EditError::Refused(error.to_string()))?;
        let at = clock::now();
        let create = Write::Create {
            doc: doc.clone(),
            title: String::new(),
            at,
        };
        self.shared.store.write(create).await.map_err(JoinError::from)?;
        let Some(content) = content else { return Ok(doc) };
        let edit = Box::new(move |body: &yrs::Doc| apply(body, &content));
        match self.edit(&doc, who, edit).await {
            Ok(()) => Ok(doc),
            // It is made and will be saved: to take it away would lose it.
            Err(error @ EditError::NotSaved) => Err(error),
            Err(error) => {
                if let Err(error) = self.rooms.delete(&doc).await {
                    tracing::warn!(%doc, %error, "a document that was refused is left behind, empty");
                }
                Err(error)
            }
        }
    }

    /// Renames a document: an edit like any other.
    pub(crate) async fn rename(
        &self,
        doc: &DocId,
        who: (Identity, Role),
        title: String,
    ) -> Result<(), EditError> {
        check_title(Some(&title))?;
        let edit = move |body: &yrs::Doc| {
            let meta = crdt::doc::meta(body);
            crdt::doc::set_title(&meta, &mut yrs::Transact::transact_mut(body), &title);
        };
        self.edit(doc, who, Box::new(edit)).await
    }
}

/// Writes a title and a text into an empty body. Without a title the first block is asked, if it is a heading.
fn write(body: &Doc, title: Option<&str>, nodes: &[Node]) {
    let title = title
        .map(str::to_owned)
        .or_else(|| heading(nodes))
        .unwrap_or_default();
    let meta = crdt::doc::meta(body);
    if !title.is_empty() {
        crdt::doc::set_title(&meta, &mut body.transact_mut(), &title);
    }
    if let Err(error) = crdt::content::fill(body, nodes) {
        tracing::error!(%error, "a new document was not empty");
    }
}

fn heading(nodes: &[Node]) -> Option<String> {
    let first = nodes.first().filter(|node| node.kind == "heading")?;
    let text = crdt::content::plain_text(std::slice::from_ref(first));
    Some(text.trim().chars().take(MAX_TITLE).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heading_of(text: &str) -> Node {
        serde_json::from_value(serde_json::json!({
            "type": "heading", "attrs": {"level": 1}, "content": [{"type": "text", "text": text}]
        }))
        .unwrap()
    }

    fn title_of(title: Option<&str>, nodes: &[Node]) -> Option<String> {
        let body = crdt::doc::open(1);
        write(&body, title, nodes);
        crdt::doc::title(&body.transact())
    }

    #[test]
    fn the_title_is_the_one_given_or_the_first_heading() {
        assert_eq!(
            title_of(Some("Plan"), &[heading_of("Aims")]).as_deref(),
            Some("Plan")
        );
        assert_eq!(title_of(None, &[heading_of(" Aims ")]).as_deref(), Some("Aims"));
        assert_eq!(title_of(None, &[]), None);
        assert_eq!(
            title_of(None, &[heading_of(&"é".repeat(500))])
                .unwrap()
                .chars()
                .count(),
            MAX_TITLE
        );
    }
}
