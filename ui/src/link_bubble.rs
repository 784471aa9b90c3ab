//! What floats at a link that the caret is in: where it leads, and the ways to follow and to change it.

use leptos::prelude::*;

use crate::browser;
use crate::editor;
use crate::icon::{Icon, icon};
use crate::places::{self, Size};
use crate::state::Session;
use crate::words;

/// About its size, for placing it before it is drawn.
const SIZE: Size = Size {
    width: 280.0,
    height: 40.0,
};

/// The bubble.
#[component]
pub(crate) fn LinkBubble() -> impl IntoView {
    let session = expect_context::<Session>();
    let href = Memo::new(move |_| {
        session
            .toolbar
            .with(|bar| bar.active.link.as_ref().map(|link| link.href.clone()))
            .filter(|href| !href.is_empty())
    });
    let corner = move || {
        session.selection.with(|selection| {
            let rect = selection
                .rect
                .filter(|_| selection.empty && selection.focused && !session.asking.get())?;
            Some(places::below(rect, SIZE, browser::screen()))
        })
    };
    move || {
        let (href, corner) = (href.get()?, corner()?);
        let shown = words::shortened(href.trim_start_matches("https://"), 36);
        let title = format!("{href} (Alt+Enter)");
        Some(view! {
            <div
                class="bubble link-bubble" data-testid="link-bubble"
                style:left=format!("{}px", corner.left) style:top=format!("{}px", corner.top)
                // The text keeps its caret.
                on:mousedown=|event| event.prevent_default()
            >
                <button type="button" class="text-button" data-testid="follow-link" title=title on:click=move |_| editor::follow(&href)>
                    {icon(Icon::Link)} <span>{shown}</span>
                </button>
                <button
                    type="button" class="quiet small" data-testid="edit-link" aria-label="Change the link" title="Change the link"
                    on:click=move |_| session.linking.set(true)
                >{icon(Icon::Pencil)}</button>
            </div>
        })
    }
}
