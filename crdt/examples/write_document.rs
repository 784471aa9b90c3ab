//! Prints the Yjs update that writes `crdt/tests/golden/document.json`: the file that y-prosemirror is given to read.

use std::io::Write as _;

use crdt::{Node, content, doc};
use yrs::{ReadTxn as _, StateVector, Transact as _};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root: Node = serde_json::from_str(include_str!("../tests/golden/document.json"))?;
    let doc = doc::open(2);
    content::fill(&doc, &root.content)?;
    let update = doc.transact().encode_state_as_update_v1(&StateVector::default());
    std::io::stdout().write_all(&update)?;
    Ok(())
}
