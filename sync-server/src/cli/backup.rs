//! `backup` and `restore`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use sync_server::store::{Backing as _, SqliteStore, prepare};

use super::ask::Server;
use super::{say, write_whole};
use crate::config::STORE_FILE;

/// Writes a copy of all documents to `file`.
pub(super) fn backup(data: &Path, file: &Path) -> anyhow::Result<ExitCode> {
    if let Some(server) = Server::of(data) {
        let answer = server.ask("POST", "/backup", None)?;
        write_whole(file, |part| answer.copy_to(part).map(drop))
            .with_context(|| format!("no backup was written to {}", file.display()))?;
    } else {
        let store = data.join(STORE_FILE);
        anyhow::ensure!(store.exists(), "there are no documents in {}", data.display());
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = file.with_file_name(name);
        drop(std::fs::remove_file(&part)); // of a run that was cut off
        SqliteStore::open(&store)?
            .backup(&part, &mut |_| {})
            .map(|()| std::fs::rename(&part, file))
            .with_context(|| format!("no backup was written to {}", file.display()))??;
    }
    say(&format!(
        "All documents of {} are in {} now.",
        data.display(),
        file.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Puts `file` in the place of all documents.
pub(super) fn restore(data: &Path, file: &Path) -> anyhow::Result<ExitCode> {
    let cannot = || format!("{} cannot be read", file.display());
    let mut from = std::fs::File::open(file).with_context(cannot)?;
    let length = from.metadata().with_context(cannot)?.len();
    if let Some(server) = Server::of(data) {
        let said = server
            .ask("POST", "/restore", Some((&mut from, length)))?
            .text()?;
        let json: serde_json::Value = serde_json::from_str(&said)?;
        let count = json.get("documents").and_then(serde_json::Value::as_u64);
        let before = json.get("before").and_then(serde_json::Value::as_str);
        done(count.unwrap_or_default(), Some(before.unwrap_or_default()));
        if json.get("restart").and_then(serde_json::Value::as_bool) == Some(true) {
            say(
                "The backup is of another server: start this one anew, so that its share links and tokens open.",
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
    std::fs::create_dir_all(data)?;
    let store = data.join(STORE_FILE);
    let candidate = store.with_extension("restore.sqlite");
    drop(std::fs::remove_file(&candidate)); // of a run that was cut off
    write_whole(&candidate, |part| Ok(std::io::copy(&mut from, part).map(drop)?))?;
    let restored = prepare(&candidate)
        .with_context(|| format!("{} cannot be restored; nothing was changed", file.display()))
        .and_then(|count| {
            if store.exists() {
                let before = SqliteStore::open(&store)?.replace(&candidate)?;
                Ok((count, Some(before.display().to_string())))
            } else {
                std::fs::rename(&candidate, &store)?;
                Ok((count, None))
            }
        });
    drop(std::fs::remove_file(&candidate)); // when it is still there, it is of no use
    let (count, before) = restored?;
    done(count as u64, before.as_deref());
    Ok(ExitCode::SUCCESS)
}

fn done(count: u64, before: Option<&str>) {
    say(&format!("Restored; there are {count} documents now."));
    if let Some(before) = before {
        say(&format!(
            "What was there before is in {before}; delete that when you do not need it."
        ));
    }
}
