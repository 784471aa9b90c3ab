//! What the tests of other builds of ONNX Runtime share: the model, and a golden answer.
use std::path::Path;

use model::{
    Artifact, ChatMessage, ChatRole, Chunk, EngineOptions, GenerateRequest, Generation, Generator, Locations,
    Provider, Refusal, Runtime, Worker,
};

/// A build of ONNX Runtime for other devices; fails with the command that fetches it.
pub(crate) fn runtime(kind: &str) -> Runtime {
    let library = Locations::from_environment()
        .cache
        .join(format!("onnxruntime-{kind}/libonnxruntime.so"));
    assert!(
        library.is_file(),
        "{} is missing: run `node scripts/model/fetch.mjs --providers`",
        library.display()
    );
    Runtime::load(&library).unwrap_or_else(|error| panic!("{error}"))
}

/// The default model, asked of these devices.
pub(crate) fn worker(runtime: &Runtime, devices: &[Provider]) -> Worker {
    let folder = Locations::from_environment()
        .cache
        .join("models")
        .join(model::config::DEFAULT_MODEL);
    let artifact = Artifact::open(&folder).unwrap_or_else(|error| panic!("{error}"));
    let options = EngineOptions {
        devices: devices.to_vec(),
        ..EngineOptions::default()
    };
    Worker::spawn(runtime, artifact, options).unwrap()
}

/// A prompt, and what llama.cpp answers to it.
pub(crate) fn golden() -> (GenerateRequest, String) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/answers.json");
    let fixture: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let answer = &fixture["answers"][0];
    let messages = answer["messages"].as_array().unwrap().iter().map(|message| {
        let role = match message["role"].as_str().unwrap() {
            "system" => ChatRole::System,
            "user" => ChatRole::User,
            _ => ChatRole::Assistant,
        };
        ChatMessage {
            role,
            content: message["content"].as_str().unwrap().to_owned(),
        }
    });
    (
        GenerateRequest::greedy(messages.collect(), 24),
        answer["text"].as_str().unwrap().to_owned(),
    )
}

/// Reads an answer to its end.
pub(crate) fn answer(mut generation: Generation) -> String {
    let mut text = String::new();
    while let Some(chunk) = generation.blocking_next() {
        if let Chunk::Text(more) = chunk.unwrap() {
            text.push_str(&more);
        }
    }
    text
}

/// Why a provider is not used; `None` when it is.
pub(crate) fn refusal(worker: &Worker, provider: Provider) -> Option<Refusal> {
    let refused = &worker.info().device.refused;
    refused
        .iter()
        .find(|refusal| refusal.provider == provider)
        .cloned()
}
