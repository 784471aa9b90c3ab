//! Words within a line: the space between old and new ones, and the smallest change from one line to another.

use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::node::{Mark, Node, push_inline};

/// Longer lines are replaced as a whole: comparing them takes too long.
const MAX_WORDS: usize = 4_000;

/// A line's nodes as texts only: a line break within it becomes a space, other things are left out.
///
/// Breaking a `Y.XmlText` in two would write everybody's later words anew, under other ids.
pub(super) fn without_breaks(nodes: &[Node]) -> Vec<Node> {
    let mut texts = Vec::new();
    for node in nodes {
        if node.is_text() {
            push_inline(&mut texts, node.clone());
        } else if node.kind == "hardBreak" {
            push_inline(&mut texts, Node::text(" ", Vec::new()));
        }
    }
    texts
}

/// The text of inline nodes.
pub(super) fn text_of(nodes: &[Node]) -> String {
    nodes.iter().filter_map(|node| node.text.as_deref()).collect()
}

/// Puts the spaces around a text that goes in between two characters; `raw` is how its author began it.
pub(super) fn spaced(nodes: Vec<Node>, raw: &str, before: Option<char>, after: Option<char>) -> Vec<Node> {
    let text = text_of(&nodes);
    let (Some(first), Some(last)) = (text.chars().next(), text.chars().last()) else {
        return nodes;
    };
    let mut spaced = Vec::new();
    let apart = raw.starts_with(char::is_whitespace) || is_word(first) || "([{\"“‘«*_".contains(first);
    if before.is_some_and(ends_word) && !is_unspaced(first) && apart && !first.is_whitespace() {
        spaced.push(Node::text(" ", Vec::new()));
    }
    for node in nodes {
        push_inline(&mut spaced, node);
    }
    if after.is_some_and(|after| is_word(after) && !is_unspaced(after)) && ends_word(last) {
        push_inline(&mut spaced, Node::text(" ", Vec::new()));
    }
    spaced
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric()
}

/// Whether a word that follows needs a space: not after a space, an opening bracket or a dash.
fn ends_word(char: char) -> bool {
    !char.is_whitespace() && !is_unspaced(char) && !"([{“‘«-–—/\u{FFFC}".contains(char)
}

/// Scripts that are written without spaces: CJK, kana, Thai, Lao, Khmer, Burmese.
fn is_unspaced(char: char) -> bool {
    matches!(u32::from(char), 0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x2E80..=0xA4CF | 0xF900..=0xFAFF
        | 0xFE30..=0xFE4F | 0xFF00..=0xFFEF | 0x20000..=0x3FFFF)
}

/// One change of a line: what of the old is left out, and what comes in its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Edit {
    /// UTF-16 units from the beginning of the old line.
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) insert: Vec<Node>,
}

/// The smallest change of words from one line to another, or `None` for lines too long to compare.
pub(super) fn edits(old: &[Node], new: &[Node]) -> Option<Vec<Edit>> {
    let (old, new) = (words(old), words(new));
    if old.len().max(new.len()) > MAX_WORDS {
        return None;
    }
    let mut ends = vec![0];
    for word in &old {
        ends.push(ends.last().copied().unwrap_or(0) + word.text.encode_utf16().count());
    }
    let at = |word: usize| ends.get(word).copied().unwrap_or(0);
    let mut edits = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, &old, &new) {
        if matches!(op, DiffOp::Equal { .. }) {
            continue;
        }
        let mut insert = Vec::new();
        for word in new.get(op.new_range()).unwrap_or_default() {
            push_inline(&mut insert, Node::text(word.text.clone(), word.marks.0.to_vec()));
        }
        edits.push(Edit {
            start: at(op.old_range().start),
            len: at(op.old_range().end) - at(op.old_range().start),
            insert,
        });
    }
    Some(edits)
}

/// A word, a space or a sign, with its marks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Word<'a> {
    text: String,
    marks: MarksKey<'a>,
}

/// Marks as part of a word's identity: compared and ordered by their JSON.
#[derive(Debug, Clone)]
struct MarksKey<'a>(&'a [Mark], String);

impl PartialEq for MarksKey<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.1 == other.1
    }
}
impl Eq for MarksKey<'_> {}
impl std::hash::Hash for MarksKey<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.1.hash(state);
    }
}
impl PartialOrd for MarksKey<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for MarksKey<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.1.cmp(&other.1)
    }
}

fn words(nodes: &[Node]) -> Vec<Word<'_>> {
    let mut words: Vec<Word<'_>> = Vec::new();
    for node in nodes {
        let key = serde_json::to_string(&node.marks).unwrap_or_default();
        let mut last = None;
        for char in node.text.as_deref().unwrap_or_default().chars() {
            let class = Class::of(char);
            match words.last_mut() {
                Some(word) if last == Some(class) && class != Class::Sign => word.text.push(char),
                _ => words.push(Word {
                    text: char.to_string(),
                    marks: MarksKey(&node.marks, key.clone()),
                }),
            }
            last = Some(class);
        }
    }
    words
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Word,
    Space,
    Sign,
}

impl Class {
    fn of(char: char) -> Self {
        if char.is_whitespace() {
            Self::Space
        } else if is_unspaced(char) || !(is_word(char) || "'’_".contains(char)) {
            Self::Sign
        } else {
            Self::Word
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Vec<Node> {
        vec![Node::text(text, Vec::new())]
    }

    #[test]
    fn exactly_one_space_stands_between_words() {
        let joined = |before: &str, raw: &str, after: &str| {
            let nodes = line(raw.trim());
            let spaced = spaced(nodes, raw, before.chars().last(), after.chars().next());
            format!("{before}{}{after}", text_of(&spaced))
        };
        assert_eq!(joined("one", "two", ""), "one two");
        assert_eq!(joined("one", " two", ""), "one two");
        assert_eq!(joined("one ", " two", ""), "one two");
        assert_eq!(joined("one", ", two", ""), "one, two");
        assert_eq!(joined("one", "(two)", ""), "one (two)");
        assert_eq!(joined("(", "two", ")"), "(two)");
        assert_eq!(joined("one ", "two", "three"), "one two three");
        assert_eq!(joined("one ", "two", " three"), "one two three");
        assert_eq!(joined("one", "two", ", three"), "one two, three");
        assert_eq!(joined("", "two", "three"), "two three");
        assert_eq!(joined("一", "二", "三"), "一二三");
        assert_eq!(joined("One.", "Two.", "Three."), "One. Two. Three.");
    }

    #[test]
    fn only_the_words_that_differ_are_changed() {
        let edits = edits(&line("the qick brown fox"), &line("the quick brown dog")).unwrap();
        let edits: Vec<_> = edits
            .iter()
            .map(|edit| (edit.start, edit.len, text_of(&edit.insert)))
            .collect();
        assert_eq!(edits, [(4, 4, "quick".to_owned()), (15, 3, "dog".to_owned())]);
    }

    #[test]
    fn a_word_with_other_marks_is_another_word() {
        let bold = vec![Node::text("fox", vec![Mark::new("bold")])];
        let edits = edits(&line("fox"), &bold).unwrap();
        assert_eq!(edits.len(), 1);
        assert_eq!(edits[0].insert, bold);
        assert_eq!(super::edits(&bold, &bold).unwrap(), []);
    }

    #[test]
    fn an_edit_script_turns_the_old_line_into_the_new_one() {
        let texts = [
            "",
            "a",
            "a b c",
            "b a c!",
            "äöü 𝄞 x",
            "x 𝄞𝄞 ü",
            "word word word",
            "  word",
        ];
        for old in texts {
            for new in texts {
                let mut units: Vec<u16> = old.encode_utf16().collect();
                for edit in edits(&line(old), &line(new)).unwrap().into_iter().rev() {
                    let insert: Vec<u16> = text_of(&edit.insert).encode_utf16().collect();
                    units.splice(edit.start..edit.start + edit.len, insert);
                }
                assert_eq!(String::from_utf16(&units).unwrap(), new, "from {old:?}");
            }
        }
    }
}
