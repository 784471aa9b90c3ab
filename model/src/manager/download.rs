//! Downloads a file so that a break costs only what was on the way: what has come stays, and the rest is asked for.
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{CONTENT_RANGE, ETAG, IF_RANGE, RANGE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use url::Url;

use crate::{files, http};

/// A file that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) url: Url,
    /// Where it is put, relative to the model's folder, with `/`.
    pub(super) path: String,
    pub(super) bytes: Option<u64>,
    pub(super) sha256: Option<String>,
}

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is done, for example a file's name.
    pub what: &'a str,
    /// Bytes that are here.
    pub done: u64,
    /// Bytes in all, if that is known.
    pub total: Option<u64>,
}

/// How patient a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Attempts without a single byte of progress before it gives up.
    pub attempts: u32,
    /// Pause before the second attempt; doubled for each that follows, up to a minute.
    pub pause: Duration,
    /// How long a server may say nothing.
    pub silence: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 6,
            pause: Duration::from_secs(1),
            silence: Duration::from_secs(60),
        }
    }
}

/// Why a download ended without the file. The words are for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// Asking again later goes on where it stopped.
    #[error("{what} broke off at {at} bytes: {reason}; run the same command again, it goes on from there")]
    Broken {
        /// The file.
        what: String,
        /// Bytes that are here.
        at: u64,
        /// Why.
        reason: String,
    },
    /// The server refuses; asking again changes nothing.
    #[error("the server refuses {what}: {reason}")]
    Refused {
        /// The file or model.
        what: String,
        /// What it said, and what to do.
        reason: String,
    },
    /// What came is not what was promised; it was thrown away.
    #[error("{what} came damaged ({reason}) and was thrown away: run the same command again")]
    Damaged {
        /// The file.
        what: String,
        /// The difference.
        reason: String,
    },
    /// The model's place has nothing that can be used.
    #[error("{what} has {reason}")]
    Unsuitable {
        /// The model.
        what: String,
        /// What is missing.
        reason: String,
    },
    /// The disk refuses.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// Whoever waits for it has said stop.
    #[error("the download was stopped; run the same command again, it goes on from there")]
    Stopped,
}

/// Tells the progress; `false` stops.
pub(super) type Tell<'a> = &'a mut (dyn FnMut(Progress<'_>) -> bool + Send);

/// A file on its way.
struct Partial {
    path: PathBuf,
    tag: PathBuf,
}

impl Partial {
    fn of(target: &Path) -> Self {
        let beside = |suffix: &str| {
            let mut name = target.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        Self {
            path: beside(".part"),
            tag: beside(".part-tag"),
        }
    }

    fn length(&self) -> u64 {
        self.path.metadata().map_or(0, |data| data.len())
    }

    /// What the server calls the version of which a part is here.
    fn version(&self) -> Option<String> {
        fs::read_to_string(&self.tag).ok().filter(|tag| !tag.is_empty())
    }

    fn forget(&self) {
        let _ = fs::remove_file(&self.path); // it may not be there
        let _ = fs::remove_file(&self.tag);
    }
}

fn disk(path: &Path) -> impl FnOnce(std::io::Error) -> DownloadError + use<> {
    let path = path.to_path_buf();
    move |source| DownloadError::Disk { path, source }
}

/// What one attempt came to.
enum Attempt {
    Whole,
    Again(String, Option<Duration>),
}

/// Brings one file into `folder`. A file that is there already is taken as it is, if its size and hash are right.
pub(super) async fn fetch(
    client: &Client,
    token: Option<&str>,
    wanted: &Wanted,
    folder: &Path,
    retries: Retries,
    tell: Tell<'_>,
) -> Result<(), DownloadError> {
    let target = folder.join(&wanted.path);
    if target.is_file() && check(&target, wanted).is_ok() {
        return Ok(());
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(disk(parent))?;
    }
    let partial = Partial::of(&target);
    let (mut failures, mut pause) = (0, retries.pause);
    loop {
        let before = partial.length();
        let (reason, wait) = match attempt(client, token, wanted, &partial, tell).await? {
            Attempt::Whole => break,
            Attempt::Again(reason, wait) => (reason, wait),
        };
        if partial.length() > before {
            (failures, pause) = (0, retries.pause);
        }
        failures += 1;
        if failures >= retries.attempts {
            return Err(DownloadError::Broken {
                what: wanted.path.clone(),
                at: partial.length(),
                reason,
            });
        }
        tracing::warn!(file = wanted.path, reason, "the download broke off; trying again");
        tokio::time::sleep(wait.unwrap_or(pause).min(Duration::from_secs(60))).await;
        pause = (pause * 2).min(Duration::from_secs(60));
    }
    if let Err(reason) = check(&partial.path, wanted) {
        partial.forget();
        return Err(DownloadError::Damaged {
            what: wanted.path.clone(),
            reason,
        });
    }
    File::open(&partial.path)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&partial.path, &target))
        .map_err(disk(&target))?;
    partial.forget();
    Ok(())
}

fn check(file: &Path, wanted: &Wanted) -> Result<(), String> {
    let (bytes, sha256) = files::fingerprint(file).map_err(|error| error.to_string())?;
    if wanted.bytes.is_some_and(|expected| expected != bytes) {
        return Err(format!(
            "{bytes} bytes instead of {}",
            wanted.bytes.unwrap_or_default()
        ));
    }
    match &wanted.sha256 {
        Some(expected) if !expected.eq_ignore_ascii_case(&sha256) => {
            Err(format!("its SHA-256 is {sha256} instead of {expected}"))
        }
        _ => Ok(()),
    }
}

async fn attempt(
    client: &Client,
    token: Option<&str>,
    wanted: &Wanted,
    partial: &Partial,
    tell: Tell<'_>,
) -> Result<Attempt, DownloadError> {
    let mut have = partial.length();
    let version = partial.version();
    if have > 0 && version.is_none() && wanted.sha256.is_none() {
        // nothing would tell that the rest belongs to another version of the file
        partial.forget();
        have = 0;
    }
    if have > 0 && wanted.bytes == Some(have) {
        return Ok(Attempt::Whole);
    }
    let mut request = client.get(wanted.url.clone());
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if have > 0 {
        request = request.header(RANGE, format!("bytes={have}-"));
        if let Some(version) = version {
            request = request.header(IF_RANGE, version);
        }
    }
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return Ok(Attempt::Again(http::words(&error), None)),
    };
    match response.status() {
        StatusCode::PARTIAL_CONTENT if range_start(&response) == Some(have) => {}
        StatusCode::OK => {
            partial.forget();
            have = 0;
        }
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            partial.forget();
            return Ok(Attempt::Again(
                "the server sent another part than the one asked for".into(),
                None,
            ));
        }
        status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            let wait = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.parse().ok());
            return Ok(Attempt::Again(
                format!("the server answers {status}"),
                wait.map(Duration::from_secs),
            ));
        }
        status => return Err(refused(&wanted.path, status)),
    }
    receive(response, wanted, partial, have, tell).await
}

async fn receive(
    mut response: Response,
    wanted: &Wanted,
    partial: &Partial,
    mut have: u64,
    tell: Tell<'_>,
) -> Result<Attempt, DownloadError> {
    let tag = response.headers().get(ETAG).and_then(|value| value.to_str().ok());
    // a weak tag does not promise the same bytes
    if let Some(tag) = tag.filter(|tag| !tag.starts_with("W/")) {
        files::write(&partial.tag, tag.as_bytes()).map_err(disk(&partial.tag))?;
    }
    let total = wanted.bytes.or_else(|| Some(have + response.content_length()?));
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&partial.path)
        .map_err(disk(&partial.path))?;
    loop {
        let part = match response.chunk().await {
            Ok(Some(part)) => part,
            Ok(None) => break,
            Err(error) => return Ok(Attempt::Again(http::words(&error), None)),
        };
        file.write_all(&part).map_err(disk(&partial.path))?;
        have += part.len() as u64;
        let progress = Progress {
            what: &wanted.path,
            done: have,
            total,
        };
        if !tell(progress) {
            return Err(DownloadError::Stopped);
        }
    }
    match total {
        Some(total) if have < total => Ok(Attempt::Again("the connection ended early".into(), None)),
        _ => Ok(Attempt::Whole),
    }
}

/// Where the part that a server sends begins.
fn range_start(response: &Response) -> Option<u64> {
    let value = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    value.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

pub(super) fn refused(what: &str, status: StatusCode) -> DownloadError {
    let reason = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            format!(
                "{status}; it may need an account that has accepted the model's licence: give its token with --token"
            )
        }
        StatusCode::NOT_FOUND => format!("{status}; look whether the name is spelt as on the hub"),
        _ => status.to_string(),
    };
    DownloadError::Refused {
        what: what.to_owned(),
        reason,
    }
}
