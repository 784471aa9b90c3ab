//! The file as a whole: copied while it is in use, replaced by another, checked.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::SqliteStore;
use crate::clock;
use crate::store::{Backend, Backing, Cause, StoreError};

/// Pages that are copied at a time, 1 MB: a write that comes in waits a millisecond or two for them.
const PAGES: i32 = 256;

impl Backing for SqliteStore {
    fn backup(&mut self, to: &Path, between: &mut dyn FnMut(&mut dyn Backend)) -> Result<(), StoreError> {
        let mut target = Connection::open(to)?;
        {
            let backup = Backup::new(&self.connection, &mut target)?;
            // What this connection writes meanwhile goes into the copy as well, so that it is that of one moment: the last.
            while !matches!(backup.step(PAGES)?, StepResult::Done) {
                between(&mut self.session());
            }
        }
        // The copy says that it is in WAL mode, as the original; one file is easier to carry.
        target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
        target.close().map_err(|(_, error)| error)?;
        let synced = std::fs::File::open(to).and_then(|file| file.sync_all());
        synced.map_err(|error| StoreError::Io(Cause::new(error)))
    }

    fn replace(&mut self, with: &Path) -> Result<PathBuf, StoreError> {
        let path = self.path.clone();
        let aside = path.with_extension(format!(
            "before-{}.sqlite",
            clock::ulid().to_string().to_lowercase()
        ));
        let io = |error: std::io::Error| StoreError::Io(Cause::new(error));
        // Closing it brings the log into the file.
        let open = std::mem::replace(&mut self.connection, Connection::open_in_memory()?);
        if let Err((still_open, error)) = open.close() {
            self.connection = still_open;
            return Err(error.into());
        }
        let opened = move_store(&path, &aside)
            .and_then(|()| std::fs::rename(with, &path))
            .map_err(io)
            .and_then(|()| Self::open(&path));
        let mut store = match opened {
            Ok(store) => store,
            Err(error) => {
                if aside.exists() {
                    move_store(&aside, &path).map_err(io)?;
                }
                self.connection = Self::open(&path)?.connection;
                self.known.take();
                self.set_quota(self.quota)?;
                return Err(error);
            }
        };
        // That the names have changed is to last, too. Where a folder cannot be synced, it does so by itself.
        if let Some(folder) = path.parent().and_then(|folder| std::fs::File::open(folder).ok()) {
            drop(folder.sync_all());
        }
        store.set_quota(self.quota)?;
        *self = store;
        Ok(aside)
    }

    fn check_file(&mut self) -> Result<Vec<String>, StoreError> {
        let mut query = self.connection.prepare("PRAGMA quick_check")?;
        let said: Vec<String> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(said.into_iter().filter(|line| line != "ok").collect())
    }
}

/// Moves a store that is closed. With its log, should closing have left one (a full disk): beside another file it would be
/// taken for that one's.
fn move_store(from: &Path, to: &Path) -> std::io::Result<()> {
    let log = |path: &Path| {
        let mut name = path.as_os_str().to_owned();
        name.push("-wal");
        PathBuf::from(name)
    };
    if log(from).exists() {
        std::fs::rename(log(from), log(to))?;
    }
    std::fs::rename(from, to)
}

impl SqliteStore {
    /// Whether a file is a store at all, before it is made one by opening it.
    pub(in crate::store) fn is_store(path: &Path) -> Result<(), StoreError> {
        let connection = Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let tables: i64 = connection.query_row(
            "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('documents', 'records', 'snapshots')",
            [],
            |row| row.get(0),
        )?;
        if tables == 3 {
            Ok(())
        } else {
            Err(StoreError::Unreadable(Cause::new("it has none of the tables")))
        }
    }

    /// See [`crate::store::prepare`].
    pub(in crate::store) fn renew(mut self) -> Result<usize, StoreError> {
        let problems = self.check_file()?;
        if let Some(problem) = problems.first() {
            return Err(StoreError::Unreadable(Cause::new(problem)));
        }
        let renewed = self.session().within(|transaction| {
            let keys: Vec<i64> = transaction
                .prepare("SELECT key FROM documents")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for key in &keys {
                transaction
                    .prepare_cached("UPDATE documents SET epoch = ?2 WHERE key = ?1")?
                    .execute((key, clock::ulid().to_string()))?;
            }
            let shown = transaction.query_row(
                "SELECT count(*) FROM documents WHERE deleted_at IS NULL",
                [],
                |row| row.get(0),
            )?;
            Ok(shown)
        })?;
        self.connection.close().map_err(|(_, error)| error)?;
        Ok(renewed)
    }
}
