//! `check`.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use sync_server::store::{Backend as _, Backing as _, SqliteStore, examine};

use super::ask::Server;
use super::{say, write_whole};
use crate::config::STORE_FILE;

/// Exit code when something is damaged.
const DAMAGED: u8 = 1;

/// What a check found, in the server's words or in those of the files.
#[derive(Debug, Default, serde::Deserialize)]
struct Found {
    documents: usize,
    file: Vec<String>,
    damaged: Vec<Damaged>,
}

#[derive(Debug, serde::Deserialize)]
struct Damaged {
    id: String,
    title: String,
    problems: Vec<String>,
}

/// Reads every document, says what is damaged and saves what can be saved.
pub(super) fn check(data: &Path, save: Option<&Path>) -> anyhow::Result<ExitCode> {
    let found = match Server::of(data) {
        Some(server) => {
            let said = server.ask("GET", "/check", None)?.text()?;
            let found: Found = serde_json::from_str(&said)?;
            if let Some(folder) = save {
                for document in &found.damaged {
                    let part = |what: &str| -> anyhow::Result<Vec<u8>> {
                        let server =
                            Server::of(data).context("the server has stopped meanwhile: check again")?;
                        let id =
                            url::form_urlencoded::byte_serialize(document.id.as_bytes()).collect::<String>();
                        let path = format!("/check/{}/{what}", id.replace('+', "%20"));
                        let mut bytes = Vec::new();
                        server.ask("GET", &path, None)?.copy_to(&mut bytes)?;
                        Ok(bytes)
                    };
                    let (update, margin) = (part("update")?, part("margin")?);
                    keep(folder, &document.id, &update, &margin, &part("markdown")?)?;
                }
            }
            found
        }
        None => check_files(data, save)?,
    };
    for problem in &found.file {
        say(&format!("The file as a whole: {problem}"));
    }
    for Damaged { id, title, problems } in &found.damaged {
        say(&format!("Document {id} ({title}) is damaged:"));
        for problem in problems {
            say(&format!("  - {problem}"));
        }
    }
    if found.file.is_empty() && found.damaged.is_empty() {
        say(&format!(
            "{} documents were read; all are whole.",
            found.documents
        ));
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!(
        "{} documents were read; {} damaged.",
        found.documents,
        found.damaged.len()
    ));
    match save {
        Some(folder) => say(&format!(
            "What could be saved of them is in {}.",
            folder.display()
        )),
        None => say("To save what can be saved of them: inkling-server check --save FOLDER"),
    }
    Ok(ExitCode::from(DAMAGED))
}

/// Without a server: reads the files.
fn check_files(data: &Path, save: Option<&Path>) -> anyhow::Result<Found> {
    let path = data.join(STORE_FILE);
    anyhow::ensure!(path.exists(), "there are no documents in {}", data.display());
    let mut store = SqliteStore::open(&path)?;
    let mut found = Found {
        file: store.check_file()?,
        ..Found::default()
    };
    for row in store.documents()? {
        found.documents += 1;
        let examined = examine(store.remains(&row.id)?);
        if examined.problems.is_empty() {
            continue;
        }
        if let Some(folder) = save {
            let id = examined.doc.as_str();
            keep(
                folder,
                id,
                &examined.body,
                &examined.margin,
                examined.markdown.as_bytes(),
            )?;
        }
        found.damaged.push(Damaged {
            id: examined.doc.to_string(),
            title: examined.title,
            problems: examined.problems,
        });
    }
    Ok(found)
}

/// Writes what was saved of a document.
fn keep(folder: &Path, id: &str, update: &[u8], margin: &[u8], markdown: &[u8]) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    // An id may hold anything but control characters; a file's name may not.
    let mut name = String::new();
    for char in id.chars() {
        if char.is_alphanumeric() || "-_".contains(char) {
            name.push(char);
        } else {
            name.push_str(&format!("%{:02X}", u32::from(char)));
        }
    }
    for (end, bytes) in [("ydoc", update), ("margin.ydoc", margin), ("md", markdown)] {
        let path = folder.join(format!("{name}.{end}"));
        write_whole(&path, |file| Ok(file.write_all(bytes)?))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}
