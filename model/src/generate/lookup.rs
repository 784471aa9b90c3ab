//! Prompt lookup: what is being written is often in the prompt already, when a text is corrected or summarised. What
//! followed there is a draft, and checking it costs little more than one token.
//!
//! A draft is tried when it is expected to save more than it costs. What a token more in a run costs is known for
//! each kind of device; how likely a draft's tokens are right is learned while an answer is written, for each kind of place
//! that drafts are taken from.

/// The longest match that is looked for; what agrees over so many tokens is nearly surely being copied.
const LONGEST: usize = 7;

/// Lengths of drafts: few, because each length is another shape of run.
const LENGTHS: [usize; 3] = [7, 3, 1];

/// A draft must be expected to save so many runs at least: what follows from it (choosing again where it is unsure) costs, too.
const LEAST_GAIN: f32 = 0.1;

/// After a copy went another way it may go on so many tokens later in the text that it is taken from.
const NEAR: usize = 8;

/// How much what was seen before still counts once there is more.
const OLD: f32 = 0.75;

/// With each token written, experience goes back by so much to what is usual: what did not work is tried again some time.
const FORGET: f32 = 0.004;

/// How often tokens were right.
#[derive(Debug, Clone, Copy)]
struct Record {
    right: f32,
    wrong: f32,
}

impl Record {
    fn share(self) -> f32 {
        self.right / (self.right + self.wrong)
    }

    fn add(&mut self, right: f32, wrong: f32) {
        self.right = self.right * OLD + right;
        self.wrong = self.wrong * OLD + wrong;
    }

    fn relax(&mut self, usual: Self) {
        self.right += (usual.right - self.right) * FORGET;
        self.wrong += (usual.wrong - self.wrong) * FORGET;
    }
}

const fn usually(right: f32, wrong: f32) -> Record {
    Record { right, wrong }
}

/// What is usual, by kind of place: the same 3 tokens, 4, 5 or 6, 7; and near where a copy was left.
const USUAL: [Record; 5] = [
    usually(1.0, 2.0),
    usually(1.5, 1.5),
    usually(2.5, 1.0),
    usually(4.0, 0.5),
    usually(1.5, 1.0),
];

/// The kind of a place near where a copy was left.
const RESUMED: usize = 4;

/// The kind of a place where so many tokens are the same, if it is worth anything.
const fn kind(same: usize) -> Option<usize> {
    match same {
        0..3 => None,
        3 => Some(0),
        4 => Some(1),
        5 | 6 => Some(2),
        _ => Some(3),
    }
}

/// How often the best two scores after a draft's token are too near each other to be trusted: usually one in twelve.
const USUALLY_UNSURE: Record = usually(1.0, 11.0);

/// A place that a draft was taken from.
#[derive(Debug, Clone, Copy)]
struct Source {
    kind: usize,
    from: usize,
}

/// A draft that may be tried.
#[derive(Debug, Clone, Copy)]
struct Best {
    source: Source,
    length: usize,
    /// Runs that it is expected to save.
    gain: f32,
}

/// Finds drafts in what was read and written.
#[derive(Debug)]
pub(crate) struct Lookup {
    text: Vec<u32>,
    cost: f32,
    records: [Record; 5],
    unsure: Record,
    drawn: Option<Source>,
    /// Where the last copy was left.
    left: Option<usize>,
}

impl Lookup {
    /// `cost`: what a token more in a run costs, as a share of a run of one.
    pub(crate) fn new(prompt: &[u32], cost: f32) -> Self {
        Self {
            text: prompt.to_vec(),
            cost: if cost.is_finite() {
                cost.clamp(0.02, 1.0)
            } else {
                1.0
            },
            records: USUAL,
            unsure: USUALLY_UNSURE,
            drawn: None,
            left: None,
        }
    }

    /// A token was written.
    pub(crate) fn push(&mut self, token: u32) {
        self.text.push(token);
        for (record, usual) in self.records.iter_mut().zip(USUAL) {
            record.relax(usual);
        }
        self.unsure.relax(USUALLY_UNSURE);
    }

    /// What may follow, at most `most` tokens; empty when nothing is known or worth trying. [`Self::judge`] it.
    pub(crate) fn draft(&mut self, most: usize) -> &[u32] {
        let best = self.best(most);
        self.drawn = best.map(|best| best.source);
        best.and_then(|Best { source, length, .. }| self.text.get(source.from..source.from + length))
            .unwrap_or_default()
    }

    /// Tokens that a step is expected to bring for the cost of one, if it tries the draft that there is; 1 if there is none.
    pub(crate) fn promise(&self, most: usize) -> f32 {
        self.best(most).map_or(1.0, |Best { length, gain, .. }| {
            let cost = (length as f32).mul_add(self.cost, 1.0);
            (cost + gain) / cost
        })
    }

    /// The draft that is expected to save most, if it saves enough.
    fn best(&self, most: usize) -> Option<Best> {
        let source = self.longest().or_else(|| self.near())?;
        let most = most.min(self.text.len() - source.from);
        LENGTHS
            .into_iter()
            .filter(|length| *length <= most)
            .map(|length| Best {
                source,
                length,
                gain: self.gain(source.kind, length),
            })
            .max_by(|a, b| a.gain.total_cmp(&b.gain))
            .filter(|best| best.gain > LEAST_GAIN)
    }

    /// Runs that a draft of so many tokens is expected to save.
    fn gain(&self, kind: usize, length: usize) -> f32 {
        let unsure = self.unsure.share();
        let right = self.records.get(kind).map_or(0.0, |record| record.share()) * (1.0 - unsure);
        let (mut reached, mut gain) = (1.0, 0.0);
        for _ in 0..length {
            gain -= reached * unsure; // such a token costs a run of its own
            reached *= right;
            gain += reached - self.cost;
        }
        gain
    }

    /// The place where most of the last tokens stand, the latest of equal ones: what was written last counts most.
    fn longest(&self) -> Option<Source> {
        let length = self.text.len();
        let mut best = (0, 0);
        for end in (1..length).rev() {
            let same = (0..LONGEST.min(end))
                .take_while(|back| self.text.get(end - 1 - back) == self.text.get(length - 1 - back))
                .count();
            if same > best.0 {
                best = (same, end);
                if same == LONGEST {
                    break;
                }
            }
        }
        Some(Source {
            kind: kind(best.0)?,
            from: best.1,
        })
    }

    /// Where the text goes on, shortly after the place where the last copy was left, as the answer does now: a word was
    /// put in, left out, or exchanged.
    fn near(&self) -> Option<Source> {
        let left = self.left?;
        let last = self.text.last()?;
        let window = self.text.get(left..(left + NEAR).min(self.text.len() - 1))?;
        let found = window.iter().position(|token| token == last)?;
        Some(Source {
            kind: RESUMED,
            from: left + found + 1,
        })
    }

    /// Of a draft of so many tokens, so many were right. `unsure`: the next was not found wrong, its scores were only too
    /// near each other.
    pub(crate) fn judge(&mut self, drafted: usize, right: usize, unsure: bool) {
        let Some(source) = self.drawn.take() else { return };
        let wrong = if right < drafted && !unsure { 1.0 } else { 0.0 };
        if let Some(record) = self.records.get_mut(source.kind) {
            record.add(right as f32, wrong);
        }
        // who copies surely copies where less is known, too, and the other way round
        if source.kind > 0
            && source.kind != RESUMED
            && let Some(record) = self.records.get_mut(source.kind - 1)
        {
            record.add(right as f32 / 2.0, wrong / 2.0);
        }
        let near_tie = if unsure { 1.0 } else { 0.0 };
        self.unsure.right = self.unsure.right.mul_add(0.95, near_tie);
        self.unsure.wrong = self.unsure.wrong.mul_add(0.95, right as f32 + 1.0 - near_tie);
        self.left = Some(source.from + right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COST: f32 = 0.15;

    #[test]
    fn what_followed_the_same_words_is_drafted() {
        let mut lookup = Lookup::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], COST);
        assert!(lookup.draft(8).is_empty(), "nothing is there twice");
        for token in [1, 2, 3] {
            lookup.push(token);
            assert!(lookup.draft(8).is_empty(), "three may be chance");
        }
        lookup.push(4);
        assert!((1.1..1.6).contains(&lookup.promise(8)), "{}", lookup.promise(8));
        assert_eq!(lookup.draft(8), [5], "a short one at first");
        lookup.judge(1, 1, false);
        lookup.push(5);
        assert_eq!(lookup.draft(8), [6, 7, 8]);
        assert_eq!(lookup.draft(2), [6], "lengths are few");
        assert_eq!(lookup.draft(8), [6, 7, 8]);
        lookup.judge(3, 3, false);
        for token in [6, 7, 8] {
            lookup.push(token);
        }
        assert_eq!(lookup.draft(20), [9, 10, 11, 12, 13, 1, 2], "it goes well");
        assert!((1.8..4.0).contains(&lookup.promise(20)), "{}", lookup.promise(20));
        assert_eq!(lookup.promise(0), 1.0, "nothing more is wanted");
    }

    #[test]
    fn a_copy_goes_on_after_a_word_that_was_exchanged() {
        let text: Vec<u32> = (1..40).collect();
        let mut lookup = Lookup::new(&text, COST);
        for token in 1..=7 {
            lookup.push(token);
        }
        let drafted = lookup.draft(9).to_vec();
        assert_eq!(drafted[..3], [8, 9, 10]);
        lookup.judge(drafted.len(), 2, false);
        for token in [8, 9, 99] {
            lookup.push(token);
        }
        assert!(lookup.draft(9).is_empty(), "the new word is nowhere");
        lookup.push(11);
        assert_eq!(lookup.draft(9)[..1], [12], "the one after the exchanged word");
    }

    /// Writes what agrees with no draft after matches of so many tokens; returns how many drafts were tried.
    fn tried(same: usize, cost: f32) -> usize {
        let phrase: Vec<u32> = (1..=same as u32).collect();
        let mut lookup = Lookup::new(&[&phrase[..], &[500; 8]].concat(), cost);
        let mut tried = 0;
        for round in 0..20u32 {
            for token in phrase.iter().copied().chain([1000 + round]) {
                lookup.push(token);
                let drafted = lookup.draft(8).len();
                if drafted > 0 {
                    tried += 1;
                    lookup.judge(drafted, 0, false);
                    lookup.left = None;
                }
            }
        }
        tried
    }

    #[test]
    fn wrong_drafts_are_soon_not_tried_any_more() {
        assert_eq!(tried(3, COST), 0);
        for (same, most) in [(4, 8), (9, 30)] {
            let tries = tried(same, COST);
            assert!(
                (1..=most).contains(&tries),
                "{same} the same: {tries} of 100 tries"
            );
        }
        assert_eq!(
            tried(9, 1.0),
            0,
            "where a token more costs as much as a run nothing is to be gained"
        );
        assert_eq!(tried(9, f32::NAN), 0);
    }

    #[test]
    fn scores_that_are_often_unsure_make_drafts_not_worth_it() {
        let mut lookup = Lookup::new(&[1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4], COST);
        let mut tries = 0;
        loop {
            let drafted = lookup.draft(3).len();
            if drafted == 0 || tries == 50 {
                break;
            }
            tries += 1;
            lookup.judge(drafted, 0, true);
        }
        assert!((1..20).contains(&tries), "{tries}");
    }

    proptest! {
        #[test]
        fn a_draft_stands_in_the_text_and_is_one_of_few_lengths(
            text in proptest::collection::vec(0u32..5, 0..60),
            more in proptest::collection::vec((0u32..5, 0usize..8, proptest::bool::ANY), 1..60),
            most in 0usize..12,
        ) {
            let mut lookup = Lookup::new(&text, 0.05);
            for (token, right, unsure) in more {
                lookup.push(token);
                let draft = lookup.draft(most).to_vec();
                prop_assert!(draft.len() <= most);
                if !draft.is_empty() {
                    prop_assert!(LENGTHS.contains(&draft.len()));
                    prop_assert!(lookup.text.windows(draft.len()).any(|window| window == draft));
                    lookup.judge(draft.len(), right.min(draft.len()), unsure);
                    prop_assert!(lookup.records.iter().all(|record| (0.0..=1.0).contains(&record.share())));
                }
            }
        }
    }
}
