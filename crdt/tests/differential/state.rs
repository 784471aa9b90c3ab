//! What a yrs document holds, in the same form as the Node half says it.

use serde_json::{Value, json};
use yrs::types::ToJson as _;
use yrs::types::text::YChange;
use yrs::updates::encoder::Encode as _;
use yrs::{Doc, GetString, Map as _, Out, ReadTxn, Text, Transact as _, Xml as _, XmlFragment as _, XmlOut};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The names of the roots that the operations use.
pub(crate) fn open(client: u64) -> Doc {
    let doc = crdt::doc::open(client);
    let _ = (
        doc.get_or_insert_text("t"),
        doc.get_or_insert_xml_fragment("default"),
        doc.get_or_insert_map("m"),
    );
    doc
}

/// All that can be seen of a document.
pub(crate) fn state(doc: &Doc) -> Value {
    let (text, root, map) = (
        doc.get_or_insert_text("t"),
        doc.get_or_insert_xml_fragment("default"),
        doc.get_or_insert_map("m"),
    );
    let txn = doc.transact();
    let tree: Vec<Value> = root.children(&txn).map(|child| tree(&txn, &child)).collect();
    let mut entries: Vec<(String, Value)> = map
        .iter(&txn)
        .map(|(key, value)| (key.to_owned(), json!(value.to_json(&txn))))
        .collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    json!({
        "text": runs(&txn, &text),
        "tree": tree,
        "map": entries,
        "pending": txn.has_missing_updates(),
    })
}

/// State vector and delete set, as yjs encodes them; the order of clients is not fixed, so it is read again to compare.
pub(crate) fn snapshot(doc: &Doc) -> yrs::Snapshot {
    doc.transact().snapshot()
}

fn tree<T: ReadTxn>(txn: &T, node: &XmlOut) -> Value {
    match node {
        XmlOut::Text(text) => runs(txn, text),
        XmlOut::Fragment(_) => Value::Null,
        XmlOut::Element(element) => {
            let mut attributes: Vec<(String, Value)> = element
                .attributes(txn)
                .map(|(key, value)| (key.to_owned(), attribute(txn, &value)))
                .collect();
            attributes.sort_by(|a, b| a.0.cmp(&b.0));
            let children: Vec<Value> = element.children(txn).map(|child| tree(txn, &child)).collect();
            json!([element.tag().to_string(), attributes, children])
        }
    }
}

fn attribute<T: ReadTxn>(txn: &T, value: &Out) -> Value {
    json!(value.to_json(txn))
}

/// Runs of text with sorted marks; neighbours with the same marks are one.
fn runs<T: ReadTxn, X: Text + GetString>(txn: &T, text: &X) -> Value {
    let mut out: Vec<(String, String)> = Vec::new();
    for run in text.diff(txn, YChange::identity) {
        let words = run.insert.to_string(txn);
        let mut marks: Vec<(String, Value)> = run
            .attributes
            .iter()
            .flat_map(|attributes| attributes.iter())
            .map(|(key, value)| (key.to_string(), json!(value)))
            .collect();
        marks.sort_by(|a, b| a.0.cmp(&b.0));
        let marks = json!(marks).to_string();
        match out.last_mut() {
            Some((last, same)) if *same == marks => last.push_str(&words),
            _ => out.push((words, marks)),
        }
    }
    json!(out)
}

/// The bytes of a snapshot as a text, to show.
pub(crate) fn shown(snapshot: &yrs::Snapshot) -> String {
    STANDARD.encode(snapshot.encode_v1())
}
