//! The engines' self-test, for whoever owns the server: what was asked for, what runs, how fast, and why not otherwise.

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::dialog::Dialog;
use crate::editor;
use crate::events::Role;
use crate::privacy::Report;
use crate::state::Shell;

/// A button, and what came of it.
#[component]
pub(crate) fn SelfTest() -> impl IntoView {
    let shell = expect_context::<Shell>();
    let reports = RwSignal::new(Vec::<Report>::new());
    let busy = RwSignal::new(false);
    let shown = RwSignal::new(false);
    let owns = move || {
        shell.server.with(|status| {
            let owns = |status: &crate::server::ServerStatus| {
                status.role == Some(Role::Owner) && !status.models.is_empty()
            };
            status.as_ref().is_some_and(owns)
        })
    };
    let test = move |_| {
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        spawn_local(async move {
            match editor::get::<Vec<Report>>("/doctor").await {
                Ok(found) => {
                    reports.try_set(found);
                    shown.try_set(true);
                }
                Err(error) => shell.notices.fail(error.message),
            }
            busy.try_set(false);
        });
    };
    view! {
        <Show when=owns>
            <button type="button" class="button" data-testid="self-test" aria-disabled=move || busy.get().to_string() on:click=test>
                {move || if busy.get() { "Testing…" } else { "Test now" }}
            </button>
        </Show>
        // In a dialog of its own: the panel that the button is in has no room for it.
        <Dialog open=shown title="What the engines say" name="self-test-report" class="wide">
            {move || reports.get().into_iter().map(|report| view! {
                <section class="self-test">
                    <h3>{report.name}</h3>
                    <pre tabindex="0">{report.words}</pre>
                </section>
            }).collect_view()}
        </Dialog>
    }
}
