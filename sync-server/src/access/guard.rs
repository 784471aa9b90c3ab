//! The one place that says who may do what: keys, tokens, share links and members together, now.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use crdt::ids::{DocId, PeerKind, Role, Timestamp};
use tokio::sync::watch;

use super::jwt::{NewToken, Verifier};
use super::pass::{Claims, Pass, Proof, Roles};
use super::{Access, AccessError, Caller, shares};
use crate::clock;
use crate::store::{
    AccessRows, AccessWrite, AdaptersRow, AgreementRow, MemberRow, PolicyRow, ShareRow, Store, StoreError,
};

/// The shortest secret that a server takes, in bytes.
const MIN_SECRET: usize = 32;

/// A relay's access: settings, and what the store keeps of links and members, in memory.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) access: Access,
    secret: Secret,
    verifier: Verifier,
    rows: RwLock<AccessRows>,
    /// Changes are made one after the other, so that memory and store agree.
    changing: tokio::sync::Mutex<()>,
    /// Counts the changes: every link looks again at what it may.
    changed: watch::Sender<u64>,
}

/// What the server signs with; never printed.
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// Why a secret is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the server's secret needs {MIN_SECRET} characters or more; leave --secret out, and the server makes one"
)]
pub struct SecretError;

impl Guard {
    /// Reads what the store keeps. A secret is made at the first start, unless one is given.
    pub(crate) async fn open(
        access: Access,
        store: &Store,
        tls: Arc<rustls::ClientConfig>,
    ) -> Result<Result<Self, SecretError>, StoreError> {
        let mut rows = store.access().await?;
        let secret = match (&access.secret, rows.secret.take()) {
            (Some(given), _) if given.len() < MIN_SECRET => return Ok(Err(SecretError)),
            (Some(given), _) => given.clone(),
            (None, Some(kept)) => kept,
            (None, None) => {
                let made = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
                store.write_access(AccessWrite::Secret(made.clone())).await?;
                made
            }
        };
        let verifier = Verifier::new(access.jwt.clone(), secret.clone(), tls);
        let guard = Self {
            access,
            secret: Secret(secret),
            verifier,
            rows: RwLock::new(rows),
            changing: tokio::sync::Mutex::default(),
            changed: watch::channel(0).0,
        };
        guard.forget_expired(store).await?;
        Ok(Ok(guard))
    }

    /// Looks at what somebody shows.
    ///
    /// # Errors
    /// [`AccessError`] when it opens nothing here.
    pub(crate) async fn admit(&self, caller: Caller, claims: Claims) -> Result<Pass, AccessError> {
        let key = claims.key.as_deref().filter(|key| !key.is_empty());
        let proof = match key {
            _ if caller == Caller::Process => Proof::Process,
            Some(key) if shares::is_share(key) => {
                let signed = shares::open(&self.secret.0, key)?;
                // A revoked one is said to be so at once, whichever document is asked for.
                self.share_of(&signed.id, &signed.doc, clock::now())?;
                Proof::Share {
                    id: signed.id,
                    doc: signed.doc,
                }
            }
            Some(key) if Verifier::is_token(key) && self.access.role_of(key).is_none() => {
                Proof::Token(self.verifier.verify(key, clock::now()).await?)
            }
            _ => Proof::Key(self.access.role(caller, key)?),
        };
        Ok(Pass::new(proof, claims))
    }

    /// What somebody may do in a document, now.
    ///
    /// # Errors
    /// [`AccessError`] when it is nothing, or nothing any more.
    pub(crate) fn roles(&self, pass: &Pass, doc: &DocId, now: Timestamp) -> Result<Roles, AccessError> {
        let roles = match pass.proof() {
            Proof::Process => Roles::all(Role::Owner),
            Proof::Key(role) => Roles::all(*role),
            Proof::Token(token) => {
                if token.expires <= now {
                    return Err(AccessError::Expired);
                }
                let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
                match rows.members.get(&(doc.clone(), token.sub.clone())) {
                    Some(member) => {
                        let role = member.role.ok_or(AccessError::ShutOut)?;
                        Roles::of(role, member.margin)
                    }
                    None => {
                        let claimed = token.documents.get(doc).copied();
                        claimed.or(token.everywhere).ok_or(AccessError::NotHere)?
                    }
                }
            }
            Proof::Share { id, doc: shared } if shared == doc => {
                Roles::all(self.share_of(id, doc, now)?.role)
            }
            Proof::Share { .. } => return Err(AccessError::NotHere),
        };
        Ok(pass.cap(roles))
    }

    /// What somebody may do with the server as a whole: nothing, when what they show is about some documents.
    pub(crate) fn general_role(&self, pass: &Pass) -> Option<Role> {
        let role = match pass.proof() {
            Proof::Process => Role::Owner,
            Proof::Key(role) => *role,
            Proof::Token(token) => token.everywhere?.body,
            Proof::Share { .. } => return None,
        };
        Some(pass.cap(Roles::all(role)).body)
    }

    /// When what somebody may do ends by itself.
    pub(crate) fn ends(&self, pass: &Pass) -> Option<Timestamp> {
        match pass.proof() {
            Proof::Share { id, .. } => {
                let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
                rows.shares.get(id)?.expires_at
            }
            Proof::Process | Proof::Key(_) | Proof::Token(_) => pass.expires(),
        }
    }

    fn share_of(&self, id: &str, doc: &DocId, now: Timestamp) -> Result<ShareRow, AccessError> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let share = rows.shares.get(id).filter(|share| share.doc == *doc);
        let share = share.ok_or(AccessError::Revoked)?;
        if share.expires_at.is_some_and(|at| at <= now) {
            return Err(AccessError::Revoked);
        }
        Ok(share.clone())
    }

    /// Tells every link that it must look again.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        let mut changes = self.changed.subscribe();
        // What changed between admission and this call counts as well.
        changes.mark_changed();
        changes
    }

    /// Changes links or members: on disk first, then for everybody at once.
    ///
    /// # Errors
    /// [`StoreError`]: nothing has changed.
    pub(crate) async fn change(&self, store: &Store, write: AccessWrite) -> Result<(), StoreError> {
        let _one = self.changing.lock().await;
        store.write_access(write.clone()).await?;
        self.rows
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .apply(&write);
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }

    /// The links of a document that still open it, oldest first.
    pub(crate) fn shares(&self, doc: &DocId, now: Timestamp) -> Vec<ShareRow> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let live = |share: &&ShareRow| share.doc == *doc && share.expires_at.is_none_or(|at| at > now);
        let mut shares: Vec<_> = rows.shares.values().filter(live).cloned().collect();
        shares.sort_by_key(|share| share.created_at);
        shares
    }

    /// The members of a document.
    pub(crate) fn members(&self, doc: &DocId) -> Vec<MemberRow> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let of = |member: &&MemberRow| member.doc == *doc;
        rows.members.values().filter(of).cloned().collect()
    }

    /// What may leave the machine of a document, if its owner has said so.
    pub(crate) fn policy(&self, doc: &DocId) -> Option<PolicyRow> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.policies.get(doc).cloned()
    }

    /// Which adapters the model here wears in a document, if its owner has said so.
    pub(crate) fn adapters(&self, doc: &DocId) -> Option<AdaptersRow> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.adapters.get(doc).cloned()
    }

    /// The documents that name an adapter.
    pub(crate) fn wearers(&self, adapter: &str) -> usize {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let names = |row: &&AdaptersRow| row.adapters.names().contains(adapter);
        rows.adapters.values().filter(names).count()
    }

    /// What somebody has agreed to leave a document: `person` is the id that their requests name.
    pub(crate) fn agreement(&self, doc: &DocId, person: &str) -> Option<AgreementRow> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.agreements.get(&(doc.clone(), person.to_owned())).cloned()
    }

    /// The key of a share link.
    pub(crate) fn share_key(&self, share: &ShareRow) -> String {
        shares::sign(&self.secret.0, share)
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`AccessError::TokenBad`] when no token can say this.
    pub(crate) fn mint(&self, token: &NewToken) -> Result<String, AccessError> {
        self.verifier.mint(token, clock::now())
    }

    /// Whoever makes a document with a token owns it.
    pub(crate) fn owner_row(&self, pass: &Pass, doc: &DocId) -> Option<MemberRow> {
        let Proof::Token(token) = pass.proof() else {
            return None;
        };
        let identity = pass.identity("");
        (identity.kind == PeerKind::Human).then(|| MemberRow {
            doc: doc.clone(),
            sub: token.sub.clone(),
            role: Some(Role::Owner),
            margin: None,
            set_at: clock::now(),
            set_by: identity.id,
        })
    }

    /// Takes up what a store says that was put in the place of the one before, which had the documents `before`. In those
    /// documents links and members stay as they are now: what was taken from somebody since the backup stays taken.
    ///
    /// Whether the store is that of a server with another secret, whose links and tokens open nothing until this one starts anew.
    pub(crate) async fn reload(&self, store: &Store, before: &BTreeSet<DocId>) -> Result<bool, StoreError> {
        let _one = self.changing.lock().await;
        let mut rows = store.access().await?;
        let secret = rows.secret.take();
        let documents = store.documents().await?;
        let mut writes = Vec::new();
        {
            let known = self.rows.read().unwrap_or_else(PoisonError::into_inner);
            for doc in documents
                .iter()
                .map(|row| &row.id)
                .filter(|doc| before.contains(*doc))
            {
                writes.push(AccessWrite::Forget(doc.clone()));
                let shares = known.shares.values().filter(|share| share.doc == *doc);
                writes.extend(shares.cloned().map(AccessWrite::PutShare));
                let members = known.members.values().filter(|member| member.doc == *doc);
                writes.extend(members.cloned().map(AccessWrite::PutMember));
                let policy = known.policies.get(doc);
                writes.extend(policy.cloned().map(AccessWrite::PutPolicy));
                let adapters = known.adapters.get(doc);
                writes.extend(adapters.cloned().map(AccessWrite::PutAdapters));
                let agreements = known.agreements.values().filter(|row| row.doc == *doc);
                writes.extend(agreements.cloned().map(AccessWrite::Agree));
            }
        }
        for write in writes {
            store.write_access(write.clone()).await?;
            rows.apply(&write);
        }
        *self.rows.write().unwrap_or_else(PoisonError::into_inner) = rows;
        self.changed.send_modify(|count| *count += 1);
        Ok(self.access.secret.is_none() && secret.as_ref() != Some(&self.secret.0))
    }

    async fn forget_expired(&self, store: &Store) -> Result<(), StoreError> {
        let now = clock::now();
        let expired: Vec<String> = {
            let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
            let over = |share: &&ShareRow| share.expires_at.is_some_and(|at| at <= now);
            rows.shares
                .values()
                .filter(over)
                .map(|share| share.id.clone())
                .collect()
        };
        for id in expired {
            self.change(store, AccessWrite::RemoveShare(id)).await?;
        }
        Ok(())
    }
}
