//! How fast a model has been lately: a machine that has other work now reads more slowly than when the model was loaded.
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Pace;

/// How much the newest measurement counts against all before it.
const NEWEST: f64 = 0.3;

/// Shorter runs say more about what surrounds them than about the model.
const FEWEST_READ: usize = 24;

/// The same for tokens written.
const FEWEST_WRITTEN: usize = 4;

/// Moving averages of what was measured.
#[derive(Debug)]
pub(crate) struct PaceKeeper(Mutex<Pace>);

impl PaceKeeper {
    pub(crate) const fn new(first: Pace) -> Self {
        Self(Mutex::new(first))
    }

    pub(crate) fn now(&self) -> Pace {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many tokens of a prompt were read in this time.
    pub(crate) fn read(&self, tokens: usize, took: Duration) {
        if tokens >= FEWEST_READ {
            average(
                &mut self.0.lock().unwrap_or_else(PoisonError::into_inner).prefill,
                tokens,
                took,
            );
        }
    }

    /// So many tokens of an answer were written in this time.
    pub(crate) fn wrote(&self, tokens: usize, took: Duration) {
        if tokens >= FEWEST_WRITTEN {
            average(
                &mut self.0.lock().unwrap_or_else(PoisonError::into_inner).decode,
                tokens,
                took,
            );
        }
    }
}

fn average(speed: &mut f64, tokens: usize, took: Duration) {
    let measured = tokens as f64 / took.as_secs_f64().max(1e-6);
    *speed = if speed.is_finite() && *speed > 0.0 {
        *speed + NEWEST * (measured - *speed)
    } else {
        measured
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_follows_what_is_measured() {
        let pace = PaceKeeper::new(Pace {
            prefill: 1000.0,
            decode: 0.0,
        });
        for _ in 0..20 {
            pace.read(100, Duration::from_secs(1));
        }
        assert!((100.0..110.0).contains(&pace.now().prefill), "{:?}", pace.now());
        pace.read(1, Duration::from_secs(10));
        assert!(pace.now().prefill >= 100.0, "one token says nothing");
        pace.wrote(10, Duration::from_secs(1));
        assert_eq!(pace.now().decode, 10.0, "nothing was known before");
    }
}
