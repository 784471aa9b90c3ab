//! Weights of more than 2 GiB beside the graph: mapped into memory, not read; refused before loading where they do not fit.
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use model::engine::Engine;
use model::{Artifact, EngineOptions, LoadError, Worker};

use crate::support::{put, resident, runtime, tests_folder, tiny, tokens_of};

/// Rows of the large table; the tiny model's vocabulary is its beginning, and the rest is a hole in the file.
const ROWS: u64 = 36_000_000;

/// Bytes of a row: 16 numbers of 4 bytes.
const ROW: u64 = 64;

/// The table of the tiny model's graph that is put into a file of its own.
const TABLE: &str = "embed_tokens.weight";

/// A number of a protobuf message, seven bits to a byte.
fn number(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 128 {
        bytes.push((value & 127) as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A field of a protobuf message that has a length.
fn field(id: u64, content: &[u8]) -> Vec<u8> {
    [&number(id << 3 | 2), &number(content.len() as u64), content].concat()
}

fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes
        .windows(wanted.len())
        .rposition(|window| window == wanted)
        .unwrap()
}

/// The tiny model with its table of embeddings in a file of more than 2 GiB, of which almost nothing is on the disk.
fn large(folder: &Path) -> Artifact {
    fs::create_dir(folder.join("onnx")).unwrap();
    for name in [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    ] {
        fs::copy(tests_folder().join("tiny").join(name), folder.join(name)).unwrap();
    }
    let mut graph = fs::read(tests_folder().join("tiny/onnx/model.onnx")).unwrap();

    // the table within the graph: its name (field 8), then its bytes (field 9); nobody asks for it by its new name
    let length = 258 * ROW;
    let head = [field(8, TABLE.as_bytes()), number(9 << 3 | 2), number(length)].concat();
    let at = find(&graph, &head);
    let table = graph[at + head.len()..][..usize::try_from(length).unwrap()].to_vec();
    graph[at + 2..][..5].copy_from_slice(b"small");

    // messages of protobuf that follow each other are one: TensorProto dims 1, data_type 2 (1 is float), name 8,
    // external_data 13, data_location 14 (1 is external); GraphProto.initializer 5, ModelProto.graph 7
    let entry = |key: &str, value: &str| {
        field(
            13,
            &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat(),
        )
    };
    let tensor = [
        number(1 << 3),
        number(ROWS),
        number(1 << 3),
        number(16),
        number(2 << 3),
        number(1),
        field(8, TABLE.as_bytes()),
        entry("location", "model.onnx_data"),
        entry("offset", "0"),
        entry("length", &(ROWS * ROW).to_string()),
        number(14 << 3),
        number(1),
    ]
    .concat();
    graph.extend(field(7, &field(5, &tensor)));
    put(&folder.join("onnx/model.onnx"), &graph);
    let mut data = File::create(folder.join("onnx/model.onnx_data")).unwrap();
    data.write_all(&table).unwrap();
    data.set_len(ROWS * ROW).unwrap();
    Artifact::open(folder).unwrap()
}

#[test]
fn weights_of_more_than_two_gibibytes_are_mapped_and_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let artifact = large(folder.path());
    assert!(artifact.weight_bytes > 2 << 30, "{}", artifact.weight_bytes);
    let runtime = runtime();
    let options = EngineOptions::default();
    let prompt = tokens_of("tiny.json");
    let expected = Engine::open(&runtime, &tiny("fp32"), &options)
        .unwrap()
        .feed(&prompt)
        .unwrap()
        .to_vec();
    let before = resident();
    let mut engine = Engine::open(&runtime, &artifact, &options).unwrap();
    assert_eq!(
        engine.feed(&prompt).unwrap(),
        expected,
        "the rows are the right ones"
    );
    if let (Some(before), Some(after)) = (before, resident()) {
        println!("{before:.0} MB before, {after:.0} MB after");
        assert!(
            after < before + 200.0,
            "{before:.0} MB before, {after:.0} MB after"
        );
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let artifact = large(folder.path());
    let options = EngineOptions {
        memory: Some(2_000_000_000),
        ..EngineOptions::default()
    };
    let runtime = runtime();
    // a graph that cannot be opened at all: it is not come to that
    put(&artifact.graph, b"no graph");
    let error = Worker::spawn(&runtime, artifact, options).unwrap_err();
    assert!(matches!(error, LoadError::TooLarge { .. }), "{error}");
    let words = error.to_string();
    assert!(
        words.contains("2.6 GB")
            && words.contains("2.0 GB are free")
            && words.contains("3.0 billion parameters"),
        "{words}"
    );
}
