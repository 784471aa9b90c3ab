//! The only place with unsafe code: two questions to ONNX Runtime that have no safe call yet, and memory: files
//! that are mapped, the size of pages.
#![expect(
    unsafe_code,
    reason = "ONNX Runtime's C interface, and the system's of memory"
)]
pub(crate) mod huge;
pub(crate) mod weights;

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::path::Path;
use std::ptr;

use ort::AsPointer;
use ort::session::Session;

/// Provider, as ONNX Runtime names it, to operator to number of nodes.
pub(crate) type NodeCounts = BTreeMap<String, BTreeMap<String, usize>>;

/// The version that a library says it is, found without starting it.
///
/// # Errors
/// The system's words when it cannot be loaded, or ours when it is another library.
pub(crate) fn library_version(path: &Path) -> Result<String, String> {
    // SAFETY: loading runs the library's initialisers. The path is the one that the user named as ONNX
    // Runtime, which is loaded and run as a whole a moment later anyway.
    let library = unsafe { libloading::Library::new(path) }.map_err(|error| error.to_string())?;
    // SAFETY: the symbol has this signature in every ONNX Runtime since 1.0 (onnxruntime_c_api.h).
    let base = unsafe {
        library
            .get::<unsafe extern "C" fn() -> *const ort::sys::OrtApiBase>(b"OrtGetApiBase")
            .map(|get| get())
            .map_err(|_| "it does not export OrtGetApiBase, so it is another library".to_owned())?
    };
    if base.is_null() {
        return Err("it returned no interface".to_owned());
    }
    // SAFETY: not null; structure and text are static in the library, which is loaded.
    let version = unsafe { CStr::from_ptr(((*base).GetVersionString)()) };
    let version = version.to_string_lossy().into_owned();
    // stays loaded: it is used a moment later, and unloading runs the clean-up of a library in use
    std::mem::forget(library);
    Ok(version)
}

/// ONNX Runtime's own record of which provider runs which nodes. The session must have been opened with
/// `session.record_ep_graph_assignment_info`.
///
/// # Errors
/// ONNX Runtime's, when the record was not kept.
pub(crate) fn node_counts(session: &Session) -> Result<NodeCounts, ort::Error> {
    let api = ort::api();
    let mut counts = NodeCounts::new();
    let (mut subgraphs, mut length) = (ptr::null(), 0usize);
    // SAFETY: the session is alive; the call fills both places or returns a status, which is consumed.
    unsafe {
        ort::Error::<()>::result_from_status((api.Session_GetEpGraphAssignmentInfo)(
            session.ptr(),
            &mut subgraphs,
            &mut length,
        ))?;
    };
    for index in 0..length {
        // SAFETY: `subgraphs` has `length` entries and belongs to the session, which outlives this function.
        let subgraph = unsafe { *subgraphs.add(index) };
        let mut name: *const c_char = ptr::null();
        // SAFETY: the subgraph is one of the session's; the name stays the session's.
        unsafe {
            ort::Error::<()>::result_from_status((api.EpAssignedSubgraph_GetEpName)(subgraph, &mut name))?;
        };
        let operators = counts.entry(text(name)).or_default();
        let (mut nodes, mut count) = (ptr::null(), 0usize);
        // SAFETY: as above.
        unsafe {
            ort::Error::<()>::result_from_status((api.EpAssignedSubgraph_GetNodes)(
                subgraph, &mut nodes, &mut count,
            ))?;
        };
        for position in 0..count {
            let mut operator: *const c_char = ptr::null();
            // SAFETY: `nodes` has `count` entries and belongs to the session, as do the nodes and the texts.
            unsafe {
                let node = *nodes.add(position);
                ort::Error::<()>::result_from_status((api.EpAssignedNode_GetOperatorType)(
                    node,
                    &mut operator,
                ))?;
            }
            *operators.entry(text(operator)).or_default() += 1;
        }
    }
    Ok(counts)
}

/// Has the C library give the system what it holds free: it keeps memory between what is in use, and a session that is
/// opened or a cache that moves leaves tens of megabytes of it. glibc only; takes about a millisecond.
pub(crate) fn give_back_free_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called at any time; nothing that is in use is touched.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Copies a text of ONNX Runtime's.
fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: not null, and ONNX Runtime's texts end with a zero byte.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
