//! Where the margin's cards stand: each beside the text it is about, none over another.

/// What a card wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// Distance of its text from the page's top in px; none when its place is gone: it goes below the others.
    pub wanted: Option<f64>,
    /// Its own height in px.
    pub height: f64,
}

/// The upper edge of every card, in the order given, which must be the order of the text.
///
/// Cards push those below them down. The `focused` one stays where it wants to be as long as those above it still fit
/// under the page's top: they move up instead.
#[must_use]
pub fn place(slots: &[Slot], gap: f64, focused: Option<usize>) -> Vec<f64> {
    let mut tops = downwards(slots, gap, 0.0);
    let Some((index, wanted)) = focused.and_then(|index| Some((index, slots.get(index)?.wanted?))) else {
        return tops;
    };
    let (above, below) = slots.split_at(index);
    // Upwards from the focused card: each as low as it likes to be, but clear of the one under it.
    let mut floor = wanted.max(0.0);
    let mut moved = Vec::with_capacity(slots.len());
    for (slot, top) in above.iter().zip(&tops).rev() {
        floor = top.min(floor - gap - slot.height);
        moved.push(floor);
    }
    moved.reverse();
    if moved.first().is_some_and(|top| *top < 0.0) {
        return tops; // no room above: the plain order from the top keeps every card on the page
    }
    moved.extend(downwards(below, gap, wanted.max(0.0)));
    tops = moved;
    tops
}

/// The lower edge of the lowest card; 0 without cards.
#[must_use]
pub fn extent(slots: &[Slot], tops: &[f64]) -> f64 {
    slots
        .iter()
        .zip(tops)
        .map(|(slot, top)| top + slot.height)
        .fold(0.0, f64::max)
}

fn downwards(slots: &[Slot], gap: f64, from: f64) -> Vec<f64> {
    let mut free = from;
    slots
        .iter()
        .map(|slot| {
            let top = slot.wanted.map_or(free, |wanted| wanted.max(free));
            free = top + slot.height + gap;
            top
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(wanted: f64, height: f64) -> Slot {
        Slot {
            wanted: Some(wanted),
            height,
        }
    }

    fn overlaps(slots: &[Slot], tops: &[f64], gap: f64) -> bool {
        slots
            .iter()
            .zip(tops)
            .zip(tops.iter().skip(1))
            .any(|((slot, top), next)| top + slot.height + gap > next + 1e-9)
    }

    #[test]
    fn cards_with_room_stand_beside_their_text() {
        assert_eq!(
            place(&[slot(10.0, 50.0), slot(200.0, 50.0)], 8.0, None),
            [10.0, 200.0]
        );
    }

    #[test]
    fn cards_push_each_other_down_and_detached_ones_come_last() {
        let slots = [
            slot(10.0, 50.0),
            slot(20.0, 50.0),
            Slot {
                wanted: None,
                height: 30.0,
            },
        ];
        let tops = place(&slots, 8.0, None);
        assert_eq!(tops, [10.0, 68.0, 126.0]);
        assert!((extent(&slots, &tops) - 156.0).abs() < 1e-9);
    }

    #[test]
    fn the_focused_card_keeps_its_place_when_those_above_can_move() {
        let slots = [slot(100.0, 50.0), slot(120.0, 50.0), slot(130.0, 50.0)];
        let tops = place(&slots, 8.0, Some(1));
        assert_eq!(tops, [62.0, 120.0, 178.0]);
    }

    #[test]
    fn nothing_leaves_the_page_for_a_focused_card() {
        let slots = [slot(0.0, 50.0), slot(10.0, 50.0)];
        assert_eq!(place(&slots, 8.0, Some(1)), [0.0, 58.0]);
        assert_eq!(place(&slots, 8.0, Some(9)), [0.0, 58.0]);
    }

    #[test]
    fn no_arrangement_overlaps() {
        // A fixed walk through many shapes: heights and places from a small generator.
        let mut seed = 7_u32;
        let mut next = |limit: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from((seed >> 8) % limit)
        };
        for _ in 0..500 {
            let count = 1 + next(8) as usize;
            let mut slots: Vec<Slot> = (0..count).map(|_| slot(next(600), 20.0 + next(120))).collect();
            slots.sort_by(|a, b| a.wanted.unwrap().total_cmp(&b.wanted.unwrap()));
            for focused in (0..count).map(Some).chain([None]) {
                let tops = place(&slots, 8.0, focused);
                assert!(!overlaps(&slots, &tops, 8.0), "{slots:?} {focused:?} {tops:?}");
                assert!(
                    tops.iter().all(|top| *top >= 0.0),
                    "{slots:?} {focused:?} {tops:?}"
                );
            }
        }
    }
}
