//! A new document's first content.

use crdt::Node;
use yrs::{Doc, Transact};

/// The longest title that is taken from a text's first heading, in characters.
const MAX_TITLE: usize = 120;

/// Writes a title and a text into an empty body. Without a title the first block is asked, if it is a heading.
pub(crate) fn write(body: &Doc, title: Option<&str>, nodes: &[Node]) {
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
