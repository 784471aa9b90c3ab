//! The versions of a document: what was kept when, by whom and why, how it differs from now, and the way back.

use leptos::ev;
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::json;

use crate::browser;
use crate::dialog::Dialog;
use crate::diff_view::{DifferenceView, Look, LookSwitch};
use crate::editor;
use crate::events::Level;
use crate::history_way_back::WayBack;
use crate::icon::{Icon, icon};
use crate::route;
use crate::state::{Session, Shell};
use crate::versions::{Difference, Version};

/// What is known while the dialog is open.
#[derive(Clone, Copy)]
pub(crate) struct Versions {
    doc: StoredValue<String>,
    list: RwSignal<Option<Vec<Version>>>,
    /// The version that is compared with now.
    pub(crate) chosen: RwSignal<Option<u64>>,
    difference: RwSignal<Option<Difference>>,
    trouble: RwSignal<Option<String>>,
    look: RwSignal<Look>,
}

impl Versions {
    /// A path below the document's versions.
    pub(crate) fn path(self, rest: &str) -> String {
        format!(
            "/documents/{}/versions{rest}",
            route::encode(&self.doc.get_value())
        )
    }

    fn load(self) {
        let path = self.path("");
        spawn_local(async move {
            match editor::get::<Vec<Version>>(&path).await {
                Ok(list) => {
                    self.trouble.try_set(None);
                    self.list.try_set(Some(list));
                }
                Err(error) => _ = self.trouble.try_set(Some(error.message)),
            }
        });
    }

    fn choose(self, number: u64) {
        self.chosen.set(Some(number));
        self.difference.set(None);
        let path = self.path(&format!("/{number}/diff?with=now"));
        spawn_local(async move {
            let found = editor::get::<Difference>(&path).await;
            if self.chosen.try_get_untracked() != Some(Some(number)) {
                return; // another one was chosen meanwhile
            }
            match found {
                Ok(difference) => _ = self.difference.try_set(Some(difference)),
                Err(error) => _ = self.trouble.try_set(Some(error.message)),
            }
        });
    }
}

/// The dialog.
#[component]
pub(crate) fn VersionsDialog() -> impl IntoView {
    let session = expect_context::<Session>();
    let versions = Versions {
        doc: session.doc,
        list: RwSignal::new(None),
        chosen: RwSignal::new(None),
        difference: RwSignal::new(None),
        trouble: RwSignal::new(None),
        look: RwSignal::new(Look::Text),
    };
    provide_context(versions);
    let open = session.looking_back;
    Effect::new(move || {
        if open.get() {
            versions.list.set(None);
            versions.chosen.set(None);
            versions.trouble.set(None);
            if session.may_decide() {
                versions.load();
            }
        }
    });
    view! {
        <Dialog open title="Versions" name="versions-dialog" class="wide tall">
            <Show when=move || session.may_decide() fallback=|| view! { <NotForYou /> }>
                {move || versions.trouble.get().map(|words| view! { <p class="trouble" role="alert">{words}</p> })}
                <Keep />
                <div class="versions">
                    <List />
                    <Compared />
                </div>
            </Show>
            <div class="ends">
                <button type="button" class="button" on:click=move |_| open.set(false)>"Close"</button>
                <Show when=move || versions.chosen.get().is_some() && session.may_decide()><WayBack versions /></Show>
            </div>
        </Dialog>
    }
}

/// Why there is nothing to see.
#[component]
fn NotForYou() -> impl IntoView {
    view! {
        <p data-testid="versions-obstacle">
            "Earlier versions can hold what was taken out before this document was shown to you. So only those who may edit it see them, "
            "keep them and go back to them. To do that, ask its owner for a link that allows editing."
        </p>
    }
}

/// Keeping the text as it is now, under a name and with a reason.
#[component]
fn Keep() -> impl IntoView {
    let shell = expect_context::<Shell>();
    let versions = expect_context::<Versions>();
    let (name, why) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let busy = RwSignal::new(false);
    let keep = move |event: ev::SubmitEvent| {
        event.prevent_default();
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        let body = json!({ "name": name.get_untracked().trim(), "why": why.get_untracked().trim() });
        let path = versions.path("");
        spawn_local(async move {
            match editor::post::<Version>(&path, body).await {
                Ok(version) => {
                    name.try_set(String::new());
                    why.try_set(String::new());
                    shell
                        .notices
                        .speak(format!("Version {} is kept.", version.number));
                    versions.load();
                }
                Err(error) => shell.notices.fail(error.message),
            }
            busy.try_set(false);
        });
    };
    view! {
        <form class="keep" on:submit=keep>
            <label class="field">
                <span>"Name for the text as it is now"</span>
                <input type="text" maxlength="120" placeholder="Before the trip" data-testid="version-name" bind:value=name />
            </label>
            <label class="field">
                <span>"Why (if you like)"</span>
                <input type="text" maxlength="400" placeholder="Sent to the printer" data-testid="version-why" bind:value=why />
            </label>
            <button type="submit" class="button" data-testid="version-keep" aria-busy=move || busy.get().to_string()>{icon(Icon::Plus)} "Keep"</button>
        </form>
    }
}

/// What the arrow keys move among.
const ROWS: &str = "button.version";

#[component]
fn List() -> impl IntoView {
    let versions = expect_context::<Versions>();
    let list = NodeRef::<html::Ul>::new();
    let on_key = move |event: ev::KeyboardEvent| {
        let Some(list) = list.get_untracked() else { return };
        if browser::rove(
            &browser::focusable(&list, ROWS),
            &event.key(),
            "ArrowUp",
            "ArrowDown",
        ) {
            event.prevent_default();
        }
    };
    view! {
        <ul node_ref=list class="version-list" aria-label="Versions, the newest first" data-testid="version-list" on:keydown=on_key>
            {move || match versions.list.get() {
                None if versions.trouble.with(Option::is_some) => ().into_any(),
                None => view! { <li class="diff-remark" role="status">"Looking…"</li> }.into_any(),
                Some(list) if list.is_empty() => view! { <li class="diff-remark">"No version yet. One is kept some minutes after each change, and whenever you ask for it."</li> }.into_any(),
                Some(list) => {
                    let first = list.first().map(|version| version.number);
                    list.into_iter().map(|version| view! { <Row version=version first /> }).collect_view().into_any()
                }
            }}
        </ul>
    }
}

#[component]
fn Row(version: Version, first: Option<u64>) -> impl IntoView {
    let versions = expect_context::<Versions>();
    let number = version.number;
    let exact = version.at.as_ref().map(browser::exact_moment).unwrap_or_default();
    let facts = version.facts(&version.at.as_ref().map(browser::moment_words).unwrap_or_default());
    let is_chosen = move || versions.chosen.get() == Some(number);
    // One stop for the Tab key; the arrows lead to the others.
    let stop = move || is_chosen() || (versions.chosen.get().is_none() && first == Some(number));
    view! {
        <li>
            <button
                type="button" class="version" data-testid="version" data-kind=version.kind.clone() data-number=number
                tabindex=move || if stop() { "0" } else { "-1" } title=exact
                aria-pressed=move || is_chosen().to_string()
                on:click=move |_| versions.choose(number)
            >
                <span class="version-title">{version.title()}</span>
                <span class="version-facts">{facts}</span>
                {version.reason().map(|why| view! { <span class="version-why">{why}</span> })}
            </button>
        </li>
    }
}

/// What has changed since the chosen version.
#[component]
fn Compared() -> impl IntoView {
    let versions = expect_context::<Versions>();
    view! {
        <section class="compared" aria-label="What has changed since then">
            <div class="compared-head">
                <h3>"What has changed since then"</h3>
                <LookSwitch look=versions.look />
            </div>
            <div class="preview-text" aria-live="polite" tabindex="0" data-testid="version-diff">
                {move || match (versions.chosen.get(), versions.difference.get()) {
                    (None, _) => view! { <p class="diff-remark">"Choose a version to see what has changed since then."</p> }.into_any(),
                    (Some(_), None) if versions.trouble.with(Option::is_some) => ().into_any(),
                    (Some(_), None) => view! { <p class="diff-remark">"Comparing…"</p> }.into_any(),
                    (Some(_), Some(difference)) => view! { <DifferenceView difference=difference look=versions.look.get() /> }.into_any(),
                }}
            </div>
        </section>
    }
}

/// Tells that the text is as it was, with the way back from there.
pub(crate) fn tell_restored(shell: Shell, undo: Callback<()>) {
    shell.notices.offer(
        Level::Info,
        "The text is as it was then. What was there before is kept as a version.",
        "Undo",
        undo,
    );
}
