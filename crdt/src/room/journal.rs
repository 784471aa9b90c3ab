//! What the store has been asked to write, what it has, and what may be said once it has it.

use std::collections::VecDeque;

use super::{Effect, Record};
use crate::ids::{ConnId, Part};

/// The records that are not known to be on disk, in order, and the answers that wait for them.
///
/// **Invariant:** an answer goes out only when everything that was appended before it is on disk.
#[derive(Debug)]
pub(super) struct Journal {
    next_seq: u64,
    waiting: VecDeque<Waiting>,
    unsaved: usize,
    failing: Option<String>,
    /// Each with the record that it waits for, and how many times it is to be said: a connection that repeats what is known
    /// while the store is slow costs one entry.
    answers: VecDeque<(u64, Effect, u32)>,
}

#[derive(Debug)]
struct Waiting {
    record: Record,
    /// Whether the store has it and has not said that it failed.
    asked: bool,
}

/// What a commit allows.
#[derive(Debug, Default)]
pub(super) struct Released {
    pub(super) effects: Vec<Effect>,
    /// The store could not write before, and can now.
    pub(super) recovered: bool,
}

impl Journal {
    pub(super) const fn new(next_seq: u64) -> Self {
        Self {
            next_seq,
            waiting: VecDeque::new(),
            unsaved: 0,
            failing: None,
            answers: VecDeque::new(),
        }
    }

    /// Bytes that a crash would lose now.
    pub(super) const fn unsaved(&self) -> usize {
        self.unsaved
    }

    /// Why the store cannot write, when it cannot.
    pub(super) fn failing(&self) -> Option<&str> {
        self.failing.as_deref()
    }

    /// The last record that is on disk with all before it.
    pub(super) fn committed(&self) -> u64 {
        self.waiting
            .front()
            .map_or(self.next_seq, |first| first.record.seq)
            .saturating_sub(1)
    }

    /// Takes in a record and gives it its number. Nothing is asked of a store that has just failed until [`Journal::retry`].
    pub(super) fn append(&mut self, mut record: Record, effects: &mut Vec<Effect>) {
        record.seq = self.next_seq;
        self.next_seq += 1;
        self.unsaved += record.size();
        let asked = self.failing.is_none();
        if asked {
            effects.push(Effect::Append(record.clone()));
        }
        self.waiting.push_back(Waiting { record, asked });
    }

    /// Says something as soon as everything appended so far is on disk: at once when it is.
    pub(super) fn when_saved(&mut self, answer: Effect, effects: &mut Vec<Effect>) {
        match self.waiting.back() {
            None => effects.push(answer),
            Some(last) => {
                let seq = last.record.seq;
                let to = recipient(&answer);
                let mut same = self.answers.iter_mut().rev().take_while(|(at, ..)| *at == seq);
                // The last one to the same connection: what is said to one stays in order.
                match same.find(|(_, known, _)| recipient(known) == to) {
                    Some((_, known, times)) if *known == answer => *times = times.saturating_add(1),
                    _ => self.answers.push_back((seq, answer, 1)),
                }
            }
        }
    }

    pub(super) fn on_committed(&mut self, seq: u64) -> Released {
        let mut released = Released::default();
        let before = self.waiting.len();
        while let Some(first) = self
            .waiting
            .front()
            .filter(|first| first.asked && first.record.seq <= seq)
        {
            self.unsaved = self.unsaved.saturating_sub(first.record.size());
            self.waiting.pop_front();
        }
        if self.waiting.len() == before {
            return released;
        }
        released.recovered = self.failing.take().is_some();
        let saved = self.committed();
        let ready = self.answers.iter().take_while(|(seq, ..)| *seq <= saved).count();
        for (_, answer, times) in self.answers.drain(..ready) {
            released
                .effects
                .extend(std::iter::repeat_n(answer, times as usize));
        }
        if released.recovered {
            self.retry(&mut released.effects);
        }
        released
    }

    /// Notes a failure. Returns whether it is news.
    pub(super) fn on_failed(&mut self, seq: u64, reason: String) -> bool {
        if !self.waiting.iter().any(|waiting| waiting.record.seq >= seq) {
            return false;
        }
        for waiting in self
            .waiting
            .iter_mut()
            .filter(|waiting| waiting.record.seq >= seq)
        {
            waiting.asked = false;
        }
        self.failing.replace(reason).is_none()
    }

    /// Asks the store again for everything that it failed to write, and for what came since.
    pub(super) fn retry(&mut self, effects: &mut Vec<Effect>) {
        for waiting in self.waiting.iter_mut().filter(|waiting| !waiting.asked) {
            waiting.asked = true;
            effects.push(Effect::Append(waiting.record.clone()));
        }
    }
}

/// Whom an effect speaks to.
const fn recipient(effect: &Effect) -> Option<(ConnId, Part)> {
    match effect {
        Effect::Send { to, part, .. } => Some((*to, *part)),
        Effect::Broadcast { .. } | Effect::Append(_) | Effect::Close { .. } => None,
    }
}
