//! Opening another server's document in the window: the link is tried before the document is shown.

use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::json;

use crate::browser;
use crate::dialog::{Dialog, Ends};
use crate::editor;
use crate::route;
use crate::server::{self, Document, LinkTry};

/// How often the state of a new link is asked for, in ms, and how many times: a server that is there answers at once.
const LOOK_EVERY: i32 = 250;
const LOOKS: usize = 60;

/// Where the window keeps the whole link of a document, for sharing it: lists and logs have it without its key.
fn kept_as(doc: &str) -> String {
    format!("inkling.link.{doc}")
}

/// The link that a document was opened with in this window, with its key.
pub(crate) fn kept(doc: &str) -> Option<String> {
    browser::recall(&kept_as(doc))
}

/// The dialog; `opened` gets the document once it has arrived.
#[component]
pub(crate) fn OpenLinkDialog(
    open: RwSignal<bool>,
    opened: Callback<Document>,
    changed: Callback<()>,
) -> impl IntoView {
    let url = RwSignal::new(String::new());
    let trouble = RwSignal::new(None::<String>);
    let asking = RwSignal::new(None::<String>);
    Effect::new(move || {
        if open.get() {
            url.set(String::new());
            trouble.set(None);
        }
    });
    let submit = move |event: ev::SubmitEvent| {
        event.prevent_default();
        if asking.get_untracked().is_some() {
            return;
        }
        let link = url.get_untracked().trim().to_owned();
        asking.set(Some(server::host(&link)));
        trouble.set(None);
        spawn_local(async move {
            let outcome = try_link(&link).await;
            asking.try_set(None);
            changed.run(());
            match outcome {
                // Not when somebody has closed the dialog meanwhile.
                Ok(document) if open.try_get_untracked() == Some(true) => {
                    open.try_set(false);
                    opened.run(document);
                }
                Ok(_) => {}
                Err(words) => _ = trouble.try_set(Some(words)),
            }
        });
    };
    view! {
        <Dialog open title="Open a link" name="link-dialog">
            <form on:submit=submit>
                <p>"Paste the link of a document on another Inkling server. It is kept on this device as well, and in sync whenever both are online."</p>
                <label class="field">
                    <span>"Link"</span>
                    <input type="url" required autofocus placeholder="https://…/#/d/…" data-testid="link-input" bind:value=url />
                </label>
                {move || asking.get().map(|host| view! { <p role="status" data-testid="link-asking">{format!("Asking {host}…")}</p> })}
                {move || trouble.get().map(|words| view! { <p class="trouble" role="alert" data-testid="link-trouble">{words}</p> })}
                <Ends open words="Open" name="link-confirm" />
            </form>
        </Dialog>
    }
}

/// Makes the link and waits until it is clear whether it works.
async fn try_link(link: &str) -> Result<Document, String> {
    let host = server::host(link);
    let made = editor::post::<Document>("/links", json!({ "url": link })).await;
    let mut document = made.map_err(|error| error.message)?;
    let path = format!("/documents/{}", route::encode(&document.id));
    for look in 1.. {
        match server::link_try(&host, document.link_state.as_deref(), look < LOOKS) {
            LinkTry::Open => {
                browser::keep(&kept_as(&document.id), link);
                return Ok(document);
            }
            LinkTry::Failed(words) => return Err(words),
            LinkTry::Waiting => {}
        }
        browser::sleep(LOOK_EVERY).await;
        document = editor::get(&path).await.map_err(|error| error.message)?;
    }
    Err(String::new())
}
