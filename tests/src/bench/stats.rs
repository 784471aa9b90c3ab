//! Percentiles, CPU time and tables.

use std::time::Duration;

/// Times that were measured, in milliseconds.
#[derive(Debug, Default, Clone)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// Adds one measurement.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1000.0);
    }

    /// Adds another sample's measurements.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
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

/// CPU time that a process has used so far, all threads, user and system; `None` where the system does not tell.
#[must_use]
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the name in brackets, may hold spaces.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    // USER_HZ is 100 on every Linux that Rust supports.
    Some(Duration::from_millis(ticks * 10))
}

/// Resident memory of a process, in MB; `None` where the system does not tell.
#[must_use]
pub fn resident_mb(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
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
