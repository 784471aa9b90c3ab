//! The rules of ARCHITECTURE.md that a machine can check: who may depend on whom, and how long a file may be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Our own packages each package may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("crdt", &[]),
    ("model", &[]),
    ("ai-peer", &["crdt", "model"]),
    ("sync-server", &["crdt", "ai-peer", "model"]),
    ("inkling-app", &["sync-server"]),
    ("ui", &["crdt"]),
    ("ui-bundle", &[]),
    ("tests", &["crdt", "model", "ai-peer", "sync-server"]),
];

/// Crates that only one of our packages may name.
const AT_HOME: &[(&str, &str)] = &[
    ("ort", "model"),
    ("tokenizers", "model"),
    ("axum", "sync-server"),
    ("rusqlite", "sync-server"),
    ("tauri", "inkling-app"),
    ("leptos", "ui"),
    ("wasm-bindgen", "ui"),
];

/// Nothing of these belongs into the core: it has no runtime, no network and no clock.
const NOT_IN_CORE: &[&str] = &[
    "tokio",
    "reqwest",
    "chrono",
    "time",
    "tokio-tungstenite",
    "getrandom",
];

/// A file longer than this needs another room.
const MAX_LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the workspace")
        .to_path_buf()
}

/// Our packages and the crates that each names (not those of its tests).
fn packages() -> BTreeMap<String, Vec<String>> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&out.stdout).expect("cargo metadata is JSON");
    let name = |value: &Value| value["name"].as_str().expect("it has a name").to_owned();
    metadata
        .get("packages")
        .and_then(Value::as_array)
        .expect("there are packages")
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("a list");
            (
                name(package),
                dependencies
                    .iter()
                    .filter(|one| one["kind"].is_null())
                    .map(name)
                    .collect(),
            )
        })
        .collect()
}

#[test]
fn packages_depend_only_on_what_the_architecture_lists() {
    let packages = packages();
    let ours: Vec<&String> = packages.keys().collect();
    for (package, dependencies) in &packages {
        let (_, allowed) = ALLOWED
            .iter()
            .find(|(name, _)| name == package)
            .unwrap_or_else(|| panic!("{package} is not in ARCHITECTURE.md's list"));
        for dependency in dependencies.iter().filter(|one| ours.contains(one)) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{package} may not depend on {dependency}"
            );
        }
    }
}

#[test]
fn the_large_libraries_stay_in_their_packages() {
    for (package, dependencies) in packages() {
        for (library, home) in AT_HOME {
            assert!(
                package == *home || !dependencies.iter().any(|one| one == library),
                "{library} belongs to {home}, not to {package}"
            );
        }
        if package == "crdt" {
            assert!(
                !dependencies.iter().any(|one| NOT_IN_CORE.contains(&one.as_str())),
                "{dependencies:?}"
            );
        }
    }
}

#[test]
fn no_file_is_too_long_to_be_read() {
    let out = Command::new("git")
        .args(["ls-files", "*.rs", "*.ts", "*.mjs"])
        .current_dir(root())
        .output()
        .expect("git runs");
    let long: Vec<String> = String::from_utf8_lossy(&out.stdout)
        .lines()
        .filter_map(|file| {
            let lines = std::fs::read_to_string(root().join(file)).ok()?.lines().count();
            (lines > MAX_LINES).then(|| format!("{file}: {lines} lines"))
        })
        .collect();
    assert_eq!(long, Vec::<String>::new());
}
