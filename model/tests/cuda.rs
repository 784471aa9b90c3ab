//! The build of ONNX Runtime for NVIDIA's cards, from the package registry, on a machine that may have none: what its loader
//! says is what people are told, and the model runs on the processor. A program of its own, because a process has one ONNX
//! Runtime.
//!
//! The package is fetched for Linux on x86-64. Elsewhere the ordinary build is asked (`suite/refusals.rs`), which says that it
//! has no CUDA.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops where something is wrong"
)]

use std::path::Path;

use model::{
    Artifact, ChatMessage, ChatRole, Checkup, Chunk, EngineOptions, GenerateRequest, Generator, Locations,
    Provider, Refusal, Runtime, Worker,
};

/// The library; fails with the command that fetches it.
fn runtime() -> Runtime {
    let library = Locations::from_environment()
        .cache
        .join("onnxruntime-gpu/libonnxruntime.so");
    assert!(
        library.is_file(),
        "{} is missing: run `node scripts/model/fetch.mjs --providers`",
        library.display()
    );
    Runtime::load(&library).unwrap_or_else(|error| panic!("{error}"))
}

/// The default model, asked for these devices.
fn worker(devices: &[Provider]) -> Worker {
    let folder = Locations::from_environment()
        .cache
        .join("models")
        .join(model::config::DEFAULT_MODEL);
    let artifact = Artifact::open(&folder).unwrap_or_else(|error| panic!("{error}"));
    let options = EngineOptions {
        devices: devices.to_vec(),
        ..EngineOptions::default()
    };
    Worker::spawn(&runtime(), artifact, options).unwrap()
}

/// A prompt, and what llama.cpp answers to it.
fn golden() -> (GenerateRequest, String) {
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

fn answer(worker: &Worker, request: GenerateRequest) -> String {
    let (mut text, mut generation) = (String::new(), worker.generate(request).unwrap());
    while let Some(chunk) = generation.blocking_next() {
        if let Chunk::Text(more) = chunk.unwrap() {
            text.push_str(&more);
        }
    }
    text
}

fn refusal(worker: &Worker, provider: Provider) -> Option<Refusal> {
    let refused = &worker.info().device.refused;
    refused.iter().find(|refusal| refusal.provider == provider).cloned()
}

#[test]
fn what_the_loader_says_is_told_and_the_model_runs_on_the_processor() {
    let worker = worker(&[
        Provider::TensorRt,
        Provider::Cuda,
        Provider::DirectMl,
        Provider::Cpu,
    ]);
    let device = worker.info().device.clone();
    let report = Checkup::examine(&worker).words();
    assert!(
        report.contains("Asked for TensorRT, CUDA, DirectML, CPU, in this order\n"),
        "{report}"
    );

    match refusal(&worker, Provider::Cuda) {
        Some(refusal) => {
            // A library of NVIDIA's that is not here, or, where all are, the driver's own words.
            let known = ["libcublas", "libcudart", "libcurand", "libcuda.so", "CUDA"];
            assert!(
                known.iter().any(|words| refusal.reason.contains(words))
                    && !refusal.reason.contains("not enabled in this build"),
                "{refusal:?}"
            );
            assert!(refusal.advice().is_some(), "{refusal:?}");
            assert_eq!(device.provider, Provider::Cpu, "{device:?}");
            assert_eq!(device.shares.len(), 1, "{device:?}");
            assert_eq!(device.shares[0].provider, "CPUExecutionProvider");
            assert!(device.summary().starts_with("runs on CPU ("), "{}", device.summary());
            assert!(
                report.contains(&format!("Refused   CUDA: {}\n", refusal.reason)),
                "{report}"
            );
        }
        // There is a card, and all that it takes.
        None => assert!(
            [Provider::TensorRt, Provider::Cuda].contains(&device.provider),
            "{device:?}"
        ),
    }
    let directml = refusal(&worker, Provider::DirectMl).unwrap();
    assert_eq!(directml.reason, "only Windows has DirectML, and this is linux");
    if let Some(refusal) = refusal(&worker, Provider::TensorRt) {
        assert!(refusal.reason.contains(".so."), "{refusal:?}");
    }
    let (request, text) = golden();
    assert_eq!(answer(&worker, request), text);
}
