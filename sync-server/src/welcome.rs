//! The first document of an empty store.

use crdt::{DocId, Identity, PeerKind, Role};

use crate::error::ApiError;
use crate::relay::Relay;

/// Five lines on what this is, in the form that it is about.
const WELCOME: &str = "\
# Welcome to Inkling

Write here. Whoever has this page's link writes with you, and every keystroke is on disk before the page says *saved*.

- Put the caret somewhere or select text and press **Ctrl+J** (**⌘J**): ask an AI to continue, rewrite, summarise or brainstorm.
- What it answers is a *proposal* beside the text. Nothing changes until somebody accepts it, and accepting can be undone.
- Everybody sees who is here: people with their carets, models with the device that they run on.
- [ ] Try it: select this line and ask for something.
";

impl Relay {
    /// The document to show first: the one that was changed last, or a new one that explains what this is.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn first_document(&self) -> Result<DocId, ApiError> {
        let documents = self.shared.store.documents().await?;
        if let Some(last) = documents.into_iter().next() {
            return Ok(last.id);
        }
        let inkling = Identity {
            id: "inkling".into(),
            name: "Inkling".into(),
            kind: PeerKind::Relay,
            model: None,
        };
        Ok(self.create((inkling, Role::Owner), None, Some(WELCOME)).await?)
    }
}
