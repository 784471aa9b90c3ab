//! What the model is shown of a document: the place that a request is about and the visible text around it, as much of
//! it as can be read in good time.

use std::time::Duration;

use crdt::anchor::{Anchor, ContextLimits, Resolved};
use crdt::margin::{Base, Request};
use yrs::{Doc, ReadTxn, Transact};

use crate::writer::script::{self, is_whole_sentence};

/// The surroundings get at least this many tokens, however slow the model is.
pub const MIN_TOKENS: usize = 160;

/// No token has more characters than this in running text, so that nothing is cut here that would have fitted.
const CHARS_PER_TOKEN: usize = 8;

/// No token has more bytes than this in any text that somebody would ask about.
const LONGEST_TOKEN: usize = 32;

/// A request's place in the body, and the text there.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// The place as it is now.
    pub anchor: Anchor,
    /// A caret at its end.
    pub caret: Anchor,
    /// The body that all of this was read from.
    pub base: Base,
    /// What stands there and around it.
    pub setting: Setting,
}

/// What stands at a place and around it: visible text only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Setting {
    /// The document's title.
    pub title: String,
    /// The headings that the place is under, the highest first.
    pub headings: Vec<String>,
    /// The text before it.
    pub before: String,
    /// The text after it.
    pub after: String,
    /// What is selected, as Markdown; empty for a caret.
    pub selection: String,
}

/// Why there is nothing to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unseen {
    /// The text that the request is about has not arrived here.
    NotYet,
    /// It has been deleted.
    Gone,
}

/// Looks at the place that a request is about, with at most `tokens` of surroundings a side. `patient`: the items that it
/// names may still arrive, so nothing else is taken for them.
///
/// # Errors
/// [`Unseen`], when there is no such place.
pub fn look(body: &Doc, request: &Request, tokens: usize, patient: bool) -> Result<Scene, Unseen> {
    let txn = body.transact();
    if patient && !has_arrived(&request.anchor, &txn) {
        return Err(Unseen::NotYet);
    }
    let limits = ContextLimits {
        before: tokens * CHARS_PER_TOKEN,
        after: tokens * CHARS_PER_TOKEN,
    };
    let found = match request.anchor.resolve(&txn) {
        Resolved::Found(found) => found,
        Resolved::Ambiguous | Resolved::Detached => return Err(Unseen::Gone),
    };
    let context = request.anchor.context(&txn, limits).ok_or(Unseen::Gone)?;
    let anchor = if found.moved || found.stale {
        Anchor::for_range(&txn, found.range.clone())
    } else {
        request.anchor.clone()
    };
    Ok(Scene {
        caret: if found.range.is_empty() {
            anchor.clone()
        } else {
            Anchor::for_caret(&txn, found.range.end)
        },
        anchor,
        base: Base::of(&txn),
        setting: Setting {
            title: context.title.unwrap_or_default().trim().to_owned(),
            headings: context.headings.into_iter().map(|heading| heading.text).collect(),
            before: context.before,
            after: context.after,
            selection: crdt::markdown::write(&context.selection).trim().to_owned(),
        },
    })
}

/// Whether the items that an anchor names have arrived: body and margin travel on links of their own.
pub fn has_arrived<T: ReadTxn>(anchor: &Anchor, txn: &T) -> bool {
    let state = txn.state_vector();
    [&anchor.start, &anchor.end].into_iter().all(|position| {
        [position.item, position.parent]
            .into_iter()
            .flatten()
            .filter_map(crdt::anchor::ItemId::to_yrs)
            .all(|id| state.get(&id.client) > id.clock)
    })
}

/// How many tokens a prompt may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// What the model can take, with its answer.
    pub window: usize,
    /// What it can read in good time; only surroundings are cut to this, never what is asked about.
    pub quick: usize,
}

impl Budget {
    /// The budget for a model with a context of `context` tokens that leaves room for an answer of `answer` tokens, reads
    /// `speed` tokens a second and can read `patience` long.
    #[must_use]
    pub fn new(context: usize, speed: f64, answer: usize, patience: Duration) -> Self {
        let quick = if speed.is_finite() {
            speed.max(0.0) * patience.as_secs_f64()
        } else {
            0.0
        };
        let window = context.saturating_sub(answer);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and a float too large becomes the largest number"
        )]
        let quick = quick as usize;
        Self {
            window,
            quick: quick.max(MIN_TOKENS).min(window),
        }
    }
}

/// The end of a text, at most `tokens` long, beginning with a sentence if that costs little, else with a word.
pub fn last_tokens(text: &str, tokens: usize, count: &dyn Fn(&str) -> usize) -> String {
    let end = at_most_end(text, tokens);
    let cut = usize::from(end.len() < text.len()); // where it was cut may be within a word
    let text = end.trim_start();
    let starts: Vec<usize> = word_starts(text).skip(cut).collect();
    // The first beginning from which the rest fits; counting is monotone enough to halve.
    let first = starts.partition_point(|start| count(text.get(*start..).unwrap_or_default()) > tokens);
    let Some(start) = starts.get(first).copied() else {
        return String::new();
    };
    let kept = text.get(start..).unwrap_or_default();
    if start == 0 {
        return kept.to_owned();
    }
    let sentence = word_starts(kept)
        .take_while(|at| *at <= kept.len() / 4)
        .find(|at| {
            let before = kept.get(..*at).unwrap_or_default();
            before.ends_with('\n') || is_whole_sentence(before)
        });
    kept.get(sentence.unwrap_or(0)..).unwrap_or_default().to_owned()
}

/// The end of a text that is steady while the text grows: it begins where the last one began as long as it is at most `most`
/// tokens long from there. When it has become too long it begins with a block and has room to grow.
pub fn steady_end(
    text: &str,
    tokens: usize,
    (begin, most): (&str, usize),
    count: &dyn Fn(&str) -> usize,
) -> String {
    let places = text.match_indices(begin).take(8).map(|(at, _)| at);
    let from_there = |at: usize| text.get(at..).unwrap_or_default();
    if let Some(at) = places.into_iter().find(|at| count(from_there(*at)) <= most) {
        return from_there(at).to_owned();
    }
    let kept = last_tokens(text, tokens - tokens / 4, count);
    let block = kept.find('\n').filter(|at| *at <= kept.len() / 2);
    match block {
        Some(at) if kept.len() < text.trim_start().len() => {
            kept.get(at..).unwrap_or_default().trim_start().to_owned()
        }
        _ => kept,
    }
}

/// The beginning of a text, at most `tokens` long, in whole words.
pub fn first_tokens(text: &str, tokens: usize, count: &dyn Fn(&str) -> usize) -> String {
    let start = at_most_start(text, tokens);
    let whole = (start.len() == text.len()).then_some(start.trim_end().len());
    let text = start.trim_end();
    let ends: Vec<usize> = word_starts(text).skip(1).chain(whole).collect();
    let fitting = ends.partition_point(|end| count(text.get(..*end).unwrap_or_default()) <= tokens);
    let end = fitting
        .checked_sub(1)
        .and_then(|last| ends.get(last).copied())
        .unwrap_or(0);
    text.get(..end).unwrap_or_default().trim_end().to_owned()
}

/// The end of a text that certainly has the last `tokens`, cut without counting them.
fn at_most_end(text: &str, tokens: usize) -> &str {
    let chars = tokens.saturating_mul(CHARS_PER_TOKEN).saturating_add(1);
    let start = text.char_indices().nth_back(chars - 1).map_or(0, |(at, _)| at);
    text.get(start..).unwrap_or_default()
}

/// The beginning of a text that certainly has the first `tokens`, cut without counting them.
fn at_most_start(text: &str, tokens: usize) -> &str {
    let chars = tokens.saturating_mul(CHARS_PER_TOKEN).saturating_add(1);
    let end = text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default()
}

/// The fewest tokens that a text can have.
#[must_use]
pub fn fewest_tokens(text: &str) -> usize {
    text.len() / LONGEST_TOKEN
}

/// Where words begin: after a space, or where a script has none, with each character.
fn word_starts(text: &str) -> impl Iterator<Item = usize> + '_ {
    let mut previous = ' ';
    text.char_indices().filter_map(move |(at, char)| {
        let breaks = previous.is_whitespace()
            || script::is_unspaced(previous)
                && !script::joins_next(previous)
                && !script::joins_previous(char);
        previous = char;
        (breaks && !char.is_whitespace()).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> usize {
        text.split_whitespace().count()
    }

    fn body(markdown: &str) -> Doc {
        let body = crdt::doc::open(1);
        crdt::content::fill(&body, &crdt::markdown::parse(markdown)).unwrap();
        let meta = crdt::doc::meta(&body);
        crdt::doc::set_title(&meta, &mut body.transact_mut(), " The flood ");
        body
    }

    fn request(anchor: &Anchor) -> Request {
        serde_json::from_value(serde_json::json!({"kind": "ask", "anchor": anchor, "state": "open"})).unwrap()
    }

    const TEXT: &str = "# Spring\n\nIt rained.\n\n## May\n\nThe **old bridge** fell.\n\nNobody saw it.";

    #[test]
    fn a_selection_is_seen_with_its_form_and_surroundings() {
        let body = body(TEXT);
        let anchor = Anchor::for_words(&body.transact(), "old bridge fell").unwrap();
        let scene = look(&body, &request(&anchor), 100, true).unwrap();
        assert_eq!(scene.anchor, anchor);
        assert!(scene.caret.is_caret());
        assert!(
            scene.caret.prefix.ends_with("old bridge fell"),
            "{:?}",
            scene.caret
        );
        let setting = scene.setting;
        assert_eq!(setting.title, "The flood");
        assert_eq!(setting.headings, ["Spring", "May"]);
        assert_eq!(setting.selection, "**old bridge** fell");
        assert!(
            setting.before.ends_with("It rained.\nMay\nThe "),
            "{:?}",
            setting.before
        );
        assert_eq!(setting.after, ".\nNobody saw it.");
    }

    #[test]
    fn a_place_that_has_changed_is_taken_as_it_is_now() {
        let body = body(TEXT);
        let anchor = Anchor::for_words(&body.transact(), "Nobody saw it.").unwrap();
        // The whole text is written anew: other ids, same words, and another sentence before.
        let again = crdt::markdown::parse(&TEXT.replace("It rained.", "It rained for days."));
        crdt::content::replace(&body, &again).unwrap();
        let scene = look(&body, &request(&anchor), 100, false).unwrap();
        assert_ne!(scene.anchor.start, anchor.start);
        assert_eq!(
            (scene.anchor.quote.as_str(), scene.setting.selection.as_str()),
            ("Nobody saw it.", "Nobody saw it.")
        );
        crdt::content::replace(&body, &crdt::markdown::parse("Something else.")).unwrap();
        assert_eq!(look(&body, &request(&anchor), 100, false), Err(Unseen::Gone));
    }

    #[test]
    fn what_has_not_arrived_is_waited_for() {
        let (there, here) = (body(TEXT), crdt::doc::open(2));
        let anchor = Anchor::for_words(&there.transact(), "It rained.").unwrap();
        let request = request(&anchor);
        assert_eq!(look(&here, &request, 100, true), Err(Unseen::NotYet));
        assert_eq!(look(&here, &request, 100, false), Err(Unseen::Gone));
    }

    #[test]
    fn a_long_text_is_cut_to_its_end() {
        assert_eq!(last_tokens("one two three", 5, &words), "one two three");
        assert_eq!(last_tokens("one two three ", 2, &words), "two three ");
        assert_eq!(
            last_tokens("one. two three four five six seven eight nine", 8, &words),
            "two three four five six seven eight nine"
        );
        assert_eq!(
            last_tokens("a zero one. Two three four five six seven eight", 9, &words),
            "Two three four five six seven eight"
        );
        assert_eq!(last_tokens("one two", 0, &words), "");
        assert_eq!(last_tokens("", 3, &words), "");
        assert_eq!(last_tokens("ü\n ö", 1, &words), "ö");
    }

    #[test]
    fn a_text_without_spaces_is_cut_between_characters() {
        let chars = |text: &str| text.chars().count();
        assert_eq!(last_tokens("雨が降る。次の日", 4, &chars), "次の日");
        assert_eq!(last_tokens("雨が降るので帰る", 3, &chars), "で帰る");
        assert_eq!(first_tokens("雨が降るので帰る", 3, &chars), "雨が降");
    }

    #[test]
    fn a_book_is_cut_before_it_is_counted() {
        let book = "word ".repeat(200_000);
        let longest = std::cell::Cell::new(0);
        let count = |text: &str| {
            longest.set(longest.get().max(text.len()));
            words(text)
        };
        assert_eq!(words(&last_tokens(&book, 100, &count)), 100);
        assert_eq!(words(&first_tokens(&book, 100, &count)), 100);
        assert!(longest.get() <= 101 * CHARS_PER_TOKEN, "{longest:?}");
        assert!(fewest_tokens(&book) > 10_000);
    }

    #[test]
    fn a_long_text_is_cut_to_its_beginning() {
        assert_eq!(first_tokens("one two three", 5, &words), "one two three");
        assert_eq!(first_tokens(" one two three", 2, &words), " one two");
        assert_eq!(first_tokens("one", 0, &words), "");
        assert_eq!(first_tokens("", 3, &words), "");
    }
}
