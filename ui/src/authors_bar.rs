//! Who wrote what: the legend of the colours in the text, with everybody's share, and whose letters the caret is in.

use leptos::prelude::*;
use serde_json::json;

use crate::authors::{Authors, Writer};
use crate::editor;
use crate::icon::{Icon, icon};
use crate::state::Session;

/// Shows or hides who wrote what.
pub(crate) fn toggle(session: Session) {
    let on = session.authors.with_untracked(Option::is_none);
    editor::command_with("showAuthors", &json!({ "on": on }));
}

/// The bar; nothing while it is off.
#[component]
pub(crate) fn AuthorsBar() -> impl IntoView {
    let session = expect_context::<Session>();
    let shown = Memo::new(move |_| session.authors.with(Option::is_some));
    move || shown.get().then(|| view! { <Legend /> })
}

#[component]
fn Legend() -> impl IntoView {
    let session = expect_context::<Session>();
    let state = move || session.authors.get().unwrap_or_default();
    let writers = move || state().authors;
    let trouble = Memo::new(move |_| state().trouble);
    let empty = Memo::new(move |_| state().authors.is_empty());
    let here = Memo::new(move |_| {
        let state = state();
        let writer = state.here.as_deref().and_then(|key| state.find(key));
        writer.map(Writer::title).unwrap_or_default()
    });
    view! {
        <section class="authors-bar" aria-label="Who wrote what" data-testid="authors">
            <h2 class="authors-title">"Who wrote what"</h2>
            {move || trouble.get().map(|words| view! { <p class="trouble" role="alert">{words}</p> })}
            {move || (empty.get() && trouble.get().is_none()).then(|| view! { <p class="authors-here">"Nothing is written yet."</p> })}
            <ul class="authors">
                <For each=writers key=|writer| (writer.key.clone(), writer.name.clone(), writer.color.clone()) let:writer>
                    <Author writer=writer />
                </For>
            </ul>
            <p class="authors-here" aria-live="polite" data-testid="authors-here">
                {move || (!here.get().is_empty()).then(|| format!("At the caret: {}", here.get()))}
            </p>
            <button type="button" class="quiet small" aria-label="Hide who wrote what" title="Hide who wrote what" data-testid="authors-close" on:click=move |_| { toggle(session); editor::command("focus"); }>
                {icon(Icon::Close)}
            </button>
        </section>
    }
}

/// One author; pressed, their letters alone are marked.
#[component]
fn Author(writer: Writer) -> impl IntoView {
    let session = expect_context::<Session>();
    let key = StoredValue::new(writer.key.clone());
    let share = Memo::new(move |_| {
        session.authors.with(|authors| {
            let authors = authors.as_ref()?;
            let index = key.with_value(|key| authors.authors.iter().position(|writer| writer.key == *key))?;
            authors.shares().into_iter().nth(index)
        })
    });
    let only = Memo::new(move |_| {
        let is_only = |authors: &Authors| key.with_value(|key| authors.only.as_ref() == Some(key));
        session
            .authors
            .with(|authors| authors.as_ref().is_some_and(is_only))
    });
    let press = move |_| {
        let only = (!only.get_untracked()).then(|| key.get_value());
        editor::command_with("showAuthors", &json!({ "on": true, "only": only }));
    };
    let title = writer.title();
    let tooltip = format!("Mark only what is by {title}");
    view! {
        <li>
            <button
                type="button" class="author" data-testid="author" data-kind=writer.look() title=tooltip
                style=format!("--ink-color: {}", writer.color)
                aria-pressed=move || only.get().to_string() on:click=press
            >
                <span class="author-swatch" aria-hidden="true"></span>
                <span class="author-name">{title}</span>
                " "
                <span class="author-share">{move || share.get().unwrap_or_default()}</span>
            </button>
        </li>
    }
}
