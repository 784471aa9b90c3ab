//! Opening the models that the tests use.
use std::path::{Path, PathBuf};

use model::engine::Engine;
use model::{
    Artifact, ChatMessage, Chunk, EngineOptions, GenerateRequest, Generation, Locations, Runtime, Summary,
    Worker,
};

pub(crate) fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

pub(crate) fn json(name: &str) -> serde_json::Value {
    let path = tests_folder().join("golden").join(name);
    serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
        .unwrap()
}

/// ONNX Runtime; fails with the command that fetches it.
pub(crate) fn runtime() -> Runtime {
    Runtime::load(&Locations::from_environment().runtime).unwrap_or_else(|error| panic!("{error}"))
}

/// The default model, whatever `INKLING_MODEL` says; fails with the command that fetches it.
pub(crate) fn real() -> Artifact {
    let cache = Locations::from_environment().cache;
    let folder = cache.join("models").join(model::config::DEFAULT_MODEL);
    Artifact::open(&folder).unwrap_or_else(|error| panic!("{error}"))
}

/// The tiny model: `fp32` keeps its cache in place, `plain` lets it grow.
pub(crate) fn tiny(variant: &str) -> Artifact {
    Artifact::open_variant(&tests_folder().join("tiny"), Some(variant)).unwrap()
}

pub(crate) fn engine(artifact: &Artifact) -> Engine {
    Engine::open(&runtime(), artifact, &EngineOptions::default()).unwrap()
}

pub(crate) fn worker(artifact: Artifact, options: EngineOptions) -> Worker {
    Worker::spawn(&runtime(), artifact, options).unwrap()
}

pub(crate) fn ask(text: &str, max_tokens: usize) -> GenerateRequest {
    GenerateRequest::greedy(vec![ChatMessage::user(text)], max_tokens)
}

/// Reads an answer to its end.
pub(crate) fn collect(mut generation: Generation) -> (String, Summary) {
    let mut text = String::new();
    loop {
        match generation.blocking_next().unwrap().unwrap() {
            Chunk::Text(more) => text.push_str(&more),
            Chunk::Done(summary) => return (text, summary),
        }
    }
}

pub(crate) fn argmax(scores: &[f32]) -> u32 {
    let best = scores
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1))
        .unwrap()
        .0;
    u32::try_from(best).unwrap()
}

/// Natural logarithms of the probabilities.
pub(crate) fn log_softmax(scores: &[f32]) -> Vec<f64> {
    let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = scores.iter().map(|s| f64::from(s - top).exp()).sum();
    scores.iter().map(|s| f64::from(s - top) - sum.ln()).collect()
}

/// Writes a file of a test's own folder.
pub(crate) fn put(file: &Path, bytes: &[u8]) {
    let mut file = std::fs::File::create(file).unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
}
