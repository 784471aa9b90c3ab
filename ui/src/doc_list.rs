//! The list of documents: open, create, rename, delete; on the desktop, open another server's link.

use std::time::Duration;

use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::json;

use crate::app::ThemeToggle;
use crate::browser;
use crate::dialog::{Dialog, Ends};
use crate::editor;
use crate::icon::{Icon, icon, mark};
use crate::markdown_files::{self, ImportButton};
use crate::menu::{MenuItem, Opens, Popup};
use crate::open_link::OpenLinkDialog;
use crate::route::Route;
use crate::search;
use crate::server::{self, ApiError, Document};
use crate::state::Shell;
use crate::words;

/// How often the states of links are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// With fewer documents one sees them all, and needs no search.
const SEARCH_FROM: usize = 4;

/// What is known of the list.
#[derive(Clone, Debug, PartialEq)]
enum Listing {
    Looking,
    Here(Vec<Document>),
    Failed(String),
}

/// What the list's dialogs are about.
#[derive(Clone, Copy)]
struct Choices {
    listing: RwSignal<Listing>,
    renaming: RwSignal<Option<Document>>,
    deleting: RwSignal<Option<Document>>,
    linking: RwSignal<bool>,
    creating: RwSignal<bool>,
    looked_for: RwSignal<String>,
}

impl Choices {
    fn load(self) {
        spawn_local(async move {
            let listing = match editor::get::<Vec<Document>>("/documents").await {
                Ok(documents) => Listing::Here(documents),
                Err(error) => Listing::Failed(error.message),
            };
            // Only when something is new, so that the list keeps the focus.
            if self.listing.try_with_untracked(|before| *before != listing) == Some(true) {
                self.listing.try_set(listing);
            }
        });
    }

    /// Opens a document that was just made.
    fn go(self, made: Result<Document, ApiError>, shell: Shell) {
        self.creating.try_set(false);
        match made {
            Ok(document) => open(&document.id),
            Err(error) => shell.notices.fail(error.message),
        }
    }

    fn create(self, shell: Shell) {
        if self.creating.get_untracked() {
            return;
        }
        self.creating.set(true);
        spawn_local(async move { self.go(editor::post("/documents", json!({})).await, shell) });
    }
}

fn open(doc: &str) {
    let _same_page = window()
        .location()
        .set_hash(&Route::Document(doc.to_owned()).hash());
}

/// The page at `#/`.
#[component]
pub(crate) fn DocList() -> impl IntoView {
    let shell = expect_context::<Shell>();
    let choices = Choices {
        listing: RwSignal::new(Listing::Looking),
        renaming: RwSignal::new(None),
        deleting: RwSignal::new(None),
        linking: RwSignal::new(false),
        creating: RwSignal::new(false),
        looked_for: RwSignal::default(),
    };
    provide_context(choices);
    document().set_title("Inkling");
    choices.load();
    // Others create and rename too: look again whenever somebody comes back to this page.
    let back = window_event_listener(ev::focus, move |_| choices.load());
    on_cleanup(move || back.remove());
    // Links to other servers come and go by themselves.
    let is_linked = move || matches!(&*choices.listing.read_untracked(), Listing::Here(all) if all.iter().any(|one| one.link.is_some()));
    if let Ok(timer) = set_interval_with_handle(
        move || {
            if is_linked() {
                choices.load();
            }
        },
        LOOK,
    ) {
        on_cleanup(move || timer.clear());
    }
    view! {
        <header class="bar list-bar">
            <span class="brand">{mark()} "Inkling"</span>
            <span class="spring"></span>
            {move || shell.may_manage().then(|| view! {
                <a class="quiet" href=Route::Models.hash() aria-label="Settings: models" title="Settings: models" data-testid="models-link">{icon(Icon::Chip)}</a>
            })}
            <ThemeToggle />
        </header>
        <main class="list" id="list">
            <div class="list-head">
                <h1>"Documents"</h1>
                <span class="spring"></span>
                {shell.desktop.then(|| view! {
                    <button type="button" class="button" data-testid="open-link" on:click=move |_| choices.linking.set(true)>
                        {icon(Icon::Link)} "Open a link"
                    </button>
                })}
                <ImportButton done=Callback::new(|document: Document| open(&document.id)) />
                <button
                    type="button" class="button primary" data-testid="new-document"
                    aria-busy=move || choices.creating.get().to_string()
                    on:click=move |_| choices.create(shell)
                >
                    {icon(Icon::Plus)} "New document"
                </button>
            </div>
            {move || match choices.listing.get() {
                Listing::Looking => view! { <Waiting /> }.into_any(),
                Listing::Failed(words) => view! { <Failure words=words /> }.into_any(),
                Listing::Here(documents) if documents.is_empty() => view! { <Nothing /> }.into_any(),
                Listing::Here(documents) => view! { <Rows documents=documents /> }.into_any(),
            }}
        </main>
        <RenameDialog />
        <DeleteDialog />
        <OpenLinkDialog
            open=choices.linking
            opened=Callback::new(|document: Document| open(&document.id))
            changed=Callback::new(move |()| choices.load())
        />
    }
}

#[component]
fn Waiting() -> impl IntoView {
    view! {
        <div class="rows waiting" role="status" aria-label="Loading the documents">
            <div class="bone"></div>
            <div class="bone"></div>
            <div class="bone"></div>
        </div>
    }
}

#[component]
fn Failure(words: String) -> impl IntoView {
    let choices = expect_context::<Choices>();
    view! {
        <div class="empty" role="alert" data-testid="list-failed">
            {icon(Icon::Offline)}
            <h2>"The documents could not be loaded"</h2>
            <p>{words}</p>
            <button type="button" class="button" on:click=move |_| { choices.listing.set(Listing::Looking); choices.load(); }>
                {icon(Icon::Reload)} "Try again"
            </button>
        </div>
    }
}

#[component]
fn Nothing() -> impl IntoView {
    let choices = expect_context::<Choices>();
    let shell = expect_context::<Shell>();
    view! {
        <div class="empty" data-testid="list-empty">
            {mark()}
            <h2>"A blank page is waiting"</h2>
            <p>"Write alone, with others, or with an AI that only ever suggests. You decide what enters the text."</p>
            <button type="button" class="button primary" on:click=move |_| choices.create(shell)>
                {icon(Icon::Plus)} "Start writing"
            </button>
        </div>
    }
}

#[component]
fn Rows(documents: Vec<Document>) -> impl IntoView {
    let choices = expect_context::<Choices>();
    let many = documents.len() >= SEARCH_FROM;
    let documents = StoredValue::new(documents);
    let found = Memo::new(move |_| {
        let looked_for = choices.looked_for.get();
        documents.with_value(|all| {
            all.iter()
                .filter(|document| search::fits(words::title(&document.title), &looked_for))
                .cloned()
                .collect::<Vec<_>>()
        })
    });
    view! {
        {many.then(|| view! {
            <input
                type="search" class="search" placeholder="Search the titles" aria-label="Search the titles" data-testid="search"
                bind:value=choices.looked_for
            />
        })}
        <Show
            when=move || found.with(|found| !found.is_empty())
            fallback=|| view! { <p class="nothing-found" role="status">"No title has all of these words."</p> }
        >
            <ul class="rows" data-testid="documents">
                {move || found.get().into_iter().map(|document| view! { <Row document=document /> }).collect_view()}
            </ul>
        </Show>
    }
}

#[component]
fn Row(document: Document) -> impl IntoView {
    let choices = expect_context::<Choices>();
    let title = words::title(&document.title).to_owned();
    let about = StoredValue::new(document.clone());
    let changed = document
        .updated_at
        .as_ref()
        .map(|moment| format!("Changed {}", browser::moment_words(moment)));
    let linked = document.link.as_deref().map(|link| {
        let host = server::host(link);
        let state = document.link_state.clone();
        let fine = state.as_deref() == Some("connected");
        (server::link_words(&host, state.as_deref()), fine)
    });
    let shell = expect_context::<Shell>();
    let save = Callback::new(move |()| {
        let document = about.get_value();
        markdown_files::save(shell, document.id, document.title);
    });
    let href = Route::Document(document.id).hash();
    view! {
        <li class="row" data-testid="document">
            <a href=href class="row-link">
                <span class="row-icon">{icon(Icon::Document)}</span>
                <span class="row-words">
                    <span class="row-title">{title.clone()}</span>
                    <span class="row-facts">
                        {changed}
                        {linked.map(|(words, fine)| view! { <span class="row-host" data-look=if fine { "connected" } else { "offline" }>{icon(Icon::Link)} {words}</span> })}
                    </span>
                </span>
            </a>
            <Popup name="document-menu" label=format!("Actions for {title}") class="quiet" opens=Opens::Menu at_end=true face=|| icon(Icon::More)>
                <MenuItem name="rename" run=Callback::new(move |()| choices.renaming.set(Some(about.get_value())))>
                    {icon(Icon::Pencil)} "Rename"
                </MenuItem>
                <MenuItem name="save-markdown" run=save>{icon(Icon::Document)} "Save as Markdown"</MenuItem>
                <MenuItem name="delete" danger=true run=Callback::new(move |()| choices.deleting.set(Some(about.get_value())))>
                    {icon(Icon::Trash)} "Delete"
                </MenuItem>
            </Popup>
        </li>
    }
}

/// A signal for a dialog that is open while something is chosen.
fn while_chosen<T: Clone + Send + Sync + 'static>(chosen: RwSignal<Option<T>>) -> RwSignal<bool> {
    let open = RwSignal::new(false);
    Effect::new(move || open.set(chosen.with(Option::is_some)));
    Effect::new(move || {
        if !open.get() && chosen.with_untracked(Option::is_some) {
            chosen.set(None);
        }
    });
    open
}

#[component]
fn RenameDialog() -> impl IntoView {
    let shell = expect_context::<Shell>();
    let choices = expect_context::<Choices>();
    let open = while_chosen(choices.renaming);
    let title = RwSignal::new(String::new());
    Effect::new(move || {
        if let Some(document) = choices.renaming.get() {
            title.set(document.title);
        }
    });
    let submit = move |event: ev::SubmitEvent| {
        event.prevent_default();
        let Some(document) = choices.renaming.get_untracked() else {
            return;
        };
        open.set(false);
        spawn_local(async move {
            match editor::rename(&document.id, title.get_untracked().trim()).await {
                Ok(()) => choices.load(),
                Err(error) => shell.notices.fail(error.message),
            }
        });
    };
    view! {
        <Dialog open title="Rename the document" name="rename-dialog">
            <form on:submit=submit>
                <label class="field">
                    <span>"Title"</span>
                    <input type="text" maxlength="200" autofocus data-testid="rename-input" bind:value=title />
                </label>
                <Ends open words="Rename" name="rename-confirm" />
            </form>
        </Dialog>
    }
}

#[component]
fn DeleteDialog() -> impl IntoView {
    let shell = expect_context::<Shell>();
    let choices = expect_context::<Choices>();
    let open = while_chosen(choices.deleting);
    let name = move || {
        choices.deleting.with(|document| {
            document
                .as_ref()
                .map(|document| words::title(&document.title).to_owned())
        })
    };
    let submit = move |event: ev::SubmitEvent| {
        event.prevent_default();
        let Some(document) = choices.deleting.get_untracked() else {
            return;
        };
        open.set(false);
        spawn_local(async move {
            match editor::delete(&document.id).await {
                Ok(()) => choices.load(),
                Err(error) => shell.notices.fail(error.message),
            }
        });
    };
    view! {
        <Dialog open title="Delete this document?" name="delete-dialog">
            <form on:submit=submit>
                <p>"“" {move || name().unwrap_or_default()} "” will be gone for everybody who has it, with its suggestions."</p>
                <Ends open words="Delete" name="delete-confirm" danger=true />
            </form>
        </Dialog>
    }
}
