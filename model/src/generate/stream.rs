//! The stream between the thread that generates and the task that reads; dropping it cancels.
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::GenerateError;
use super::confidence::TokenScore;

/// Why a generation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// The model said that it is done.
    EndToken,
    /// It has the shape that was asked for, and nothing may follow.
    Complete,
    /// One of the stop strings appeared; it is not part of the text.
    StopString(String),
    /// `max_tokens` were written.
    MaxTokens,
    /// The model's context is full.
    ContextFull,
}

/// How a generation went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Why it ended.
    pub finish: FinishReason,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// How many of them did not have to be read again, because the prompt before began with them.
    pub reused_tokens: usize,
    /// Tokens written, the end token not counted.
    pub tokens: usize,
    /// Milliseconds from taking up the request to the first token.
    pub prefill_ms: u64,
    /// Milliseconds from the first token to the last.
    pub decode_ms: u64,
    /// Mean natural logarithm of the probability that the model gave to the tokens it wrote, before any
    /// sampling parameter and whatever [`Shape`](super::shape::Shape) was asked for; 0 is certain. 0 when nothing was written.
    pub mean_logprob: f64,
    /// The same for each token, with its text; [`weakest`](super::confidence::weakest) finds where it was least sure.
    #[serde(default)]
    pub scores: Vec<TokenScore>,
    /// Runs that checked a draft, and the tokens that they saved.
    #[serde(default)]
    pub drafts: Drafts,
}

/// How drafts went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drafts {
    /// Runs that checked one.
    pub tried: usize,
    /// Tokens of them that were right: so many runs fewer.
    pub right: usize,
}

/// A piece of a generation.
#[derive(Debug, Clone, PartialEq)]
pub enum Chunk {
    /// More text: whole characters, never part of a stop string.
    Text(String),
    /// The end; nothing follows.
    Done(Summary),
}

/// A running generation. Drop it to cancel: the model stops within one step.
#[derive(Debug)]
pub struct Generation {
    chunks: mpsc::Receiver<Result<Chunk, GenerateError>>,
    ended: bool,
}

impl Generation {
    /// A stream and its writing end. `capacity` is how many pieces may wait for the reader.
    #[must_use]
    pub fn channel(capacity: usize) -> (GenerationSender, Self) {
        let (sender, chunks) = mpsc::channel(capacity.max(1));
        (GenerationSender { chunks: sender }, Self { chunks, ended: false })
    }

    /// The next piece; `None` after [`Chunk::Done`] or an error. A writer that vanished is an error, not an end.
    pub async fn next(&mut self) -> Option<Result<Chunk, GenerateError>> {
        if self.ended {
            return None;
        }
        let piece = self.chunks.recv().await.unwrap_or(Err(GenerateError::Gone));
        self.ended = !matches!(piece, Ok(Chunk::Text(_)));
        Some(piece)
    }

    /// The same for a thread that may block. Panics inside an async runtime, as tokio's does.
    pub fn blocking_next(&mut self) -> Option<Result<Chunk, GenerateError>> {
        if self.ended {
            return None;
        }
        let piece = self.chunks.blocking_recv().unwrap_or(Err(GenerateError::Gone));
        self.ended = !matches!(piece, Ok(Chunk::Text(_)));
        Some(piece)
    }

    /// Reads to the end.
    ///
    /// # Errors
    /// The first error in the stream.
    pub async fn collect(mut self) -> Result<(String, Summary), GenerateError> {
        let mut text = String::new();
        while let Some(piece) = self.next().await {
            match piece? {
                Chunk::Text(more) => text.push_str(&more),
                Chunk::Done(summary) => return Ok((text, summary)),
            }
        }
        Err(GenerateError::Gone)
    }
}

/// The reader has dropped its [`Generation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads this generation any more")]
pub struct Cancelled;

/// The writing end of a [`Generation`]. The stream ends when every clone is dropped.
#[derive(Debug, Clone)]
pub struct GenerationSender {
    chunks: mpsc::Sender<Result<Chunk, GenerateError>>,
}

impl GenerationSender {
    /// Whether the reader is gone; look between steps.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.chunks.is_closed()
    }

    /// Waits until the reader is gone.
    pub async fn cancelled(&self) {
        self.chunks.closed().await;
    }

    /// Sends from a task.
    ///
    /// # Errors
    /// [`Cancelled`] when the reader is gone.
    pub async fn send(&self, piece: Result<Chunk, GenerateError>) -> Result<(), Cancelled> {
        self.chunks.send(piece).await.map_err(|_| Cancelled)
    }

    /// Sends from a thread that may block.
    ///
    /// # Errors
    /// [`Cancelled`] when the reader is gone.
    pub fn blocking_send(&self, piece: Result<Chunk, GenerateError>) -> Result<(), Cancelled> {
        self.chunks.blocking_send(piece).map_err(|_| Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done() -> Chunk {
        Chunk::Done(Summary {
            finish: FinishReason::EndToken,
            prompt_tokens: 1,
            reused_tokens: 0,
            tokens: 1,
            prefill_ms: 0,
            decode_ms: 0,
            mean_logprob: 0.0,
            scores: Vec::new(),
            drafts: Drafts::default(),
        })
    }

    #[tokio::test]
    async fn the_end_is_told_once_and_then_none() {
        let (sender, mut generation) = Generation::channel(4);
        sender.send(Ok(Chunk::Text("a".into()))).await.unwrap();
        sender.send(Ok(done())).await.unwrap();
        assert_eq!(generation.next().await, Some(Ok(Chunk::Text("a".into()))));
        assert_eq!(generation.next().await, Some(Ok(done())));
        assert_eq!(generation.next().await, None);
    }

    #[tokio::test]
    async fn a_writer_that_vanishes_is_an_error() {
        let (sender, mut generation) = Generation::channel(4);
        sender.send(Ok(Chunk::Text("a".into()))).await.unwrap();
        drop(sender);
        assert_eq!(generation.next().await, Some(Ok(Chunk::Text("a".into()))));
        assert_eq!(generation.next().await, Some(Err(GenerateError::Gone)));
        assert_eq!(generation.next().await, None);
    }

    #[tokio::test]
    async fn dropping_the_reader_cancels() {
        let (sender, generation) = Generation::channel(1);
        assert!(!sender.is_cancelled());
        drop(generation);
        sender.cancelled().await;
        assert!(sender.is_cancelled());
        assert_eq!(sender.send(Ok(done())).await, Err(Cancelled));
    }
}
