//! Files as they should be written and compared: synced, and by their hashes.
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Writes a whole file and waits until it is on disk. For files in a folder that nobody looks into yet.
pub(crate) fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(file)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A file's size in bytes and its SHA-256 in hexadecimal digits.
pub(crate) fn fingerprint(file: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(file)?;
    let (mut hash, mut bytes, mut total) = (Sha256::new(), vec![0; 1 << 20], 0u64);
    loop {
        let count = file.read(&mut bytes)?;
        let Some(part) = bytes.get(..count).filter(|part| !part.is_empty()) else {
            break;
        };
        hash.update(part);
        total += count as u64;
    }
    let digits = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((total, digits))
}

/// Waits until a folder's entries are on disk, where systems can.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(windows) {
        return Ok(()); // a folder cannot be opened as a file there
    }
    File::open(folder)?.sync_all()
}
