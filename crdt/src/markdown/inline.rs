//! A line's texts, breaks and marks into Markdown.

use super::delimiters::{Around, Span, choose, outer_edge};
use super::escape::{Place, code_span, destination, text};
use super::hug::run_length;
use crate::node::{Mark, Node};

/// Marks from the outside in, where they are equally long.
const NESTING: [&str; 5] = ["link", "underline", "strike", "bold", "italic"];

/// Where a line stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Line {
    /// A paragraph, which may have several lines.
    Paragraph,
    /// A heading.
    Heading,
    /// A table's cell.
    Cell,
}

/// Normalised inline nodes as Markdown.
pub(super) fn inline(nodes: &[Node], line: Line) -> String {
    let mut spans = tree(nodes, &[]);
    choose(&mut spans, Around::default());
    let mut printer = Printer {
        out: String::new(),
        line,
        stars_end: None,
        in_brackets: false,
    };
    printer.spans(&spans, None);
    printer.out
}

/// An image on a line.
pub(super) fn image(node: &Node, in_table: bool) -> String {
    let alt = text(
        node.str_attr("alt").unwrap_or_default(),
        Place {
            begins_line: true,
            ends_line: true,
            in_brackets: true,
            in_table,
            ..Place::default()
        },
    );
    let destination = destination(
        node.str_attr("src").unwrap_or_default(),
        node.str_attr("title"),
        in_table,
    );
    format!("![{alt}]({destination})")
}

/// Nests the marks: at each place the one that goes on longest is outside.
fn tree<'a>(nodes: &'a [Node], open: &[&str]) -> Vec<Span<'a>> {
    let mut spans = Vec::new();
    let mut rest = nodes;
    while let Some(node) = rest.first() {
        let Some(words) = &node.text else {
            spans.push(Span::Break);
            rest = rest.get(1..).unwrap_or_default();
            continue;
        };
        let outermost = NESTING
            .iter()
            .rev()
            .filter(|kind| !open.contains(*kind))
            .filter_map(|kind| node.marks.iter().find(|mark| mark.kind == **kind))
            .map(|mark| (run_length(rest, |node| node.marks.contains(mark)), mark))
            .max_by_key(|(length, _)| *length); // the last of equals: that is why NESTING is reversed
        let length = match outermost {
            Some((length, mark)) => {
                let mut open = open.to_vec();
                open.push(&mark.kind);
                let inner = tree(rest.get(..length).unwrap_or_default(), &open);
                spans.push(Span::Mark {
                    mark,
                    inner,
                    html: false,
                });
                length
            }
            None => {
                let code = node.marks.iter().any(|mark| mark.kind == "code");
                spans.push(if code {
                    Span::Code(words)
                } else {
                    Span::Text(words)
                });
                1
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    spans
}

struct Printer {
    out: String,
    line: Line,
    /// Where stars were closed last: stars opened at the same place would be one run with them.
    stars_end: Option<usize>,
    in_brackets: bool,
}

impl Printer {
    /// `after`: what follows the spans on their line, if anything.
    fn spans(&mut self, spans: &[Span<'_>], after: Option<char>) {
        for (index, span) in spans.iter().enumerate() {
            let after = spans.get(index + 1).map_or(after, |next| outer_edge(next, true));
            match span {
                Span::Text(words) => self.text(words, after.is_none()),
                Span::Code(code) => self.code(code),
                Span::Break => self.line_break(index + 1 == spans.len()),
                Span::Mark { mark, inner, html } => self.mark(mark, inner, *html, after),
            }
        }
    }

    fn text(&mut self, words: &str, ends_line: bool) {
        let place = Place {
            begins_line: self.begins_line(),
            ends_line,
            block_start: self.line == Line::Paragraph,
            in_brackets: self.in_brackets,
            in_table: self.line == Line::Cell,
        };
        self.out.push_str(&text(words, place));
    }

    fn begins_line(&self) -> bool {
        self.out.is_empty() || self.out.ends_with('\n')
    }

    fn code(&mut self, code: &str) {
        if let Some(span) = code_span(code, self.line == Line::Cell, self.in_brackets) {
            self.out.push_str(&span);
        } else {
            self.out.push_str("<code>");
            self.text(code, false);
            self.out.push_str("</code>");
        }
    }

    fn line_break(&mut self, last: bool) {
        // A backslash needs something before it and something after it.
        let backslash = self.line == Line::Paragraph && !last && !self.begins_line();
        self.out.push_str(if backslash { "\\\n" } else { "<br>" });
    }

    fn mark(&mut self, mark: &Mark, inner: &[Span<'_>], html: bool, after: Option<char>) {
        match mark.kind.as_str() {
            "link" => self.link(mark, inner),
            "bold" if !html && self.stars_end != Some(self.out.len()) => self.stars("**", inner, after),
            "italic" if !html && self.stars_end != Some(self.out.len()) => self.stars("*", inner, after),
            "strike" if !html => self.wrap("~~", inner, "~~"),
            "bold" => self.wrap("<strong>", inner, "</strong>"),
            "italic" => self.wrap("<em>", inner, "</em>"),
            "strike" => self.wrap("<del>", inner, "</del>"),
            _ => self.wrap("<u>", inner, "</u>"),
        }
    }

    fn stars(&mut self, stars: &str, inner: &[Span<'_>], after: Option<char>) {
        self.out.push_str(stars);
        self.spans(inner, after.or(Some('*')));
        self.out.push_str(stars);
        self.stars_end = Some(self.out.len());
    }

    fn wrap(&mut self, open: &str, inner: &[Span<'_>], close: &str) {
        self.out.push_str(open);
        self.spans(inner, Some('<'));
        self.out.push_str(close);
    }

    fn link(&mut self, mark: &Mark, inner: &[Span<'_>]) {
        let attr = |name| mark.attrs.get(name).and_then(serde_json::Value::as_str);
        let href = attr("href").unwrap_or_default();
        if let [Span::Text(words)] = inner
            && *words == href
            && attr("title").is_none()
            && is_plain_uri(href)
        {
            self.out.push_str(&format!("<{href}>"));
            return;
        }
        if self.out.ends_with('!') {
            self.out.pop();
            self.out.push_str("\\!"); // or it would be an image
        }
        self.out.push('[');
        let outer = std::mem::replace(&mut self.in_brackets, true);
        self.spans(inner, Some(']'));
        self.in_brackets = outer;
        self.out.push_str(&format!(
            "]({})",
            destination(href, attr("title"), self.line == Line::Cell)
        ));
    }
}

/// Whether `<…>` makes a link of it.
fn is_plain_uri(href: &str) -> bool {
    ["https://", "http://"]
        .iter()
        .any(|scheme| href.starts_with(scheme))
        && href
            .chars()
            .all(|char| char.is_ascii_graphic() && !matches!(char, '<' | '>' | '|' | '\\'))
}
