//! The messages of OpenAI's chat completions that are used here. Everything that a server may leave out is optional.
use serde::{Deserialize, Serialize};

use crate::generate::shape::Shape;
use crate::generate::{ChatMessage, GenerateRequest};

/// Stop strings that OpenAI's own server takes; the others are found here.
const MOST_STOPS: usize = 4;

/// What a server is known to understand beyond what all of them do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Dialect {
    /// Nothing.
    #[default]
    Common,
    /// vLLM: `structured_outputs`.
    Vllm,
}

#[derive(Debug, Serialize)]
pub(super) struct Request<'a> {
    model: &'a str,
    messages: Vec<ChatMessage>,
    max_tokens: usize,
    temperature: f32,
    top_p: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    stream: bool,
    /// OpenAI, vLLM, llama.cpp and Ollama hold an answer to a JSON schema; others ignore it or refuse the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_outputs: Option<Structured<'a>>,
    /// Left out for servers that refuse what they do not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Serialize)]
struct ResponseFormat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    json_schema: NamedSchema<'a>,
}

#[derive(Debug, Serialize)]
struct NamedSchema<'a> {
    name: &'static str,
    schema: &'a serde_json::Value,
    strict: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Structured<'a> {
    Choice(&'a [String]),
    Regex(&'a str),
}

#[derive(Debug, Serialize)]
struct StreamOptions {
    include_usage: bool,
}

impl<'a> Request<'a> {
    pub(super) fn new(
        model: &'a str,
        request: &'a GenerateRequest,
        room: usize,
        plain: bool,
        dialect: Dialect,
    ) -> Self {
        let params = &request.params;
        let mut messages = request.messages.clone();
        if let Some(prefix) = request
            .answer_prefix
            .as_deref()
            .filter(|prefix| !prefix.is_empty())
        {
            // few servers go on with an answer that was begun; all of them understand this
            let wish = format!("\n\nBegin your answer with exactly this text and go on from there: {prefix}");
            match messages.last_mut() {
                Some(last) => last.content.push_str(&wish),
                None => messages.push(ChatMessage::user(wish.trim_start())),
            }
        }
        let shape = request.shape.as_ref().filter(|_| !plain);
        let response_format = match shape {
            Some(Shape::Json(schema)) => Some(ResponseFormat {
                kind: "json_schema",
                json_schema: NamedSchema {
                    name: "answer",
                    schema,
                    strict: true,
                },
            }),
            _ => None,
        };
        let structured_outputs = match shape.filter(|_| dialect == Dialect::Vllm) {
            Some(Shape::Choices(choices)) => Some(Structured::Choice(choices)),
            Some(Shape::Regex(pattern)) => Some(Structured::Regex(pattern)),
            _ => None,
        };
        let stops = &request.stop.strings;
        Self {
            model,
            messages,
            max_tokens: request.stop.max_tokens.min(room).max(1),
            temperature: params.temperature,
            top_p: params.top_p,
            // what some servers hold in 32 bits with a sign
            seed: (!plain && params.temperature > 0.0).then_some((params.seed & 0x7fff_ffff) as u32),
            stop: stops.get(..stops.len().min(MOST_STOPS)).unwrap_or_default(),
            stream: true,
            response_format,
            structured_outputs,
            stream_options: (!plain).then_some(StreamOptions { include_usage: true }),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Part {
    #[serde(default)]
    pub(super) choices: Vec<PartChoice>,
    #[serde(default)]
    pub(super) usage: Option<Usage>,
    #[serde(default)]
    pub(super) error: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PartChoice {
    #[serde(default)]
    pub(super) delta: Delta,
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Delta {
    #[serde(default)]
    pub(super) content: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Usage {
    #[serde(default)]
    pub(super) prompt_tokens: usize,
    #[serde(default)]
    pub(super) completion_tokens: usize,
}

#[derive(Debug, Deserialize)]
pub(super) struct Models {
    #[serde(default)]
    pub(super) data: Vec<Model>,
}

/// A model in a server's list; where it tells its context depends on the maker.
#[derive(Debug, Deserialize)]
pub(super) struct Model {
    pub(super) id: String,
    #[serde(default)]
    max_model_len: Option<usize>,
    #[serde(default)]
    context_length: Option<usize>,
    #[serde(default)]
    owned_by: Option<String>,
    #[serde(default)]
    meta: Option<Meta>,
}

#[derive(Debug, Deserialize)]
struct Meta {
    #[serde(default)]
    n_ctx: Option<usize>,
}

impl Model {
    /// By what the maker's server says of itself.
    pub(super) fn dialect(&self) -> Dialect {
        match self.owned_by.as_deref() {
            Some("vllm") => Dialect::Vllm,
            _ => Dialect::Common,
        }
    }

    pub(super) fn context(&self) -> Option<usize> {
        let meta = self.meta.as_ref().and_then(|meta| meta.n_ctx);
        self.max_model_len
            .or(self.context_length)
            .or(meta)
            .filter(|length| *length > 1)
    }
}

/// The words in an error as servers send it: a text, or an object with `message`, or that in `error`.
pub(super) fn error_words(value: &serde_json::Value) -> Option<String> {
    let text = value
        .as_str()
        .or_else(|| value.get("message")?.as_str())
        .or_else(|| value.get("detail")?.as_str());
    let words = text
        .map(str::to_owned)
        .or_else(|| error_words(value.get("error")?))?;
    let line = words.lines().next().unwrap_or_default();
    Some(line.chars().take(300).collect())
}
