//! Versions, authors and copies over the REST interface.

use crdt::Replica;
use serde_json::{Value, json};
use sync_server::StorePath;
use yrs::{Assoc, IndexedSequence, Text, Transact, XmlFragment, XmlOut};

use crate::client::Client;
use crate::relay::{Served, config, eventually};

/// Makes a document out of Markdown and returns its path.
async fn imported(served: &Served, markdown: &str) -> (String, String) {
    let (status, made) = served
        .api(
            "POST",
            "/documents/import",
            json!({"title": "Plan", "markdown": markdown}),
        )
        .await;
    assert_eq!(status, 201);
    let id = made["id"].as_str().unwrap().to_owned();
    (format!("/documents/{id}"), id)
}

async fn markdown(served: &Served, path: &str) -> String {
    let (status, text) = served.api("GET", &format!("{path}/markdown"), Value::Null).await;
    assert_eq!(status, 200, "{text}");
    text.as_str().unwrap_or_default().to_owned()
}

fn user(name: &str) -> String {
    json!({"user": {"id": name, "name": name.to_uppercase()}}).to_string()
}

/// The text of the block at an index.
fn text_of_block(replica: &Replica, index: u32) -> yrs::XmlTextRef {
    let root = crdt::doc::fragment(replica.doc());
    let txn = replica.doc().transact();
    let Some(XmlOut::Element(block)) = root.get(&txn, index) else {
        panic!("no block {index}")
    };
    let Some(XmlOut::Text(text)) = block.get(&txn, 0) else {
        panic!("no text in block {index}")
    };
    text
}

async fn types(client: &mut Client, block: u32, at: u32, words: &str) {
    let text = text_of_block(&client.replica, block);
    text.insert(&mut client.replica.doc().transact_mut(), at, words);
    let saved = client.saved;
    client.flush().await.unwrap();
    client.until("saved", |client| client.saved > saved).await;
}

#[tokio::test]
async fn a_version_is_kept_compared_and_restored_as_an_edit() {
    let served = Served::start(config()).await;
    let (path, id) = imported(&served, "# Plan\n\nfirst words here\n\nsecond\n").await;
    let (status, one) = served
        .api(
            "POST",
            &format!("{path}/versions?user=ada&name=Ada"),
            json!({"name": "draft", "why": "before lunch"}),
        )
        .await;
    assert_eq!(status, 201, "{one}");
    assert_eq!(
        (&one["number"], &one["kind"], &one["by"]["id"]),
        (&json!(1), &json!("named"), &json!("ada"))
    );

    let mut writer = Client::hocuspocus(&served.ws(), &id, &user("bob")).await;
    types(&mut writer, 1, 6, "other ").await;
    // Somebody else's caret, in a block that is not touched, and one in the block that is.
    let caret = |block: u32, at: u32| {
        let text = text_of_block(&writer.replica, block);
        text.sticky_index(&writer.replica.doc().transact(), at, Assoc::After)
            .unwrap()
    };
    let carets = [caret(2, 3), caret(1, 15)];

    let (status, diff) = served
        .api("GET", &format!("{path}/versions/1/diff?with=now"), Value::Null)
        .await;
    assert_eq!(status, 200);
    let inserted: Vec<_> = diff["text"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|run| run["change"] == "insert")
        .collect();
    assert_eq!(inserted.len(), 1);
    assert_eq!(inserted[0]["text"].as_str().unwrap().trim(), "other");
    assert_eq!(diff["blocks"].as_array().unwrap().len(), 1);
    assert_eq!(diff["blocks"][0]["change"], "changed");

    let (status, restored) = served
        .api(
            "POST",
            &format!("{path}/versions/1/restore?user=eve&name=Eve"),
            Value::Null,
        )
        .await;
    assert_eq!((status, &restored["changed"]), (200, &json!(true)), "{restored}");
    assert_eq!(restored["version"]["why"], "restored from version 1");
    assert_eq!(
        markdown(&served, &path).await,
        "# Plan\n\nfirst words here\n\nsecond\n"
    );
    writer
        .until("the restore", |client| {
            let text = text_of_block(&client.replica, 1);
            yrs::GetString::get_string(&text, &client.replica.doc().transact()) == "first words here"
        })
        .await;
    let offsets: Vec<u32> = carets
        .iter()
        .map(|caret| caret.get_offset(&writer.replica.doc().transact()).unwrap().index)
        .collect();
    assert_eq!(offsets, [3, 9], "carets stay at their words");

    let list = served
        .api("GET", &format!("{path}/versions"), Value::Null)
        .await
        .1;
    let kinds: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|version| &version["kind"])
        .collect();
    assert_eq!(kinds, ["restored", "beforeRestore", "named"]);
    assert_eq!(list[0]["by"]["id"], "eve");
    // And back: what was there before the restore is a version as well.
    let answer = served
        .api("POST", &format!("{path}/versions/2/restore"), Value::Null)
        .await;
    assert_eq!(answer.0, 200);
    assert!(markdown(&served, &path).await.contains("first other words here"));
    let again = served
        .api("POST", &format!("{path}/versions/2/restore"), Value::Null)
        .await
        .1;
    assert_eq!(again, json!({"changed": false}), "there is nothing to do");
}

#[tokio::test]
async fn a_version_is_read_and_restored_only_by_whoever_may_write() {
    let served = Served::start(config()).await;
    let (path, _) = imported(&served, "# Plan\n\nfirst words here\n\nsecond\n").await;
    let kept = served.api("POST", &format!("{path}/versions"), Value::Null).await;
    assert_eq!(kept.0, 201);
    let content = served
        .api("GET", &format!("{path}/versions/1"), Value::Null)
        .await
        .1;
    assert_eq!(content["content"]["content"][2]["content"][0]["text"], "second");
    let text = served
        .api("GET", &format!("{path}/versions/1/markdown"), Value::Null)
        .await
        .1;
    assert_eq!(text, "# Plan\n\nfirst words here\n\nsecond\n");
    let unknown = served
        .api("GET", &format!("{path}/versions/99"), Value::Null)
        .await;
    assert_eq!((unknown.0, &unknown.1["code"]), (404, &json!("not_found")));
    let refused = served
        .api(
            "POST",
            &format!("{path}/versions/1/restore?role=suggester"),
            Value::Null,
        )
        .await;
    assert_eq!(refused.0, 403);
    let refused = served
        .api("GET", &format!("{path}/versions?role=viewer"), Value::Null)
        .await;
    assert_eq!(refused.0, 403, "what was taken out is not for readers");
}

#[tokio::test]
async fn versions_are_kept_by_themselves_and_survive_compaction_and_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = config();
    settings.store = StorePath::Sqlite(folder.path().join("s.sqlite"));
    settings.limits.versions.every = 100;
    settings.limits.versions.at_least = 0;
    settings.limits.compact_records = 3;
    // Nobody is there, and it is not to be closed before it is time.
    settings.limits.linger = std::time::Duration::from_secs(60);
    let served = Served::start(settings.clone()).await;
    let (path, id) = imported(&served, "one\n").await;
    let versions = format!("{path}/versions");
    let count = async || {
        served
            .api("GET", &versions, Value::Null)
            .await
            .1
            .as_array()
            .unwrap()
            .len()
    };
    eventually("a version", || async { count().await == 1 }).await;
    let mut writer = Client::hocuspocus(&served.ws(), &id, &user("bob")).await;
    for word in ["a ", "b ", "c ", "d ", "e "] {
        types(&mut writer, 0, 0, word).await;
    }
    eventually("another one", || async { count().await >= 2 }).await;
    let list = served.api("GET", &versions, Value::Null).await.1;
    assert_eq!(
        (&list[0]["kind"], &list[0]["by"]["id"]),
        (&json!("automatic"), &json!("bob"))
    );
    let before = count().await;
    drop(writer);
    served.stop().await;

    let served = Served::start(settings).await;
    let list = served.api("GET", &versions, Value::Null).await.1;
    assert!(list.as_array().unwrap().len() >= before);
    let first = served
        .api("GET", &format!("{versions}/1/markdown"), Value::Null)
        .await
        .1;
    assert_eq!(first, "one\n");
    let again = served
        .api("POST", &format!("{versions}/1/restore"), Value::Null)
        .await;
    assert_eq!(again.0, 200, "{}", again.1);
    assert_eq!(markdown(&served, &path).await, "one\n");
}

#[tokio::test]
async fn what_was_written_in_a_short_sitting_is_kept_when_everybody_has_left() {
    let mut settings = config();
    settings.limits.versions.every = 3_600_000;
    settings.limits.versions.at_least = 0;
    let served = Served::start(settings).await;
    let (path, id) = imported(&served, "one\n").await;
    let versions = format!("{path}/versions");
    let kept = async || served.api("GET", &versions, Value::Null).await.1;
    eventually("a version of the import", || async {
        kept().await.as_array().unwrap().len() == 1
    })
    .await;
    let mut writer = Client::hocuspocus(&served.ws(), &id, &user("bob")).await;
    types(&mut writer, 0, 0, "a ").await;
    drop(writer);
    eventually("a version of the sitting", || async {
        kept().await.as_array().unwrap().len() == 2
    })
    .await;
    let list = kept().await;
    assert_eq!(
        (&list[0]["kind"], &list[0]["by"]["id"]),
        (&json!("automatic"), &json!("bob"))
    );
    let text = served
        .api("GET", &format!("{versions}/2/markdown"), Value::Null)
        .await
        .1;
    assert_eq!(text, "a one\n");
}

/// Each author writes letters of their own: who a letter is put down to is then told by the letter.
#[tokio::test]
async fn every_character_keeps_its_author_through_compaction_restart_restore_and_copy() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = config();
    settings.store = StorePath::Sqlite(folder.path().join("s.sqlite"));
    settings.limits.compact_records = 5;
    let mut served = Served::start(settings.clone()).await;
    let (path, id) = {
        let (status, made) = served
            .api(
                "POST",
                "/documents/import?user=ann&name=Ann",
                json!({"markdown": "aaaa\n\naaaaa\n"}),
            )
            .await;
        assert_eq!(status, 201);
        let id = made["id"].as_str().unwrap().to_owned();
        (format!("/documents/{id}"), id)
    };
    for round in 0..4_u32 {
        for (author, letter) in [("bob", "b"), ("cem", "c"), ("dan", "d")] {
            let mut writer = Client::hocuspocus(&served.ws(), &id, &user(author)).await;
            for step in 0..3 {
                let at = (round * 7 + step * 3) % 4;
                types(&mut writer, step % 2, at, &letter.repeat(1 + round as usize)).await;
            }
            let text = text_of_block(&writer.replica, round % 2);
            let len = text.len(&writer.replica.doc().transact());
            text.remove_range(&mut writer.replica.doc().transact_mut(), len / 2, 2.min(len / 2));
            let saved = writer.saved;
            writer.flush().await.unwrap();
            writer.until("saved", |client| client.saved > saved).await;
        }
        let (status, _) = served
            .api(
                "POST",
                &format!("{path}/versions"),
                json!({"name": round.to_string()}),
            )
            .await;
        assert_eq!(status, 201);
        if round == 1 {
            served.stop().await;
            served = Served::start(settings.clone()).await;
        }
    }
    check_authors(&served, &path).await;
    let restored = served
        .api(
            "POST",
            &format!("{path}/versions/1/restore?user=eve&name=Eve"),
            Value::Null,
        )
        .await;
    assert_eq!(restored.0, 200);
    check_authors(&served, &path).await;
    let restored = served
        .api(
            "POST",
            &format!("{path}/versions/4/restore?user=fay&name=Fay"),
            Value::Null,
        )
        .await;
    assert_eq!(restored.0, 200);
    check_authors(&served, &path).await;
    let (status, copy) = served
        .api(
            "POST",
            &format!("{path}/copy?user=gus&name=Gus"),
            json!({"title": "Copy"}),
        )
        .await;
    assert_eq!((status, &copy["title"]), (201, &json!("Copy")));
    let copied = format!("/documents/{}", copy["id"].as_str().unwrap());
    assert_eq!(markdown(&served, &copied).await, markdown(&served, &path).await);
    check_authors(&served, &copied).await;
    served.stop().await;
    let served = Served::start(settings).await;
    check_authors(&served, &path).await;
    check_authors(&served, &copied).await;
}

async fn check_authors(served: &Served, path: &str) {
    let (status, answer) = served
        .api("GET", &format!("{path}/authorship"), Value::Null)
        .await;
    assert_eq!(status, 200, "{answer}");
    let text = markdown(served, path).await;
    let blocks: Vec<&str> = text.split("\n\n").map(str::trim_end).collect();
    let mut covered = 0;
    for run in answer["runs"].as_array().unwrap() {
        let block = blocks[run["block"].as_u64().unwrap() as usize];
        let (from, to) = (
            run["from"].as_u64().unwrap() as usize,
            run["to"].as_u64().unwrap() as usize,
        );
        covered += to - from;
        let author = run["author"]["id"].as_str().unwrap();
        for letter in block[from..to].chars().filter(|letter| *letter != ' ') {
            assert_eq!(author.chars().next(), Some(letter), "{run} in {block:?}");
        }
    }
    assert_eq!(
        covered,
        blocks.iter().map(|block| block.len()).sum::<usize>(),
        "all of the text"
    );
    check_ids(served, path, answer["runs"].as_array().unwrap()).await;
}

/// By ids the same people are told: every letter of the document that a client has is whose the letter says.
async fn check_ids(served: &Served, path: &str, runs: &[Value]) {
    let (status, told) = served
        .api("GET", &format!("{path}/authorship/ids"), Value::Null)
        .await;
    assert_eq!(status, 200, "{told}");
    let credits = told["credits"].as_array().unwrap();
    let spans: Vec<(u64, u32, u32, usize)> = serde_json::from_value(told["spans"].clone()).unwrap();
    for run in runs {
        let known = credits
            .iter()
            .position(|credit| credit["author"] == run["author"]);
        let index = known.unwrap_or_else(|| panic!("{run} is by somebody who is not told: {told}"));
        assert!(
            spans
                .iter()
                .any(|(_, _, len, credit)| *credit == index && *len > 0),
            "{told}"
        );
    }
}
