//! A session whose weights lie in files that are mapped here, so that their pages can be given back to the system.
//!
//! Where a matrix has been packed for the processor, its pages have been read once and never are again. Those of a table of
//! embeddings that the output layer uses too are read by the row, and the system brings in the rows around. Both count
//! as memory of this process until it says that they are not needed; the file has them when they are.
use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::path::{Component, Path};

use super::huge;
use memmap2::{Mmap, MmapOptions};
use ort::AsPointer;
use ort::session::Session;
use ort::session::builder::SessionBuilder;

/// The oldest minor version of ONNX Runtime 1.x that uses a file in memory where it lies; those before copy it.
const BORROWS_SINCE: u32 = 32;

/// Tokens after which what they have read is given back. Giving back takes a third of a millisecond, and the next token
/// half of one to have its rows again (measured on a busy machine): after every token it would be 5 % of decode.
const OFTEN: usize = 64;

/// A run of so many tokens takes so long that giving back after it does not count: what a prompt has read does not stay.
const MANY: usize = 16;

/// A session and the files that it reads its weights from.
#[derive(Debug)]
pub(crate) struct MappedSession {
    // dropped first: it reads the files
    session: Session,
    files: Vec<Mmap>,
    /// Tokens that were read since pages were given back; `None`: they are not given back.
    tokens: Option<usize>,
}

impl MappedSession {
    /// Opens a graph with its weights from `places`: the names that the graph has for its files, relative to its own
    /// folder. Where they cannot be mapped here, or ONNX Runtime (of version 1.`minor`) would copy them or does not
    /// take them from here, it maps them itself.
    ///
    /// # Errors
    /// ONNX Runtime's.
    pub(crate) fn open(
        mut builder: SessionBuilder,
        graph: &Path,
        places: &[String],
        minor: u32,
    ) -> Result<Self, ort::Error> {
        let before = huge::full_blocks();
        let files = match map(graph, places) {
            Ok(files) if minor >= BORROWS_SINCE && !files.is_empty() => files,
            _ => Vec::new(),
        };
        let lent = (!files.is_empty()).then(|| {
            let mut builder = builder
                .clone()
                .with_config_entry("session.use_external_initializer_file_buffers_directly", "1")?;
            lend(&mut builder, places, &files)?;
            builder.commit_from_file(graph)
        });
        let (session, files) = match lent {
            Some(Ok(session)) => (session, files),
            Some(Err(error)) => {
                tracing::debug!(%error, "weights are left to ONNX Runtime");
                (builder.commit_from_file(graph)?, Vec::new())
            }
            None => (builder.commit_from_file(graph)?, Vec::new()),
        };
        let opened = Self {
            session,
            files,
            tokens: None,
        };
        opened.give_back();
        huge::enlarge_since(&before);
        Ok(opened)
    }

    /// From now on gives back from time to time what was read: for graphs that read little of their files, because
    /// their matrices are packed.
    pub(crate) const fn reads_little(&mut self) {
        self.tokens = Some(0);
    }

    /// Gives back what opening it and the first runs have left.
    pub(crate) fn settle(&mut self) {
        self.has_read(OFTEN);
        super::give_back_free_memory();
    }

    /// So many tokens were read.
    pub(crate) fn has_read(&mut self, tokens: usize) {
        let Some(before) = &mut self.tokens else { return };
        *before += tokens;
        if *before >= OFTEN || tokens >= MANY {
            *before = 0;
            self.give_back();
        }
    }

    #[cfg(unix)]
    fn give_back(&self) {
        for file in &self.files {
            // SAFETY: the file is mapped to be read only, so its pages are the same when they are brought in again.
            let told = unsafe { file.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
            if let Err(error) = told {
                tracing::debug!(%error, "pages of weights are not given back");
            }
        }
    }

    #[cfg(not(unix))]
    fn give_back(&self) {}
}

impl Deref for MappedSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for MappedSession {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

/// Maps the files beside a graph. Names that lead elsewhere are left to ONNX Runtime, which refuses them.
fn map(graph: &Path, places: &[String]) -> std::io::Result<Vec<Mmap>> {
    let folder = graph.parent().unwrap_or(Path::new("."));
    let is_beside = |place: &String| {
        Path::new(place)
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
    };
    if !places.iter().all(is_beside) {
        return Ok(Vec::new());
    }
    places
        .iter()
        .map(|place| {
            let file = File::open(folder.join(place))?;
            // SAFETY: models' files are written once, under another name, and only read when they are there; ONNX
            // Runtime maps them in the same way.
            unsafe { MmapOptions::new().map_copy_read_only(&file) }
        })
        .collect()
}

/// Tells ONNX Runtime where the files are in memory.
fn lend(builder: &mut SessionBuilder, places: &[String], files: &[Mmap]) -> Result<(), ort::Error> {
    let api = ort::api();
    for (place, file) in places.iter().zip(files) {
        let name = native_text(place);
        let (start, length) = (file.as_ptr().cast_mut().cast(), file.len());
        // SAFETY: name, place and length are read during the call. The file stays mapped as long as the session, which is
        // dropped before it and only reads it.
        unsafe {
            ort::Error::<()>::result_from_status((api.AddExternalInitializersFromMemory)(
                builder.ptr_mut(),
                &name.as_ptr(),
                &start,
                &length,
                1,
            ))?;
        };
    }
    Ok(())
}

/// A file's name as ONNX Runtime takes it, with a zero at its end.
#[cfg(not(windows))]
fn native_text(name: &str) -> Vec<std::ffi::c_char> {
    name.bytes()
        .chain([0])
        .map(|byte| byte as std::ffi::c_char)
        .collect()
}

#[cfg(windows)]
fn native_text(name: &str) -> Vec<u16> {
    name.encode_utf16().chain([0]).collect()
}
