//! A model on another machine, or in another program on this one: any endpoint that speaks as OpenAI's does.
//!
//! **Invariant.** Text that a caller has seen is never asked for again: a request is repeated only while nothing of its
//! answer has come. Dropping a [`Generation`] closes the connection, which is how these servers are told to stop.
//!
//! What such a server cannot do is told by [`Capabilities`]: tokens are estimated, an answer cannot be begun for it,
//! there are no probabilities, an answer's [`Shape`](crate::Shape) is asked for where
//! the server is known to understand that and checked in any case, and of the sampling parameters only temperature, `top_p` and the seed are sent.
mod answer;
mod events;
mod options;
mod wire;

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;

use crate::device::DeviceReport;
use crate::generate::guide;
use crate::generate::stream::{Chunk, Generation};
use crate::generate::{ChatMessage, GenerateError, GenerateRequest, Generator};
use crate::info::{Capabilities, ModelInfo};
use answer::{Job, Server};
pub use options::{RemoteError, RemoteOptions};

/// Bytes of text that are counted as one token: about four in English, less in other languages, one character or
/// less of Chinese. Too many tokens cost some context, too few would cost the whole request.
const BYTES_PER_TOKEN: usize = 3;
/// What a chat's template adds for each message, about.
const TOKENS_PER_MESSAGE: usize = 8;

/// How long an answer is that waits before another, about, in tokens.
const USUAL_ANSWER: f64 = 200.0;

/// A remote model. When the last clone of what was made of it is dropped, running requests are cancelled.
#[derive(Debug)]
pub struct RemoteEngine {
    info: ModelInfo,
    jobs: Option<tokio::sync::mpsc::Sender<Job>>,
    waiting: usize,
    thread: Option<JoinHandle<()>>,
}

impl RemoteEngine {
    /// How long a full queue takes, about, at the speed that was measured.
    fn queue_seconds(&self) -> u64 {
        let speed = self.info.decode_tokens_per_second.max(1.0);
        (self.waiting as f64 * USUAL_ANSWER / speed).ceil() as u64
    }

    /// Asks the server for its models and measures one short answer. Blocks for as long as that takes: from async code,
    /// call it where blocking is allowed.
    ///
    /// # Errors
    /// See [`RemoteError`].
    pub fn connect(options: RemoteOptions) -> Result<Self, RemoteError> {
        let started = Instant::now();
        let (jobs, queue) = tokio::sync::mpsc::channel(options.queue.max(1));
        let (ready, found) = mpsc::channel();
        let (waiting, measure) = (options.queue.max(1), options.measure);
        let host = options.host();
        let thread = std::thread::Builder::new()
            .name("remote model".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                match runtime {
                    Ok(runtime) => runtime.block_on(attend(options, queue, &ready)),
                    Err(error) => drop(ready.send(Err(RemoteError::Thread(error.to_string())))),
                }
            })
            .map_err(|error| RemoteError::Thread(error.to_string()))?;
        let found = found
            .recv()
            .map_err(|_| RemoteError::Thread("it ended while connecting".into()))??;
        let mut engine = Self {
            info: ModelInfo {
                id: found.id.clone(),
                name: found.id,
                licence: None,
                quantisation: "not told".into(),
                context_length: found.context,
                device: DeviceReport::remote(host),
                prefill_tokens_per_second: 0.0,
                decode_tokens_per_second: 0.0,
                load_ms: 0,
            },
            jobs: Some(jobs),
            waiting,
            thread: Some(thread),
        };
        if measure {
            engine.measure()?;
        }
        engine.info.load_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(model = engine.info.id, "{}", engine.info.device.summary());
        Ok(engine)
    }

    fn measure(&mut self) -> Result<(), RemoteError> {
        let mut request =
            GenerateRequest::greedy(vec![ChatMessage::user("Count from one to ten in words.")], 24);
        request
            .messages
            .insert(0, ChatMessage::system("Answer in one line."));
        let failed = |error: GenerateError| RemoteError::FirstAnswer(error.to_string());
        let mut generation = self.generate(request).map_err(failed)?;
        while let Some(chunk) = generation.blocking_next() {
            if let Chunk::Done(summary) = chunk.map_err(failed)? {
                let rate = |tokens: usize, ms: u64| tokens as f64 * 1e3 / ms.max(1) as f64;
                self.info.prefill_tokens_per_second = rate(summary.prompt_tokens, summary.prefill_ms);
                self.info.decode_tokens_per_second = rate(summary.tokens, summary.decode_ms);
            }
        }
        Ok(())
    }
}

impl Generator for RemoteEngine {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::REMOTE
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.len().div_ceil(BYTES_PER_TOKEN)
    }

    fn generate(&self, request: GenerateRequest) -> Result<Generation, GenerateError> {
        let prompt: usize = request
            .messages
            .iter()
            .map(|message| self.count_tokens(&message.content) + TOKENS_PER_MESSAGE)
            .sum();
        let limit = self.info.context_length.saturating_sub(1);
        if prompt > limit {
            return Err(GenerateError::PromptTooLong {
                tokens: prompt,
                limit,
            });
        }
        if request.adapter.is_some() {
            return Err(GenerateError::Adapter(format!(
                "{} wears no adapters from here: its server offers them as models of their own; choose one of those",
                self.info.id
            )));
        }
        let guide = request.shape.as_ref().map(|shape| guide::bytes()?.guide(shape));
        let guide = guide.transpose().map_err(GenerateError::Shape)?;
        // room for every piece of the answer: a slow reader does not hold up the others on this thread
        let (reader, generation) =
            Generation::channel(request.stop.max_tokens.min(self.info.context_length) + 4);
        let jobs = self.jobs.as_ref().ok_or(GenerateError::Gone)?;
        jobs.try_send(Job {
            request,
            guide,
            prompt,
            reader,
        })
        .map_err(|refused| match refused {
            TrySendError::Full(_) => GenerateError::Busy {
                waiting: self.waiting,
                seconds: self.queue_seconds(),
            },
            TrySendError::Closed(_) => GenerateError::Gone,
        })?;
        Ok(generation)
    }
}

impl Drop for RemoteEngine {
    fn drop(&mut self) {
        drop(self.jobs.take()); // ends the thread, and with it what runs there
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the remote model's thread panicked");
        }
    }
}

/// What the server said about its model.
struct Found {
    id: String,
    context: usize,
}

/// Lives on the thread: finds the model, then runs requests, some at once, until nobody can ask any more.
async fn attend(
    options: RemoteOptions,
    mut queue: tokio::sync::mpsc::Receiver<Job>,
    ready: &mpsc::Sender<Result<Found, RemoteError>>,
) {
    let at_once = options.at_once.max(1);
    let (server, found) = match Server::find(options).await {
        Ok(found) => found,
        Err(error) => return drop(ready.send(Err(error))),
    };
    if ready.send(Ok(found)).is_err() {
        return;
    }
    let server = std::sync::Arc::new(server);
    let mut running = tokio::task::JoinSet::new();
    while let Some(job) = queue.recv().await {
        if job.reader.is_cancelled() {
            continue;
        }
        while running.len() >= at_once {
            running.join_next().await;
        }
        let server = std::sync::Arc::clone(&server);
        running.spawn(async move { server.answer(job).await });
        while running.try_join_next().is_some() {} // what has ended is let go
    }
    // dropping the set cancels what runs: its readers are told that the model is gone
}

/// How long a server may take to make a connection good that broke before the answer began: the first pause.
const PAUSE: Duration = Duration::from_millis(500);
