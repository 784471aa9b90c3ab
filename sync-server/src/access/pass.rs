//! What somebody has shown of who they are, and what follows from it.

use std::collections::BTreeMap;

use crdt::ids::{DocId, Part, Role, Timestamp};
use crdt::{Identity, PeerKind};
use serde::Deserialize;

use super::{AccessError, MAX_NAME_BYTES};

/// What an id begins with that this server has given: nobody else takes such a one.
const TOKEN_IDS: &str = "user:";
const SHARE_IDS: &str = "share:";
const KEY_IDS: &str = "key:";

/// A role for each part of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Roles {
    pub(crate) body: Role,
    pub(crate) margin: Role,
}

impl Roles {
    pub(crate) const fn all(role: Role) -> Self {
        Self {
            body: role,
            margin: role,
        }
    }

    /// `role`, and another one in the margin if there is one.
    pub(crate) fn of(role: Role, margin: Option<Role>) -> Self {
        Self {
            body: role,
            margin: margin.unwrap_or(role),
        }
    }

    pub(crate) const fn part(self, part: Part) -> Role {
        match part {
            Part::Body => self.body,
            Part::Margin => self.margin,
        }
    }

    fn at_most(self, ceiling: Role) -> Self {
        Self {
            body: self.body.min(ceiling),
            margin: self.margin.min(ceiling),
        }
    }
}

/// A checked token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) sub: String,
    pub(crate) name: Option<String>,
    pub(crate) expires: Timestamp,
    pub(crate) everywhere: Option<Roles>,
    pub(crate) documents: BTreeMap<DocId, Roles>,
}

/// What somebody has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// That they are this process.
    Process,
    /// A key, or that they are on this machine.
    Key(Role),
    /// A token.
    Token(Token),
    /// A share link, by its id.
    Share { id: String, doc: DocId },
}

/// What a client says about itself, in a query or in a Hocuspocus token.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Claims {
    /// The access key, a token, or the key of a share link.
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
}

/// Somebody who was let in.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    proof: Proof,
    claims: Claims,
}

impl Pass {
    pub(crate) fn new(proof: Proof, claims: Claims) -> Self {
        let claims = Claims {
            key: None, // not needed any more, so not kept
            ..claims
        };
        Self { proof, claims }
    }

    pub(crate) const fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The epoch that the client's copy of the document is of, if it says so.
    pub(crate) fn epoch(&self) -> Option<&str> {
        self.claims.epoch.as_deref()
    }

    /// The id that the client goes by, as it says itself: what it writes into a margin names this one.
    pub(crate) fn claimed(&self) -> Option<&str> {
        let user = self.claims.user.as_ref()?;
        Some(clip(&user.id)).filter(|id| !id.is_empty())
    }

    /// When it ends by itself: for a token. (That of a share link is in its row.)
    pub(crate) const fn expires(&self) -> Option<Timestamp> {
        match &self.proof {
            Proof::Token(token) => Some(token.expires),
            Proof::Process | Proof::Key(_) | Proof::Share { .. } => None,
        }
    }

    /// What is left of roles after what the client asked for itself. An AI is at most a suggester.
    pub(crate) fn cap(&self, roles: Roles) -> Roles {
        let ceiling = match self.claims.kind {
            Some(PeerKind::Ai) => Role::Suggester,
            Some(PeerKind::Human | PeerKind::Relay) | None => Role::Owner,
        };
        roles.at_most(ceiling.min(self.claims.role.unwrap_or(Role::Owner)))
    }

    /// The identity under which what this client writes is recorded. `fallback` names it when nothing else does.
    ///
    /// Nobody poses as another: a token's subject is the id, a share link's is put before what its user says, and whoever has a
    /// key may take any id but such a one.
    pub(crate) fn identity(&self, fallback: &str) -> Identity {
        let User { id, name } = self.claims.user.clone().unwrap_or_default();
        let kind = self.claims.kind.unwrap_or(PeerKind::Human);
        let claimed = if id.is_empty() { fallback } else { clip(&id) };
        let mut shown = clip(&name).to_owned();
        let id = match &self.proof {
            Proof::Process => claimed.to_owned(),
            Proof::Key(_) if is_given(claimed) => format!("{KEY_IDS}{claimed}"),
            Proof::Key(_) => claimed.to_owned(),
            Proof::Token(token) => {
                if let Some(name) = &token.name {
                    clip(name).clone_into(&mut shown);
                }
                match kind {
                    PeerKind::Human => format!("{TOKEN_IDS}{}", token.sub),
                    // Several models may come with one token, and must be told apart.
                    PeerKind::Ai | PeerKind::Relay => format!("{TOKEN_IDS}{}/{claimed}", token.sub),
                }
            }
            Proof::Share { id, .. } => format!("{SHARE_IDS}{id}/{claimed}"),
        };
        if shown.is_empty() {
            "Anonymous".clone_into(&mut shown);
        }
        Identity {
            id,
            name: shown,
            kind,
            model: self.claims.model.as_deref().map(|model| clip(model).to_owned()),
        }
    }
}

fn is_given(id: &str) -> bool {
    [TOKEN_IDS, SHARE_IDS, KEY_IDS]
        .iter()
        .any(|prefix| id.starts_with(prefix))
}

fn clip(text: &str) -> &str {
    let mut end = text.len().min(MAX_NAME_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(id: &str, kind: Option<PeerKind>) -> Claims {
        Claims {
            user: Some(User {
                id: id.into(),
                name: "Ada".into(),
            }),
            kind,
            ..Claims::default()
        }
    }

    fn token(name: Option<&str>) -> Proof {
        Proof::Token(Token {
            sub: "alice".into(),
            name: name.map(str::to_owned),
            expires: Timestamp(1),
            everywhere: None,
            documents: BTreeMap::new(),
        })
    }

    #[test]
    fn a_token_is_a_key_or_json() {
        assert_eq!(Claims::from_token("abc").unwrap().key.as_deref(), Some("abc"));
        assert_eq!(Claims::from_token("").unwrap().key, None);
        let full = r##"{"key":"k","user":{"id":"u1","name":"Ada","color":"#fff"},"role":"suggester"}"##;
        let claims = Claims::from_token(full).unwrap();
        assert_eq!(claims.role, Some(Role::Suggester));
        let identity = Pass::new(Proof::Key(Role::Owner), claims).identity("connection-1");
        assert_eq!((identity.id.as_str(), identity.name.as_str()), ("u1", "Ada"));
        assert_eq!(Claims::from_token("{broken").unwrap_err(), AccessError::Token);
        let nobody = Pass::new(Proof::Key(Role::Owner), Claims::default()).identity("connection-1");
        assert_eq!(
            (nobody.id.as_str(), nobody.name.as_str()),
            ("connection-1", "Anonymous")
        );
    }

    #[test]
    fn nobody_poses_as_another() {
        let id = |proof: Proof, claimed: &str, kind| Pass::new(proof, claims(claimed, kind)).identity("f").id;
        let share = Proof::Share {
            id: "s1".into(),
            doc: DocId::parse("d").unwrap(),
        };
        assert_eq!(id(token(None), "bob", None), "user:alice");
        assert_eq!(id(token(None), "ai-1", Some(PeerKind::Ai)), "user:alice/ai-1");
        assert_eq!(id(share.clone(), "user:alice", None), "share:s1/user:alice");
        assert_eq!(id(share, "", None), "share:s1/f");
        let key = |claimed| id(Proof::Key(Role::Owner), claimed, None);
        assert_eq!(key("bob"), "bob");
        for given in ["user:alice", "share:s1/x", "key:user:alice"] {
            assert_eq!(key(given), format!("key:{given}"));
        }
        let named = Pass::new(token(Some("Alice A.")), claims("x", None)).identity("f");
        assert_eq!(
            named.name, "Alice A.",
            "the name in a token is not the client's to choose"
        );
    }

    #[test]
    fn an_ai_is_at_most_a_suggester_and_anybody_may_ask_for_less() {
        let cap = |role, kind| {
            let claims = Claims {
                role,
                ..claims("x", kind)
            };
            Pass::new(Proof::Key(Role::Owner), claims).cap(Roles::of(Role::Owner, Some(Role::Editor)))
        };
        assert_eq!(cap(None, None), Roles::of(Role::Owner, Some(Role::Editor)));
        assert_eq!(
            cap(Some(Role::Owner), Some(PeerKind::Ai)),
            Roles::all(Role::Suggester)
        );
        assert_eq!(cap(Some(Role::Viewer), None), Roles::all(Role::Viewer));
    }
}
