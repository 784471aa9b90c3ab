//! The same outline of a document from the specification's HTML and from a tree, to compare what they say.
//!
//! One token a line: block tags, and stretches of text with the set of marks they carry. Paragraph tags are left out:
//! HTML has none in tight lists, and the schema no tight lists.

use crdt::Node;
use serde_json::Value;

/// The outline of the specification's HTML; tags it does not know are text, as Markdown's raw HTML is here.
pub(crate) fn of_html(html: &str) -> String {
    let mut outline = Outline::default();
    let mut marks: Vec<String> = Vec::new();
    let mut verbatim = false;
    let mut rest = html;
    while !rest.is_empty() {
        let Some(tag) = rest
            .strip_prefix('<')
            .and_then(|inner| inner.split_once('>'))
            .map(|(tag, _)| tag)
        else {
            let next = rest.char_indices().skip(1).find(|(_, char)| *char == '<');
            let end = next.map_or(rest.len(), |(at, _)| at);
            outline.text(&decode(&rest[..end]), &marks, verbatim);
            rest = &rest[end..];
            continue;
        };
        rest = &rest[tag.len() + 2..];
        let (name, attributes) = tag
            .trim_end_matches(" /")
            .split_once(' ')
            .unwrap_or((tag.trim_end_matches(" /"), ""));
        let attribute = |wanted: &str| {
            let (_, after) = attributes.split_once(&format!("{wanted}=\""))?;
            Some(decode(after.split('"').next()?))
        };
        match name {
            "p" | "/p" => outline.end(),
            "em" | "strong" => marks.push(name.to_owned()),
            "code" if verbatim => outline.block(&format!("code {}", attribute("class").unwrap_or_default())),
            "code" => marks.push(name.to_owned()),
            "a" => marks.push(link(
                &attribute("href").unwrap_or_default(),
                attribute("title").as_deref(),
            )),
            "/code" if verbatim => {}
            "/em" | "/strong" | "/code" | "/a" => {
                marks.pop();
            }
            "pre" => verbatim = true,
            "/pre" => {
                verbatim = false;
                outline.block("/code");
            }
            "br" => outline.block("br"),
            "hr" => outline.block("hr"),
            "img" => outline.block(&image(
                &attribute("src").unwrap_or_default(),
                &attribute("alt").unwrap_or_default(),
                attribute("title").as_deref(),
            )),
            "ol" => outline.block(&format!(
                "ol {}",
                attribute("start").unwrap_or_else(|| "1".to_owned())
            )),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "ul" | "li" | "blockquote" | "/h1" | "/h2" | "/h3"
            | "/h4" | "/h5" | "/h6" | "/ol" | "/ul" | "/li" | "/blockquote"
                if !verbatim =>
            {
                outline.block(name);
            }
            _ => outline.text(&format!("<{tag}>"), &marks, verbatim),
        }
    }
    outline.finish()
}

/// The outline of a tree.
pub(crate) fn of_nodes(nodes: &[Node]) -> String {
    let mut outline = Outline::default();
    walk(nodes, &mut outline);
    outline.finish()
}

fn walk(nodes: &[Node], outline: &mut Outline) {
    for node in nodes {
        let tag = match node.kind.as_str() {
            "text" => {
                let marks: Vec<String> = node.marks.iter().map(mark).collect();
                outline.text(node.text.as_deref().unwrap(), &marks, false);
                continue;
            }
            "hardBreak" => {
                outline.block("br");
                continue;
            }
            "horizontalRule" => {
                outline.block("hr");
                continue;
            }
            "image" => {
                let attr = |name| node.str_attr(name).unwrap_or_default();
                outline.block(&image(attr("src"), attr("alt"), node.str_attr("title")));
                continue;
            }
            "codeBlock" => {
                let class = node
                    .str_attr("language")
                    .map(|language| format!("language-{language}"));
                outline.block(&format!("code {}", class.unwrap_or_default()));
                if let Some(text) = node.content.first() {
                    outline.text(&format!("{}\n", text.text.as_deref().unwrap()), &[], true);
                }
                outline.block("/code");
                continue;
            }
            "paragraph" => {
                outline.end();
                walk(&node.content, outline);
                outline.end();
                continue;
            }
            "heading" => format!("h{}", node.int_attr("level").unwrap()),
            "orderedList" => format!("ol {}", node.int_attr("start").unwrap()),
            "bulletList" => "ul".to_owned(),
            "listItem" => "li".to_owned(),
            other => other.to_owned(),
        };
        outline.block(&tag);
        walk(&node.content, outline);
        outline.block(&format!("/{}", tag.split(' ').next().unwrap()));
    }
}

fn mark(mark: &crdt::Mark) -> String {
    let attr = |name| mark.attrs.get(name).and_then(Value::as_str);
    match mark.kind.as_str() {
        "bold" => "strong".to_owned(),
        "italic" => "em".to_owned(),
        "link" => link(attr("href").unwrap(), attr("title")),
        other => other.to_owned(),
    }
}

fn link(href: &str, title: Option<&str>) -> String {
    format!("a {:?} {title:?}", unescape_url(href))
}

fn image(src: &str, alt: &str, title: Option<&str>) -> String {
    format!("img {:?} {alt:?} {title:?}", unescape_url(src))
}

/// The specification's HTML has its URLs percent-encoded.
fn unescape_url(url: &str) -> String {
    let bytes = url.as_bytes();
    let mut decoded = Vec::new();
    let mut index = 0;
    while index < bytes.len() {
        let hex = url
            .get(index + 1..index + 3)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[index], hex) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                index += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn decode(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}

#[derive(Default)]
struct Outline {
    lines: Vec<String>,
    text: String,
    marks: Vec<String>,
    inside_line: bool,
}

impl Outline {
    fn text(&mut self, text: &str, marks: &[String], verbatim: bool) {
        let mut marks = marks.to_vec();
        marks.sort();
        marks.dedup();
        if marks != self.marks {
            self.run();
            self.marks = marks;
        }
        if verbatim {
            self.text.push_str(text);
        } else if self.inside_line {
            self.text.push_str(&text.replace('\n', " "));
        } else {
            self.text
                .push_str(text.replace('\n', " ").trim_start_matches(' '));
        }
        self.inside_line |= !self.text.is_empty();
    }

    fn run(&mut self) {
        let text = std::mem::take(&mut self.text);
        if !text.is_empty() {
            self.lines.push(format!("{text:?} {}", self.marks.join(" ")));
        }
    }

    /// The line ends: what space is left there says nothing.
    fn end(&mut self) {
        if !self.text.ends_with("\n") {
            self.text.truncate(self.text.trim_end_matches(' ').len());
        }
        self.run();
        self.marks.clear();
        self.inside_line = false;
    }

    fn block(&mut self, tag: &str) {
        self.end();
        self.lines.push(format!("<{tag}>"));
    }

    fn finish(mut self) -> String {
        self.end();
        self.lines.join("\n")
    }
}
