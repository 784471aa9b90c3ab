//! The bar at the top of a document: back, title, people, share, theme.

use leptos::ev;
use leptos::html;
use leptos::prelude::*;

use crate::app::ThemeToggle;
use crate::authors_bar;
use crate::editor;
use crate::events::Role;
use crate::icon::{Icon, icon};
use crate::markdown_files;
use crate::menu::{MenuItem, Opens, Popup};
use crate::people_bar::PeopleBar;
use crate::route::Route;
use crate::share::Share;
use crate::state::{Session, Shell};
use crate::words;

/// The bar.
#[component]
pub(crate) fn Header() -> impl IntoView {
    let session = expect_context::<Session>();
    let limit = move || match session.link.with(|link| link.role) {
        Some(Role::Viewer) => Some("Can read"),
        Some(Role::Suggester) => Some("Can suggest"),
        Some(Role::Editor | Role::Owner) | None => None,
    };
    view! {
        <header class="bar doc-bar">
            <a class="quiet" href=Route::List.hash() aria-label="All documents" title="All documents" data-testid="back">
                {icon(Icon::Back)}
            </a>
            <Title />
            {move || limit().map(|words| view! { <span class="badge" data-testid="role">{words}</span> })}
            <span class="spring"></span>
            <PeopleBar />
            <Share />
            <MoreMenu />
            <ThemeToggle />
        </header>
    }
}

/// What is seldom done with a document.
#[component]
fn MoreMenu() -> impl IntoView {
    let session = expect_context::<Session>();
    let shell = expect_context::<Shell>();
    let save = Callback::new(move |()| {
        markdown_files::save(shell, session.doc.get_value(), session.title.get_untracked());
    });
    let copy = Callback::new(move |()| markdown_files::copy(shell, session.doc.get_value()));
    view! {
        <Popup name="more" label="More" class="quiet" opens=Opens::Menu at_end=true face=|| icon(Icon::More)>
            <MenuItem name="versions" run=Callback::new(move |()| session.looking_back.set(true))>{icon(Icon::Undo)} "Versions…"</MenuItem>
            <MenuItem name="authors" run=Callback::new(move |()| authors_bar::toggle(session))>
                {icon(Icon::Authors)} {move || if session.authors.with(Option::is_some) { "Hide who wrote what" } else { "Show who wrote what" }}
            </MenuItem>
            <MenuItem name="privacy-settings" run=Callback::new(move |()| session.leaving.set(true))>{icon(Icon::Info)} "What may leave this machine…"</MenuItem>
            <MenuItem name="adapter-settings" run=Callback::new(move |()| session.dressing.set(true))>{icon(Icon::Spark)} "How the model here writes…"</MenuItem>
            <MenuItem name="save-markdown" run=save>{icon(Icon::Document)} "Save as Markdown"</MenuItem>
            <MenuItem name="copy-markdown" run=copy>{icon(Icon::Copy)} "Copy as Markdown"</MenuItem>
        </Popup>
    }
}

/// The title, written where it is read.
#[component]
fn Title() -> impl IntoView {
    let session = expect_context::<Session>();
    let input = NodeRef::<html::Input>::new();
    let typed = RwSignal::new(String::new());
    let writing = RwSignal::new(false);
    // What others write arrives unless this person is writing.
    Effect::new(move || {
        let title = session.title.get();
        if !writing.get() {
            typed.set(title);
        }
    });
    let may_write = move || session.link.with(|link| link.role.is_none_or(Role::may_decide));
    let finish = move |take: bool| {
        let title = typed.get_untracked().trim().to_owned();
        if take && writing.get_untracked() && session.title.with_untracked(|now| *now != title) {
            session.title.set(title.clone());
            editor::set_title(&title);
        }
        writing.set(false);
    };
    let on_key = move |event: ev::KeyboardEvent| {
        if event.is_composing() || !matches!(event.key().as_str(), "Enter" | "Escape") {
            return;
        }
        event.prevent_default();
        finish(event.key() == "Enter");
        editor::command("focus");
    };
    view! {
        <h1 class="title-frame">
            <span class="title-size" aria-hidden="true">{move || words::title(&typed.get()).to_owned()}</span>
            <input
                node_ref=input
                class="title"
                type="text"
                maxlength="200"
                size="1" // as wide as its words, which .title-size measures
                autocomplete="off"
                aria-label="Title of the document"
                placeholder=words::UNTITLED
                data-testid="title"
                readonly=move || !may_write()
                bind:value=typed
                on:focus=move |_| writing.set(true)
                on:blur=move |_| finish(true)
                on:keydown=on_key
            />
        </h1>
    }
}
