//! A person at the document: writes, asks, reads what comes.

use std::ops::Range;
use std::time::Duration;

use ai_peer::{Clock, Link};
use crdt::anchor::{Anchor, Outline, Resolved};
use crdt::decision::{Action, decide, effective_state};
use crdt::ids::IdSource;
use crdt::margin::{self, Person, Proposal, ProposalState, Request, RequestKind, RequestState};
use crdt::{Identity, Node, PeerKind, Replica, Role};
use serde_json::Value;
use tokio::time::Instant;
use yrs::{Text, Transact, XmlFragment, XmlOut};

use super::Relay;

pub struct Human {
    pub body: Replica,
    pub margin: Replica,
    clock: Clock,
    links: (Link, Link),
    id: String,
    count: u128,
}

impl Human {
    /// Joins as an editor and waits until everything has arrived.
    pub async fn join(relay: &Relay, id: &str, clock: &Clock, number: u32) -> Self {
        let identity = Identity {
            id: id.to_owned(),
            name: id.to_owned(),
            kind: PeerKind::Human,
            model: None,
        };
        let links = relay.connect(&identity, Role::Editor, Duration::ZERO);
        let mut human = Self {
            body: Replica::new(number * 2),
            margin: Replica::new(number * 2 + 1),
            clock: clock.clone(),
            links,
            id: id.to_owned(),
            count: 0,
        };
        for frame in human.body.connected() {
            human.links.0.tx.send(frame.into()).await.unwrap();
        }
        for frame in human.margin.connected() {
            human.links.1.tx.send(frame.into()).await.unwrap();
        }
        human
            .until("synced", |human| {
                human.body.is_synced() && human.margin.is_synced()
            })
            .await;
        human
    }

    /// Fills the empty document with paragraphs.
    pub async fn write(&mut self, paragraphs: &[&str]) {
        let nodes: Vec<Node> = paragraphs.iter().map(|text| Node::paragraph(text)).collect();
        crdt::content::fill(self.body.doc(), &nodes).unwrap();
        self.send().await;
    }

    /// Names the document.
    pub async fn name(&mut self, title: &str) {
        let meta = crdt::doc::meta(self.body.doc());
        crdt::doc::set_title(&meta, &mut self.body.doc().transact_mut(), title);
        self.send().await;
    }

    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// The visible text.
    pub fn text(&self) -> String {
        Outline::read(&self.body.doc().transact()).text()
    }

    /// Types into a paragraph.
    pub async fn type_at(&mut self, paragraph: u32, offset: u32, text: &str) {
        {
            let mut txn = self.body.doc().transact_mut();
            let target = self.paragraph(&txn, paragraph);
            target.insert(&mut txn, offset, text);
        }
        self.send().await;
    }

    /// Deletes from a paragraph.
    pub async fn delete_in(&mut self, paragraph: u32, range: Range<u32>) {
        {
            let mut txn = self.body.doc().transact_mut();
            let target = self.paragraph(&txn, paragraph);
            target.remove_range(&mut txn, range.start, range.end - range.start);
        }
        self.send().await;
    }

    /// Deletes whole paragraphs.
    pub async fn delete_paragraphs(&mut self, from: u32, len: u32) {
        let root = crdt::doc::fragment(self.body.doc());
        root.remove_range(&mut self.body.doc().transact_mut(), from, len);
        self.send().await;
    }

    fn paragraph(&self, txn: &impl yrs::ReadTxn, index: u32) -> yrs::XmlTextRef {
        let root = txn.get_xml_fragment(crdt::doc::BODY_ROOT).unwrap();
        let Some(XmlOut::Element(element)) = root.get(txn, index) else {
            panic!("there is no paragraph {index}");
        };
        let Some(XmlOut::Text(text)) = element.get(txn, 0) else {
            panic!("paragraph {index} has no text");
        };
        text
    }

    /// A request at the end of the text.
    pub fn at_end(&mut self, kind: RequestKind) -> Request {
        let txn = self.body.doc().transact();
        let anchor = Anchor::for_caret(&txn, Outline::read(&txn).len());
        drop(txn);
        self.request(kind, anchor)
    }

    /// A request about some words.
    pub fn about(&mut self, kind: RequestKind, words: &str) -> Request {
        let anchor = Anchor::for_words(&self.body.doc().transact(), words).expect("the words are there");
        self.request(kind, anchor)
    }

    fn request(&mut self, kind: RequestKind, anchor: Anchor) -> Request {
        self.count += 1;
        let count = self.count;
        Request {
            id: (move || count).ulid(self.clock.now()).to_string(),
            kind,
            by: Person {
                id: self.id.clone(),
                name: self.id.clone(),
            },
            at: self.clock.now(),
            anchor,
            instruction: String::new(),
            to: String::new(),
            state: RequestState::Open,
            lease: None,
            proposal: None,
            error: None,
        }
    }

    /// Puts a request into the margin; its id.
    pub async fn ask(&mut self, request: Request) -> String {
        margin::put_request(&mut self.margin.doc().transact_mut(), &request);
        self.send().await;
        request.id
    }

    pub async fn cancel(&mut self, request: &str) {
        assert!(margin::cancel_request(
            &mut self.margin.doc().transact_mut(),
            request
        ));
        self.send().await;
    }

    pub async fn set_proposal(&mut self, proposal: &str, state: ProposalState) {
        assert!(margin::set_proposal_state(
            &mut self.margin.doc().transact_mut(),
            proposal,
            state
        ));
        self.send().await;
    }

    /// Decides as an editor's relay does.
    pub async fn reject(&mut self, proposal: &str) {
        self.count += 1;
        let count = self.count;
        let by = Person {
            id: self.id.clone(),
            name: self.id.clone(),
        };
        let (body, margin) = (self.body.doc(), self.margin.doc());
        decide(
            body,
            margin,
            proposal,
            Action::Reject,
            &by,
            self.clock.now(),
            &mut || count,
            false,
        )
        .expect("it may be rejected");
        self.send().await;
    }

    /// What a proposal is, by body and margin.
    pub fn state_of(&self, proposal: &str) -> Option<ProposalState> {
        let (body, margin) = (self.body.doc().transact(), self.margin.doc().transact());
        effective_state(&body, &margin, proposal)
    }

    pub fn find(&self, request: &str) -> Request {
        margin::request(&self.margin.doc().transact(), request).expect("the request is there")
    }

    pub fn proposals(&self) -> Vec<Proposal> {
        margin::proposals(&self.margin.doc().transact())
    }

    /// The only proposal that there may be.
    pub fn proposal(&self) -> Option<Proposal> {
        let mut proposals = self.proposals();
        assert!(proposals.len() <= 1, "{proposals:#?}");
        proposals.pop()
    }

    pub fn resolve(&self, anchor: &Anchor) -> Resolved {
        anchor.resolve(&self.body.doc().transact())
    }

    /// What a peer shows of itself.
    pub fn sees(&self, id: &str) -> Option<Value> {
        let others = self.body.awareness().others();
        others
            .map(|(_, state)| state)
            .find(|state| state["user"]["id"] == id)
            .cloned()
    }

    /// What the first peer of a kind shows of itself.
    pub fn sees_kind(&self, kind: &str) -> Option<Value> {
        let mut others = self.body.awareness().others();
        others
            .find(|(_, state)| state["user"]["kind"] == kind)
            .map(|(_, state)| state.clone())
    }

    /// Sends what was changed here.
    pub async fn send(&mut self) {
        for frame in self.body.drain_updates() {
            self.links.0.tx.send(frame.into()).await.unwrap();
        }
        for frame in self.margin.drain_updates() {
            self.links.1.tx.send(frame.into()).await.unwrap();
        }
    }

    /// Takes in what arrives until something holds; panics after two minutes (of a clock that may be paused).
    pub async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while !holds(self) {
            assert!(
                self.take_in(deadline).await,
                "waited in vain until {what}: {:#?}",
                self.proposals()
            );
        }
    }

    /// Takes in what arrives for a while.
    pub async fn idle(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while self.take_in(deadline).await {}
    }

    /// One frame; whether one came in time.
    async fn take_in(&mut self, deadline: Instant) -> bool {
        let now = self.clock.now();
        let (body, margin) = &mut self.links;
        tokio::select! {
            frame = body.rx.recv() => {
                let received = self.body.receive(now, &frame.expect("the relay is there")).unwrap();
                for reply in received.replies {
                    body.tx.send(reply.into()).await.unwrap();
                }
            }
            frame = margin.rx.recv() => {
                let received = self.margin.receive(now, &frame.expect("the relay is there")).unwrap();
                for reply in received.replies {
                    margin.tx.send(reply.into()).await.unwrap();
                }
            }
            () = tokio::time::sleep_until(deadline) => return false,
        }
        true
    }
}
