//! What leaves the window for the rest of the system: links that are followed, texts that are saved as files.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use url::Url;

use crate::error::IpcError;

/// Addresses that a link in a document may have. Anything else could start a program or read a file.
const SCHEMES: [&str; 4] = ["http", "https", "mailto", "tel"];
/// How many files of one name are told apart by a number.
const MOST_OF_A_NAME: u32 = 1000;
/// The longest file name that is made, in characters: systems take 255 bytes.
const LONGEST_NAME: usize = 60;

/// The address of a link that may be followed.
///
/// # Errors
/// When it is no address, or one of another kind.
pub(crate) fn address(link: &str) -> Result<Url, IpcError> {
    let url = Url::parse(link).map_err(|_| IpcError::bad_request("this link is no complete address"))?;
    if SCHEMES.contains(&url.scheme()) {
        Ok(url)
    } else {
        Err(IpcError::bad_request(format!(
            "links of the kind {}: are not opened",
            url.scheme()
        )))
    }
}

/// Where the person's downloads go.
pub(crate) fn downloads() -> Option<PathBuf> {
    let folders = directories::UserDirs::new()?;
    let downloads = folders.download_dir().map(Path::to_path_buf);
    // Where no folder is named for downloads, the home folder is where people look next.
    Some(downloads.unwrap_or_else(|| folders.home_dir().to_path_buf()))
}

/// Writes a new file, `NAME.md`, or `NAME 2.md` when that is there already, and so on; answers its path.
///
/// # Errors
/// When the folder cannot be made or written.
pub(crate) fn save(folder: &Path, name: &str, text: &str) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let name = file_name(name);
    for number in 1..=MOST_OF_A_NAME {
        let file = if number == 1 {
            format!("{name}.md")
        } else {
            format!("{name} {number}.md")
        };
        let path = folder.join(file);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(text.as_bytes())?;
                file.sync_all()?;
                return Ok(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        "there are too many files of this name already",
    ))
}

/// A title as a file's name: without what any system forbids there.
fn file_name(title: &str) -> String {
    let plain: String = title
        .chars()
        .map(|c| {
            if c.is_control() || r#"<>:"/\|?*"#.contains(c) {
                ' '
            } else {
                c
            }
        })
        .collect();
    let words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = words.trim_matches('.').chars().take(LONGEST_NAME).collect();
    match short.trim() {
        "" => "Document".to_owned(),
        short => short.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_start_nothing_are_followed() {
        for link in [
            "https://a.example/x?y#z",
            "http://a.example",
            "mailto:ann@a.example",
            "tel:+123",
        ] {
            assert!(address(link).is_ok(), "{link}");
        }
        for link in [
            "file:///etc/passwd",
            "javascript:alert(1)",
            "data:text/html,x",
            "smb://host/x",
            "vscode:x",
            "/d/1",
            "",
        ] {
            assert!(address(link).is_err(), "{link}");
        }
    }

    #[test]
    fn a_file_never_replaces_another() {
        let folder = tempfile::tempdir().unwrap();
        let first = save(folder.path(), "A walk: by the sea?", "one").unwrap();
        let second = save(folder.path(), "A walk: by the sea?", "two").unwrap();
        assert_eq!(first.file_name().unwrap(), "A walk by the sea.md");
        assert_eq!(second.file_name().unwrap(), "A walk by the sea 2.md");
        assert_eq!(std::fs::read_to_string(first).unwrap(), "one");
    }

    #[test]
    fn a_title_cannot_leave_the_folder() {
        for title in ["../../etc/passwd", "..", "/", "a\\..\\b", "\0", ""] {
            let name = file_name(title);
            assert!(
                !name.contains(['/', '\\']) && name != ".." && !name.is_empty(),
                "{title}: {name}"
            );
        }
        assert_eq!(file_name(&"ü".repeat(300)).chars().count(), LONGEST_NAME);
    }
}
