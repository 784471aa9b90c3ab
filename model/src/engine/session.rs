//! Opens an ONNX Runtime session: asks providers one by one, and reports who really runs the graph.
use std::path::Path;

use ort::memory::{Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::{EngineOptions, LoadError};
use crate::device::{DeviceReport, Provider, Refusal, Share};
use crate::native::weights::MappedSession;
use crate::native::{self, NodeCounts};
use crate::runtime::Runtime;

/// An open session and what is known about it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) session: MappedSession,
    pub(super) report: DeviceReport,
    /// Number of fused attention nodes that can keep their cache in place.
    pub(super) attention_nodes: usize,
}

/// Opens a graph. Providers that refuse are noted; if one accepts and the graph still cannot be opened
/// (its card is full, say), the CPU is tried before giving up.
pub(super) fn open(runtime: &Runtime, file: &Path, options: &EngineOptions) -> Result<Opened, LoadError> {
    let not_opened = |error: ort::Error| LoadError::NotOpened {
        file: file.display().to_string(),
        reason: one_line(&error),
    };
    let mut refused = Vec::new();
    let mut builder = builder(runtime, options).map_err(not_opened)?;
    let asked = asked(&options.devices);
    #[cfg(feature = "cuda")]
    if asked.iter().any(|provider| provider.is_nvidia()) {
        runtime.load_cuda_beside();
    }
    let accepted = register(&mut builder, &asked, &mut refused);
    let weights = crate::artifact::weight_names(file);
    let open = |builder| MappedSession::open(builder, file, &weights, runtime.minor());
    let (mut session, accepted) = match open(builder) {
        Ok(session) => (session, accepted),
        Err(error) if !accepted.is_empty() => {
            let reason = one_line(&error);
            refused.extend(accepted.into_iter().map(|provider| Refusal {
                provider,
                reason: reason.clone(),
            }));
            let session = self::builder(
                runtime,
                &EngineOptions {
                    devices: vec![],
                    ..options.clone()
                },
            )
            .and_then(open)
            .map_err(not_opened)?;
            (session, Vec::new())
        }
        Err(error) => return Err(not_opened(error)),
    };
    let counts = native::node_counts(&session).map_err(not_opened)?;
    let count = |operator: &str| -> usize {
        counts
            .values()
            .filter_map(|operators| operators.get(operator))
            .sum()
    };
    let attention_nodes = count("GroupQueryAttention");
    if count("MatMulNBits") > 0 {
        session.reads_little();
    }
    let report = report(
        &counts,
        asked,
        &accepted,
        refused,
        (runtime.version(), options.thread_count()),
    );
    tracing::info!(model = %file.display(), "{}", report.summary());
    Ok(Opened {
        session,
        report,
        attention_nodes,
    })
}

fn builder(runtime: &Runtime, options: &EngineOptions) -> Result<SessionBuilder, ort::Error> {
    let builder = Session::builder(runtime.environment())?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(options.thread_count())?
        .with_inter_threads(1)?
        .with_intra_op_spinning(options.spin_us > 0)?
        .with_config_entry(
            "session.intra_op.spin_duration_us",
            options.spin_us.max(1).to_string(),
        )?
        // what the report is made of
        .with_config_entry("session.record_ep_graph_assignment_info", "1")?
        // A plan is kept for each shape of the inputs for ever, and the mask's is another one with every token; plans
        // make nothing faster here (measured), and DirectML does not allow them.
        .with_memory_pattern(false)?;
    Ok(builder)
}

/// Registers each provider on its own, so that a refusal is known instead of only logged. The CPU takes whatever it is
/// given, so nobody is asked after it.
fn register(builder: &mut SessionBuilder, devices: &[Provider], refused: &mut Vec<Refusal>) -> Vec<Provider> {
    let mut accepted = Vec::new();
    let mut after_cpu = false;
    for &provider in devices {
        if provider == Provider::Cpu {
            after_cpu = true;
            continue;
        }
        let answer = if after_cpu {
            Err("the CPU was asked for before it, and runs every model".to_owned())
        } else {
            provider.dispatch().and_then(|dispatch| {
                let dispatch = dispatch.error_on_failure();
                dispatch.register(builder).map_err(|error| one_line(&error))
            })
        };
        match answer {
            Ok(()) => accepted.push(provider),
            Err(reason) => refused.push(Refusal { provider, reason }),
        }
    }
    accepted
}

/// What is asked for, in this order: what was named, and the CPU behind it if it was not.
fn asked(devices: &[Provider]) -> Vec<Provider> {
    let mut asked: Vec<Provider> = Vec::new();
    for provider in devices.iter().chain([&Provider::Cpu]) {
        if !asked.contains(provider) {
            asked.push(*provider);
        }
    }
    asked
}

/// Who runs how much of the graph. A provider that was accepted, was asked before the one that runs most, and runs less, is
/// told among those that are not used: to be asked for and not to work is a refusal, whoever says so.
fn report(
    counts: &NodeCounts,
    asked: Vec<Provider>,
    accepted: &[Provider],
    mut refused: Vec<Refusal>,
    (version, threads): (&str, usize),
) -> DeviceReport {
    let mut shares: Vec<Share> = counts
        .iter()
        .map(|(provider, operators)| Share {
            provider: provider.clone(),
            nodes: operators.values().sum(),
        })
        .collect();
    shares.sort_by(|a, b| b.nodes.cmp(&a.nodes).then_with(|| a.provider.cmp(&b.provider)));
    let provider = shares
        .first()
        .and_then(|share| Provider::of_runtime(&share.provider))
        .unwrap_or(Provider::Cpu);
    let all: usize = shares.iter().map(|share| share.nodes).sum();
    let before = accepted.iter().take_while(|accepted| **accepted != provider);
    for passed_over in before {
        let nodes = shares
            .iter()
            .find(|share| share.provider == passed_over.runtime_name())
            .map_or(0, |share| share.nodes);
        refused.push(Refusal {
            provider: *passed_over,
            reason: match nodes {
                0 => format!("it started, but it can run none of the {all} nodes of this model"),
                _ => format!("it started, but it can run only {nodes} of the {all} nodes of this model"),
            },
        });
    }
    refused.sort_by_key(|refusal| asked.iter().position(|asked| *asked == refusal.provider));
    DeviceReport {
        provider,
        shares,
        asked,
        refused,
        runtime: version.to_owned(),
        threads,
    }
}

/// Where the cache is to lie: beside the nodes that use it.
pub(super) fn cache_allocator(session: &Session, provider: Provider) -> Allocator {
    let Some(device) = provider.memory() else {
        return Allocator::default();
    };
    MemoryInfo::new(device, 0, AllocatorType::Device, MemoryType::Default)
        .and_then(|info| Allocator::new(session, info))
        .unwrap_or_else(|error| {
            tracing::warn!(%provider, %error, "the cache lies in main memory, which is slow");
            Allocator::default()
        })
}

/// What ONNX Runtime says, for people.
fn one_line(error: &ort::Error<impl Sized>) -> String {
    without_source(error.message()).to_owned()
}

/// The first line of a message, without the places in ONNX Runtime's source that surround what is wrong:
/// `…/provider_bridge_ort.cc:2043 … [ONNXRuntimeError] : 1 : FAIL : what is wrong`, or
/// `…/cuda_call.cc:154 … CUDA failure 35: what is wrong ; GPU=0 ; hostname=… ; file=…`. Of a library that did not load the
/// loader's words are left, without the folder of this machine. What follows the line are stack traces.
fn without_source(message: &str) -> &str {
    let line = message.lines().next().unwrap_or_default();
    let after_kind = || {
        line.rsplit_once("[ONNXRuntimeError] : ")?
            .1
            .splitn(3, " : ")
            .nth(2)
    };
    let failure = ["CUDA failure ", "CUBLAS failure ", "CUDNN failure "]
        .iter()
        .find_map(|kind| line.get(line.find(kind)?..)?.split(" ; ").next());
    let words = failure.or_else(after_kind).unwrap_or(line);
    let words = match words.split_once(" with error: ") {
        Some((before, loader)) if before.starts_with("Failed to load library ") => loader,
        _ => words,
    };
    words.trim().trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(nodes: &[(&str, usize)]) -> NodeCounts {
        nodes
            .iter()
            .map(|(provider, nodes)| ((*provider).to_owned(), [("Add".to_owned(), *nodes)].into()))
            .collect()
    }

    #[test]
    fn a_provider_that_starts_and_runs_little_is_told() {
        let (cuda, cpu) = ("CUDAExecutionProvider", "CPUExecutionProvider");
        let told = |asked: &[Provider], nodes: &[(&str, usize)]| {
            let accepted: Vec<Provider> = asked[..asked.len() - 1].to_vec();
            let report = report(&counts(nodes), asked.to_vec(), &accepted, Vec::new(), ("1.0", 2));
            assert_eq!(report.asked, asked);
            (report.provider, report.refused)
        };
        let one = [Provider::Cuda, Provider::Cpu];
        let (provider, refused) = told(&one, &[(cpu, 90)]);
        assert_eq!((provider, refused.len()), (Provider::Cpu, 1));
        assert!(refused[0].reason.contains("none of the 90 nodes"), "{refused:?}");
        let (provider, refused) = told(&one, &[(cpu, 90), (cuda, 10)]);
        assert_eq!((provider, refused.len()), (Provider::Cpu, 1));
        assert!(
            refused[0].reason.contains("only 10 of the 100 nodes"),
            "{refused:?}"
        );
        assert_eq!(told(&one, &[(cpu, 10), (cuda, 90)]), (Provider::Cuda, vec![]));
        // whoever was asked after the one that runs it was there in case, and nobody expected more of it
        let (tensorrt, two) = (
            "TensorrtExecutionProvider",
            [Provider::TensorRt, Provider::Cuda, Provider::Cpu],
        );
        let (provider, refused) = told(&two, &[(cpu, 5), (cuda, 15), (tensorrt, 80)]);
        assert_eq!((provider, refused), (Provider::TensorRt, vec![]));
        let (provider, refused) = told(&two, &[(cpu, 10), (cuda, 90)]);
        assert_eq!((provider, refused.len()), (Provider::Cuda, 1));
        assert_eq!(refused[0].provider, Provider::TensorRt);
    }

    #[test]
    fn messages_begin_with_what_is_wrong() {
        let told = "libcublasLt.so.13: cannot open shared object file: No such file or directory";
        let raw = format!(
            "/onnxruntime_src/provider_bridge_ort.cc:2043 onnxruntime::Provider& Get() [ONNXRuntimeError] : 1 : FAIL : \
             Failed to load library /home/a/libonnxruntime_providers_cuda.so with error: {told}\n#0 x"
        );
        assert_eq!(without_source(&raw), told);
        assert_eq!(
            without_source("No such thing : here.\nmore"),
            "No such thing : here"
        );
        assert_eq!(without_source("[ONNXRuntimeError] : 1"), "[ONNXRuntimeError] : 1");
        assert_eq!(without_source(""), "");
    }

    #[test]
    fn the_cpu_is_asked_once_and_last_unless_it_is_named_before() {
        use Provider::{Cpu, Cuda, DirectMl};
        assert_eq!(asked(&[]), [Cpu]);
        assert_eq!(asked(&[DirectMl, Cuda, DirectMl]), [DirectMl, Cuda, Cpu]);
        assert_eq!(asked(&[Cpu, Cuda]), [Cpu, Cuda]);
    }
}
