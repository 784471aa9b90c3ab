//! Which cards the margin shows.

use std::collections::HashSet;

use crate::events::{Card, CardState};

/// Notes the cards that this window has seen before they were decided.
pub fn note_open(seen: &mut HashSet<String>, cards: &[Card]) {
    seen.extend(
        cards
            .iter()
            .filter(|card| {
                !matches!(
                    card.state,
                    CardState::Accepted | CardState::Rejected | CardState::Cancelled
                )
            })
            .map(|card| card.id.clone()),
    );
}

/// Was it accepted before this window came? Such cards are kept, but out of the way.
#[must_use]
pub fn is_earlier(card: &Card, seen: &HashSet<String>) -> bool {
    card.state == CardState::Accepted && !seen.contains(&card.id)
}

/// The ids to show, in the order of the text: rejected and cancelled ones leave no trace, those put away stay away,
/// and those accepted earlier come when they are asked for.
#[must_use]
pub fn shown(cards: &[Card], seen: &HashSet<String>, away: &HashSet<String>, earlier: bool) -> Vec<String> {
    cards
        .iter()
        .filter(|card| !matches!(card.state, CardState::Rejected | CardState::Cancelled))
        .filter(|card| !away.contains(&card.id))
        .filter(|card| earlier || !is_earlier(card, seen))
        .map(|card| card.id.clone())
        .collect()
}

/// How many wait for somebody: being written, or to be decided.
#[must_use]
pub fn waiting(cards: &[Card]) -> usize {
    cards
        .iter()
        .filter(|card| {
            matches!(
                card.state,
                CardState::Queued | CardState::Streaming | CardState::Pending
            )
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(id: &str, state: CardState) -> Card {
        Card {
            id: id.into(),
            state,
            ..Card::default()
        }
    }

    #[test]
    fn a_card_stays_when_it_is_accepted_here_and_is_folded_away_when_it_was_before() {
        let mut seen = HashSet::new();
        let before = [card("old", CardState::Accepted), card("new", CardState::Pending)];
        note_open(&mut seen, &before);
        let after = [card("old", CardState::Accepted), card("new", CardState::Accepted)];
        assert_eq!(shown(&after, &seen, &HashSet::new(), false), ["new"]);
        assert_eq!(shown(&after, &seen, &HashSet::new(), true), ["old", "new"]);
    }

    #[test]
    fn rejected_cancelled_and_put_away_cards_are_gone() {
        let cards = [
            card("a", CardState::Rejected),
            card("b", CardState::Cancelled),
            card("c", CardState::Failed),
            card("d", CardState::Streaming),
        ];
        let away = HashSet::from(["c".to_owned()]);
        assert_eq!(shown(&cards, &HashSet::new(), &away, true), ["d"]);
        assert_eq!(waiting(&cards), 1);
    }
}
