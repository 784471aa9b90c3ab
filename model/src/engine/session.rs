//! Opens an ONNX Runtime session: asks providers one by one, and reports who really runs the graph.
use std::path::Path;

use ort::ep;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
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
    let accepted = register(&mut builder, &options.devices, &mut refused);
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
        &accepted,
        refused,
        runtime.version(),
        options.thread_count(),
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

/// Registers each provider on its own, so that a refusal is known instead of only logged.
fn register(builder: &mut SessionBuilder, devices: &[Provider], refused: &mut Vec<Refusal>) -> Vec<Provider> {
    let mut accepted = Vec::new();
    for &provider in devices {
        let dispatch = match provider {
            Provider::Cuda => ep::CUDA::default().build(),
            Provider::DirectMl => ep::DirectML::default().build(),
            Provider::Cpu | Provider::Remote => break,
        };
        match dispatch.error_on_failure().register(builder) {
            Ok(()) => accepted.push(provider),
            Err(error) => refused.push(Refusal {
                provider,
                reason: one_line(&error),
            }),
        }
    }
    accepted
}

/// Who runs how much of the graph. A provider that was accepted and does not run most of it is told among those that
/// are not used: to be asked for and not to work is a refusal, whoever says so.
fn report(
    counts: &NodeCounts,
    accepted: &[Provider],
    mut refused: Vec<Refusal>,
    version: &str,
    threads: usize,
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
        .and_then(|share| {
            Provider::PREFERRED
                .into_iter()
                .find(|p| p.runtime_name() == share.provider)
        })
        .unwrap_or(Provider::Cpu);
    let all: usize = shares.iter().map(|share| share.nodes).sum();
    for asked in accepted.iter().filter(|asked| **asked != provider) {
        let nodes = shares
            .iter()
            .find(|share| share.provider == asked.runtime_name())
            .map_or(0, |share| share.nodes);
        refused.push(Refusal {
            provider: *asked,
            reason: match nodes {
                0 => format!("it started, but it can run none of the {all} nodes of this model"),
                _ => format!("it started, but it can run only {nodes} of the {all} nodes of this model"),
            },
        });
    }
    DeviceReport {
        provider,
        shares,
        refused,
        runtime: version.to_owned(),
        threads,
    }
}

/// Where the cache is to lie: beside the nodes that use it.
pub(super) fn cache_allocator(session: &Session, provider: Provider) -> Allocator {
    let device = match provider {
        Provider::Cpu | Provider::Remote => return Allocator::default(),
        Provider::Cuda => AllocationDevice::CUDA,
        Provider::DirectMl => AllocationDevice::DIRECTML,
    };
    MemoryInfo::new(device, 0, AllocatorType::Device, MemoryType::Default)
        .and_then(|info| Allocator::new(session, info))
        .unwrap_or_else(|error| {
            tracing::warn!(%provider, %error, "the cache lies in main memory, which is slow");
            Allocator::default()
        })
}

/// The first line of ONNX Runtime's words; what follows are source files and stack traces.
fn one_line(error: &ort::Error<impl Sized>) -> String {
    error
        .message()
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .trim_end_matches('.')
        .to_owned()
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
        let told = |nodes: &[(&str, usize)]| {
            let report = report(&counts(nodes), &[Provider::Cuda], Vec::new(), "1.0", 2);
            (report.provider, report.refused)
        };
        let (provider, refused) = told(&[(cpu, 90)]);
        assert_eq!((provider, refused.len()), (Provider::Cpu, 1));
        assert!(refused[0].reason.contains("none of the 90 nodes"), "{refused:?}");
        let (provider, refused) = told(&[(cpu, 90), (cuda, 10)]);
        assert_eq!((provider, refused.len()), (Provider::Cpu, 1));
        assert!(
            refused[0].reason.contains("only 10 of the 100 nodes"),
            "{refused:?}"
        );
        assert_eq!(told(&[(cpu, 10), (cuda, 90)]), (Provider::Cuda, vec![]));
    }
}
