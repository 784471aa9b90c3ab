//! A reader that stops reading: what it costs the server, whether it is cut off, and whether it gets everything later.

use std::time::Duration;

use anyhow::Context as _;
use yrs::{Any, Doc, Map as _, ReadTxn as _, Transact as _};

use super::super::candidate::Candidate;
use super::super::load::client::{Incoming, connect, join};
use super::super::load::letters::reached;
use super::super::stats::resident_kib;
use super::{Measures, PATIENCE, Plan, Row};

/// Bytes of one edit: an entry that replaces the one before, so that the document itself stays small.
const EDIT: usize = 16 << 10;
const WRITER: u64 = 77;

/// Runs it against one server.
///
/// # Errors
/// When somebody who does read is cut off, or does not get everything.
pub(super) async fn run(candidate: &Candidate, plan: &Plan) -> anyhow::Result<Measures> {
    let edits = if plan.quick { 1200 } else { 6000 };
    let data = tempfile::tempdir()?;
    let server = candidate.start(data.path(), plan.pinned)?;
    let address = server.address("stalled");
    let memory =
        || resident_kib(server.pid()).context("this system does not tell how much memory a process has");

    let (_stalled_sender, mut stalled) = join(&address).await?;
    let (_reader_sender, mut reader) = join(&address).await?;
    let (sender, mut own) = join(&address).await?;
    tokio::spawn(async move { while own.next().await.is_ok() {} });

    let doc = Doc::with_client_id(WRITER);
    let map = doc.get_or_insert_map("large");
    let (mut before, mut highest) = (0.0, 0.0_f64);
    let mut seen = 0;
    for edit in 0..edits {
        let state = doc.transact().state_vector();
        let value = format!("{edit:08}").repeat(EDIT / 8);
        map.insert(&mut doc.transact_mut(), "value", Any::from(value));
        let update = doc.transact().encode_diff_v1(&state);
        sender.update(&update).await?;
        // One at a time to the reader that reads, so that only the other one makes the server keep anything.
        while seen <= edit {
            let incoming = tokio::time::timeout(PATIENCE, reader.next())
                .await
                .with_context(|| {
                    format!("the reader that reads gets nothing after {seen} of {edits} edits")
                })??;
            if let Incoming::Update(update) | Incoming::Step2(update) = incoming {
                reached(update, |client, clock| {
                    if client == WRITER {
                        seen = seen.max(clock);
                    }
                })?;
            }
        }
        // The first 200 warm the server up; they fit into the system's buffers.
        if edit == 200 {
            before = memory()?;
        } else if edit > 200 && edit % 50 == 0 {
            highest = highest.max(memory()?);
        }
    }
    // What is in the system's buffers is read; then either the end of the connection comes, or everything.
    let cut_off = loop {
        match tokio::time::timeout(Duration::from_secs(2), stalled.next()).await {
            Ok(Err(_)) => break true,
            Ok(Ok(Incoming::Update(update))) => {
                let mut all = false;
                reached(update, |client, clock| all |= client == WRITER && clock >= edits)?;
                if all {
                    break false;
                }
            }
            Ok(Ok(_)) => {}
            Err(_) => break false,
        }
    };
    let (_again_sender, mut again) = connect(&address).await?;
    let update = tokio::time::timeout(PATIENCE, again.step_2()).await??;
    let mut whole = 0;
    reached(&update, |client, clock| {
        if client == WRITER {
            whole = clock;
        }
    })?;
    anyhow::ensure!(whole == edits, "after a stall, {whole} of {edits} edits arrive");
    Ok(vec![
        (Row::StalledMemory, (highest - before).max(0.0) / 1024.0),
        (Row::StalledCutOff, if cut_off { 100.0 } else { 0.0 }),
    ])
}
