//! What differs between two texts, word by word: for the preview of a proposal whose text has changed.

use similar::{ChangeTag, TextDiff};

/// How a piece of the newer text relates to the older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// In both.
    Same,
    /// Only in the newer.
    Added,
    /// Only in the older.
    Removed,
}

/// A run of words with one relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which.
    pub change: Change,
    /// The words with the spaces between them.
    pub text: String,
}

/// Of texts less alike than this the old one is shown whole and then the new one: words found in both by chance would
/// only make both unreadable.
const ALIKE: f32 = 0.5;

/// The newer text in pieces, with what is gone from the older one in its place.
#[must_use]
pub fn words(older: &str, newer: &str) -> Vec<Piece> {
    let difference = TextDiff::from_words(older, newer);
    let mut pieces = Vec::new();
    if difference.ratio() < ALIKE {
        push(&mut pieces, Change::Removed, older);
        push(&mut pieces, Change::Added, newer);
        return pieces;
    }
    // What is removed and added in one place is gathered until the texts agree again, in more than a space.
    let (mut removed, mut added, mut between) = (String::new(), String::new(), String::new());
    for change in difference.iter_all_changes() {
        let changing = !(removed.is_empty() && added.is_empty());
        match change.tag() {
            ChangeTag::Equal if changing && change.value().trim().is_empty() => {
                between.push_str(change.value());
            }
            ChangeTag::Equal => {
                push(&mut pieces, Change::Removed, &std::mem::take(&mut removed));
                push(&mut pieces, Change::Added, &std::mem::take(&mut added));
                push(&mut pieces, Change::Same, &std::mem::take(&mut between));
                push(&mut pieces, Change::Same, change.value());
            }
            tag => {
                removed.push_str(&between);
                added.push_str(&std::mem::take(&mut between));
                let side = if tag == ChangeTag::Delete {
                    &mut removed
                } else {
                    &mut added
                };
                side.push_str(change.value());
            }
        }
    }
    push(&mut pieces, Change::Removed, &removed);
    push(&mut pieces, Change::Added, &added);
    push(&mut pieces, Change::Same, &between);
    pieces
}

/// Adds to the last piece where that is of the same kind.
fn push(pieces: &mut Vec<Piece>, change: Change, text: &str) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(piece) if piece.change == change => piece.text.push_str(text),
        _ => pieces.push(Piece {
            change,
            text: text.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(pieces: &[Piece], change: Change) -> String {
        pieces
            .iter()
            .filter(|piece| piece.change != change)
            .map(|piece| piece.text.as_str())
            .collect()
    }

    #[test]
    fn both_texts_can_be_read_from_the_pieces() {
        for (older, newer) in [
            ("The sea was calm.", "The sea was very calm today."),
            ("", "new words"),
            ("old words", ""),
            ("same", "same"),
            ("für uns 漢字", "für euch 漢字 dort"),
        ] {
            let pieces = words(older, newer);
            assert_eq!(without(&pieces, Change::Added), older);
            assert_eq!(without(&pieces, Change::Removed), newer);
        }
    }

    #[test]
    fn an_inserted_word_is_marked_alone() {
        let pieces = words("the calm sea", "the very calm sea");
        let shown: Vec<_> = pieces
            .iter()
            .map(|piece| (piece.change, piece.text.as_str()))
            .collect();
        let same = Change::Same;
        assert_eq!(
            shown,
            [(same, "the "), (Change::Added, "very "), (same, "calm sea")]
        );
    }

    #[test]
    fn several_words_replaced_together_are_one_change() {
        let pieces = words(
            "we met at the old grey house by the sea",
            "we met at a small red barn by the sea",
        );
        let shown: Vec<_> = pieces
            .iter()
            .map(|piece| (piece.change, piece.text.as_str()))
            .collect();
        let expected = [
            (Change::Same, "we met at "),
            (Change::Removed, "the old grey house"),
            (Change::Added, "a small red barn"),
            (Change::Same, " by the sea"),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn texts_that_have_little_in_common_are_not_mixed() {
        let pieces = words("the sea casts its spell on one", "a lamp, the harbour and bread");
        assert_eq!(pieces.len(), 2);
    }
}
