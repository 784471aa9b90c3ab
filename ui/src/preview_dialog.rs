//! When the text under a suggestion has changed: what it was, what it is, and what accepting would make of it.

use leptos::prelude::*;

use crate::compare::{self, Change};
use crate::dialog::Dialog;
use crate::state::Session;

/// The dialog.
#[component]
pub(crate) fn PreviewDialog() -> impl IntoView {
    let session = expect_context::<Session>();
    let open = RwSignal::new(false);
    Effect::new(move || {
        if session.previewing.with(Option::is_some) {
            open.set(true);
        }
    });
    let chosen = move || session.previewing.get_untracked().unwrap_or_default();
    let accept = move |_| {
        let (card, _) = chosen();
        open.set(false);
        session.decide(card, "accept", true);
    };
    let reject = move |_| {
        let (card, _) = chosen();
        open.set(false);
        session.decide(card, "reject", false);
    };
    Effect::new(move || {
        if !open.get() {
            session.previewing.set(None);
        }
    });
    view! {
        <Dialog open title="The text has changed meanwhile" name="preview" class="wide">
            {move || session.previewing.get().map(|(_, preview)| view! {
                <p class="preview-words">
                    "Accepting takes away only what was there when the suggestion was asked for. What was written since stays."
                </p>
                <div class="preview-parts">
                    <Part title="When it was asked for" text=preview.base.clone() />
                    <Difference title="Now" older=preview.base newer=preview.current.clone() />
                    <Difference title="After accepting" older=preview.current newer=preview.result />
                </div>
            })}
            <div class="ends">
                <button type="button" class="button" data-testid="preview-reject" on:click=reject>"Reject"</button>
                <span class="spring"></span>
                <button type="button" class="button" on:click=move |_| open.set(false)>"Decide later"</button>
                <button type="button" class="button accept" autofocus data-testid="accept-anyway" on:click=accept>"Accept anyway"</button>
            </div>
        </Dialog>
    }
}

#[component]
fn Part(title: &'static str, text: String) -> impl IntoView {
    let text = if text.is_empty() {
        view! { <em>"Nothing"</em> }.into_any()
    } else {
        text.into_any()
    };
    view! { <section class="preview-part"><h3>{title}</h3><div class="preview-text">{text}</div></section> }
}

/// A text with what is new and what is gone marked: by `ins` and `del`, so that screen readers hear it too.
#[component]
fn Difference(title: &'static str, older: String, newer: String) -> impl IntoView {
    let pieces = compare::words(&older, &newer);
    let pieces = pieces.into_iter().map(|piece| match piece.change {
        Change::Same => piece.text.into_any(),
        Change::Added => view! { <ins>{piece.text}</ins> }.into_any(),
        Change::Removed => view! { <del>{piece.text}</del> }.into_any(),
    });
    view! { <section class="preview-part"><h3>{title}</h3><div class="preview-text">{pieces.collect_view()}</div></section> }
}
