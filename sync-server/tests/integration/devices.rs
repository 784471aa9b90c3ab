//! The self-test on the command line, of a server that is asked for devices: with the ordinary ONNX Runtime, and with the one for
//! NVIDIA's cards where it is fetched.

use crate::process::command;

/// Runs the self-test: whether it ended well, what it said, and what it said of trouble.
fn doctor(args: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = command(&["doctor", "--data"])
        .arg(folder.path())
        .args(args)
        .env_remove("INKLING_DEVICES")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The line that tells why a device was refused.
fn refused<'a>(said: &'a str, name: &str) -> &'a str {
    let line = said.lines().find_map(|line| {
        line.strip_prefix("Refused   ")?
            .strip_prefix(name)?
            .strip_prefix(": ")
    });
    line.unwrap_or_else(|| panic!("{name} is not refused in\n{said}"))
}

#[test]
fn the_doctor_tells_what_was_asked_for_what_runs_and_why_not() {
    let (code, said, trouble) = doctor(&["--devices", "directml,cuda,cpu"]);
    assert_eq!(code, Some(0), "{said} {trouble}");
    for part in [
        "Asked for DirectML, CUDA, CPU, in this order",
        "Runs on   ",
        "tokens a second",
        " MB in this process",
        "Licence   ",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    #[cfg(not(windows))]
    assert!(refused(&said, "DirectML").starts_with("only Windows has DirectML"));

    let (code, _, trouble) = doctor(&["--model-dir", "/nowhere"]);
    assert_ne!(code, Some(0));
    assert!(
        trouble.contains("There is no model here") && trouble.contains("/nowhere"),
        "{trouble}"
    );
    let (code, _, trouble) = doctor(&["--devices", "tpu"]);
    assert_ne!(code, Some(0));
    assert!(trouble.contains("cuda, tensorrt, "), "{trouble}");
}

/// A script that asks for one device and gets another must see it without reading.
#[test]
fn another_device_than_those_asked_for_is_no_success() {
    // No build for desks has it: this one lacks the feature, or the runtime lacks the provider.
    let (code, said, trouble) = doctor(&["--devices", "cann"]);
    assert_eq!(code, Some(1), "{said} {trouble}");
    assert!(refused(&said, "CANN").len() > 20, "{said}");
    assert!(said.contains("Runs on   CPU: "), "{said}");
    assert!(
        said.ends_with("None of the devices asked for (CANN) runs the model; the CPU does.\n"),
        "{said}"
    );
}

/// The package is fetched for Linux on x86-64; elsewhere the tests above ask the ordinary build.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn the_build_for_cards_is_refused_in_its_loaders_words() {
    let library = model::Locations::from_environment()
        .cache
        .join("onnxruntime-gpu/libonnxruntime.so");
    let library = library.to_str().unwrap();
    assert!(
        std::path::Path::new(library).is_file(),
        "{library} is missing: run `node scripts/model/fetch.mjs --providers`"
    );
    let (code, said, trouble) = doctor(&["--ort", library, "--devices", "cuda"]);
    if said.contains("Runs on   CUDA: ") {
        assert_eq!(code, Some(0), "there is a card: {said}");
        return;
    }
    assert_eq!(code, Some(1), "{said} {trouble}");
    let reason = refused(&said, "CUDA");
    let known = ["libcublas", "libcudart", "libcurand", "libcuda.so", "CUDA"];
    assert!(known.iter().any(|words| reason.contains(words)), "{reason}");
    assert!(
        !reason.contains("not enabled in this build") && !reason.contains(".cc:"),
        "{reason}"
    );
    for part in [
        "Asked for CUDA, CPU, in this order",
        "Runs on   CPU: ",
        "nodes on CPUExecutionProvider; ",
        "tokens a second",
        "None of the devices asked for (CUDA) runs the model; the CPU does.",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
}
