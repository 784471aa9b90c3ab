//! Finding documents by what one remembers of their titles.

/// Does a title hold every word of what is looked for, in any order and in any case? Nothing looked for is in all of them.
#[must_use]
pub fn fits(title: &str, looked_for: &str) -> bool {
    let title = title.to_lowercase();
    looked_for
        .to_lowercase()
        .split_whitespace()
        .all(|word| title.contains(word))
}

/// A file's name as a title: without its ending.
#[must_use]
pub fn title_of_file(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && ending.len() <= 8 => stem.to_owned(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_counts_in_any_order_and_case() {
        assert!(fits("A walk by the Sea", "sea walk"));
        assert!(fits("Über Österreich", "öster"));
        assert!(!fits("A walk by the Sea", "sea mountain"));
        assert!(fits("anything", "  "));
    }

    #[test]
    fn a_file_gives_its_name_without_the_ending() {
        assert_eq!(title_of_file("Notes of May.md"), "Notes of May");
        assert_eq!(title_of_file("v1.2 final.markdown"), "v1.2 final");
        assert_eq!(title_of_file(".hidden"), ".hidden");
        assert_eq!(title_of_file("README"), "README");
    }
}
