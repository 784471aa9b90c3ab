//! From a stream of tokens to the text of a proposal: no preamble, no quotation marks around it, whole words, and an end
//! at the end of a sentence.

pub mod preamble;
pub mod stable;

use preamble::Preamble;
use stable::StableText;

/// What the answer to a prompt should look like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Form {
    /// It may begin with an announcement or be put in quotation marks, which are no part of it.
    pub bare: bool,
    /// Bytes after which it ends with the sentence or line. 0: when the model ends it.
    pub enough: usize,
}

/// Whether more of the answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Yes.
    More,
    /// It has come to a good end.
    Enough,
    /// It is as long as a proposal may be.
    Full,
}

/// Turns one answer into the text of a proposal.
#[derive(Debug)]
pub struct Writer {
    form: Form,
    limit: usize,
    preamble: Preamble,
    /// The mark that ends the answer, if it began with one.
    quote: Option<char>,
    /// Such a mark at the end of what has arrived, with the space after it.
    tail: String,
    begun: bool,
    stable: StableText,
    flow: Flow,
}

impl Writer {
    /// A writer for an answer of that form and at most `limit` bytes.
    #[must_use]
    pub fn new(form: Form, limit: usize) -> Self {
        let preamble = if form.bare {
            Preamble::default()
        } else {
            Preamble::none()
        };
        Self {
            form,
            limit,
            preamble,
            quote: None,
            tail: String::new(),
            begun: false,
            stable: StableText::default(),
            flow: Flow::More,
        }
    }

    /// Takes what the model wrote.
    pub fn push(&mut self, text: &str) -> Flow {
        if self.flow == Flow::More {
            let text = self.preamble.push(text);
            self.add(&text);
        }
        self.flow
    }

    /// The words that are ready and were not taken before.
    pub fn take(&mut self) -> &str {
        self.stable.take()
    }

    /// The last words. `complete`: the model ended the answer, it was not cut short.
    pub fn finish(&mut self, complete: bool) -> &str {
        if self.flow == Flow::More {
            let rest = self.preamble.finish();
            self.add(&rest);
        }
        self.stable
            .finish(complete && self.flow != Flow::Full || self.flow == Flow::Enough)
    }

    /// Whether any word was taken.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.stable.has_begun()
    }

    /// Whether it was cut because it is as long as a proposal may be.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.flow == Flow::Full
    }

    /// All that was taken.
    #[must_use]
    pub fn text(&self) -> &str {
        self.stable.given()
    }

    fn add(&mut self, text: &str) {
        let mut text = text;
        let opening;
        if !self.begun {
            let rest = text.trim_start();
            if rest.is_empty() {
                return self.remember_space(text);
            }
            opening = self.open(text.len() > rest.len(), rest);
            text = &opening;
            self.begun = true;
        }
        let from = self.stable.text().len();
        if let Some(quote) = self.quote {
            if self.add_quoted(quote, text) {
                self.flow = Flow::Enough;
                return;
            }
        } else {
            self.stable.push(text);
        }
        if let Some(end) = self.good_end(from) {
            self.stable.truncate(end);
            self.flow = Flow::Enough;
        } else if self.stable.text().len() > self.limit {
            self.stable.truncate(self.limit);
            self.flow = Flow::Full;
        }
    }

    /// A space before the first word says that it is a new word; line breaks say no more.
    fn remember_space(&mut self, space: &str) {
        if !space.is_empty() && self.stable.text().is_empty() && !self.form.bare {
            self.stable.push(" ");
        }
    }

    /// The beginning of the answer without the quotation mark around it.
    fn open(&mut self, spaced: bool, rest: &str) -> String {
        let closing = rest.chars().next().and_then(|char| match char {
            '"' => Some('"'),
            '“' => Some('”'),
            _ => None,
        });
        if self.form.bare && closing.is_some() {
            self.quote = closing;
            return rest.chars().skip(1).collect();
        }
        if spaced {
            self.remember_space(" ");
        }
        rest.to_owned()
    }

    /// Adds to an answer in quotation marks; whether it has ended, with a closing mark at the end of a line.
    fn add_quoted(&mut self, quote: char, text: &str) -> bool {
        self.tail.push_str(text);
        let text = std::mem::take(&mut self.tail);
        if let Some(end) = text.find(&format!("{quote}\n")) {
            self.stable.push(text.get(..end).unwrap_or_default());
            return true;
        }
        let inner = text.trim_end().strip_suffix(quote).map_or(text.len(), str::len);
        self.stable.push(text.get(..inner).unwrap_or_default());
        text.get(inner..).unwrap_or_default().clone_into(&mut self.tail);
        false
    }

    /// The end of the first sentence or line after there is enough.
    fn good_end(&self, from: usize) -> Option<usize> {
        if self.form.enough == 0 {
            return None;
        }
        let text = self.stable.text();
        let from = floor(text, from.saturating_sub(4).max(self.form.enough));
        let mut ended = false;
        for (at, char) in text.get(from..)?.char_indices() {
            if char == '\n' || ended && char.is_whitespace() {
                return Some(from + at);
            }
            let closes = matches!(char, '"' | '”' | '’' | ')' | '*' | '_');
            ended = matches!(char, '.' | '!' | '?' | '…' | '。') || ended && closes;
        }
        None
    }
}

/// The nearest place before that cuts no character.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(form: Form, limit: usize, text: &str) -> (String, Flow) {
        let mut writer = Writer::new(form, limit);
        let mut flow = Flow::More;
        let mut out = String::new();
        for char in text.chars() {
            flow = writer.push(&char.to_string());
            out.push_str(writer.take());
        }
        out.push_str(writer.finish(flow == Flow::More));
        assert_eq!(out, writer.text());
        (out, flow)
    }

    fn bare(text: &str) -> String {
        run(
            Form {
                bare: true,
                enough: 0,
            },
            1000,
            text,
        )
        .0
    }

    #[test]
    fn an_answer_is_freed_of_what_is_around_it() {
        assert_eq!(bare(" Sure, here it is:\n\n\"The cat sat.\" "), "The cat sat.");
        assert_eq!(bare("“She said ‘no’.”\n\nI changed two words."), "She said ‘no’.");
        assert_eq!(bare("\"Yes\" is what he said."), "Yes\" is what he said.");
        assert_eq!(bare("\n\nThe cat."), "The cat.");
    }

    #[test]
    fn a_continuation_keeps_the_space_it_begins_with() {
        let run = |text| run(Form::default(), 1000, text).0;
        assert_eq!(run(" sat on"), " sat on");
        assert_eq!(run("ting on"), "ting on");
        assert_eq!(run("\n\nThe"), " The");
        assert_eq!(run("\"Sure:\" he said"), "\"Sure:\" he said");
    }

    #[test]
    fn it_ends_with_a_sentence_once_there_is_enough() {
        let form = Form {
            bare: false,
            enough: 6,
        };
        assert_eq!(
            run(form.clone(), 1000, "One. Two three. Four."),
            ("One. Two three.".into(), Flow::Enough)
        );
        assert_eq!(
            run(form.clone(), 1000, "- one\n- two three\n- four"),
            ("- one\n- two three".into(), Flow::Enough)
        );
        assert_eq!(
            run(form.clone(), 1000, "He said \"go on.\" Then"),
            ("He said \"go on.\"".into(), Flow::Enough)
        );
        assert_eq!(
            run(form, 1000, "Version 1.2.3 is"),
            ("Version 1.2.3 is".into(), Flow::More)
        );
    }

    #[test]
    fn it_never_grows_beyond_its_limit() {
        let (text, flow) = run(Form::default(), 16, "äöü äöü äöü äöü äöü äöü");
        assert_eq!((text.as_str(), flow), ("äöü äöü", Flow::Full));
    }
}
