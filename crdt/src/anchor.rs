//! Anchors: the place in the text that a request or a proposal is about, found again whatever happens around it.

mod context;
mod outline;
mod position;
#[cfg(test)]
mod tests;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use yrs::ReadTxn;

pub use context::{Context, ContextLimits, Heading};
pub(crate) use context::{slice, slice_inline};
pub use outline::Outline;
pub(crate) use outline::{AsRefId, Block, PieceContent};
pub(crate) use position::Place;
pub use position::{ItemId, RelativePosition};

/// How much of the surroundings an anchor keeps, in UTF-16 units a side.
const SURROUNDINGS: usize = 32;

/// The least that part of the surroundings must have to place a caret, in UTF-16 units.
const MIN_HALF: usize = 8;

/// Occurrences of a quote that are looked at; with more it says nothing about the place.
const MAX_OCCURRENCES: usize = 256;

/// A range of the text, or a caret in it: two relative positions, and the words to find them by when their ids are gone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Anchor {
    /// The beginning. Sticks to the character after it, for a caret to the one before it.
    pub start: RelativePosition,
    /// The end. Sticks to the character before it.
    pub end: RelativePosition,
    /// The text between them; empty for a caret. Blocks are joined by `\n`.
    #[serde(default)]
    pub quote: String,
    /// Up to 32 UTF-16 units before it.
    #[serde(default)]
    pub prefix: String,
    /// Up to 32 UTF-16 units after it.
    #[serde(default)]
    pub suffix: String,
}

/// Where an anchor is now. Offsets are those of the [`Outline`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// The place was found.
    Found(Found),
    /// The ids are gone and the quote occurs several times alike.
    Ambiguous,
    /// The ids are gone and so are the words.
    Detached,
}

/// The place of an anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// UTF-16 offsets in the text of the [`Outline`].
    pub range: Range<usize>,
    /// What is there now.
    pub text: String,
    /// Whether that is not what the quote says.
    pub stale: bool,
    /// Whether it was found by its words, its ids being gone.
    pub moved: bool,
}

impl Anchor {
    /// An anchor for a range of the text, in UTF-16 offsets of [`Outline`]; an empty range is a caret.
    #[must_use]
    pub fn for_range<T: ReadTxn>(txn: &T, range: Range<usize>) -> Self {
        let outline = Outline::read(txn);
        let start = outline.whole_characters(range.start.min(outline.len()), false);
        let end = outline.whole_characters(range.end.clamp(start, outline.len()), true);
        let caret = start == end;
        Self {
            start: outline.position(txn, start, caret),
            end: outline.position(txn, end, true),
            quote: outline.slice(start..end),
            prefix: outline.slice(outline.whole_characters(start.saturating_sub(SURROUNDINGS), true)..start),
            suffix: outline
                .slice(end..outline.whole_characters((end + SURROUNDINGS).min(outline.len()), false)),
        }
    }

    /// An anchor for a caret.
    #[must_use]
    pub fn for_caret<T: ReadTxn>(txn: &T, offset: usize) -> Self {
        Self::for_range(txn, offset..offset)
    }

    /// An anchor for the first occurrence of some words.
    #[must_use]
    pub fn for_words<T: ReadTxn>(txn: &T, words: &str) -> Option<Self> {
        let text = Outline::read(txn).text();
        let start = text.get(..text.find(words)?)?.encode_utf16().count();
        Some(Self::for_range(txn, start..start + words.encode_utf16().count()))
    }

    /// Whether it is a place between characters and not a range.
    #[must_use]
    pub fn is_caret(&self) -> bool {
        self.quote.is_empty()
    }

    /// Finds the place in the body as it is now: by ids, else by its words.
    #[must_use]
    pub fn resolve<T: ReadTxn>(&self, txn: &T) -> Resolved {
        self.resolve_in(&Outline::read(txn), txn)
    }

    /// As [`Anchor::resolve`], in a text that was read within the same transaction.
    #[must_use]
    pub fn resolve_in<T: ReadTxn>(&self, outline: &Outline, txn: &T) -> Resolved {
        let by_ids = self.by_ids(outline, txn);
        let found = |range: Range<usize>, moved| {
            let text = outline.slice(range.clone());
            Resolved::Found(Found {
                stale: !self.is_caret() && text != self.quote,
                range,
                text,
                moved,
            })
        };
        if let Some(range) = &by_ids
            && (self.is_caret() || outline.slice(range.clone()) == self.quote)
        {
            return found(range.clone(), false);
        }
        match by_ids {
            Some(range) if !range.is_empty() => found(range, false), // changed since
            _ => match self.by_words(outline) {
                Ok(range) => found(range, true),
                Err(Lost::Ambiguous) => Resolved::Ambiguous,
                Err(Lost::Gone) => Resolved::Detached,
            },
        }
    }

    /// An occurrence of the quote that overlaps or touches a range: the only one that does.
    pub(crate) fn words_beside(&self, outline: &Outline, range: &Range<usize>) -> Option<Range<usize>> {
        let quote = units(&self.quote);
        let mut beside = occurrences(&outline.text, &quote)
            .map(|start| start..start + quote.len())
            .filter(|found| found.start <= range.end && range.start <= found.end);
        let first = beside.next()?;
        beside.next().is_none().then_some(first)
    }

    fn by_ids<T: ReadTxn>(&self, outline: &Outline, txn: &T) -> Option<Range<usize>> {
        let offset = |position: &RelativePosition, end| match position.resolve(txn) {
            Some(place) => outline.offset_of(txn, &place, end),
            // An empty body may not even know its root.
            None => (position.is_root() && outline.blocks.is_empty()).then_some(0),
        };
        let start = offset(&self.start, false)?;
        let end = offset(&self.end, true)?;
        if self.is_caret() {
            return Some(end..end);
        }
        Some(start..end.max(start))
    }

    fn by_words(&self, outline: &Outline) -> Result<Range<usize>, Lost> {
        let (quote, prefix, suffix) = (units(&self.quote), units(&self.prefix), units(&self.suffix));
        if self.is_caret() {
            return caret_by_words(&outline.text, &prefix, &suffix);
        }
        let mut best: Option<(usize, usize)> = None;
        let mut tied = false;
        for (count, start) in occurrences(&outline.text, &quote).enumerate() {
            if count >= MAX_OCCURRENCES {
                return Err(Lost::Ambiguous);
            }
            let before = outline.text.get(..start).unwrap_or_default();
            let after = outline.text.get(start + quote.len()..).unwrap_or_default();
            let score =
                common(before.iter().rev(), prefix.iter().rev()) + common(after.iter(), suffix.iter());
            match best {
                Some((most, _)) if score < most => {}
                Some((most, _)) if score == most => tied = true,
                _ => {
                    best = Some((score, start));
                    tied = false;
                }
            }
        }
        match best {
            None => Err(Lost::Gone),
            Some(_) if tied => Err(Lost::Ambiguous),
            Some((_, start)) => Ok(start..start + quote.len()),
        }
    }
}

/// Why words do not place an anchor.
enum Lost {
    Gone,
    Ambiguous,
}

/// A caret by what stood around it: all of it, else what stood before it, else what followed.
fn caret_by_words(text: &[u16], prefix: &[u16], suffix: &[u16]) -> Result<Range<usize>, Lost> {
    let whole: Vec<u16> = prefix.iter().chain(suffix).copied().collect();
    let mut lost = Lost::Gone;
    for (words, seam) in [(&*whole, prefix.len()), (prefix, prefix.len()), (suffix, 0)] {
        if words.len() < MIN_HALF {
            continue;
        }
        let mut found = occurrences(text, words);
        match (found.next(), found.next()) {
            (Some(start), None) => return Ok(start + seam..start + seam),
            (Some(_), Some(_)) => lost = Lost::Ambiguous,
            (None, _) => {}
        }
    }
    Err(lost)
}

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// How many items two sequences begin with in common.
fn common<'a>(a: impl Iterator<Item = &'a u16>, b: impl Iterator<Item = &'a u16>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}

/// Where `words` begins in `text`, overlaps included. Linear in both (Knuth, Morris and Pratt), so that no text and no
/// quote can hold up a relay.
fn occurrences<'a>(text: &'a [u16], words: &'a [u16]) -> impl Iterator<Item = usize> + 'a {
    // borders[i]: the longest proper beginning of words[..=i] that is also its end.
    let mut borders = vec![0_usize; words.len()];
    let mut matched = 0;
    for index in 1..words.len() {
        matched = extend(words, &borders, matched, words.get(index).copied());
        if let Some(border) = borders.get_mut(index) {
            *border = matched;
        }
    }
    let mut matched = 0;
    text.iter().enumerate().filter_map(move |(index, unit)| {
        if words.is_empty() {
            return None;
        }
        matched = extend(words, &borders, matched, Some(*unit));
        (matched == words.len()).then(|| {
            matched = borders.last().copied().unwrap_or(0);
            index + 1 - words.len()
        })
    })
}

fn extend(words: &[u16], borders: &[usize], mut matched: usize, unit: Option<u16>) -> usize {
    loop {
        if words.get(matched).copied() == unit {
            return matched + 1;
        }
        match matched.checked_sub(1) {
            Some(last) => matched = borders.get(last).copied().unwrap_or(0),
            None => return 0,
        }
    }
}
