//! Carries out a plan, step by step.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crdt::ids::Part;
use rand::Rng;
use serde_json::json;

use super::ai::role;
use super::client::Frame;
use super::cut::words;
use super::hands;
use super::plan::{Edit, Plan, Step};
use super::watch::Tally;
use super::world::World;

/// A mistake that is made on purpose, to see that it is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Every 50th update for a client is dropped, and nobody notices.
    DropSomeUpdates,
    /// The store says that it has written what it has not.
    AcknowledgeEarly,
    /// The store writes something else now and then.
    StoreForgets,
    /// A model is let in as an editor and types into the text.
    AiMayWrite,
    /// A connection keeps the role that it came with.
    RoleIsForgotten,
    /// Opening a document writes into it.
    OpeningWrites,
}

/// Runs a plan. The error says which invariant was broken, and where.
pub(crate) fn run(plan: &Plan, fault: Fault) -> Result<Tally, String> {
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(plan, fault)?;
        for (number, step) in plan.steps.iter().enumerate() {
            world
                .step(step)
                .map_err(|error| format!("step {number} {step:?}: {error}"))?;
        }
        world
            .finish(plan)
            .map_err(|error| format!("at the end: {error}"))?;
        let mut tally = world.watch.tally;
        tally.records = world.sites.iter().map(|site| site.disk.records).sum();
        Ok(tally)
    }));
    result.unwrap_or_else(|panic| Err(format!("panicked: {}", words(&*panic))))
}

impl World {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        let someone = |who: u8| usize::from(who) % self.clients.len();
        let at = |site: u8| usize::from(site) % self.sites.len();
        match step {
            Step::Edit { who, edit } => {
                let who = someone(*who);
                make(self.clients[who].body.doc(), edit);
                self.clients[who].flush(Part::Body);
            }
            Step::Ask { who, at, len } => self.ask(someone(*who), *at, *len),
            Step::Propose {
                who,
                kind,
                at,
                len,
                payload,
            } => self.propose(someone(*who), *kind, *at, *len, *payload)?,
            Step::CancelRequest { who, request } => self.cancel_request(someone(*who), *request),
            Step::Work { who, payload } => self.work(*who, *payload)?,
            Step::Decide {
                who,
                proposal,
                action,
                force,
            } => self.decide(someone(*who), *proposal, *action, *force),
            Step::Preview { who, proposal } => {
                let who = someone(*who);
                if let Some(proposal) = self.candidate(who, *proposal, "accept") {
                    self.say(who, &json!({ "type": "preview", "seq": 1, "proposal": proposal }));
                }
            }
            Step::Caret { who, at } => self.caret(someone(*who), *at),
            Step::Up { who, count } => {
                let who = someone(*who);
                for _ in 0..*count {
                    self.up(who)?;
                }
            }
            Step::Down { who, count } => {
                let who = someone(*who);
                for _ in 0..*count {
                    self.down(who)?;
                }
            }
            Step::Pipe { body, up, count } => {
                for _ in 0..*count {
                    self.pipe(*body, *up)?;
                }
            }
            Step::Disturb { who, up, how } => self.disturb(someone(*who), *up, *how),
            Step::Concatenate { who } => self.concatenate(someone(*who)),
            Step::Connect { who } => self.connect(someone(*who))?,
            Step::Leave { who } => self.leave(someone(*who))?,
            Step::Vanish { who } => self.vanish(someone(*who)),
            Step::Late { which } => drop(self.late(usize::from(*which))?),
            Step::Part => self.part(None)?,
            Step::Meet => self.meet()?,
            Step::Reopen { who, stored } => self.reopen(someone(*who), *stored)?,
            Step::Role { who, role: number } => self.set_role(someone(*who), role(*number))?,
            Step::Write { site, count } => self.write(at(*site), usize::from(*count))?,
            Step::Fail { site } => self.fail(at(*site))?,
            Step::Compact { site } => {
                let site = at(*site);
                self.sites[site].compact()?;
            }
            Step::Crash { site } => self.crash(at(*site))?,
            Step::Tick { ms } => self.tick(u64::from(*ms))?,
            Step::Clock { whose, seconds } => self.jump(usize::from(*whose), i64::from(*seconds) * 1_000),
        }
        Ok(())
    }

    fn say(&mut self, who: usize, message: &serde_json::Value) {
        if let Some(link) = &mut self.clients[who].link {
            link.up.push_back(Frame::Text(message.to_string()));
        }
    }

    fn decide(&mut self, who: usize, proposal: u8, action: u8, force: bool) {
        let action = match action {
            0..5 => "accept",
            5 => "reject",
            _ => "undo",
        };
        if let Some(proposal) = self.candidate(who, proposal, action) {
            let question =
                json!({ "type": "decide", "seq": 1, "proposal": proposal, "action": action, "force": force });
            self.say(who, &question);
        }
    }

    fn caret(&mut self, who: usize, at: u8) {
        let client = &mut self.clients[who];
        let now = client.time(self.sites[client.site].now);
        let frame = client
            .body
            .replica
            .set_local_state(now, Some(json!({ "cursor": at })));
        if let Some(link) = &mut client.link {
            link.up.extend(frame.map(|frame| Frame::Y(Part::Body, frame)));
        }
    }

    /// What a WebSocket does not do, and a broken proxy or a full queue might.
    fn disturb(&mut self, who: usize, up: bool, how: u8) {
        let client = &mut self.clients[who];
        let Some(link) = &mut client.link else { return };
        let mut disturbed = false;
        if up {
            if matches!(link.up.front(), Some(Frame::Y(..))) {
                disturbed = true;
                match how {
                    0 => drop(link.up.pop_front()),
                    1 => link.up.insert(1, link.up[0].clone()),
                    _ if link.up.len() > 1 => link.up.swap(0, 1),
                    _ => {}
                }
            }
        } else if matches!(link.down.front(), Some((_, crdt::room::Outgoing::Y(_)))) {
            disturbed = true;
            match how {
                0 => drop(link.down.pop_front()),
                1 => link.down.insert(1, link.down[0].clone()),
                _ if link.down.len() > 1 => link.down.swap(0, 1),
                _ => {}
            }
        }
        if disturbed {
            client.body.uncounted = true;
            client.margin.uncounted = true;
        }
    }

    fn concatenate(&mut self, who: usize) {
        let Some(link) = &mut self.clients[who].link else {
            return;
        };
        let mut joined: Vec<Frame> = Vec::new();
        for frame in link.up.drain(..) {
            match (joined.last_mut(), frame) {
                (Some(Frame::Y(part, bytes)), Frame::Y(other, more)) if *part == other => bytes.extend(more),
                (_, frame) => joined.push(frame),
            }
        }
        link.up.extend(joined);
    }

    fn reopen(&mut self, who: usize, stored: bool) -> Result<(), String> {
        self.leave(who)?;
        let id = self.client_id();
        let client = &mut self.clients[who];
        client.body = client.body.again(id, stored);
        client.margin = client.margin.again(id, stored);
        client.job = None;
        Ok(())
    }

    fn jump(&mut self, whose: usize, by: i64) {
        let whose = whose % (self.sites.len() + self.clients.len());
        match whose.checked_sub(self.sites.len()) {
            None => {
                let now = &mut self.sites[whose].now;
                *now = now.saturating_add_signed(by);
            }
            Some(client) => self.clients[client].skew += by,
        }
    }

    /// A number for what is left to chance.
    pub(crate) fn roll(&mut self, below: usize) -> usize {
        self.rng.random_range(0..below.max(1))
    }
}

fn make(body: &yrs::Doc, edit: &Edit) {
    match edit {
        Edit::Type { at, text } => hands::type_text(body, *at, text),
        Edit::Erase { at, len } => hands::erase(body, *at, *len),
        Edit::Format { at, len, mark } => hands::format(body, *at, *len, *mark),
        Edit::Split { at } => hands::split(body, *at),
        Edit::Join { at } => hands::join(body, *at),
        Edit::DeleteBlock { at } => hands::delete_block(body, *at),
        Edit::AddBlock { at, text } => hands::add_block(body, *at, text),
    }
}
