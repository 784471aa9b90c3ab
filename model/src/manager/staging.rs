//! The folder in which a model is made before it has its name.
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::ManagerError;
use crate::files;

/// Folder, among the models, for what is not whole.
pub(super) const FOLDER: &str = ".staging";

/// A model in the making. When it is dropped, its files stay for the next attempt to go on with.
#[derive(Debug)]
pub(super) struct Staging {
    root: PathBuf,
    id: String,
    folder: PathBuf,
    /// Locked for as long as this lives; the system unlocks it when the process ends.
    _lock: File,
}

impl Staging {
    /// Takes the place for a model; `keep` leaves what an earlier attempt has brought.
    pub(super) fn open(root: &Path, id: &str, keep: bool) -> Result<Self, ManagerError> {
        check_name(id)?;
        if root.join(id).exists() {
            return Err(ManagerError::Exists(id.to_owned()));
        }
        let place = root.join(FOLDER);
        fs::create_dir_all(&place).map_err(ManagerError::disk(&place))?;
        let lock_file = place.join(format!("{id}.lock"));
        let lock = File::create(&lock_file).map_err(ManagerError::disk(&lock_file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ManagerError::Locked(id.to_owned())),
            Err(TryLockError::Error(error)) => return Err(ManagerError::disk(&lock_file)(error)),
        }
        let folder = place.join(id);
        if !keep && folder.exists() {
            fs::remove_dir_all(&folder).map_err(ManagerError::disk(&folder))?;
        }
        fs::create_dir_all(&folder).map_err(ManagerError::disk(&folder))?;
        Ok(Self {
            root: root.to_path_buf(),
            id: id.to_owned(),
            folder,
            _lock: lock,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Syncs what was made and gives it its name.
    pub(super) fn finish(self) -> Result<PathBuf, ManagerError> {
        for file in walk(&self.folder).map_err(ManagerError::disk(&self.folder))? {
            let path = self.folder.join(&file);
            File::open(&path)
                .and_then(|file| file.sync_all())
                .map_err(ManagerError::disk(&path))?;
        }
        files::sync_folder(&self.folder).map_err(ManagerError::disk(&self.folder))?;
        let target = self.root.join(&self.id);
        fs::rename(&self.folder, &target).map_err(ManagerError::disk(&target))?;
        files::sync_folder(&self.root).map_err(ManagerError::disk(&self.root))?;
        Ok(target)
    }

    /// Throws away what was made.
    pub(super) fn discard(self) {
        let _ = fs::remove_dir_all(&self.folder); // the next attempt begins anew anyway
    }
}

/// Files of a folder and those below it, by their paths with `/`, sorted.
pub(super) fn walk(folder: &Path) -> std::io::Result<Vec<String>> {
    let (mut found, mut open) = (Vec::new(), vec![String::new()]);
    while let Some(prefix) = open.pop() {
        for entry in folder.join(&prefix).read_dir()? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            // follows links: hubs' own caches are made of them
            if entry.path().is_dir() {
                open.push(format!("{name}/"));
            } else {
                found.push(name);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Refuses names that are no plain folder's.
pub(super) fn check_name(id: &str) -> Result<(), ManagerError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let good = (1..=96).contains(&id.len()) && !id.starts_with('.') && id.chars().all(plain);
    good.then_some(())
        .ok_or_else(|| ManagerError::Name(id.to_owned()))
}

/// A name made of any text.
pub(super) fn name_of(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' || c == '_' {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(96)
        .collect();
    let plain = plain.trim_matches(['-', '.']).to_owned();
    if plain.is_empty() { "model".into() } else { plain }
}
