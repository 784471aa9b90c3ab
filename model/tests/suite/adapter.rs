//! LoRA adapters: what they add is what merged weights would add, and nobody else notices.
use std::path::{Path, PathBuf};

use model::adapter::graph::{prepare, slots};
use model::engine::Engine;
use model::gguf::Variant;
use model::manager::{AdapterLibrary, ManagerError};
use model::{
    Adapter, AdapterError, AdapterId, Artifact, EngineOptions, GenerateError, GenerateRequest, Generator,
    Worker,
};
use proptest::prelude::*;

use crate::gguf::{converted, default_gguf, small};
use crate::lora::{RANK, merge, random, write_gguf, write_peft};
use crate::support::{ask, collect, engine, log_softmax, put, real, tiny, worker};

fn adapted(artifact: &Artifact) -> Engine {
    let graph = prepare(&artifact.graph, &artifact.id).unwrap();
    engine(&Artifact {
        graph,
        ..artifact.clone()
    })
}

/// Log-probabilities after a prompt and after each of some single tokens.
fn run(engine: &mut Engine, tokens: &[u32]) -> Vec<Vec<f64>> {
    let (prompt, rest) = tokens.split_at(tokens.len() / 2);
    engine.turn_to(prompt).unwrap();
    engine.rewind(0).unwrap();
    let mut all = vec![log_softmax(engine.feed(prompt).unwrap())];
    for token in rest {
        all.push(log_softmax(engine.feed(&[*token]).unwrap()));
    }
    all
}

/// The greatest difference, as a share of the number where that is large: some of these models are sure of one token, and all
/// others are very unlikely.
fn apart(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs
        .map(|(a, b)| (a - b).abs() / a.abs().max(1.0))
        .fold(0.0, f64::max)
}

/// Mean divergence of the second from the first.
fn divergence(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| a.exp() * (a - b)).sum::<f64>() / a.len() as f64
}

#[test]
fn an_adapter_adds_what_merged_weights_would_in_every_family() {
    for family in ["llama", "qwen2", "qwen3", "gemma3"] {
        let folder = tempfile::tempdir().unwrap();
        let artifact = converted(&small(family), Variant::Fp32, folder.path());
        let slots = slots(&artifact.graph, family).unwrap();
        let random = random(&slots, 3, 0.3);
        let peft = folder.path().join("peft");
        write_peft(&random, &peft);
        let adapter = Adapter::open(&peft, family, &slots).unwrap();
        assert_eq!((adapter.changed(), adapter.rank()), (random.len(), RANK));
        let tokens: Vec<u32> = (1..13).collect();
        let plain = run(&mut engine(&artifact), &tokens);
        let mut worn = adapted(&artifact);
        assert!(worn.is_in_place(), "{family}");
        assert_eq!(
            run(&mut worn, &tokens),
            plain,
            "{family}: nothing on changes nothing"
        );
        worn.wear(Some(&adapter)).unwrap();
        let with = run(&mut worn, &tokens);
        if family == "llama" {
            let file = folder.path().join("adapter.gguf");
            let head = slots[0].parts[0].outputs / 4;
            write_gguf(&random, head_of(&artifact, head), &file);
            worn.wear(Some(&Adapter::open(&file, family, &slots).unwrap()))
                .unwrap();
            assert_eq!(
                run(&mut worn, &tokens),
                with,
                "the same adapter in the other format"
            );
        }
        worn.wear(None).unwrap();
        assert_eq!(run(&mut worn, &tokens), plain, "{family}: taken off");
        drop(worn);
        merge(&artifact, &slots, &random);
        let merged = run(&mut engine(&artifact), &tokens);
        let (difference, effect) = (apart(&merged, &with), apart(&merged, &plain));
        println!(
            "{family}: {difference:.6} from the merged weights, which are {effect:.2} from the plain ones"
        );
        assert!(
            difference < 1e-3 && effect > 0.01,
            "{family}: {difference} {effect}"
        );
    }
}

/// Numbers of one head, by the settings.
fn head_of(artifact: &Artifact, otherwise: usize) -> usize {
    let settings = std::fs::read(artifact.folder.join("config.json")).unwrap();
    let settings: serde_json::Value = serde_json::from_slice(&settings).unwrap();
    settings["head_dim"].as_u64().map_or_else(
        || {
            let side = |name: &str| settings[name].as_u64();
            side("hidden_size")
                .zip(side("num_attention_heads"))
                .map_or(otherwise, |(width, heads)| {
                    usize::try_from(width / heads).unwrap()
                })
        },
        |dim| usize::try_from(dim).unwrap(),
    )
}

/// In 32 bits it is the merged model; in 8 bits it is as near to it as the plain model in 8 bits is to the plain one.
#[test]
fn the_default_model_with_an_adapter_is_the_merged_model() {
    let folder = tempfile::tempdir().unwrap();
    let full = converted(&default_gguf(), Variant::Fp32, folder.path());
    let default = real();
    let slots = slots(&full.graph, "full").unwrap();
    let random = random(&slots, 11, 0.15);
    let peft = folder.path().join("peft");
    write_peft(&random, &peft);
    let adapter = Adapter::open(&peft, "full", &slots).unwrap();
    let tokenizer = model::tokenizer::TextTokenizer::open(&full.tokenizer).unwrap();
    let tokens = tokenizer
        .encode("The bridge over the little river will be closed from Monday to Friday.")
        .unwrap();
    let with = {
        let mut worn = adapted(&full);
        worn.wear(Some(&adapter)).unwrap();
        run(&mut worn, &tokens)
    };
    let plain = run(&mut engine(&full), &tokens);
    let eight_bits = {
        let mut worn = adapted(&default);
        let own = model::adapter::graph::slots(&default.graph, "default").unwrap();
        worn.wear(Some(&Adapter::open(&peft, "default", &own).unwrap()))
            .unwrap();
        run(&mut worn, &tokens)
    };
    merge(&full, &slots, &random);
    let merged = run(&mut engine(&full), &tokens);
    let (difference, effect) = (apart(&merged, &with), divergence(&merged, &plain));
    let rounded = divergence(&merged, &eight_bits);
    println!(
        "{difference:.5} apart; divergence of the plain model {effect:.3}, of 8 bits with the adapter {rounded:.4}"
    );
    assert!(difference < 1e-3, "{difference}");
    assert!(effect > 0.05, "the adapter does something: {effect}");
    assert!(rounded < 0.03 && rounded * 4.0 < effect, "{rounded} {effect}");
}

fn answer(worker: &Worker, request: &GenerateRequest) -> String {
    collect(worker.generate(request.clone()).unwrap()).0
}

fn wearing(request: &GenerateRequest, adapter: &str) -> GenerateRequest {
    GenerateRequest {
        adapter: Some(AdapterId(adapter.to_owned())),
        ..request.clone()
    }
}

/// A worker with the adapters `one` and `two`.
fn dressed(artifact: &Artifact, folder: &Path, strength: f32) -> Worker {
    let slots = slots(&artifact.graph, "model").unwrap();
    for (name, seed) in [("one", 5), ("two", 6)] {
        write_peft(&random(&slots, seed, strength), &folder.join(name));
    }
    worker(
        artifact.clone(),
        EngineOptions {
            adapters: Some(folder.to_path_buf()),
            ..EngineOptions::default()
        },
    )
}

#[test]
fn adapters_are_switched_by_request_and_nobody_meets_anothers_cache() {
    let folder = tempfile::tempdir().unwrap();
    let artifact = real();
    let dressed = dressed(&artifact, folder.path(), 0.15);
    let request = ask("Write three sentences about a lighthouse.", 12);
    let longer = ask(
        "Write three sentences about a lighthouse. Begin with the sea.",
        24,
    );
    let alone: Vec<[String; 2]> = ["one", "two"]
        .map(|name| {
            let fresh = self::dressed(&artifact, folder.path(), 0.15);
            [&request, &longer].map(|request| answer(&fresh, &wearing(request, name)))
        })
        .to_vec();
    let bare = worker(artifact, EngineOptions::default());
    let plain = [&request, &longer].map(|request| answer(&bare, request));
    drop(bare);
    assert!(
        alone[0][0] != plain[0] && alone[1][0] != plain[0] && alone[0][0] != alone[1][0],
        "{alone:?} {plain:?}"
    );
    for (index, request) in [&request, &longer].into_iter().enumerate() {
        assert_eq!(answer(&dressed, &wearing(request, "one")), alone[0][index]);
        assert_eq!(answer(&dressed, request), plain[index]);
        assert_eq!(answer(&dressed, &wearing(request, "two")), alone[1][index]);
    }
    // and all of them at the same time
    let expected = [&alone[0][1], &plain[1], &alone[1][1], &alone[0][0]];
    let running = [
        wearing(&longer, "one"),
        longer.clone(),
        wearing(&longer, "two"),
        wearing(&request, "one"),
    ]
    .map(|request| dressed.generate(request).unwrap());
    assert_eq!(
        running.map(|generation| collect(generation).0).each_ref(),
        expected
    );
    let again = dressed.generate(wearing(&request, "one")).unwrap();
    let (_, summary) = collect(again);
    assert!(summary.reused_tokens > 10, "its own cache is kept: {summary:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    /// Whoever asked before, with whichever adapter: without one the answer is that of a model that never had any.
    #[test]
    fn adapters_that_are_off_change_nothing(
        requests in proptest::collection::vec(("[a-z ]{1,30}", 0usize..3, 1usize..16), 2..7),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let artifact = converted(&small("qwen2"), Variant::Q8, folder.path());
        let dressed = dressed(&artifact, &folder.path().join("adapters"), 0.3);
        let plain = worker(artifact, EngineOptions { drafts: false, ..EngineOptions::default() });
        for (text, who, tokens) in requests {
            let mut request = ask(&text, tokens);
            request.params.repetition_penalty = 1.2;
            match who {
                0 => prop_assert_eq!(answer(&dressed, &request), answer(&plain, &request)),
                1 => drop(answer(&dressed, &wearing(&request, "one"))),
                _ => drop(answer(&dressed, &wearing(&request, "two"))),
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let little = converted(&small("llama"), Variant::Q8, folder.path());
    let own = slots(&little.graph, "little").unwrap();
    let peft: PathBuf = folder.path().join("peft");
    write_peft(&random(&own, 1, 0.1), &peft);
    let default = real();
    let of_default = slots(&default.graph, &default.id).unwrap();
    let error = Adapter::open(&peft, &default.id, &of_default).unwrap_err();
    assert!(matches!(error, AdapterError::OtherBase { .. }), "{error}");
    let words = error.to_string();
    assert!(
        words.contains(&default.id) && words.contains("trained on"),
        "{words}"
    );

    // fewer layers
    let error = Adapter::open(&peft, "little", &own[..1]).unwrap_err();
    assert!(matches!(error, AdapterError::OtherBase { .. }), "{error}");

    let worker = worker(little.clone(), EngineOptions::default());
    let error = worker.generate(wearing(&ask("a", 2), "none")).unwrap_err();
    assert!(
        matches!(&error, GenerateError::Adapter(words) if words.contains("`none`")),
        "{error}"
    );
    for name in ["../peft", ""] {
        let error = worker.generate(wearing(&ask("a", 2), name)).unwrap_err();
        assert!(matches!(error, GenerateError::Adapter(_)), "{error}");
    }
    worker.add_adapter(AdapterId("mine".into()), &peft).unwrap();
    answer(&worker, &wearing(&ask("a", 2), "mine"));

    std::fs::remove_file(peft.join("adapter_config.json")).unwrap();
    let error = Adapter::open(&peft, "little", &own).unwrap_err();
    assert!(error.to_string().contains("adapter_config.json"), "{error}");
    put(&peft.join("adapter_config.json"), b"{}");
    put(&peft.join("adapter_model.safetensors"), b"cut");
    let error = Adapter::open(&peft, "little", &own).unwrap_err();
    assert!(matches!(error, AdapterError::Damaged { .. }), "{error}");
    let error = Adapter::open(&small("llama"), "little", &own).unwrap_err();
    assert!(error.to_string().contains("says that it is a model"), "{error}");

    let error = slots(&tiny("fp32").graph, "tiny").unwrap_err();
    assert!(
        matches!(&error, AdapterError::Base { .. }) && error.to_string().contains("GGUF"),
        "{error}"
    );
}

#[test]
fn adapters_are_added_listed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let base = converted(&small("qwen2"), Variant::Q8, folder.path());
    let own = slots(&base.graph, &base.id).unwrap();
    let (peft, file) = (folder.path().join("My Style"), folder.path().join("law.gguf"));
    write_peft(&random(&own, 1, 0.1), &peft);
    let library = AdapterLibrary::new(folder.path().join("adapters"));
    assert_eq!(library.list(), []);
    let added = library.add(&peft, None, &base).unwrap();
    assert_eq!((added.id.as_str(), &added.record.base), ("my-style", &base.id));
    assert_eq!(
        (added.record.rank, added.record.changed),
        (RANK, 7 * own.len() / 4)
    );
    assert!(matches!(
        library.add(&peft, None, &base),
        Err(ManagerError::AdapterExists(_))
    ));
    write_gguf(&random(&own, 1, 0.1), 2, &file);
    library.add(&file, Some("law"), &base).unwrap();
    let names: Vec<String> = library.list().into_iter().map(|adapter| adapter.id).collect();
    assert_eq!(names, ["law", "my-style"]);
    // what does not fit leaves nothing behind
    let refused = library.add(&peft, Some("other"), &real());
    assert!(matches!(refused, Err(ManagerError::Adapter(_))), "{refused:?}");
    assert_eq!(library.list().len(), 2);
    library.remove("law").unwrap();
    assert!(matches!(
        library.remove("law"),
        Err(ManagerError::AdapterUnknown(_))
    ));
    let worker = worker(
        base.clone(),
        EngineOptions {
            adapters: Some(folder.path().join("adapters")),
            ..EngineOptions::default()
        },
    );
    let request = wearing(&ask("a", 12), "my-style");
    let first = answer(&worker, &request);
    // another one of the same name is another one, and one that was removed is not there any more
    library.remove("my-style").unwrap();
    let error = worker.generate(request.clone()).unwrap_err();
    assert!(error.to_string().contains("no adapter `my-style`"), "{error}");
    write_peft(&random(&own, 9, 0.4), &peft);
    library.add(&peft, None, &base).unwrap();
    assert_ne!(answer(&worker, &request), first);
}
