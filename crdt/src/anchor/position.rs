//! Relative positions: Yjs' JSON for a place in the text that stays when the text around it changes.

use serde::{Deserialize, Serialize};
use yrs::block::ClientID;
use yrs::branch::{Branch, BranchPtr};
use yrs::{Assoc, BranchID, ID, IndexScope, ReadTxn, StickyIndex};

use crate::doc::BODY_ROOT;

/// Yjs client ids have 53 bits; yrs refuses larger ones loudly, so they are sorted out before.
const MAX_CLIENT_ID: u64 = (1 << 53) - 1;

/// The id of one Yjs item, or of one UTF-16 unit of a text item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ItemId {
    /// The client that made it.
    pub client: u64,
    /// Its place among that client's items.
    pub clock: u32,
}

impl ItemId {
    /// The id as yrs has it, unless no client can have such an id.
    #[must_use]
    pub fn to_yrs(self) -> Option<ID> {
        (self.client <= MAX_CLIENT_ID).then(|| ID::new(ClientID::new(self.client), self.clock))
    }
}

impl From<ID> for ItemId {
    fn from(id: ID) -> Self {
        Self {
            client: id.client.get(),
            clock: id.clock,
        }
    }
}

/// A place in a body, as `Y.relativePositionToJSON` writes it.
///
/// With `item` it stands beside that item, also when the item is deleted. Without, it is the end (`assoc` >= 0) or the
/// beginning (`assoc` < 0) of the type that `type` or `tname` names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct RelativePosition {
    /// The type it is in, if that is no root. Informative when there is an `item`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ItemId>,
    /// The root type it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tname: Option<String>,
    /// The item it sticks to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<ItemId>,
    /// >= 0: sticks to what follows; < 0: to what comes before.
    #[serde(default, deserialize_with = "assoc")]
    pub assoc: i32,
}

/// `assoc` is missing or null in what older clients write.
fn assoc<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    let assoc = Option::<f64>::deserialize(deserializer)?.unwrap_or(0.0);
    Ok(if assoc < 0.0 { -1 } else { 0 })
}

/// Where a relative position is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// A text, an element or the root.
    pub(crate) branch: BranchPtr,
    /// Units in a text, children in an element.
    pub(crate) index: u32,
}

impl RelativePosition {
    /// The place at `index` of a type; `before` sticks to what comes before it, else to what follows.
    #[must_use]
    pub fn at<T: ReadTxn, B: AsRef<Branch>>(txn: &T, branch: &B, index: u32, before: bool) -> Self {
        let branch = BranchPtr::from(branch.as_ref());
        let assoc = if before { Assoc::Before } else { Assoc::After };
        let scope = StickyIndex::at(txn, branch, index, assoc).map_or_else(
            || IndexScope::from_branch(branch),
            |sticky| sticky.scope().clone(),
        );
        let mut position = Self {
            assoc: if before { -1 } else { 0 },
            ..Self::default()
        };
        match scope {
            IndexScope::Relative(id) => position.item = Some(id.into()),
            IndexScope::Nested(_) | IndexScope::Root(_) => {}
        }
        match branch.id() {
            BranchID::Nested(id) => position.parent = Some(id.into()),
            BranchID::Root(name) => position.tname = Some(name.to_string()),
        }
        position
    }

    /// The place of the item itself, deleted or not.
    #[must_use]
    pub fn of_item(item: ItemId) -> Self {
        Self {
            item: Some(item),
            ..Self::default()
        }
    }

    /// Whether it is the beginning or the end of the body itself.
    pub(crate) fn is_root(&self) -> bool {
        self.item.is_none() && self.parent.is_none() && self.tname.as_deref() == Some(BODY_ROOT)
    }

    /// Where the position is now, or `None` when what it sticks to is unknown here, or its type is deleted.
    pub(crate) fn resolve<T: ReadTxn>(&self, txn: &T) -> Option<Place> {
        let place = if let Some(item) = self.item {
            let assoc = if self.assoc < 0 {
                Assoc::Before
            } else {
                Assoc::After
            };
            let offset = StickyIndex::from_id(item.to_yrs()?, assoc).get_offset(txn)?;
            Place {
                branch: offset.branch,
                index: offset.index,
            }
        } else {
            let branch = if let Some(id) = self.parent {
                BranchID::get_nested(txn, &known(id, txn)?)?
            } else if self.is_root() {
                BranchID::get_root(txn, BODY_ROOT)?
            } else {
                return None;
            };
            Place {
                branch,
                index: if self.assoc < 0 { 0 } else { branch.content_len() },
            }
        };
        (!place.branch.is_deleted()).then_some(place)
    }
}

/// The id for yrs if the item has arrived here.
pub(crate) fn known<T: ReadTxn>(id: ItemId, txn: &T) -> Option<ID> {
    let id = id.to_yrs()?;
    (txn.state_vector().get(&id.client) > id.clock).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use yrs::{Text, Transact, WriteTxn, XmlElementPrelim, XmlFragment, XmlTextPrelim};

    fn both_ways(json: &serde_json::Value) {
        let position: RelativePosition = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&position).unwrap(), *json);
    }

    #[test]
    fn json_is_that_of_yjs() {
        both_ways(
            &json!({"type": {"client": 3, "clock": 1}, "item": {"client": 9, "clock": 20}, "assoc": -1}),
        );
        both_ways(&json!({"type": {"client": 3, "clock": 1}, "assoc": 0}));
        both_ways(&json!({"tname": "default", "assoc": -1}));
        // What `JSON.stringify` makes of a live position, and what lacks an association.
        let position: RelativePosition = serde_json::from_value(
            json!({"type": null, "tname": null, "item": {"client": 9, "clock": 2}, "assoc": null}),
        )
        .unwrap();
        assert_eq!(
            position,
            RelativePosition::of_item(ItemId { client: 9, clock: 2 })
        );
        let position: RelativePosition = serde_json::from_value(json!({"assoc": 1.0, "else": []})).unwrap();
        assert_eq!(position, RelativePosition::default());
    }

    #[test]
    fn every_place_of_a_text_and_of_its_elements_is_found_again() {
        let doc = crate::doc::open(1);
        let root = crate::doc::fragment(&doc);
        let mut txn = doc.transact_mut();
        let paragraph = root.insert(&mut txn, 0, XmlElementPrelim::empty("paragraph"));
        let text = paragraph.insert(&mut txn, 0, XmlTextPrelim::new(""));
        root.insert(&mut txn, 1, XmlElementPrelim::empty("paragraph"));
        text.insert(&mut txn, 0, "a𝄞c");
        text.insert(&mut txn, 1, "bb");
        for before in [true, false] {
            for index in [0, 1, 2, 3, 5, 6] {
                let position = RelativePosition::at(&txn, &text, index, before);
                let place = position.resolve(&txn).unwrap();
                assert_eq!(
                    (place.index, place.branch.id()),
                    (index, BranchPtr::from(AsRef::<Branch>::as_ref(&text)).id()),
                    "{position:?}"
                );
            }
            for index in [0, 1, 2] {
                let place = RelativePosition::at(&txn, &root, index, before)
                    .resolve(&txn)
                    .unwrap();
                assert_eq!(place.index, index);
            }
        }
        // The end of a text is the text itself, as y-prosemirror writes it.
        let end = RelativePosition::at(&txn, &text, 6, false);
        assert_eq!(end.item, None);
        text.insert(&mut txn, 6, "!");
        assert_eq!(end.resolve(&txn).unwrap().index, 7);
        // A deleted item still says where it was; a deleted type does not.
        let middle = RelativePosition::at(&txn, &text, 2, false);
        text.remove_range(&mut txn, 1, 3);
        assert_eq!(middle.resolve(&txn).unwrap().index, 1);
        root.remove(&mut txn, 0);
        drop(txn);
        let txn = doc.transact();
        assert_eq!(middle.resolve(&txn), None);
        assert_eq!(end.resolve(&txn), None);
        let _ = txn.encode_state_as_update_v1(&yrs::StateVector::default());
    }

    #[test]
    fn ids_nobody_can_have_are_not_found() {
        let doc = crate::doc::open(1);
        let mut txn = doc.transact_mut();
        txn.get_or_insert_xml_fragment(BODY_ROOT);
        for id in [
            ItemId {
                client: u64::MAX,
                clock: 0,
            },
            ItemId {
                client: 1,
                clock: u32::MAX,
            },
            ItemId { client: 0, clock: 0 },
        ] {
            assert_eq!(RelativePosition::of_item(id).resolve(&txn), None);
            let within = RelativePosition {
                parent: Some(id),
                ..RelativePosition::default()
            };
            assert_eq!(within.resolve(&txn), None);
        }
        let elsewhere = RelativePosition {
            tname: Some("meta".into()),
            ..RelativePosition::default()
        };
        assert_eq!(elsewhere.resolve(&txn), None);
        assert_eq!(RelativePosition::default().resolve(&txn), None);
    }
}
