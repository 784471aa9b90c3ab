//! The thread that owns a loaded model. Everybody else puts requests in its queue.
mod adapted;
mod desk;
mod measure;
mod priority;
mod queue;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::adapter::{AdapterError, AdapterId, NOBODY};
use crate::artifact::Artifact;
use crate::chat_template::ChatTemplate;
use crate::device::DeviceReport;
use crate::engine::pool::common;
use crate::engine::{Engine, EngineOptions, LoadError};
use crate::generate::answer::Surroundings;
use crate::generate::guide::{Grammars, Guide};
use crate::generate::job::{Job, Prompt, Ticket};
use crate::generate::pace::PaceKeeper;
use crate::generate::stream::Generation;
use crate::generate::{GenerateError, GenerateRequest, Generator, Pace, Turn};
use crate::info::ModelInfo;
use crate::runtime::Runtime;
use crate::tokenizer::TextTokenizer;
use adapted::{Adapters, Graphs};
use desk::Desk;
use measure::{draft_cost, measure, row_cost};
use queue::{Queue, Refused, Waiting};

/// A loaded model. Cheap to clone; when the last clone is dropped the running generation ends with
/// [`GenerateError::Gone`] within a step, and the thread is waited for.
#[derive(Debug, Clone)]
pub struct Worker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    info: ModelInfo,
    tokenizer: TextTokenizer,
    template: ChatTemplate,
    end_tokens: Vec<u32>,
    /// Made when the first shape is asked for.
    grammars: OnceLock<Result<Grammars, String>>,
    clock: Option<fn() -> u64>,
    queue: Arc<Queue<Job>>,
    ending: Arc<AtomicBool>,
    pace: Arc<PaceKeeper>,
    runs: Arc<AtomicU64>,
    unfinished: Arc<AtomicUsize>,
    kept: Arc<Mutex<Kept>>,
    adapters: Adapters,
    thread: Option<JoinHandle<()>>,
}

/// What the caches held after the last request.
#[derive(Debug, Default)]
struct Kept {
    /// Tokens, by owner.
    tokens: HashMap<u64, Vec<Vec<u32>>>,
    /// Bytes of the model's own graph, and of the one that wears adapters.
    bytes: [usize; 2],
}

impl Kept {
    fn note(&mut self, engine: &Engine, owner: u64) {
        self.tokens.insert(owner, engine.kept(owner));
        let [own, adapted] = &mut self.bytes;
        *(if owner == NOBODY { own } else { adapted }) = engine.kept_bytes();
    }
}

/// What the thread tells once the model is loaded.
#[derive(Debug)]
struct Loaded {
    device: DeviceReport,
    capacity: usize,
    pace: Arc<PaceKeeper>,
    runs: Arc<AtomicU64>,
}

impl Waiting for Job {
    fn is_abandoned(&self) -> bool {
        self.reader.is_cancelled()
    }

    fn turn(&self) -> &Turn {
        &self.turn
    }

    fn cost(&self) -> Duration {
        self.cost
    }
}

impl Worker {
    /// Loads a model on a thread of its own and measures it. Blocks for as long as that takes (about a second
    /// for a small model): from async code, call it where blocking is allowed.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn spawn(runtime: &Runtime, artifact: Artifact, options: EngineOptions) -> Result<Self, LoadError> {
        let started = Instant::now();
        crate::fit::check(
            artifact.weight_bytes,
            options.memory.or_else(crate::fit::free_memory),
        )?;
        let tokenizer = TextTokenizer::open(&artifact.tokenizer).map_err(|reason| LoadError::Tokenizer {
            file: artifact.tokenizer.display().to_string(),
            reason,
        })?;
        let template = ChatTemplate::new(&artifact.chat_template, artifact.special_texts.clone())
            .map_err(LoadError::Template)?;
        let tokenizer = tokenizer.guarding(&[&artifact.chat_template, &template.specimen()]);
        let mut end_tokens = artifact.end_tokens.clone();
        end_tokens.extend(artifact.end_texts.iter().filter_map(|text| tokenizer.id_of(text)));

        let adapters = Adapters::new(&artifact, options.adapters.clone());
        let clock = options.clock;
        let queue = Arc::new(Queue::<Job>::new(options.queue));
        let ending = Arc::new(AtomicBool::new(false));
        let kept = Arc::<Mutex<Kept>>::default();
        let (loaded, result) = mpsc::channel();
        let body = {
            let (runtime, artifact, tokenizer) = (runtime.clone(), artifact.clone(), tokenizer.clone());
            let (queue, ending, kept) = (Arc::clone(&queue), Arc::clone(&ending), Arc::clone(&kept));
            let end_tokens = end_tokens.clone();
            move || {
                let _until = Queue::until_dropped(Arc::clone(&queue));
                priority::give_way();
                let opened = Engine::open(&runtime, &artifact, &options)
                    .and_then(|mut engine| measure(&mut engine, &tokenizer).map(|speed| (engine, speed)));
                let (engine, pace) = match opened {
                    Ok((engine, speed)) => {
                        let pace = Arc::new(PaceKeeper::new(speed));
                        let told = Loaded {
                            device: engine.device().clone(),
                            capacity: engine.capacity(),
                            pace: Arc::clone(&pace),
                            runs: engine.runs(),
                        };
                        drop(loaded.send(Ok(told)));
                        (engine, pace)
                    }
                    Err(error) => return drop(loaded.send(Err(error))),
                };
                drop(loaded);
                let provider = engine.device().provider;
                let graphs = Graphs::new(engine, &runtime, &artifact, &options);
                let around = Surroundings {
                    tokenizer: &tokenizer,
                    end_tokens: &end_tokens,
                    ending: &ending,
                    pace: &pace,
                    draft_cost: options.drafts.then_some(draft_cost(provider)),
                    row_cost: row_cost(provider),
                };
                let note = |engine: &Engine, owner| {
                    kept.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .note(engine, owner);
                };
                Desk::new(graphs, &around, options.together, &note).serve(&queue);
            }
        };
        let thread = std::thread::Builder::new()
            .name("model".into())
            .spawn(body)
            .map_err(|error| LoadError::Thread(error.to_string()))?;
        let Loaded {
            device,
            capacity,
            pace,
            runs,
        } = result
            .recv()
            .map_err(|_| LoadError::Thread("it ended while loading".into()))??;
        let speed = pace.now();
        let info = info_of(artifact, capacity, device, speed, started);
        Ok(Self {
            shared: Arc::new(Shared {
                info,
                tokenizer,
                template,
                end_tokens,
                grammars: OnceLock::new(),
                clock,
                queue,
                ending,
                pace,
                runs,
                unfinished: Arc::default(),
                kept,
                adapters,
                thread: Some(thread),
            }),
        })
    }

    /// The tokenizer, for callers that cut text to a number of tokens.
    #[must_use]
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.shared.tokenizer
    }

    /// How often the graph has been run since it was measured; a run is counted when it begins.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.shared.runs.load(Ordering::Relaxed)
    }

    /// Requests that wait or run; one whose reader has left counts until the worker has noticed.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.shared.unfinished.load(Ordering::Acquire)
    }

    /// Bytes of keys and values that were kept after the last request.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        let kept = self.shared.kept.lock();
        kept.unwrap_or_else(PoisonError::into_inner).bytes.iter().sum()
    }

    /// The tokens that the model would read for a request, as its template and tokenizer make them.
    ///
    /// # Errors
    /// [`GenerateError::Template`].
    pub fn prompt_tokens(&self, request: &GenerateRequest) -> Result<Vec<u32>, GenerateError> {
        Ok(self.prompt(request)?.tokens)
    }

    /// Reads an adapter, which requests may name from now on; one of the same name is replaced. Blocks while the files are read.
    ///
    /// # Errors
    /// See [`AdapterError`].
    pub fn add_adapter(&self, id: AdapterId, place: &Path) -> Result<(), AdapterError> {
        self.shared.adapters.add(id, place).map(drop)
    }

    /// How long a request takes at most, at the present pace.
    fn cost(&self, prompt_tokens: usize, tokens: usize) -> Duration {
        let pace = self.pace();
        let tokens = tokens.min(self.shared.info.context_length);
        let seconds = prompt_tokens as f64 / pace.prefill.max(1.0) + tokens as f64 / pace.decode.max(1.0);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX / 1024)
    }

    /// What holds an answer to the shape that a request asks for.
    fn guide(&self, request: &GenerateRequest) -> Result<Option<Guide>, GenerateError> {
        let Some(shape) = &request.shape else {
            return Ok(None);
        };
        let shared = &self.shared;
        let grammars = shared
            .grammars
            .get_or_init(|| Grammars::of_tokenizer(&shared.tokenizer, &shared.end_tokens));
        let guide = grammars
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|grammars| grammars.guide(shape));
        guide.map(Some).map_err(GenerateError::Shape)
    }

    fn prompt(&self, request: &GenerateRequest) -> Result<Prompt, GenerateError> {
        let now = self.shared.clock.map(|clock| clock());
        Prompt::new(request, &self.shared.template, &self.shared.tokenizer, now)
    }
}

impl Generator for Worker {
    fn info(&self) -> &ModelInfo {
        &self.shared.info
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.shared.tokenizer.count(text)
    }

    fn pace(&self) -> Pace {
        self.shared.pace.now()
    }

    fn cached_tokens(&self, request: &GenerateRequest) -> usize {
        let Ok(prompt) = self.prompt(request) else {
            return 0;
        };
        let owner = match &request.adapter {
            None => Some(NOBODY),
            Some(id) => self.shared.adapters.loaded(id).map(|adapter| adapter.owner()),
        };
        let kept = self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let own = owner.and_then(|owner| kept.tokens.get(&owner));
        let longest = own
            .into_iter()
            .flatten()
            .map(|kept| common(kept, &prompt.tokens))
            .max();
        longest.unwrap_or(0)
    }

    fn generate(&self, request: GenerateRequest) -> Result<Generation, GenerateError> {
        let prompt = self.prompt(&request)?;
        if prompt.tokens.is_empty() {
            return Err(GenerateError::Template(
                "it makes an empty prompt of them".to_owned(),
            ));
        }
        let limit = self.shared.info.context_length.saturating_sub(1);
        if prompt.tokens.len() > limit {
            return Err(GenerateError::PromptTooLong {
                tokens: prompt.tokens.len(),
                limit,
            });
        }
        let guide = self.guide(&request)?;
        let adapter = match &request.adapter {
            Some(id) => Some(self.shared.adapters.get(id).map_err(GenerateError::Adapter)?),
            None => None,
        };
        // room for every piece of the answer: a slow reader never holds up the model for others
        let prompt_tokens = prompt.tokens.len();
        let room = request.stop.max_tokens.min(self.shared.info.context_length) + 4;
        let (reader, generation) = Generation::channel(room);
        let job = Job {
            prompt,
            params: request.params,
            cost: self.cost(prompt_tokens, request.stop.max_tokens),
            stop: request.stop,
            guide,
            adapter,
            turn: request.turn,
            reader,
            _ticket: Ticket::new(&self.shared.unfinished),
        };
        self.shared.queue.push(job).map_err(|refused| match refused {
            Refused::Full(waiting, cost) => GenerateError::Busy {
                waiting,
                seconds: cost.as_secs() + 1,
            },
            Refused::Closed => GenerateError::Gone,
        })?;
        Ok(generation)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        self.queue.close();
        // ended here, because the library's own clean-up at the process's end must not meet a running graph
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the model's thread panicked");
        }
    }
}

/// What there is to tell about a model that was loaded.
fn info_of(
    artifact: Artifact,
    capacity: usize,
    device: DeviceReport,
    speed: Pace,
    started: Instant,
) -> ModelInfo {
    let info = ModelInfo {
        id: artifact.id,
        name: artifact.name,
        licence: artifact.licence,
        quantisation: artifact.quantisation,
        context_length: capacity,
        device,
        prefill_tokens_per_second: speed.prefill,
        decode_tokens_per_second: speed.decode,
        load_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    tracing::info!(
        model = info.id,
        prefill = info.prefill_tokens_per_second.round(),
        decode = info.decode_tokens_per_second.round(),
        ms = info.load_ms,
        "model loaded"
    );
    info
}
