//! crdt.
