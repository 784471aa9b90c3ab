//! The caches of the requests that run and of the last ones. A document's next request begins almost as its last one did, so
//! what was read for that is kept, within a bound of bytes, and the least recently used goes first.
use super::seat::Seat;

/// More are not kept however small they are: each has its place in the search for the longest common beginning.
const MOST: usize = 16;

/// Fewer tokens are read again rather than copied.
const FEWEST_COPIED: usize = 16;

/// The seat of a cache that is not taken.
const NOBODY: Seat = Seat(0);

/// One cache and the tokens in it.
#[derive(Debug)]
pub(super) struct Kept<C> {
    seat: Seat,
    /// A request runs in it: it is not given to others, and stays.
    taken: bool,
    /// It has not what `tokens` says, because a copy failed.
    pub(super) lost: bool,
    pub(super) cache: C,
    pub(super) tokens: Vec<u32>,
    /// How many of `tokens`, from the start, were read in runs of several tokens.
    pub(super) read: usize,
    /// Tokens that it has memory for.
    pub(super) room: usize,
    used: u64,
    /// Whose it is: keys and values are never reused under another adapter.
    owner: u64,
}

impl<C> Kept<C> {
    pub(super) const fn seat(&self) -> Seat {
        self.seat
    }

    /// Forgets what follows the first `keep` tokens.
    pub(super) fn cut(&mut self, keep: usize) {
        self.tokens.truncate(keep);
        self.read = self.read.min(keep);
    }

    /// The tokens at its start that another prompt may reuse.
    pub(super) fn reusable(&self) -> &[u32] {
        self.tokens.get(..self.read).unwrap_or_default()
    }
}

/// What to read a prompt into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A cache that begins as the prompt does.
    Kept(usize),
    /// One more, which begins with a copy of what another has, because a request runs in that.
    Copied(usize),
    /// A cache whose tokens are to be forgotten.
    Emptied(usize),
    /// One more.
    New,
}

/// All of them; one is in use.
#[derive(Debug)]
pub(super) struct Pool<C> {
    kept: Vec<Kept<C>>,
    active: usize,
    seats: u64,
    clock: u64,
    token_bytes: usize,
    limit: usize,
    /// For whom prompts are read now.
    owner: u64,
}

impl<C> Pool<C> {
    pub(super) fn new(first: C, token_bytes: usize, limit: usize) -> Self {
        let mut pool = Self {
            kept: Vec::new(),
            active: 0,
            seats: 0,
            clock: 0,
            token_bytes,
            limit,
            owner: 0,
        };
        pool.add(first);
        pool
    }

    /// The one in use. There always is one.
    #[expect(
        clippy::indexing_slicing,
        reason = "`active` is only set to a place that there is"
    )]
    pub(super) fn active(&self) -> &Kept<C> {
        &self.kept[self.active]
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "`active` is only set to a place that there is"
    )]
    pub(super) fn active_mut(&mut self) -> &mut Kept<C> {
        &mut self.kept[self.active]
    }

    /// The seat of the one in use, which is taken now.
    pub(super) fn take_seat(&mut self) -> Seat {
        self.seats += 1;
        let seat = Seat(self.seats);
        let kept = self.active_mut();
        (kept.taken, kept.seat) = (true, seat);
        seat
    }

    pub(super) fn is_taken(&self, seat: Seat) -> bool {
        self.at(seat).is_some_and(|kept| kept.taken)
    }

    pub(super) fn is_taken_for(&self, seat: Seat, owner: u64) -> bool {
        self.at(seat)
            .is_some_and(|kept| kept.taken && kept.owner == owner)
    }

    /// Bytes that may be kept.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// Turns to a seat; returns whether another one was in use before. `None`: there is no such seat.
    pub(super) fn sit(&mut self, seat: Seat) -> Option<bool> {
        let index = self.kept.iter().position(|kept| kept.seat == seat)?;
        let other = index != self.active;
        self.owner = self.kept.get(index).map_or(self.owner, |kept| kept.owner);
        self.turn_to(index);
        Some(other)
    }

    /// Nobody runs there any more.
    pub(super) fn leave(&mut self, seat: Seat) {
        if let Some(kept) = self.at_mut(seat) {
            kept.taken = false;
            kept.seat = NOBODY;
            if kept.lost {
                kept.cut(0);
                kept.lost = false;
            }
        }
        self.make_way(); // what is over the limit may go now
    }

    /// The one at a seat.
    pub(super) fn at(&self, seat: Seat) -> Option<&Kept<C>> {
        self.kept.iter().find(|kept| kept.seat == seat)
    }

    pub(super) fn at_mut(&mut self, seat: Seat) -> Option<&mut Kept<C>> {
        self.kept.iter_mut().find(|kept| kept.seat == seat)
    }

    /// The cache of one, and the one in use.
    pub(super) fn pair(&mut self, from: usize) -> Option<(&Kept<C>, &mut Kept<C>)> {
        match self.kept.get_disjoint_mut([from, self.active]) {
            Ok([from, active]) => Some((from, active)),
            Err(_) => None,
        }
    }

    /// Reads prompts for somebody else from now on.
    pub(super) const fn set_owner(&mut self, owner: u64) {
        self.owner = owner;
    }

    /// For whom prompts are read.
    pub(super) const fn owner(&self) -> u64 {
        self.owner
    }

    /// Whether the one in use is theirs.
    pub(super) fn is_own(&self) -> bool {
        self.active().owner == self.owner
    }

    /// Tokens were fed to the one in use.
    pub(super) fn fed(&mut self, tokens: &[u32]) {
        let kept = self.active_mut();
        if tokens.len() > 1 && kept.read == kept.tokens.len() {
            kept.read += tokens.len();
        }
        kept.tokens.extend_from_slice(tokens);
        kept.room = kept.room.max(kept.tokens.len());
    }

    /// The one in use has memory for so many tokens now; others make way for it.
    pub(super) fn holds(&mut self, room: usize) {
        self.active_mut().room = room;
        self.turn_to(self.active);
    }

    /// The one in use is to be emptied, and will hold nothing.
    pub(super) fn forget(&mut self) -> &mut C {
        let kept = self.active_mut();
        kept.tokens.clear();
        kept.read = 0;
        kept.room = 0;
        &mut kept.cache
    }

    pub(super) const fn is_active(&self, index: usize) -> bool {
        self.active == index
    }

    /// Bytes that all of them hold.
    pub(super) fn bytes(&self) -> usize {
        self.kept.iter().map(|kept| kept.room * self.token_bytes).sum()
    }

    /// What each of an owner's can be reused for.
    pub(super) fn contents(&self, owner: u64) -> Vec<Vec<u32>> {
        let own = self.kept.iter().filter(|kept| kept.owner == owner && !kept.taken);
        own.map(|kept| kept.reusable().to_vec()).collect()
    }

    /// Where to read a prompt.
    pub(super) fn place(&self, prompt: &[u32]) -> Place {
        let best = self
            .kept
            .iter()
            .enumerate()
            .filter(|(_, kept)| kept.owner == self.owner)
            .map(|(index, kept)| (common(kept.reusable(), prompt), kept.used, index, kept.read))
            .max();
        // One that shares only a little is another document's: it keeps what it has.
        if let Some((common, _, index, read)) = best
            && (common * 2 >= read || common * 2 >= prompt.len())
        {
            match self.kept.get(index) {
                Some(kept) if !kept.taken => return Place::Kept(index),
                Some(_) if common >= FEWEST_COPIED => return Place::Copied(index),
                _ => {}
            }
        }
        let oldest = self
            .kept
            .iter()
            .enumerate()
            .filter(|(_, kept)| !kept.taken)
            .min_by_key(|(_, kept)| (!kept.tokens.is_empty(), kept.used));
        match oldest {
            Some((index, kept)) if kept.tokens.is_empty() => Place::Emptied(index),
            Some((index, _))
                if self.kept.len() >= MOST || self.bytes() + prompt.len() * self.token_bytes > self.limit =>
            {
                Place::Emptied(index)
            }
            _ => Place::New,
        }
    }

    /// Takes one into use, which is the owner's then; drops others, the least recently used first, until all fit.
    pub(super) fn turn_to(&mut self, index: usize) {
        self.clock += 1;
        self.active = index.min(self.kept.len().saturating_sub(1));
        let (clock, owner) = (self.clock, self.owner);
        let active = self.active_mut();
        (active.used, active.owner) = (clock, owner);
        self.make_way();
    }

    /// Drops the least recently used, until all fit.
    fn make_way(&mut self) {
        while self.kept.len() > 1 && self.bytes() > self.limit {
            let oldest = self
                .kept
                .iter()
                .enumerate()
                .filter(|(index, kept)| *index != self.active && !kept.taken)
                .min_by_key(|(_, kept)| kept.used)
                .map(|(index, _)| index);
            let Some(oldest) = oldest else { return };
            self.kept.remove(oldest);
            self.active -= usize::from(oldest < self.active);
        }
    }

    /// Adds one and takes it into use.
    pub(super) fn add(&mut self, cache: C) {
        self.kept.push(Kept {
            seat: NOBODY,
            taken: false,
            lost: false,
            cache,
            tokens: Vec::new(),
            read: 0,
            room: 0,
            used: 0,
            owner: self.owner,
        });
        self.turn_to(self.kept.len() - 1);
    }
}

/// How many tokens two beginnings have in common.
pub(crate) fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(limit: usize) -> Pool<()> {
        Pool::new((), 1, limit)
    }

    fn read(pool: &mut Pool<()>, prompt: &[u32]) -> usize {
        match pool.place(prompt) {
            Place::Kept(index) => pool.turn_to(index),
            Place::Emptied(index) => {
                pool.turn_to(index);
                pool.active_mut().tokens.clear();
                pool.active_mut().read = 0;
            }
            Place::Copied(_) => panic!("nobody runs"),
            Place::New => pool.add(()),
        }
        let reused = common(pool.active().reusable(), prompt);
        let kept = pool.active_mut();
        kept.tokens.truncate(reused);
        kept.read = reused;
        pool.fed(&prompt[reused..]);
        reused
    }

    fn document(number: u32, length: u32) -> Vec<u32> {
        // the same template before each
        (0..10).chain((0..length).map(|n| number * 1000 + n)).collect()
    }

    #[test]
    fn each_document_finds_what_was_read_of_it() {
        let mut pool = pool(1000);
        let (a, b) = (document(1, 100), document(2, 100));
        assert_eq!(read(&mut pool, &a), 0);
        assert_eq!(read(&mut pool, &b), 0, "another document's cache is left alone");
        let mut edited = a.clone();
        edited[90] = 7;
        assert_eq!(read(&mut pool, &edited), 90);
        assert_eq!(read(&mut pool, &b), 110);
        assert!(pool.bytes() <= 1000);
    }

    #[test]
    fn the_bound_holds_and_the_oldest_goes_first() {
        let mut pool = pool(250);
        for number in 1..=5 {
            read(&mut pool, &document(number, 100));
            assert!(pool.bytes() <= 250, "{}", pool.bytes());
        }
        assert_eq!(read(&mut pool, &document(5, 100)), 110);
        assert_eq!(read(&mut pool, &document(4, 100)), 110);
        assert!(read(&mut pool, &document(1, 100)) <= 10);
        assert_eq!(read(&mut pool, &document(4, 100)), 110, "five was older");
    }

    #[test]
    fn nobody_finds_what_was_read_for_somebody_else() {
        let mut pool = pool(1000);
        let a = document(1, 100);
        pool.set_owner(1);
        assert_eq!(read(&mut pool, &a), 0);
        pool.set_owner(2);
        assert!(!pool.is_own());
        assert_eq!(read(&mut pool, &a), 0, "the first one's is left alone");
        assert_eq!(read(&mut pool, &a), 110);
        assert_eq!(pool.contents(2).len(), 1);
        pool.set_owner(1);
        assert_eq!(read(&mut pool, &a), 110);
        pool.set_owner(0);
        assert_eq!(read(&mut pool, &a), 0);
    }

    #[test]
    fn what_somebody_runs_in_is_left_alone_and_copied() {
        let mut pool = pool(250);
        let a = document(1, 100);
        read(&mut pool, &a);
        let seat = pool.take_seat();
        assert_eq!(pool.place(&a), Place::Copied(0));
        assert!(pool.contents(0).is_empty(), "nobody can have it now");
        for number in 2..=5 {
            read(&mut pool, &document(number, 100));
        }
        assert_eq!(pool.at(seat).map(|kept| kept.tokens.len()), Some(110), "it stays");
        assert_eq!(pool.sit(seat), Some(true));
        assert_eq!(pool.sit(seat), Some(false));
        pool.leave(seat);
        assert_eq!(pool.sit(seat), None, "it is nobody's now");
        assert_eq!(read(&mut pool, &a), 110);
        assert_ne!(pool.take_seat(), seat);
    }

    #[test]
    fn tokens_that_were_read_one_by_one_are_not_reused() {
        let mut pool = pool(1000);
        pool.fed(&[1, 2, 3]);
        pool.fed(&[4]);
        pool.fed(&[5, 6]);
        assert_eq!(pool.active().reusable(), [1, 2, 3]);
    }
}
