//! Which marks can be written with delimiters where they stand, and which need tags.

use crate::node::Mark;

/// Marks overlap in a document and nest in Markdown.
#[derive(Debug)]
pub(super) enum Span<'a> {
    Text(&'a str),
    Code(&'a str),
    Break,
    /// `html`: written as tags, because its delimiters would not be understood where they stand.
    Mark {
        mark: &'a Mark,
        inner: Vec<Self>,
        html: bool,
    },
}

/// What stands around spans, for [`choose`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Around {
    /// The characters beside them, none at a line's edge.
    pub before: Option<char>,
    pub after: Option<char>,
    /// Three stars that opened two marks at once stand somewhere before them.
    in_stars: bool,
    /// Stars stand just before them, so that more stars are one run with them.
    at_stars: bool,
}

/// Decides which marks are tags.
///
/// Delimiters open a mark if a letter or digit follows them, or if a space or punctuation stands before them (and close it
/// the other way round): a little stricter than CommonMark's "flanking", so it holds for characters of any script. Of three
/// stars that opened two marks one or two are left when the inner mark ends, and then stars must not look as if they closed
/// the outer.
pub(super) fn choose(spans: &mut [Span<'_>], around: Around) {
    let edges: Vec<_> = spans
        .iter()
        .map(|span| (outer_edge(span, true), outer_edge(span, false)))
        .collect();
    for (index, span) in spans.iter_mut().enumerate() {
        let Span::Mark { mark, inner, html } = span else {
            continue;
        };
        let stars = is_stars(mark);
        let before = index
            .checked_sub(1)
            .and_then(|left| edges.get(left))
            .map_or(around.before, |(_, end)| *end);
        let after = edges.get(index + 1).map_or(around.after, |(begin, _)| *begin);
        let within = if stars {
            Around {
                before,
                after,
                in_stars: true,
                at_stars: true,
            }
        } else {
            Around {
                before: Some('~'),
                after: Some('~'),
                in_stars: around.in_stars,
                at_stars: false,
            }
        };
        choose(inner, within);
        if stars || mark.kind == "strike" {
            let first = inner.first().and_then(|span| inner_edge(span, stars, true));
            let last = inner.last().and_then(|span| inner_edge(span, stars, false));
            let one_run = around.at_stars && index == 0;
            let closes = stars && around.in_stars && !one_run && could_close(before, first);
            *html = closes || !(flanks(first, before) && flanks(last, after));
        } else {
            *html = mark.kind == "underline";
        }
    }
}

/// Whether stars between these characters could be understood as closing.
fn could_close(before: Option<char>, after: Option<char>) -> bool {
    let open = before.is_some_and(char::is_whitespace);
    // Before a break's `<br>` there is none, and its `>` is punctuation.
    let hinge =
        before.is_none_or(|char| char.is_ascii_punctuation()) && after.is_some_and(char::is_alphanumeric);
    !(open || hinge)
}

fn flanks(inside: Option<char>, outside: Option<char>) -> bool {
    let inside_is_word = inside.is_some_and(char::is_alphanumeric);
    let inside_is_space = inside.is_none_or(char::is_whitespace);
    let outside_is_open = outside.is_none_or(|char| char.is_whitespace() || char.is_ascii_punctuation());
    inside_is_word || (outside_is_open && !inside_is_space)
}

fn is_stars(mark: &Mark) -> bool {
    matches!(mark.kind.as_str(), "bold" | "italic")
}

/// The first or last character of a span, as its neighbour sees it; markup is punctuation, and so is what may be written
/// as an entity.
pub(super) fn outer_edge(span: &Span<'_>, first: bool) -> Option<char> {
    let Span::Text(text) = span else {
        return text_edge(span, first);
    };
    let alone = text.chars().nth(1).is_none();
    text_edge(span, first).map(|char| {
        let entity = (char.is_control() && char != '\t') || (alone && char.is_whitespace());
        if entity { ';' } else { char }
    })
}

/// The first or last character within delimiters. Stars within stars are one run, so it is what stands in those.
fn inner_edge(span: &Span<'_>, stars: bool, first: bool) -> Option<char> {
    match span {
        Span::Mark {
            mark,
            inner,
            html: false,
        } if stars && is_stars(mark) => {
            let edge = if first { inner.first() } else { inner.last() };
            edge.and_then(|span| inner_edge(span, stars, first))
        }
        _ => text_edge(span, first),
    }
}

fn text_edge(span: &Span<'_>, first: bool) -> Option<char> {
    match span {
        Span::Text(text) if first => text.chars().next(),
        Span::Text(text) => text.chars().next_back(),
        Span::Code(_) | Span::Mark { .. } => Some('*'),
        Span::Break => None,
    }
}
