//! Words for states, times and figures, in one place so that they agree everywhere.

use crate::events::{
    AiActivity, AiState, Author, Card, CardState, Connection, LinkStatus, Person, ProposalKind, Role, Saved,
    Stats,
};

/// What is shown for a document without a title.
pub const UNTITLED: &str = "Untitled document";

/// A title to show.
#[must_use]
pub fn title(title: &str) -> &str {
    if title.trim().is_empty() { UNTITLED } else { title }
}

/// "3 minutes ago"; none when it is so long ago that a date says more.
#[must_use]
pub fn ago(then_ms: f64, now_ms: f64) -> Option<String> {
    const MINUTE: f64 = 60_000.0;
    const HOUR: f64 = 60.0 * MINUTE;
    const DAY: f64 = 24.0 * HOUR;
    let past = (now_ms - then_ms).max(0.0); // clocks differ a little: never "in 2 seconds"
    let count = |unit: f64, name: &str| {
        let number = (past / unit).floor();
        format!("{number} {name}{} ago", if number < 2.0 { "" } else { "s" })
    };
    match past {
        _ if past < MINUTE => Some("just now".to_owned()),
        _ if past < HOUR => Some(count(MINUTE, "minute")),
        _ if past < DAY => Some(count(HOUR, "hour")),
        _ if past < 2.0 * DAY => Some("yesterday".to_owned()),
        _ if past < 14.0 * DAY => Some(count(DAY, "day")),
        _ => None,
    }
}

/// What a person is told whose role has changed while the document is open.
#[must_use]
pub fn new_role(role: Role) -> &'static str {
    match role {
        Role::Viewer => "Your rights have changed: you can read this document now, not change it.",
        Role::Suggester => {
            "Your rights have changed: you can read and ask for suggestions now, not change the text."
        }
        Role::Editor => "Your rights have changed: you can write in this document now.",
        Role::Owner => "Your rights have changed: this document is yours now.",
    }
}

/// Name of what was asked for.
#[must_use]
pub fn request(kind: &str) -> &'static str {
    match kind {
        "continue" => "Continue",
        "rewrite" => "Rewrite",
        "summarise" => "Summarise",
        "brainstorm" => "Brainstorm",
        "ask" => "Ask",
        _ => "Suggestion",
    }
}

/// What a card's state is called on the card.
#[must_use]
pub fn card_state(card: &Card) -> &'static str {
    match card.state {
        CardState::Queued => "Waiting for the AI",
        CardState::Streaming => "Writing",
        CardState::Pending if card.detached => "Its place is gone",
        CardState::Pending if card.stale => "Text has changed",
        CardState::Pending => "Suggestion",
        CardState::Accepted => "Accepted",
        CardState::Rejected => "Rejected",
        CardState::Cancelled => "Cancelled",
        CardState::Failed => "Did not work",
    }
}

/// Who wrote a proposal: the model, and the adapter that it wore.
#[must_use]
pub fn writer(author: &Author) -> String {
    let name = author.model.as_ref().unwrap_or(&author.name);
    match &author.adapter {
        Some(adapter) => format!("{name} with the adapter {adapter}"),
        None => name.clone(),
    }
}

/// What accepting will do, for tooltips and screen readers.
#[must_use]
pub fn accepting(kind: Option<ProposalKind>) -> &'static str {
    match kind {
        Some(ProposalKind::Replace) => "Put this in place of the marked text",
        Some(ProposalKind::Delete) => "Remove the marked text",
        Some(ProposalKind::Comment) => "Insert this below the text it is about",
        Some(ProposalKind::Insert) | None => "Insert this into the text",
    }
}

/// "24 tokens/s", "0.8 s to the first word": the figures that are known.
#[must_use]
pub fn figures(stats: &Stats) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(rate) = stats.tokens_per_second.filter(|rate| *rate > 0.0) {
        words.push(speed(rate));
    }
    if let Some(first) = stats.first_word_ms.filter(|first| *first > 0.0) {
        words.push(format!("first word after {:.1} s", first / 1000.0));
    }
    words
}

/// "24 tokens/s".
#[must_use]
pub fn speed(tokens_per_second: f64) -> String {
    if tokens_per_second < 10.0 {
        format!("{tokens_per_second:.1} tokens/s")
    } else {
        format!("{tokens_per_second:.0} tokens/s")
    }
}

/// What an AI peer is doing, in a word or two; none when it only waits.
#[must_use]
pub fn activity(ai: Option<&AiActivity>) -> Option<&'static str> {
    match ai?.state {
        AiState::Idle => None,
        AiState::Thinking => Some("reading…"),
        AiState::Writing => Some("writing…"),
    }
}

/// The name an AI peer goes by: its model's, where it says it; an engine elsewhere has a name of its own.
#[must_use]
pub fn ai_name(person: &Person) -> &str {
    let is_engine = person
        .device
        .as_deref()
        .is_some_and(|device| device.starts_with("on "));
    let own = Some(person.name.as_str()).filter(|name| is_engine && !name.is_empty());
    let model = person.model.as_deref().filter(|model| !model.is_empty());
    own.or(model).unwrap_or(&person.name)
}

/// Which of the four pictures goes with the words about saving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavedLook {
    /// All is well.
    Saved,
    /// Wait.
    Busy,
    /// Not reachable.
    Offline,
    /// Somebody has to act.
    Problem,
}

/// Where the newest edit is, in words.
#[must_use]
pub fn saved(status: &LinkStatus, desktop: bool) -> (SavedLook, &'static str) {
    if status.storage.as_deref().is_some_and(|words| !words.is_empty()) {
        return (SavedLook::Problem, "Not saved: the disk cannot be written");
    }
    match (status.connection, status.saved) {
        (Connection::Offline, Saved::Saved) => (SavedLook::Offline, "Offline, everything saved"),
        (Connection::Offline, Saved::Saving | Saved::Unsaved) => {
            (SavedLook::Offline, "Offline, not saved yet")
        }
        (_, Saved::Unsaved) => (SavedLook::Problem, "Not saved yet"),
        (_, Saved::Saving) => (SavedLook::Busy, "Saving…"),
        (_, Saved::Saved) if desktop => (SavedLook::Saved, "Saved on this device"),
        (_, Saved::Saved) => (SavedLook::Saved, "Saved on the server"),
    }
}

/// The line to the relay, in a word.
#[must_use]
pub fn connection(connection: Connection) -> &'static str {
    match connection {
        Connection::Connected => "Connected",
        Connection::Connecting => "Connecting…",
        Connection::Offline => "Offline",
    }
}

/// A quotation short enough for one line.
#[must_use]
pub fn shortened(text: &str, limit: usize) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= limit {
        return words;
    }
    let cut: String = words.chars().take(limit.saturating_sub(1)).collect();
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_words_until_a_date_says_more() {
        let now = 1.7e12;
        let before = |ms: f64| ago(now - ms, now);
        assert_eq!(before(-5000.0).unwrap(), "just now");
        assert_eq!(before(59_000.0).unwrap(), "just now");
        assert_eq!(before(60_000.0).unwrap(), "1 minute ago");
        assert_eq!(before(3_599_000.0).unwrap(), "59 minutes ago");
        assert_eq!(before(7_200_000.0).unwrap(), "2 hours ago");
        assert_eq!(before(100_000_000.0).unwrap(), "yesterday");
        assert_eq!(before(3.0 * 86_400_000.0).unwrap(), "3 days ago");
        assert_eq!(before(30.0 * 86_400_000.0), None);
    }

    #[test]
    fn a_writer_is_named_with_what_it_wore() {
        let author = Author {
            name: "Bot".into(),
            model: Some("Smol".into()),
            ..Author::default()
        };
        assert_eq!(writer(&author), "Smol");
        let worn = Author {
            adapter: Some("law".into()),
            ..author.clone()
        };
        assert_eq!(writer(&worn), "Smol with the adapter law");
        assert_eq!(
            writer(&Author {
                model: None,
                ..author
            }),
            "Bot"
        );
    }

    #[test]
    fn saving_is_never_claimed_while_it_is_not_so() {
        for connection in [Connection::Connected, Connection::Connecting, Connection::Offline] {
            for saved_state in [Saved::Saved, Saved::Saving, Saved::Unsaved] {
                for storage in [None, Some("disk full".to_owned())] {
                    let status = LinkStatus {
                        connection,
                        saved: saved_state,
                        storage: storage.clone(),
                        role: None,
                        ended: None,
                    };
                    for desktop in [false, true] {
                        let (look, words) = saved(&status, desktop);
                        let claimed = look == SavedLook::Saved;
                        let so = saved_state == Saved::Saved
                            && storage.is_none()
                            && connection != Connection::Offline;
                        assert_eq!(claimed, so, "{status:?}: {words}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_failing_disk_outweighs_everything() {
        let status = LinkStatus {
            storage: Some("full".into()),
            saved: Saved::Saved,
            ..LinkStatus::default()
        };
        assert_eq!(saved(&status, true).0, SavedLook::Problem);
    }

    #[test]
    fn cards_say_what_matters_most() {
        let mut card = Card {
            state: CardState::Pending,
            stale: true,
            detached: true,
            ..Card::default()
        };
        assert_eq!(card_state(&card), "Its place is gone");
        card.detached = false;
        assert_eq!(card_state(&card), "Text has changed");
        card.state = CardState::Accepted;
        assert_eq!(card_state(&card), "Accepted");
    }

    #[test]
    fn figures_are_short_and_only_known_ones() {
        let stats = Stats {
            tokens_per_second: Some(23.6),
            first_word_ms: Some(840.0),
            ..Stats::default()
        };
        assert_eq!(figures(&stats), ["24 tokens/s", "first word after 0.8 s"]);
        assert!(figures(&Stats::default()).is_empty());
        assert_eq!(speed(4.25), "4.2 tokens/s");
    }

    #[test]
    fn quotations_are_cut_at_characters() {
        assert_eq!(shortened("a \n b", 10), "a b");
        assert_eq!(shortened("漢字漢字漢字", 4), "漢字漢…");
    }
}
