//! Whether a model fits the memory that there is, told before it is loaded.
use crate::engine::LoadError;

/// Memory that can be had without pushing others out, in bytes; `None` where the system does not tell.
#[must_use]
pub fn free_memory() -> Option<u64> {
    let told = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// What a model needs beside its weights: an eighth of them for runs and packed copies.
const fn needed(weights: u64) -> u64 {
    weights.saturating_add(weights / 8)
}

/// Refuses weights of so many bytes when there is not memory enough for them.
///
/// # Errors
/// [`LoadError::TooLarge`], with what would fit.
pub fn check(weights: u64, free: Option<u64>) -> Result<(), LoadError> {
    let needed = needed(weights);
    match free {
        Some(free) if needed > free => Err(LoadError::TooLarge {
            needed: gigabytes(needed),
            free: gigabytes(free),
            // 4-bit weights with their scales take about 0.6 bytes each
            fits: gigabytes(free.saturating_mul(8) / 9 * 10 / 6),
        }),
        _ => Ok(()),
    }
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        assert!(check(8_000_000_000, Some(9_100_000_000)).is_ok());
        assert!(check(u64::MAX, None).is_ok(), "nobody knows");
        let words = check(8_000_000_000, Some(4_000_000_000)).unwrap_err().to_string();
        assert!(
            words.contains("9.0 GB") && words.contains("4.0 GB are free"),
            "{words}"
        );
        assert!(words.contains("5.9 billion parameters"), "{words}");
    }
}
