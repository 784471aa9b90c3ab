//! Who may do what: keys with roles, tokens, share links, the owner's own machine, and which web pages may ask.

pub(crate) mod api;
pub(crate) mod guard;
pub mod jwt;
pub(crate) mod pass;
pub(crate) mod shares;
pub(crate) mod traffic;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, header};
use crdt::ids::Role;

use crate::outbox::Closing;

pub(crate) use guard::Guard;
pub use guard::SecretError;
pub use jwt::{JwtKey, JwtKeyError, JwtSettings, NewToken};
pub use pass::{Claims, User};

/// The longest name or id that is taken from a client.
pub(crate) const MAX_NAME_BYTES: usize = 200;

/// Close code: what was shown opens nothing here, or has expired. Coming again needs another key or token. Private range
/// (RFC 6455, 7.4.2), after HTTP's 401.
pub const CLOSE_UNAUTHORIZED: u16 = 4401;

/// Close code: the right to this document was taken away, or is not there. Private range, after HTTP's 403.
pub const CLOSE_FORBIDDEN: u16 = 4403;

/// Who is let into a relay, and with what.
#[derive(Clone, Default)]
pub struct Access {
    /// Keys and the role that each gives.
    pub keys: Vec<(String, Role)>,
    /// Without any key: whether everybody on this machine is the owner.
    pub open_to_local: bool,
    /// Web pages of other addresses that may ask, as `https://host[:port]`.
    pub origins: Vec<String>,
    /// What share links and tokens are signed with, 32 characters or more. Without it the store's own, made at the first start.
    pub secret: Option<String>,
    /// Tokens of others that count.
    pub jwt: JwtSettings,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys are never printed.
        let roles: Vec<_> = self.keys.iter().map(|(_, role)| *role).collect();
        f.debug_struct("Access")
            .field("keys", &roles)
            .field("open_to_local", &self.open_to_local)
            .finish_non_exhaustive()
    }
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// This process: the desktop's window, the AI peer.
    Process,
    /// A program on this machine that asked this machine by its local name.
    Local,
    /// Anybody else.
    Remote,
}

/// Why somebody is not let in; the message is for them to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// No key was given.
    #[error(
        "this server asks for a key: open the link that its owner gave you, or add ?key=… to the address"
    )]
    KeyMissing,
    /// The key is not one of this server's.
    #[error("this key does not open anything on this server: ask its owner for a new link")]
    KeyWrong,
    /// A web page of another address asked.
    #[error("the web page at {0} may not use this server; its owner can allow it with --origin")]
    Origin(String),
    /// The role does not allow it.
    #[error("{role}s may not do this; it takes the role of {needed}")]
    Role {
        /// What the caller is.
        role: Role,
        /// What it would take.
        needed: Role,
    },
    /// The token of a Hocuspocus message cannot be read.
    #[error("the token is neither a key nor the JSON that docs/protocol.md describes")]
    Token,
    /// A token (JWT) does not count.
    #[error("this token opens nothing here: {0}")]
    TokenBad(&'static str),
    /// A token's time is over.
    #[error("this token has expired: sign in again")]
    Expired,
    /// A share link was revoked, or its time is over.
    #[error("this link has expired or was revoked: ask its owner for a new one")]
    Revoked,
    /// What was shown is about other documents.
    #[error("this key does not open this document: ask its owner for a link")]
    NotHere,
    /// The document's owner has shut somebody out.
    #[error("the owner of this document has taken your access away")]
    ShutOut,
}

impl AccessError {
    /// How a link that is open is closed because of it.
    pub(crate) fn closing(&self) -> Closing {
        let code = match self {
            Self::KeyMissing | Self::KeyWrong | Self::Token | Self::TokenBad(_) | Self::Expired => {
                CLOSE_UNAUTHORIZED
            }
            Self::Origin(_) | Self::Role { .. } | Self::Revoked | Self::NotHere | Self::ShutOut => {
                CLOSE_FORBIDDEN
            }
        };
        Closing::new(code, self.to_string())
    }
}

impl Access {
    /// The desktop's relay: only this process reaches it, and it belongs to whoever started it.
    #[must_use]
    pub fn process_only() -> Self {
        Self::default()
    }

    /// Whether somebody beyond this machine has to show something: it takes that to listen there.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        !self.keys.is_empty() || self.secret.is_some() || !self.jwt.keys.is_empty() || self.jwt.jwks.is_some()
    }

    /// The role that a key gives to a caller, or this machine without one.
    ///
    /// # Errors
    /// [`AccessError::KeyMissing`] or [`AccessError::KeyWrong`].
    pub(crate) fn role(&self, caller: Caller, key: Option<&str>) -> Result<Role, AccessError> {
        match (caller, key) {
            (Caller::Process, _) => Ok(Role::Owner),
            (Caller::Local, _) if self.keys.is_empty() && self.open_to_local => Ok(Role::Owner),
            (Caller::Local | Caller::Remote, None) => Err(AccessError::KeyMissing),
            (Caller::Local | Caller::Remote, Some(key)) => self.role_of(key).ok_or(AccessError::KeyWrong),
        }
    }

    /// The highest role that the key opens. Takes as long for a wrong key as for a right one.
    pub(crate) fn role_of(&self, key: &str) -> Option<Role> {
        let mut found = None;
        for (known, role) in &self.keys {
            if same(known.as_bytes(), key.as_bytes()) {
                found = found.max(Some(*role));
            }
        }
        found
    }

    /// Whether the web page that a browser names in `Origin` may ask: one that this server sent, or an allowed one.
    /// Without it, any page on the internet could reach the server on its visitor's machine.
    ///
    /// # Errors
    /// [`AccessError::Origin`].
    pub fn check_origin(&self, headers: &HeaderMap) -> Result<(), AccessError> {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Ok(());
        }; // not a browser
        let origin = origin.to_str().unwrap_or("?");
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        let own = authority.is_some() && authority == host;
        if own || self.origins.iter().any(|allowed| allowed == origin) {
            Ok(())
        } else {
            Err(AccessError::Origin(origin.to_owned()))
        }
    }
}

impl Caller {
    /// Tells a caller on this machine from others. Somebody is local when they connect from it and ask for it by a local
    /// name: a proxy on this machine speaks for others, and so does a page whose own name was made to point here.
    #[must_use]
    pub fn of(peer: Option<SocketAddr>, headers: &HeaderMap) -> Self {
        let proxied = ["forwarded", "x-forwarded-for", "x-real-ip", "via"]
            .iter()
            .any(|name| headers.contains_key(*name));
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let local = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback())
            && host.is_none_or(is_local_name)
            && !proxied;
        if local { Self::Local } else { Self::Remote }
    }
}

fn is_local_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Compares without telling by its duration where two keys differ.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .fold(0_u8, |sum, (one, other)| sum | (one ^ other))
            == 0
}

/// Demands a role.
///
/// # Errors
/// [`AccessError::Role`] when `role` is less than `needed`.
pub fn demand(role: Role, needed: Role) -> Result<(), AccessError> {
    if role >= needed {
        Ok(())
    } else {
        Err(AccessError::Role { role, needed })
    }
}
