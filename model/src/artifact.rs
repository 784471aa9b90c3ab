//! A model on disk: a folder in Hugging Face's ONNX layout, checked before anything is loaded.
mod external;
mod settings;

use std::path::{Path, PathBuf};

use crate::config::{DEFAULT_MODEL, FETCH_COMMAND};
use settings::Settings;

/// A model's folder whose files are all there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The folder.
    pub folder: PathBuf,
    /// Short and stable: the folder's name.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// The licence's short name, if the folder tells it.
    pub licence: Option<String>,
    /// How the weights are stored, from the graph's file name: `q8`, `q4`, `fp32`, …
    pub quantisation: String,
    /// The graph.
    pub graph: PathBuf,
    /// `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// The chat template's text (Jinja).
    pub chat_template: String,
    /// Texts of the special tokens that templates may use: name (`bos_token`, …) and text.
    pub special_texts: Vec<(String, String)>,
    /// Tokens that the context holds, if the settings tell.
    pub context_length: Option<usize>,
    /// Bytes of graph and weights on disk. Weights beside the graph are mapped into memory, not read.
    pub weight_bytes: u64,
    /// Number of tokens that have a score, if the settings tell.
    pub vocabulary: Option<usize>,
    /// Ids of the tokens that end an answer.
    pub end_tokens: Vec<u32>,
    /// Texts of tokens that end an answer, where only the text is told.
    pub end_texts: Vec<String>,
}

/// Why a folder is no model that can be used. The words are for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// There is no such folder.
    #[error("there is no model in {}: {}", folder.display(), how_to_get(folder))]
    NoFolder {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A file is missing.
    #[error("the model in {} lacks {file}: {}", folder.display(), how_to_complete(folder))]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The file, relative to the folder.
        file: String,
    },
    /// There is no such variant.
    #[error("the model in {} has no variant `{wanted}`; it has {}", folder.display(), found.join(", "))]
    NoVariant {
        /// The folder.
        folder: PathBuf,
        /// What was asked for.
        wanted: String,
        /// What there is.
        found: Vec<String>,
    },
    /// A file cannot be read, is cut short, or says nonsense.
    #[error("{}: {reason}: {}", file.display(), how_to_complete(file))]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

fn how_to_get(folder: &Path) -> String {
    if is_default(folder) {
        format!("run `{FETCH_COMMAND}`")
    } else {
        format!(
            "set INKLING_MODEL to a folder in Hugging Face's ONNX layout, or run `{FETCH_COMMAND}` for the default model"
        )
    }
}

fn how_to_complete(path: &Path) -> String {
    if is_default(path) {
        format!("run `{FETCH_COMMAND}`, which repairs it")
    } else {
        "download or export the model again".to_owned()
    }
}

fn is_default(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == DEFAULT_MODEL)
}

/// Variants by preference: fast on a CPU and near the original first; others follow by name.
const PREFERRED: [&str; 10] = [
    "q8",
    "exact",
    "q4_exact",
    "q4",
    "int8",
    "quantized",
    "uint8",
    "fp32",
    "fp16",
    "q4f16",
];

impl Artifact {
    /// Opens a folder and takes the preferred of its variants.
    ///
    /// # Errors
    /// See [`ArtifactError`].
    pub fn open(folder: &Path) -> Result<Self, ArtifactError> {
        Self::open_variant(folder, None)
    }

    /// Opens a folder and takes the variant of this name (`q4` for `onnx/model_q4.onnx`, `fp32` for
    /// `onnx/model.onnx`).
    ///
    /// # Errors
    /// See [`ArtifactError`].
    pub fn open_variant(folder: &Path, wanted: Option<&str>) -> Result<Self, ArtifactError> {
        if !folder.is_dir() {
            return Err(ArtifactError::NoFolder {
                folder: folder.to_path_buf(),
            });
        }
        let (quantisation, graph) = graph_of(folder, wanted)?;
        let tokenizer = folder.join("tokenizer.json");
        for file in ["config.json", "tokenizer.json"] {
            if !folder.join(file).is_file() {
                return Err(ArtifactError::Missing {
                    folder: folder.to_path_buf(),
                    file: file.to_owned(),
                });
            }
        }
        let weight_bytes = check_weights(folder, &graph)?;
        let settings = Settings::read(folder)?;
        let id = folder
            .canonicalize()
            .ok()
            .and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()))
            .unwrap_or_else(|| "model".to_owned());
        Ok(Self {
            name: settings.name.unwrap_or_else(|| id.clone()),
            folder: folder.to_path_buf(),
            id,
            licence: settings.licence,
            quantisation,
            graph,
            tokenizer,
            chat_template: settings.chat_template,
            special_texts: settings.special_texts,
            context_length: settings.context_length,
            weight_bytes,
            vocabulary: settings.vocabulary,
            end_tokens: settings.end_tokens,
            end_texts: settings.end_texts,
        })
    }

    /// The files beside the graph that hold its weights.
    #[must_use]
    pub fn weight_files(&self) -> Vec<PathBuf> {
        let beside = self.graph.parent().unwrap_or(&self.folder);
        weight_names(&self.graph)
            .iter()
            .map(|name| beside.join(name))
            .collect()
    }
}

/// The names that a graph has for the files beside it that hold its weights.
pub(crate) fn weight_names(graph: &Path) -> Vec<String> {
    external::files(graph).unwrap_or_default().into_keys().collect()
}

/// How far down the list of preferred variants one stands.
pub(crate) fn preference(variant: &str) -> usize {
    PREFERRED
        .iter()
        .position(|known| *known == variant)
        .unwrap_or(PREFERRED.len())
}

/// The graph to use: (variant, file). Looks in `onnx/` and then in the folder itself.
fn graph_of(folder: &Path, wanted: Option<&str>) -> Result<(String, PathBuf), ArtifactError> {
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for place in [folder.join("onnx"), folder.to_path_buf()] {
        let Ok(entries) = place.read_dir() else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(variant) = variant_of(&name)
                && !found.iter().any(|(known, _)| *known == variant)
            {
                found.push((variant, entry.path()));
            }
        }
    }
    if found.is_empty() {
        return Err(ArtifactError::Missing {
            folder: folder.to_path_buf(),
            file: "onnx/model.onnx (or onnx/model_q4.onnx, …)".to_owned(),
        });
    }
    found.sort_by(|(a, _), (b, _)| preference(a).cmp(&preference(b)).then_with(|| a.cmp(b)));
    let names: Vec<String> = found.iter().map(|(variant, _)| variant.clone()).collect();
    found
        .into_iter()
        .find(|(variant, _)| wanted.is_none_or(|wanted| wanted == variant))
        .ok_or_else(|| ArtifactError::NoVariant {
            folder: folder.to_path_buf(),
            wanted: wanted.unwrap_or_default().to_owned(),
            found: names,
        })
}

/// `q4` for `model_q4.onnx`, `fp32` for `model.onnx`, `None` for files that are no whole decoder.
pub(crate) fn variant_of(file: &str) -> Option<String> {
    let stem = file.strip_suffix(".onnx")?;
    // merged decoders are listed so that the engine can refuse them in its own words
    let rest = stem
        .strip_prefix("decoder_model_merged")
        .or_else(|| stem.strip_prefix("model"))?;
    match rest {
        "" => Some("fp32".to_owned()),
        _ => rest
            .strip_prefix('_')
            .filter(|variant| !variant.is_empty())
            .map(str::to_owned),
    }
}

/// Large graphs keep their weights in files beside them; all of these must be there and whole. Returns the bytes of all.
fn check_weights(folder: &Path, graph: &Path) -> Result<u64, ArtifactError> {
    let damaged = |file: &Path, reason: String| ArtifactError::Damaged {
        file: file.to_path_buf(),
        reason,
    };
    let needed = external::files(graph).map_err(|error| damaged(graph, error.to_string()))?;
    let beside = graph.parent().unwrap_or(folder);
    let mut bytes = graph.metadata().map_or(0, |data| data.len());
    for (name, length) in needed {
        let file = beside.join(&name);
        let Ok(data) = file.metadata() else {
            let shown = file.strip_prefix(folder).unwrap_or(&file).display().to_string();
            return Err(ArtifactError::Missing {
                folder: folder.to_path_buf(),
                file: shown,
            });
        };
        if data.len() < length {
            return Err(damaged(
                &file,
                format!("it has {} bytes and needs {length}", data.len()),
            ));
        }
        bytes += data.len();
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_read_from_file_names() {
        let name = |file| variant_of(file);
        assert_eq!(name("model.onnx").as_deref(), Some("fp32"));
        assert_eq!(name("model_q4f16.onnx").as_deref(), Some("q4f16"));
        assert_eq!(name("decoder_model_merged_q4.onnx").as_deref(), Some("q4"));
        for other in [
            "model_q4.onnx_data",
            "encoder_model.onnx",
            "decoder_with_past_model.onnx",
            "model_.onnx",
            "models.onnx",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
    }

    #[test]
    fn the_preferred_variant_is_taken_and_others_by_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("onnx")).unwrap();
        for file in ["model.onnx", "model_fp16.onnx", "model_q4.onnx", "model_zz.onnx"] {
            std::fs::File::create(folder.path().join("onnx").join(file)).unwrap();
        }
        assert_eq!(graph_of(folder.path(), None).unwrap().0, "q4");
        assert_eq!(
            graph_of(folder.path(), Some("fp32")).unwrap().1,
            folder.path().join("onnx/model.onnx")
        );
        let error = graph_of(folder.path(), Some("q8")).unwrap_err().to_string();
        assert!(
            error.contains("`q8`") && error.contains("q4, fp32, fp16, zz"),
            "{error}"
        );
        let error = Artifact::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("lacks config.json"), "{error}");
    }

    #[test]
    fn a_folder_that_is_not_there_says_what_to_do() {
        let error = Artifact::open(Path::new("/nowhere/mine"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("INKLING_MODEL"), "{error}");
        let error = Artifact::open(Path::new("/nowhere/smollm2-135m-instruct"))
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("run `node scripts/model/fetch.mjs`"), "{error}");
    }
}
