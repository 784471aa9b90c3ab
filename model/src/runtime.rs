//! ONNX Runtime: a shared library that is loaded once per process, from a path that the caller gives.
use std::path::{Path, PathBuf};
#[cfg(feature = "cuda")]
use std::sync::Once;
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::config::FETCH_COMMAND;
use crate::native;

/// The oldest minor version of ONNX Runtime 1.x that has every call used here.
pub const OLDEST_MINOR: u32 = ort::MINOR_VERSION;

/// The library of this process; the first that loads stays, because it cannot be unloaded.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

/// ONNX Runtime, loaded. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runtime {
    environment: Environment,
    path: PathBuf,
    version: String,
}

/// Why ONNX Runtime could not be loaded. The words are for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// There is no such file.
    #[error("ONNX Runtime is not at {}: run `{FETCH_COMMAND}`, or set INKLING_ORT to its library", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is no ONNX Runtime for this machine.
    #[error("{} cannot be loaded as ONNX Runtime: {reason}", path.display())]
    NotARuntime {
        /// The file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// A version that lacks calls made here.
    #[error(
        "{} is ONNX Runtime {version}; 1.{OLDEST_MINOR} or later is needed: run `{FETCH_COMMAND}`, or set INKLING_ORT to a newer one",
        path.display()
    )]
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// This process has loaded another library already.
    #[error("this process uses ONNX Runtime from {}; restart it to use {}", loaded.display(), path.display())]
    AnotherLoaded {
        /// The one in use.
        loaded: PathBuf,
        /// The one asked for.
        path: PathBuf,
    },
    /// The library could not be started.
    #[error("ONNX Runtime could not be started: {0}")]
    NotStarted(String),
}

impl Runtime {
    /// Loads the library, or returns the one that is loaded if it is the same file.
    ///
    /// # Errors
    /// See [`RuntimeError`]; after an error another path may be tried.
    pub fn load(path: &Path) -> Result<Self, RuntimeError> {
        let path = path.canonicalize().map_err(|_| RuntimeError::Missing {
            path: path.to_path_buf(),
        })?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = loaded.as_ref() {
            return match runtime.path == path {
                true => Ok(runtime.clone()),
                false => Err(RuntimeError::AnotherLoaded {
                    loaded: runtime.path.clone(),
                    path,
                }),
            };
        }
        let version = native::library_version(&path).map_err(|reason| RuntimeError::NotARuntime {
            path: path.clone(),
            reason,
        })?;
        if !recent_enough(&version) {
            return Err(RuntimeError::TooOld { path, version });
        }
        let environment = ort::init_from(&path)
            .map_err(|error| RuntimeError::NotARuntime {
                path: path.clone(),
                reason: error.to_string(),
            })?
            .with_name("inkling")
            .with_telemetry(false)
            .with_logger(Arc::new(
                |level: LogLevel, category: &str, _: &str, _: &str, message: &str| {
                    log(level, category, message);
                },
            ))
            .build()
            .map_err(|error| RuntimeError::NotStarted(error.to_string()))?;
        environment.set_log_level(LogLevel::Warning);
        tracing::info!(version, path = %path.display(), "ONNX Runtime loaded");
        let runtime = Self {
            environment,
            path,
            version,
        };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// ONNX Runtime's version, for example `1.32.0`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The library's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The second number of its version.
    pub(crate) fn minor(&self) -> u32 {
        numbers(&self.version).1
    }

    pub(crate) const fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Loads those of NVIDIA's libraries that lie beside this one, once: its provider for CUDA looks for them by name, and
    /// finds what the process has already. What does not load is told by the provider's own refusal.
    #[cfg(feature = "cuda")]
    pub(crate) fn load_cuda_beside(&self) {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let folder = self.path.parent().unwrap_or(Path::new(""));
            for name in ort::ep::cuda::CUDA_DYLIBS
                .iter()
                .chain(ort::ep::cuda::CUDNN_DYLIBS)
            {
                let file = folder.join(name);
                if !file.is_file() {
                    continue;
                }
                match ort::util::preload_dylib(&file) {
                    Ok(()) => tracing::debug!(library = %file.display(), "loaded"),
                    Err(error) => tracing::warn!(library = %file.display(), %error, "not loaded"),
                }
            }
        });
    }
}

/// ONNX Runtime's own messages; a refused provider is an error to it and only a warning to us.
fn log(level: LogLevel, category: &str, message: &str) {
    match level {
        LogLevel::Fatal | LogLevel::Error | LogLevel::Warning => {
            tracing::warn!(target: "onnxruntime", category, "{message}");
        }
        LogLevel::Info => tracing::info!(target: "onnxruntime", category, "{message}"),
        LogLevel::Verbose => tracing::trace!(target: "onnxruntime", category, "{message}"),
    }
}

/// The first two numbers of a version.
fn numbers(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn recent_enough(version: &str) -> bool {
    let (major, minor) = numbers(version);
    major > 1 || (major == 1 && minor >= OLDEST_MINOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for good in ["1.24.0", "1.32.0", "1.100.1", "2.0.0", "1.24"] {
            assert!(recent_enough(good), "{good}");
        }
        for bad in ["1.23.9", "1.3.0", "0.99", "", "x.y"] {
            assert!(!recent_enough(bad), "{bad}");
        }
    }

    #[test]
    fn a_missing_library_says_how_to_get_it() {
        let error = Runtime::load(Path::new("/nowhere/libonnxruntime.so"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("/nowhere/libonnxruntime.so"), "{error}");
        assert!(
            error.contains("scripts/model/fetch.mjs") && error.contains("INKLING_ORT"),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_is_no_library_is_refused_with_the_systems_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libonnxruntime.so");
        std::fs::copy("Cargo.toml", &path).unwrap();
        let error = Runtime::load(&path).unwrap_err();
        assert!(matches!(error, RuntimeError::NotARuntime { .. }), "{error:?}");
    }
}
