//! Rounds of measurements, and the table that they become.

use std::collections::BTreeMap;

use super::candidate::Kind;
use super::relay::rows::{Bar, Better, Row};

/// Width of a row's title and of a server's column.
const TITLE: usize = 48;
const COLUMN: usize = 16;

/// Everything that was measured.
#[derive(Debug, Default)]
pub struct Report {
    /// By row, then by server: one value for each round.
    values: BTreeMap<Row, BTreeMap<Kind, Vec<f64>>>,
}

/// Whether ours reaches what it is to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Met,
    /// It does not.
    NotMet,
    /// There is nothing to reach, or nothing to compare with.
    Open,
}

impl Report {
    /// Adds one round's value.
    pub fn add(&mut self, row: Row, kind: Kind, value: f64) {
        self.values
            .entry(row)
            .or_default()
            .entry(kind)
            .or_default()
            .push(value);
    }

    /// Prints the table; returns how many bars were met and how many were not.
    #[must_use]
    pub fn print(&self, kinds: &[Kind]) -> (usize, usize) {
        let heads: String = kinds
            .iter()
            .map(|kind| format!("{:>COLUMN$}", kind.name()))
            .collect();
        println!("\n{:<TITLE$}{heads}  ours to reach", "median of the rounds");
        let (mut met, mut not_met) = (0, 0);
        for (row, servers) in &self.values {
            let (title, unit, better, bar) = row.about();
            let cells: String = kinds
                .iter()
                .map(|kind| {
                    let value = servers.get(kind).map(|values| middle(values));
                    format!(
                        "{:>COLUMN$}",
                        value.map_or_else(|| "-".to_owned(), |value| number(value, unit))
                    )
                })
                .collect();
            let verdict = self.verdict(*row);
            let words = match verdict {
                Verdict::Met => "met",
                Verdict::NotMet => "NOT MET",
                Verdict::Open => "",
            };
            println!("{title:<TITLE$}{cells}  {:<22} {words}", goal(bar, unit));
            met += usize::from(verdict == Verdict::Met);
            not_met += usize::from(verdict == Verdict::NotMet);
            if better != Better::Neither && servers.len() > 1 {
                let ratios: String = kinds
                    .iter()
                    .map(|kind| match self.ratios(*row, *kind) {
                        Some((median, worst)) => {
                            format!("{:>COLUMN$}", format!("{} ({})", times(median), times(worst)))
                        }
                        None => format!("{:>COLUMN$}", ""),
                    })
                    .collect();
                if !ratios.trim().is_empty() {
                    println!(
                        "{:<TITLE$}{ratios}",
                        "    ours is so many times better: median (worst)"
                    );
                }
            }
        }
        (met, not_met)
    }

    /// How many times better ours is than a peer: the median of the rounds, and the worst.
    fn ratios(&self, row: Row, peer: Kind) -> Option<(f64, f64)> {
        let servers = self.values.get(&row)?;
        let (ours, theirs) = (servers.get(&Kind::Ours)?, servers.get(&peer)?);
        if peer == Kind::Ours {
            return None;
        }
        let ratios: Vec<f64> = ours
            .iter()
            .zip(theirs)
            .filter_map(|(ours, theirs)| match row.about().2 {
                Better::Higher if *theirs > 0.0 => Some(ours / theirs),
                Better::Lower if *ours > 0.0 => Some(theirs / ours),
                _ => None,
            })
            .collect();
        let worst = ratios.iter().copied().reduce(f64::min)?;
        Some((middle(&ratios), worst))
    }

    /// Whether the bar of a row is met.
    #[must_use]
    pub fn verdict(&self, row: Row) -> Verdict {
        let Some(servers) = self.values.get(&row) else {
            return Verdict::Open;
        };
        let Some(ours) = servers.get(&Kind::Ours).map(|values| middle(values)) else {
            return Verdict::Open;
        };
        let met = match row.about().3 {
            Bar::None => return Verdict::Open,
            Bar::AtMost(most) => ours <= most,
            Bar::AtLeast(least) => ours >= least,
            Bar::TimesBest(least) => {
                let peers = servers.keys().filter_map(|peer| self.ratios(row, *peer));
                match peers.map(|(median, _)| median).reduce(f64::min) {
                    Some(smallest) => smallest >= least,
                    None => return Verdict::Open,
                }
            }
        };
        if met { Verdict::Met } else { Verdict::NotMet }
    }
}

fn goal(bar: Bar, unit: &str) -> String {
    match bar {
        Bar::None => String::new(),
        Bar::AtMost(most) => format!("<= {}", number(most, unit)),
        Bar::AtLeast(least) => format!(">= {}", number(least, unit)),
        Bar::TimesBest(1.0) => "<= the best peer".to_owned(),
        Bar::TimesBest(least) => format!("{least} x the best peer"),
    }
}

/// The middle one; of two, the mean.
#[must_use]
pub fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

fn number(value: f64, unit: &str) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}

fn times(ratio: f64) -> String {
    let digits = if ratio >= 10.0 { 0 } else { 2 };
    format!("{ratio:.digits$}x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_over_the_best_peer_is_held_round_by_round() {
        let mut report = Report::default();
        for (ours, slow, quick) in [(300.0, 50.0, 100.0), (660.0, 60.0, 200.0), (900.0, 90.0, 300.0)] {
            report.add(Row::Saturated, Kind::Ours, ours);
            report.add(Row::Saturated, Kind::YWebsocket, slow);
            report.add(Row::Saturated, Kind::Hocuspocus, quick);
        }
        assert_eq!(report.ratios(Row::Saturated, Kind::Hocuspocus), Some((3.0, 3.0)));
        assert_eq!(report.ratios(Row::Saturated, Kind::YWebsocket), Some((10.0, 6.0)));
        assert_eq!(report.verdict(Row::Saturated), Verdict::Met);
        report.add(Row::Lost, Kind::Ours, 0.1);
        assert_eq!(report.verdict(Row::Lost), Verdict::NotMet);
        assert_eq!(report.verdict(Row::Churn32), Verdict::Open, "it was not measured");
    }

    #[test]
    fn less_is_better_where_it_is() {
        let mut report = Report::default();
        report.add(Row::FewP95, Kind::Ours, 2.0);
        assert_eq!(
            report.verdict(Row::FewP95),
            Verdict::Open,
            "nothing to compare with"
        );
        report.add(Row::FewP95, Kind::Hocuspocus, 1.0);
        assert_eq!(report.ratios(Row::FewP95, Kind::Hocuspocus), Some((0.5, 0.5)));
        assert_eq!(report.verdict(Row::FewP95), Verdict::NotMet);
    }
}
