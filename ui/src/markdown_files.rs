//! Markdown in and out: files that become documents, documents that become files.

use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::json;

use crate::browser;
use crate::editor;
use crate::events::Level;
use crate::icon::{Icon, icon};
use crate::search;
use crate::server::Document;
use crate::state::Shell;
use crate::words;

/// What a file chooser offers.
const KINDS: &str = ".md,.markdown,.txt,text/markdown,text/plain";

/// Saves a document's text as a file, and says where it is.
pub(crate) fn save(shell: Shell, doc: String, title: String) {
    spawn_local(async move {
        match editor::markdown(&doc).await {
            Ok(text) => {
                let saved = editor::save_text(words::title(&title), &text).await;
                let level = if saved.ok { Level::Info } else { Level::Error };
                shell.notices.tell(level, saved.message);
            }
            Err(error) => shell.notices.fail(error.message),
        }
    });
}

/// Puts a document's text on the clipboard.
pub(crate) fn copy(shell: Shell, doc: String) {
    spawn_local(async move {
        match editor::markdown(&doc).await {
            Ok(text) if browser::copy(&text).await => {
                shell.notices.tell(Level::Info, "The text is copied as Markdown.");
            }
            Ok(_) => shell.notices.tell(
                Level::Warning,
                "The browser does not let Inkling copy here. Save the text as a file instead.",
            ),
            Err(error) => shell.notices.fail(error.message),
        }
    });
}

/// A button that makes documents of Markdown files; `done` gets the last one when all are in.
#[component]
pub(crate) fn ImportButton(done: Callback<Document>) -> impl IntoView {
    let shell = expect_context::<Shell>();
    let chooser = NodeRef::<html::Input>::new();
    let busy = RwSignal::new(false);
    let chosen = move |_| {
        let Some(chooser) = chooser.get_untracked() else {
            return;
        };
        let files = chooser.files().map(|list| {
            (0..list.length())
                .filter_map(|index| list.get(index))
                .collect::<Vec<_>>()
        });
        let files = files.unwrap_or_default();
        if files.is_empty() {
            return;
        }
        busy.set(true);
        spawn_local(async move {
            let mut last = None;
            for file in files {
                let title = search::title_of_file(&file.name());
                let made = match browser::text_of(&file).await {
                    Some(markdown) => {
                        let body = json!({ "title": title, "markdown": markdown });
                        editor::post::<Document>("/documents/import", body)
                            .await
                            .map_err(|error| error.message)
                    }
                    None => Err("The file cannot be read.".to_owned()),
                };
                match made {
                    Ok(document) => last = Some(document),
                    Err(words) => shell.notices.fail(format!("“{title}” was not imported. {words}")),
                }
            }
            // So that the same file can be chosen again.
            chooser.set_value("");
            busy.try_set(false);
            if let Some(document) = last {
                done.run(document);
            }
        });
    };
    let open = move |_| {
        if let Some(chooser) = chooser.get_untracked() {
            chooser.click();
        }
    };
    view! {
        <button type="button" class="button" data-testid="import" aria-busy=move || busy.get().to_string() on:click=open>
            {icon(Icon::Document)} "Import"
        </button>
        <input
            node_ref=chooser type="file" multiple accept=KINDS hidden aria-label="Markdown files to import" data-testid="import-files"
            on:change=chosen
        />
    }
}
