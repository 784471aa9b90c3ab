//! Settings of a run, and cutting down what failed.

/// A setting from outside.
#[expect(clippy::disallowed_methods, reason = "a test run is steered from outside")]
pub(crate) fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs without the panics' own messages, which a plan that is being cut down would print by the hundred.
pub(crate) fn quietly<T>(action: impl FnOnce() -> T) -> T {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = action();
    std::panic::set_hook(hook);
    result
}

/// What a panic said.
pub(crate) fn words(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_default()
}

/// The smallest part of `steps` for which `fails` still holds, tried chunk by chunk (Zeller's delta debugging).
pub(crate) fn cut_down<T: Clone>(steps: &[T], fails: impl Fn(&[T]) -> bool) -> Vec<T> {
    let mut best = steps.to_vec();
    let mut chunk = (best.len() / 2).max(1);
    loop {
        let mut start = 0;
        let mut smaller = false;
        while start < best.len() {
            let mut part = best.clone();
            part.drain(start..(start + chunk).min(best.len()));
            if fails(&part) {
                best = part;
                smaller = true;
            } else {
                start += chunk;
            }
        }
        if !smaller && chunk == 1 {
            return best;
        }
        if !smaller {
            chunk /= 2;
        }
    }
}
