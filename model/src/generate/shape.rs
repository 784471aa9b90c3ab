//! The shape that an answer is to have: what may be written is decided token by token, so that no model, however small,
//! answers in another one.
//!
//! An answer that has reached its end ([`FinishReason::Complete`](super::stream::FinishReason), or the model's own end)
//! has the shape; one that was cut (by `max_tokens`, a stop string, the context) is the beginning of one that has.
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use llguidance::api::TopLevelGrammar;

use super::guide::{Check, bytes};

/// What an answer is to look like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Shape {
    /// JSON that this JSON schema (2020-12, an object) allows. Between its parts one space or one line break with an
    /// indentation may stand, unless the schema's `x-guidance` says otherwise. Texts and lists without a `maxLength` or
    /// `maxItems` may go on until `max_tokens` cuts them.
    Json(Json),
    /// What this grammar allows, in llguidance's variant of Lark.
    Lark(String),
    /// A text that this regular expression matches from its beginning to its end, in the syntax of Rust's `regex`
    /// without look-around.
    Regex(String),
    /// One of these texts.
    Choices(Vec<String>),
    /// One paragraph of Markdown: a line that is no heading, list item, quotation, code block, rule, picture or HTML. The line
    /// break that would begin another one ends the answer and is no part of it.
    Paragraph {
        /// Whether lines that announce it (`Sure! Here is the text:`) may come first.
        announced: bool,
    },
}

/// A space, or a line break and an indentation. Any amount of it would be allowed by JSON, and small models never stop.
const JSON_SPACE: &str = r"[ \t]|\r?\n[ \t]{0,32}";

/// A terminal `TEXT` for a paragraph: CommonMark's block marks at the beginning of a line are left out. `!IMAGE` is a block in
/// our documents.
const PARAGRAPH: &str = r#"
LINE: / {0,3}[^ \t\n\r\x0b\x0c\u{85}\u{2028}\u{2029}][^\n\r\x0b\x0c\u{85}\u{2028}\u{2029}]*/
MARKED: / {0,3}(#{1,6}([ \t].*)?|>.*|<.*|[-+*]([ \t].*)?|[0-9]{1,9}[.)]([ \t].*)?|(`{3}|~{3}).*|\[[^\]]*\]:.*|(-[ \t]*){3,}|(_[ \t]*){3,}|(\*[ \t]*){3,})/
PICTURE: /(.*!\[.*)/
ANNOUNCES: /.*:[ \t*]*/
GREETS: /(?i)(sure|certainly|of course|absolutely|okay)( thing)?[!.,]+[ \t]*/
PART: LINE & ~MARKED & ~PICTURE
"#;

impl Shape {
    /// Whether a text has this shape.
    ///
    /// # Errors
    /// What is wrong with the shape, in words.
    pub fn fits(&self, text: &str) -> Result<bool, String> {
        let mut check = Check::new(bytes()?.guide(self)?);
        Ok(check.push(text) == text.len() && check.guide().may_end())
    }

    /// Whether a line break after something whole ends the answer.
    pub(crate) const fn ends_with_line(&self) -> bool {
        matches!(self, Self::Paragraph { .. })
    }

    /// The grammar, as the library takes it.
    pub(crate) fn grammar(&self) -> Result<TopLevelGrammar, String> {
        match self {
            Self::Json(schema) => {
                let Json::Object(mut schema) = schema.clone() else {
                    return Err("a JSON schema is an object, for example {\"type\": \"object\"}".to_owned());
                };
                schema
                    .entry("x-guidance")
                    .or_insert_with(|| serde_json::json!({"whitespace_pattern": JSON_SPACE}));
                Ok(TopLevelGrammar::from_json_schema(Json::Object(schema)))
            }
            Self::Lark(grammar) if grammar.trim().is_empty() => {
                Err("the grammar is empty: it needs at least a rule `start`".to_owned())
            }
            Self::Lark(grammar) => Ok(TopLevelGrammar::from_lark(grammar.clone())),
            Self::Regex(pattern) => Ok(TopLevelGrammar::from_regex(pattern)),
            Self::Choices(choices) => {
                if choices.is_empty() || choices.iter().any(String::is_empty) {
                    return Err("there must be at least one choice, and none may be empty".to_owned());
                }
                // one terminal, so that `yes` does not hide `yes, please`
                let quoted: Vec<String> = choices
                    .iter()
                    .map(|choice| Json::from(choice.as_str()).to_string())
                    .collect();
                Ok(TopLevelGrammar::from_lark(format!(
                    "start: CHOICE\nCHOICE: {}\n",
                    quoted.join(" | ")
                )))
            }
            Self::Paragraph { announced } => {
                let text = if *announced {
                    // what announces something is not all that there is
                    r"TEXT: ((ANNOUNCES | GREETS) /\n+/){0,2} ((PART & ~ANNOUNCES & ~GREETS) /\n*/ | PART & ~ANNOUNCES)"
                } else {
                    r"TEXT: PART /\n*/"
                };
                Ok(TopLevelGrammar::from_lark(format!(
                    "start: TEXT\n{PARAGRAPH}{text}\n"
                )))
            }
        }
    }
}
