//! The self-test of an engine: what was asked for, what really runs, how fast, in how much memory, in words.
//!
//! Nothing here can hide a downgrade: providers that were asked for and do not run the graph are listed with their
//! reason, by [`DeviceReport`](crate::device::DeviceReport), which counts ONNX Runtime's own record of every node.
use serde::{Deserialize, Serialize};

use crate::device::{DeviceReport, Provider};
use crate::fit;
use crate::generate::stream::Chunk;
use crate::generate::{ChatMessage, GenerateError, GenerateRequest, Generator};
use crate::info::ModelInfo;

/// Tokens that the self-test has written.
const TOKENS: usize = 32;

/// What a self-test found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkup {
    /// The model, as it was when it was loaded.
    pub model: ModelInfo,
    /// Tokens of the prompt that were read a second, just now.
    pub reads: Option<f64>,
    /// Tokens that were written a second, just now.
    pub writes: Option<f64>,
    /// Why nothing was written just now, in words.
    pub failure: Option<String>,
    /// Bytes of memory that this process has; `None` where the system does not tell.
    pub memory: Option<u64>,
    /// Bytes of memory that are free besides.
    pub free: Option<u64>,
}

impl Checkup {
    /// Has the model write some words, and reports. Blocks for about as long as that takes.
    #[must_use]
    pub fn examine(generator: &dyn Generator) -> Self {
        let written = write(generator);
        let model = generator.info().clone();
        let (speeds, failure) = match written {
            Ok(speeds) => (Some(speeds), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self {
            model,
            reads: speeds.and_then(|(reads, _)| reads),
            writes: speeds.and_then(|(_, writes)| writes),
            failure,
            memory: resident_memory(),
            free: fit::free_memory(),
        }
    }

    /// The report as lines for people.
    #[must_use]
    pub fn words(&self) -> String {
        let model = &self.model;
        let device = &model.device;
        let mut lines = vec![
            format!("Model     {} ({})", model.name, model.id),
            format!("Licence   {}", model.licence.as_deref().unwrap_or("not stated")),
            format!("Weights   {}", model.quantisation),
            format!("Context   {} tokens", model.context_length),
        ];
        if !device.asked.is_empty() {
            let names: Vec<&str> = device.asked.iter().map(|provider| provider.name()).collect();
            lines.push(format!("Asked for {}, in this order", names.join(", ")));
        }
        lines.push(format!("Runs on   {}", runs_on(device)));
        for refusal in &device.refused {
            lines.push(format!("Refused   {}: {}", refusal.provider, refusal.reason));
            lines.extend(refusal.advice().map(|advice| format!("          ({advice})")));
        }
        let speed = |speed: Option<f64>| {
            speed.map_or_else(
                || "an unknown number of".to_owned(),
                |speed| format!("{speed:.1}"),
            )
        };
        lines.push(match &self.failure {
            Some(words) => format!("Speed     it does not write: {words}"),
            None => format!(
                "Speed     reads {} and writes {} tokens a second",
                speed(self.reads),
                speed(self.writes)
            ),
        });
        let megabytes = |bytes: Option<u64>| {
            bytes.map_or_else(
                || "an unknown amount".to_owned(),
                |bytes| format!("{} MB", bytes >> 20),
            )
        };
        lines.push(format!(
            "Memory    {} in this process, {} free",
            megabytes(self.memory),
            megabytes(self.free)
        ));
        lines.join("\n") + "\n"
    }
}

/// The provider, how many of the nodes each has, threads, and what runs it.
fn runs_on(device: &DeviceReport) -> String {
    if device.provider == Provider::Remote {
        return device.engine();
    }
    let all: usize = device.shares.iter().map(|share| share.nodes).sum();
    let shares: Vec<String> = device
        .shares
        .iter()
        .map(|share| format!("{} of {all} nodes on {}", share.nodes, share.provider))
        .collect();
    let threads = match device.threads {
        1 => "1 thread".to_owned(),
        count => format!("{count} threads"),
    };
    format!(
        "{}: {}; {threads}; {}",
        device.provider,
        shares.join(", "),
        device.engine()
    )
}

/// Tokens a second read and written, where it took long enough to tell.
fn write(generator: &dyn Generator) -> Result<(Option<f64>, Option<f64>), GenerateError> {
    let messages = vec![
        ChatMessage::system("You are a careful writer. Answer in plain sentences."),
        ChatMessage::user("Describe the sea on a calm day, a rainy day and a stormy day."),
    ];
    let mut generation = generator.generate(GenerateRequest::greedy(messages, TOKENS))?;
    while let Some(chunk) = generation.blocking_next() {
        if let Chunk::Done(summary) = chunk? {
            let rate =
                |tokens: usize, ms: u64| (ms > 0 && tokens > 0).then(|| tokens as f64 * 1e3 / ms as f64);
            let read = summary.prompt_tokens.saturating_sub(summary.reused_tokens);
            return Ok((
                rate(read, summary.prefill_ms),
                rate(summary.tokens, summary.decode_ms),
            ));
        }
    }
    Err(GenerateError::Gone)
}

/// Bytes of this process in memory.
fn resident_memory() -> Option<u64> {
    let told = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Refusal, Share};

    fn checkup() -> Checkup {
        Checkup {
            model: ModelInfo {
                id: "small".into(),
                name: "Small".into(),
                licence: None,
                quantisation: "q4".into(),
                context_length: 4096,
                device: DeviceReport {
                    provider: Provider::Cpu,
                    shares: vec![Share {
                        provider: "CPUExecutionProvider".into(),
                        nodes: 331,
                    }],
                    asked: vec![Provider::Cuda, Provider::Cpu],
                    refused: vec![Refusal {
                        provider: Provider::Cuda,
                        reason: "libcudart.so.13: cannot open shared object file".into(),
                    }],
                    runtime: "1.32.0".into(),
                    threads: 2,
                },
                prefill_tokens_per_second: 300.0,
                decode_tokens_per_second: 40.0,
                load_ms: 900,
            },
            reads: Some(280.04),
            writes: Some(39.96),
            failure: None,
            memory: Some(400 << 20),
            free: None,
        }
    }

    #[test]
    fn the_report_tells_what_was_asked_what_runs_and_why_not_the_other() {
        let words = checkup().words();
        for part in [
            "Asked for CUDA, CPU, in this order",
            "Runs on   CPU: 331 of 331 nodes on CPUExecutionProvider; 2 threads; ONNX Runtime 1.32.0",
            "Refused   CUDA: libcudart.so.13: cannot open shared object file",
            "reads 280.0 and writes 40.0 tokens a second",
            "400 MB in this process, an unknown amount free",
            "(NVIDIA's CUDA 13 or cuDNN 9 is not on this machine",
            "Licence   not stated",
        ] {
            assert!(words.contains(part), "{part} is not in\n{words}");
        }
    }
}
