//! The models on this machine, over REST: real small models, a hub that breaks off, and who may do what.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Path as Wanted, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use crdt::Role;
use futures_util::stream;
use serde_json::{Value, json};

use crate::relay::{Served, config, eventually};
use crate::sharing::ask;
use crate::tokens::guarded;

/// The small models of the crate that runs them.
fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests")
}

fn tiny() -> String {
    samples().join("tiny").display().to_string()
}

fn put(file: &Path, bytes: &[u8]) {
    let mut file = std::fs::File::create(file).unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
}

async fn served(folder: &Path) -> Served {
    let mut settings = config();
    settings.models = Some(folder.to_path_buf());
    Served::start(settings).await
}

async fn list(served: &Served) -> Value {
    let (status, list) = served.api("GET", "/models", Value::Null).await;
    assert_eq!(status, 200, "{list}");
    list
}

/// Adds, and answers the job when it is over.
async fn add(served: &Served, body: Value) -> Value {
    let (status, job) = served.api("POST", "/models", body).await;
    assert_eq!(status, 202, "{job}");
    over(served, &job).await
}

async fn over(served: &Served, job: &Value) -> Value {
    let find = || async {
        let jobs = list(served).await["jobs"].as_array().unwrap().clone();
        jobs.into_iter().find(|one| one["id"] == job["id"]).unwrap()
    };
    eventually("the job is over", || async { find().await["state"] != "running" }).await;
    find().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_and_a_gguf_file_are_added_listed_verified_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let served = served(folder.path()).await;
    assert_eq!(list(&served).await["models"], json!([]));

    let job = add(&served, json!({"from": tiny(), "name": "small"})).await;
    assert_eq!(
        (&job["state"], &job["model"]),
        (&json!("done"), &json!("small")),
        "{job}"
    );
    let file = samples().join("gguf/llama.gguf");
    let job = add(&served, json!({"from": file, "variant": "fp32"})).await;
    assert_eq!(
        (&job["state"], &job["model"]),
        (&json!("done"), &json!("llama")),
        "{job}"
    );
    assert!(
        job["message"].as_str().is_some_and(|words| !words.is_empty()),
        "what was lost is said: {job}"
    );

    let told = list(&served).await;
    assert_eq!(told["folder"], json!(folder.path()));
    let small = told["models"]
        .as_array()
        .unwrap()
        .iter()
        .find(|model| model["id"] == "small")
        .unwrap();
    assert!(
        small["bytes"].as_u64().unwrap() > 1000 && small["memory"]["needed"].as_u64().unwrap() > 0,
        "{small}"
    );
    assert!(
        small["source"].as_str().unwrap().contains("tiny") && small["running"] == json!(false),
        "{small}"
    );
    assert!(
        small["measured"].is_null() && small["quantisation"].is_string(),
        "{small}"
    );

    let (status, again) = served
        .api("POST", "/models", json!({"from": tiny(), "name": "small"}))
        .await;
    assert_eq!(status, 202);
    let again = over(&served, &again).await;
    assert_eq!(again["state"], "failed");
    assert!(again["message"].as_str().unwrap().contains("already"), "{again}");

    let whole = served.api("POST", "/models/small/verify", Value::Null).await;
    assert_eq!((whole.0, &whole.1["verdict"]), (200, &json!("whole")));
    let changed = served.api("POST", "/models/llama/verify", Value::Null).await.1;
    assert_eq!(changed["verdict"], "whole");
    put(&folder.path().join("llama/README.md"), b"another");
    let changed = served.api("POST", "/models/llama/verify", Value::Null).await.1;
    assert_eq!(changed, json!({"verdict": "changed", "files": ["README.md"]}));

    assert_eq!(served.api("DELETE", "/models/llama", Value::Null).await.0, 204);
    let (status, gone) = served.api("DELETE", "/models/llama", Value::Null).await;
    assert_eq!((status, &gone["code"]), (404, &json!("not_found")));
    for bad in ["", "/nowhere/at/all", "no-hub-id", "../x/y/z"] {
        let (status, said) = served.api("POST", "/models", json!({"from": bad})).await;
        assert_eq!(status, 400, "{bad}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_models_speed_is_measured_and_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let served = served(folder.path()).await;
    add(&served, json!({"from": tiny()})).await;
    let (status, job) = served.api("POST", "/models/tiny/measure", Value::Null).await;
    assert_eq!(status, 202, "{job}");
    let job = over(&served, &job).await;
    assert_eq!(job["state"], "done", "{job}");
    let measured = list(&served).await["models"][0]["measured"].clone();
    assert!(
        measured["decodeTokensPerSecond"].as_f64().unwrap() > 0.0,
        "{measured}"
    );
    assert_eq!(
        served.api("POST", "/models/none/measure", Value::Null).await.0,
        404
    );
}

/// A hub with the tiny model. The graph breaks off in the middle, and then waits until it is let go on.
struct HubState {
    /// Whether the rest of the graph is given.
    open: AtomicBool,
    /// The ranges that were asked for of the graph.
    ranges: Mutex<Vec<Option<String>>>,
}

const FILES: [&str; 6] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "onnx/model.onnx",
];

async fn hub(state: Arc<HubState>) -> String {
    let listing = || async {
        let files: Vec<Value> = FILES
            .iter()
            .map(|name| json!({"rfilename": name, "size": bytes(name).len()}))
            .collect();
        Json(json!({"sha": "abc", "siblings": files}))
    };
    let app = Router::new()
        .route("/api/models/me/tiny/revision/main", get(listing))
        .route("/me/tiny/resolve/{revision}/{*file}", get(file))
        .with_state(state);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    format!("http://{address}")
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(samples().join("tiny").join(name)).unwrap()
}

async fn file(
    State(state): State<Arc<HubState>>,
    Wanted((_, name)): Wanted<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if !FILES.contains(&name.as_str()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let whole = bytes(&name);
    let range = headers
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok())
        .map(str::to_owned);
    let start = range
        .as_deref()
        .and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse().ok());
    let start: usize = start.unwrap_or(0);
    let is_graph = name.ends_with(".onnx");
    if is_graph {
        state.ranges.lock().unwrap().push(range.clone());
    }
    let part = whole[start..].to_vec();
    let body = if is_graph && !state.open.load(Ordering::SeqCst) {
        // Half of it, and then nothing more for as long as anybody waits.
        let half = part[..part.len() / 2].to_vec();
        let first = stream::once(async { Ok::<_, std::io::Error>(half) });
        Body::from_stream(futures_util::StreamExt::chain(first, stream::pending()))
    } else {
        Body::from(part.clone())
    };
    let mut answer = body.into_response();
    if range.is_some() {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        let said = format!("bytes {start}-{}/{}", whole.len() - 1, whole.len());
        answer
            .headers_mut()
            .insert(header::CONTENT_RANGE, said.parse().unwrap());
    }
    // It promises that a part belongs to the same file.
    answer
        .headers_mut()
        .insert(header::ETAG, "\"one\"".parse().unwrap());
    answer
        .headers_mut()
        .insert(header::CONTENT_LENGTH, part.len().into());
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_tells_how_far_it_is_is_stopped_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let served = served(folder.path()).await;
    let state = Arc::new(HubState {
        open: AtomicBool::new(false),
        ranges: Mutex::default(),
    });
    let hub = hub(Arc::clone(&state)).await;
    let wanted = json!({"from": "me/tiny", "hub": hub});
    let (status, job) = served.api("POST", "/models", wanted.clone()).await;
    assert_eq!(status, 202, "{job}");
    let size = bytes("onnx/model.onnx").len() as u64;
    eventually("half of the graph is here", || async {
        let job = list(&served).await["jobs"][0].clone();
        let doing = job["doing"].as_str().unwrap_or_default().to_owned();
        doing.contains("model.onnx")
            && job["done"].as_u64().unwrap() >= size / 2
            && job["total"] == json!(size)
    })
    .await;
    let path = format!("/model-jobs/{}", job["id"].as_str().unwrap());
    assert_eq!(served.api("DELETE", &path, Value::Null).await.0, 204);
    state.open.store(true, Ordering::SeqCst);
    let stopped = over(&served, &job).await;
    assert_eq!(stopped["state"], "stopped", "{stopped}");
    let done = add(&served, wanted).await;
    assert_eq!(
        (&done["state"], &done["model"]),
        (&json!("done"), &json!("me-tiny")),
        "{done}"
    );
    let ranges = state.ranges.lock().unwrap().clone();
    assert!(
        ranges
            .last()
            .unwrap()
            .as_deref()
            .is_some_and(|range| range != "bytes=0-"),
        "{ranges:?}"
    );
    assert_eq!(
        served.api("POST", "/models/me-tiny/verify", Value::Null).await.1["verdict"],
        "whole"
    );
}

#[tokio::test]
async fn only_the_owner_of_the_server_sees_and_changes_models() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = guarded();
    settings.models = Some(folder.path().to_path_buf());
    settings.access.keys.push(("edit".into(), Role::Editor));
    let served = Served::start(settings).await;
    assert_eq!(ask(&served, "GET", "/models", "own", Value::Null).await.0, 200);
    let made = ask(&served, "POST", "/documents", "own", Value::Null).await.1;
    let doc = made["id"].as_str().unwrap();
    // The owner of one document is not the server's.
    let wanted = json!({"sub": "ada", "doc": doc, "role": "owner"});
    let token = ask(&served, "POST", "/tokens", "own", wanted).await.1;
    for key in ["edit", token["token"].as_str().unwrap()] {
        for (method, path) in [
            ("GET", "/models"),
            ("POST", "/models"),
            ("DELETE", "/models/x"),
            ("POST", "/models/x/verify"),
            ("POST", "/models/x/measure"),
            ("DELETE", "/model-jobs/x"),
        ] {
            let (status, said) = ask(&served, method, path, key, json!({})).await;
            assert_eq!(status, 403, "{method} {path}: {said}");
        }
    }
}
