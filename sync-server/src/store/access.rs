//! What a store keeps about access: the server's secret, share links, members.

use std::collections::BTreeMap;

use crdt::ids::{DocId, Role, Timestamp};

/// A share link: a right to one document, for whoever has the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareRow {
    /// Its name; part of the link.
    pub id: String,
    /// What it opens.
    pub doc: DocId,
    /// What it allows.
    pub role: Role,
    /// What it is for, in its maker's words.
    pub label: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it: an identity's id.
    pub created_by: String,
    /// When it stops to open anything.
    pub expires_at: Option<Timestamp>,
}

/// What somebody may do in one document, as its owner has set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    /// The document.
    pub doc: DocId,
    /// The subject of the person's tokens.
    pub sub: String,
    /// The role; `None` shuts the person out.
    pub role: Option<Role>,
    /// The role in the margin, where it differs.
    pub margin: Option<Role>,
    /// When it was set.
    pub set_at: Timestamp,
    /// Who set it.
    pub set_by: String,
}

/// Everything about access.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessRows {
    /// What the server signs with.
    pub secret: Option<String>,
    /// All share links, by id.
    pub shares: BTreeMap<String, ShareRow>,
    /// All members, by document and subject.
    pub members: BTreeMap<(DocId, String), MemberRow>,
}

/// One change of what is kept about access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessWrite {
    /// Sets the server's secret.
    Secret(String),
    /// Adds a share link.
    PutShare(ShareRow),
    /// Removes a share link.
    RemoveShare(String),
    /// Sets what somebody may do.
    PutMember(MemberRow),
    /// Forgets what was set for somebody.
    RemoveMember {
        /// The document.
        doc: DocId,
        /// The subject of the person's tokens.
        sub: String,
    },
    /// Removes every link and member of a document.
    Forget(DocId),
}

impl AccessRows {
    /// Does one change.
    pub fn apply(&mut self, write: &AccessWrite) {
        match write {
            AccessWrite::Secret(secret) => self.secret = Some(secret.clone()),
            AccessWrite::PutShare(share) => {
                self.shares.insert(share.id.clone(), share.clone());
            }
            AccessWrite::RemoveShare(id) => {
                self.shares.remove(id);
            }
            AccessWrite::PutMember(member) => {
                let key = (member.doc.clone(), member.sub.clone());
                self.members.insert(key, member.clone());
            }
            AccessWrite::RemoveMember { doc, sub } => {
                self.members.remove(&(doc.clone(), sub.clone()));
            }
            AccessWrite::Forget(doc) => {
                self.shares.retain(|_, share| share.doc != *doc);
                self.members.retain(|(of, _), _| of != doc);
            }
        }
    }
}
