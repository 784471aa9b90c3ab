//! Which execution provider runs a model: what to ask for, and a report of what really happened.
mod provider;

use serde::{Deserialize, Serialize};

pub use provider::{Place, Provider, UnknownProvider};

/// A provider that was asked for and is not used, with ONNX Runtime's reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Who was asked.
    pub provider: Provider,
    /// Why not, in one line.
    pub reason: String,
}

impl Refusal {
    /// What a person can do about it, where that is known. The reason is ONNX Runtime's or the system's, in their words.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        let says = |words: &[&str]| words.iter().any(|word| self.reason.contains(word));
        match self.provider {
            Provider::Cuda if says(&["not enabled in this build", "not compiled"]) => Some(
                "this ONNX Runtime is for processors; where an NVIDIA card is, `npm run setup -- --gpu` brings the one for it",
            ),
            Provider::Cuda if says(&["libcuda.so", "nvcuda.dll"]) => {
                Some("NVIDIA's driver is not on this machine, or its card is not shown to this program")
            }
            Provider::Cuda | Provider::TensorRt
                if says(&["libcu", "libnvrtc", "providers_cuda.dll"])
                    && says(&["cannot open shared object", "LoadLibrary"]) =>
            {
                Some(
                    "NVIDIA's CUDA 13 or cuDNN 9 is not on this machine; where a card is, `npm run setup -- --gpu` brings what is \
                     missing",
                )
            }
            Provider::Cuda if says(&["driver version is insufficient", "no CUDA-capable device"]) => Some(
                "CUDA 13 asks for an NVIDIA card of 2018 or later and its driver 580 or later: `nvidia-smi` shows both",
            ),
            Provider::TensorRt if says(&["libnvinfer"]) => Some(
                "TensorRT 10 for CUDA 13 is NVIDIA's and installed by hand; CUDA alone can be asked for with `--devices cuda`",
            ),
            _ => None,
        }
    }
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
    /// Providers that were asked for, in this order, the CPU last; empty for [`Provider::Remote`].
    #[serde(default)]
    pub asked: Vec<Provider>,
    /// Those of them that refused, in the order asked.
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
            asked: Vec::new(),
            refused: Vec::new(),
            runtime: host,
            threads: 0,
        }
    }

    /// What runs it, without the device: `ONNX Runtime 1.32.0`, or the machine where it is.
    #[must_use]
    pub fn engine(&self) -> String {
        if self.provider == Provider::Remote {
            format!("the engine at {}", self.runtime)
        } else {
            format!("ONNX Runtime {}", self.runtime)
        }
    }

    /// The provider's name, and how much of the graph it has where that is not all: what it leaves, others run, and slower
    /// perhaps than was asked for.
    #[must_use]
    pub fn label(&self) -> String {
        let all: usize = self.shares.iter().map(|share| share.nodes).sum();
        let own = |share: &&Share| share.provider == self.provider.runtime_name();
        match self.shares.iter().find(own) {
            Some(share) if share.nodes < all => {
                format!("{} ({} of {all} nodes)", self.provider, share.nodes)
            }
            _ => self.provider.to_string(),
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
        let mut text = format!("runs on {} ({threads}, {})", self.label(), self.engine());
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
    fn what_others_run_is_told_with_the_name() {
        let share = |provider: Provider, nodes| Share {
            provider: provider.runtime_name().to_owned(),
            nodes,
        };
        let mut report = DeviceReport {
            provider: Provider::Cuda,
            shares: vec![share(Provider::Cuda, 300)],
            ..DeviceReport::remote("1.32.0".into())
        };
        assert_eq!(report.label(), "CUDA");
        report.shares.push(share(Provider::Cpu, 18));
        assert_eq!(report.label(), "CUDA (300 of 318 nodes)");
        assert!(report.summary().starts_with("runs on CUDA (300 of 318 nodes) ("));
        assert_eq!(DeviceReport::remote("far".into()).label(), "remote");
    }

    #[test]
    fn what_can_be_done_about_a_refusal_is_said_where_it_is_known() {
        let advice = |provider, reason: &str| {
            let reason = reason.to_owned();
            Refusal { provider, reason }.advice()
        };
        let missing = ": cannot open shared object file: No such file or directory";
        for (reason, words) in [
            ("CUDA execution provider is not enabled in this build", "-- --gpu"),
            (
                &format!("libcublasLt.so.13{missing}"),
                "CUDA 13 or cuDNN 9 is not on",
            ),
            (&format!("libcuda.so.1{missing}"), "driver is not on this machine"),
            (
                "CUDA failure 100: no CUDA-capable device is detected",
                "nvidia-smi",
            ),
        ] {
            let said = advice(Provider::Cuda, reason).unwrap();
            assert!(said.contains(words), "{reason}: {said}");
        }
        assert!(advice(Provider::TensorRt, &format!("libnvinfer.so.10{missing}")).is_some());
        assert_eq!(advice(Provider::Cuda, "something new"), None);
        assert_eq!(advice(Provider::DirectMl, "only Windows has DirectML"), None);
    }

    #[test]
    fn the_summary_tells_every_refusal() {
        let report = DeviceReport {
            provider: Provider::Cpu,
            shares: vec![],
            asked: vec![Provider::Cuda, Provider::Cpu],
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
