//! Names and initials of people. Their colours are the surface's business: every window must choose alike.

/// Animals that a guest may be until they choose a name.
const ANIMALS: [&str; 32] = [
    "Badger", "Beaver", "Bittern", "Crane", "Curlew", "Dormouse", "Egret", "Falcon", "Fox", "Gecko", "Hare",
    "Heron", "Ibex", "Jackdaw", "Kestrel", "Lark", "Lynx", "Marten", "Mole", "Newt", "Otter", "Owl",
    "Plover", "Puffin", "Quail", "Robin", "Seal", "Stoat", "Swift", "Tern", "Vole", "Wren",
];

/// The longest name that is taken.
pub const NAME_LIMIT: usize = 40;

/// A guest's name for a number made by chance.
#[must_use]
pub fn guest(chance: u32) -> String {
    let animal = ANIMALS
        .get(chance as usize % ANIMALS.len())
        .copied()
        .unwrap_or("Heron");
    format!("Guest {animal}")
}

/// A guest's name that nobody chose.
#[must_use]
pub fn is_guest(name: &str) -> bool {
    name.strip_prefix("Guest ")
        .is_some_and(|animal| ANIMALS.contains(&animal))
}

/// What a person typed as their name, tidied; none when nothing is left.
#[must_use]
pub fn tidy(name: &str) -> Option<String> {
    let words: Vec<&str> = name.split_whitespace().collect();
    let tidied: String = words
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(NAME_LIMIT)
        .collect();
    let tidied = tidied.trim_end().to_owned();
    (!tidied.is_empty()).then_some(tidied)
}

/// One or two letters for an avatar.
#[must_use]
pub fn initials(name: &str) -> String {
    let mut words = name
        .split_whitespace()
        .filter_map(|word| word.chars().find(|c| c.is_alphanumeric()));
    let first = words.next();
    let last = words.next_back();
    let letters: String = [first, last]
        .into_iter()
        .flatten()
        .flat_map(char::to_uppercase)
        .collect();
    if letters.is_empty() {
        "?".to_owned()
    } else {
        letters
    }
}

/// `#ffffff` or `#1b1a17`: which of them is easier to read on a `#rrggbb` colour.
#[must_use]
pub fn letters_on(colour: &str) -> &'static str {
    let channel = |from: usize| {
        let value = colour
            .get(from..from + 2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .unwrap_or(0);
        let value = f64::from(value) / 255.0;
        if value <= 0.040_45 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    };
    // Relative luminance after WCAG 2; at 0.18 both contrast about equally.
    let luminance = 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
    if luminance > 0.18 { "#1b1a17" } else { "#ffffff" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_have_an_animal_whatever_the_number() {
        assert_eq!(guest(11), "Guest Heron");
        for chance in [0, 1, 31, 32, u32::MAX] {
            assert!(is_guest(&guest(chance)), "{chance}");
        }
        assert!(!is_guest("Guest"));
        assert!(!is_guest("Ann"));
    }

    #[test]
    fn letters_are_readable_on_any_colour() {
        assert_eq!(letters_on("#4f5bd5"), "#ffffff");
        assert_eq!(letters_on("#ffee88"), "#1b1a17");
        assert_eq!(letters_on("rubbish"), "#ffffff");
    }

    #[test]
    fn names_are_tidied() {
        assert_eq!(tidy("  Ann \n  Lee "), Some("Ann Lee".to_owned()));
        assert_eq!(tidy(" \t "), None);
        assert_eq!(
            tidy(&"ü".repeat(100)).map(|name| name.chars().count()),
            Some(NAME_LIMIT)
        );
    }

    #[test]
    fn initials_are_of_the_first_and_last_word() {
        assert_eq!(initials("Ann Marie Lee"), "AL");
        assert_eq!(initials("ülkü"), "Ü");
        assert_eq!(initials("(Bob)"), "B");
        assert_eq!(initials("漢字 太郎"), "漢太");
        assert_eq!(initials(" "), "?");
    }
}
