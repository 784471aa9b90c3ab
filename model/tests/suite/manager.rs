//! The model manager, with a hub that breaks off in the middle.
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::gguf::ConvertOptions;
use model::manager::{DownloadError, Fit, Hub, HubChoice, Library, ManagerError, Needs, Retries, Verdict};
use sha2::{Digest, Sha256};

use crate::http_server::{Asked, Reply, Server};
use crate::support::{put, tests_folder, tiny};

const COMMIT: &str = "0123abcd";
const GRAPH: &str = "onnx/model.onnx";

fn hub(server: &Server, attempts: u32) -> Hub {
    Hub {
        address: server.url("/"),
        token: None,
        retries: Retries {
            attempts,
            pause: Duration::from_millis(1),
            silence: Duration::from_secs(20),
        },
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The tiny model as a hub has it; `graph` is what is answered for the graph.
fn serve(graph: impl Fn(&Asked, &[u8]) -> Reply + Send + 'static) -> Server {
    Server::start(move |asked| {
        let folder = tests_folder().join("tiny");
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let names = [
            "config.json",
            "generation_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "chat_template.jinja",
            "README.md",
            GRAPH,
        ];
        if asked.path.starts_with("/api/models/me/tiny/revision/main") {
            let siblings: Vec<serde_json::Value> = names
                .iter()
                .map(|name| {
                    let bytes = read(name);
                    serde_json::json!({"rfilename": name, "size": bytes.len(), "lfs": {"sha256": hex(&bytes)}})
                })
                .chain([serde_json::json!({"rfilename": "../../outside"}), serde_json::json!({"rfilename": "pytorch_model.bin"})])
                .collect();
            return Reply::new(
                200,
                serde_json::json!({"sha": COMMIT, "siblings": siblings}).to_string(),
            );
        }
        match asked.path.strip_prefix(&format!("/me/tiny/resolve/{COMMIT}/")) {
            Some(GRAPH) => graph(asked, &read(GRAPH)),
            Some(name) if names.contains(&name) => Reply::file(asked, &read(name)),
            _ => Reply::new(404, ""),
        }
    })
}

async fn add(library: &Library, hub: &Hub) -> Result<(), ManagerError> {
    let (choice, options) = (HubChoice::default(), ConvertOptions::default());
    library
        .add_hub(hub, "me/tiny", &choice, Some("tiny"), options, &mut |_| true)
        .await
        .map(drop)
}

fn listed(library: &Library) -> Vec<String> {
    let (good, bad) = library.list();
    assert_eq!(bad, []);
    good.into_iter().map(|model| model.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_breaks_off_goes_on_and_is_listed_only_when_whole() {
    let folder = tempfile::tempdir().unwrap();
    let library = Library::new(folder.path());
    let times = AtomicUsize::new(0);
    let server = serve(move |asked, bytes| {
        let mut reply = Reply::file(asked, bytes);
        // the first three connections break after a thousand bytes each
        if times.fetch_add(1, Ordering::Relaxed) < 3 {
            reply.cut = 1000;
        }
        reply
    });
    // without patience it ends at the first break, says what to do, and shows nothing
    let error = add(&library, &hub(&server, 1)).await.unwrap_err();
    assert!(
        matches!(
            error,
            ManagerError::Download(DownloadError::Broken { at: 1000, .. })
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("goes on from there"), "{error}");
    assert_eq!(listed(&library), [""; 0]);
    // the next attempt goes on, through two more breaks
    add(&library, &hub(&server, 2)).await.unwrap();
    let parts: Vec<Option<usize>> = server
        .asked()
        .into_iter()
        .filter(|asked| asked.path.ends_with(GRAPH))
        .map(|asked| asked.range)
        .collect();
    assert_eq!(parts, [None, Some(1000), Some(2000), Some(3000)]);
    assert_eq!(listed(&library), ["tiny"]);
    assert!(!folder.path().join("../outside").exists());

    let model = library.find("tiny").unwrap();
    assert_eq!(library.verify("tiny").unwrap(), Verdict::Whole(7));
    assert_eq!(
        std::fs::read(&model.artifact.graph).unwrap(),
        std::fs::read(tiny("fp32").graph).unwrap()
    );
    assert!(
        matches!(add(&library, &hub(&server, 1)).await, Err(ManagerError::Exists(name)) if name == "tiny")
    );

    put(&model.artifact.folder.join("config.json"), b"{}");
    assert_eq!(
        library.verify("tiny").unwrap(),
        Verdict::Changed(vec!["config.json".into()])
    );
    library.remove("tiny").unwrap();
    assert_eq!(listed(&library), [""; 0]);
    assert!(matches!(library.verify("tiny"), Err(ManagerError::Unknown(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_was_promised_is_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let library = Library::new(folder.path());
    let server = serve(|asked, bytes| {
        let mut bytes = bytes.to_vec();
        bytes[77] ^= 1;
        Reply::file(asked, &bytes)
    });
    let error = add(&library, &hub(&server, 2)).await.unwrap_err();
    assert!(
        matches!(error, ManagerError::Download(DownloadError::Damaged { .. })),
        "{error:?}"
    );
    assert_eq!(listed(&library), [""; 0]);
    let refused = serve(|_, _| Reply::new(403, ""));
    let error = add(&library, &hub(&refused, 2)).await.unwrap_err().to_string();
    assert!(error.contains("--token"), "{error}");
}

#[test]
fn a_folder_is_copied_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let library = Library::new(folder.path().join("models"));
    let model = library.add_folder(&tests_folder().join("tiny"), None).unwrap();
    assert_eq!(model.id, "tiny");
    assert!(matches!(library.verify("tiny").unwrap(), Verdict::Whole(files) if files >= 7));
    for bad in ["../x", ".hidden", "", "a/b"] {
        assert!(matches!(library.remove(bad), Err(ManagerError::Name(_))), "{bad}");
    }
    let error = library.add_folder(Path::new("/nowhere"), Some("x")).unwrap_err();
    assert!(matches!(error, ManagerError::Artifact(_)), "{error:?}");
    assert_eq!(listed(&library), ["tiny"]);

    let needs = Needs::of(&model.artifact, 100);
    assert!(needs.weights > 10_000 && needs.cache > 0, "{needs:?}");
    assert!(Fit::here(&needs).summary().contains("GB"));
}
