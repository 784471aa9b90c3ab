//! Folders and libraries that cannot be used say what is wrong and what to do.
use std::fs;
use std::path::Path;

use model::{Artifact, ArtifactError, EngineOptions, LoadError, Provider, Runtime, RuntimeError, Worker};

use crate::support::{engine, real, runtime, tests_folder, tiny};

fn copy_of_tiny() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("onnx")).unwrap();
    for name in [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "onnx/model.onnx",
    ] {
        fs::copy(tests_folder().join("tiny").join(name), folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn every_file_that_is_needed_is_named_when_it_is_missing() {
    Artifact::open(copy_of_tiny().path()).unwrap();
    for name in [
        "config.json",
        "tokenizer.json",
        "chat_template.jinja",
        "onnx/model.onnx",
    ] {
        let folder = copy_of_tiny();
        fs::remove_file(folder.path().join(name)).unwrap();
        let error = Artifact::open(folder.path()).unwrap_err();
        assert!(matches!(error, ArtifactError::Missing { .. }), "{error:?}");
        let words = error.to_string();
        assert!(words.contains(name) && words.contains("again"), "{words}");
    }
}

#[test]
fn weights_beside_the_graph_must_be_there_and_whole() {
    let real = real();
    let folder = copy_of_tiny();
    let graph = folder.path().join("onnx/model_q8.onnx");
    fs::copy(&real.graph, &graph).unwrap();
    let error = Artifact::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("onnx/model_q8.onnx_data"), "{error}");

    fs::File::create(folder.path().join("onnx/model_q8.onnx_data"))
        .unwrap()
        .set_len(1000)
        .unwrap();
    let error = Artifact::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("1000 bytes and needs 15"), "{error}");
}

#[test]
fn damaged_files_are_refused_in_words() {
    let load = |folder: &Path| {
        Worker::spawn(
            &runtime(),
            Artifact::open(folder).unwrap(),
            EngineOptions::default(),
        )
        .map(drop)
        .unwrap_err()
    };
    let folder = copy_of_tiny();
    fs::copy(
        folder.path().join("config.json"),
        folder.path().join("tokenizer.json"),
    )
    .unwrap();
    assert!(matches!(load(folder.path()), LoadError::Tokenizer { .. }));

    let folder = copy_of_tiny();
    fs::File::create(folder.path().join("onnx/model.onnx")).unwrap();
    let error = load(folder.path());
    assert!(matches!(error, LoadError::NotOpened { .. }), "{error:?}");
    assert!(error.to_string().contains("onnx/model.onnx"), "{error}");

    let folder = copy_of_tiny();
    fs::copy(
        folder.path().join("tokenizer.json"),
        folder.path().join("onnx/model.onnx"),
    )
    .unwrap();
    let error = Artifact::open(folder.path()).unwrap_err();
    assert!(matches!(error, ArtifactError::Damaged { .. }), "{error:?}");
}

#[test]
fn a_model_that_does_not_fit_is_refused_before_it_is_loaded() {
    let artifact = real();
    assert!(
        artifact.weight_bytes > 100_000_000,
        "the file beside the graph counts"
    );
    let options = EngineOptions {
        memory: Some(100_000_000),
        ..EngineOptions::default()
    };
    let error = Worker::spawn(&runtime(), artifact, options).unwrap_err();
    assert!(matches!(error, LoadError::TooLarge { .. }), "{error}");
    assert!(model::fit::free_memory().is_none_or(|bytes| bytes > 1 << 20));
}

#[test]
fn a_second_runtime_is_refused_and_the_same_one_is_shared() {
    let first = runtime();
    assert!(Runtime::load(first.path()).is_ok());
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("libonnxruntime.so");
    fs::copy(first.path(), &other).unwrap();
    let error = Runtime::load(&other).unwrap_err();
    assert!(matches!(error, RuntimeError::AnotherLoaded { .. }), "{error:?}");
}

#[test]
fn providers_that_refuse_are_told_and_the_cpu_runs_every_node() {
    let report = engine(&tiny("fp32")).device().clone();
    assert_eq!(report.provider, Provider::Cpu);
    assert_eq!(report.shares.len(), 1, "{report:?}");
    assert!(report.shares[0].nodes > 20, "{report:?}");
    let refused: Vec<Provider> = report.refused.iter().map(|refusal| refusal.provider).collect();
    assert_eq!(
        (refused.as_slice(), report.asked.as_slice()),
        (
            [Provider::Cuda, Provider::DirectMl].as_slice(),
            Provider::PREFERRED.as_slice()
        ),
        "the library that is fetched for this machine is the CPU's"
    );
    assert_eq!(
        report.refused[0].reason,
        "CUDA execution provider is not enabled in this build"
    );
    assert!(report.refused[0].advice().unwrap().contains("--gpu"));
    assert!(
        report
            .refused
            .iter()
            .all(|refusal| refusal.reason.len() > 10 && !refusal.reason.contains('\n')),
        "{report:?}"
    );
    assert!(report.summary().contains("CUDA not used"));

    let device = |devices: &[Provider]| {
        let options = EngineOptions {
            devices: devices.to_vec(),
            ..EngineOptions::default()
        };
        let engine = model::engine::Engine::open(&runtime(), &tiny("fp32"), &options).unwrap();
        engine.device().clone()
    };
    assert!(device(&[Provider::Cpu]).refused.is_empty());
    let late = device(&[Provider::Cpu, Provider::Cuda]).refused;
    assert!(
        late[0].reason.contains("the CPU was asked for before it"),
        "{late:?}"
    );
    // The CPU's library has none of the others, whether this build can ask for them or not.
    let all = device(Provider::ALL);
    assert_eq!(
        (all.provider, all.asked.as_slice()),
        (Provider::Cpu, Provider::ALL)
    );
    let others: Vec<Provider> = all.refused.iter().map(|refusal| refusal.provider).collect();
    assert_eq!(others, Provider::ALL[..Provider::ALL.len() - 1], "{all:?}");
    assert!(
        all.refused.iter().all(|refusal| refusal.reason.len() > 10),
        "{all:?}"
    );
}
