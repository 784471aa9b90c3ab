//! Setting, changing and removing a link in the text.

use leptos::ev;
use leptos::prelude::*;
use serde_json::json;

use crate::address;
use crate::dialog::Dialog;
use crate::editor;
use crate::state::Session;

/// The dialog.
#[component]
pub(crate) fn LinkDialog() -> impl IntoView {
    let session = expect_context::<Session>();
    let open = session.linking;
    let typed = RwSignal::new(String::new());
    let trouble = RwSignal::new(false);
    let present = Memo::new(move |_| {
        session
            .toolbar
            .with(|bar| bar.active.link.as_ref().map(|link| link.href.clone()))
    });
    Effect::new(move || {
        if open.get() {
            typed.set(present.get_untracked().unwrap_or_default());
            trouble.set(false);
        }
    });
    let submit = move |event: ev::SubmitEvent| {
        event.prevent_default();
        match address::normalise(&typed.get_untracked()) {
            Some(href) => {
                open.set(false);
                editor::command_with("setLink", &json!({ "href": href }));
            }
            None => trouble.set(true),
        }
    };
    let remove = move |_| {
        open.set(false);
        editor::command("unsetLink");
    };
    view! {
        <Dialog open title="Link" name="text-link-dialog">
            <form on:submit=submit novalidate>
                <label class="field">
                    <span>"Address"</span>
                    <input
                        type="text" inputmode="url" autocomplete="off" spellcheck="false" autofocus placeholder="https://…"
                        data-testid="href-input" aria-invalid=move || trouble.get().to_string() bind:value=typed
                    />
                </label>
                <Show when=move || trouble.get()>
                    <p class="trouble" role="alert">"This is no address that can be linked to. It should look like https://example.org/page."</p>
                </Show>
                <div class="ends">
                    <Show when=move || present.get().is_some()>
                        <button type="button" class="button danger" data-testid="unlink" on:click=remove>"Remove the link"</button>
                        <span class="spring"></span>
                    </Show>
                    <button type="button" class="button" on:click=move |_| open.set(false)>"Cancel"</button>
                    <button type="submit" class="button primary" data-testid="href-confirm">"Apply"</button>
                </div>
            </form>
        </Dialog>
    }
}
