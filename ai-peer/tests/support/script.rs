//! A model that follows a script: the same steps for each request, or others for each.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{
    Chunk, DeviceReport, FinishReason, GenerateError, GenerateRequest, Generation, Generator, ModelInfo,
    Provider, Summary, TokenScore,
};

/// One step of an answer.
#[derive(Debug, Clone)]
pub enum Step {
    Text(&'static str),
    Wait(u64),
    /// Text, word by word, with a pause before each.
    Words(&'static str, u64),
    /// The end.
    Done,
    /// The end because there were too many tokens.
    Cut,
    Fail,
    /// Nothing more, ever.
    Hang,
}

#[derive(Debug)]
pub struct Script {
    info: ModelInfo,
    /// The answers in turn; the last one is repeated.
    answers: Vec<Vec<Step>>,
    asked: Mutex<Vec<GenerateRequest>>,
    /// How often it says that it is busy first.
    busy: AtomicUsize,
    running: Arc<AtomicUsize>,
    cancelled: Arc<AtomicUsize>,
}

impl Script {
    pub fn new(answers: Vec<Vec<Step>>) -> Arc<Self> {
        Self::busy(answers, 0)
    }

    pub fn busy(answers: Vec<Vec<Step>>, busy: usize) -> Arc<Self> {
        Arc::new(Self {
            info: ModelInfo {
                id: "script".into(),
                name: "Script 1".into(),
                licence: Some("MIT".into()),
                quantisation: "q8".into(),
                context_length: 512,
                device: DeviceReport {
                    provider: Provider::Cpu,
                    shares: vec![],
                    asked: vec![Provider::Cpu],
                    refused: vec![],
                    runtime: "1.0".into(),
                    threads: 1,
                },
                prefill_tokens_per_second: 1000.0,
                decode_tokens_per_second: 30.0,
                load_ms: 1,
            },
            answers,
            asked: Mutex::default(),
            busy: AtomicUsize::new(busy),
            running: Arc::default(),
            cancelled: Arc::default(),
        })
    }

    /// Answers "one two three … done." slowly: a word every 100 ms.
    pub fn slow() -> Arc<Self> {
        Self::new(vec![vec![
            Step::Words(
                " one two three four five six seven eight nine ten eleven twelve.",
                100,
            ),
            Step::Done,
        ]])
    }

    pub fn asked(&self) -> Vec<GenerateRequest> {
        self.asked.lock().unwrap().clone()
    }

    pub fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    pub fn cancelled(&self) -> usize {
        self.cancelled.load(Ordering::SeqCst)
    }
}

impl Generator for Script {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.split_whitespace().count()
    }

    fn generate(&self, request: GenerateRequest) -> Result<Generation, GenerateError> {
        let busy = self
            .busy
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if busy.is_ok() {
            return Err(GenerateError::Busy {
                waiting: 1,
                seconds: 1,
            });
        }
        let mut asked = self.asked.lock().unwrap();
        let steps = self
            .answers
            .get(asked.len())
            .or(self.answers.last())
            .expect("there is an answer")
            .clone();
        asked.push(request);
        let (sender, generation) = Generation::channel(8);
        let (running, cancelled) = (Arc::clone(&self.running), Arc::clone(&self.cancelled));
        running.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            let play = async {
                for step in steps {
                    let piece = match step {
                        Step::Text(text) => Ok(Chunk::Text(text.to_owned())),
                        Step::Wait(ms) => {
                            tokio::time::sleep(Duration::from_millis(ms)).await;
                            continue;
                        }
                        Step::Words(text, ms) => {
                            for word in text.split_inclusive(' ') {
                                tokio::time::sleep(Duration::from_millis(ms)).await;
                                if sender.send(Ok(Chunk::Text(word.to_owned()))).await.is_err() {
                                    return;
                                }
                            }
                            continue;
                        }
                        Step::Done => Ok(Chunk::Done(summary(FinishReason::EndToken))),
                        Step::Cut => Ok(Chunk::Done(summary(FinishReason::MaxTokens))),
                        Step::Fail => Err(GenerateError::Failed("out of memory".into())),
                        Step::Hang => std::future::pending().await,
                    };
                    if sender.send(piece).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = play => {}
                () = sender.cancelled() => {
                    cancelled.fetch_add(1, Ordering::SeqCst);
                }
            }
            running.fetch_sub(1, Ordering::SeqCst);
        });
        Ok(generation)
    }
}

fn summary(finish: FinishReason) -> Summary {
    Summary {
        finish,
        prompt_tokens: 40,
        reused_tokens: 0,
        tokens: 11,
        prefill_ms: 100,
        decode_ms: 500,
        mean_logprob: -0.5,
        scores: [(" one two", -0.1), (" three", -4.0), (" four", -0.1)]
            .map(|(text, logprob)| TokenScore {
                text: text.to_owned(),
                logprob,
            })
            .to_vec(),
        drafts: model::Drafts::default(),
    }
}
