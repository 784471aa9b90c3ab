//! Updates of people who type, made and read by hand: a load that ran a CRDT for thousands would measure itself.

use anyhow::Context as _;

use super::client::{get_uint, put_bytes, put_uint};

/// The root text that the typists write into.
pub const ROOT: &str = "bench";

const GONE: u8 = 0;
const DELETED: u8 = 1;
const STRING: u8 = 4;
const FORMAT: u8 = 6;
const ANY: u8 = 8;
const SKIP: u8 = 10;
/// How a text begins among the values of [`ANY`].
const ANY_STRING: u8 = 119;
/// Bits of a struct's first byte: what stands to its left, what to its right, and the key of a map.
const LEFT: u8 = 0x80;
const RIGHT: u8 = 0x40;
const KEY: u8 = 0x20;

/// A person who types a letter after the other at one place.
#[derive(Debug)]
pub struct Typist {
    client: u64,
    clock: u64,
}

impl Typist {
    /// A person with the given client id.
    #[must_use]
    pub const fn new(client: u64) -> Self {
        Self { client, clock: 0 }
    }

    /// How many letters there are so far.
    #[must_use]
    pub const fn typed(&self) -> u64 {
        self.clock
    }

    /// Types one letter; returns the update (v1).
    pub fn key(&mut self) -> Vec<u8> {
        let mut update = vec![1, 1]; // one client, one struct
        put_uint(&mut update, self.client);
        put_uint(&mut update, self.clock);
        if let Some(before) = self.clock.checked_sub(1) {
            update.push(STRING | LEFT);
            put_uint(&mut update, self.client);
            put_uint(&mut update, before);
        } else {
            update.extend_from_slice(&[STRING, 1]); // its parent is a root, by name
            put_bytes(&mut update, ROOT.as_bytes());
        }
        put_bytes(&mut update, b"x");
        update.push(0); // nothing is deleted
        self.clock += 1;
        update
    }
}

/// Tells for each client in an update (v1) up to which clock it brings us: a server may send several edits as one.
///
/// # Errors
/// When it is no update, or holds what the benches do not write.
pub fn reached(update: &[u8], mut tell: impl FnMut(u64, u64)) -> anyhow::Result<()> {
    by_hand(update, &mut tell).context("an update arrived that nobody in this bench makes")
}

fn by_hand(update: &[u8], tell: &mut impl FnMut(u64, u64)) -> Option<()> {
    let (clients, mut rest) = get_uint(update)?;
    for _ in 0..clients {
        let (structs, more) = get_uint(rest)?;
        let (client, more) = get_uint(more)?;
        let (mut clock, more) = get_uint(more)?;
        rest = more;
        for _ in 0..structs {
            let (length, more) = length(rest)?;
            clock += length;
            rest = more;
        }
        tell(client, clock);
    }
    Some(())
}

/// How many clocks the struct at the beginning of `bytes` takes, and what follows it.
fn length(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&info, mut rest) = bytes.split_first()?;
    if matches!(info, GONE | SKIP) {
        return get_uint(rest);
    }
    for side in [LEFT, RIGHT] {
        if info & side != 0 {
            rest = get_uint(get_uint(rest)?.1)?.1;
        }
    }
    if info & (LEFT | RIGHT) == 0 {
        let (by_name, more) = get_uint(rest)?;
        rest = if by_name == 1 {
            string(more)?.1
        } else {
            get_uint(get_uint(more)?.1)?.1
        };
        if info & KEY != 0 {
            rest = string(rest)?.1;
        }
    }
    match info & 0x1f {
        DELETED => get_uint(rest),
        STRING => {
            let (text, rest) = string(rest)?;
            // In UTF-16: one for each character, and one more for each of four bytes.
            let units = text.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
                + text.iter().filter(|byte| **byte >= 0xf0).count();
            Some((units as u64, rest))
        }
        FORMAT => Some((1, string(string(rest)?.1)?.1)),
        ANY => {
            let (values, mut rest) = get_uint(rest)?;
            for _ in 0..values {
                rest = string(rest.strip_prefix(&[ANY_STRING])?)?.1;
            }
            Some((values, rest))
        }
        _ => None,
    }
}

fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = get_uint(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use yrs::updates::decoder::Decode as _;
    use yrs::{
        Any, Doc, GetString as _, Map as _, ReadTxn as _, StateVector, Text as _, Transact as _, Update,
    };

    fn told(update: &[u8]) -> Vec<(u64, u64)> {
        let mut told = Vec::new();
        assert!(by_hand(update, &mut |client, clock| told.push((client, clock))).is_some());
        told.sort_unstable();
        told
    }

    #[test]
    fn what_is_made_by_hand_is_what_yrs_reads() {
        for client in [7, u64::from(u32::MAX), (1 << 53) - 1] {
            let mut typist = Typist::new(client);
            let doc = Doc::with_client_id(1);
            let text = doc.get_or_insert_text(ROOT);
            for _ in 0..300 {
                let update = typist.key();
                assert_eq!(told(&update), [(client, typist.typed())]);
                doc.transact_mut()
                    .apply_update(Update::decode_v1(&update).unwrap())
                    .unwrap();
            }
            assert_eq!(text.get_string(&doc.transact()), "x".repeat(300));
        }
    }

    #[test]
    fn what_yrs_makes_is_read_by_hand() {
        let doc = crdt::doc::open(9); // counts as yjs does, so that no character is cut in two
        let text = doc.get_or_insert_text(ROOT);
        text.insert(&mut doc.transact_mut(), 0, "aé😀");
        text.remove_range(&mut doc.transact_mut(), 0, 1);
        text.insert(&mut doc.transact_mut(), 1, "between");
        let map = doc.get_or_insert_map("large");
        for value in ["one", "two"] {
            map.insert(&mut doc.transact_mut(), "value", Any::from(value));
        }
        let update = doc.transact().encode_state_as_update_v1(&StateVector::default());
        let clock = doc.transact().state_vector().get(&doc.client_id());
        assert_eq!(told(&update), [(9, u64::from(clock))]);
    }
}
