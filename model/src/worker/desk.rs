//! The requests that are answered at the same time, and whose turn it is.
//!
//! A prompt is read in pieces, an answer written token by token; after each piece or token it is somebody else's turn. What
//! somebody waits for while typing is read first. Those that write do it together, in one run of the graph, where that works
//! and memory is there.
use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::adapted::Graphs;
use super::queue::Queue;
use crate::adapter::{Adapter, NOBODY};
use crate::engine::{Engine, Seat};
use crate::generate::answer::{Answer, End, Surroundings, Turned};
use crate::generate::job::Job;
use crate::generate::{GenerateError, Priority};

/// So many more than usual are answered at the same time if somebody waits for them while typing.
const MORE_TYPING: usize = 2;

/// So many pieces of prompts are read one after the other for who is typing, before those that write have a turn.
const MOST_PIECES: usize = 4;

/// Everybody who is being answered.
pub(super) struct Desk<'a> {
    graphs: Graphs<'a>,
    around: &'a Surroundings<'a>,
    answers: Vec<Answer<'a>>,
    most: usize,
    /// Pieces that were read since those that write had a turn.
    pieces: usize,
    /// Is told what the caches of an owner hold after an answer.
    note: &'a dyn Fn(&Engine, u64),
}

impl<'a> Desk<'a> {
    pub(super) fn new(
        graphs: Graphs<'a>,
        around: &'a Surroundings<'a>,
        most: usize,
        note: &'a dyn Fn(&Engine, u64),
    ) -> Self {
        Self {
            graphs,
            around,
            answers: Vec::new(),
            most: most.max(1),
            pieces: 0,
            note,
        }
    }

    /// Answers what comes until the queue is closed.
    pub(super) fn serve(&mut self, queue: &Queue<Job>) {
        loop {
            if self.answers.is_empty() {
                match queue.pop() {
                    Some(job) => self.admit(job),
                    None => return,
                }
            }
            while let Some(job) = queue.pop_now(|job| self.has_room_for(job)) {
                self.admit(job);
            }
            self.turn();
        }
    }

    /// Whether one more can be answered now.
    fn has_room_for(&self, job: &Job) -> bool {
        let count = self.answers.len();
        let longest = self.answers.iter().map(Answer::most_tokens).max().unwrap_or(0);
        let longest = longest.max(job.most_tokens());
        // who types may be one more than there is memory for
        let (most, rows) = if job.turn.priority == Priority::Typing {
            (self.most + MORE_TYPING, count)
        } else {
            (self.most, count + 1)
        };
        count == 0 || (count < most && self.graphs.has_room_for(rows, longest))
    }

    fn admit(&mut self, job: Job) {
        match self.graphs.of(job.adapter.as_deref()) {
            Ok(engine) => self.answers.extend(Answer::begin(job, engine, self.around)),
            Err(words) => {
                tracing::warn!(words, "an adapter cannot be put on");
                let _ = job.reader.blocking_send(Err(GenerateError::Adapter(words))); // it may have left
            }
        }
    }

    /// One piece of a prompt, a token for everybody who writes, or both.
    fn turn(&mut self) {
        for index in (0..self.answers.len()).rev() {
            if self.answers.get(index).is_some_and(Answer::is_left) {
                self.end(index, Ok(End::Left));
            }
        }
        let urgent = |(_, answer): &(usize, &Answer<'_>)| Reverse(answer.priority());
        let reading = self
            .answers
            .iter()
            .enumerate()
            .filter(|(_, answer)| answer.is_reading())
            .min_by_key(urgent);
        if let Some((index, answer)) = reading {
            let first = answer.priority() == Priority::Typing && self.pieces < MOST_PIECES;
            let others = self.answers.len() > 1;
            self.one(index, |answer, engine| answer.read(engine, others));
            if first {
                self.pieces += 1;
                return;
            }
        }
        self.pieces = 0;
        let writing = self.answers.iter().filter(|answer| !answer.is_reading());
        let mut owners: Vec<u64> = writing.map(owner).collect();
        owners.sort_unstable();
        owners.dedup();
        for owner in owners {
            self.write(owner);
        }
    }

    /// A token more for those who write with the same adapter, or none: one run can be theirs.
    fn write(&mut self, owner: u64) {
        let all = self.writing(owner);
        let works = all.len() > 1 && self.can_run_together(owner, &all);
        let (mut together, mut alone): (Vec<Seat>, Vec<Seat>) = all.iter().partition(|seat| {
            let answer = self
                .index_of(owner, **seat)
                .and_then(|index| self.answers.get(index));
            works && answer.is_some_and(|answer| !answer.prefers_alone(all.len()))
        });
        if together.len() < 2 {
            alone.append(&mut together);
        }
        for seat in alone {
            if let Some(index) = self.index_of(owner, seat) {
                self.one(index, |answer, engine| answer.write(engine));
            }
        }
        if !together.is_empty() {
            self.together(owner, &together);
        }
    }

    /// The seats of those who write with this adapter. Seats are told apart within one graph only.
    fn writing(&self, owner: u64) -> Vec<Seat> {
        let own = |answer: &&Answer<'_>| !answer.is_reading() && self::owner(answer) == owner;
        self.answers.iter().filter(own).map(Answer::seat).collect()
    }

    fn index_of(&self, owner: u64, seat: Seat) -> Option<usize> {
        let is_it = |answer: &Answer<'_>| self::owner(answer) == owner && answer.seat() == seat;
        self.answers.iter().position(is_it)
    }

    fn indices(&self, owner: u64, seats: &[Seat]) -> Vec<usize> {
        seats
            .iter()
            .filter_map(|seat| self.index_of(owner, *seat))
            .collect()
    }

    /// Whether these can write in one run.
    fn can_run_together(&mut self, owner: u64, seats: &[Seat]) -> bool {
        let group = self.indices(owner, seats);
        let members = group.iter().filter_map(|index| self.answers.get(*index));
        let longest = members.clone().map(Answer::most_tokens).max().unwrap_or(0);
        let adapter = members
            .map(|answer| answer.job().adapter.clone())
            .next()
            .flatten();
        let engine = self.graphs.of(adapter.as_deref());
        engine.is_ok_and(|engine| engine.has_room_for(seats.len(), longest) && engine.runs_together())
    }

    fn together(&mut self, owner: u64, seats: &[Seat]) {
        let group = self.indices(owner, seats);
        let first = group.first().and_then(|index| self.answers.get(*index));
        let adapter = first.and_then(|answer| answer.job().adapter.clone());
        let ran = match self.graphs.of(adapter.as_deref()) {
            Ok(engine) => caught(|| step_together(&mut self.answers, &group, engine)),
            Err(words) => Ok(Err(words)),
        };
        match ran {
            Ok(Ok(mut ended)) => {
                ended.sort_by_key(|(index, _)| Reverse(*index));
                for (index, end) in ended {
                    self.end(index, end);
                }
            }
            Ok(Err(words)) => self.fail(&group, &words),
            // the rows are gone with it, those of who rests, too
            Err(words) => self.fail(&self.indices(owner, &self.writing(owner)), &words),
        }
    }

    /// A turn of one answer alone.
    fn one(&mut self, index: usize, turn: impl FnOnce(&mut Answer<'a>, &mut Engine) -> Turned) {
        let Some(answer) = self.answers.get_mut(index) else {
            return;
        };
        let adapter = answer.job().adapter.clone();
        let engine = match self.graphs.of(adapter.as_deref()) {
            Ok(engine) => engine,
            Err(words) => return self.end(index, Err(words)),
        };
        match caught(|| turn(answer, engine)) {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(end))) => self.end(index, Ok(end)),
            Ok(Err(error)) => self.end(index, Err(error.to_string())),
            Err(words) => self.fail(&[index], &words),
        }
    }

    /// After a panic or an error that concerns several: their caches are emptied, and others go on. From the last to the first,
    /// because who has ended leaves the list.
    fn fail(&mut self, group: &[usize], words: &str) {
        let mut group = group.to_vec();
        group.sort_unstable_by_key(|index| Reverse(*index));
        for index in group {
            if let Some(answer) = self.answers.get(index)
                && let Some(engine) = self.graphs.opened(answer.job().adapter.as_deref())
                // whatever is there is not believed
                && (engine.sit(answer.seat()).is_err() || engine.reset().is_err())
            {
                tracing::error!("a cache could not be emptied");
            }
            self.end(index, Err(words.to_owned()));
        }
    }

    fn end(&mut self, index: usize, end: Result<End, String>) {
        if index >= self.answers.len() {
            return;
        }
        let answer = self.answers.remove(index);
        if let Err(words) = &end {
            tracing::warn!(words, "a generation failed");
        }
        if let Some(engine) = self.graphs.opened(answer.job().adapter.as_deref()) {
            engine.leave(answer.seat());
            (self.note)(engine, owner(&answer));
        }
        answer.end(end);
    }
}

/// Whose caches an answer uses.
fn owner(answer: &Answer<'_>) -> u64 {
    answer.job().adapter.as_deref().map_or(NOBODY, Adapter::owner)
}

type Ended = Vec<(usize, Result<End, String>)>;

/// One run for all of a group. Who ended, and how; an error is everybody's.
fn step_together(answers: &mut [Answer<'_>], group: &[usize], engine: &mut Engine) -> Result<Ended, String> {
    let begin = Instant::now();
    let mut next = Vec::with_capacity(group.len());
    for index in group {
        if let Some(answer) = answers.get_mut(*index) {
            next.push(answer.give_token(engine).map_err(|error| error.to_string())?);
        }
    }
    let places = engine.feed_together(&next).map_err(|error| error.to_string())?;
    let took = begin.elapsed();
    let mut ended = Vec::new();
    let mut unsure = Vec::new();
    for (place, index) in places.into_iter().zip(group) {
        let Some(answer) = answers.get_mut(*index) else {
            continue;
        };
        match answer.take_scores(engine, place, took) {
            Ok(Some(None)) => {}
            Ok(Some(Some(end))) => ended.push((*index, Ok(end))),
            Ok(None) => unsure.push(*index),
            Err(error) => ended.push((*index, Err(error.to_string()))),
        }
    }
    // last, because their runs take the scores of the others away
    for index in unsure {
        let Some(answer) = answers.get_mut(index) else {
            continue;
        };
        match answer.write_again(engine) {
            Ok(None) => {}
            Ok(Some(end)) => ended.push((index, Ok(end))),
            Err(error) => ended.push((index, Err(error.to_string()))),
        }
    }
    Ok(ended)
}

/// Runs something; a panic becomes an error in words.
fn caught<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| {
        let words = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("it panicked without words");
        tracing::error!(words, "a generation panicked");
        words.to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_in_words() {
        assert_eq!(caught(|| 7), Ok(7));
        let broke = caught(|| panic!("the {} broke", "graph"));
        assert_eq!(broke, Err::<(), _>("the graph broke".to_owned()));
    }
}
