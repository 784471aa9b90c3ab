//! Peers with their replicas.

use crdt::{Node, content, doc, markdown};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, StateVector, Transact, Update};

use super::hands::{self, BEGINNING};

/// A body and a margin, and whoever works with them.
pub(crate) struct Peer {
    pub(crate) body: Doc,
    pub(crate) margin: Doc,
}

impl Peer {
    fn new(client: u64) -> Self {
        let (body, margin) = (doc::open(client), doc::open(client));
        let _ = (doc::fragment(&body), doc::decisions(&body));
        Self { body, margin }
    }

    /// Takes in what a room has.
    pub(crate) fn learn(&self, done: &super::door::Done) {
        Self {
            body: done.body.clone(),
            margin: done.margin.clone(),
        }
        .tell(self);
    }

    /// Tells another peer all it does not know.
    pub(crate) fn tell(&self, other: &Self) {
        for (from, to) in [(&self.body, &other.body), (&self.margin, &other.margin)] {
            let known = to.transact().state_vector();
            let update = from.transact().encode_state_as_update_v1(&known);
            let update = Update::decode_v1(&update).expect("what yrs wrote");
            to.transact_mut().apply_update(update).expect("what yrs wrote");
        }
    }

    /// The body's tree.
    pub(crate) fn tree(&self) -> Vec<Node> {
        hands::tree(&self.body)
    }

    /// The body as Markdown.
    pub(crate) fn text(&self) -> String {
        markdown::write(&self.tree())
    }

    /// All that was ever seen of the body.
    pub(crate) fn state(&self) -> StateVector {
        self.body.transact().state_vector()
    }
}

/// The peers.
pub(crate) struct World {
    pub(crate) peers: Vec<Peer>,
    rng: StdRng,
}

impl World {
    pub(crate) fn new(seed: u64, peers: u8) -> Self {
        let mut rng = StdRng::seed_from_u64(!seed);
        let first = Peer::new(u64::from(rng.random::<u32>()));
        content::fill(&first.body, &markdown::parse(BEGINNING)).expect("an empty document");
        let mut world = Self {
            peers: Vec::new(),
            rng,
        };
        for _ in 0..peers {
            let peer = Peer::new(world.client().into());
            first.tell(&peer);
            world.peers.push(peer);
        }
        world
    }

    pub(crate) fn client(&mut self) -> u32 {
        self.rng.random()
    }

    pub(crate) fn chance(&mut self) -> u128 {
        self.rng.random()
    }

    /// A new replica of the same peer, from what was stored.
    pub(crate) fn restart(&mut self, peer: usize) {
        let new = Peer::new(self.client().into());
        self.peers[peer].tell(&new);
        self.peers[peer] = new;
    }

    pub(crate) fn sync(&self, one: usize, two: usize) {
        if one != two {
            self.peers[one].tell(&self.peers[two]);
            self.peers[two].tell(&self.peers[one]);
        }
    }
}
