//! Where the runtime library and the models lie; the only file here that reads the environment.
use std::path::{Path, PathBuf};

/// Folder, below the cache's `models`, of the model that `scripts/model/fetch.mjs` makes.
pub const DEFAULT_MODEL: &str = "smollm2-135m-instruct";

/// What a person runs to get the runtime library and the default model.
pub const FETCH_COMMAND: &str = "node scripts/model/fetch.mjs";

/// Places of the files that inference needs. Nothing is opened or checked here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locations {
    /// The cache folder: `$INKLING_CACHE`, else `$XDG_CACHE_HOME/inkling`, else `~/.cache/inkling`.
    pub cache: PathBuf,
    /// ONNX Runtime's shared library: `$INKLING_ORT`, else the one in the cache.
    pub runtime: PathBuf,
    /// The model's folder: `$INKLING_MODEL`, else [`DEFAULT_MODEL`] in the cache.
    pub model: PathBuf,
}

impl Locations {
    /// The folder of the adapters.
    #[must_use]
    pub fn adapters(&self) -> PathBuf {
        self.cache.join("adapters")
    }

    /// Reads the places from this process's environment.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the file that reads the environment"
    )]
    pub fn from_environment() -> Self {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// The same with the variables given by a function; empty values count as absent.
    #[must_use]
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let path = |name: &str| lookup(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = path("INKLING_CACHE")
            .or_else(|| path("XDG_CACHE_HOME").map(|home| home.join("inkling")))
            .or_else(|| {
                path("HOME")
                    .or_else(|| path("USERPROFILE"))
                    .map(|home| home.join(".cache/inkling"))
            })
            .unwrap_or_else(|| PathBuf::from(".cache/inkling"));
        Self {
            runtime: path("INKLING_ORT").unwrap_or_else(|| runtime_in(&cache)),
            model: path("INKLING_MODEL").unwrap_or_else(|| cache.join("models").join(DEFAULT_MODEL)),
            cache,
        }
    }
}

/// Where `scripts/model/fetch.mjs` puts ONNX Runtime in a cache folder, on this platform.
#[must_use]
pub fn runtime_in(cache: &Path) -> PathBuf {
    let name = match std::env::consts::OS {
        "windows" => "onnxruntime.dll",
        "macos" => "libonnxruntime.dylib",
        _ => "libonnxruntime.so",
    };
    cache.join("onnxruntime").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Locations {
        Locations::from_lookup(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_cache_is_the_most_particular_folder_named() {
        assert_eq!(from(&[("HOME", "/h")]).cache, Path::new("/h/.cache/inkling"));
        assert_eq!(
            from(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]).cache,
            Path::new("/x/inkling")
        );
        let all = [("HOME", "/h"), ("XDG_CACHE_HOME", "/x"), ("INKLING_CACHE", "/c")];
        assert_eq!(from(&all).cache, Path::new("/c"));
        assert_eq!(from(&all).model, Path::new("/c/models/smollm2-135m-instruct"));
        assert_eq!(
            from(&[("HOME", "/h"), ("INKLING_CACHE", "")]).cache,
            Path::new("/h/.cache/inkling")
        );
    }

    #[test]
    fn a_model_or_runtime_named_in_the_environment_is_taken() {
        let found = from(&[
            ("HOME", "/h"),
            ("INKLING_MODEL", "/m"),
            ("INKLING_ORT", "/lib/ort.so"),
        ]);
        assert_eq!(found.model, Path::new("/m"));
        assert_eq!(found.runtime, Path::new("/lib/ort.so"));
        assert!(
            from(&[("HOME", "/h")])
                .runtime
                .starts_with("/h/.cache/inkling/onnxruntime")
        );
    }
}
