//! Adapters over REST: what lies on the machine, which of them a document names, and who may say so; worn by the real model.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ai_peer::Thresholds;
use crdt::margin::RequestKind;
use model::manager::AdapterLibrary;
use model::{Artifact, EngineOptions, Locations, Runtime, Worker};
use serde_json::{Value, json};
use sync_server::ai::Seat;

use crate::engines::{Scene, far, script};
use crate::relay::{Served, config, eventually};
use crate::sharing::ask;
use crate::tokens::guarded;

#[path = "../../../ai-peer/tests/support/adapter.rs"]
#[allow(unreachable_pub, reason = "shared with the suites of the peer")]
mod adapter;

/// A relay with a small model that takes adapters, and a folder with one for it.
async fn served(folder: &Path) -> (Served, PathBuf) {
    let mut settings = config();
    settings.models = Some(folder.join("models"));
    settings.adapters = Some(folder.join("adapters"));
    let served = Served::start(settings).await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/gguf/llama.gguf");
    let job = served
        .api("POST", "/models", json!({"from": file, "name": "small"}))
        .await;
    over(&served, job).await;
    let peft = folder.join("My Law");
    adapter::write_peft(&folder.join("models/small"), &peft, 3);
    (served, peft)
}

async fn list(served: &Served) -> Value {
    let (status, list) = served.api("GET", "/models", Value::Null).await;
    assert_eq!(status, 200, "{list}");
    list
}

/// Waits for a job that was taken, and answers it.
async fn over(served: &Served, (status, job): (u16, Value)) -> Value {
    assert_eq!(status, 202, "{job}");
    let find = || async {
        let jobs = list(served).await["jobs"].as_array().unwrap().clone();
        jobs.into_iter().find(|one| one["id"] == job["id"]).unwrap()
    };
    eventually("the job is over", || async { find().await["state"] != "running" }).await;
    find().await
}

#[tokio::test(flavor = "multi_thread")]
async fn adapters_are_added_listed_named_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (served, peft) = served(folder.path()).await;
    assert_eq!(list(&served).await["adapters"], json!([]));
    let add = |body: Value| served.api("POST", "/adapters", body);
    // only one model lies there, so it is that one's
    let job = over(&served, add(json!({"from": peft})).await).await;
    assert_eq!(
        (&job["state"], &job["kind"], &job["model"]),
        (&json!("done"), &json!("adapter"), &json!("my-law")),
        "{job}"
    );
    let told = list(&served).await["adapters"][0].clone();
    assert_eq!(
        (
            &told["id"],
            &told["base"],
            &told["rank"],
            &told["fits"],
            &told["documents"]
        ),
        (
            &json!("my-law"),
            &json!("small"),
            &json!(4),
            &json!(false),
            &json!(0)
        ),
        "{told}"
    );
    let job = over(
        &served,
        add(json!({"from": peft, "name": "my-law", "model": "small"})).await,
    )
    .await;
    assert!(
        job["state"] == "failed" && job["message"].as_str().unwrap().contains("already"),
        "{job}"
    );
    for (bad, words) in [
        (json!({"from": "/nowhere/at/all"}), "PEFT folder"),
        (json!({"from": peft, "model": "none"}), "no model `none`"),
    ] {
        let (status, said) = add(bad).await;
        assert!(
            status >= 400 && said["message"].as_str().unwrap().contains(words),
            "{said}"
        );
    }

    let (_, made) = served.api("POST", "/documents", json!({"title": "Plan"})).await;
    let path = format!("/documents/{}/adapters", made["id"].as_str().unwrap());
    let (_, seen) = served.api("GET", &path, Value::Null).await;
    assert_eq!(
        (&seen["available"], &seen["maySet"]),
        (&json!([]), &json!(true)),
        "no model runs: {seen}"
    );
    let chosen = json!({"usual": "my-law", "commands": {"continue": null}});
    let (status, set) = served.api("PUT", &path, chosen).await;
    assert_eq!(
        (status, &set["usual"], &set["commands"]),
        (200, &json!("my-law"), &json!({"continue": null})),
        "{set}"
    );
    assert_eq!(list(&served).await["adapters"][0]["documents"], json!(1));
    for bad in [
        json!({"usual": "gone"}),
        json!({"usual": "../x"}),
        json!({"commands": {"sing": "my-law"}}),
    ] {
        assert_eq!(served.api("PUT", &path, bad.clone()).await.0, 400, "{bad}");
    }

    assert_eq!(served.api("DELETE", "/adapters/my-law", Value::Null).await.0, 204);
    assert_eq!(served.api("DELETE", "/adapters/my-law", Value::Null).await.0, 404);
    let (_, seen) = served.api("GET", &path, Value::Null).await;
    assert_eq!(
        (&seen["usual"], &seen["missing"]),
        (&json!("my-law"), &json!(["my-law"])),
        "{seen}"
    );
    // it may stay named, beside others that are there; the model may still know one of this name
    assert_eq!(served.api("PUT", &path, json!({"usual": "my-law"})).await.0, 200);
    let job = over(&served, add(json!({"from": peft})).await).await;
    assert!(
        job["state"] == "failed" && job["message"].as_str().unwrap().contains("choose another name"),
        "{job}"
    );
    assert_eq!(list(&served).await["adapters"], json!([]));
    let job = over(&served, add(json!({"from": peft, "name": "law-2"})).await).await;
    assert_eq!(job["state"], "done", "{job}");
    served.stop().await;
}

#[tokio::test]
async fn only_owners_choose_and_only_the_servers_owner_adds() {
    let served = Served::start(guarded()).await;
    let (_, made) = served.api("POST", "/documents", json!({"title": "Plan"})).await;
    let doc = made["id"].as_str().unwrap();
    let shares = format!("/documents/{doc}/shares");
    let (_, link) = served.api("POST", &shares, json!({"role": "editor"})).await;
    let url = link["url"].as_str().unwrap().to_owned();
    let editor = url.split_once("?key=").unwrap().1;
    let path = format!("/documents/{doc}/adapters");
    assert_eq!(ask(&served, "PUT", &path, editor, json!({})).await.0, 403);
    let (status, seen) = ask(&served, "GET", &path, editor, Value::Null).await;
    assert_eq!((status, &seen["maySet"]), (200, &json!(false)), "{seen}");
    assert_eq!(ask(&served, "PUT", &path, "own", json!({})).await.0, 200);
    for (method, path) in [("POST", "/adapters"), ("DELETE", "/adapters/x")] {
        let status = ask(&served, method, path, editor, json!({"from": "/"})).await.0;
        assert!(
            (400..500).contains(&status) && status != 404,
            "{method} {path}: {status}"
        );
    }
    served.stop().await;
}

/// The real model wears it in the document that names it, and in no other; an engine elsewhere says that it does not.
#[tokio::test]
async fn the_model_here_wears_it_and_an_engine_elsewhere_says_that_it_does_not() {
    let places = Locations::from_environment();
    let artifact = Artifact::open(&places.model).unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().unwrap();
    let (peft, adapters) = (folder.path().join("peft"), folder.path().join("adapters"));
    adapter::write_peft(&artifact.folder, &peft, 5);
    AdapterLibrary::new(&adapters)
        .add(&peft, Some("law"), &artifact)
        .unwrap();
    let options = EngineOptions {
        adapters: Some(adapters.clone()),
        ..EngineOptions::default()
    };
    let runtime = Runtime::load(&places.runtime).unwrap_or_else(|error| panic!("{error}"));
    let worker = Worker::spawn(&runtime, artifact, options).unwrap();
    let small = Seat {
        name: "Small".into(),
        ..Seat::local(Arc::new(worker))
    };
    let mut settings = config();
    settings.adapters = Some(adapters.clone());
    let sure = Thresholds { mean: 0.0, span: 0.0 };
    let mut scene = Scene::start_on(settings, vec![small, far(&script(" It poured."))], sure).await;
    scene.see(&["Small"]).await;
    let path = format!("/documents/{}/adapters", scene.doc);
    let (_, seen) = scene.served.api("GET", &path, Value::Null).await;
    assert_eq!(seen["available"][0]["id"], json!("law"), "{seen}");
    assert_eq!(
        scene.served.api("PUT", &path, json!({"usual": "law"})).await.0,
        200
    );
    scene.ask("r1", RequestKind::Rewrite).await;
    let worn = scene.settled("r1").await.unwrap();
    assert_eq!(
        (worn.author.name.as_str(), worn.author.adapter.as_deref()),
        ("Small", Some("law"))
    );

    scene.allow("asIs", &["Big"]).await;
    scene.agree("asIs", &["Big"]).await;
    scene.see(&["Big", "Small"]).await;
    scene.ask("r2", RequestKind::Rewrite).await;
    let bare = scene.settled("r2").await.unwrap();
    assert_eq!(
        (bare.author.name.as_str(), bare.author.adapter.as_deref()),
        ("Big", None)
    );
    let why = bare.rationale.unwrap();
    assert!(why.contains("Written without the adapter “law”"), "{why}");

    // it goes away: what is asked with it ends with words
    scene.allow("nothing", &[]).await;
    scene.see(&["Small"]).await;
    AdapterLibrary::new(&adapters).remove("law").unwrap();
    scene.ask("r3", RequestKind::Rewrite).await;
    assert_eq!(scene.settled("r3").await, None);
    let words = scene.refusal("r3");
    assert!(words.contains("“law” is not on this machine"), "{words}");
    assert_eq!(scene.served.api("PUT", &path, json!({})).await.0, 200);
    scene.ask("r4", RequestKind::Rewrite).await;
    assert_eq!(scene.settled("r4").await.unwrap().author.adapter, None);
    scene.end().await;
}
