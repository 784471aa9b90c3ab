//! The blocks that differ between two states, as the relay gives them, and what they are called.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Change, Piece};

/// What became of a block. The numbers count blocks of the same parent from 0.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "change", rename_all = "camelCase")]
pub enum BlockChange {
    /// It is new.
    Added {
        /// Where it is.
        to: usize,
        /// What it is.
        block: Block,
    },
    /// It is gone.
    Removed {
        /// Where it was.
        from: usize,
        /// What it was.
        block: Block,
    },
    /// It has other content, or is of another kind.
    Changed {
        /// Where it was.
        from: usize,
        /// Where it is.
        to: usize,
        /// What it was.
        before: Block,
        /// What it is.
        after: Block,
        /// Its text, word by word.
        text: Vec<Piece>,
    },
    /// It is the same elsewhere.
    Moved {
        /// Where it was.
        from: usize,
        /// Where it is.
        to: usize,
        /// What it is.
        block: Block,
    },
}

/// A block of the document, in ProseMirror's JSON.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Block {
    /// Its name in the schema.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its attributes.
    pub attrs: Map<String, Value>,
    /// Its children.
    pub content: Vec<Self>,
    /// Of a text.
    pub text: Option<String>,
}

impl BlockChange {
    /// What became of it, in one word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Added { .. } => "New",
            Self::Removed { .. } => "Gone",
            Self::Changed { .. } => "Changed",
            Self::Moved { .. } => "Moved",
        }
    }

    /// For style sheets: `added`, `removed`, `changed`, `moved`.
    #[must_use]
    pub fn look(&self) -> &'static str {
        match self {
            Self::Added { .. } => "added",
            Self::Removed { .. } => "removed",
            Self::Changed { .. } => "changed",
            Self::Moved { .. } => "moved",
        }
    }

    /// Which block it is about, counted from 1: "Paragraph, block 3", "Heading 2 → Paragraph, block 1".
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Self::Added { to, block } => format!("{}, block {}", block.name(), to + 1),
            Self::Removed { from, block } => format!("{}, was block {}", block.name(), from + 1),
            Self::Moved { from, to, block } => {
                format!("{}, from block {} to {}", block.name(), from + 1, to + 1)
            }
            Self::Changed {
                to, before, after, ..
            } if before.name() == after.name() => {
                format!("{}, block {}", after.name(), to + 1)
            }
            Self::Changed {
                to, before, after, ..
            } => {
                format!("{} → {}, block {}", before.name(), after.name(), to + 1)
            }
        }
    }

    /// Its text in pieces.
    #[must_use]
    pub fn pieces(&self) -> Vec<Piece> {
        let whole = |change, block: &Block| {
            let text = block.plain();
            vec![Piece { change, text }]
        };
        match self {
            Self::Added { block, .. } => whole(Change::Insert, block),
            Self::Removed { block, .. } => whole(Change::Delete, block),
            Self::Moved { block, .. } => whole(Change::Equal, block),
            Self::Changed { text, .. } => text.clone(),
        }
    }

    /// Whether only its form differs: the words are the same.
    #[must_use]
    pub fn is_of_form(&self) -> bool {
        match self {
            Self::Changed { text, .. } => text.iter().all(|piece| piece.change == Change::Equal),
            Self::Added { .. } | Self::Removed { .. } | Self::Moved { .. } => false,
        }
    }
}

impl Block {
    /// What people call it.
    #[must_use]
    pub fn name(&self) -> String {
        match self.kind.as_str() {
            "heading" => {
                let level = self.attrs.get("level").and_then(Value::as_u64).unwrap_or(1);
                format!("Heading {level}")
            }
            "paragraph" => "Paragraph".into(),
            "bulletList" => "List".into(),
            "orderedList" => "Numbered list".into(),
            "taskList" => "Task list".into(),
            "listItem" | "taskItem" => "List item".into(),
            "blockquote" => "Quotation".into(),
            "codeBlock" => "Code".into(),
            "table" => "Table".into(),
            "tableRow" => "Row".into(),
            "image" => "Picture".into(),
            "horizontalRule" => "Rule".into(),
            _ => "Block".into(),
        }
    }

    /// Its text; the blocks in it each on a line.
    #[must_use]
    pub fn plain(&self) -> String {
        if let Some(text) = &self.text {
            return text.clone();
        }
        if self.kind == "hardBreak" {
            return "\n".into();
        }
        let is_line = |block: &Self| block.text.is_none() && block.kind != "hardBreak";
        let mut out = String::new();
        for child in &self.content {
            if is_line(child) && !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&child.plain());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_of_a_block_is_told() {
        let body = r#"[{"change":"added","to":1,"block":{"type":"paragraph","content":[{"type":"text","text":"new"}]}},
            {"change":"removed","from":0,"block":{"type":"bulletList","content":[{"type":"listItem","content":[{"type":"paragraph","content":[{"type":"text","text":"a"}]}]},
                {"type":"listItem","content":[{"type":"paragraph","content":[{"type":"text","text":"b"}]}]}]}},
            {"change":"moved","from":4,"to":2,"block":{"type":"image","attrs":{"src":"x"}}},
            {"change":"changed","from":1,"to":1,"before":{"type":"paragraph"},"after":{"type":"heading","attrs":{"level":2}},"text":[{"change":"equal","text":"same"}]}]"#;
        let changes: Vec<BlockChange> = serde_json::from_str(body).unwrap();
        let told: Vec<_> = changes
            .iter()
            .map(|change| (change.word(), change.what()))
            .collect();
        assert_eq!(
            told,
            [
                ("New", "Paragraph, block 2".to_owned()),
                ("Gone", "List, was block 1".to_owned()),
                ("Moved", "Picture, from block 5 to 3".to_owned()),
                ("Changed", "Paragraph → Heading 2, block 2".to_owned()),
            ]
        );
        assert_eq!(changes[1].pieces()[0].text, "a\nb");
        assert!(changes[3].is_of_form() && !changes[0].is_of_form());
    }
}
