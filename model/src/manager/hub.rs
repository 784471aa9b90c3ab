//! A model hub that speaks as Hugging Face's does: which files a model has, and which of them are wanted.
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::download::{self, DownloadError, Retries, Wanted};
use crate::artifact::{preference, variant_of};
use crate::http;

/// A hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hub {
    /// Its address, `https://huggingface.co` for the best known.
    pub address: Url,
    /// What it knows the person by, for models that ask for an agreement.
    pub token: Option<String>,
    /// How patient downloads are.
    pub retries: Retries,
}

/// What is wanted of a hub's model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HubChoice {
    /// Branch, tag or commit; `main` when not given.
    pub revision: Option<String>,
    /// The variant of an ONNX model; the preferred one when not given.
    pub variant: Option<String>,
    /// The GGUF file, by its name; the preferred one when not given.
    pub file: Option<String>,
}

/// What is to be downloaded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// A folder in the ONNX layout.
    Onnx(Vec<Wanted>),
    /// One GGUF file, to be converted.
    Gguf(Wanted),
}

#[derive(Debug, Deserialize)]
struct Listing {
    #[serde(default)]
    sha: Option<String>,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    lfs: Option<Lfs>,
}

#[derive(Debug, Deserialize)]
struct Lfs {
    #[serde(default)]
    sha256: Option<String>,
}

/// Files of an ONNX model besides graph and weights.
const SETTINGS: [&str; 10] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "README.md",
    "LICENSE",
    "LICENSE.txt",
    "LICENSE.md",
    "NOTICE",
];
/// GGUF files by preference, by what their names contain.
const GGUF_FORMATS: [&str; 7] = ["q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0", "f16", "bf16"];
/// A listing is some kilobytes; a server that sends more is no hub.
const LONGEST_LISTING: usize = 16 << 20;

impl Hub {
    /// Asks which files a model has and chooses.
    pub(super) async fn plan(
        &self,
        client: &reqwest::Client,
        model: &str,
        choice: &HubChoice,
    ) -> Result<(Plan, Option<String>), DownloadError> {
        let revision = choice.revision.as_deref().unwrap_or("main");
        let segments = model.split('/').chain(["revision", revision]);
        let mut url = self.address(["api", "models"].into_iter().chain(segments));
        url.set_query(Some("blobs=true"));
        let listing = self.listing(client, model, url).await?;
        // what the listing said is what is fetched, whatever happens to the branch meanwhile
        let commit = listing.sha.clone();
        let revision = commit.clone().unwrap_or_else(|| revision.to_owned());
        let wanted = |sibling: &Sibling| Wanted {
            url: self.address(
                model
                    .split('/')
                    .chain(["resolve", &revision])
                    .chain(sibling.rfilename.split('/')),
            ),
            path: sibling.rfilename.clone(),
            bytes: sibling.size,
            sha256: sibling.lfs.as_ref().and_then(|lfs| lfs.sha256.clone()),
        };
        let siblings: Vec<&Sibling> = listing
            .siblings
            .iter()
            .filter(|one| is_plain(&one.rfilename))
            .collect();
        let unsuitable = |reason: String| DownloadError::Unsuitable {
            what: model.to_owned(),
            reason,
        };
        let plan =
            if choice.file.is_none() && siblings.iter().any(|one| graph_variant(&one.rfilename).is_some()) {
                let graph = choose_graph(&siblings, choice.variant.as_deref()).map_err(unsuitable)?;
                let mine = |one: &&&Sibling| {
                    SETTINGS.contains(&one.rfilename.as_str())
                        || one.rfilename == graph
                        || one
                            .rfilename
                            .strip_prefix(&graph)
                            .is_some_and(|rest| rest.starts_with("_data") || rest.starts_with(".data"))
                };
                Plan::Onnx(siblings.iter().filter(mine).map(|one| wanted(one)).collect())
            } else {
                let file = choose_gguf(&siblings, choice.file.as_deref()).map_err(unsuitable)?;
                Plan::Gguf(wanted(file))
            };
        Ok((plan, commit))
    }

    /// The HTTP client for this hub.
    pub(super) fn client(&self) -> Result<reqwest::Client, DownloadError> {
        http::client(&self.address, self.retries.silence).map_err(|reason| DownloadError::Refused {
            what: self.address.to_string(),
            reason,
        })
    }

    async fn listing(
        &self,
        client: &reqwest::Client,
        model: &str,
        url: Url,
    ) -> Result<Listing, DownloadError> {
        let mut pause = self.retries.pause;
        let mut reason = String::new();
        for _ in 0..self.retries.attempts.max(1) {
            let mut request = client.get(url.clone());
            if let Some(token) = &self.token {
                request = request.bearer_auth(token);
            }
            reason = match request.send().await {
                Ok(response) if response.status().is_success() => match response.bytes().await {
                    Ok(bytes) if bytes.len() <= LONGEST_LISTING => match serde_json::from_slice(&bytes) {
                        Ok(listing) => return Ok(listing),
                        Err(error) => format!("its list of files cannot be read ({error})"),
                    },
                    Ok(_) => "its list of files is too long".into(),
                    Err(error) => http::words(&error),
                },
                Ok(response) if response.status().is_client_error() && response.status() != 429 => {
                    return Err(download::refused(model, response.status()));
                }
                Ok(response) => format!("the server answers {}", response.status()),
                Err(error) => http::words(&error),
            };
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(60));
        }
        Err(DownloadError::Broken {
            what: model.to_owned(),
            at: 0,
            reason,
        })
    }

    fn address<'a>(&self, segments: impl Iterator<Item = &'a str>) -> Url {
        let mut url = self.address.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

/// Whether a name that a server sends stays within the model's folder.
fn is_plain(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', ':', '\0']) && part.len() < 200
    };
    name.len() < 400 && name.split('/').all(part)
}

/// The variant of a graph that lies where graphs lie.
fn graph_variant(name: &str) -> Option<String> {
    let file = name.strip_prefix("onnx/").unwrap_or(name);
    if file.contains('/') || file.starts_with("decoder_model_merged") {
        return None;
    }
    variant_of(file)
}

fn choose_graph(siblings: &[&Sibling], wanted: Option<&str>) -> Result<String, String> {
    let mut found: Vec<(usize, String, String)> = siblings
        .iter()
        .filter_map(|one| {
            let variant = graph_variant(&one.rfilename)?;
            Some((preference(&variant), variant, one.rfilename.clone()))
        })
        .collect();
    found.sort();
    let names: Vec<String> = found.iter().map(|(_, variant, _)| variant.clone()).collect();
    found
        .into_iter()
        .find(|(_, variant, _)| wanted.is_none_or(|wanted| wanted == variant))
        .map(|(_, _, file)| file)
        .ok_or_else(|| {
            format!(
                "no variant `{}`; it has {}",
                wanted.unwrap_or_default(),
                names.join(", ")
            )
        })
}

fn choose_gguf<'a>(siblings: &[&'a Sibling], wanted: Option<&str>) -> Result<&'a Sibling, String> {
    let files: Vec<&Sibling> = siblings
        .iter()
        .copied()
        .filter(|one| one.rfilename.ends_with(".gguf"))
        .collect();
    if let Some(wanted) = wanted {
        return files
            .iter()
            .find(|one| one.rfilename == wanted)
            .copied()
            .ok_or_else(|| format!("no file `{wanted}`"));
    }
    let rank = |one: &&&Sibling| {
        let name = one.rfilename.to_ascii_lowercase();
        GGUF_FORMATS
            .iter()
            .position(|format| name.contains(format))
            .unwrap_or(GGUF_FORMATS.len())
    };
    files
        .iter()
        .filter(|one| !one.rfilename.contains("-of-") && !one.rfilename.contains("mmproj"))
        .min_by_key(rank)
        .copied()
        .ok_or_else(|| "neither an ONNX graph that can be used nor a GGUF file".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for good in ["config.json", "onnx/model_q4.onnx", "a b.gguf"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in [
            "../x",
            "a/../b",
            "/etc/passwd",
            "a//b",
            "C:\\x",
            ".git/config",
            "a\\b",
            "",
        ] {
            assert!(!is_plain(bad), "{bad}");
        }
    }

    #[test]
    fn the_preferred_files_are_chosen() {
        let all: Vec<Sibling> = [
            "model-Q2_K.gguf",
            "model-Q4_K_M.gguf",
            "model-Q8_0-00001-of-00002.gguf",
            "onnx/model.onnx",
            "onnx/model_q4.onnx",
            "onnx/decoder_model_merged_q8.onnx",
        ]
        .map(|name| Sibling {
            rfilename: name.into(),
            size: None,
            lfs: None,
        })
        .into();
        let all: Vec<&Sibling> = all.iter().collect();
        assert_eq!(choose_gguf(&all, None).unwrap().rfilename, "model-Q4_K_M.gguf");
        assert_eq!(
            choose_gguf(&all, Some("model-Q2_K.gguf")).unwrap().rfilename,
            "model-Q2_K.gguf"
        );
        assert!(choose_gguf(&all[3..], None).unwrap_err().contains("GGUF"));
        assert_eq!(choose_graph(&all, None).unwrap(), "onnx/model_q4.onnx");
        assert_eq!(choose_graph(&all, Some("fp32")).unwrap(), "onnx/model.onnx");
        assert!(choose_graph(&all, Some("q8")).unwrap_err().contains("q4, fp32"));
    }
}
