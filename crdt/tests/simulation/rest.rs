//! What must be true once everything has come to rest.

use crdt::decision::{self, Action};
use crdt::ids::Part;
use crdt::margin::{self, ProposalState};
use crdt::markdown;
use yrs::{ReadTxn, Transact};

use super::client::Client;
use super::hands::{self, Id};
use super::moment::{decisions, ensure, is_in, json, lives, records};
use super::plan::Plan;
use super::site::PARTS;
use super::world::World;

impl World {
    /// Lets everything come to rest and looks at it, restarts all of it, and looks again.
    pub(crate) fn finish(&mut self, plan: &Plan) -> Result<(), String> {
        self.settle()?;
        self.check()?;
        self.check_proposals(plan)?;
        // Invariant 8: coming and going writes nothing, and a restart at rest loses nothing.
        let states = |world: &Self| -> Vec<_> {
            let sites = world.sites.iter();
            sites
                .flat_map(|site| PARTS.map(|part| site.room.state(part)))
                .collect()
        };
        let written =
            |world: &Self| -> Vec<u64> { world.sites.iter().map(|site| site.disk.written).collect() };
        let before = (states(self), written(self));
        for site in 0..self.sites.len() {
            self.crash(site)?;
        }
        self.settle()?;
        for who in 0..self.clients.len() {
            self.leave(who)?;
        }
        self.part(None)?;
        self.settle()?;
        self.check()?;
        ensure(before == (states(self), written(self)), || {
            "opening, closing or reconnecting made an edit".into()
        })
    }

    fn settle(&mut self) -> Result<(), String> {
        while self.late(0)? {}
        self.meet()?;
        for who in 0..self.clients.len() {
            let client = &self.clients[who];
            if client.body.uncounted || client.margin.uncounted {
                self.leave(who)?;
            }
        }
        for _ in 0..10_000 {
            let mut moved = false;
            for who in 0..self.clients.len() {
                if self.clients[who].link.is_none() {
                    self.connect(who)?;
                    moved = true;
                }
                moved |= self.up(who)?;
                moved |= self.down(who)?;
            }
            for (body, up) in [(true, true), (true, false), (false, true), (false, false)] {
                moved |= self.pipe(body, up)?;
            }
            for site in 0..self.sites.len() {
                let waiting = self.sites[site].disk.queue.len();
                if waiting > 0 {
                    let count = 1 + self.roll(waiting);
                    self.write(site, count)?;
                    moved = true;
                }
            }
            if moved {
                continue;
            }
            if self.sites.iter().all(|site| site.room.is_saved()) {
                return Ok(());
            }
            self.tick(1_000)?;
        }
        Err("the network does not come to rest".into())
    }

    /// **Invariants 6 and 7** at rest: all replicas are the same.
    fn check(&self) -> Result<(), String> {
        let first = &self.sites[0].room;
        for (number, site) in self.sites.iter().enumerate() {
            for part in PARTS {
                let doc = site.room.document(part);
                ensure(!doc.transact().has_missing_updates(), || {
                    format!("relay {number} holds blocks of the {part:?} back")
                })?;
                ensure(site.room.state(part) == first.state(part), || {
                    format!("the relays are apart in the {part:?}")
                })?;
            }
            let (here, there) = (site.room.document(Part::Body), first.document(Part::Body));
            ensure(hands::tree(here) == hands::tree(there), || {
                let (here, there) = (json(&hands::tree(here)), json(&hands::tree(there)));
                format!("the relays show different texts\n{here}\n{there}")
            })?;
            let proposals = |room: &crdt::Room| margin::proposals(&room.document(Part::Margin).transact());
            ensure(proposals(&site.room) == proposals(first), || {
                "the relays have different margins".into()
            })?;
        }
        for client in &self.clients {
            for part in PARTS {
                self.check_client(client, part)?;
            }
        }
        Ok(())
    }

    fn check_client(&self, client: &Client, part: Part) -> Result<(), String> {
        let room = &self.sites[client.site].room;
        let copy = client.copy(part);
        let txn = copy.doc().transact();
        let who = &client.name;
        ensure(!txn.has_missing_updates(), || {
            format!("{who} holds blocks of the {part:?} back")
        })?;
        let (here, there) = (txn.snapshot(), room.state(part));
        if client.role.may_write(part) {
            ensure(here == there, || {
                format!("{who} is apart from the room in the {part:?}: {here:?} and {there:?}")
            })?;
            ensure(copy.unsynced == 0 || copy.uncounted, || {
                format!("{who} was not told that all of the {part:?} is saved")
            })?;
            drop(txn);
            let (mine, theirs) = (hands::tree(copy.doc()), hands::tree(room.document(part)));
            return ensure(mine == theirs, || {
                format!("{who} sees another text\n{}\n{}", json(&mine), json(&theirs))
            });
        }
        // What it may not write it may keep to itself; all that the room has, it has.
        for (id, clock) in there.state_map.iter() {
            let has = here.state_map.get(id);
            ensure(has >= *clock, || {
                format!("{who} has {has} of {clock} of client {id} in the {part:?}")
            })?;
        }
        Ok(())
    }

    /// **Invariants 1 and 2** at rest: no text of a proposal is there twice, and none that was not accepted.
    fn check_proposals(&self, plan: &Plan) -> Result<(), String> {
        let room = &self.sites[0].room;
        let (body, margin) = (room.document(Part::Body), room.document(Part::Margin));
        let all = decisions(body);
        let lived: Vec<Vec<Id>> = hands::alive(body).keys().map(|id| lives(&all, *id)).collect();
        let text = markdown::write(&hands::tree(body));
        for (number, id) in self.watch.proposals.iter().enumerate() {
            let accepts = records(body, id);
            let live = accepts
                .iter()
                .filter(|record| record.action == Action::Accept)
                .filter(|accept| {
                    lived
                        .iter()
                        .any(|lives| lives.iter().any(|id| is_in(&accept.inserted, *id)))
                })
                .count();
            ensure(live <= 1, || format!("the text of {id} is there {live} times"))?;
            let state = decision::effective_state(&body.transact(), &margin.transact(), id);
            if state != Some(ProposalState::Accepted) {
                ensure(live == 0, || format!("{id} is {state:?} and its text is there"))?;
            }
            let copies = text.matches(&format!("zq{number}zq")).count();
            if accepts.is_empty() {
                ensure(copies == 0, || {
                    format!("nothing was decided about {id}, and its words are there:\n{text}")
                })?;
            }
            if !plan.copies_text() {
                ensure(copies <= 1, || {
                    format!("the words of {id} are there {copies} times:\n{text}")
                })?;
            }
        }
        Ok(())
    }
}
