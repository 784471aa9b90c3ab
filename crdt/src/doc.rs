//! The Yjs document as this project opens it, and its roots.

use std::sync::Arc;

use yrs::block::ClientID;
use yrs::{Any, Doc, Map, MapRef, OffsetKind, Options, Out, ReadTxn, TransactionMut, XmlFragmentRef};

/// The root that holds the text, as Tiptap names it.
pub const BODY_ROOT: &str = "default";
/// The root that holds the title and other facts about the document.
pub const META_ROOT: &str = "meta";
/// The root that holds the decision records.
pub const DECISIONS_ROOT: &str = "decisions";

/// Yjs client ids are 53 bits wide, so that JavaScript can count them.
const CLIENT_ID_BITS: u32 = 53;

/// An empty document or margin, with offsets in UTF-16 code units as in Yjs.
///
/// `client_id` names this replica in the ids of what it writes: no two live replicas may share it, and it is cut to 53
/// bits. Nothing is created in the document, so an opened document makes no update.
#[must_use]
pub fn open(client_id: u64) -> Doc {
    let client_id = client_id & ((1 << CLIENT_ID_BITS) - 1);
    // Spelt out and not `..Options::default()`, which would draw a random guid.
    Doc::with_options(Options {
        client_id: ClientID::new(client_id),
        guid: Arc::from(client_id.to_string()),
        collection_id: None,
        offset_kind: OffsetKind::Utf16,
        skip_gc: false,
        auto_load: false,
        should_load: true,
    })
}

/// The text of a body. Must not be called while a transaction of this document is open.
#[must_use]
pub fn fragment(doc: &Doc) -> XmlFragmentRef {
    doc.get_or_insert_xml_fragment(BODY_ROOT)
}

/// The `meta` root of a body. Must not be called while a transaction of this document is open.
#[must_use]
pub fn meta(doc: &Doc) -> MapRef {
    doc.get_or_insert_map(META_ROOT)
}

/// The `decisions` root of a body. Must not be called while a transaction of this document is open.
#[must_use]
pub fn decisions(doc: &Doc) -> MapRef {
    doc.get_or_insert_map(DECISIONS_ROOT)
}

/// The title, if the document has one. Reads within a transaction, so that the roots need not exist.
#[must_use]
pub fn title<T: ReadTxn>(txn: &T) -> Option<String> {
    match txn.get_map(META_ROOT)?.get(txn, "title")? {
        Out::Any(Any::String(title)) if !title.is_empty() => Some(title.to_string()),
        _ => None,
    }
}

/// Names the document; `meta` is its [`meta`] root. Writing the title it has makes no update.
pub fn set_title(meta: &MapRef, txn: &mut TransactionMut<'_>, title: &str) {
    if self::title(txn).as_deref().unwrap_or_default() != title {
        meta.insert(txn, "title", title);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use yrs::{StateVector, Transact, Update, updates::decoder::Decode};

    #[test]
    fn opening_makes_no_update() {
        let doc = open(7);
        let (_, _, _) = (fragment(&doc), meta(&doc), decisions(&doc));
        let txn = doc.transact();
        assert_eq!(txn.state_vector(), StateVector::default());
        assert_eq!(title(&txn), None);
        assert_eq!(txn.encode_state_as_update_v1(&StateVector::default()), vec![0, 0]);
    }

    #[test]
    fn the_title_travels_and_is_not_written_twice() {
        let doc = open(7);
        let root = meta(&doc);
        set_title(&root, &mut doc.transact_mut(), "Plan");
        let before = doc.transact().state_vector();
        set_title(&root, &mut doc.transact_mut(), "Plan");
        assert_eq!(doc.transact().state_vector(), before);

        let copy = open(8);
        let update = doc.transact().encode_state_as_update_v1(&StateVector::default());
        copy.transact_mut()
            .apply_update(Update::decode_v1(&update).unwrap())
            .unwrap();
        assert_eq!(title(&copy.transact()).as_deref(), Some("Plan"));
    }

    #[test]
    fn client_ids_stay_countable_for_javascript() {
        assert_eq!(open(u64::MAX).client_id().get(), (1 << 53) - 1);
        assert_eq!(open(42).client_id().get(), 42);
    }
}
