//! Going back to a version: an edit like any other, which can be taken back.

use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::Deserialize;
use serde_json::json;

use crate::editor;
use crate::events::Level;
use crate::history::{Versions, tell_restored};
use crate::icon::{Icon, icon};
use crate::state::{Session, Shell};
use crate::versions::Version;

/// What the relay says of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Restored {
    changed: bool,
    version: Option<Version>,
}

/// The button.
#[component]
pub(crate) fn WayBack(
    /// What is chosen.
    versions: Versions,
) -> impl IntoView {
    let session = expect_context::<Session>();
    let shell = expect_context::<Shell>();
    let busy = RwSignal::new(false);
    let go = move |_| {
        let Some(number) = versions.chosen.get_untracked() else {
            return;
        };
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        let base = versions.path("");
        spawn_local(async move {
            let done = restore(&base, number).await;
            busy.try_set(false);
            match done {
                Ok(Restored { changed: false, .. }) => {
                    shell.notices.tell(Level::Info, "The text is the same as then.");
                }
                Ok(restored) => {
                    session.looking_back.try_set(false);
                    tell_restored(
                        shell,
                        undo(shell, base, restored.version.map(|version| version.number)),
                    );
                }
                Err(words) => shell.notices.fail(words),
            }
        });
    };
    view! {
        <button type="button" class="button primary" data-testid="version-restore" aria-busy=move || busy.get().to_string() on:click=go>
            {icon(Icon::Undo)} "Go back to this"
        </button>
    }
}

async fn restore(base: &str, number: u64) -> Result<Restored, String> {
    editor::post(&format!("{base}/{number}/restore"), json!({}))
        .await
        .map_err(|error| error.message)
}

/// Back to what was there before: the version that was kept just ahead of the restored one. `base` is the path of the
/// versions; by then another document may be open.
fn undo(shell: Shell, base: String, restored: Option<u64>) -> Callback<()> {
    Callback::new(move |()| {
        let base = base.clone();
        spawn_local(async move {
            let list = editor::get::<Vec<Version>>(&base).await;
            let before = list.unwrap_or_default().into_iter().find(|version| {
                version.kind == "beforeRestore" && restored.is_none_or(|restored| version.number < restored)
            });
            let Some(before) = before else {
                shell
                    .notices
                    .fail("What was there before is not among the versions any more.");
                return;
            };
            match restore(&base, before.number).await {
                Ok(_) => shell
                    .notices
                    .tell(Level::Info, "The text is as it was before you went back."),
                Err(words) => shell.notices.fail(words),
            }
        });
    })
}
