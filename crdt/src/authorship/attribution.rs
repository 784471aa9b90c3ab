//! Who a character is to be put down to: what the relay recorded about its id, read together with what later became of the
//! content: proposals that were accepted, text that an undo or a restore put back, text that was copied.

mod spans;

use serde::{Deserialize, Serialize};
use yrs::ReadTxn;

use super::{Authorship, IdMap};
use crate::anchor::{ItemId, Outline, PieceContent};
use crate::decision::ids::runs;
use crate::decision::tree::item_of;
use crate::decision::{Action, Decision, Revived, decisions};
use crate::ids::{IdRange, Identity, PeerKind};
use crate::margin::{Author, Person};

/// Content that is put back more often than this has lost its history; records that go in circles were not written by
/// an undo.
const MAX_LIVES: usize = 1_000;

/// How a proposal's text came into the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acceptance {
    /// The proposal.
    pub proposal: String,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed_by: Option<Author>,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<Person>,
    /// Who took it up.
    pub accepted_by: Person,
}

/// Who some content is to be put down to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credit {
    /// On whose connection it came in.
    pub author: Identity,
    /// The proposal that it is from, when somebody accepted one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_from: Option<Acceptance>,
}

/// What is recorded about content that was written again by a restore or a copy: whose it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credits {
    known: Vec<Credit>,
    spans: IdMap<usize>,
}

impl Credits {
    /// Records whose the content with these ids is; ids that have an entry keep it.
    pub fn record(&mut self, range: IdRange, credit: &Credit) {
        let index = self.known.iter().position(|known| known == credit);
        let index = index.unwrap_or_else(|| {
            self.known.push(credit.clone());
            self.known.len() - 1
        });
        self.spans.insert(range, &index);
    }

    /// All entries in the order of client and clock.
    pub fn iter(&self) -> impl Iterator<Item = (IdRange, &Credit)> {
        self.spans
            .iter()
            .filter_map(|(range, index)| Some((range, self.known.get(*index)?)))
    }

    /// Whether there is no entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn get(&self, client: u64, clock: u32) -> Option<&Credit> {
        self.known.get(*self.spans.get(client, clock)?)
    }
}

/// A stretch of one block's text by one author.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorRun {
    /// Which block that holds text, counted from 0 in the order of the document.
    pub block: usize,
    /// Where it begins in the block, in UTF-16 units; a line break within a block is one.
    pub from: u32,
    /// Where it ends.
    pub to: u32,
    /// Who; `None` when nothing is recorded, as of text that came from another server.
    #[serde(flatten)]
    pub credit: Option<Credit>,
}

/// Everything that tells whose a character is.
#[derive(Debug, Clone)]
pub struct Attribution {
    authorship: Authorship,
    credits: Credits,
    decisions: Vec<Decision>,
    /// By the ids that an accept brought in: which decision.
    accepted: IdMap<usize>,
    /// By the ids that an undo put back: which decision, and what they were: client, and how far the clock is off.
    revived: IdMap<(usize, u64, i64)>,
}

impl Attribution {
    /// From what is recorded about a body and from the decisions in it.
    pub fn new<T: ReadTxn>(authorship: Authorship, credits: Credits, body: &T) -> Self {
        let decisions = decisions(body);
        let (mut accepted, mut revived) = (IdMap::default(), IdMap::default());
        for (index, decision) in decisions.iter().enumerate() {
            match decision.action {
                Action::Accept => {
                    for range in &decision.inserted {
                        accepted.insert(*range, &index);
                    }
                }
                Action::Undo => {
                    for Revived { was, is } in
                        decision.revived.iter().filter(|pair| pair.was.len == pair.is.len)
                    {
                        let off = i64::from(was.clock) - i64::from(is.clock);
                        revived.insert(*is, &(index, was.client, off));
                    }
                }
                Action::Reject => {}
            }
        }
        Self {
            authorship,
            credits,
            decisions,
            accepted,
            revived,
        }
    }

    /// Whose the content with this id is.
    #[must_use]
    pub fn of(&self, client: u64, clock: u32) -> Option<Credit> {
        let (mut client, mut clock) = (client, clock);
        for _ in 0..MAX_LIVES {
            if let Some(credit) = self.credits.get(client, clock) {
                return Some(credit.clone());
            }
            let before = self.revived.get(client, clock).and_then(|(index, was, off)| {
                self.made(*index, client, clock)?;
                Some((*was, u32::try_from(i64::from(clock) + off).ok()?))
            });
            match before {
                Some(before) => (client, clock) = before,
                None => break,
            }
        }
        let author = self.authorship.author(client, clock)?.clone();
        let accepted_from = self
            .accepted
            .get(client, clock)
            .and_then(|index| self.made(*index, client, clock))
            .map(|decision| Acceptance {
                proposal: decision.proposal.clone(),
                proposed_by: decision.proposer.clone(),
                asked_by: decision.requester.clone(),
                accepted_by: decision.by.clone(),
            });
        Some(Credit {
            author,
            accepted_from,
        })
    }

    /// The decision, if it is recorded that whoever made it (or a relay for them) wrote this id. Anybody who may write can
    /// put a record into the body, but not so as to put their words down to somebody else's decision.
    fn made(&self, decision: usize, client: u64, clock: u32) -> Option<&Decision> {
        let decision = self.decisions.get(decision)?;
        let author = self.authorship.author(client, clock)?;
        (author.kind == PeerKind::Relay || author.id == decision.by.id).then_some(decision)
    }

    /// What is to be recorded about content that was written again.
    #[must_use]
    pub fn credits(&self, again: &[Revived]) -> Credits {
        let mut credits = Credits::default();
        for Revived { was, is } in again {
            let mut from = 0;
            while from < was.len {
                let credit = self.of(was.client, was.clock.saturating_add(from));
                let mut len = 1;
                while from + len < was.len
                    && self.of(was.client, was.clock.saturating_add(from + len)) == credit
                {
                    len += 1;
                }
                if let Some(credit) = credit {
                    let range = IdRange {
                        clock: is.clock.saturating_add(from),
                        len,
                        ..*is
                    };
                    credits.record(range, &credit);
                }
                from += len;
            }
        }
        credits
    }

    /// The authors of the text as it is now.
    pub fn runs<T: ReadTxn>(&self, body: &T) -> Vec<AuthorRun> {
        let mut found: Vec<AuthorRun> = Vec::new();
        for (block, content) in Outline::read(body).blocks.iter().enumerate() {
            let start = content.range.start;
            let mut push = |at: usize, ItemId { client, clock }| {
                let credit = self.of(client, clock);
                let at = u32::try_from(at - start).unwrap_or(u32::MAX);
                match found.last_mut() {
                    Some(last) if last.block == block && last.to == at && last.credit == credit => {
                        last.to += 1;
                    }
                    _ => found.push(AuthorRun {
                        block,
                        from: at,
                        to: at + 1,
                        credit,
                    }),
                }
            };
            for piece in &content.pieces {
                match &piece.content {
                    PieceContent::Text(text) => {
                        let len = u32::try_from(piece.range.len()).unwrap_or(u32::MAX);
                        for run in runs(body, text, 0, len) {
                            for offset in 0..run.len {
                                let id = ItemId {
                                    clock: run.id.clock + offset,
                                    ..run.id
                                };
                                push(piece.range.start + (run.index + offset) as usize, id);
                            }
                        }
                    }
                    PieceContent::Inline(element) => {
                        if let (false, Some(id)) = (piece.range.is_empty(), item_of(element)) {
                            push(piece.range.start, id);
                        }
                    }
                }
            }
        }
        found
    }
}
