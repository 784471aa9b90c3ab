//! Every decoder with its corpus and with inputs made from it: a short run of what cargo-fuzz runs for hours.
//!
//! `INPUTS=1000000` makes more, `SEED=…` others. An input that fails is written to a file and named; once it is understood it
//! belongs into `crdt/fuzz/corpus`, where it is run each time.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "../common/cut.rs"]
#[expect(dead_code, reason = "plans are cut down elsewhere")]
mod cut;
#[path = "../../fuzz/targets.rs"]
#[expect(unreachable_pub, reason = "the programs of cargo-fuzz use it as well")]
mod targets;

use std::io::Write as _;
use std::panic::catch_unwind;
use std::path::Path;

use cut::{quietly, setting, words};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng, SeedableRng};
use targets::TARGETS;

/// Inputs for each target that only decodes; the others get a share of it.
const INPUTS: u64 = 60_000;

/// What lengths, clocks and tags are taken for.
const NUMBERS: [&[u8]; 10] = [
    &[0],
    &[1],
    &[0x7f],
    &[0x80, 0x01],
    &[0xff, 0xff, 0x03],
    &[0xff, 0xff, 0xff, 0xff, 0x07],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0xff; 12],
];

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn mutate(rng: &mut StdRng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus.choose(rng).unwrap().clone();
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..8) {
            0 if at < bytes.len() => bytes[at] = rng.random(),
            1 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, rng.random()),
            4 if at < bytes.len() => {
                let to = rng.random_range(at..bytes.len()) + 1;
                bytes.drain(at..to);
            }
            5 => {
                let number = *NUMBERS.choose(rng).unwrap();
                bytes.splice(at..at, number.iter().copied());
            }
            6 => {
                let other = corpus.choose(rng).unwrap();
                let from = rng.random_range(0..=other.len());
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
            _ if at < bytes.len() => {
                // A piece again, as a loop in an encoder would write it.
                let to = (at + rng.random_range(1..12)).min(bytes.len());
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {}
        }
    }
    bytes
}

fn run(name: &str, target: fn(&[u8]), bytes: &[u8], from: &str) {
    if let Err(panic) = catch_unwind(|| target(bytes)) {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
        std::fs::File::create(&file)
            .and_then(|mut file| file.write_all(bytes))
            .unwrap();
        panic!(
            "{name} fails ({from}), the input is in {}: {}",
            file.display(),
            words(&*panic)
        );
    }
}

fn fuzz(part: fn(usize) -> bool) {
    let seed: u64 = setting("SEED").unwrap_or(1);
    let inputs: u64 = setting("INPUTS").unwrap_or(INPUTS);
    let failed = quietly(|| {
        catch_unwind(|| {
            for (_, (name, target)) in TARGETS
                .into_iter()
                .enumerate()
                .filter(|(number, _)| part(*number))
            {
                let corpus = corpus(name);
                for bytes in &corpus {
                    run(name, target, bytes, "from the corpus");
                }
                let share = match name {
                    "markdown" => 12,
                    "anchor" => 4,
                    "room" | "editor" => 8,
                    _ => 1,
                };
                let mut rng = StdRng::seed_from_u64(seed);
                for number in 0..inputs / share {
                    let bytes = mutate(&mut rng, &corpus);
                    run(name, target, &bytes, &format!("SEED={seed}, input {number}"));
                }
            }
        })
    });
    if let Err(panic) = failed {
        panic!("{}", words(&*panic));
    }
}

#[test]
fn decoders_take_any_bytes() {
    fuzz(|number| number < 8);
}

#[test]
fn rooms_take_any_bytes() {
    fuzz(|number| number >= 8);
}

/// The harness must be able to fail, and must say with what.
#[test]
fn a_target_that_panics_is_noticed() {
    fn broken(bytes: &[u8]) {
        assert!(!bytes.contains(&200), "two hundred");
    }
    let mut rng = StdRng::seed_from_u64(1);
    let failed = quietly(|| {
        catch_unwind(move || {
            for _ in 0..10_000 {
                let bytes = mutate(&mut rng, &[vec![0; 20]]);
                run("broken", broken, &bytes, "on purpose");
            }
        })
    });
    let said = words(&*failed.unwrap_err());
    assert!(
        said.contains("two hundred") && said.contains("fuzz-broken"),
        "{said}"
    );
}
