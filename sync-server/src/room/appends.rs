//! What a room has asked the store to write and has no answer to.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::store::{PendingWrite, StoreError};

/// Appends whose answers have not come, in order, each with the run of appends that it belongs to.
#[derive(Debug, Default)]
pub(super) struct Appends {
    waiting: VecDeque<Append>,
    /// Of all of them.
    bytes: usize,
}

#[derive(Debug)]
struct Append {
    run: u64,
    seq: u64,
    bytes: usize,
    queued: Result<PendingWrite, StoreError>,
}

/// The store's answer to an append, and to all of its run before it.
#[derive(Debug)]
pub(super) struct Appended {
    pub(super) run: u64,
    pub(super) seq: u64,
    pub(super) result: Result<(), StoreError>,
}

impl Appends {
    pub(super) fn push(
        &mut self,
        run: u64,
        seq: u64,
        bytes: usize,
        queued: Result<PendingWrite, StoreError>,
    ) {
        self.bytes += bytes;
        self.waiting.push_back(Append {
            run,
            seq,
            bytes,
            queued,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many bytes the store has been asked to write and has not answered for.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Waits for the next answer. Appends that the store has done together are answered together.
    pub(super) async fn next(&mut self) -> Appended {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Appended> {
        let mut done: Option<Appended> = None;
        while let Some(first) = self.waiting.front_mut() {
            // A failure, or what belongs to another run, is an answer of its own.
            if done.as_ref().is_some_and(|done| done.run != first.run) {
                break;
            }
            let result = match &mut first.queued {
                Ok(pending) => match pending.poll_done(cx) {
                    Poll::Ready(result) => result,
                    Poll::Pending => break,
                },
                Err(error) => Err(error.clone()),
            };
            if let (Err(error), true) = (&result, done.is_some()) {
                first.queued = Err(error.clone());
                break;
            }
            let (run, seq, failed) = (first.run, first.seq, result.is_err());
            self.bytes -= first.bytes;
            done = Some(Appended { run, seq, result });
            self.waiting.pop_front();
            if failed {
                break;
            }
        }
        done.map_or(Poll::Pending, Poll::Ready)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    fn append(appends: &mut Appends, run: u64, seq: u64) -> oneshot::Sender<Result<(), StoreError>> {
        let (answer, pending) = oneshot::channel();
        appends.push(run, seq, 10, Ok(pending.into()));
        answer
    }

    fn next(appends: &mut Appends) -> Option<(u64, u64, bool)> {
        let answer = appends.next().now_or_never()?;
        Some((answer.run, answer.seq, answer.result.is_ok()))
    }

    #[test]
    fn what_was_done_together_is_answered_together() {
        let mut appends = Appends::default();
        let answers: Vec<_> = (1..=5).map(|seq| append(&mut appends, 0, seq)).collect();
        assert_eq!(next(&mut appends), None);
        for answer in answers.into_iter().take(3) {
            answer.send(Ok(())).unwrap();
        }
        assert_eq!(appends.bytes(), 50);
        assert_eq!(next(&mut appends), Some((0, 3, true)));
        assert_eq!(appends.bytes(), 20);
        // Those whose answer will never come.
        assert_eq!(next(&mut appends), Some((0, 4, false)));
        assert_eq!(next(&mut appends), Some((0, 5, false)));
        assert!(appends.is_empty() && appends.bytes() == 0);
    }

    #[test]
    fn a_failure_is_told_after_what_was_done_and_before_what_comes_again() {
        let mut appends = Appends::default();
        let results = [Ok(()), Err(StoreError::Closed), Err(StoreError::Closed), Ok(())];
        for (number, result) in results.into_iter().enumerate() {
            let (run, seq) = [(0, 1), (0, 2), (0, 3), (1, 2)][number];
            append(&mut appends, run, seq).send(result).unwrap();
        }
        let told: Vec<_> =
            std::iter::from_fn(|| (!appends.is_empty()).then(|| next(&mut appends).unwrap())).collect();
        assert_eq!(told, [(0, 1, true), (0, 2, false), (0, 3, false), (1, 2, true)]);
    }
}
