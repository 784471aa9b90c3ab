//! A bounded queue from many callers to one thread. A full queue first drops what nobody waits for any more.
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Something that can lose its reader while it waits.
pub(super) trait Waiting {
    /// Whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool;
}

/// Why something was not put in the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// This many wait already.
    Full(usize),
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
}

impl<T: Waiting> Queue<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let state = Mutex::new(State {
            items: VecDeque::new(),
            closed: false,
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
            return Err(Refused::Full(state.items.len()));
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
            match state.items.pop_front() {
                Some(item) if item.is_abandoned() => {}
                Some(item) => return Some(item),
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
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
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Debug)]
    struct Item(u8, Arc<AtomicBool>);

    impl Waiting for Item {
        fn is_abandoned(&self) -> bool {
            self.1.load(Ordering::Relaxed)
        }
    }

    fn item(n: u8) -> (Item, Arc<AtomicBool>) {
        let gone = Arc::new(AtomicBool::new(false));
        (Item(n, Arc::clone(&gone)), gone)
    }

    #[test]
    fn a_full_queue_refuses_until_a_waiting_one_is_abandoned() {
        let queue = Queue::new(2);
        let (first, gone) = item(1);
        queue.push(first).unwrap();
        queue.push(item(2).0).unwrap();
        assert_eq!(queue.push(item(3).0), Err(Refused::Full(2)));
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
