//! One entry of the margin between Yjs and JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map as JsonMap, Value};
use yrs::types::ToJson;
use yrs::{GetString, Map, MapPrelim, MapRef, Out, ReadTxn, TransactionMut, WriteTxn};

use crate::content::{from_any, to_any};

/// The keys of a root, sorted.
pub(super) fn ids<T: ReadTxn>(txn: &T, root: &str) -> Vec<String> {
    let Some(map) = txn.get_map(root) else {
        return Vec::new();
    };
    let mut ids: Vec<String> = map.keys(txn).map(ToOwned::to_owned).collect();
    ids.sort_unstable();
    ids
}

/// The entry's map, if there is one.
pub(super) fn map<T: ReadTxn>(txn: &T, root: &str, id: &str) -> Option<MapRef> {
    match txn.get_map(root)?.get(txn, id)? {
        Out::YMap(map) => Some(map),
        _ => None,
    }
}

/// The typed value of an entry; `Some(Err(…))` says in words what is wrong with it.
pub(super) fn read<V: DeserializeOwned, T: ReadTxn>(
    txn: &T,
    root: &str,
    id: &str,
) -> Option<Result<V, String>> {
    let value = txn.get_map(root)?.get(txn, id)?;
    let Out::YMap(map) = value else {
        return Some(Err("it is no map".to_owned()));
    };
    let mut fields = JsonMap::new();
    for (key, value) in map.iter(txn) {
        let json = match value {
            Out::YText(text) => Value::String(text.get_string(txn)),
            other => from_any(&other.to_json(txn)),
        };
        if !json.is_null() {
            fields.insert(key.to_owned(), json);
        }
    }
    // The key is the id, whatever the entry calls itself.
    fields.insert("id".to_owned(), Value::String(id.to_owned()));
    Some(serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string()))
}

/// Makes an entry, or writes over the fields of one.
pub(super) fn put<V: Serialize>(txn: &mut TransactionMut<'_>, root: &str, id: &str, value: &V) -> MapRef {
    let entry = match map(txn, root, id) {
        Some(entry) => entry,
        None => txn.get_or_insert_map(root).insert(txn, id, MapPrelim::default()),
    };
    if let Ok(Value::Object(fields)) = serde_json::to_value(value) {
        for (key, value) in fields {
            set(txn, &entry, &key, &value);
        }
    }
    entry
}

/// Writes one field, unless it has that value; null takes it out.
pub(super) fn set(txn: &mut TransactionMut<'_>, entry: &MapRef, key: &str, value: &Value) {
    let now = entry.get(txn, key).map(|now| from_any(&now.to_json(txn)));
    if value.is_null() {
        if now.is_some() {
            entry.remove(txn, key);
        }
    } else if now.as_ref() != Some(value) {
        entry.insert(txn, key, to_any(value));
    }
}
