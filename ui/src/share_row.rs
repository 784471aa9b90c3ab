//! One link with a role: what it allows, for whom and how long, copying and revoking it.

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::browser;
use crate::events::Level;
use crate::icon::{Icon, icon};
use crate::state::Shell;
use crate::versions::{ShareLink, allows, lasts};

/// A row of the list.
#[component]
pub(crate) fn LinkRow(
    /// The link.
    link: ShareLink,
    /// Takes it back; gets its id.
    revoke: Callback<String>,
) -> impl IntoView {
    let shell = expect_context::<Shell>();
    let label = link.label.clone().filter(|label| !label.trim().is_empty());
    let title = label.clone().unwrap_or_else(|| allows(link.role).to_owned());
    let lasting = lasts(link.expires_at, browser::now());
    let facts = if label.is_some() {
        format!("{}, {lasting}", allows(link.role))
    } else {
        lasting
    };
    let (copy_words, revoke_words) = (
        format!("Copy the link “{title}”"),
        format!("Revoke the link “{title}”"),
    );
    let sure = RwSignal::new(false);
    let url = StoredValue::new(link.url);
    let id = StoredValue::new(link.id);
    let copy = move |_| {
        spawn_local(async move {
            let url = url.get_value();
            let (level, words) = if browser::copy(&url).await {
                (Level::Info, "The link is copied.".to_owned())
            } else {
                (
                    Level::Warning,
                    format!("The browser does not let Inkling copy here. The link is {url}"),
                )
            };
            shell.notices.tell(level, words);
        });
    };
    view! {
        <li class="share" data-testid="share-row" data-sure=move || sure.get().then_some("")>
            <span class="share-words"><strong>{title}</strong> <span class="share-facts">{facts}</span></span>
            {move || if sure.get() {
                view! {
                    <button type="button" class="button danger small" autofocus data-testid="share-revoke-sure" on:click=move |_| revoke.run(id.get_value())>"Revoke it"</button>
                    <button type="button" class="quiet small" aria-label="Keep this link" title="Keep this link" on:click=move |_| { sure.set(false); focus_soon("[data-testid=share-revoke]"); }>{icon(Icon::Close)}</button>
                }.into_any()
            } else {
                view! {
                    <button type="button" class="quiet small" aria-label=copy_words.clone() title="Copy this link" data-testid="share-copy" on:click=copy>{icon(Icon::Copy)}</button>
                    <button type="button" class="quiet small" aria-label=revoke_words.clone() title="Revoke: whoever came by it is sent away at once" data-testid="share-revoke" on:click=move |_| { sure.set(true); focus_soon("[data-testid=share-revoke-sure]"); }>{icon(Icon::Trash)}</button>
                }.into_any()
            }}
        </li>
    }
}

/// Gives the focus to what is drawn in its place a moment later.
pub(crate) fn focus_soon(selector: &'static str) {
    request_animation_frame(move || _ = browser::focus(selector));
}
