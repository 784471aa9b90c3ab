//! Which adapter the model wears for a request: the document's word, looked at for every request anew.
//!
//! **Invariant.** A model that cannot wear what the document names does not write as if it did: where the adapter is missing, or of
//! another model, the request ends with words; an engine that wears none writes without, and its card says so.

use crdt::margin::RequestKind;
use crdt::policy::Adapters;
use model::manager::AdapterLibrary;
use model::{AdapterId, Generator};

/// Whoever says which adapter is to be worn. All calls may block.
pub trait Wardrobe: Send + Sync + std::fmt::Debug {
    /// The adapter's name; `None`: the model as it is.
    fn named(&self, kind: RequestKind) -> Option<String>;

    /// Whether the adapter is there and was made for this model (the id of [`model::ModelInfo`]).
    ///
    /// # Errors
    /// Words about why it cannot be worn, and what to do.
    fn has(&self, name: &str, model: &str) -> Result<(), String>;
}

/// The adapters of a folder, chosen once and for all.
#[derive(Debug)]
pub struct Chosen {
    /// Which for what.
    pub adapters: Adapters,
    /// Where they are.
    pub library: AdapterLibrary,
}

impl Wardrobe for Chosen {
    fn named(&self, kind: RequestKind) -> Option<String> {
        self.adapters.of(kind).map(str::to_owned)
    }

    fn has(&self, name: &str, model: &str) -> Result<(), String> {
        lies_in(&self.library, name, model)
    }
}

/// Whether a folder of adapters has this one, for this model.
///
/// # Errors
/// Words about why not, and what to do.
pub fn lies_in(library: &AdapterLibrary, name: &str, model: &str) -> Result<(), String> {
    let Ok(found) = library.find(name) else {
        return Err(format!(
            "the adapter “{name}” is not on this machine (any more): choose another one, or add it again"
        ));
    };
    if found.record.base != model {
        return Err(format!(
            "the adapter “{name}” was made for the model {}, and {model} is the one that runs: choose another one, or none",
            found.record.base
        ));
    }
    Ok(())
}

/// What a model wears for one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Worn {
    /// The adapter.
    pub(crate) adapter: Option<AdapterId>,
    /// For the card, when it should wear one and does not.
    pub(crate) note: Option<String>,
}

impl Worn {
    /// The adapter's name.
    pub(crate) fn name(&self) -> Option<String> {
        self.adapter.as_ref().map(|AdapterId(name)| name.clone())
    }

    /// What this model is to wear. Blocks.
    ///
    /// # Errors
    /// Words about why the adapter cannot be worn.
    pub(crate) fn choose(
        wardrobe: Option<&dyn Wardrobe>,
        kind: RequestKind,
        generator: &dyn Generator,
    ) -> Result<Self, String> {
        let Some((wardrobe, name)) = wardrobe.and_then(|wardrobe| Some((wardrobe, wardrobe.named(kind)?)))
        else {
            return Ok(Self::default());
        };
        if !generator.capabilities().adapters {
            return Ok(Self {
                adapter: None,
                note: Some(format!(
                    "Written without the adapter “{name}”: only the model in Inkling itself wears it."
                )),
            });
        }
        wardrobe.has(&name, &generator.info().id)?;
        Ok(Self {
            adapter: Some(AdapterId(name)),
            note: None,
        })
    }
}

#[cfg(test)]
mod tests;
