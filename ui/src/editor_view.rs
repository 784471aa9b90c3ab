//! The page of one document: looks it up, opens it in the surface, and puts everything around it.

use leptos::ev;
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::adapters_dialog::AdaptersDialog;
use crate::ask_bar::{AskBar, AskBubble};
use crate::authors_bar::AuthorsBar;
use crate::browser;
use crate::editor;
use crate::header::Header;
use crate::history::VersionsDialog;
use crate::icon::{Icon, icon, mark};
use crate::link_bubble::LinkBubble;
use crate::link_dialog::LinkDialog;
use crate::margin::Margin;
use crate::parted::{PartedBanner, PartedDialog};
use crate::preview_dialog::PreviewDialog;
use crate::privacy_dialog::PrivacyDialog;
use crate::route::{self, Route};
use crate::server::Document;
use crate::state::{Session, Shell};
use crate::status_bar::StatusBar;
use crate::toolbar::FormatBar;
use crate::words;

/// What looking a document up has led to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Looking,
    /// It exists, or nobody could be asked: then the surface goes on trying to connect.
    Here,
    Missing(String),
}

/// The parts of the page that F6 leads through, in their order.
const REGIONS: [&str; 8] = [
    ".doc-bar",
    ".format-bar",
    ".authors-bar",
    ".parted",
    ".ProseMirror",
    ".margin",
    ".status-bar",
    ".toasts",
];

/// The page at `#/d/{id}`.
#[component]
pub(crate) fn EditorView(doc: String) -> impl IntoView {
    let shell = expect_context::<Shell>();
    let session = Session::new(doc.clone(), shell);
    provide_context(session);
    let found = RwSignal::new(Found::Looking);
    spawn_local(async move {
        let outcome = match editor::get::<Document>(&format!("/documents/{}", route::encode(&doc))).await {
            Ok(document) => {
                session.title.try_set(document.title.clone());
                session.about.try_set(Some(document));
                Found::Here
            }
            Err(error) if error.status == 404 => Found::Missing(
                "There is no such document here. It may have been deleted, or the link is not complete."
                    .into(),
            ),
            Err(error) if matches!(error.status, 400 | 401 | 403) => Found::Missing(error.message),
            Err(_unreachable) => Found::Here,
        };
        found.try_set(outcome);
    });
    Effect::new(move || document().set_title(&format!("{} – Inkling", words::title(&session.title.get()))));
    move || match found.get() {
        Found::Looking => view! { <p class="boot" role="status">"Opening…"</p> }.into_any(),
        Found::Missing(words) => view! { <Missing words=words /> }.into_any(),
        Found::Here => view! { <Workspace /> }.into_any(),
    }
}

#[component]
fn Missing(words: String) -> impl IntoView {
    view! {
        <header class="bar list-bar">
            <a class="brand" href=Route::List.hash()>{mark()} "Inkling"</a>
        </header>
        <main class="list">
            <div class="empty" role="alert" data-testid="document-missing">
                {icon(Icon::Document)}
                <h1>"This document cannot be opened"</h1>
                <p>{words}</p>
                <a class="button" href=Route::List.hash()>"All documents"</a>
            </div>
        </main>
    }
}

#[component]
fn Workspace() -> impl IntoView {
    let session = expect_context::<Session>();
    listen_for_shortcuts(session);
    let storage = move || {
        session
            .link
            .with(|link| link.storage.clone())
            .filter(|words| !words.is_empty())
    };
    view! {
        <nav class="skips" aria-label="Skip">
            <button type="button" on:click=move |_| editor::command("focus")>"Skip to the text"</button>
            <button type="button" on:click=move |_| { session.drawer.set(true); browser::focus(".margin .card, .margin"); }>"Skip to the suggestions"</button>
        </nav>
        <div class="tops">
            <Header />
            <FormatBar />
            <AuthorsBar />
            <PartedBanner />
            {move || storage().map(|words| view! {
                <p class="banner" role="alert" data-testid="storage-banner">{icon(Icon::Problem)} <span>{words}</span></p>
            })}
        </div>
        <main class="desk" data-drawer=move || session.drawer.get().then_some("open")>
            <Sheet />
            <Margin />
        </main>
        <StatusBar />
        <AskBubble />
        <LinkBubble />
        <AskBar />
        <LinkDialog />
        <PreviewDialog />
        <PrivacyDialog />
        <AdaptersDialog />
        <VersionsDialog />
        <PartedDialog />
    }
}

/// The page itself, with the surface in it.
#[component]
fn Sheet() -> impl IntoView {
    let shell = expect_context::<Shell>();
    let session = expect_context::<Session>();
    let element = NodeRef::<html::Div>::new();
    let owner = Owner::current();
    element.on_load(move |element| {
        let open = || {
            let user = shell.user.get_untracked();
            let dark = shell
                .theme
                .get_untracked()
                .is_dark(shell.system_dark.get_untracked());
            let doc = session.doc.get_value();
            editor::open(&element, &doc, &user, dark, move |event| session.hear(event));
        };
        // Within this component's life: the surface is closed with it.
        match owner {
            Some(owner) => owner.with(open),
            None => open(),
        }
    });
    let late = RwSignal::new(false);
    set_timeout(move || _ = late.try_set(true), std::time::Duration::from_secs(6));
    view! {
        <article class="sheet" aria-label="Document" data-loading=move || (!session.ready.get()).then_some("")>
            <div node_ref=element class="surface" data-testid="surface"></div>
            <Show when=move || !session.ready.get()>
                <div class="sheet-bones" role="status" aria-label="The document is being loaded">
                    <div class="bone"></div>
                    <div class="bone"></div>
                    <div class="bone short"></div>
                    <Show when=move || late.get()>
                        <p>"The document has not arrived yet. It will as soon as the server can be reached; nothing has to be done here."</p>
                    </Show>
                </div>
            </Show>
        </article>
    }
}

/// Shortcuts that work wherever the focus is. In the text the surface has its own for most of them.
fn listen_for_shortcuts(session: Session) {
    let keys = window_event_listener(ev::keydown, move |event| {
        if event.default_prevented() {
            return;
        }
        let key = event.key().to_lowercase();
        if browser::commands(&event) && !event.shift_key() && !event.alt_key() && key == "j" {
            event.prevent_default();
            session.asking.set(true);
        } else if browser::commands(&event) && key == "k" && browser::focus_within(".ProseMirror") {
            event.prevent_default();
            session.linking.set(true);
        } else if key == "f6" && !browser::commands(&event) && !event.alt_key() {
            event.prevent_default();
            next_region(event.shift_key());
        }
    });
    on_cleanup(move || keys.remove());
}

/// Moves the focus to the next part of the page, or the one before.
fn next_region(backwards: bool) {
    let here = REGIONS.iter().position(|region| browser::focus_within(region));
    let count = REGIONS.len();
    for step in 1..=count {
        let index = match (here, backwards) {
            (Some(here), false) => (here + step) % count,
            (Some(here), true) => (here + count - step) % count,
            (None, false) => step - 1,
            (None, true) => count - step,
        };
        let Some(region) = REGIONS.get(index) else {
            continue;
        };
        if *region == ".ProseMirror" {
            editor::command("focus");
            return;
        }
        let card = format!("{region} .card");
        let control = format!("{region} button:not(:disabled):not([tabindex='-1']), {region} a[href]");
        if browser::focus(&card) || browser::focus(&control) {
            return;
        }
    }
}
