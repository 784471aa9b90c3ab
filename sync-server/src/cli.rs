//! Commands beside serving: `backup`, `restore`, `check`, which ask the server that runs on the same folder, and work on the
//! files themselves when there is none; and `doctor`, which needs no server.

mod ask;
mod backup;
mod check;
mod doctor;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use crate::config::Config;

/// Exit code when what was asked for could not be done.
const FAILED: u8 = 2;

/// What can be asked for. Everything else starts the server.
#[derive(Debug, Parser)]
#[command(name = "inkling-server", version)]
enum Command {
    /// Write a copy of all documents, as of one moment, to a file. Works while the server runs.
    Backup {
        /// The file. One that is there is replaced when the copy is whole.
        file: PathBuf,
        /// Folder of the documents.
        #[arg(long, env = "INKLING_DATA")]
        data: Option<PathBuf>,
    },
    /// Put a backup in the place of all documents. What was there stays beside it. Works while the server runs.
    Restore {
        /// The file that `backup` has written.
        file: PathBuf,
        /// Folder of the documents.
        #[arg(long, env = "INKLING_DATA")]
        data: Option<PathBuf>,
    },
    /// Read every document and say which are damaged. Exit code 1 when there are some.
    Check {
        /// Save what can be saved of the damaged ones into this folder: NAME.ydoc (a Yjs update), NAME.md.
        #[arg(long, value_name = "FOLDER")]
        save: Option<PathBuf>,
        /// Folder of the documents.
        #[arg(long, env = "INKLING_DATA")]
        data: Option<PathBuf>,
    },
    /// Load the model as the server would, have it write some words, and tell what runs where, how fast, and why not
    /// elsewhere. Exit code 2 when there is no model.
    Doctor(Box<doctor::Doctor>),
}

/// Runs the command that was given, if one was.
pub(crate) fn run() -> Option<ExitCode> {
    let first = std::env::args().nth(1)?;
    if !["backup", "restore", "check", "doctor"].contains(&first.as_str()) {
        return None;
    }
    let done = match Command::parse() {
        Command::Backup { file, data } => folder(data).and_then(|data| backup::backup(&data, &file)),
        Command::Restore { file, data } => folder(data).and_then(|data| backup::restore(&data, &file)),
        Command::Doctor(settings) => settings.run(),
        Command::Check { save, data } => folder(data).and_then(|data| check::check(&data, save.as_deref())),
    };
    Some(done.unwrap_or_else(|error| {
        // Nobody reads it when even this fails.
        drop(writeln!(std::io::stderr(), "inkling-server: {error:#}"));
        ExitCode::from(FAILED)
    }))
}

fn folder(data: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    Config::folder_of(data)
}

/// Says something to whoever asked.
fn say(line: &str) {
    // A closed standard output is no reason not to do it.
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// Writes a file whole or not at all.
fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut std::fs::File) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let mut file = std::fs::File::create(&part)?;
    let written = write(&mut file).and_then(|()| Ok(file.sync_all()?));
    if let Err(error) = written {
        drop(std::fs::remove_file(&part));
        return Err(error);
    }
    Ok(std::fs::rename(part, path)?)
}
