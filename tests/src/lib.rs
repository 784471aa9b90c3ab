//! What the benches share, and the benches themselves; each starts the real programs and measures them from outside.
//!
//! The tests across programs are in `interop/` (stock JavaScript clients) and `e2e/` (a real browser, a real window).

pub mod bench;
