//! What a screen reader is told when the margin changes: that something is being written, finished or decided, never
//! the words themselves as they arrive.

use crate::events::{Card, CardState};
use crate::words;

/// Sentences for the changes from one state of the margin to the next.
#[must_use]
pub fn changes(before: &[Card], after: &[Card]) -> Vec<String> {
    after
        .iter()
        .filter_map(|card| {
            // A queued request and the proposal that answers it have different ids but one request.
            let old = before
                .iter()
                .find(|old| old.id == card.id || (!card.request.is_empty() && old.request == card.request));
            if old.map(|old| old.state) == Some(card.state) {
                return None;
            }
            sentence(card, old.is_some())
        })
        .collect()
}

fn sentence(card: &Card, known: bool) -> Option<String> {
    let author = card
        .author
        .as_ref()
        .map_or("The AI", |author| author.model.as_deref().unwrap_or(&author.name));
    let what = words::request(&card.request_kind);
    match card.state {
        CardState::Queued => Some(format!("{what}: sent to the AI.")),
        CardState::Streaming => Some(format!("{author} is writing.")),
        CardState::Pending => Some(format!("Suggestion ready from {author}.")),
        CardState::Failed => Some(format!(
            "{what} did not work. {}",
            card.error.as_deref().unwrap_or_default()
        )),
        // What was decided before this window came is no news.
        CardState::Accepted if known => Some("Suggestion accepted.".to_owned()),
        CardState::Rejected if known => Some("Suggestion rejected.".to_owned()),
        CardState::Cancelled if known => Some("Cancelled.".to_owned()),
        CardState::Accepted | CardState::Rejected | CardState::Cancelled => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Author;

    fn card(id: &str, request: &str, state: CardState) -> Card {
        let author = Author {
            name: "Smol".into(),
            ..Author::default()
        };
        Card {
            id: id.into(),
            request: request.into(),
            state,
            author: Some(author),
            request_kind: "continue".into(),
            ..Card::default()
        }
    }

    #[test]
    fn a_card_is_announced_once_for_each_state() {
        let queued = [card("r", "r", CardState::Queued)];
        let streaming = [card("p", "r", CardState::Streaming)];
        let mut longer = streaming.clone();
        longer[0].payload = "more".into();
        let pending = [card("p", "r", CardState::Pending)];
        let accepted = [card("p", "r", CardState::Accepted)];
        assert_eq!(changes(&[], &queued), ["Continue: sent to the AI."]);
        assert_eq!(changes(&queued, &streaming), ["Smol is writing."]);
        assert!(changes(&streaming, &longer).is_empty());
        assert_eq!(changes(&longer, &pending), ["Suggestion ready from Smol."]);
        assert_eq!(changes(&pending, &accepted), ["Suggestion accepted."]);
        assert_eq!(changes(&accepted, &pending), ["Suggestion ready from Smol."]);
    }

    #[test]
    fn old_decisions_are_no_news() {
        let old = [
            card("a", "1", CardState::Accepted),
            card("b", "2", CardState::Rejected),
        ];
        assert!(changes(&[], &old).is_empty());
    }

    #[test]
    fn proposals_nobody_asked_for_are_not_confused() {
        let one = [card("a", "", CardState::Pending)];
        let two = [
            card("a", "", CardState::Pending),
            card("b", "", CardState::Pending),
        ];
        assert_eq!(changes(&one, &two).len(), 1);
    }
}
