use std::io::Write as _;

use model::{Capabilities, GenerateError, GenerateRequest, Generation, ModelInfo};

use super::*;

/// A model that says what it can, and nothing else.
#[derive(Debug)]
struct Mute(ModelInfo, Capabilities);

impl Mute {
    fn new(can: Capabilities) -> Self {
        let device = model::DeviceReport::remote("far.example".into());
        let info = ModelInfo {
            id: "tiny".into(),
            name: "Tiny".into(),
            licence: None,
            quantisation: "q8".into(),
            context_length: 64,
            device,
            prefill_tokens_per_second: 1.0,
            decode_tokens_per_second: 1.0,
            load_ms: 0,
        };
        Self(info, can)
    }
}

impl Generator for Mute {
    fn info(&self) -> &ModelInfo {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        self.1
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.len()
    }

    fn generate(&self, _: GenerateRequest) -> Result<Generation, GenerateError> {
        Err(GenerateError::Gone)
    }
}

/// A folder with the record of one adapter, for this model.
fn library(root: &std::path::Path, base: &str) -> AdapterLibrary {
    let folder = root.join("law");
    std::fs::create_dir_all(&folder).unwrap();
    let record = format!(r#"{{"base": "{base}", "changed": 1, "rank": 4, "source": "x"}}"#);
    let mut file = std::fs::File::create(folder.join("inkling.json")).unwrap();
    file.write_all(record.as_bytes()).unwrap();
    AdapterLibrary::new(root)
}

fn chosen(library: AdapterLibrary) -> Chosen {
    let adapters = Adapters {
        usual: Some("law".into()),
        commands: [
            (RequestKind::Continue, None),
            (RequestKind::Rewrite, Some("gone".into())),
        ]
        .into(),
    };
    Chosen { adapters, library }
}

#[test]
fn the_adapter_of_the_document_or_of_the_command_is_worn() {
    let folder = tempfile::tempdir().unwrap();
    let chosen = chosen(library(folder.path(), "tiny"));
    let model = Mute::new(Capabilities::LOCAL);
    let worn = |kind| Worn::choose(Some(&chosen), kind, &model);
    let law = worn(RequestKind::Ask).unwrap();
    assert_eq!((law.name().as_deref(), &law.note), (Some("law"), &None));
    assert_eq!(worn(RequestKind::Continue).unwrap(), Worn::default());
    let words = worn(RequestKind::Rewrite).unwrap_err();
    assert!(
        words.contains("“gone” is not on this machine") && words.contains("add it again"),
        "{words}"
    );
    assert_eq!(
        Worn::choose(None, RequestKind::Ask, &model).unwrap(),
        Worn::default()
    );
}

#[test]
fn an_adapter_of_another_model_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let chosen = chosen(library(folder.path(), "large"));
    let words = Worn::choose(Some(&chosen), RequestKind::Ask, &Mute::new(Capabilities::LOCAL)).unwrap_err();
    assert!(
        words.contains("made for the model large, and tiny is the one that runs"),
        "{words}"
    );
}

#[test]
fn an_engine_that_wears_none_writes_without_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let chosen = chosen(AdapterLibrary::new(folder.path()));
    let far = Mute::new(Capabilities::REMOTE);
    let worn = Worn::choose(Some(&chosen), RequestKind::Ask, &far).unwrap();
    assert_eq!(worn.name(), None);
    assert!(worn.note.unwrap().contains("without the adapter “law”"));
    let worn = Worn::choose(Some(&chosen), RequestKind::Continue, &far).unwrap();
    assert_eq!(worn.note, None, "nothing to tell where none is wanted");
}
