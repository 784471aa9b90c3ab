//! A body and a margin on which tests propose and decide.

use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, Text, Transact, TransactionMut, Update};

use super::{Action, DecideError, Outcome, decide, effective_state};
use crate::anchor::{Anchor, Outline};
use crate::content::{fill, read};
use crate::ids::Timestamp;
use crate::margin::{Author, AuthorKind, Base, Person, Proposal, ProposalKind, ProposalState, put_proposal};
use crate::{doc, markdown};

/// A body and a margin, with ids that count up.
pub(crate) struct Desk {
    pub(crate) body: Doc,
    pub(crate) margin: Doc,
    pub(crate) next: u128,
}

impl Desk {
    pub(crate) fn new(text: &str) -> Self {
        let desk = Self::empty(1);
        fill(&desk.body, &markdown::parse(text)).unwrap();
        // Whoever writes from now on is somebody else than who wrote the beginning.
        desk.copy(2)
    }

    pub(crate) fn empty(client: u64) -> Self {
        let (body, margin) = (doc::open(client), doc::open(client));
        let _ = (doc::fragment(&body), doc::meta(&body), doc::decisions(&body));
        Self {
            body,
            margin,
            next: u128::from(client) << 64,
        }
    }

    pub(crate) fn copy(&self, client: u64) -> Self {
        let copy = Self::empty(client);
        copy.learn(self);
        copy
    }

    pub(crate) fn learn(&self, other: &Self) {
        for (to, from) in [(&self.body, &other.body), (&self.margin, &other.margin)] {
            let update = from
                .transact()
                .encode_state_as_update_v1(&to.transact().state_vector());
            to.transact_mut()
                .apply_update(Update::decode_v1(&update).unwrap())
                .unwrap();
        }
    }

    pub(crate) fn text(&self) -> String {
        let txn = self.body.transact();
        let root = txn.get_xml_fragment(doc::BODY_ROOT).unwrap();
        markdown::write(&read(&root, &txn)).trim_end().to_owned()
    }

    pub(crate) fn propose(&mut self, kind: ProposalKind, anchor: Anchor, payload: &str) -> String {
        self.next += 1;
        let id = format!("P{}", self.next);
        let base = Base::of(&self.body.transact());
        put_proposal(
            &mut self.margin.transact_mut(),
            &Proposal {
                id: id.clone(),
                request: String::new(),
                author: Author {
                    kind: AuthorKind::Ai,
                    id: "ai".into(),
                    name: "Model".into(),
                    model: None,
                    quantisation: None,
                    adapter: None,
                    device: None,
                },
                requester: Person::default(),
                kind,
                anchor,
                base,
                payload: payload.into(),
                state: ProposalState::Pending,
                at: Timestamp(1),
                rationale: None,
                confidence: None,
                stats: None,
                error: None,
            },
        );
        id
    }

    /// Proposes to put other words for the first occurrence of some.
    pub(crate) fn rewrite(&mut self, words: &str, payload: &str) -> String {
        let anchor = self.words(words);
        self.propose(ProposalKind::Replace, anchor, payload)
    }

    pub(crate) fn words(&self, words: &str) -> Anchor {
        Anchor::for_words(&self.body.transact(), words).unwrap()
    }

    /// Proposes to go on after some words.
    pub(crate) fn go_on(&mut self, after: &str, payload: &str) -> String {
        let anchor = self.after(after);
        self.propose(ProposalKind::Insert, anchor, payload)
    }

    pub(crate) fn after(&self, words: &str) -> Anchor {
        let txn = self.body.transact();
        let text = Outline::read(&txn).text();
        let end = text.find(words).unwrap() + words.len();
        Anchor::for_caret(&txn, text[..end].encode_utf16().count())
    }

    pub(crate) fn decide(
        &mut self,
        proposal: &str,
        action: Action,
        force: bool,
    ) -> Result<Outcome, DecideError> {
        let next = &mut self.next;
        let mut ids = || {
            *next += 1;
            *next
        };
        let by = Person {
            id: "me".into(),
            name: "Me".into(),
        };
        decide(
            &self.body,
            &self.margin,
            proposal,
            action,
            &by,
            Timestamp(5),
            &mut ids,
            force,
        )
    }

    pub(crate) fn accept(&mut self, proposal: &str) -> String {
        self.decide(proposal, Action::Accept, false).unwrap();
        self.text()
    }

    pub(crate) fn undo(&mut self, proposal: &str) -> String {
        self.decide(proposal, Action::Undo, false).unwrap();
        self.text()
    }

    pub(crate) fn state(&self, proposal: &str) -> ProposalState {
        effective_state(&self.body.transact(), &self.margin.transact(), proposal).unwrap()
    }

    /// Types after some words, as this desk's client.
    pub(crate) fn types(&self, after: &str, text: &str) {
        let txn = self.body.transact();
        let outline = Outline::read(&txn);
        let all = outline.text();
        let end = all[..all.find(after).unwrap() + after.len()]
            .encode_utf16()
            .count();
        let (target, index) = outline.text_at(end).unwrap();
        drop(txn);
        target.insert(&mut self.body.transact_mut(), index, text);
    }

    pub(crate) fn erases(&self, words: &str) {
        let txn = self.body.transact();
        let outline = Outline::read(&txn);
        let all = outline.text();
        let start = all[..all.find(words).unwrap()].encode_utf16().count();
        let (target, index) = outline.text_at(start).unwrap();
        drop(txn);
        target.remove_range(
            &mut self.body.transact_mut(),
            index,
            u32::try_from(words.encode_utf16().count()).unwrap(),
        );
    }

    pub(crate) fn with_root(&self, change: impl FnOnce(&yrs::XmlFragmentRef, &mut TransactionMut<'_>)) {
        let root = doc::fragment(&self.body);
        change(&root, &mut self.body.transact_mut());
    }
}
