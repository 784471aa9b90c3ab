//! Which execution provider runs a model: what to ask for, and a report of what really happened.
use std::fmt;

use serde::{Deserialize, Serialize};

/// An execution provider of ONNX Runtime that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// An NVIDIA card through CUDA.
    Cuda,
    /// Any DirectX 12 card, on Windows.
    DirectMl,
    /// The processor. Always there, and always asked last.
    Cpu,
    /// Another program, on this machine or another, behind an OpenAI-compatible endpoint. Never asked for by a local
    /// engine.
    Remote,
}

impl Provider {
    /// The order in which a fresh installation asks.
    pub const PREFERRED: [Self; 3] = [Self::Cuda, Self::DirectMl, Self::Cpu];

    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cuda => "CUDA",
            Self::DirectMl => "DirectML",
            Self::Cpu => "CPU",
            Self::Remote => "remote",
        }
    }

    /// What ONNX Runtime calls it.
    #[must_use]
    pub const fn runtime_name(self) -> &'static str {
        match self {
            Self::Cuda => "CUDAExecutionProvider",
            Self::DirectMl => "DmlExecutionProvider",
            Self::Cpu => "CPUExecutionProvider",
            Self::Remote => "none of ONNX Runtime's",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A provider that was asked for and is not used, with ONNX Runtime's reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Who was asked.
    pub provider: Provider,
    /// Why not, in one line.
    pub reason: String,
}

/// How many of the graph's nodes one provider runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The provider as ONNX Runtime names it.
    pub provider: String,
    /// Number of nodes after the graph was optimised and divided.
    pub nodes: usize,
}

/// Where a model really runs, and why not elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceReport {
    /// The provider that runs most of the graph's nodes, by ONNX Runtime's own record.
    pub provider: Provider,
    /// Every provider with nodes, most first.
    pub shares: Vec<Share>,
    /// Providers that were asked for and refused, in the order asked.
    pub refused: Vec<Refusal>,
    /// ONNX Runtime's version, for example `1.32.0`; for [`Provider::Remote`] the machine's name.
    pub runtime: String,
    /// Threads used for one step; 0 where that is not known.
    pub threads: usize,
}

impl DeviceReport {
    /// The report of a model that another program runs.
    #[must_use]
    pub const fn remote(host: String) -> Self {
        Self {
            provider: Provider::Remote,
            shares: Vec::new(),
            refused: Vec::new(),
            runtime: host,
            threads: 0,
        }
    }

    /// What runs it, without the device: `ONNX Runtime 1.32.0`, or the machine where it is.
    #[must_use]
    pub fn engine(&self) -> String {
        match self.provider {
            Provider::Remote => format!("the engine at {}", self.runtime),
            Provider::Cuda | Provider::DirectMl | Provider::Cpu => format!("ONNX Runtime {}", self.runtime),
        }
    }

    /// One sentence for people: where it runs, and why not on what was asked for first.
    #[must_use]
    pub fn summary(&self) -> String {
        if self.provider == Provider::Remote {
            return format!("runs outside this program, on {}", self.engine());
        }
        let threads = if self.threads == 1 {
            "1 thread".to_owned()
        } else {
            format!("{} threads", self.threads)
        };
        let mut text = format!("runs on {} ({threads}, {})", self.provider, self.engine());
        for refusal in &self.refused {
            text.push_str(&format!("; {} not used: {}", refusal.provider, refusal.reason));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_tells_every_refusal() {
        let report = DeviceReport {
            provider: Provider::Cpu,
            shares: vec![],
            refused: vec![Refusal {
                provider: Provider::Cuda,
                reason: "not in this build".into(),
            }],
            runtime: "1.32.0".into(),
            threads: 2,
        };
        assert_eq!(
            report.summary(),
            "runs on CPU (2 threads, ONNX Runtime 1.32.0); CUDA not used: not in this build"
        );
    }
}
