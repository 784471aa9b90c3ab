//! TLS by rustls, with ring: certificates of this server, and trust in others.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::time::Instant;

/// How often it is looked whether a certificate has been renewed: at the first visitor after so long.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is not what it should be.
    #[error("{path} cannot be used: {reason}", path = .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key do not go together, or are not supported.
    #[error("the certificate and its key cannot be used: {0}")]
    Pair(#[from] rustls::Error),
}

impl TlsError {
    fn file(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::File {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// What a server shows: a chain of certificates and its private key, both PEM. When the files change, what is in them then is
/// shown to whoever comes next; files that cannot be used are logged, and what was read before them is shown on.
///
/// # Errors
/// [`TlsError`].
pub fn server(certificates: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let shown = Renewable::open(certificates, key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    // WebSockets need it, and nothing else is spoken here.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A certificate and its key in files that somebody renews while the server runs.
#[derive(Debug)]
struct Renewable {
    certificates: PathBuf,
    key: PathBuf,
    shown: Mutex<Shown>,
}

#[derive(Debug)]
struct Shown {
    pair: Arc<CertifiedKey>,
    /// How the files were when the pair was read.
    of: [Trace; 2],
    /// How they were when they could not be used; said once.
    refused: Option<[Trace; 2]>,
    looked: Instant,
}

/// What tells that a file was written again: when that was, and how long it is.
type Trace = Option<(SystemTime, u64)>;

impl Renewable {
    fn open(certificates: &Path, key: &Path) -> Result<Self, TlsError> {
        let of = [trace(certificates), trace(key)];
        let shown = Shown {
            pair: read_pair(certificates, key)?,
            of,
            refused: None,
            looked: Instant::now(),
        };
        Ok(Self {
            certificates: certificates.to_owned(),
            key: key.to_owned(),
            shown: Mutex::new(shown),
        })
    }

    /// What is to be shown now. Two small files are read on the way when they have changed, which is a matter of months.
    fn pair(&self, now: Instant) -> Arc<CertifiedKey> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(shown.looked) >= LOOK_EVERY {
            shown.looked = now;
            self.look(&mut shown);
        }
        Arc::clone(&shown.pair)
    }

    fn look(&self, shown: &mut Shown) {
        // Before they are read: what is written meanwhile is seen the next time.
        let found = [trace(&self.certificates), trace(&self.key)];
        if found == shown.of || shown.refused == Some(found) {
            return;
        }
        match read_pair(&self.certificates, &self.key) {
            Ok(pair) => {
                tracing::info!(certificates = %self.certificates.display(), "the certificate was renewed");
                shown.pair = pair;
                shown.of = found;
                shown.refused = None;
            }
            Err(error) => {
                // The one may be written before the other; it is looked at again when either changes.
                tracing::warn!(%error, "the certificate's files have changed and cannot be used; the one before is shown on");
                shown.refused = Some(found);
            }
        }
    }
}

impl ResolvesServerCert for Renewable {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair(Instant::now()))
    }
}

fn trace(path: &Path) -> Trace {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

fn read_pair(certificates: &Path, key: &Path) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = certificates_in(certificates)?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| TlsError::file(key, format!("it holds no private key as PEM ({error})")))?;
    let pair = CertifiedKey::from_der(chain, private, &ring::default_provider())?;
    Ok(Arc::new(pair))
}

/// Whom this process trusts: what browsers trust (Mozilla's list), and the certificates in `authorities`.
///
/// # Errors
/// [`TlsError`].
pub fn client(authorities: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(path) = authorities {
        for certificate in certificates_in(path)? {
            roots
                .add(certificate)
                .map_err(|error| TlsError::file(path, error))?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(TlsError::file(path, "it holds no certificate as PEM")),
        Err(error) => Err(TlsError::file(path, error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;

    use super::*;

    fn put(path: &Path, text: &str) {
        File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn write(files: [&Path; 2], made: &rcgen::CertifiedKey<rcgen::KeyPair>, which: [bool; 2]) {
        for ((path, text), write) in files
            .into_iter()
            .zip([made.cert.pem(), made.signing_key.serialize_pem()])
            .zip(which)
        {
            if write {
                put(path, &text);
            }
        }
    }

    /// Moves a file's time on: two writes may come within what a file system tells apart.
    fn touch(path: &Path, seconds: u64) {
        let file = File::options().append(true).open(path).unwrap();
        let at = file.metadata().unwrap().modified().unwrap() + Duration::from_secs(seconds);
        file.set_modified(at).unwrap();
    }

    #[test]
    fn a_renewed_pair_is_shown_once_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        let files = [chain.as_path(), key.as_path()];
        let make = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (first, second) = (make(), make());
        write(files, &first, [true, true]);
        let shown = Renewable::open(&chain, &key).unwrap();
        let begin = Instant::now();
        let at = |looks: u32| shown.pair(begin + LOOK_EVERY * 2 * looks).cert[0].clone();
        let of = |made: &rcgen::CertifiedKey<rcgen::KeyPair>| made.cert.der().clone();
        assert_eq!(at(1), of(&first));
        // The certificate alone: it does not go with the old key.
        write(files, &second, [true, false]);
        touch(&chain, 1);
        assert_eq!(at(2), of(&first));
        // Half a key.
        put(&key, "-----BEGIN PRIVATE KEY-----\n");
        touch(&key, 2);
        assert_eq!(at(3), of(&first));
        write(files, &second, [false, true]);
        touch(&key, 3);
        let soon = shown.pair(begin + LOOK_EVERY * 6 + LOOK_EVERY / 2);
        assert_eq!(soon.cert[0], of(&first), "it is not looked at for every visitor");
        assert_eq!(at(4), of(&second));
        // A file that is not there for a while changes nothing.
        fs::remove_file(&chain).unwrap();
        assert_eq!(at(5), of(&second));
    }
}
