//! From the model's scores to the next token. Chance comes from a seed: the same seed, the same text.
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use toktrie::SimpleVob;

/// How the next token is chosen. [`Default`] is greedy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SamplingParams {
    /// 0 takes the most likely token always; 1 samples from the model's own distribution.
    pub temperature: f32,
    /// Only this many of the most likely tokens; 0 means all.
    pub top_k: usize,
    /// Only the fewest tokens whose probabilities sum to this; 1 means all.
    pub top_p: f32,
    /// Only tokens at least this likely compared with the most likely one; 0 means all.
    pub min_p: f32,
    /// Divides the score of tokens that were written already (above 1 they become less likely); 1 means off.
    pub repetition_penalty: f32,
    /// How many of the last written tokens the penalty sees.
    pub repetition_window: usize,
    /// Where chance starts.
    pub seed: u64,
}

impl SamplingParams {
    /// The most likely token, always.
    #[must_use]
    pub const fn greedy() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            repetition_window: 64,
            seed: 0,
        }
    }

    /// Lively but sane prose: temperature 0.7, the 40 best, 95 % of the mass, a light penalty on repetition.
    #[must_use]
    pub const fn lively(seed: u64) -> Self {
        Self {
            temperature: 0.7,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repetition_penalty: 1.1,
            repetition_window: 64,
            seed,
        }
    }
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self::greedy()
    }
}

/// A chosen token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Its id.
    pub token: u32,
    /// Natural logarithm of the probability that the model itself gave it (before any parameter).
    pub logprob: f32,
    /// How far its score is above the next best's, when the best is taken; infinite when it is drawn by chance.
    pub margin: f32,
}

/// Chooses tokens for one generation.
#[derive(Debug)]
pub struct Sampler {
    params: SamplingParams,
    chance: StdRng,
    written: Vec<u32>,
    scores: Vec<f32>,
    candidates: Vec<(u32, f32)>,
}

impl Sampler {
    /// A sampler at the start of an answer.
    #[must_use]
    pub fn new(params: SamplingParams) -> Self {
        let chance = StdRng::seed_from_u64(params.seed);
        Self {
            params,
            chance,
            written: Vec::new(),
            scores: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// The next token, from one row of scores (logits). `None` if no score is a number.
    pub fn choose(&mut self, logits: &[f32]) -> Option<Choice> {
        self.choose_among(logits, None)
    }

    /// The same, among the tokens that are allowed. The log-probability is still the one among all of them; the margin is the one
    /// among the allowed.
    pub(crate) fn choose_among(&mut self, logits: &[f32], allowed: Option<&SimpleVob>) -> Option<Choice> {
        self.scores.clear();
        self.scores.extend_from_slice(logits);
        self.penalise();
        if let Some(allowed) = allowed {
            forbid(&mut self.scores, allowed);
        }
        let (token, margin) = if self.params.temperature <= 0.0 {
            argmax(&self.scores)?
        } else {
            (self.draw()?, f32::INFINITY)
        };
        let logprob = logprob(logits, token);
        self.written.push(token);
        Some(Choice {
            token,
            logprob,
            margin,
        })
    }

    /// Takes back the last choice, which was the best one and is to be made again from better scores.
    pub fn take_back(&mut self) {
        self.written.pop();
    }

    /// As CTRL and every implementation since: positive scores are divided, negative ones multiplied.
    fn penalise(&mut self) {
        let penalty = self.params.repetition_penalty;
        if penalty == 1.0 || penalty <= 0.0 {
            return;
        }
        let from = self.written.len().saturating_sub(self.params.repetition_window);
        let mut seen: Vec<u32> = self.written.get(from..).unwrap_or_default().to_vec();
        seen.sort_unstable();
        seen.dedup();
        for token in seen {
            if let Some(score) = self.scores.get_mut(token as usize) {
                *score = if *score > 0.0 {
                    *score / penalty
                } else {
                    *score * penalty
                };
            }
        }
    }

    fn draw(&mut self) -> Option<u32> {
        let temperature = self.params.temperature;
        self.candidates.clear();
        self.candidates.extend(
            (0u32..)
                .zip(&self.scores)
                .filter(|(_, s)| s.is_finite())
                .map(|(i, s)| (i, s / temperature)),
        );
        let best = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        let limit = self.params.top_k;
        if limit > 0 && limit < self.candidates.len() {
            self.candidates.select_nth_unstable_by(limit - 1, best);
            self.candidates.truncate(limit);
        }
        self.candidates.sort_unstable_by(best);
        let top = self.candidates.first()?.1;
        let mut sum = 0.0f64;
        for (_, score) in &mut self.candidates {
            *score = (*score - top).exp();
            sum += f64::from(*score);
        }
        // the most likely one has weight 1 here, so min-p is a plain bound on the weight
        let min_p = self.params.min_p;
        let mut kept = 0.0f64;
        let mut count = 0;
        for (_, weight) in &self.candidates {
            if count > 0 && (*weight < min_p || kept >= f64::from(self.params.top_p) * sum) {
                break;
            }
            kept += f64::from(*weight);
            count += 1;
        }
        self.candidates.truncate(count);
        let mut at = self.chance.random::<f64>() * kept;
        for (token, weight) in &self.candidates {
            at -= f64::from(*weight);
            if at < 0.0 {
                return Some(*token);
            }
        }
        self.candidates.last().map(|(token, _)| *token)
    }
}

/// Makes the scores of tokens that are not allowed no numbers, which nothing chooses.
fn forbid(scores: &mut [f32], allowed: &SimpleVob) {
    let words = allowed.as_slice().iter().copied().chain(std::iter::repeat(0));
    for (part, word) in scores.chunks_mut(u32::BITS as usize).zip(words) {
        if word == u32::MAX {
            continue;
        }
        for (bit, score) in part.iter_mut().enumerate() {
            if word >> bit & 1 == 0 {
                *score = f32::NAN;
            }
        }
    }
}

/// The position of the greatest number, the first of equal ones, and how far the next is below it. `None` if there is
/// no number.
fn argmax(scores: &[f32]) -> Option<(u32, f32)> {
    let mut best: Option<(u32, f32)> = None;
    let mut second = f32::NEG_INFINITY;
    for (index, score) in (0u32..).zip(scores) {
        match best {
            _ if score.is_nan() => {}
            Some((_, top)) if *score <= top => second = second.max(*score),
            _ => {
                second = best.map_or(second, |(_, top)| top);
                best = Some((index, *score));
            }
        }
    }
    best.map(|(index, top)| (index, top - second))
}

/// Log-softmax of one entry.
fn logprob(logits: &[f32], token: u32) -> f32 {
    let top = logits
        .iter()
        .copied()
        .filter(|score| !score.is_nan())
        .fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits
        .iter()
        .filter(|score| !score.is_nan())
        .map(|score| f64::from((score - top).exp()))
        .sum();
    logits
        .get(token as usize)
        .map_or(f32::NEG_INFINITY, |score| score - top - sum.ln() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(params: SamplingParams, logits: &[f32], n: usize) -> Vec<usize> {
        let mut sampler = Sampler::new(params);
        let mut counts = vec![0; logits.len()];
        for _ in 0..n {
            counts[sampler.choose(logits).unwrap().token as usize] += 1;
        }
        counts
    }

    fn plain(temperature: f32) -> SamplingParams {
        SamplingParams {
            temperature,
            ..SamplingParams::greedy()
        }
    }

    #[test]
    fn greedy_takes_the_first_of_the_best_and_skips_what_is_no_number() {
        let mut sampler = Sampler::new(SamplingParams::greedy());
        assert_eq!(sampler.choose(&[f32::NAN, 1.0, 3.0, 3.0]).unwrap().token, 2);
        let margins = [vec![1.0, 3.0, 3.0], vec![5.0, 3.5], vec![1.0, 4.0, 2.0, 3.0]]
            .map(|scores| sampler.choose(&scores).unwrap().margin);
        assert_eq!(margins, [0.0, 1.5, 1.0]);
        assert_eq!(
            Sampler::new(plain(1.0)).choose(&[0.0, 0.1]).unwrap().margin,
            f32::INFINITY
        );
        assert!(sampler.choose(&[f32::NAN]).is_none());
    }

    #[test]
    fn the_logprob_is_the_models_own() {
        let choice = Sampler::new(SamplingParams::greedy())
            .choose(&[0.0, 2f32.ln()])
            .unwrap();
        assert!((choice.logprob - (2.0f32 / 3.0).ln()).abs() < 1e-6);
        let hot = Sampler::new(plain(100.0)).choose(&[0.0, 0.0]).unwrap();
        assert!((hot.logprob - 0.5f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn draws_follow_the_distribution() {
        let logits: Vec<f32> = [0.5f32, 0.3, 0.2].iter().map(|p| p.ln()).collect();
        let n = 30_000;
        let counts = counts(plain(1.0), &logits, n);
        for (count, p) in counts.iter().zip([0.5, 0.3, 0.2]) {
            let expected = n as f64 * p;
            let sigma = (expected * (1.0 - p)).sqrt();
            assert!((*count as f64 - expected).abs() < 4.0 * sigma, "{counts:?}");
        }
    }

    #[test]
    fn the_cuts_leave_what_they_say() {
        let logits: Vec<f32> = [0.4f32, 0.3, 0.2, 0.1].iter().map(|p| p.ln()).collect();
        let used = |params| {
            counts(params, &logits, 4_000)
                .iter()
                .map(|c| *c > 0)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            used(SamplingParams {
                top_k: 2,
                ..plain(1.0)
            }),
            [true, true, false, false]
        );
        assert_eq!(
            used(SamplingParams {
                top_p: 0.65,
                ..plain(1.0)
            }),
            [true, true, false, false]
        );
        assert_eq!(
            used(SamplingParams {
                top_p: 0.75,
                ..plain(1.0)
            }),
            [true, true, true, false]
        );
        assert_eq!(
            used(SamplingParams {
                min_p: 0.45,
                ..plain(1.0)
            }),
            [true, true, true, false]
        );
        assert_eq!(
            used(SamplingParams {
                top_p: 0.0,
                ..plain(1.0)
            }),
            [true, false, false, false]
        );
        assert_eq!(used(plain(1.0)), [true; 4]);
    }

    #[test]
    fn a_low_temperature_is_nearly_greedy() {
        assert_eq!(counts(plain(0.01), &[1.0, 1.5, 1.2], 500), [0, 500, 0]);
    }

    #[test]
    fn the_same_seed_gives_the_same_tokens_and_another_seed_others() {
        let logits = vec![0.0f32; 50];
        let run = |seed| {
            let mut sampler = Sampler::new(SamplingParams { seed, ..plain(1.0) });
            (0..20)
                .map(|_| sampler.choose(&logits).unwrap().token)
                .collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn the_penalty_lets_another_token_win_and_the_window_forgets() {
        let params = SamplingParams {
            repetition_penalty: 2.0,
            repetition_window: 1,
            ..SamplingParams::greedy()
        };
        let mut sampler = Sampler::new(params);
        let tokens: Vec<u32> = (0..4)
            .map(|_| sampler.choose(&[3.0, 2.0, -1.0]).unwrap().token)
            .collect();
        assert_eq!(tokens, [0, 1, 0, 1]);
        let params = SamplingParams {
            repetition_penalty: 2.0,
            ..SamplingParams::greedy()
        };
        let mut sampler = Sampler::new(params);
        let tokens: Vec<u32> = (0..3)
            .map(|_| sampler.choose(&[-1.0, -1.5, -9.0]).unwrap().token)
            .collect();
        assert_eq!(tokens, [0, 1, 0], "negative scores are multiplied");
    }
}
