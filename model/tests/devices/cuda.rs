//! The build of ONNX Runtime for NVIDIA's cards, from the package registry, on a machine that may have none: what its loader
//! says is what people are told, and the model runs on the processor. A program of its own, because a process has one ONNX
//! Runtime.
//!
//! The package is fetched for Linux on x86-64. Elsewhere the ordinary build is asked (`suite/refusals.rs`), which says that it
//! has no CUDA.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops where something is wrong"
)]

mod shared;

use model::{Checkup, Generator, Provider};

use shared::{answer, golden, refusal, runtime, worker};

#[test]
fn what_the_loader_says_is_told_and_the_model_runs_on_the_processor() {
    let asked = [
        Provider::TensorRt,
        Provider::Cuda,
        Provider::DirectMl,
        Provider::Cpu,
    ];
    let worker = worker(&runtime("gpu"), &asked);
    let device = worker.info().device.clone();
    let report = Checkup::examine(&worker).words();
    assert!(
        report.contains("Asked for TensorRT, CUDA, DirectML, CPU, in this order\n"),
        "{report}"
    );

    match refusal(&worker, Provider::Cuda) {
        Some(refusal) => {
            // A library of NVIDIA's that is not here, or, where all are, the driver's own words.
            let known = ["libcublas", "libcudart", "libcurand", "libcuda.so", "CUDA"];
            assert!(
                known.iter().any(|words| refusal.reason.contains(words))
                    && !refusal.reason.contains("not enabled in this build")
                    && !refusal.reason.contains(".cc:"),
                "{refusal:?}"
            );
            assert!(refusal.advice().is_some(), "{refusal:?}");
            assert_eq!(device.provider, Provider::Cpu, "{device:?}");
            assert_eq!(device.shares.len(), 1, "{device:?}");
            assert_eq!(device.shares[0].provider, "CPUExecutionProvider");
            assert!(
                device.summary().starts_with("runs on CPU ("),
                "{}",
                device.summary()
            );
            assert!(
                report.contains(&format!("Refused   CUDA: {}\n", refusal.reason)),
                "{report}"
            );
        }
        // There is a card, and all that it takes.
        None => assert!(
            [Provider::TensorRt, Provider::Cuda].contains(&device.provider),
            "{device:?}"
        ),
    }
    let directml = refusal(&worker, Provider::DirectMl).unwrap();
    assert_eq!(directml.reason, "only Windows has DirectML, and this is linux");
    if let Some(refusal) = refusal(&worker, Provider::TensorRt) {
        assert!(refusal.reason.contains(".so."), "{refusal:?}");
    }
    let (request, text) = golden();
    assert_eq!(answer(worker.generate(request).unwrap()), text);
}
