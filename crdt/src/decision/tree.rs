//! The body's tree: where an element is, and what may stand where.

use yrs::{BranchID, ReadTxn, TransactionMut, Xml, XmlElementRef, XmlFragment, XmlFragmentRef, XmlOut};

use crate::anchor::{AsRefId, ItemId, RelativePosition};
use crate::content;
use crate::doc::BODY_ROOT;
use crate::node::Node;

/// Elements that hold blocks of any kind.
const CONTAINERS: [&str; 5] = ["blockquote", "listItem", "taskItem", "tableCell", "tableHeader"];

/// The root or an element, as a parent of blocks.
#[derive(Debug, Clone)]
pub(crate) enum Parent {
    Root(XmlFragmentRef),
    Element(XmlElementRef),
}

impl Parent {
    /// The parent of an element.
    pub(crate) fn of<T: ReadTxn>(txn: &T, element: &XmlElementRef) -> Option<Self> {
        match element.parent() {
            Some(XmlOut::Element(parent)) => Some(Self::Element(parent)),
            Some(XmlOut::Text(_)) => None,
            Some(XmlOut::Fragment(parent)) => Some(Self::Root(parent)),
            // A root that came with an update and was never opened here has no type yet.
            None => txn.get_xml_fragment(BODY_ROOT).map(Self::Root),
        }
    }

    pub(crate) fn kind(&self) -> &str {
        match self {
            Self::Root(_) => "doc",
            Self::Element(element) => element.try_tag().map_or("", |tag| tag),
        }
    }

    pub(crate) fn holds_blocks(&self) -> bool {
        matches!(self, Self::Root(_)) || CONTAINERS.contains(&self.kind())
    }

    /// Whether its first child has to be a paragraph.
    pub(crate) fn begins_with_paragraph(&self) -> bool {
        matches!(self.kind(), "listItem" | "taskItem")
    }

    pub(crate) fn elements<T: ReadTxn>(&self, txn: &T) -> Vec<XmlElementRef> {
        match self {
            Self::Root(root) => elements(txn, root),
            Self::Element(element) => elements(txn, element),
        }
    }

    pub(crate) fn len<T: ReadTxn>(&self, txn: &T) -> u32 {
        match self {
            Self::Root(root) => root.len(txn),
            Self::Element(element) => element.len(txn),
        }
    }

    /// The child at an index, if that is an element.
    pub(crate) fn get<T: ReadTxn>(&self, txn: &T, index: u32) -> Option<XmlElementRef> {
        match self {
            Self::Root(root) => root.get(txn, index),
            Self::Element(element) => element.get(txn, index),
        }
        .and_then(XmlOut::into_xml_element)
    }

    pub(crate) fn insert(&self, txn: &mut TransactionMut<'_>, index: u32, nodes: &[Node]) {
        match self {
            Self::Root(root) => content::insert(root, txn, index, nodes),
            Self::Element(element) => content::insert(element, txn, index, nodes),
        }
    }

    pub(crate) fn remove(&self, txn: &mut TransactionMut<'_>, index: u32) {
        match self {
            Self::Root(root) => root.remove_range(txn, index, 1),
            Self::Element(element) => element.remove_range(txn, index, 1),
        }
    }
}

/// The elements among the children.
pub(crate) fn elements<P: XmlFragment, T: ReadTxn>(txn: &T, parent: &P) -> Vec<XmlElementRef> {
    parent
        .children(txn)
        .filter_map(XmlOut::into_xml_element)
        .collect()
}

/// The node's name.
pub(crate) fn kind(element: &XmlElementRef) -> &str {
    element.try_tag().map_or("", |tag| tag)
}

/// The id of an element's own item.
pub(crate) fn item_of(element: &XmlElementRef) -> Option<ItemId> {
    match element.as_ref_id() {
        BranchID::Nested(id) => Some(id.into()),
        BranchID::Root(_) => None,
    }
}

/// The parent of an element and the element's index in it, if it is alive.
pub(crate) fn place_of<T: ReadTxn>(txn: &T, element: &XmlElementRef) -> Option<(Parent, u32)> {
    let parent = Parent::of(txn, element)?;
    let own = element.as_ref_id();
    let is_it = |child: XmlOut| child.id() == own;
    let index = match &parent {
        Parent::Root(root) => root.children(txn).position(is_it),
        Parent::Element(element) => element.children(txn).position(is_it),
    }?;
    Some((parent, u32::try_from(index).ok()?))
}

/// Takes an element out. Whether it was alive.
pub(crate) fn remove(txn: &mut TransactionMut<'_>, element: &XmlElementRef) -> bool {
    match place_of(txn, element) {
        Some((parent, index)) => {
            parent.remove(txn, index);
            true
        }
        None => false,
    }
}

/// The place of an element that is about to be taken out.
pub(crate) fn tombstone(element: &XmlElementRef) -> RelativePosition {
    item_of(element)
        .map(RelativePosition::of_item)
        .unwrap_or_default()
}
