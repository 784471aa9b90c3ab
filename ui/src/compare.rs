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

/// The newer text in pieces, with what is gone from the older one in its place.
#[must_use]
pub fn words(older: &str, newer: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for change in TextDiff::from_words(older, newer).iter_all_changes() {
        let kind = match change.tag() {
            ChangeTag::Equal => Change::Same,
            ChangeTag::Insert => Change::Added,
            ChangeTag::Delete => Change::Removed,
        };
        match pieces.last_mut() {
            Some(piece) if piece.change == kind => piece.text.push_str(change.value()),
            _ => pieces.push(Piece {
                change: kind,
                text: change.value().to_owned(),
            }),
        }
    }
    pieces
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
        let added: Vec<_> = pieces
            .iter()
            .filter(|piece| piece.change == Change::Added)
            .map(|piece| piece.text.trim())
            .collect();
        assert_eq!(added, ["very"]);
        assert!(pieces.iter().all(|piece| piece.change != Change::Removed));
    }
}
