//! The converter against other implementations: the gguf package (blocks), llama.cpp (whole models).
use std::path::{Path, PathBuf};

use model::gguf::blocks::Format;
use model::gguf::reader::GgufFile;
use model::gguf::{ConvertOptions, GgufError, Variant, convert};
use model::{Artifact, Locations};
use proptest::prelude::*;

use crate::golden::check_against_llama_cpp;
use crate::support::{engine, json, log_softmax, put, tests_folder};

pub(crate) fn small(family: &str) -> PathBuf {
    tests_folder().join("gguf").join(format!("{family}.gguf"))
}

/// The GGUF file that the default model is made of; fails with the command that fetches it.
pub(crate) fn default_gguf() -> PathBuf {
    let file = Locations::from_environment().cache.join("engine/model.gguf");
    assert!(
        file.is_file(),
        "{} is missing: run `node scripts/model/fetch.mjs --engine`",
        file.display()
    );
    file
}

pub(crate) fn converted(file: &Path, variant: Variant, folder: &Path) -> Artifact {
    let options = ConvertOptions {
        variant,
        ..ConvertOptions::default()
    };
    convert(file, folder, options, &mut |_, _| true).unwrap();
    Artifact::open(folder).unwrap()
}

#[test]
fn blocks_say_what_the_gguf_package_reads() {
    let cases = json("blocks.json");
    for case in cases.as_array().unwrap() {
        let format = Format::of_ggml(u32::try_from(case["type"].as_u64().unwrap()).unwrap()).unwrap();
        assert_eq!(format.name(), case["name"].as_str().unwrap());
        let bytes: Vec<u8> = serde_json::from_value(case["bytes"].clone()).unwrap();
        let expected: Vec<f32> = serde_json::from_value(case["floats"].clone()).unwrap();
        let mut floats = Vec::new();
        format.floats(&bytes, &mut floats);
        assert_eq!(floats.len(), expected.len());
        for (a, b) in floats.iter().zip(&expected) {
            assert!(
                (a - b).abs() <= 1e-5 * b.abs().max(1.0),
                "{}: {a} for {b}",
                format.name()
            );
        }
    }
    assert_eq!(cases.as_array().unwrap().len(), 11, "every format");
}

/// Random weights in every architecture: what llama.cpp computes, at every position.
#[test]
fn every_family_scores_as_llama_cpp_does() {
    let fixture = json("families.json");
    // How far a log-probability may be off, in 32 bits and in 8. llama.cpp rounds activations to 8 bits always; numpy's
    // scores for Qwen 3 are exact, go up to 44, and one of its matrices is F16, which `exact` rounds too.
    for (family, full, rounded) in [
        ("llama", 0.35, 0.4),
        ("qwen2", 0.35, 0.4),
        ("qwen3", 0.01, 1.2),
        ("gemma3", 0.35, 0.4),
    ] {
        let case = &fixture[family];
        let tokens: Vec<u32> = serde_json::from_value(case["tokens"].clone()).unwrap();
        let expected: Vec<Vec<f32>> = serde_json::from_value(case["scores"].clone()).unwrap();
        for (variant, near) in [
            (Variant::Fp32, full),
            (Variant::Exact, rounded),
            (Variant::Q8, rounded),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let mut engine = engine(&converted(&small(family), variant, folder.path()));
            assert!(engine.is_in_place(), "{family}");
            let mut worst = 0f64;
            for (token, expected) in tokens.iter().zip(&expected) {
                let scores = engine.feed(&[*token]).unwrap();
                for (a, b) in log_softmax(scores).iter().zip(log_softmax(expected)) {
                    worst = worst.max((a - b).abs());
                }
            }
            println!("{family} {variant:?}: log-probabilities differ by {worst:.4} at most");
            assert!(worst < near, "{family} {variant:?}: {worst}");
        }
    }
}

#[test]
fn the_default_model_in_its_own_blocks_is_llama_cpps() {
    let folder = tempfile::tempdir().unwrap();
    let artifact = converted(&default_gguf(), Variant::Exact, folder.path());
    assert_eq!(artifact.quantisation, "exact");
    check_against_llama_cpp(&artifact);
}

/// The same bits on every machine: the set-up compares hashes.
#[test]
fn the_conversion_is_the_recorded_one() {
    let folder = tempfile::tempdir().unwrap();
    converted(&default_gguf(), Variant::Q8, folder.path());
    let installed = Locations::from_environment()
        .cache
        .join("models")
        .join(model::config::DEFAULT_MODEL);
    for file in [
        "onnx/model_q8.onnx",
        "onnx/model_q8.onnx_data",
        "tokenizer.json",
        "config.json",
    ] {
        let read = |place: &Path| std::fs::read(place.join(file)).unwrap();
        assert!(read(folder.path()) == read(&installed), "{file} differs");
    }
}

#[test]
fn what_is_rounded_is_said_and_stopping_stops() {
    let folder = tempfile::tempdir().unwrap();
    let options = |variant| ConvertOptions {
        variant,
        ..ConvertOptions::default()
    };
    let report = convert(
        &small("llama"),
        folder.path(),
        options(Variant::Exact),
        &mut |_, _| true,
    )
    .unwrap();
    assert!(
        report.rounded.is_empty() && report.summary().contains("none rounded"),
        "{report:?}"
    );
    let report = convert(
        &small("llama"),
        folder.path(),
        options(Variant::Q8),
        &mut |_, _| true,
    )
    .unwrap();
    assert!(
        report
            .rounded
            .iter()
            .any(|(name, format)| name == "blk.0.ffn_down.weight" && format == "Q4_1"),
        "{report:?}"
    );
    let stopped = convert(
        &small("llama"),
        folder.path(),
        options(Variant::Q8),
        &mut |_, _| false,
    );
    assert!(matches!(stopped, Err(GgufError::Stopped)), "{stopped:?}");
}

#[test]
fn what_is_not_handled_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.gguf");
    let refusal = |from: &[u8], to: &[u8]| {
        let mut bytes = std::fs::read(small("llama")).unwrap();
        let at = bytes
            .windows(from.len())
            .position(|window| window == from)
            .unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
        put(&file, &bytes);
        convert(&file, folder.path(), ConvertOptions::default(), &mut |_, _| true)
            .unwrap_err()
            .to_string()
    };
    assert!(refusal(b"GGUF", b"GGML").contains("letters GGUF"));
    assert!(refusal(b"GGUF\x03", b"GGUF\x01").contains("version 1"));
    let error = refusal(b"blk.0.attn_norm.weight", b"blk.0.attn_gnom.weight");
    assert!(
        error.contains("attn_gnom") && error.contains("not handled"),
        "{error}"
    );
    let missing = convert(
        Path::new("/nowhere.gguf"),
        folder.path(),
        ConvertOptions::default(),
        &mut |_, _| true,
    );
    assert!(matches!(missing, Err(GgufError::Unreadable { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// A damaged head is read or refused; it neither panics nor takes memory for what is not there.
    #[test]
    fn damaged_files_are_read_or_refused(cut in 0usize..4000, at in 0usize..3000, byte in any::<u8>()) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("damaged.gguf");
        let mut bytes = std::fs::read(small("llama")).unwrap();
        bytes[at] = byte;
        put(&file, &bytes);
        if GgufFile::open(&file).is_ok() {
            let _ = model::gguf::family::Family::of(&GgufFile::open(&file).unwrap(), 64);
        }
        put(&file, &bytes[..cut]);
        prop_assert!(GgufFile::open(&file).is_err());
    }
}
