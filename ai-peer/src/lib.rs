//! ai-peer.
