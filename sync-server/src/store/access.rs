//! What a store keeps about access: the server's secret, share links, members, what may leave the machine and who has agreed to
//! that, and which adapters are worn.

use std::collections::BTreeMap;

use crdt::ids::{DocId, Role, Timestamp};
use crdt::policy::{Adapters, Agreement, Leave, Policy};

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

/// What may leave the machine of one document, as its owner has set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRow {
    /// The document.
    pub doc: DocId,
    /// The owner's word.
    pub policy: Policy,
    /// When it was set.
    pub set_at: Timestamp,
    /// Who set it: an identity's id.
    pub set_by: String,
}

/// Which adapters the model here wears in one document, as its owner has set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdaptersRow {
    /// The document.
    pub doc: DocId,
    /// The owner's word.
    pub adapters: Adapters,
    /// When it was set.
    pub set_at: Timestamp,
    /// Who set it: an identity's id.
    pub set_by: String,
}

/// What somebody has agreed to, having been shown what would leave one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreementRow {
    /// The document.
    pub doc: DocId,
    /// The person's id, as their requests name it.
    pub person: String,
    /// What may leave by their word.
    pub agreement: Agreement,
    /// When they agreed.
    pub at: Timestamp,
    /// Who said so to the relay: an identity's id.
    pub by: String,
}

/// A request that was sent to an engine elsewhere. Its text is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepartureRow {
    /// The document.
    pub doc: DocId,
    /// When.
    pub at: Timestamp,
    /// Who asked: a person's id.
    pub by: String,
    /// The engine's name.
    pub engine: String,
    /// Where it runs.
    pub place: String,
    /// How it was sent.
    pub leave: Leave,
    /// Characters sent.
    pub characters: u64,
    /// How many of which kind of personal data were masked.
    pub masked: BTreeMap<String, u64>,
}

/// The most departures that are kept of a document; the oldest go first.
pub const MOST_DEPARTURES: u64 = 10_000;

/// The most people of whom a document keeps what they have agreed to; whoever agreed longest ago is asked again.
pub const MOST_AGREEMENTS: usize = 1_000;

/// Everything about access.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessRows {
    /// What the server signs with.
    pub secret: Option<String>,
    /// All share links, by id.
    pub shares: BTreeMap<String, ShareRow>,
    /// All members, by document and subject.
    pub members: BTreeMap<(DocId, String), MemberRow>,
    /// What may leave, by document.
    pub policies: BTreeMap<DocId, PolicyRow>,
    /// Which adapters are worn, by document.
    pub adapters: BTreeMap<DocId, AdaptersRow>,
    /// Who has agreed to what leaves, by document and person.
    pub agreements: BTreeMap<(DocId, String), AgreementRow>,
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
    /// Sets what may leave.
    PutPolicy(PolicyRow),
    /// Sets which adapters are worn.
    PutAdapters(AdaptersRow),
    /// Keeps what somebody has agreed to.
    Agree(AgreementRow),
    /// Notes that something has left. It is kept in a list of its own.
    Depart(DepartureRow),
    /// Removes the list of what has left of a document.
    ForgetDepartures(DocId),
    /// Removes every link and member of a document, and what its owner and others have said about the AI.
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
            AccessWrite::PutPolicy(row) => {
                self.policies.insert(row.doc.clone(), row.clone());
            }
            AccessWrite::PutAdapters(row) => {
                self.adapters.insert(row.doc.clone(), row.clone());
            }
            AccessWrite::Agree(row) => {
                let key = (row.doc.clone(), row.person.clone());
                self.agreements.insert(key, row.clone());
                self.forget_oldest_agreement(&row.doc);
            }
            AccessWrite::Depart(_) | AccessWrite::ForgetDepartures(_) => {}
            AccessWrite::Forget(doc) => {
                self.policies.remove(doc);
                self.adapters.remove(doc);
                self.agreements.retain(|(of, _), _| of != doc);
                self.shares.retain(|_, share| share.doc != *doc);
                self.members.retain(|(of, _), _| of != doc);
            }
        }
    }
    fn forget_oldest_agreement(&mut self, doc: &DocId) {
        let of = || self.agreements.values().filter(|row| row.doc == *doc);
        let oldest = of().min_by_key(|row| (row.at, row.person.clone()));
        if of().count() > MOST_AGREEMENTS
            && let Some(row) = oldest
        {
            let key = (doc.clone(), row.person.clone());
            self.agreements.remove(&key);
        }
    }
}
