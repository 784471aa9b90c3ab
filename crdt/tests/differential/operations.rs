//! Random operations: carried out on a yrs document, and said as yjs' half understands them.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use yrs::branch::{Branch, BranchPtr};
use yrs::types::Attrs;
use yrs::{
    Any, Array as _, ArrayRef, Doc, Map as _, Text, Transact as _, TransactionMut, Xml as _,
    XmlElementPrelim, XmlElementRef, XmlFragment as _, XmlFragmentRef, XmlOut, XmlTextPrelim, XmlTextRef,
};

const WORDS: [&str; 9] = ["a", "be", "Grüße", "🌲", "日本", " ", "fox", "\n", "x y z"];
const BLOCKS: [&str; 4] = ["paragraph", "heading", "blockquote", "listItem"];

/// What a case is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taste {
    /// Whether text gets marks.
    pub(crate) marks: bool,
    /// Whether everybody works at the same few places.
    pub(crate) crowded: bool,
}

enum Place {
    Text(XmlTextRef),
    Element(XmlElementRef),
    Root(XmlFragmentRef),
}

/// Does something at random. Returns how to say it.
pub(crate) fn operate(doc: &Doc, rng: &mut StdRng, taste: Taste) -> Value {
    let (text, root, map) = (
        doc.get_or_insert_text("t"),
        doc.get_or_insert_xml_fragment("default"),
        doc.get_or_insert_map("m"),
    );
    let mut txn = doc.transact_mut();
    match rng.random_range(0..10) {
        0..3 => on_text(&mut txn, rng, taste, &text, None),
        3 => {
            let key = format!("k{}", rng.random_range(0..3));
            if rng.random_bool(0.3) {
                map.remove(&mut txn, &key);
                return json!(["drop", key]);
            }
            let value = *WORDS.choose(rng).expect("there are words");
            map.insert(&mut txn, key.as_str(), value);
            json!(["set", key, value])
        }
        _ => on_tree(&mut txn, rng, taste, &root),
    }
}

fn on_tree(txn: &mut TransactionMut<'_>, rng: &mut StdRng, taste: Taste, root: &XmlFragmentRef) -> Value {
    let mut places = Vec::new();
    collect(txn, root.children(txn).collect(), &[], &mut places);
    // The root is as likely as a few others.
    if places.len() < 3 || rng.random_bool(0.15) {
        return on_children(txn, rng, &Place::Root(root.clone()), &[]);
    }
    let index = if taste.crowded {
        rng.random_range(0..places.len().min(3))
    } else {
        rng.random_range(0..places.len())
    };
    let (path, place) = places.swap_remove(index);
    match place {
        Place::Text(text) => on_text(txn, rng, taste, &text, Some(&path)),
        Place::Element(element) if rng.random_bool(0.3) => {
            let value = rng.random_range(1..4).to_string();
            element.insert_attribute(txn, "level", value.clone());
            json!(["attribute", path, "level", value])
        }
        place => on_children(txn, rng, &place, &path),
    }
}

fn collect(
    txn: &TransactionMut<'_>,
    children: Vec<XmlOut>,
    path: &[usize],
    places: &mut Vec<(Vec<usize>, Place)>,
) {
    for (index, child) in children.into_iter().enumerate() {
        let path = [path, &[index]].concat();
        match child {
            XmlOut::Text(text) => places.push((path, Place::Text(text))),
            XmlOut::Element(element) => {
                places.push((path.clone(), Place::Element(element.clone())));
                if path.len() < 4 {
                    collect(txn, element.children(txn).collect(), &path, places);
                }
            }
            XmlOut::Fragment(_) => {}
        }
    }
}

/// Puts an element in, with or without a text, or takes some children out.
fn on_children(txn: &mut TransactionMut<'_>, rng: &mut StdRng, parent: &Place, path: &[usize]) -> Value {
    let len = match parent {
        Place::Root(root) => root.len(txn),
        Place::Element(element) => element.len(txn),
        Place::Text(_) => return Value::Null,
    };
    if len > 2 && rng.random_bool(0.25) {
        let index = rng.random_range(0..len);
        let count = rng.random_range(1..=(len - index).min(2));
        match parent {
            Place::Root(root) => root.remove_range(txn, index, count),
            Place::Element(element) => element.remove_range(txn, index, count),
            Place::Text(_) => {}
        }
        return json!(["remove", path, index, count]);
    }
    let index = rng.random_range(0..=len);
    let name = *BLOCKS.choose(rng).expect("there are blocks");
    let words = match rng.random_range(0..4) {
        0 => None,
        1 => Some(""),
        _ => WORDS.choose(rng).copied(),
    };
    // As an array, like the product: what yrs inserts into a fragment or an element at index 0 says that nothing is behind it.
    let branch: &Branch = match parent {
        Place::Root(root) => root.as_ref(),
        Place::Element(element) => element.as_ref(),
        Place::Text(_) => return Value::Null,
    };
    let element = ArrayRef::from(BranchPtr::from(branch)).insert(txn, index, XmlElementPrelim::empty(name));
    if let Some(words) = words {
        let text = element.insert(txn, 0, XmlTextPrelim::new(""));
        if !words.is_empty() {
            text.insert(txn, 0, words);
        }
    }
    json!(["element", path, index, name, words])
}

fn on_text<X: Text + yrs::GetString>(
    txn: &mut TransactionMut<'_>,
    rng: &mut StdRng,
    taste: Taste,
    text: &X,
    path: Option<&[usize]>,
) -> Value {
    // Offsets only between whole characters, as an editor's are.
    let mut borders = vec![0];
    for c in text.get_string_plain(txn).chars() {
        borders.push(borders[borders.len() - 1] + c.len_utf16() as u32);
    }
    let last = borders.len() - 1;
    let at = if taste.crowded {
        rng.random_range(0..=last.min(2))
    } else {
        rng.random_range(0..=last)
    };
    let to = rng.random_range(at..=last.min(at + 5));
    let (index, len) = (borders[at], borders[to] - borders[at]);
    let says = |name: &str, rest: Vec<Value>| {
        let mut said = match path {
            None => vec![json!(name)],
            Some(path) => vec![json!(format!("{name}In")), json!(path)],
        };
        said.extend(rest);
        Value::Array(said)
    };
    match rng.random_range(0..10) {
        0..3 if len > 0 => {
            text.remove_range(txn, index, len);
            says("erase", vec![json!(index), json!(len)])
        }
        3..6 if len > 0 && taste.marks => {
            let name = *["bold", "italic", "link"].choose(rng).expect("there are marks");
            let (value, said) = match rng.random_range(0..3) {
                0 => (Any::Null, Value::Null),
                1 => (Any::Map(Default::default()), json!({})),
                _ => (
                    Any::from_json(r#"{"href":"b"}"#).expect("JSON"),
                    json!({ "href": "b" }),
                ),
            };
            text.format(txn, index, len, Attrs::from([(name.into(), value)]));
            says("format", vec![json!(index), json!(len), json!({ name: said })])
        }
        _ => {
            let words = *WORDS.choose(rng).expect("there are words");
            if !taste.marks {
                text.insert(txn, index, words);
                return says("type", vec![json!(index), json!(words)]);
            }
            // With the marks named, as y-prosemirror and the product do: at the edge of a mark the two makes differ in
            // what text without them takes from its neighbours.
            let bold = rng.random_bool(0.3);
            let mark = || ("bold".into(), Any::Map(Default::default()));
            let marks = bold.then(mark).into_iter().collect::<Attrs>();
            text.insert_with_attributes(txn, index, words, marks);
            let said = if bold { json!({ "bold": {} }) } else { json!({}) };
            says("type", vec![json!(index), json!(words), said])
        }
    }
}

/// The characters of a text, without what marks would add.
trait Plain {
    fn get_string_plain(&self, txn: &TransactionMut<'_>) -> String;
}

impl<X: Text> Plain for X {
    fn get_string_plain(&self, txn: &TransactionMut<'_>) -> String {
        self.diff(txn, yrs::types::text::YChange::identity)
            .into_iter()
            .map(|run| run.insert.to_string(txn))
            .collect()
    }
}
