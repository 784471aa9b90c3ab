//! Who may do what: keys with roles, the owner's own machine, and which web pages may ask.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, header};
use crdt::ids::Role;
use crdt::{Identity, PeerKind};
use serde::Deserialize;

/// The longest name or id that is taken from a client.
const MAX_NAME_BYTES: usize = 200;

/// The keys of a relay and what each opens.
#[derive(Clone, Default)]
pub struct Access {
    /// Keys and the role that each gives.
    pub keys: Vec<(String, Role)>,
    /// Without any key: whether everybody on this machine is the owner.
    pub open_to_local: bool,
    /// Web pages of other addresses that may ask, as `https://host[:port]`.
    pub origins: Vec<String>,
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
    /// The token cannot be read.
    #[error("the token is neither a key nor the JSON that docs/protocol.md describes")]
    Token,
}

/// What a client says about itself, in a query or in a Hocuspocus token.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Claims {
    /// The access key.
    pub key: Option<String>,
    /// Who.
    pub user: Option<User>,
    /// A role below the one that the key gives.
    pub role: Option<Role>,
    /// What kind of peer; nobody is an AI or a relay without saying so.
    pub kind: Option<PeerKind>,
    /// The model's name, for an AI.
    pub model: Option<String>,
    /// The epoch that the client's copy of the document is of.
    pub epoch: Option<String>,
}

/// A user as clients name them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct User {
    /// Stable over connections.
    pub id: String,
    /// For people.
    pub name: String,
}

impl Claims {
    /// Reads the token of a Hocuspocus authentication message: a bare key, or JSON.
    ///
    /// # Errors
    /// [`AccessError::Token`].
    pub fn from_token(token: &str) -> Result<Self, AccessError> {
        if token.trim_start().starts_with('{') {
            return serde_json::from_str(token).map_err(|_| AccessError::Token);
        }
        let key = (!token.is_empty()).then(|| token.to_owned());
        Ok(Self {
            key,
            ..Self::default()
        })
    }

    /// The identity under which what this client writes is recorded. `fallback` names it when it does not.
    #[must_use]
    pub fn identity(&self, fallback: &str) -> Identity {
        let user = self.user.clone().unwrap_or_default();
        let id = if user.id.is_empty() {
            fallback
        } else {
            clip(&user.id)
        };
        let name = if user.name.is_empty() {
            "Anonymous"
        } else {
            clip(&user.name)
        };
        let model = self.model.as_deref().map(|model| clip(model).to_owned());
        Identity {
            id: id.to_owned(),
            name: name.to_owned(),
            kind: self.kind.unwrap_or(PeerKind::Human),
            model,
        }
    }
}

fn clip(text: &str) -> &str {
    let mut end = text.len().min(MAX_NAME_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

impl Access {
    /// The desktop's relay: only this process reaches it, and it belongs to whoever started it.
    #[must_use]
    pub fn process_only() -> Self {
        Self::default()
    }

    /// The role that a caller gets: what the key gives, or less if less is asked for. An AI is at most a suggester.
    ///
    /// # Errors
    /// [`AccessError::KeyMissing`] or [`AccessError::KeyWrong`].
    pub fn role(&self, caller: Caller, claims: &Claims) -> Result<Role, AccessError> {
        let given = match (caller, claims.key.as_deref().filter(|key| !key.is_empty())) {
            (Caller::Process, _) => Role::Owner,
            (Caller::Local, _) if self.keys.is_empty() && self.open_to_local => Role::Owner,
            (Caller::Local | Caller::Remote, None) => return Err(AccessError::KeyMissing),
            (Caller::Local | Caller::Remote, Some(key)) => self.role_of(key).ok_or(AccessError::KeyWrong)?,
        };
        let ceiling = match claims.kind {
            Some(PeerKind::Ai) => Role::Suggester,
            Some(PeerKind::Human | PeerKind::Relay) | None => Role::Owner,
        };
        Ok(given.min(ceiling).min(claims.role.unwrap_or(Role::Owner)))
    }

    /// The highest role that the key opens. Takes as long for a wrong key as for a right one.
    fn role_of(&self, key: &str) -> Option<Role> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn claims(key: &str, role: Option<Role>, kind: Option<PeerKind>) -> Claims {
        Claims {
            key: Some(key.to_owned()),
            role,
            kind,
            ..Claims::default()
        }
    }

    #[test]
    fn without_keys_the_owner_is_whoever_is_on_this_machine() {
        let access = Access {
            open_to_local: true,
            ..Access::default()
        };
        assert_eq!(access.role(Caller::Local, &Claims::default()), Ok(Role::Owner));
        assert_eq!(
            access.role(Caller::Remote, &Claims::default()),
            Err(AccessError::KeyMissing)
        );
        assert_eq!(
            Access::process_only().role(Caller::Local, &Claims::default()),
            Err(AccessError::KeyMissing)
        );
        assert_eq!(
            Access::process_only().role(Caller::Process, &Claims::default()),
            Ok(Role::Owner)
        );
    }

    #[test]
    fn a_key_gives_its_role_and_less_on_request() {
        let access = Access {
            keys: vec![("o".into(), Role::Owner), ("v".into(), Role::Viewer)],
            ..Access::default()
        };
        let role = |claims: &Claims| access.role(Caller::Local, claims);
        assert_eq!(
            role(&Claims::default()),
            Err(AccessError::KeyMissing),
            "a key is asked for on this machine, too"
        );
        assert_eq!(role(&claims("x", None, None)), Err(AccessError::KeyWrong));
        assert_eq!(role(&claims("o", None, None)), Ok(Role::Owner));
        assert_eq!(
            role(&claims("o", Some(Role::Suggester), None)),
            Ok(Role::Suggester)
        );
        assert_eq!(role(&claims("v", Some(Role::Owner), None)), Ok(Role::Viewer));
        assert_eq!(
            role(&claims("o", Some(Role::Owner), Some(PeerKind::Ai))),
            Ok(Role::Suggester)
        );
    }

    #[test]
    fn a_page_of_another_address_is_refused() {
        let access = Access {
            origins: vec!["https://wiki.example".into()],
            ..Access::default()
        };
        let check =
            |origin: &str| access.check_origin(&headers(&[("host", "127.0.0.1:4444"), ("origin", origin)]));
        assert!(
            access
                .check_origin(&headers(&[("host", "127.0.0.1:4444")]))
                .is_ok()
        );
        assert!(check("http://127.0.0.1:4444").is_ok());
        assert!(check("https://wiki.example").is_ok());
        for foreign in [
            "http://127.0.0.1:80",
            "https://evil.example",
            "null",
            "http://wiki.example",
            "",
        ] {
            assert!(matches!(check(foreign), Err(AccessError::Origin(_))), "{foreign}");
        }
    }

    #[test]
    fn local_means_from_here_and_to_here() {
        let here = Some("127.0.0.1:5000".parse().unwrap());
        let there = Some("192.0.2.1:5000".parse().unwrap());
        for host in ["localhost:4444", "127.0.0.1:4444", "[::1]:4444", "localhost"] {
            assert_eq!(
                Caller::of(here, &headers(&[("host", host)])),
                Caller::Local,
                "{host}"
            );
        }
        assert_eq!(
            Caller::of(there, &headers(&[("host", "localhost")])),
            Caller::Remote
        );
        assert_eq!(
            Caller::of(here, &headers(&[("host", "evil.example")])),
            Caller::Remote,
            "rebound name"
        );
        assert_eq!(
            Caller::of(
                here,
                &headers(&[("host", "localhost"), ("x-forwarded-for", "192.0.2.1")])
            ),
            Caller::Remote,
            "a proxy on this machine"
        );
        assert_eq!(Caller::of(None, &headers(&[])), Caller::Remote);
    }

    #[test]
    fn a_token_is_a_key_or_json() {
        assert_eq!(Claims::from_token("abc").unwrap().key.as_deref(), Some("abc"));
        assert_eq!(Claims::from_token("").unwrap().key, None);
        let full = r##"{"key":"k","user":{"id":"u1","name":"Ada","color":"#fff"},"role":"suggester"}"##;
        let claims = Claims::from_token(full).unwrap();
        assert_eq!(claims.role, Some(Role::Suggester));
        let identity = claims.identity("conn-1");
        assert_eq!((identity.id.as_str(), identity.name.as_str()), ("u1", "Ada"));
        assert_eq!(Claims::from_token("{broken").unwrap_err(), AccessError::Token);
        assert_eq!(Claims::default().identity("conn-1").id, "conn-1");
    }
}
