//! Markdown into [`Node`] trees that fit the schema.

use pulldown_cmark::{CodeBlockKind, Event, LinkType, Options, Parser, Tag, TagEnd};

use super::MAX_DEPTH;
use super::frame::{Frame, Kind, closed};
use super::runs::{Piece, blocks_of, html_piece, html_text};
use super::shape::{add_to_alt, image, language};
use crate::node::{Mark, Node, sort_marks};

/// Reads Markdown. Any string is read: what is no markup is text. The trees fit the schema: a list item begins with a
/// paragraph, a quote or cell is never empty, images are blocks.
#[must_use]
pub fn parse(markdown: &str) -> Vec<Node> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let clean;
    let markdown = if markdown.contains(['\r', '\0']) {
        clean = markdown
            .replace("\r\n", "\n")
            .replace('\r', "\n")
            .replace('\0', "\u{fffd}");
        &clean
    } else {
        markdown
    };
    let mut builder = Builder {
        frames: vec![Frame::new(Kind::Root, 0)],
        ..Builder::default()
    };
    for event in Parser::new_ext(markdown, options) {
        builder.event(event);
    }
    builder.finish()
}

#[derive(Debug, Default)]
struct Builder {
    frames: Vec<Frame>,
    marks: Vec<Mark>,
    /// The text of an open code or HTML block.
    verbatim: Option<String>,
    language: Option<String>,
    /// Open images, innermost last: their content is their description.
    images: Vec<Node>,
}

impl Builder {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text(&text),
            Event::Html(html) => self.text(&html),
            Event::Code(code) => {
                self.marks.push(Mark::new("code"));
                self.text(&code);
                self.marks.pop();
            }
            Event::InlineHtml(html) => {
                if self.images.is_empty() {
                    let marks = self.current_marks();
                    self.piece(html_piece(&html, marks));
                } else {
                    self.text(&html);
                }
            }
            Event::SoftBreak => self.text(" "),
            Event::HardBreak if self.images.is_empty() => {
                self.piece(Piece::Node(Node::element("hardBreak", Vec::new())));
            }
            Event::HardBreak => self.text(" "),
            Event::Rule => self.block(Node::element("horizontalRule", Vec::new())),
            Event::TaskListMarker(done) => match self.frames.last_mut() {
                Some(Frame {
                    kind: Kind::Item { checked },
                    ..
                }) => *checked = Some(done),
                _ => self.text(if done { "[x] " } else { "[ ] " }),
            },
            // Not enabled: shown as they were written.
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.text(&text);
            }
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::BlockQuote(_) => self.open_nested(Kind::Quote),
            Tag::List(start) => self.open_nested(Kind::List { start }),
            Tag::Item => {
                let within_list = matches!(
                    self.frames.last(),
                    Some(Frame {
                        kind: Kind::List { .. },
                        ..
                    })
                );
                self.open(if within_list {
                    Kind::Item { checked: None }
                } else {
                    Kind::Through
                });
            }
            Tag::Table(_) => self.open(Kind::Table),
            Tag::TableHead => self.open(Kind::Row { header: true }),
            Tag::TableRow => self.open(Kind::Row { header: false }),
            Tag::TableCell => {
                let header = matches!(
                    self.frames.last(),
                    Some(Frame {
                        kind: Kind::Row { header: true },
                        ..
                    })
                );
                self.open(Kind::Cell { header });
            }
            Tag::CodeBlock(kind) => {
                self.flush();
                self.verbatim = Some(String::new());
                self.language = match kind {
                    CodeBlockKind::Fenced(info) => language(&info),
                    CodeBlockKind::Indented => None,
                };
            }
            Tag::HtmlBlock => {
                self.flush();
                self.verbatim = Some(String::new());
            }
            Tag::Emphasis => self.marks.push(Mark::new("italic")),
            Tag::Strong => self.marks.push(Mark::new("bold")),
            Tag::Strikethrough => self.marks.push(Mark::new("strike")),
            Tag::Link {
                link_type,
                dest_url,
                title,
                ..
            } => {
                let scheme = if link_type == LinkType::Email {
                    "mailto:"
                } else {
                    ""
                };
                self.marks
                    .push(Mark::link(&format!("{scheme}{dest_url}"), Some(&title)));
            }
            Tag::Image { dest_url, title, .. } => self.images.push(image(&dest_url, "", &title)),
            Tag::Paragraph | Tag::Heading { .. } => self.flush(),
            // Not enabled: their content is read as if they were not there.
            Tag::FootnoteDefinition(_)
            | Tag::DefinitionList
            | Tag::DefinitionListTitle
            | Tag::DefinitionListDefinition
            | Tag::Superscript
            | Tag::Subscript
            | Tag::MetadataBlock(_) => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::BlockQuote(_)
            | TagEnd::List(_)
            | TagEnd::Item
            | TagEnd::Table
            | TagEnd::TableHead
            | TagEnd::TableRow
            | TagEnd::TableCell => self.close(),
            TagEnd::Paragraph => self.flush(),
            TagEnd::Heading(level) => self.heading(level as u8),
            TagEnd::CodeBlock => self.code_block(),
            TagEnd::HtmlBlock => {
                let html = self.verbatim.take().unwrap_or_default();
                if let Some(block) = html_text(&html) {
                    self.block(block);
                }
            }
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough | TagEnd::Link => {
                self.marks.pop();
            }
            TagEnd::Image => {
                if let Some(image) = self.images.pop() {
                    match self.images.last_mut() {
                        // An image within a description adds its own description to it.
                        Some(outer) => add_to_alt(outer, image.str_attr("alt").unwrap_or_default()),
                        None => self.piece(Piece::Node(image)),
                    }
                }
            }
            TagEnd::FootnoteDefinition
            | TagEnd::DefinitionList
            | TagEnd::DefinitionListTitle
            | TagEnd::DefinitionListDefinition
            | TagEnd::Superscript
            | TagEnd::Subscript
            | TagEnd::MetadataBlock(_) => {}
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(verbatim) = &mut self.verbatim {
            verbatim.push_str(text);
        } else if let Some(image) = self.images.last_mut() {
            add_to_alt(image, text);
        } else if !text.is_empty() {
            let marks = self.current_marks();
            self.piece(Piece::Node(Node::text(text, marks)));
        }
    }

    /// The open marks, each kind once: emphasis within emphasis says nothing more.
    fn current_marks(&self) -> Vec<Mark> {
        let mut marks: Vec<Mark> = Vec::new();
        for mark in &self.marks {
            if marks.iter().all(|known| known.kind != mark.kind) {
                marks.push(mark.clone());
            }
        }
        sort_marks(&mut marks);
        marks
    }

    fn piece(&mut self, piece: Piece) {
        if let Some(frame) = self.frames.last_mut() {
            frame.pieces.push(piece);
        }
    }

    fn block(&mut self, block: Node) {
        self.flush();
        if let Some(frame) = self.frames.last_mut() {
            frame.blocks.push(block);
        }
    }

    /// Makes paragraphs, and images between them, of the inline content so far.
    fn flush(&mut self) {
        if let Some(frame) = self.frames.last_mut()
            && !frame.pieces.is_empty()
        {
            let pieces = std::mem::take(&mut frame.pieces);
            frame.blocks.extend(blocks_of(pieces));
        }
    }

    fn open(&mut self, kind: Kind) {
        self.flush();
        let depth = self.frames.last().map_or(0, Frame::depth_within);
        self.frames.push(Frame::new(kind, depth));
    }

    fn open_nested(&mut self, kind: Kind) {
        let depth = self.frames.last().map_or(0, Frame::depth_within);
        self.open(if depth < MAX_DEPTH { kind } else { Kind::Through });
    }

    fn close(&mut self) {
        self.flush();
        if self.frames.len() > 1
            && let Some(frame) = self.frames.pop()
            && let Some(parent) = self.frames.last_mut()
        {
            parent.blocks.extend(closed(frame));
        }
    }

    fn heading(&mut self, level: u8) {
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        let (mut inline, mut images) = (Vec::new(), Vec::new());
        for block in blocks_of(std::mem::take(&mut frame.pieces)) {
            match block.kind.as_str() {
                "image" => images.push(block),
                _ => {
                    if !inline.is_empty() {
                        crate::node::push_inline(&mut inline, Node::text(" ", Vec::new()));
                    }
                    for node in block.content {
                        crate::node::push_inline(&mut inline, node);
                    }
                }
            }
        }
        // A heading of images alone is the images.
        if !inline.is_empty() || images.is_empty() {
            frame
                .blocks
                .push(Node::element("heading", inline).with_attr("level", level));
        }
        frame.blocks.extend(images);
    }

    fn code_block(&mut self) {
        let mut code = self.verbatim.take().unwrap_or_default();
        if code.ends_with('\n') {
            code.pop();
        }
        let content = if code.is_empty() {
            Vec::new()
        } else {
            vec![Node::text(code, Vec::new())]
        };
        let language = self.language.take();
        self.block(Node::element("codeBlock", content).with_attr("language", language));
    }

    fn finish(mut self) -> Vec<Node> {
        while self.frames.len() > 1 {
            self.close();
        }
        self.flush();
        self.frames.pop().map(|frame| frame.blocks).unwrap_or_default()
    }
}
