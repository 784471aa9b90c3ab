//! From a stream of tokens to the text of a proposal: no preamble, no quotation marks around it, whole words, and an end
//! at the end of a sentence.

pub mod preamble;
pub mod script;
pub mod stable;

use preamble::Preamble;
use stable::StableText;

/// What the answer to a prompt should look like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Form {
    /// It may begin with an announcement or be put in quotation marks, which are no part of it.
    pub bare: bool,
    /// It is to begin with a quotation mark, as what it stands for does: such a mark is part of it.
    pub quoted: bool,
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
    /// What began with a quotation mark, until it is known whether the mark is around the whole answer.
    held: Option<Quotation>,
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
            held: None,
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
            if let Some(held) = self.held.take() {
                self.show(held.unwrapped());
            }
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
        if self.begun {
            return self.show_or_hold(text);
        }
        let rest = text.trim_start();
        if rest.is_empty() {
            return self.remember_space(text);
        }
        self.begun = true;
        if text.len() > rest.len() {
            self.remember_space(" ");
        }
        if self.form.bare && !self.form.quoted {
            self.held = Quotation::begin(rest);
        }
        self.show_or_hold(rest);
    }

    /// Holds back what may be an answer in quotation marks, and shows everything else.
    fn show_or_hold(&mut self, text: &str) {
        let Some(held) = &mut self.held else {
            return self.show(text);
        };
        held.text.push_str(text);
        if !held.may_be_around_it_all() {
            let text = self.held.take().map(|held| held.text).unwrap_or_default();
            self.show(&text);
        }
    }

    fn show(&mut self, text: &str) {
        let from = self.stable.text().len();
        self.stable.push(text);
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

    /// The end of the first sentence or line after there is enough.
    fn good_end(&self, from: usize) -> Option<usize> {
        if self.form.enough == 0 {
            return None;
        }
        let text = self.stable.text();
        // A sentence's end and what closes it may have come in the piece before.
        let from = floor(text, from.saturating_sub(LONGEST_END).max(self.form.enough));
        let (mut ended, mut alone) = (false, false);
        for (at, char) in text.get(from..)?.char_indices() {
            let closes = script::closes(char);
            if char == '\n'
                || ended && (char.is_whitespace() || alone && !closes && !script::ends_sentence(char))
            {
                return Some(from + at);
            }
            alone = script::ends_sentence_alone(char) || alone && closes;
            ended = script::ends_sentence(char) || ended && closes;
        }
        None
    }
}

/// Bytes of the longest end of a sentence that is looked for: a full stop and two closing marks.
const LONGEST_END: usize = 9;

/// So many bytes are held back at most to see whether quotation marks are around them.
const LONGEST_QUOTATION: usize = 2000;

/// An answer that began with a quotation mark.
#[derive(Debug)]
struct Quotation {
    text: String,
    closing: char,
}

impl Quotation {
    /// An empty one that is to hold this beginning, if it is a quotation.
    fn begin(text: &str) -> Option<Self> {
        let closing = text.chars().next().and_then(script::closing_quote)?;
        Some(Self {
            text: String::new(),
            closing,
        })
    }

    /// What stands between the marks and after the closing one, once that is there.
    fn parts(&self) -> Option<(&str, &str)> {
        let inner = self.text.get(self.text.chars().next()?.len_utf8()..)?;
        inner.split_once(self.closing)
    }

    /// Whether the first closing mark may still turn out to be the end of the answer.
    fn may_be_around_it_all(&self) -> bool {
        match self.parts() {
            Some((_, after)) => after.trim().is_empty(),
            None => self.text.len() <= LONGEST_QUOTATION,
        }
    }

    /// The answer has ended: without the marks, if they are around all of it.
    fn unwrapped(&self) -> &str {
        match self.parts() {
            Some((inner, _)) => inner,
            None => &self.text,
        }
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
                ..Form::default()
            },
            1000,
            text,
        )
        .0
    }

    #[test]
    fn an_answer_is_freed_of_what_is_around_it() {
        assert_eq!(bare(" Sure, here it is:\n\n\"The cat sat.\" "), "The cat sat.");
        assert_eq!(bare("“She said ‘no’.”"), "She said ‘no’.");
        assert_eq!(bare("「行く。」"), "行く。");
        assert_eq!(bare("\n\nThe cat."), "The cat.");
    }

    #[test]
    fn a_quotation_that_is_part_of_the_answer_stays() {
        for text in [
            "\"Yes\" is what he said.",
            "\"Go,\" she said. \"Go now.\"",
            "“Go away.”\n\n“No.”",
            "\"The cat sat",
            "\"\" and \"\"",
        ] {
            assert_eq!(bare(text), text);
        }
        let form = Form {
            bare: true,
            quoted: true,
            enough: 0,
        };
        assert_eq!(run(form, 1000, "\"Go.\"").0, "\"Go.\"");
        let long = format!("\"{}", "word ".repeat(450));
        assert_eq!(
            run(
                Form {
                    bare: true,
                    ..Form::default()
                },
                9000,
                &long
            )
            .0,
            long.trim_end()
        );
    }

    #[test]
    fn a_sentence_ends_without_a_space_where_the_script_has_none() {
        let form = |enough| Form {
            enough,
            ..Form::default()
        };
        assert_eq!(
            run(form(20), 1000, "雨が降る。「行こう。」と彼は言った。次"),
            ("雨が降る。「行こう。」".into(), Flow::Enough)
        );
        assert_eq!(
            run(form(9), 1000, "他去哪里？！我不知道"),
            ("他去哪里？！".into(), Flow::Enough)
        );
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
            enough: 6,
            ..Form::default()
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
