//! People as they are shown: once each, however many windows they have open.

use crate::events::{PeerKind, Person};

/// One entry for each person; one's own first, AI peers at the end. Who has no id is one person for each window.
#[must_use]
pub fn once_each(people: &[Person]) -> Vec<Person> {
    let mut once: Vec<Person> = Vec::new();
    for person in people {
        match once.iter_mut().find(|other| is_same(other, person)) {
            Some(other) if person.is_self => *other = person.clone(),
            Some(_) => {}
            None => once.push(person.clone()),
        }
    }
    once.sort_by_key(|person| (person.kind == PeerKind::Ai, !person.is_self));
    once
}

/// Clients of other makers give no id: nothing says that two of them are one person.
fn is_same(one: &Person, other: &Person) -> bool {
    if one.id.is_empty() || other.id.is_empty() {
        one.client_id == other.client_id
    } else {
        one.id == other.id && one.kind == other.kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(client_id: u64, id: &str, is_self: bool) -> Person {
        Person {
            client_id,
            id: id.into(),
            is_self,
            ..Person::default()
        }
    }

    #[test]
    fn windows_of_one_person_are_one_and_its_own_wins() {
        let shown = once_each(&[
            person(1, "ann", false),
            person(2, "bob", false),
            person(3, "ann", true),
        ]);
        assert_eq!(
            shown.iter().map(|person| person.client_id).collect::<Vec<_>>(),
            [3, 2]
        );
    }

    #[test]
    fn people_without_an_id_are_not_taken_for_one() {
        assert_eq!(once_each(&[person(1, "", false), person(2, "", false)]).len(), 2);
        assert_eq!(once_each(&[person(1, "", false), person(1, "", false)]).len(), 1);
    }

    #[test]
    fn models_come_last() {
        let model = Person {
            kind: PeerKind::Ai,
            ..person(1, "m", false)
        };
        assert_eq!(once_each(&[model, person(2, "bob", false)])[0].id, "bob");
    }
}
