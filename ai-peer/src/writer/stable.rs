//! Which part of a growing Markdown text will not change its look any more: whole words, no mark left open.

use std::ops::Range;

use super::script;

/// A mark that stays open for longer is taken for the character that it is.
const PATIENCE: usize = 240;

/// A growing text, given out in pieces that end after a word and outside of marks. Where a script puts no spaces between
/// words, every character is one.
#[derive(Debug, Default)]
pub struct StableText {
    text: String,
    /// How much of it was given out.
    given: usize,
    /// Where the scan for marks begins: a place outside of everything.
    base: usize,
}

impl StableText {
    /// Adds what has arrived.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// What is stable now and was not given out before.
    pub fn take(&mut self) -> &str {
        let end = self.stable_end();
        self.give(end)
    }

    /// The end has come. `complete`: the author said so, and everything is given out; else the last word may be half a
    /// word, and it is kept, with any mark that was not closed.
    pub fn finish(&mut self, complete: bool) -> &str {
        if !complete && script::is_whole_sentence(&self.text) {
            self.text.push('\n');
        }
        let end = if complete {
            self.text.trim_end().len()
        } else {
            self.stable_end()
        };
        self.give(end)
    }

    /// Takes back all after `end`, as far as it was not given out.
    pub fn truncate(&mut self, end: usize) {
        let end = (end.max(self.given)..=self.text.len()).find(|end| self.text.is_char_boundary(*end));
        self.text.truncate(end.unwrap_or(self.text.len()));
    }

    /// Everything that has arrived.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Everything that was given out.
    #[must_use]
    pub fn given(&self) -> &str {
        self.text.get(..self.given).unwrap_or_default()
    }

    /// Whether something has been given out.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.given > 0
    }

    fn give(&mut self, end: usize) -> &str {
        let piece = self.given..end.max(self.given);
        self.given = piece.end;
        self.text.get(piece).unwrap_or_default()
    }

    fn stable_end(&mut self) -> usize {
        let mut scan = Scan::default();
        let mut end = self.given;
        let mut base = self.base;
        for line in lines(&self.text, self.base) {
            let text = self.text.get(line.clone()).unwrap_or_default();
            let whole = self.text.as_bytes().get(line.end) == Some(&b'\n');
            if let Some(word) = scan.line(text, whole) {
                end = end.max(line.start + word);
            }
            if whole && scan.is_closed() {
                base = line.end + 1;
            }
        }
        self.base = base;
        if end == self.given {
            // Nothing for long: whatever it waits for, it does not come.
            let held = self.text.get(self.given..).unwrap_or_default();
            let limit = held
                .char_indices()
                .map(|(at, _)| at)
                .take_while(|at| *at <= PATIENCE)
                .last()
                .unwrap_or(0);
            if held.len() > PATIENCE && !scan.in_fence() {
                let words = held.get(..limit).unwrap_or_default();
                let cut = words.trim_end().rfind(char::is_whitespace).unwrap_or(limit);
                end = self.given + words.get(..cut).unwrap_or_default().trim_end().len();
                self.base = end;
            }
        }
        end
    }
}

/// The lines from `from` on, without their breaks.
fn lines(text: &str, from: usize) -> impl Iterator<Item = Range<usize>> {
    let mut start = Some(from);
    std::iter::from_fn(move || {
        let from = start?;
        let rest = text.get(from..)?;
        let end = rest.find('\n').map(|at| from + at);
        start = end.map(|end| end + 1);
        Some(from..end.unwrap_or(text.len()))
    })
}

/// What is open, from line to line.
#[derive(Debug, Default)]
struct Scan {
    fence: Option<String>,
    marks: Vec<Mark>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    /// A run of `*`, `_` or `~`.
    Emphasis(char, usize),
    /// A run of backticks: nothing within counts.
    Code(usize),
    /// A link's text, or its address.
    Bracket(char),
}

impl Scan {
    fn is_closed(&self) -> bool {
        self.fence.is_none() && self.marks.is_empty()
    }

    const fn in_fence(&self) -> bool {
        self.fence.is_some()
    }

    /// The end of the last stable word in a line, if there is one. `whole`: the line's break has arrived.
    fn line(&mut self, line: &str, whole: bool) -> Option<usize> {
        let trimmed = line.trim_start();
        if let Some(fence) = &self.fence {
            let closes = whole && trimmed.trim_end() == fence;
            if closes {
                self.fence = None;
            }
            return whole.then_some(line.len());
        }
        if let Some(fence) = fence_of(trimmed) {
            if !whole {
                return None;
            }
            self.marks.clear();
            self.fence = Some(fence);
            return Some(line.len());
        }
        let marker = line.len() - trimmed.len() + marker_len(trimmed);
        if trimmed.is_empty() || marker > line.len() - trimmed.len() {
            self.marks.clear(); // no mark reaches over a new paragraph or item
        }
        if trimmed.starts_with('|') && !whole {
            return None; // a row of a table
        }
        let content = line.get(marker..)?;
        self.words(content, whole).map(|end| marker + end)
    }

    /// The same for the words after the line's marker.
    fn words(&mut self, text: &str, whole: bool) -> Option<usize> {
        let mut stable = None;
        let mut chars = text.char_indices().peekable();
        let mut previous = ' ';
        while let Some((at, char)) = chars.next() {
            let word_ends = if char.is_whitespace() {
                !previous.is_whitespace()
            } else {
                script::is_unspaced(previous)
                    && !script::joins_next(previous)
                    && !script::joins_previous(char)
            };
            if word_ends && self.marks.is_empty() {
                stable = Some(at);
            }
            let mut run = 1;
            if matches!(char, '*' | '_' | '~' | '`') {
                while chars.next_if(|(_, next)| *next == char).is_some() {
                    run += 1;
                }
            }
            let next = chars.peek().map(|(_, next)| *next);
            if char == '\\' && next.is_some_and(|next| next.is_ascii_punctuation()) {
                chars.next();
                previous = 'x';
                continue;
            }
            self.mark(char, run, previous, next);
            previous = char;
        }
        if self.marks.is_empty() && script::is_complete_alone(previous) {
            stable = Some(text.len());
        }
        if whole && self.marks.is_empty() && !text.trim_end().is_empty() {
            stable = Some(text.trim_end().len());
        }
        stable
    }

    fn mark(&mut self, char: char, run: usize, previous: char, next: Option<char>) {
        if let Some(Mark::Code(open)) = self.marks.last() {
            if char == '`' && run == *open {
                self.marks.pop();
            }
            return;
        }
        let opens = next.is_none_or(|next| !next.is_whitespace());
        let closes = !previous.is_whitespace();
        match char {
            '`' => self.marks.push(Mark::Code(run)),
            '*' | '_' | '~' => self.emphasis(char, run, opens, closes, previous, next),
            '[' => self.marks.push(Mark::Bracket(']')),
            ']' if self.marks.last() == Some(&Mark::Bracket(']')) => {
                self.marks.pop();
                // Until the next character is there, an address may follow.
                if next.is_none_or(|next| next == '(') {
                    self.marks.push(Mark::Bracket(')'));
                }
            }
            ')' if self.marks.last() == Some(&Mark::Bracket(')')) => {
                self.marks.pop();
            }
            _ => {}
        }
    }

    fn emphasis(
        &mut self,
        char: char,
        mut run: usize,
        opens: bool,
        closes: bool,
        previous: char,
        next: Option<char>,
    ) {
        if char == '~' && run != 2 {
            return;
        }
        if char == '_' && previous.is_alphanumeric() && next.is_some_and(char::is_alphanumeric) {
            return;
        }
        while closes && run > 0 {
            match self.marks.last() {
                Some(Mark::Emphasis(open, len)) if *open == char && *len <= run => {
                    run -= len;
                    self.marks.pop();
                }
                Some(Mark::Emphasis(open, len)) if *open == char => {
                    let rest = len - run;
                    self.marks.pop();
                    self.marks.push(Mark::Emphasis(char, rest));
                    run = 0;
                }
                _ => break,
            }
        }
        if run > 0 && opens {
            self.marks.push(Mark::Emphasis(char, run));
        }
    }
}

/// The fence of a code block, if the line begins one.
fn fence_of(line: &str) -> Option<String> {
    ['`', '~'].into_iter().find_map(|char| {
        let fence: String = line.chars().take_while(|next| *next == char).collect();
        let info = line.get(fence.len()..).unwrap_or_default();
        (fence.len() >= 3 && (char == '~' || !info.contains('`'))).then_some(fence)
    })
}

/// The length of what makes a line a heading, an item or a quote, with the space after it. A marker alone is no word.
fn marker_len(line: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = line.get(at..).unwrap_or_default();
        let is_box = ["[ ] ", "[x] ", "[X] "].iter().any(|mark| rest.starts_with(mark));
        let token = rest.split(char::is_whitespace).next().unwrap_or_default();
        let len = match is_box {
            true => 3,
            false if is_marker(token) => token.len(),
            false => return at,
        };
        let after = rest.get(len..).unwrap_or_default();
        let space = after.len() - after.trim_start().len();
        at += len + space;
        if space == 0 {
            return at;
        }
    }
}

fn is_marker(token: &str) -> bool {
    let number = token.strip_suffix(['.', ')']).unwrap_or_default();
    matches!(token, "-" | "*" | "+" | ">")
        || (1..=6).contains(&token.len()) && token.chars().all(|char| char == '#')
        || (1..=9).contains(&number.len()) && number.chars().all(|char| char.is_ascii_digit())
}

#[cfg(test)]
mod tests;
