//! Who wrote what, as the surface tells it, and the words for it.

use serde::Deserialize;

/// The overlay's state.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Authors {
    /// It is shown.
    pub shown: bool,
    /// Everybody whose letters are in the text, who wrote most first.
    pub authors: Vec<Writer>,
    /// Key of whoever wrote the letter before the caret.
    pub here: Option<String>,
    /// Key of the only one who is shown; without it all are.
    pub only: Option<String>,
    /// Words, when it could not be found out.
    pub trouble: Option<String>,
}

/// One to whom text is put down.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Writer {
    /// For telling them apart.
    pub key: String,
    /// A person's name, or a model's.
    pub name: String,
    /// What they are.
    pub kind: WriterKind,
    /// `#rrggbb`.
    pub color: String,
    /// Of an AI's text: who took it up.
    pub accepted_by: Option<String>,
    /// Letters that are in the text, in UTF-16 units.
    pub units: u64,
}

/// What an author is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WriterKind {
    /// A person.
    Human,
    /// A model, whose proposal somebody accepted.
    Ai,
    /// Another server, which knows who it was.
    Link,
    /// Nothing is recorded.
    #[default]
    Unknown,
}

impl Writer {
    /// "Ann", "SmolLM2 (AI), accepted by Ann".
    #[must_use]
    pub fn title(&self) -> String {
        match (self.kind, &self.accepted_by) {
            (WriterKind::Ai, Some(by)) => format!("{} (AI), accepted by {by}", self.name),
            (WriterKind::Ai, None) => format!("{} (AI)", self.name),
            (WriterKind::Link, _) => format!("Came from {}", self.name),
            (WriterKind::Unknown, _) => "Not recorded".to_owned(),
            (WriterKind::Human, _) => self.name.clone(),
        }
    }

    /// For style sheets.
    #[must_use]
    pub fn look(&self) -> &'static str {
        match self.kind {
            WriterKind::Human => "human",
            WriterKind::Ai => "ai",
            WriterKind::Link => "link",
            WriterKind::Unknown => "unknown",
        }
    }
}

impl Authors {
    /// The shares in percent, in the order of the authors: whole numbers that add up to 100, "<1 %" for what is there and
    /// would be 0.
    #[must_use]
    pub fn shares(&self) -> Vec<String> {
        let all: u64 = self.authors.iter().map(|writer| writer.units).sum();
        if all == 0 {
            return self.authors.iter().map(|_| "0 %".to_owned()).collect();
        }
        // Whole percents first; those with the largest rests get what is missing.
        let mut parts: Vec<(usize, u64, u64)> = self
            .authors
            .iter()
            .enumerate()
            .map(|(index, writer)| (index, writer.units * 100 / all, writer.units * 100 % all))
            .collect();
        let missing = 100 - parts.iter().map(|(_, percent, _)| percent).sum::<u64>();
        parts.sort_by_key(|(index, _, rest)| (std::cmp::Reverse(*rest), *index));
        for (_, percent, _) in parts.iter_mut().take(usize::try_from(missing).unwrap_or(0)) {
            *percent += 1;
        }
        parts.sort_by_key(|(index, ..)| *index);
        self.authors
            .iter()
            .zip(parts)
            .map(|(writer, (_, percent, _))| match percent {
                0 if writer.units > 0 => "<1 %".to_owned(),
                percent => format!("{percent} %"),
            })
            .collect()
    }

    /// The author with a key.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Writer> {
        self.authors.iter().find(|writer| writer.key == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(units: &[u64]) -> Authors {
        let authors = units.iter().map(|units| Writer {
            units: *units,
            ..Writer::default()
        });
        Authors {
            authors: authors.collect(),
            ..Authors::default()
        }
    }

    #[test]
    fn shares_add_up_to_a_hundred() {
        for units in [&[1, 1, 1][..], &[2, 1], &[997, 2, 1], &[5], &[7, 7, 7, 7, 7, 7]] {
            let sum: u64 = with(units)
                .shares()
                .iter()
                .map(|share| share.trim_end_matches(" %").parse().unwrap_or(0))
                .sum();
            assert_eq!(sum, 100, "{units:?}");
        }
        assert_eq!(with(&[1, 1, 1]).shares(), ["34 %", "33 %", "33 %"]);
        assert_eq!(with(&[1_000_000, 1]).shares(), ["100 %", "<1 %"]);
        assert_eq!(with(&[0, 0]).shares(), ["0 %", "0 %"]);
    }

    #[test]
    fn a_model_is_named_with_whoever_accepted_it() {
        let json = r##"{"shown":true,"authors":[{"key":"ai","name":"SmolLM2","kind":"ai","color":"#6d4bd8","acceptedBy":"Ann","units":4},
            {"key":"h","name":"Ann","kind":"human","color":"#112233","units":2},{"key":"r","name":"other.example","kind":"link","color":"","units":1}],"here":"h"}"##;
        let authors: Authors = serde_json::from_str(json).unwrap();
        let titles: Vec<_> = authors.authors.iter().map(Writer::title).collect();
        assert_eq!(
            titles,
            ["SmolLM2 (AI), accepted by Ann", "Ann", "Came from other.example"]
        );
        assert_eq!(Writer::default().title(), "Not recorded");
        assert_eq!(authors.find("h").map(Writer::look), Some("human"));
    }
}
