//! Everybody, the relays, and what is under way between them.

use std::collections::{BTreeMap, VecDeque};

use crdt::ids::{ConnId, Identity, Part, PeerKind, Role};
use crdt::protocol;
use crdt::room::{Effect, Event, Outgoing};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use yrs::{ReadTxn, StateVector, Transact};

use super::client::{Client, Frame};
use super::hands::BEGINNING;
use super::plan::Plan;
use super::run::Fault;
use super::site::{PARTS, Site};
use super::watch::Watch;

/// A connection whose other end has gone without a word: what was under way still arrives.
pub(crate) struct Ghost {
    site: usize,
    conn: ConnId,
    frames: VecDeque<Frame>,
}

/// The link between the relays: a connection for each part, each room a peer of the other.
#[derive(Default)]
pub(crate) struct Pipe {
    conn: Option<ConnId>,
    /// From the second relay to the first, and back.
    up: VecDeque<Vec<u8>>,
    down: VecDeque<Vec<u8>>,
}

/// Everything.
pub(crate) struct World {
    pub(crate) sites: Vec<Site>,
    pub(crate) clients: Vec<Client>,
    pub(crate) ghosts: Vec<Ghost>,
    pub(crate) pipes: [Pipe; 2],
    /// What each room has been told that a connection may do.
    pub(crate) rights: BTreeMap<(usize, ConnId), (Role, PeerKind)>,
    pub(crate) watch: Watch,
    pub(crate) fault: Fault,
    pub(crate) rng: StdRng,
    next_conn: u64,
    next_client: u32,
    updates: u32,
}

impl World {
    pub(crate) fn new(plan: &Plan, fault: Fault) -> Result<Self, String> {
        let author = crdt::doc::open(90);
        crdt::content::fill(&author, &crdt::markdown::parse(BEGINNING)).map_err(|error| error.to_string())?;
        let beginning = author
            .transact()
            .encode_state_as_update_v1(&StateVector::default());
        let mut sites = vec![Site::new(Some(beginning), 1_000)?];
        if plan.sites > 1 {
            sites.push(Site::new(None, 2_000)?);
        }
        let clients = plan
            .cast
            .iter()
            .zip(100..)
            .map(|(member, client)| {
                let site = usize::from(member.site) % sites.len();
                Client::new(format!("peer{client}"), site, member.role, member.kind, client)
            })
            .collect();
        let mut world = Self {
            sites,
            clients,
            ghosts: Vec::new(),
            pipes: [Pipe::default(), Pipe::default()],
            rights: BTreeMap::new(),
            watch: Watch::default(),
            fault,
            rng: StdRng::seed_from_u64(!plan.seed),
            next_conn: 1,
            next_client: 500,
            updates: 0,
        };
        if fault == Fault::AiMayWrite {
            for client in &mut world.clients {
                if client.kind == PeerKind::Ai {
                    client.role = Role::Editor;
                }
            }
        }
        Ok(world)
    }

    fn conn(&mut self) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        conn
    }

    pub(crate) fn client_id(&mut self) -> u32 {
        self.next_client += 1;
        self.next_client
    }

    /// One event for a room, with all that must be true of it.
    #[expect(clippy::needless_pass_by_value, reason = "as the room takes it")]
    pub(crate) fn event(&mut self, site: usize, event: Event) -> Result<(), String> {
        let before = self.watch.before(&self.sites[site], &event, |conn| {
            self.rights.get(&(site, conn)).copied()
        });
        let rng = &mut self.rng;
        let now = self.sites[site].time();
        let effects = self.sites[site]
            .room
            .handle(now, &mut || rng.random(), event.clone());
        self.watch
            .after(&mut self.sites[site], site, &event, &before, &effects)?;
        for effect in effects {
            self.effect(site, effect)?;
        }
        Ok(())
    }

    fn effect(&mut self, site: usize, effect: Effect) -> Result<(), String> {
        match effect {
            Effect::Send { to, part, message } => self.send(site, to, part, message),
            Effect::Broadcast {
                part,
                except,
                message,
            } => {
                let open: Vec<ConnId> = self.sites[site]
                    .room
                    .connections()
                    .filter(|(conn, _, _, [body, margin])| {
                        Some(*conn) != except && (if part == Part::Body { *body } else { *margin })
                    })
                    .map(|(conn, ..)| conn)
                    .collect();
                for conn in open {
                    self.send(site, conn, part, message.clone());
                }
            }
            Effect::Append(record) => {
                let seq = record.seq;
                self.sites[site].disk.queue.push_back(record);
                if self.fault == Fault::AcknowledgeEarly {
                    self.event(site, Event::Committed { seq })?;
                }
            }
            Effect::Close { conn, reason, .. } => {
                let client = self
                    .clients
                    .iter_mut()
                    .find(|client| client.link.as_ref().is_some_and(|link| link.conn == conn));
                let Some(client) = client else {
                    let ghost = self.ghosts.iter().any(|ghost| ghost.conn == conn);
                    return if ghost {
                        Ok(())
                    } else {
                        Err(format!("{conn} was closed: {reason}"))
                    };
                };
                if !client.body.uncounted && !client.margin.uncounted {
                    return Err(format!("{} was closed: {reason}", client.name));
                }
                client.end();
                for part in PARTS {
                    self.event(site, Event::Leave { conn, part })?;
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, site: usize, to: ConnId, part: Part, message: Outgoing) {
        for (pipe, of) in self.pipes.iter_mut().zip(PARTS) {
            if pipe.conn == Some(to) {
                let bytes = match message {
                    Outgoing::Y(bytes) if of == part => bytes,
                    Outgoing::Denied(words) => protocol::permission_denied(&words),
                    // y-websocket cannot say these.
                    Outgoing::Y(_) | Outgoing::SyncStatus(_) | Outgoing::Stateless(_) => return,
                };
                let queue = if site == 0 { &mut pipe.down } else { &mut pipe.up };
                queue.push_back(bytes);
                return;
            }
        }
        if self.fault == Fault::DropSomeUpdates
            && let Outgoing::Y(bytes) = &message
            && bytes.starts_with(&[protocol::SYNC, 2])
        {
            self.updates += 1;
            if self.updates.is_multiple_of(50) {
                return;
            }
        }
        for client in &mut self.clients {
            if let Some(link) = client.link.as_mut().filter(|link| link.conn == to) {
                link.down.push_back((part, message));
                return;
            }
        }
    }

    pub(crate) fn connect(&mut self, who: usize) -> Result<(), String> {
        if self.clients[who].link.is_some() {
            return Ok(());
        }
        let conn = self.conn();
        let client = &mut self.clients[who];
        client.begin(conn);
        let (site, role, kind) = (client.site, client.role, client.kind);
        // A room holds a model to its role, so one that may write has to come as somebody else.
        let said = match self.fault {
            Fault::AiMayWrite => PeerKind::Human,
            _ => kind,
        };
        let identity = Identity {
            id: client.name.clone(),
            name: client.name.clone(),
            kind: said,
            model: None,
        };
        self.rights.insert((site, conn), (role, kind));
        for part in PARTS {
            let identity = identity.clone();
            self.event(
                site,
                Event::Join {
                    conn,
                    part,
                    identity,
                    role,
                },
            )?;
        }
        if self.fault == Fault::OpeningWrites {
            let root = crdt::doc::fragment(self.clients[who].body.doc());
            let mut txn = self.clients[who].body.doc().transact_mut();
            crdt::content::insert(&root, &mut txn, 0, &[crdt::Node::paragraph("")]);
        }
        Ok(())
    }

    pub(crate) fn leave(&mut self, who: usize) -> Result<(), String> {
        let site = self.clients[who].site;
        let Some(link) = self.clients[who].end() else {
            return Ok(());
        };
        for part in PARTS {
            let conn = link.conn;
            self.event(site, Event::Leave { conn, part })?;
        }
        Ok(())
    }

    pub(crate) fn vanish(&mut self, who: usize) {
        let site = self.clients[who].site;
        if let Some(link) = self.clients[who].end() {
            self.ghosts.push(Ghost {
                site,
                conn: link.conn,
                frames: link.up,
            });
        }
    }

    /// A frame of a connection that has vanished arrives, or its end is noticed.
    pub(crate) fn late(&mut self, which: usize) -> Result<bool, String> {
        let Some(which) = which.checked_rem(self.ghosts.len()) else {
            return Ok(false);
        };
        let ghost = &mut self.ghosts[which];
        let (site, conn) = (ghost.site, ghost.conn);
        match ghost.frames.pop_front() {
            Some(frame) => self.arrive(site, conn, frame)?,
            None => {
                self.ghosts.remove(which);
                for part in PARTS {
                    self.event(site, Event::Leave { conn, part })?;
                }
            }
        }
        Ok(true)
    }

    fn arrive(&mut self, site: usize, conn: ConnId, frame: Frame) -> Result<(), String> {
        let event = match frame {
            Frame::Y(part, bytes) => Event::Message { conn, part, bytes },
            Frame::Text(payload) => Event::Stateless {
                conn,
                part: Part::Body,
                payload,
            },
        };
        self.event(site, event)
    }

    pub(crate) fn up(&mut self, who: usize) -> Result<bool, String> {
        let client = &mut self.clients[who];
        let site = client.site;
        let Some(link) = &mut client.link else {
            return Ok(false);
        };
        let Some(frame) = link.up.pop_front() else {
            return Ok(false);
        };
        let conn = link.conn;
        self.arrive(site, conn, frame)?;
        Ok(true)
    }

    pub(crate) fn down(&mut self, who: usize) -> Result<bool, String> {
        let client = &mut self.clients[who];
        let Some((part, message)) = client.link.as_mut().and_then(|link| link.down.pop_front()) else {
            return Ok(false);
        };
        let now = client.time(self.sites[client.site].now);
        let told = client.decided.len();
        client.receive(now, part, &message)?;
        if let Some(decision) = client.decided.get(told) {
            self.watch
                .confirmed(&self.sites[client.site], client.site, decision)?;
        }
        self.check_belief(who, part)?;
        Ok(true)
    }

    /// **Invariant 5**: what a client believes to be saved is on disk.
    fn check_belief(&self, who: usize, part: Part) -> Result<(), String> {
        let client = &self.clients[who];
        let copy = client.copy(part);
        let counts = client.link.is_some() && copy.unsynced == 0 && !copy.uncounted;
        if !counts || !client.role.may_write(part) {
            return Ok(());
        }
        let disk = &self.sites[client.site].disk;
        let (id, clock) = (copy.client_id(), copy.own_clock());
        if !disk.has(part, id, clock) {
            return Err(format!(
                "{} believes that {clock} of {part:?} are saved, and they are not",
                client.name
            ));
        }
        for range in copy.own_deletes() {
            if let Some(id) = super::site::ids(&range).find(|id| !disk.has_deleted(part, *id)) {
                return Err(format!(
                    "{} believes that deleting {id:?} is saved, and it is not",
                    client.name
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn meet(&mut self) -> Result<(), String> {
        if self.sites.len() < 2 {
            return Ok(());
        }
        for (index, part) in PARTS.into_iter().enumerate() {
            if self.pipes[index].conn.is_some() {
                continue;
            }
            let conn = self.conn();
            self.pipes[index].conn = Some(conn);
            for site in 0..2 {
                let identity = Identity {
                    id: format!("relay:{}", 1 - site),
                    name: "the other relay".into(),
                    kind: PeerKind::Relay,
                    model: None,
                };
                let role = Role::Editor;
                self.rights.insert((site, conn), (role, PeerKind::Relay));
                self.event(
                    site,
                    Event::Join {
                        conn,
                        part,
                        identity,
                        role,
                    },
                )?;
            }
        }
        Ok(())
    }

    /// Ends the link between the relays; a relay that has crashed has forgotten it already.
    pub(crate) fn part(&mut self, crashed: Option<usize>) -> Result<(), String> {
        for (index, part) in PARTS.into_iter().enumerate() {
            let Some(conn) = std::mem::take(&mut self.pipes[index]).conn else {
                continue;
            };
            for site in (0..2).filter(|site| Some(*site) != crashed) {
                self.event(site, Event::Leave { conn, part })?;
            }
        }
        Ok(())
    }

    pub(crate) fn pipe(&mut self, body: bool, up: bool) -> Result<bool, String> {
        let part = if body { Part::Body } else { Part::Margin };
        let pipe = &mut self.pipes[usize::from(!body)];
        let Some(conn) = pipe.conn else { return Ok(false) };
        let queue = if up { &mut pipe.up } else { &mut pipe.down };
        let Some(bytes) = queue.pop_front() else {
            return Ok(false);
        };
        self.event(usize::from(!up), Event::Message { conn, part, bytes })?;
        Ok(true)
    }

    pub(crate) fn write(&mut self, site: usize, count: usize) -> Result<(), String> {
        let mut last = None;
        for _ in 0..count {
            let Some(record) = self.sites[site].disk.queue.pop_front() else {
                break;
            };
            last = Some(record.seq);
            let forget =
                self.fault == Fault::StoreForgets && record.seq.is_multiple_of(7) && record.body.is_some();
            self.sites[site].disk.write(record, forget)?;
        }
        match last {
            Some(seq) => self.event(site, Event::Committed { seq }),
            None => Ok(()),
        }
    }

    pub(crate) fn fail(&mut self, site: usize) -> Result<(), String> {
        let Some(seq) = self.sites[site].disk.queue.front().map(|record| record.seq) else {
            return Ok(());
        };
        self.sites[site].disk.queue.clear();
        let reason = "the disk is full".to_owned();
        self.event(site, Event::StoreFailed { seq, reason })
    }

    pub(crate) fn crash(&mut self, site: usize) -> Result<(), String> {
        for client in self.clients.iter_mut().filter(|client| client.site == site) {
            client.end();
        }
        self.ghosts.retain(|ghost| ghost.site != site);
        self.sites[site].crash()?;
        self.watch.restarted(&self.sites[site], site)?;
        self.part(Some(site))
    }

    pub(crate) fn tick(&mut self, ms: u64) -> Result<(), String> {
        for site in 0..self.sites.len() {
            self.sites[site].now += ms;
            self.event(site, Event::Tick)?;
            // Nobody can tell from outside whether the document is decoded.
            if ms.is_multiple_of(2) {
                self.sites[site].room.rest();
            }
        }
        for client in &mut self.clients {
            let now = client.time(self.sites[client.site].now);
            for part in PARTS {
                let received = client.copy_mut(part).replica.tick(now);
                if let Some(link) = &mut client.link {
                    let frames = received.replies.into_iter();
                    link.up.extend(frames.map(|frame| Frame::Y(part, frame)));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn set_role(&mut self, who: usize, role: Role) -> Result<(), String> {
        let client = &mut self.clients[who];
        // Every AI is at most a suggester: whoever gives out roles sees to that.
        let highest = if client.kind == PeerKind::Ai {
            Role::Suggester
        } else {
            Role::Owner
        };
        client.role = role.min(highest);
        let (site, role, kind) = (client.site, client.role, client.kind);
        let Some(conn) = client.link.as_ref().map(|link| link.conn) else {
            return Ok(());
        };
        self.rights.insert((site, conn), (role, kind));
        if self.fault == Fault::RoleIsForgotten {
            return Ok(());
        }
        for part in [Part::Body, Part::Margin] {
            self.event(site, Event::SetRole { conn, part, role })?;
        }
        Ok(())
    }
}
