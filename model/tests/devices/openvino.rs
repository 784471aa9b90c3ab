//! The build of ONNX Runtime with OpenVINO, from the package registry: a provider that is not ONNX Runtime's own runs parts of the
//! graph here, on the processor. A program of its own, because a process has one ONNX Runtime.
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
fn another_provider_runs_its_part_and_the_answer_is_the_same() {
    let worker = worker(&runtime("openvino"), &[Provider::OpenVino, Provider::Cuda]);
    let device = worker.info().device.clone();
    assert_eq!(device.provider, Provider::OpenVino, "{device:?}");
    assert_eq!(device.asked, [Provider::OpenVino, Provider::Cuda, Provider::Cpu]);
    // ONNX Runtime's own record: OpenVINO takes the matrices, which are most of the nodes, and leaves attention to the CPU.
    let [own, cpu] = device.shares.as_slice() else {
        panic!("{device:?}")
    };
    assert_eq!(
        (own.provider.as_str(), cpu.provider.as_str()),
        ("OpenVINOExecutionProvider", "CPUExecutionProvider")
    );
    assert!(own.nodes > 200 && cpu.nodes > 0, "{device:?}");
    let all = own.nodes + cpu.nodes;
    assert_eq!(device.label(), format!("OpenVINO ({} of {all} nodes)", own.nodes));
    // What comes after it is asked, too, and its answer is kept.
    assert!(
        refusal(&worker, Provider::Cuda).unwrap().reason.contains("CUDA"),
        "{device:?}"
    );
    let report = Checkup::examine(&worker).words();
    for part in [
        "Asked for OpenVINO, CUDA, CPU, in this order\n".to_owned(),
        format!(
            "Runs on   OpenVINO: {} of {all} nodes on OpenVINOExecutionProvider, {} of {all} nodes on CPUExecutionProvider; ",
            own.nodes, cpu.nodes
        ),
        "Refused   CUDA: ".to_owned(),
    ] {
        assert!(report.contains(&part), "{part} is not in\n{report}");
    }
    // Two at the same time, as two people ask: whatever the cache's place allows, neither answer changes.
    let (request, text) = golden();
    let both: Vec<_> = (0..2)
        .map(|_| worker.generate(request.clone()).unwrap())
        .collect();
    for generation in both {
        assert_eq!(answer(generation), text);
    }
}
