//! What differs from script to script: where words and sentences may end.

/// Whether a character belongs to a script that puts no spaces between words, so that a line may break after it.
#[must_use]
pub const fn is_unspaced(char: char) -> bool {
    is_wide(char) || is_southeast_asian(char)
}

/// Chinese and Japanese characters with their punctuation: each may stand alone.
const fn is_wide(char: char) -> bool {
    matches!(char,
        '\u{2e80}'..='\u{2fdf}' // radicals
        | '\u{3001}'..='\u{30ff}' // punctuation, Hiragana, Katakana
        | '\u{3100}'..='\u{312f}' | '\u{31a0}'..='\u{31bf}' | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{ff01}'..='\u{ff9f}' // full-width forms, half-width Katakana
        | '\u{20000}'..='\u{3fffd}')
}

/// Thai, Lao, Burmese, Khmer: a mark that belongs to the character before may follow.
const fn is_southeast_asian(char: char) -> bool {
    matches!(char, '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
}

/// Whether a character is complete without knowing what follows it.
#[must_use]
pub const fn is_complete_alone(char: char) -> bool {
    is_wide(char)
}

/// Whether a character belongs to the one before it: vowel signs, tone marks, voicing marks, variation selectors.
#[must_use]
pub const fn joins_previous(char: char) -> bool {
    matches!(char,
        '\u{0300}'..='\u{036f}' | '\u{0e30}'..='\u{0e3a}' | '\u{0e45}'..='\u{0e4e}'
        | '\u{0eb0}'..='\u{0ebc}' | '\u{0ec8}'..='\u{0ece}'
        | '\u{102b}'..='\u{103e}' | '\u{1056}'..='\u{1059}' | '\u{105e}'..='\u{1060}' | '\u{1062}'..='\u{1064}'
        | '\u{1067}'..='\u{106d}' | '\u{1071}'..='\u{1074}' | '\u{1082}'..='\u{108d}' | '\u{109a}'..='\u{109d}'
        | '\u{17b4}'..='\u{17d3}' | '\u{17dd}'
        | '\u{200d}' | '\u{3099}' | '\u{309a}' | '\u{fe00}'..='\u{fe0f}' | '\u{ff9e}' | '\u{ff9f}'
        | '\u{e0100}'..='\u{e01ef}')
}

/// Whether the next character belongs to this one: vowels that are written before their consonant, signs that stack.
#[must_use]
pub const fn joins_next(char: char) -> bool {
    matches!(char, '\u{0e40}'..='\u{0e44}' | '\u{0ec0}'..='\u{0ec4}' | '\u{1039}' | '\u{17d2}' | '\u{200d}')
}

/// Whether a character ends a sentence, perhaps with a closing mark and a space after it.
#[must_use]
pub const fn ends_sentence(char: char) -> bool {
    matches!(char, '.' | '!' | '?' | '…') || ends_sentence_alone(char)
}

/// Whether it does so without a space after it.
#[must_use]
pub const fn ends_sentence_alone(char: char) -> bool {
    matches!(char, '。' | '！' | '？' | '．' | '｡')
}

/// Whether a character may stand between the end of a sentence and the space after it.
#[must_use]
pub const fn closes(char: char) -> bool {
    matches!(
        char,
        '"' | '”' | '’' | '“' | '»' | ')' | '*' | '_' | '」' | '』' | '）' | '】' | '》' | '〉' | '］'
    )
}

/// Whether a text ends with the end of a sentence.
#[must_use]
pub fn is_whole_sentence(text: &str) -> bool {
    text.trim_end().trim_end_matches(closes).ends_with(ends_sentence)
}

/// The mark that closes a quotation that begins with this one.
#[must_use]
pub const fn closing_quote(open: char) -> Option<char> {
    match open {
        '"' => Some('"'),
        '“' => Some('”'),
        '„' => Some('“'),
        '«' => Some('»'),
        '「' => Some('」'),
        '『' => Some('』'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_told_apart() {
        assert!("漢かカ。、ท្က".chars().all(is_unspaced));
        assert!("aé한я ؟".chars().all(|char| !is_unspaced(char)));
        assert!("้ิำ".chars().all(joins_previous));
        assert!(is_whole_sentence("He said “go.” ") && is_whole_sentence("行く。」"));
        assert!(!is_whole_sentence("He said “go” and") && !is_whole_sentence(""));
    }
}
