//! Percentiles, CPU time, memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Times that were measured, in milliseconds.
#[derive(Debug, Default, Clone)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// Adds one measurement.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1000.0);
    }

    /// How many measurements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that `share` (0 to 1) of the measurements stay at or below; 0 when there are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
    }

    /// `p50 / p95 / p99 / max` in milliseconds.
    #[must_use]
    pub fn summary(&self) -> String {
        let [p50, p95, p99, max] = [0.5, 0.95, 0.99, 1.0].map(|share| self.quantile(share));
        format!(
            "p50 {p50:.2}  p95 {p95:.2}  p99 {p99:.2}  max {max:.2} ms  (n = {})",
            self.len()
        )
    }
}

/// Steps of a [`Histogram`] for each doubling: 3 % apart.
const STEPS: usize = 32;
/// Doublings from a microsecond on: enough for an hour.
const DOUBLINGS: usize = 32;

/// Times that many tasks measure at once, to 3 %.
#[derive(Debug)]
pub struct Histogram(Vec<AtomicU64>);

impl Default for Histogram {
    fn default() -> Self {
        Self((0..STEPS * DOUBLINGS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Histogram {
    /// Adds one measurement.
    pub fn add(&self, time: Duration) {
        let micros = (time.as_nanos() as f64 / 1000.0).max(1.0);
        let step = (micros.log2() * STEPS as f64) as usize;
        self.0[step.min(self.0.len() - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// How many measurements there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|step| step.load(Ordering::Relaxed)).sum()
    }

    /// The value in milliseconds that `share` (0 to 1) of the measurements stay at or below; 0 when there are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = (share * self.count() as f64).ceil() as u64;
        let mut seen = 0;
        for (index, step) in self.0.iter().enumerate() {
            seen += step.load(Ordering::Relaxed);
            if seen >= rank && seen > 0 {
                return ((index + 1) as f64 / STEPS as f64).exp2() / 1000.0;
            }
        }
        0.0
    }
}

/// CPU time of a server and of this process, the load, over a stretch of time.
#[derive(Debug)]
pub struct Meter {
    pid: u32,
    begin: Instant,
    server: Duration,
    load: Duration,
}

/// What a [`Meter`] saw.
#[derive(Debug, Clone, Copy)]
pub struct Metered {
    /// How long it was.
    pub seconds: f64,
    /// CPU time of the server, seconds.
    pub server: f64,
    /// CPU time of the load, in % of one core.
    pub load_percent: f64,
}

impl Meter {
    /// Begins to watch a server.
    #[must_use]
    pub fn start(pid: u32) -> Self {
        Self {
            pid,
            begin: Instant::now(),
            server: cpu_time(pid).unwrap_or_default(),
            load: cpu_time(std::process::id()).unwrap_or_default(),
        }
    }

    /// What was used since.
    #[must_use]
    pub fn stop(&self) -> Metered {
        let seconds = self.begin.elapsed().as_secs_f64();
        let used = |pid, before: Duration| {
            cpu_time(pid)
                .unwrap_or_default()
                .saturating_sub(before)
                .as_secs_f64()
        };
        Metered {
            seconds,
            server: used(self.pid, self.server),
            load_percent: used(std::process::id(), self.load) / seconds * 100.0,
        }
    }
}

/// CPU time that a process has used so far, all threads, user and system; `None` where the system does not tell.
#[must_use]
pub fn cpu_time(pid: u32) -> Option<Duration> {
    // Of the whole process, but in steps of 10 ms (USER_HZ is 100 on every Linux that Rust supports). The second field,
    // the name in brackets, may hold spaces.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    // In nanoseconds, but only of the threads that have not ended.
    let nanos = std::fs::read_dir(format!("/proc/{pid}/task"))
        .ok()?
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .sum();
    Some(Duration::from_millis(ticks * 10).max(Duration::from_nanos(nanos)))
}

/// Resident memory of a process, in KiB; `None` where the system does not tell.
#[must_use]
pub fn resident_kib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The load average over the last minute: how busy the machine is besides.
#[must_use]
pub fn load() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split_whitespace().next().map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// One line of a bench's table.
pub fn row(name: &str, value: &str, goal: &str) {
    println!("  {name:<44} {value:<62} {goal}");
}

/// The middle of sorted values; 0 when there are none.
#[must_use]
pub fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_right_to_three_percent() {
        let histogram = Histogram::default();
        for micros in 1..=10_000 {
            histogram.add(Duration::from_micros(micros));
        }
        for (share, millis) in [(0.5, 5.0), (0.95, 9.5), (0.99, 9.9)] {
            let found = histogram.quantile(share);
            assert!((found / millis - 1.0).abs() < 0.03, "{share}: {found}");
        }
    }
}
