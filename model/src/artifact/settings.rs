//! What the settings files of a model's folder tell: context length, end tokens, template, name, licence.
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::ArtifactError;

#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) name: Option<String>,
    pub(super) licence: Option<String>,
    pub(super) chat_template: String,
    pub(super) special_texts: Vec<(String, String)>,
    pub(super) context_length: Option<usize>,
    pub(super) vocabulary: Option<usize>,
    pub(super) end_tokens: Vec<u32>,
    pub(super) end_texts: Vec<String>,
}

impl Settings {
    /// Reads config.json, generation_config.json, tokenizer_config.json, chat_template.jinja, README.md, LICENSE.
    pub(super) fn read(folder: &Path) -> Result<Self, ArtifactError> {
        let config = json(folder, "config.json")?.unwrap_or_default();
        let generation = json(folder, "generation_config.json")?.unwrap_or_default();
        let tokenizer = json(folder, "tokenizer_config.json")?.unwrap_or_default();
        // models that also see or hear keep the decoder's settings one level down
        let text = |key: &str| {
            config
                .get(key)
                .or_else(|| config.get("text_config")?.get(key))
                .cloned()
        };
        let size = |key: &str| {
            text(key)
                .and_then(|value| value.as_u64())
                .and_then(|value| usize::try_from(value).ok())
        };
        let card = fs::read_to_string(folder.join("README.md")).unwrap_or_default();

        let mut settings = Self {
            name: front_matter(&card, "model_name")
                .or_else(|| last_segment(config.get("_name_or_path")?.as_str()?)),
            licence: licence(folder, &card),
            chat_template: chat_template(folder, &tokenizer)?,
            context_length: [
                "max_position_embeddings",
                "n_positions",
                "max_sequence_length",
                "n_ctx",
            ]
            .into_iter()
            .find_map(size),
            vocabulary: size("vocab_size"),
            ..Self::default()
        };
        for value in [generation.get("eos_token_id").cloned(), text("eos_token_id")]
            .into_iter()
            .flatten()
        {
            let ids = value.as_array().cloned().unwrap_or_else(|| vec![value]);
            let ids = ids.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok());
            settings.end_tokens.extend(ids);
        }
        settings.end_tokens.sort_unstable();
        settings.end_tokens.dedup();
        for name in ["bos_token", "eos_token", "pad_token", "unk_token"] {
            // a text, or an object with the text as its content
            let value = tokenizer
                .get(name)
                .and_then(|value| value.as_str().or_else(|| value.get("content")?.as_str()));
            settings
                .special_texts
                .extend(value.map(|text| (name.to_owned(), text.to_owned())));
        }
        settings.end_texts = settings
            .special_texts
            .iter()
            .filter(|(name, _)| name == "eos_token")
            .map(|(_, text)| text.clone())
            .collect();
        if settings.end_tokens.is_empty() && settings.end_texts.is_empty() {
            return Err(ArtifactError::Missing {
                folder: folder.to_path_buf(),
                file: "an end token (eos_token_id in generation_config.json or config.json)".to_owned(),
            });
        }
        Ok(settings)
    }
}

fn json(folder: &Path, name: &str) -> Result<Option<Value>, ArtifactError> {
    let file = folder.join(name);
    if !file.exists() {
        return Ok(None);
    }
    let damaged = |reason: String| ArtifactError::Damaged {
        file: file.clone(),
        reason,
    };
    let bytes = fs::read(&file).map_err(|error| damaged(error.to_string()))?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| damaged(error.to_string()))
}

fn chat_template(folder: &Path, tokenizer: &Value) -> Result<String, ArtifactError> {
    let file = folder.join("chat_template.jinja");
    match fs::read_to_string(&file) {
        Ok(text) => return Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(ArtifactError::Damaged {
                file,
                reason: error.to_string(),
            });
        }
    }
    let found = match tokenizer.get("chat_template") {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Array(list)) => list
            .iter()
            .find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"))
            .and_then(|entry| entry.get("template")?.as_str().map(str::to_owned)),
        _ => None,
    };
    found.ok_or_else(|| ArtifactError::Missing {
        folder: folder.to_path_buf(),
        file: "a chat template (chat_template.jinja, or chat_template in tokenizer_config.json): it is no instruct model, or its export is incomplete".to_owned(),
    })
}

/// A value from the YAML head of a model card.
fn front_matter(card: &str, key: &str) -> Option<String> {
    let head = card.strip_prefix("---")?.split("\n---").next()?;
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value.trim().trim_matches(['"', '\'']).to_owned())
        .filter(|value| !value.is_empty())
}

fn licence(folder: &Path, card: &str) -> Option<String> {
    let told = front_matter(card, "license")
        .filter(|name| name != "other")
        .or_else(|| front_matter(card, "license_name"));
    if let Some(name) = told {
        let known = [
            "Apache-2.0",
            "MIT",
            "BSD-3-Clause",
            "GPL-3.0",
            "AGPL-3.0",
            "CC-BY-4.0",
            "CC-BY-SA-4.0",
            "CC-BY-NC-4.0",
        ];
        return Some(
            known
                .iter()
                .find(|id| id.eq_ignore_ascii_case(&name))
                .map_or(name, |id| (*id).to_owned()),
        );
    }
    let text = ["LICENSE", "LICENSE.txt", "LICENSE.md"]
        .iter()
        .find_map(|name| fs::read_to_string(folder.join(name)).ok())?;
    let start: String = text.chars().take(400).collect();
    if start.contains("Apache License") && start.contains("Version 2.0") {
        Some("Apache-2.0".to_owned())
    } else if start.contains("MIT License") || start.contains("Permission is hereby granted, free of charge")
    {
        Some("MIT".to_owned())
    } else {
        Some("see LICENSE".to_owned())
    }
}

fn last_segment(path: &str) -> Option<String> {
    path.rsplit('/')
        .next()
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::File::create(folder.path().join(name))
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
        }
        folder
    }

    const TEMPLATE: (&str, &str) = ("chat_template.jinja", "{{ messages }}");

    #[test]
    fn every_file_is_used() {
        let files = [
            (
                "config.json",
                r#"{"text_config":{"max_position_embeddings":512,"vocab_size":9},"eos_token_id":3}"#,
            ),
            ("generation_config.json", r#"{"eos_token_id":[5,3]}"#),
            (
                "tokenizer_config.json",
                r#"{"bos_token":{"content":"<s>"},"eos_token":"</s>","chat_template":[{"name":"tool_use","template":"no"},{"name":"default","template":"yes"}]}"#,
            ),
            (
                "README.md",
                "---\nlicense: apache-2.0\nmodel_name: \"A model\"\n---\nlicense: mit\n",
            ),
        ];
        let settings = Settings::read(folder(&files).path()).unwrap();
        assert_eq!(settings.context_length, Some(512));
        assert_eq!(settings.vocabulary, Some(9));
        assert_eq!(settings.end_tokens, [3, 5]);
        assert_eq!(settings.end_texts, ["</s>"]);
        assert_eq!(settings.chat_template, "yes");
        assert_eq!(settings.licence.as_deref(), Some("Apache-2.0"));
        assert_eq!(settings.name.as_deref(), Some("A model"));
        assert_eq!(
            settings.special_texts[0],
            ("bos_token".to_owned(), "<s>".to_owned())
        );
    }

    #[test]
    fn a_licence_file_is_recognised() {
        let licence = |text| {
            Settings::read(
                folder(&[
                    ("config.json", r#"{"eos_token_id":1}"#),
                    TEMPLATE,
                    ("LICENSE", text),
                ])
                .path(),
            )
            .unwrap()
            .licence
        };
        assert_eq!(
            licence("  Apache License\n Version 2.0, January 2004").as_deref(),
            Some("Apache-2.0")
        );
        assert_eq!(licence("MIT License").as_deref(), Some("MIT"));
        assert_eq!(licence("Pay me").as_deref(), Some("see LICENSE"));
    }

    #[test]
    fn what_is_missing_or_damaged_is_named() {
        let error = |files: &[(&str, &str)]| Settings::read(folder(files).path()).unwrap_err().to_string();
        assert!(error(&[("config.json", r#"{"eos_token_id":1}"#)]).contains("chat template"));
        assert!(error(&[("config.json", "{}"), TEMPLATE]).contains("end token"));
        let unreadable = folder(&[
            ("config.json", r#"{"eos_token_id":1}"#),
            ("tokenizer_config.json", r#"{"chat_template":"another"}"#),
        ]);
        fs::File::create(unreadable.path().join("chat_template.jinja"))
            .unwrap()
            .write_all(&[0xff, 0xfe])
            .unwrap();
        let words = Settings::read(unreadable.path()).unwrap_err().to_string();
        assert!(words.contains("chat_template.jinja"), "{words}");
        let damaged = error(&[("config.json", r#"{"eos_token"#), TEMPLATE]);
        assert!(
            damaged.contains("config.json") && damaged.contains("again"),
            "{damaged}"
        );
    }
}
