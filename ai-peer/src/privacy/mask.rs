//! Placeholders for what is personal, and back.
//!
//! **Invariant.** For every text, unmasking what masking made gives the text again, however it is cut in between: whatever
//! looks like a placeholder in the text is masked itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use regex::Regex;

use super::find::{Found, Kind, PLACEHOLDER, find, find_all, join};

/// A piece of something personal that a cut has left is masked when it has at least so many characters.
const SHORTEST_PART: usize = 6;

static LIKE_PLACEHOLDER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(PLACEHOLDER).expect("the pattern is tested"));

/// What was replaced, and by what: the same thing by the same placeholder, as long as this lives.
#[derive(Debug, Clone, Default)]
pub struct Masks {
    placeholders: HashMap<(Kind, String), String>,
    originals: Arc<BTreeMap<String, String>>,
    counts: BTreeMap<Kind, usize>,
    /// Where a cut may have left a piece.
    whole: Vec<String>,
}

/// A masked text, and what of it was masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked {
    /// With placeholders.
    pub text: String,
    /// Kind, placeholder and what it stands for, in their order.
    pub spans: Vec<(Kind, String, String)>,
}

impl Masks {
    /// Takes note of what is personal in a text, so that it is masked wherever it stands, also where only a piece of it is left.
    pub fn learn(&mut self, text: &str) {
        for Found { range, kind } in find_all(text, &[]) {
            let value = text.get(range).unwrap_or_default();
            let cut = value.chars().count() >= SHORTEST_PART && kind != Kind::Text;
            if cut && !self.whole.iter().any(|known| known == value) {
                self.whole.push(value.to_owned());
            }
        }
    }

    /// Replaces everything personal. `names` are those that the document knows.
    pub fn mask(&mut self, text: &str, names: &[String]) -> Masked {
        self.learn(text); // what is found once is masked wherever it stands
        let mut found = find(text, names);
        found.extend(self.parts(text));
        let (mut masked, mut spans, mut end) = (String::with_capacity(text.len()), Vec::new(), 0);
        for Found { range, kind } in join(found) {
            let value = text.get(range.clone()).unwrap_or_default();
            let placeholder = self.placeholder(kind, value);
            masked.push_str(text.get(end..range.start).unwrap_or_default());
            masked.push_str(&placeholder);
            spans.push((kind, placeholder, value.to_owned()));
            end = range.end;
        }
        masked.push_str(text.get(end..).unwrap_or_default());
        Masked { text: masked, spans }
    }

    /// What is known, and beginnings and ends of it, where a text was cut in it.
    fn parts(&self, text: &str) -> Vec<Found> {
        let mut parts = Vec::new();
        for value in &self.whole {
            let cuts: Vec<usize> = value.char_indices().map(|(at, _)| at).collect();
            let longest = cuts.len().saturating_sub(SHORTEST_PART);
            // The longest piece first: what it covers need not be looked for again.
            let ends = cuts.iter().take(longest + 1).filter_map(|at| value.get(*at..));
            let begins = cuts.iter().rev().take(longest).filter_map(|at| value.get(..*at));
            for pieces in [ends.collect::<Vec<_>>(), begins.collect()] {
                for piece in pieces {
                    let before = parts.len();
                    parts.extend(text.match_indices(piece).map(|(start, hit)| Found {
                        range: start..start + hit.len(),
                        kind: Kind::Part,
                    }));
                    if parts.len() > before {
                        break;
                    }
                }
            }
        }
        parts
    }

    fn placeholder(&mut self, kind: Kind, value: &str) -> String {
        let key = (kind, value.to_owned());
        if let Some(known) = self.placeholders.get(&key) {
            return known.clone();
        }
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let placeholder = format!("[{}_{count}]", kind.label());
        Arc::make_mut(&mut self.originals).insert(placeholder.clone(), value.to_owned());
        self.placeholders.insert(key, placeholder.clone());
        placeholder
    }

    /// Puts everything back at once.
    #[must_use]
    pub fn unmask(&self, text: &str) -> String {
        let mut unmasker = self.unmasker();
        let mut whole = unmasker.push(text);
        whole.push_str(&unmasker.finish());
        whole
    }

    /// Puts everything back while a text comes in. It knows what has been replaced until now.
    #[must_use]
    pub fn unmasker(&self) -> Unmasker {
        Unmasker {
            longest: self.originals.keys().map(String::len).max().unwrap_or_default(),
            originals: Arc::clone(&self.originals),
            held: String::new(),
        }
    }
}

/// Puts back what was replaced, in a text that comes in pieces. What may be the beginning of a placeholder waits for the rest.
#[derive(Debug)]
pub struct Unmasker {
    originals: Arc<BTreeMap<String, String>>,
    longest: usize,
    held: String,
}

impl Unmasker {
    /// Takes a piece; what can be said by now.
    pub fn push(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        let open = self.held.rfind('[').filter(|at| self.may_become(*at));
        let rest = self.held.split_off(open.unwrap_or(self.held.len()));
        let ready = std::mem::replace(&mut self.held, rest);
        self.restore(&ready)
    }

    /// The end: what still waits, as it is.
    pub fn finish(&mut self) -> String {
        let rest = std::mem::take(&mut self.held);
        self.restore(&rest)
    }

    /// Whether what begins at a bracket may become a placeholder.
    fn may_become(&self, at: usize) -> bool {
        let tail = self.held.get(at + 1..).unwrap_or_default();
        tail.len() + 1 < self.longest
            && tail
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    }

    fn restore(&self, text: &str) -> String {
        let original = |hit: &regex::Captures<'_>| {
            let hit = hit.get(0).map(|hit| hit.as_str()).unwrap_or_default();
            // Small models change the case.
            self.originals
                .get(&hit.to_ascii_uppercase())
                .cloned()
                .unwrap_or_else(|| hit.to_owned())
        };
        LIKE_PLACEHOLDER.replace_all(text, original).into_owned()
    }
}

#[cfg(test)]
mod tests;
