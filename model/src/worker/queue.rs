//! A bounded queue from many callers to one thread. A full queue first drops what nobody waits for any more. What is more
//! urgent comes first, among equals whoever had a turn longest ago, and nobody is passed over for long.
use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::generate::Turn;

/// How often the one that waits longest may be passed over.
const MOST_PASSED: usize = 4;

/// Of more requesters than this it is not remembered when they had a turn.
const MOST_REMEMBERED: usize = 1000;

/// Something that can lose its reader while it waits.
pub(super) trait Waiting {
    /// Whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool;

    /// For whom, and how soon.
    fn turn(&self) -> &Turn;

    /// How long it will take at most.
    fn cost(&self) -> Duration;
}

/// Why something was not put in the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// This many wait already, and they will take so long at most.
    Full(usize, Duration),
    /// The thread has ended, or is about to.
    Closed,
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    closed: bool,
    /// When each requester last had a turn.
    served: HashMap<String, u64>,
    turns: u64,
    /// How often the one at the front was passed over.
    passed: usize,
}

impl<T: Waiting> State<T> {
    /// Takes out the next of those that may be next.
    fn next(&mut self, may: impl Fn(&T) -> bool) -> Option<T> {
        let last = |item: &T| self.served.get(&item.turn().requester).copied().unwrap_or(0);
        let mut able = self.items.iter().enumerate().filter(|(_, item)| may(item));
        let first = able.next()?;
        let next = if self.passed >= MOST_PASSED {
            first.0
        } else {
            let order = |(_, item): &(usize, &T)| (Reverse(item.turn().priority), last(item));
            std::iter::once(first).chain(able).min_by_key(order)?.0
        };
        // who may not be next anyway is not passed over
        self.passed = if next == first.0 { 0 } else { self.passed + 1 };
        let item = self.items.remove(next)?;
        if self.served.len() >= MOST_REMEMBERED {
            self.served.clear();
        }
        self.turns += 1;
        self.served.insert(item.turn().requester.clone(), self.turns);
        Some(item)
    }
}

impl<T: Waiting> Queue<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let state = Mutex::new(State {
            items: VecDeque::new(),
            closed: false,
            served: HashMap::new(),
            turns: 0,
            passed: 0,
        });
        Self {
            state,
            changed: Condvar::new(),
            capacity: capacity.max(1),
        }
    }

    /// Puts something at the end, at once.
    pub(super) fn push(&self, item: T) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.items.len() >= self.capacity {
            state.items.retain(|item| !item.is_abandoned());
        }
        if state.items.len() >= self.capacity {
            let cost = state.items.iter().map(Waiting::cost).sum();
            return Err(Refused::Full(state.items.len(), cost));
        }
        state.items.push_back(item);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for the next that somebody waits for; `None` once the queue is closed.
    pub(super) fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            state.items.retain(|item| !item.is_abandoned());
            match state.next(|_| true) {
                Some(item) => return Some(item),
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// The next that somebody waits for and that may be next, without waiting.
    pub(super) fn pop_now(&self, may: impl Fn(&T) -> bool) -> Option<T> {
        let mut state = self.lock();
        state.items.retain(|item| !item.is_abandoned());
        state.next(may)
    }

    /// Ends the queue; what waits in it is dropped.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.items.clear();
        self.changed.notify_all();
    }

    /// Something that ends the queue when it is dropped, for the thread that takes from it: whatever ends the thread,
    /// nobody waits for it afterwards.
    pub(super) const fn until_dropped(queue: Arc<Self>) -> CloseOnDrop<T> {
        CloseOnDrop(queue)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Queue::until_dropped`].
#[derive(Debug)]
pub(super) struct CloseOnDrop<T: Waiting>(Arc<Queue<T>>);

impl<T: Waiting> Drop for CloseOnDrop<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Priority;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Debug)]
    struct Item(u8, Arc<AtomicBool>, Turn);

    impl Waiting for Item {
        fn is_abandoned(&self) -> bool {
            self.1.load(Ordering::Relaxed)
        }

        fn turn(&self) -> &Turn {
            &self.2
        }

        fn cost(&self) -> Duration {
            Duration::from_secs(u64::from(self.0))
        }
    }

    fn item(n: u8) -> (Item, Arc<AtomicBool>) {
        let gone = Arc::new(AtomicBool::new(false));
        (Item(n, Arc::clone(&gone), Turn::default()), gone)
    }

    fn of(n: u8, requester: &str, priority: Priority) -> Item {
        let turn = Turn {
            requester: requester.to_owned(),
            priority,
        };
        Item(n, Arc::default(), turn)
    }

    fn order(queue: &Queue<Item>) -> Vec<u8> {
        let waiting = queue.lock().items.len();
        (0..waiting)
            .filter_map(|_| queue.pop().map(|item| item.0))
            .collect()
    }

    #[test]
    fn everybody_has_a_turn_however_much_one_asks() {
        let queue = Queue::new(20);
        for n in 1..=4 {
            queue.push(of(n, "anna", Priority::Proposal)).unwrap();
        }
        queue.push(of(5, "ben", Priority::Proposal)).unwrap();
        queue.push(of(6, "ben", Priority::Proposal)).unwrap();
        queue.push(of(7, "carl", Priority::Proposal)).unwrap();
        assert_eq!(order(&queue), [1, 5, 7, 2, 6, 3, 4]);
    }

    #[test]
    fn what_is_typed_comes_first_and_proposals_are_not_passed_over_for_ever() {
        let queue = Queue::new(20);
        queue.push(of(1, "anna", Priority::Background)).unwrap();
        queue.push(of(2, "anna", Priority::Proposal)).unwrap();
        for n in 3..=9 {
            queue.push(of(n, "ben", Priority::Typing)).unwrap();
        }
        assert_eq!(order(&queue), [3, 4, 5, 6, 1, 7, 8, 9, 2]);
    }

    #[test]
    fn who_may_not_be_next_waits_and_is_not_passed_over() {
        let queue = Queue::new(20);
        queue.push(of(1, "anna", Priority::Proposal)).unwrap();
        for n in 2..=9 {
            queue.push(of(n, "ben", Priority::Typing)).unwrap();
        }
        let typing = || {
            queue
                .pop_now(|item| item.2.priority == Priority::Typing)
                .map(|item| item.0)
        };
        let first: Vec<_> = (0..6).filter_map(|_| typing()).collect();
        assert_eq!(first, [2, 3, 4, 5, 6, 7]);
        assert_eq!(order(&queue), [8, 9, 1]);
        assert!(typing().is_none(), "and nobody waits");
    }

    #[test]
    fn a_full_queue_refuses_until_a_waiting_one_is_abandoned() {
        let queue = Queue::new(2);
        let (first, gone) = item(1);
        queue.push(first).unwrap();
        queue.push(item(2).0).unwrap();
        assert_eq!(
            queue.push(item(3).0),
            Err(Refused::Full(2, Duration::from_secs(3)))
        );
        gone.store(true, Ordering::Relaxed);
        queue.push(item(4).0).unwrap();
        assert_eq!(queue.pop().map(|i| i.0), Some(2));
        assert_eq!(queue.pop().map(|i| i.0), Some(4));
    }

    #[test]
    fn the_abandoned_are_passed_over_and_closing_ends_the_wait() {
        let queue = Arc::new(Queue::new(4));
        let (first, gone) = item(1);
        gone.store(true, Ordering::Relaxed);
        queue.push(first).unwrap();
        let waiting = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.pop().map(|i| i.0)
        });
        queue.close();
        assert_eq!(waiting.join().unwrap(), None);
        assert_eq!(queue.push(item(2).0), Err(Refused::Closed));
    }

    #[test]
    fn a_thread_that_dies_ends_the_queue() {
        let queue = Arc::new(Queue::new(4));
        queue.push(item(1).0).unwrap();
        let dying = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                let _until = Queue::until_dropped(Arc::clone(&queue));
                assert!(queue.pop().is_none(), "it dies here");
            }
        });
        assert!(dying.join().is_err());
        assert_eq!(queue.push(item(2).0), Err(Refused::Closed));
    }
}
