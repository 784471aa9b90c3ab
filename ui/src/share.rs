//! The link that lets others in.

use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::browser;
use crate::events::Level;
use crate::icon::{Icon, icon};
use crate::menu::{Opens, Popup};
use crate::open_link;
use crate::route::{self, Route};
use crate::share_links::ShareLinks;
use crate::state::{Session, Shell};

/// The button, and a panel with the link in it.
#[component]
pub(crate) fn Share() -> impl IntoView {
    let session = expect_context::<Session>();
    let shell = expect_context::<Shell>();
    let link = move || {
        if shell.desktop {
            // As it was opened here, with its key; the relay shows it without.
            let linked = session
                .about
                .with(|about| about.as_ref().and_then(|document| document.link.clone()));
            linked.map(|link| open_link::kept(&session.doc.get_value()).unwrap_or(link))
        } else {
            Some(page_link(&session.doc.get_value()))
        }
    };
    view! {
        <Popup name="share" label="Share" class="button compact" opens=Opens::Panel at_end=true face=|| view! { {icon(Icon::Share)} <span class="wide-only">"Share"</span> }>
            <h2>"Share this document"</h2>
            {move || match link() {
                Some(link) => {
                    let words = if link.contains("?key=") {
                        "Whoever has this link can open the document with the same rights as you: it contains your key."
                    } else {
                        "Whoever can reach this server can open the document with this link."
                    };
                    view! { <LinkField link=link words name="share-link" /> }.into_any()
                }
                None => view! {
                    <p>"This document is only on this device. To write with others, create it on an Inkling server and open its link here: Documents, Open a link."</p>
                }.into_any(),
            }}
            {(!shell.desktop).then(|| view! { <ShareLinks /> })}
        </Popup>
    }
}

/// This page's address with the key that this tab came with, if it did.
fn page_link(doc: &str) -> String {
    let location = window().location();
    let (origin, path) = (
        location.origin().unwrap_or_default(),
        location.pathname().unwrap_or_default(),
    );
    let key = browser::access_key();
    let query = if key.is_empty() {
        String::new()
    } else {
        format!("?key={}", route::encode(&key))
    };
    // Behind the #: no server and no log on the way sees it.
    format!("{origin}{path}{}{query}", Route::Document(doc.to_owned()).hash())
}

/// A link that can be read, selected and copied.
#[component]
pub(crate) fn LinkField(
    /// The link.
    link: String,
    /// What is said above it.
    words: &'static str,
    /// `data-testid` of the field.
    name: &'static str,
) -> impl IntoView {
    let shell = expect_context::<Shell>();
    let field = NodeRef::<html::Input>::new();
    let link = StoredValue::new(link);
    let copy = move |_| {
        spawn_local(async move {
            if browser::copy(&link.get_value()).await {
                shell.notices.tell(Level::Info, "The link is copied.");
            } else if let Some(field) = field.get_untracked() {
                field.select();
                shell.notices.tell(
                    Level::Warning,
                    "The browser does not let Inkling copy here. The link is selected: copy it yourself.",
                );
            }
        });
    };
    view! {
        <p>{words}</p>
        <div class="copy-field">
            <input node_ref=field type="text" readonly aria-label=words data-testid=name prop:value=link.get_value() />
            <button type="button" class="button primary" data-testid=format!("{name}-copy") on:click=copy>{icon(Icon::Copy)} "Copy"</button>
        </div>
    }
}
