//! A modal dialog on the browser's own `<dialog>`: it keeps the focus inside, closes on Escape and gives the focus back.

use leptos::ev;
use leptos::html;
use leptos::prelude::*;

/// Shown while `open`; its content exists only then.
#[component]
pub(crate) fn Dialog(
    /// Set to true to show it; it is false again when it was closed in any way.
    open: RwSignal<bool>,
    /// Heading.
    #[prop(into)]
    title: Signal<String>,
    /// `data-testid`.
    name: &'static str,
    /// Extra class for wide content.
    #[prop(optional)]
    class: &'static str,
    /// What is in it.
    children: ChildrenFn,
) -> impl IntoView {
    let element = NodeRef::<html::Dialog>::new();
    Effect::new(move || {
        let Some(dialog) = element.get() else { return };
        match (open.get(), dialog.open()) {
            (true, false) => {
                // Fails only for an element that is not in the page any more.
                let _gone = dialog.show_modal();
            }
            (false, true) => dialog.close(),
            _ => {}
        }
    });
    let on_backdrop = move |event: ev::MouseEvent| {
        if element
            .get_untracked()
            .is_some_and(|dialog| event.target().as_ref() == Some(dialog.as_ref()))
        {
            open.set(false);
        }
    };
    let heading = format!("{name}-title");
    let labelled = heading.clone();
    view! {
        <dialog
            node_ref=element
            class=format!("dialog {class}")
            aria-labelledby=labelled
            data-testid=name
            on:close=move |_| open.set(false)
            on:mousedown=on_backdrop
        >
            <Show when=move || open.get()>
                <div class="dialog-body">
                    <h2 id=heading.clone()>{move || title.get()}</h2>
                    {children()}
                </div>
            </Show>
        </dialog>
    }
}

/// The buttons that end a dialog.
#[component]
pub(crate) fn Ends(
    /// The dialog's.
    open: RwSignal<bool>,
    /// Of the button that does it.
    words: &'static str,
    /// Its `data-testid`.
    name: &'static str,
    /// It destroys something.
    #[prop(optional)]
    danger: bool,
) -> impl IntoView {
    view! {
        <div class="ends">
            <button type="button" class="button" on:click=move |_| open.set(false)>"Cancel"</button>
            <button type="submit" class=if danger { "button danger" } else { "button primary" } data-testid=name>{words}</button>
        </div>
    }
}
