//! The priority of the model's threads: below that of everything that serves people.

/// How nice the model's threads are (setpriority(2): 0 is usual, 19 the nicest). A machine that has nothing else to do gives them
/// all of its time all the same.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Lets the system prefer other threads to this one and to those that it begins from now on (ONNX Runtime's): typing never
/// waits for the model.
#[cfg(target_os = "linux")]
pub(super) fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS) {
        tracing::debug!(%error, "the model's threads keep the usual priority");
    }
}

/// Other systems give each thread its share by themselves.
#[cfg(not(target_os = "linux"))]
pub(super) const fn give_way() {}
