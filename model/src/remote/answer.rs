//! One request to the server: sent, repeated while nothing has come, streamed, and ended.
use std::time::{Duration, Instant};

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, StatusCode};

use super::events::Events;
use super::wire::{self, Dialect, Models, Part, Request, Usage};
use super::{Found, PAUSE, RemoteError, RemoteOptions};
use crate::generate::guide::{Check, Guide};
use crate::generate::shape::Shape;
use crate::generate::stop::StopFilter;
use crate::generate::stream::{Chunk, Drafts, FinishReason, GenerationSender, Summary};
use crate::generate::{GenerateError, GenerateRequest};
use crate::http;

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// A request and who waits for its answer.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: GenerateRequest,
    /// What tells whether the answer has the shape that was asked for.
    pub(super) guide: Option<Guide>,
    /// Tokens of the prompt, estimated.
    pub(super) prompt: usize,
    pub(super) reader: GenerationSender,
}

/// A server and the model that is used there.
#[derive(Debug)]
pub(super) struct Server {
    options: RemoteOptions,
    client: Client,
    model: String,
    context: usize,
    dialect: Dialect,
}

/// Why an attempt brought no answer.
enum Failure {
    /// Trying again may help.
    Passing(String, Option<Duration>),
    /// The server does not know something that can be left out.
    TooModern(String),
    /// Trying again changes nothing.
    Final(String),
}

impl Server {
    /// Finds the model.
    pub(super) async fn find(options: RemoteOptions) -> Result<(Self, Found), RemoteError> {
        if !matches!(options.url.scheme(), "http" | "https") || options.url.host().is_none() {
            return Err(RemoteError::Address(options.url.to_string()));
        }
        let host = options.host();
        let unreachable = |reason: String| RemoteError::Unreachable {
            host: host.clone(),
            reason,
        };
        let client = http::client_of_one(&options.url, options.silence).map_err(unreachable)?;
        let mut request = client.get(options.address(&["models"]));
        if let Some(key) = &options.key {
            request = request.bearer_auth(key);
        }
        let response = request
            .send()
            .await
            .map_err(|error| unreachable(http::words(&error)))?;
        let models = match response.status() {
            status if status.is_success() => {
                let bytes = response
                    .bytes()
                    .await
                    .map_err(|error| unreachable(http::words(&error)))?;
                serde_json::from_slice::<Models>(&bytes)
                    .map(|models| models.data)
                    .unwrap_or_default()
            }
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(RemoteError::Key {
                    host,
                    status: status.as_u16(),
                });
            }
            // some endpoints answer chats and list nothing
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Vec::new(),
            status => return Err(unreachable(format!("it answers {status}"))),
        };
        let dialect = models.first().map(wire::Model::dialect).unwrap_or_default();
        let found = match (&options.model, models.first()) {
            (None, None) => return Err(RemoteError::NoList(host)),
            (Some(wanted), None) => (wanted.clone(), None),
            (None, Some(first)) => (first.id.clone(), first.context()),
            (Some(wanted), Some(_)) => match models.iter().find(|model| model.id == *wanted) {
                Some(model) => (model.id.clone(), model.context()),
                None => {
                    return Err(RemoteError::NoModel {
                        host,
                        wanted: wanted.clone(),
                        found: models.into_iter().map(|model| model.id).take(20).collect(),
                    });
                }
            },
        };
        let (model, context) = (found.0, found.1.unwrap_or(options.context));
        let server = Self {
            options,
            client,
            model: model.clone(),
            context,
            dialect,
        };
        Ok((server, Found { id: model, context }))
    }

    /// Answers one request.
    pub(super) async fn answer(&self, job: Job) {
        let reader = job.reader.clone();
        tokio::select! {
            // the connection is closed with the future that holds it
            () = reader.cancelled() => {}
            result = self.run(&job) => if let Err(error) = result {
                let _ = reader.send(Err(error)).await; // it may have left just now
            }
        }
    }

    async fn run(&self, job: &Job) -> Result<(), GenerateError> {
        let started = Instant::now();
        let response = self.ask(job).await?;
        Streaming::new(job, started).run(response, self).await
    }

    /// Sends the request until the server begins to answer.
    async fn ask(&self, job: &Job) -> Result<Response, GenerateError> {
        let room = self.context.saturating_sub(job.prompt);
        let (mut plain, mut pause, mut failures) = (false, PAUSE, 0);
        loop {
            let body = Request::new(&self.model, &job.request, room, plain, self.dialect);
            let body = serde_json::to_vec(&body).map_err(|error| GenerateError::Failed(error.to_string()))?;
            let (reason, wait) = match self.send(body).await {
                Ok(response) => return Ok(response),
                Err(Failure::TooModern(_)) if !plain => {
                    plain = true;
                    continue;
                }
                Err(Failure::Final(reason) | Failure::TooModern(reason)) => {
                    return Err(GenerateError::Failed(reason));
                }
                Err(Failure::Passing(reason, wait)) => (reason, wait),
            };
            failures += 1;
            if failures >= self.options.attempts {
                return Err(GenerateError::Failed(format!(
                    "the engine at {} does not answer: {reason}; tried {failures} times",
                    self.options.host()
                )));
            }
            tracing::debug!(reason, "the remote engine is asked again");
            tokio::time::sleep(wait.unwrap_or(pause).min(LONGEST_PAUSE)).await;
            pause *= 2;
        }
    }

    async fn send(&self, body: Vec<u8>) -> Result<Response, Failure> {
        let mut request = self
            .client
            .post(self.options.address(&["chat", "completions"]))
            .header("content-type", "application/json")
            .header("accept", "text/event-stream")
            .body(body);
        if let Some(key) = &self.options.key {
            request = request.bearer_auth(key);
        }
        let response = request
            .send()
            .await
            .map_err(|error| Failure::Passing(http::words(&error), None))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let wait = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let bytes = response.bytes().await.unwrap_or_default();
        let said = serde_json::from_slice(&bytes)
            .ok()
            .and_then(|value| wire::error_words(&value));
        let host = self.options.host();
        let said = said.map_or_else(String::new, |said| format!(": {said}"));
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Final(format!(
                "the engine at {host} refuses the key ({status}){said}; put its key into INKLING_ENGINE_KEY, or into a file for --engine-key-file"
            )),
            status if status.is_redirection() => Failure::Final(format!(
                "the engine at {host} sends requests on to another address ({status}); give that address instead, so that it is known where text goes"
            )),
            StatusCode::NOT_FOUND => Failure::Final(format!(
                "the engine at {host} knows no model `{}`, or its address lacks a part such as /v1 ({status}){said}",
                self.model
            )),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Failure::Passing(format!("{status}{said}"), wait)
            }
            status if status.is_server_error() => Failure::Passing(format!("{status}{said}"), wait),
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Failure::TooModern(format!(
                "the engine at {host} refuses the request ({status}){said}"
            )),
            status => Failure::Final(format!("the engine at {host} answers {status}{said}")),
        })
    }
}

/// An answer on its way.
struct Streaming<'a> {
    job: &'a Job,
    started: Instant,
    first: Option<Instant>,
    filter: StopFilter,
    prefix: Prefix,
    shape: Option<ShapeCheck>,
    pieces: usize,
    usage: Option<Usage>,
    finish: Option<FinishReason>,
}

impl<'a> Streaming<'a> {
    fn new(job: &'a Job, started: Instant) -> Self {
        Self {
            job,
            started,
            first: None,
            filter: StopFilter::new(&job.request.stop.strings),
            prefix: Prefix::new(job.request.answer_prefix.as_deref().unwrap_or_default()),
            shape: job
                .guide
                .clone()
                .map(|guide| ShapeCheck::new(guide, job.request.shape.as_ref())),
            pieces: 0,
            usage: None,
            finish: None,
        }
    }

    async fn run(mut self, mut response: Response, server: &Server) -> Result<(), GenerateError> {
        let host = server.options.host();
        let broke = |reason: &str| GenerateError::Failed(format!("the engine at {host} broke off: {reason}"));
        let mut events = Events::default();
        'stream: loop {
            let bytes = match response.chunk().await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break,
                Err(error) => return Err(broke(&http::words(&error))),
            };
            for data in events.push(&bytes).map_err(broke)? {
                if data.trim() == "[DONE]" || self.take(&data, &host).await? {
                    break 'stream;
                }
            }
        }
        if let Some(data) = events
            .finish()
            .filter(|data| data.trim() != "[DONE]" && self.finish.is_none())
        {
            self.take(&data, &host).await?;
        }
        let Some(finish) = self.finish.take() else {
            return Err(broke("its answer has no end"));
        };
        self.end(finish, &host).await
    }

    /// Takes one event; `true` when nothing that follows matters.
    async fn take(&mut self, data: &str, host: &str) -> Result<bool, GenerateError> {
        let part: Part = serde_json::from_str(data).map_err(|error| {
            GenerateError::Failed(format!("the engine at {host} sent something else ({error})"))
        })?;
        if let Some(error) = part.error {
            let said = wire::error_words(&error).unwrap_or_else(|| "without words".into());
            return Err(GenerateError::Failed(format!(
                "the engine at {host} stopped: {said}"
            )));
        }
        self.usage = part.usage.or(self.usage);
        let Some(choice) = part.choices.into_iter().next() else {
            return Ok(false);
        };
        if let Some(text) = choice.delta.content.filter(|text| !text.is_empty()) {
            self.first.get_or_insert_with(Instant::now);
            self.pieces += 1;
            let text = self.prefix.push(&text);
            let (text, stop) = self.filter.push(&text);
            if self.show(text, host).await? {
                self.finish = Some(FinishReason::Complete);
                return Ok(true);
            }
            if let Some(stop) = stop {
                self.finish = Some(FinishReason::StopString(stop));
                return Ok(true);
            }
        }
        match choice.finish_reason.as_deref() {
            None | Some("") => {}
            Some("length") => self.finish = Some(FinishReason::MaxTokens),
            Some("content_filter") => {
                return Err(GenerateError::Failed(format!(
                    "the engine at {host} ended the answer: its filter refuses it"
                )));
            }
            Some(_) => self.finish = Some(FinishReason::EndToken),
        }
        // the usage may follow
        Ok(false)
    }

    /// Shows what has the shape that was asked for; `true` when that is whole now.
    async fn show(&mut self, text: String, host: &str) -> Result<bool, GenerateError> {
        let (text, whole) = match &mut self.shape {
            Some(shape) => shape.push(&text, host)?,
            None => (text.as_str(), false),
        };
        if text.is_empty() {
            return Ok(whole);
        }
        let sent = self.job.reader.send(Ok(Chunk::Text(text.to_owned()))).await;
        sent.map_err(|_| GenerateError::Gone)?; // nobody reads it
        Ok(whole)
    }

    async fn end(mut self, finish: FinishReason, host: &str) -> Result<(), GenerateError> {
        if !matches!(finish, FinishReason::StopString(_) | FinishReason::Complete) {
            let late = self.prefix.finish();
            let (mut text, _) = self.filter.push(&late);
            let filter = std::mem::replace(&mut self.filter, StopFilter::new(&[]));
            text.push_str(&filter.finish());
            self.show(text, host).await?;
        }
        if finish == FinishReason::EndToken
            && let Some(shape) = &mut self.shape
        {
            shape.finish(host)?;
        }
        let (now, first) = (Instant::now(), self.first.unwrap_or_else(Instant::now));
        let ms = |from: Instant, to: Instant| u64::try_from((to - from).as_millis()).unwrap_or(u64::MAX);
        let usage = self.usage.filter(|usage| usage.prompt_tokens > 0);
        let summary = Summary {
            finish,
            prompt_tokens: usage.map_or(self.job.prompt, |usage| usage.prompt_tokens),
            reused_tokens: 0,
            // without the server's count: nearly all of them send a piece for each token
            tokens: usage.map_or(self.pieces, |usage| usage.completion_tokens),
            prefill_ms: ms(self.started, first),
            decode_ms: ms(first, now),
            mean_logprob: 0.0,
            scores: Vec::new(),
            drafts: Drafts::default(),
        };
        let sent = self.job.reader.send(Ok(Chunk::Done(summary))).await;
        sent.map_err(|_| GenerateError::Gone)
    }
}

/// Lets through what has the shape that was asked for. Servers that do not know of shapes are not trusted with it.
#[derive(Debug)]
struct ShapeCheck {
    check: Check,
    /// What may stand before the answer and is no part of it.
    before: &'static [char],
}

impl ShapeCheck {
    fn new(guide: Guide, shape: Option<&Shape>) -> Self {
        let before: &[char] = match shape {
            Some(Shape::Json(_) | Shape::Choices(_)) => &[' ', '\t', '\r', '\n'],
            Some(Shape::Paragraph { .. }) => &['\r', '\n'],
            _ => &[],
        };
        Self {
            check: Check::new(guide),
            before,
        }
    }

    /// The part of a text that belongs to the answer, and whether the answer is whole.
    fn push<'t>(&mut self, text: &'t str, host: &str) -> Result<(&'t str, bool), GenerateError> {
        let text = if self.check.has_begun() {
            text
        } else {
            text.trim_start_matches(self.before)
        };
        let taken = self.check.push(text);
        let guide = self.check.guide();
        if taken < text.len() && !guide.may_end() {
            return Err(shapeless(host));
        }
        let line = guide.ends_with_line();
        let whole = guide.is_complete() || taken < text.len();
        // what may end here ends with a whole character
        let text = text.get(..taken).unwrap_or_default();
        let text = if whole && line {
            text.trim_end_matches('\n')
        } else {
            text
        };
        Ok((text, whole))
    }

    /// The server says that the answer has ended.
    fn finish(&mut self, host: &str) -> Result<(), GenerateError> {
        if self.check.guide().may_end() {
            Ok(())
        } else {
            Err(shapeless(host))
        }
    }
}

fn shapeless(host: &str) -> GenerateError {
    GenerateError::Failed(format!(
        "the engine at {host} does not keep to the form that was asked for; ask again, or use an engine that knows \
         `response_format` (for choices and patterns: vLLM), or a local model"
    ))
}

/// Takes the text that an answer was asked to begin with off its start: callers have it already.
#[derive(Debug)]
struct Prefix {
    wanted: String,
    held: String,
    done: bool,
}

impl Prefix {
    fn new(wanted: &str) -> Self {
        Self {
            wanted: wanted.trim_start().to_owned(),
            held: String::new(),
            done: wanted.trim().is_empty(),
        }
    }

    fn push(&mut self, text: &str) -> String {
        if self.done {
            return text.to_owned();
        }
        self.held.push_str(text);
        let seen = self.held.trim_start();
        if seen.len() < self.wanted.len() && self.wanted.starts_with(seen) {
            return String::new();
        }
        self.done = true;
        let rest = seen.strip_prefix(&self.wanted).unwrap_or(&self.held).to_owned();
        self.held.clear();
        rest
    }

    fn finish(&mut self) -> String {
        self.done = true;
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(prefix: &str, pieces: &[&str]) -> String {
        let mut filter = Prefix::new(prefix);
        let mut text: String = pieces.iter().map(|piece| filter.push(piece)).collect();
        text.push_str(&filter.finish());
        text
    }

    #[test]
    fn a_repeated_beginning_is_taken_off_and_nothing_else() {
        assert_eq!(all("1.", &["1", ". One", "\n2."]), " One\n2.");
        assert_eq!(all("1.", &["\n1.", " One"]), " One");
        assert_eq!(all("The sea", &["The ", "lake"]), "The lake");
        assert_eq!(all("The sea", &["The "]), "The ");
        assert_eq!(all("", &[" a", "b"]), " ab");
    }
}
