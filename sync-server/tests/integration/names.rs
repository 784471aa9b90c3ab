//! Room names with any characters: one name is one document, over the wire and in addresses.

use std::collections::BTreeMap;

use crdt::{DocName, Part, Replica};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use tokio_tungstenite::tungstenite;

use crate::client::{Client, text_of};
use crate::relay::{Served, config, eventually};

/// Names that have been mistaken for others somewhere.
const TRICKS: [&str; 26] = [
    "plan",
    "plan~margin",
    "Plan",
    "plan ",
    " plan",
    "plan%20",
    "plan+",
    "plan%2B",
    "plan~margi",
    "~margin~plan",
    "plan%7Emargin",
    "plan/",
    "/plan",
    "plan//x",
    "plan/x",
    "plan%2Fx",
    "../plan",
    "plan/..",
    "plan?",
    "plan?key=x",
    "plan#x",
    "plan\u{200b}",
    "pl\u{e1}n",
    "pla\u{301}n",
    "plan\\",
    "plan%00",
];

/// As a careful client puts a name into an address.
fn encoded(name: &str) -> String {
    let bytes = name.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    // A segment of dots alone is a place, not a name, to every client.
    bytes.collect::<String>().replace("..", "%2E%2E")
}

fn names() -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let tricky = "[a-b~%/+?#&=. \\u{e9}\\u{301}\\u{1F332}\"'<>|\\\\{}\\[\\]^`;:@,!$()*-]{1,12}(~margin)?";
    let mut names: Vec<String> = TRICKS.iter().map(|name| (*name).to_owned()).collect();
    for pattern in [tricky, "\\PC{1,20}"] {
        for _ in 0..30 {
            names.push(pattern.new_tree(&mut runner).unwrap().current());
        }
    }
    names.sort();
    names.dedup();
    names.retain(|name| DocName::parse(name).is_ok());
    names
}

/// Each name gets a text of its own through one protocol and is read through the other: none has another's.
#[tokio::test]
async fn no_name_leads_to_another_document() {
    let served = Served::start(config()).await;
    let names = names();
    assert!(names.len() > 60, "{}", names.len());
    let mut expected = BTreeMap::new();
    // They stay: what a client that hangs up had just sent may not arrive.
    let mut writers = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let text = format!("text {number}");
        let mut client = if number % 2 == 0 {
            Client::hocuspocus(&served.ws(), name, "").await
        } else {
            Client::y(&served.ws(), &encoded(name)).await
        };
        assert_eq!(client.text(), "", "{name:?} has another's text");
        client.write(&text).await.unwrap();
        writers.push(client);
        let parsed = DocName::parse(name).unwrap();
        expected.insert((parsed.doc, parsed.part == Part::Margin), text);
    }
    assert_eq!(expected.len(), names.len());
    for name in &names {
        let parsed = DocName::parse(name).unwrap();
        let text = &expected[&(parsed.doc, parsed.part == Part::Margin)];
        let mut wire = Client::hocuspocus(&served.ws(), name, "").await;
        wire.until(&format!("the text of {name:?}"), |client| client.text() == *text)
            .await;
        let mut address = Client::y(&served.ws(), &encoded(name)).await;
        address
            .until(&format!("the text at {name:?}"), |client| client.text() == *text)
            .await;
    }
    drop(writers);
    eventually("every room is let go", || async {
        served.relay.open_rooms().await == 0
    })
    .await;
}

/// Addresses that could be read in two ways are read in one: decoded once.
#[tokio::test]
async fn an_address_is_decoded_once() {
    let served = Served::start(config()).await;
    for (path, name) in [
        ("a%2Fb", "a/b"),
        ("a/b", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("a+b", "a+b"),
        ("a%20b", "a b"),
        ("x%7Emargin", "x~margin"),
        ("x%257Emargin", "x%7Emargin"),
    ] {
        let mut writer = Client::y(&served.ws(), path).await;
        let mark = format!("[{path}]");
        writer.write(&mark).await.unwrap();
        let mut reader = Client::hocuspocus(&served.ws(), name, "").await;
        reader
            .until(&format!("{path} is {name}"), |client| {
                client.text().contains(&mark)
            })
            .await;
    }
    for bad in ["a%FFb", "a%0Ab", "x~margin~margin", "%7Emargin", ""] {
        match Client::y_with(&served.ws(), bad, Replica::new(1)).await {
            Err(tungstenite::Error::Http(answer)) => assert!(
                answer.status().is_client_error() || answer.status() == 503,
                "{bad}"
            ),
            Err(_) => {}
            Ok(client) => panic!("{bad} is a name: {:?}", text_of(&client.replica)),
        }
    }
}
