//! Whether a model fits this machine's memory, told before it is loaded.
use std::fs;

use crate::artifact::Artifact;

/// Bytes that ONNX Runtime and a step's intermediate results take besides weights and cache, about.
const BESIDES: u64 = 256 << 20;

/// What a model takes in memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Graph and weights.
    pub weights: u64,
    /// The cache for the whole context.
    pub cache: u64,
    /// The rest, about.
    pub besides: u64,
}

impl Needs {
    /// What a model takes with a context of so many tokens.
    #[must_use]
    pub fn of(artifact: &Artifact, context: usize) -> Self {
        let length = |path: &std::path::Path| path.metadata().map_or(0, |data| data.len());
        let beside = artifact.weight_files();
        let weights = length(&artifact.graph) + beside.iter().map(|file| length(file)).sum::<u64>();
        let context = artifact
            .context_length
            .map_or(context, |limit| limit.min(context));
        Self {
            weights,
            cache: cache_bytes_per_token(artifact).unwrap_or(0) * context as u64,
            besides: BESIDES,
        }
    }

    /// All of it.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.weights + self.cache + self.besides
    }
}

/// Needs beside what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// Bytes needed.
    pub needed: u64,
    /// Bytes that programs can have without others being pushed out; `None` where the system does not tell.
    pub available: Option<u64>,
}

impl Fit {
    /// Compares with this machine as it is now.
    #[must_use]
    pub fn here(needs: &Needs) -> Self {
        let told = fs::read_to_string("/proc/meminfo").ok();
        Self {
            needed: needs.total(),
            available: told.as_deref().and_then(available),
        }
    }

    /// Whether it fits, if that can be told.
    #[must_use]
    pub fn fits(&self) -> Option<bool> {
        self.available.map(|available| self.needed <= available)
    }

    /// One sentence for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let size = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
        match (self.fits(), self.available) {
            (Some(true), Some(there)) => format!(
                "fits: needs about {}, {} are free",
                size(self.needed),
                size(there)
            ),
            (Some(false), Some(there)) => format!(
                "does not fit: needs about {}, {} are free; take a smaller model or one with fewer bits",
                size(self.needed),
                size(there)
            ),
            _ => format!(
                "needs about {}; this system does not tell what is free",
                size(self.needed)
            ),
        }
    }
}

/// Keys and values of one token in every layer, as 32-bit floats, by the model's config.json.
fn cache_bytes_per_token(artifact: &Artifact) -> Option<u64> {
    let text = fs::read_to_string(artifact.folder.join("config.json")).ok()?;
    let config: serde_json::Value = serde_json::from_str(&text).ok()?;
    let size = |key: &str| {
        config
            .get(key)
            .or_else(|| config.get("text_config")?.get(key))?
            .as_u64()
    };
    let heads = size("num_attention_heads")?;
    let dim = size("head_dim").or_else(|| size("hidden_size")?.checked_div(heads))?;
    let kv_heads = size("num_key_value_heads").unwrap_or(heads);
    Some(2 * 4 * size("num_hidden_layers")? * kv_heads * dim)
}

/// `MemAvailable` of Linux's /proc/meminfo, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_said_with_both_sizes() {
        let there = available("MemTotal:  9 kB\nMemAvailable:    4000000 kB\n").unwrap();
        assert_eq!(there, 4_096_000_000);
        let fit = |needed| Fit {
            needed,
            available: Some(there),
        };
        assert_eq!(fit(there).fits(), Some(true));
        let words = fit(8_000_000_000).summary();
        assert!(
            words.contains("does not fit") && words.contains("8.0 GB") && words.contains("4.1 GB"),
            "{words}"
        );
        let unknown = Fit {
            needed: 1,
            available: available("nonsense"),
        };
        assert_eq!(unknown.fits(), None);
    }
}
