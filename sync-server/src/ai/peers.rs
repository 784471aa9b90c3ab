//! The peers: one for each engine in each document that people have open and whose policy lets the engine be there.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ai_peer::cascade::{Cascade, Engine, Thresholds};
use ai_peer::privacy::{Departure, Gate, Known, Place, Warden};
use ai_peer::wardrobe::lies_in;
use ai_peer::{AiPeer, Clock, Config, Ended, Link, Wardrobe};
use crdt::margin::RequestKind;
use crdt::policy::{Leave, Policy};
use crdt::{DocId, Identity, Part, PeerKind, Role};
use model::Generator;
use model::manager::AdapterLibrary;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::{Id, JoinSet};

use super::engines::{Seat, Seats};
use crate::clock;
use crate::relay::Relay;
use crate::store::{AccessWrite, DepartureRow};

/// How long the peer waits before it joins a document again whose room sent it away.
const REJOIN_AFTER: Duration = Duration::from_secs(1);

/// A place of a peer: a document, and the engine's name.
type Post = (DocId, String);

/// The peers by document and engine.
#[derive(Debug)]
pub(super) struct Peers {
    relay: Relay,
    /// By the engine's name. New for each run: peers of linked relays meet in one document, and no two may share a name there.
    identities: HashMap<String, Identity>,
    engines: watch::Sender<Vec<Engine>>,
    thresholds: Thresholds,
    tasks: JoinSet<End>,
    posts: HashMap<Post, Peer>,
    /// What the peers of one document share.
    shared: HashMap<DocId, Shared>,
}

/// What the peers of one document share.
#[derive(Debug, Clone)]
struct Shared {
    warden: Arc<DocumentWarden>,
    cascade: Arc<Cascade>,
    known: Known,
}

/// Reads what a document's owner has said, and keeps the list of what was sent away.
#[derive(Debug)]
struct DocumentWarden {
    relay: Relay,
    doc: DocId,
}

impl Warden for DocumentWarden {
    fn policy(&self) -> Policy {
        self.relay
            .shared
            .guard
            .policy(&self.doc)
            .map(|row| row.policy)
            .unwrap_or_default()
    }

    fn agreed(&self, person: &str, engine: &str, leave: Leave) -> bool {
        let row = self.relay.shared.guard.agreement(&self.doc, person);
        row.is_some_and(|row| row.agreement.covers(engine, leave))
    }

    fn record(&self, departure: Departure) -> Result<(), String> {
        let row = DepartureRow {
            doc: self.doc.clone(),
            at: clock::now(),
            by: departure.by,
            engine: departure.engine,
            place: word(Some(departure.place)).to_owned(),
            leave: departure.leave,
            characters: departure.characters as u64,
            masked: departure
                .masked
                .into_iter()
                .map(|(kind, count)| (kind.words().to_owned(), count as u64))
                .collect(),
        };
        let runtime = Handle::try_current().map_err(|error| error.to_string())?;
        let kept = self.relay.shared.store.write_access(AccessWrite::Depart(row));
        runtime.block_on(kept).map_err(|error| error.to_string())
    }
}

impl Wardrobe for DocumentWarden {
    fn named(&self, kind: RequestKind) -> Option<String> {
        let row = self.relay.shared.guard.adapters(&self.doc)?;
        row.adapters.of(kind).map(str::to_owned)
    }

    fn has(&self, name: &str, model: &str) -> Result<(), String> {
        lies_in(&AdapterLibrary::new(self.relay.adapters_folder()), name, model)
    }
}

/// A place as JSON has it.
pub(super) const fn word(place: Option<Place>) -> &'static str {
    match place {
        None => "here",
        Some(Place::Machine) => "machine",
        Some(Place::Network) => "network",
        Some(Place::Internet) => "internet",
    }
}

/// One peer.
#[derive(Debug)]
enum Peer {
    /// It is there until the sender is dropped.
    Running(
        Id,
        #[allow(dead_code, reason = "dropping it is what ends the peer")] oneshot::Sender<()>,
    ),
    /// It was told to leave and has not done so yet; a new one would meet it.
    Leaving(Id),
    /// It broke and may be replaced.
    Broken,
    /// The room does not want one while the document is open.
    Refused,
}

/// How a peer's stay in a document ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Asked,
    Refused,
}

impl Peers {
    pub(super) fn new(relay: Relay, thresholds: Thresholds) -> Self {
        Self {
            relay,
            identities: HashMap::new(),
            engines: watch::channel(Vec::new()).0,
            thresholds,
            tasks: JoinSet::new(),
            posts: HashMap::new(),
            shared: HashMap::new(),
        }
    }

    /// Sends peers to the documents that are wanted and lack one, and calls back those from others.
    pub(super) fn follow(&mut self, wanted: &BTreeSet<DocId>, seats: &Seats) {
        self.meet(seats);
        let mut posts: HashMap<Post, (&Seat, Arc<dyn Generator>)> = HashMap::new();
        for doc in wanted {
            let policy = self.shared(doc).warden.policy();
            for (seat, generator) in seats.iter().filter_map(|seat| Some((seat, seat.generator()?))) {
                let may = match seat.place {
                    None | Some(Place::Machine) => true,
                    Some(Place::Network | Place::Internet) => policy.for_engine(&seat.name) != Leave::Nothing,
                };
                if may {
                    posts.insert((doc.clone(), seat.name.clone()), (seat, generator));
                }
            }
        }
        self.posts.retain(|post, peer| {
            if posts.contains_key(post) {
                return true;
            }
            if let Peer::Running(id, _) = peer {
                *peer = Peer::Leaving(*id); // drops the sender, which ends it
            }
            matches!(peer, Peer::Leaving(_))
        });
        self.shared.retain(|doc, _| wanted.contains(doc));
        for (post, (seat, generator)) in posts {
            let pause = match self.posts.get(&post) {
                None => Duration::ZERO,
                Some(Peer::Broken) => REJOIN_AFTER,
                Some(Peer::Running(..) | Peer::Leaving(_) | Peer::Refused) => continue,
            };
            let running = self.send(&post.0, seat, generator, pause);
            self.posts.insert(post, running);
        }
    }

    /// Sends a peer to a document.
    fn send(&mut self, doc: &DocId, seat: &Seat, generator: Arc<dyn Generator>, pause: Duration) -> Peer {
        let shared = self.shared(doc);
        let identity = self.identity(seat, generator.as_ref());
        let generator = match seat.place {
            None => generator,
            Some(place) => Arc::new(Gate::new(
                generator,
                seat.name.clone(),
                place,
                Arc::clone(&shared.warden) as Arc<dyn Warden>,
                shared.known.clone(),
            )),
        };
        let config = Config {
            place: seat.place.map(|place| place.words().to_owned()),
            cascade: Some(shared.cascade),
            known: seat.place.map(|_| shared.known),
            wardrobe: Some(shared.warden),
            ..Config::new(Clock::new(clock::now))
        };
        let peer = AiPeer::new(identity.clone(), generator, config);
        let (stop, stopped) = oneshot::channel();
        let task = accompany(self.relay.clone(), doc.clone(), identity, peer, stopped, pause);
        Peer::Running(self.tasks.spawn(task).id(), stop)
    }

    /// Tells the peers which engines there are.
    fn meet(&mut self, seats: &Seats) {
        let engines = seats
            .iter()
            .filter_map(|seat| {
                let generator = seat.generator()?;
                Some(Engine {
                    peer: self.identity(seat, generator.as_ref()).id,
                    name: seat.name.clone(),
                    place: seat.place,
                })
            })
            .collect();
        self.engines.send_if_modified(|known| {
            let new = *known != engines;
            *known = engines;
            new
        });
    }

    fn identity(&mut self, seat: &Seat, generator: &dyn Generator) -> Identity {
        let new = || Identity {
            id: format!("ai-{}", clock::ulid().to_string().to_lowercase()),
            name: seat.name.clone(),
            kind: PeerKind::Ai,
            model: Some(generator.info().name.clone()),
        };
        self.identities
            .entry(seat.name.clone())
            .or_insert_with(new)
            .clone()
    }

    fn shared(&mut self, doc: &DocId) -> Shared {
        let (relay, engines, thresholds) = (&self.relay, &self.engines, self.thresholds);
        let new = || {
            let warden = Arc::new(DocumentWarden {
                relay: relay.clone(),
                doc: doc.clone(),
            });
            Shared {
                cascade: Arc::new(Cascade::new(
                    engines.subscribe(),
                    Arc::clone(&warden) as Arc<dyn Warden>,
                    thresholds,
                )),
                warden,
                known: Known::default(),
            }
        };
        self.shared.entry(doc.clone()).or_insert_with(new).clone()
    }

    pub(super) fn any(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Waits until one peer has left, for whatever reason, and notes it.
    pub(super) async fn one_left(&mut self) {
        let (left, end) = match self.tasks.join_next_with_id().await {
            Some(Ok((id, end))) => (id, Some(end)),
            Some(Err(error)) => {
                tracing::error!(%error, "an AI peer broke");
                (error.id(), None)
            }
            None => return,
        };
        let found = self.posts.iter().find_map(|(post, peer)| match peer {
            Peer::Running(id, _) if *id == left => Some((post.clone(), true)),
            Peer::Leaving(id) if *id == left => Some((post.clone(), false)),
            _ => None,
        });
        match (found, end) {
            (Some((post, true)), Some(End::Refused)) => drop(self.posts.insert(post, Peer::Refused)),
            (Some((post, true)), None) => drop(self.posts.insert(post, Peer::Broken)),
            (Some((post, _)), _) => drop(self.posts.remove(&post)),
            (None, _) => {}
        }
    }

    /// Calls all of them back and waits until they have left.
    pub(super) async fn leave(mut self) {
        self.posts.clear();
        while let Some(left) = self.tasks.join_next().await {
            if let Err(error) = left {
                tracing::error!(%error, "an AI peer broke");
            }
        }
    }
}

/// Keeps one peer in one document until `stop`.
async fn accompany(
    relay: Relay,
    doc: DocId,
    identity: Identity,
    mut peer: AiPeer,
    mut stop: oneshot::Receiver<()>,
    pause: Duration,
) -> End {
    tokio::select! {
        biased;
        _ = &mut stop => return End::Asked,
        () = tokio::time::sleep(pause) => {}
    }
    loop {
        let link = |part| {
            let pipe = relay.connect_y(Relay::name(doc.clone(), part), identity.clone(), Role::Suggester);
            Link {
                tx: pipe.to_relay,
                rx: pipe.from_relay,
            }
        };
        let ended = peer
            .run(link(Part::Body), link(Part::Margin), async {
                drop((&mut stop).await);
            })
            .await;
        match ended {
            Ended::Shutdown => return End::Asked,
            Ended::Refused(reason) => {
                tracing::warn!(%doc, reason, "the room refuses the AI peer");
                return End::Refused;
            }
            ended => tracing::debug!(%doc, ?ended, "the AI peer joins again"),
        }
        tokio::select! {
            _ = &mut stop => return End::Asked,
            () = tokio::time::sleep(REJOIN_AFTER) => {}
        }
    }
}
