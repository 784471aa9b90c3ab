//! How sure a model was of what it wrote, token by token and where it was least sure.
use serde::{Deserialize, Serialize};

/// A token's text and the natural logarithm of the probability that the model itself gave it, before any parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenScore {
    /// What it added to the text; empty where a character was not whole yet.
    pub text: String,
    /// 0 is certain.
    pub logprob: f32,
}

/// Some words and how sure the model was of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// The words.
    pub text: String,
    /// Mean natural logarithm of their tokens' probabilities.
    pub mean_logprob: f64,
}

/// Tokens that are looked at together.
const WINDOW: usize = 4;

/// The words that the model was least sure of; `None` when it wrote nothing.
#[must_use]
pub fn weakest(scores: &[TokenScore]) -> Option<Span> {
    let width = WINDOW.min(scores.len());
    let start = (0..=scores.len().checked_sub(width.max(1))?)
        .min_by(|a, b| mean(scores, *a..a + width).total_cmp(&mean(scores, *b..b + width)))?;
    let begins_word = |at: usize| {
        scores
            .get(at)
            .is_none_or(|score| score.text.starts_with(char::is_whitespace))
    };
    let from = (0..=start).rev().find(|at| begins_word(*at)).unwrap_or(0);
    let to = (start + width..=scores.len()).find(|at| begins_word(*at))?;
    let text: String = scores
        .get(from..to)?
        .iter()
        .map(|score| score.text.as_str())
        .collect();
    Some(Span {
        text: text.trim().to_owned(),
        mean_logprob: mean(scores, from..to),
    })
}

fn mean(scores: &[TokenScore], range: std::ops::Range<usize>) -> f64 {
    let part = scores.get(range).unwrap_or_default();
    let sum: f64 = part.iter().map(|score| f64::from(score.logprob)).sum();
    sum / part.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weakest_span_is_whole_words() {
        let score = |(text, logprob): (&str, f32)| TokenScore {
            text: text.to_owned(),
            logprob,
        };
        let scores: Vec<TokenScore> = [
            ("The", -0.1),
            (" old", -0.1),
            (" li", -0.2),
            ("gh", -3.0),
            ("th", -3.0),
            ("ouse", -3.0),
            (" stood", -3.0),
            (" there", -0.1),
            (".", -0.1),
        ]
        .map(score)
        .to_vec();
        let span = weakest(&scores).unwrap();
        assert_eq!(span.text, "lighthouse stood");
        assert!((span.mean_logprob + 12.2 / 5.0).abs() < 1e-6);
        assert_eq!(weakest(&scores[..1]).unwrap().text, "The");
        assert_eq!(weakest(&[]), None);
    }
}
