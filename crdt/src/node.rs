//! ProseMirror's JSON as Rust values: the form in which content is read, written, stored in decisions and turned
//! into Markdown.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

/// The attributes of a node or mark.
pub type NodeAttrs = Map<String, Value>;

/// The schema's marks in the order in which Tiptap lists them; others follow, by name.
const MARK_ORDER: [&str; 6] = ["link", "bold", "code", "italic", "strike", "underline"];

/// One node of the document tree, as in ProseMirror's JSON.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Node {
    /// The node's name in the schema (`paragraph`, `text`, …).
    #[serde(rename = "type")]
    pub kind: String,
    /// Attributes that are not null.
    #[serde(default, skip_serializing_if = "Map::is_empty", serialize_with = "by_name")]
    pub attrs: NodeAttrs,
    /// Children.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<Self>,
    /// The text of a `text` node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The marks of a `text` node, in the schema's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
}

/// One mark on a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// The mark's name in the schema (`bold`, `link`, …), without y-prosemirror's hash.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its attributes.
    #[serde(default, skip_serializing_if = "Map::is_empty", serialize_with = "by_name")]
    pub attrs: NodeAttrs,
}

/// Writes attributes in the order of their names: equal nodes are equal texts, also in a program where another crate has JSON
/// objects keep the order in which they were filled (`serde_json`'s `preserve_order` holds for all of a program).
fn by_name<S: Serializer>(attrs: &NodeAttrs, serializer: S) -> Result<S::Ok, S::Error> {
    let mut value = Value::Object(attrs.clone());
    value.sort_all_objects();
    value.serialize(serializer)
}

impl Node {
    /// An element with these children.
    #[must_use]
    pub fn element(kind: &str, content: Vec<Self>) -> Self {
        Self {
            kind: kind.to_owned(),
            content,
            ..Self::default()
        }
    }

    /// A text with these marks, which are put in order.
    #[must_use]
    pub fn text(text: impl Into<String>, marks: Vec<Mark>) -> Self {
        let mut node = Self {
            kind: "text".to_owned(),
            text: Some(text.into()),
            marks,
            ..Self::default()
        };
        sort_marks(&mut node.marks);
        node
    }

    /// A paragraph that holds a plain text; an empty text gives an empty paragraph.
    #[must_use]
    pub fn paragraph(text: &str) -> Self {
        let content = if text.is_empty() {
            Vec::new()
        } else {
            vec![Self::text(text, Vec::new())]
        };
        Self::element("paragraph", content)
    }

    /// The node with one more attribute; null leaves it out.
    #[must_use]
    pub fn with_attr(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if !value.is_null() {
            self.attrs.insert(name.to_owned(), value);
        }
        self
    }

    /// Whether it is a `text` node.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.text.is_some()
    }

    /// Whether it stands within a line: a text or a `hardBreak`.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        self.is_text() || self.kind == "hardBreak"
    }

    /// A string attribute.
    #[must_use]
    pub fn str_attr(&self, name: &str) -> Option<&str> {
        self.attrs.get(name).and_then(Value::as_str)
    }

    /// A whole-number attribute; y-prosemirror writes `level` as a number, older clients as a string.
    #[must_use]
    pub fn int_attr(&self, name: &str) -> Option<i64> {
        whole_number(self.attrs.get(name)?)
    }
}

impl Mark {
    /// A mark without attributes.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            attrs: Map::new(),
        }
    }

    /// A link.
    #[must_use]
    pub fn link(href: &str, title: Option<&str>) -> Self {
        let mut mark = Self::new("link");
        mark.attrs.insert("href".to_owned(), href.into());
        if let Some(title) = title.filter(|title| !title.is_empty()) {
            mark.attrs.insert("title".to_owned(), title.into());
        }
        mark
    }
}

/// Puts marks in the schema's order, so that equal sets are equal lists.
pub fn sort_marks(marks: &mut [Mark]) {
    let rank = |mark: &Mark| {
        let mut attrs = Value::Object(mark.attrs.clone());
        attrs.sort_all_objects();
        let place = MARK_ORDER
            .iter()
            .position(|kind| *kind == mark.kind)
            .unwrap_or(MARK_ORDER.len());
        // Marks of one kind, which only kinds of others can be, go by what they say.
        (place, mark.kind.clone(), attrs.to_string())
    };
    if marks.len() > 1 {
        marks.sort_by_cached_key(rank);
    }
}

/// Appends an inline node, joining texts that carry the same marks.
pub fn push_inline(nodes: &mut Vec<Node>, node: Node) {
    if let (Some(text), Some(last)) = (node.text.as_deref(), nodes.last_mut())
        && last.marks == node.marks
        && let Some(before) = last.text.as_mut()
    {
        before.push_str(text);
        return;
    }
    nodes.push(node);
}

fn whole_number(value: &Value) -> Option<i64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked to be whole and within range"
    )]
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            number
                .as_f64()
                .filter(|float| float.fract() == 0.0 && float.abs() < 9e15)
                .map(|float| float as i64)
        }),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_nodes_are_equal_texts_however_they_were_filled() {
        let filled = |names: [&str; 3]| {
            let mut attrs = NodeAttrs::new();
            for name in names {
                attrs.insert(name.to_owned(), serde_json::json!({"z": 1, "a": name.len()}));
            }
            let mark = Mark {
                kind: "highlight".into(),
                attrs: attrs.clone(),
            };
            Node {
                attrs,
                ..Node::text("a", vec![mark])
            }
        };
        let texts = [filled(["b", "a", "cc"]), filled(["cc", "b", "a"])]
            .map(|node| serde_json::to_string(&node).unwrap());
        assert_eq!(texts[0], texts[1]);
        assert!(texts[0].find("\"a\"") < texts[0].find("\"cc\""), "{}", texts[0]);
    }

    #[test]
    fn json_is_prosemirrors() {
        let json = serde_json::json!({
            "type": "heading",
            "attrs": {"level": 2},
            "content": [
                {"type": "text", "text": "See ", "marks": [{"type": "bold"}]},
                {"type": "hardBreak"},
                {"type": "text", "text": "this", "marks": [{"type": "link", "attrs": {"href": "https://a.b/"}}]}
            ]
        });
        let node: Node = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(node.int_attr("level"), Some(2));
        assert_eq!(serde_json::to_value(&node).unwrap(), json);
    }

    #[test]
    fn marks_have_one_order_and_equal_neighbours_are_one_text() {
        let mut nodes = Vec::new();
        push_inline(
            &mut nodes,
            Node::text(
                "a",
                vec![Mark::new("italic"), Mark::new("zebra"), Mark::new("bold")],
            ),
        );
        push_inline(
            &mut nodes,
            Node::text(
                "b",
                vec![Mark::new("bold"), Mark::new("italic"), Mark::new("zebra")],
            ),
        );
        push_inline(&mut nodes, Node::element("hardBreak", Vec::new()));
        push_inline(&mut nodes, Node::text("c", Vec::new()));
        let kinds: Vec<_> = nodes[0].marks.iter().map(|mark| mark.kind.as_str()).collect();
        assert_eq!(kinds, ["bold", "italic", "zebra"]);
        assert_eq!(nodes[0].text.as_deref(), Some("ab"));
        assert_eq!(nodes.len(), 3);
    }
}
