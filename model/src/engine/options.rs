//! How to run a model, and why it cannot be loaded or run.
use crate::device::Provider;

/// How to run a model.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Threads for one step; 0 means one for each core.
    pub threads: usize,
    /// Providers to ask, in this order. The CPU is asked last whether it is named or not.
    pub devices: Vec<Provider>,
    /// Tokens that prompt and answer may have together; the model's own limit if that is less.
    pub context: usize,
    /// Microseconds that a thread looks for work before it sleeps. Between two nodes of a graph there is work again after a
    /// few; to be woken takes longer than that. ONNX Runtime's own habit, to look for long, is much slower on a busy machine.
    pub spin_us: u32,
    /// Requests that may wait while others run.
    pub queue: usize,
    /// Requests that are answered at the same time, at most; what somebody waits for while typing may be two more. Only as many
    /// as `kept_bytes` has room for, but always one.
    pub together: usize,
    /// Bytes of keys and values that are kept of earlier requests, so that the next one of the same document is read
    /// from where it changed. The running request's are kept whatever the number.
    pub kept_bytes: usize,
    /// Whether what was read is tried as a draft of what is written. It changes the speed, not the text.
    pub drafts: bool,
    /// Where keys and values lie.
    pub cache: CachePlan,
    /// Bytes of memory that it may take; `None`: what the system says is free. A larger model is refused before loading.
    pub memory: Option<u64>,
    /// Folder of the adapters that requests may name; `None`: only those that were added to the worker.
    pub adapters: Option<std::path::PathBuf>,
    /// Seconds since 1970 (UTC), for chat templates that tell the model today's date; `None` tells none.
    pub clock: Option<fn() -> u64>,
}

/// Where keys and values of the tokens read lie. Whether a graph writes in place is tried at load; one that does not gets
/// a growing cache, whatever was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CachePlan {
    /// In place if every layer of the graph has an operator that can.
    #[default]
    Detect,
    /// In place if the trial says that it works.
    InPlace,
    /// In tensors that every run returns anew.
    Growing,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            threads: 0,
            devices: Provider::PREFERRED.to_vec(),
            context: 4096,
            spin_us: 50,
            queue: 16,
            together: 4,
            kept_bytes: 256 << 20,
            drafts: true,
            cache: CachePlan::default(),
            memory: None,
            adapters: None,
            clock: None,
        }
    }
}

impl EngineOptions {
    /// The number of threads that `threads` means on this machine.
    #[must_use]
    pub fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            count => count,
        }
    }
}

/// Why a model cannot be loaded. The words are for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The graph is of a kind that is not handled.
    #[error("this model cannot be used: {0}")]
    Unsupported(String),
    /// There is not memory enough.
    #[error(
        "this model needs about {needed} GB of memory and {free} GB are free: close other programs, or choose a model of \
         at most {fits} billion parameters in 4 bits"
    )]
    TooLarge {
        /// Gigabytes that it needs.
        needed: String,
        /// Gigabytes that are free.
        free: String,
        /// Billions of parameters that would fit.
        fits: String,
    },
    /// ONNX Runtime does not open it.
    #[error("{file}: ONNX Runtime cannot open this model: {reason}")]
    NotOpened {
        /// The graph's file.
        file: String,
        /// ONNX Runtime's words.
        reason: String,
    },
    /// `tokenizer.json` is damaged or newer than this program.
    #[error("{file}: this tokenizer cannot be read: {reason}")]
    Tokenizer {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The chat template cannot be read.
    #[error("the model's chat template cannot be read: {0}")]
    Template(String),
    /// The model loads and does not run.
    #[error("the model was loaded but its first run failed: {0}")]
    FirstRun(String),
    /// The worker's thread could not be started or ended early.
    #[error("the model's thread failed: {0}")]
    Thread(String),
}

impl LoadError {
    /// The model loads and does not run there. A card can take a graph and fail at it: its memory is short, it is too old.
    pub(crate) fn first_run(provider: Provider, error: &EngineError) -> Self {
        Self::FirstRun(match provider {
            Provider::Cpu => error.to_string(),
            _ => format!("on {provider}: {error}; `--devices cpu` runs it on the processor"),
        })
    }
}

/// A run that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// More tokens than the cache holds.
    #[error("the context holds {capacity} tokens and {needed} are needed")]
    Full {
        /// What it holds.
        capacity: usize,
        /// What was asked.
        needed: usize,
    },
    /// Nothing to feed.
    #[error("no tokens were given")]
    Empty,
    /// The shape that was asked for cannot be followed any further.
    #[error("the answer cannot be held to its shape: {0}")]
    Shape(String),
    /// ONNX Runtime failed.
    #[error(transparent)]
    Run(#[from] ort::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_fails_at_the_first_run_is_named_with_the_way_round_it() {
        let words = |provider| LoadError::first_run(provider, &EngineError::Empty).to_string();
        let cuda = words(Provider::Cuda);
        assert!(
            cuda.contains("on CUDA: no tokens were given") && cuda.contains("--devices cpu"),
            "{cuda}"
        );
        assert!(!words(Provider::Cpu).contains("--devices"));
    }
}
