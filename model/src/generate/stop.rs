//! When a generation ends, and a filter that lets no part of a stop string into the stream.
use serde::{Deserialize, Serialize};

/// When to end, besides the model's own end tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopCondition {
    /// Tokens to write at most.
    pub max_tokens: usize,
    /// Texts that end the answer and are not part of it. Empty ones are ignored.
    pub strings: Vec<String>,
    /// Tokens that end the answer, besides the model's own.
    #[serde(default)]
    pub tokens: Vec<u32>,
}

impl Default for StopCondition {
    fn default() -> Self {
        Self {
            max_tokens: 256,
            strings: Vec::new(),
            tokens: Vec::new(),
        }
    }
}

/// Holds back what may become a stop string until it is known to be none.
#[derive(Debug)]
pub struct StopFilter {
    strings: Vec<String>,
    held: String,
}

impl StopFilter {
    /// A filter for these strings.
    #[must_use]
    pub fn new(strings: &[String]) -> Self {
        let strings = strings.iter().filter(|text| !text.is_empty()).cloned().collect();
        Self {
            strings,
            held: String::new(),
        }
    }

    /// Takes more text. Returns what may be shown, and the stop string if one is now complete; the
    /// earliest in the text wins, at one place the longest. After that the filter is not used again.
    pub fn push(&mut self, text: &str) -> (String, Option<String>) {
        self.held.push_str(text);
        let found = self
            .strings
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()).map(|at| (at, stop)))
            .min_by_key(|(at, stop)| (*at, std::cmp::Reverse(stop.len())));
        if let Some((at, stop)) = found {
            let stop = stop.clone();
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), Some(stop));
        }
        let keep = self
            .strings
            .iter()
            .map(|stop| overlap(&self.held, stop))
            .max()
            .unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        (std::mem::replace(&mut self.held, rest), None)
    }

    /// The text that was held back and turned out to be no stop string, at the end of the answer.
    #[must_use]
    pub fn finish(self) -> String {
        self.held
    }
}

/// Length in bytes of the longest end of `text` that is a true beginning of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len().saturating_sub(1));
    (1..=longest)
        .rev()
        .find(|&n| {
            stop.is_char_boundary(n)
                && text.is_char_boundary(text.len() - n)
                && stop.get(..n).is_some_and(|start| text.ends_with(start))
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, Option<String>) {
        let stops: Vec<String> = stops.iter().map(|s| (*s).to_owned()).collect();
        let mut filter = StopFilter::new(&stops);
        let mut shown = vec![];
        for piece in pieces {
            let (text, stop) = filter.push(piece);
            shown.push(text);
            if stop.is_some() {
                return (shown, stop);
            }
        }
        shown.push(filter.finish());
        (shown, None)
    }

    #[test]
    fn a_stop_string_in_pieces_never_shows() {
        let (shown, stop) = run(&["\n\n##"], &["one\n", "\n", "#", "# two"]);
        assert_eq!(shown.concat(), "one");
        assert_eq!(shown, ["one", "", "", ""]);
        assert_eq!(stop.as_deref(), Some("\n\n##"));
    }

    #[test]
    fn what_was_held_back_comes_when_it_is_no_stop_string() {
        let (shown, stop) = run(&["<end>"], &["a <e", "nter> b"]);
        assert_eq!(shown, ["a ", "<enter> b", ""]);
        assert_eq!(stop, None);
        assert_eq!(run(&["<end>"], &["a <en"]).0.concat(), "a <en");
    }

    #[test]
    fn the_earliest_stop_string_wins() {
        assert_eq!(run(&["c", "ab"], &["xabc"]).0.concat(), "x");
        assert_eq!(run(&["a", "ab"], &["xab"]).1.as_deref(), Some("ab"));
    }

    proptest! {
        #[test]
        fn the_text_is_what_precedes_the_first_stop_string(
            text in "[ab\u{e9}]{0,24}",
            stop in "[ab\u{e9}]{1,4}",
            cuts in proptest::collection::vec(0usize..25, 0..6),
        ) {
            let chars: Vec<char> = text.chars().collect();
            let mut ends: Vec<usize> = cuts.into_iter().map(|c| c.min(chars.len())).collect();
            ends.push(chars.len());
            ends.sort_unstable();
            let mut start = 0;
            let mut pieces = vec![];
            for end in ends {
                pieces.push(chars[start..end].iter().collect::<String>());
                start = end;
            }
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let (shown, found) = run(&[&stop], &pieces);
            match text.find(&stop) {
                Some(at) => {
                    prop_assert_eq!(shown.concat(), &text[..at]);
                    prop_assert_eq!(found, Some(stop));
                }
                None => {
                    prop_assert_eq!(shown.concat(), text);
                    prop_assert_eq!(found, None);
                }
            }
        }
    }
}
