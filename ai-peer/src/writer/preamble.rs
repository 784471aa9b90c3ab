//! Takes away what small models put before the answer ("Sure, here is the text you asked for:").

/// How an answer begins that may be none yet, in lower case.
const OPENERS: [&str; 16] = [
    "sure",
    "certainly",
    "of course",
    "absolutely",
    "okay",
    "here is",
    "here's",
    "here are",
    "below is",
    "below are",
    "the following is",
    "the rewritten",
    "rewritten",
    "revised",
    "the summary",
    "summary:",
];

/// Longer than this is no preamble.
const LONGEST: usize = 140;

/// Holds an answer back until it is known whether it begins with a preamble.
#[derive(Debug, Default)]
pub struct Preamble {
    held: String,
    passed: bool,
}

impl Preamble {
    /// For answers that are to be taken as they are.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            held: String::new(),
            passed: true,
        }
    }

    /// Takes more of the answer; returns what belongs to it for certain.
    pub fn push(&mut self, text: &str) -> String {
        if self.passed {
            return text.to_owned();
        }
        self.held.push_str(text);
        loop {
            let answer = self.held.trim_start();
            let lower = answer.to_lowercase();
            if lower.is_empty() || OPENERS.iter().any(|opener| opener.starts_with(&lower)) {
                return String::new();
            }
            if !OPENERS.iter().any(|opener| begins_with(&lower, opener)) {
                return self.pass();
            }
            let line = answer.split('\n').next().unwrap_or_default();
            let ended = line.len() < answer.len();
            let colon = line.find(": ").filter(|at| *at <= LONGEST);
            let after = match colon {
                Some(at) => at + 1,
                None if ended && is_preamble(line) => line.len(),
                None if ended || line.len() > LONGEST => return self.pass(),
                None => return String::new(),
            };
            self.held = answer.get(after..).unwrap_or_default().to_owned();
        }
    }

    /// The answer has ended: the rest.
    pub fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        self.passed = true;
        if is_preamble(held.trim()) {
            String::new()
        } else {
            held
        }
    }

    fn pass(&mut self) -> String {
        self.passed = true;
        std::mem::take(&mut self.held)
    }
}

/// Whether a text begins with these words, and not only with their letters.
fn begins_with(text: &str, words: &str) -> bool {
    let after = text.strip_prefix(words);
    after.is_some_and(|after| {
        words.ends_with(':')
            || !after.starts_with(|char: char| char.is_alphanumeric() || matches!(char, '-' | '\'' | '’'))
    })
}

/// Whether a whole line announces what follows.
fn is_preamble(line: &str) -> bool {
    let line = line.trim_end().trim_end_matches('*');
    line.ends_with(':')
        || line.split_whitespace().count() <= 3 && line.ends_with(['!', ',']) && !line.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> String {
        let mut preamble = Preamble::default();
        let mut out: String = text
            .chars()
            .map(|char| preamble.push(&char.to_string()))
            .collect();
        out.push_str(&preamble.finish());
        out.trim().to_owned()
    }

    #[test]
    fn announcements_are_taken_away() {
        assert_eq!(
            run("Sure! Here is the rewritten text:\n\nThe cat sat."),
            "The cat sat."
        );
        assert_eq!(run("Sure!\nHere's a summary:\nCats sit."), "Cats sit.");
        assert_eq!(run("Here are some ideas: a, b"), "a, b");
        assert_eq!(run(" Summary: it rained"), "it rained");
        assert_eq!(run("Here is the text:"), "");
    }

    #[test]
    fn answers_are_left_alone() {
        for text in [
            "Surely not.",
            "Surely: the river bends.",
            "Sure-footed: that is what goats are.\nMore.",
            "Okayama: a city.",
            "Revisedly: no.",
            "The cat sat: on a mat.",
            "Here is where the river bends, and nobody has ever seen it otherwise.\nMore.",
            "Sure",
            "Summaries help.",
            "He",
        ] {
            assert_eq!(run(text), text);
        }
    }

    #[test]
    fn only_what_may_be_a_preamble_is_held_back() {
        let mut preamble = Preamble::default();
        assert_eq!(preamble.push(" Th"), "");
        assert_eq!(preamble.push("at"), " That");
        assert_eq!(preamble.push(" Sure: "), " Sure: ");
        assert_eq!(Preamble::none().push("Sure:"), "Sure:");
    }
}
