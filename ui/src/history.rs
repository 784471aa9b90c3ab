//! The versions of a document: what was kept when, how it differs from now, and the way back.

use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::{Value, json};

use crate::browser;
use crate::dialog::Dialog;
use crate::editor;
use crate::events::Level;
use crate::icon::{Icon, icon};
use crate::route;
use crate::state::{Session, Shell};
use crate::versions::{Change, Difference, Version};

/// What is known while the dialog is open.
#[derive(Clone, Copy)]
struct Versions {
    doc: StoredValue<String>,
    list: RwSignal<Option<Vec<Version>>>,
    chosen: RwSignal<Option<u64>>,
    difference: RwSignal<Option<Difference>>,
    trouble: RwSignal<Option<String>>,
}

impl Versions {
    fn path(self, rest: &str) -> String {
        format!(
            "/documents/{}/versions{rest}",
            route::encode(&self.doc.get_value())
        )
    }

    fn load(self) {
        let path = self.path("");
        spawn_local(async move {
            match editor::get::<Vec<Version>>(&path).await {
                Ok(list) => _ = self.list.try_set(Some(list)),
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
    };
    provide_context(versions);
    let open = session.looking_back;
    Effect::new(move || {
        if open.get() {
            versions.list.set(None);
            versions.chosen.set(None);
            versions.trouble.set(None);
            versions.load();
        }
    });
    view! {
        <Dialog open title="Versions" name="versions-dialog" class="wide">
            {move || versions.trouble.get().map(|words| view! { <p class="trouble" role="alert">{words}</p> })}
            <Show when=move || session.may_decide()><Keep /></Show>
            <div class="versions">
                <List />
                <Compared />
            </div>
            <div class="ends">
                <button type="button" class="button" on:click=move |_| open.set(false)>"Close"</button>
                <Show when=move || versions.chosen.get().is_some() && session.may_decide()><GoBack /></Show>
            </div>
        </Dialog>
    }
}

/// Keeping the text as it is now, under a name.
#[component]
fn Keep() -> impl IntoView {
    let shell = expect_context::<Shell>();
    let versions = expect_context::<Versions>();
    let name = RwSignal::new(String::new());
    let keep = move |event: ev::SubmitEvent| {
        event.prevent_default();
        let body = json!({ "name": name.get_untracked().trim() });
        let path = versions.path("");
        spawn_local(async move {
            match editor::post::<Version>(&path, body).await {
                Ok(_) => {
                    name.try_set(String::new());
                    versions.load();
                }
                Err(error) => shell.notices.fail(error.message),
            }
        });
    };
    view! {
        <form class="keep" on:submit=keep>
            <input
                type="text" class="plain-field" maxlength="120" aria-label="A name for the text as it is now"
                placeholder="A name for the text as it is now" data-testid="version-name" bind:value=name
            />
            <button type="submit" class="button" data-testid="version-keep">{icon(Icon::Plus)} "Keep"</button>
        </form>
    }
}

#[component]
fn List() -> impl IntoView {
    let versions = expect_context::<Versions>();
    view! {
        <ul class="version-list" aria-label="Versions" data-testid="version-list">
            {move || match versions.list.get() {
                None => view! { <li role="status">"Looking…"</li> }.into_any(),
                Some(list) if list.is_empty() => view! { <li class="card-remark">"No version yet. One is kept some minutes after each change, and whenever you ask for it."</li> }.into_any(),
                Some(list) => list.into_iter().map(|version| {
                    let number = version.number;
                    let when = version.at.as_ref().map(browser::moment_words).unwrap_or_default();
                    let title = version.title();
                    view! {
                        <li>
                            <button
                                type="button" class="version" data-testid="version"
                                aria-pressed=move || (versions.chosen.get() == Some(number)).to_string()
                                on:click=move |_| versions.choose(number)
                            >
                                <span class="version-title">{title}</span>
                                <span class="version-facts">{when} " · " {version.by.name}</span>
                            </button>
                        </li>
                    }
                }).collect_view().into_any(),
            }}
        </ul>
    }
}

/// What has changed since the chosen version.
#[component]
fn Compared() -> impl IntoView {
    let versions = expect_context::<Versions>();
    view! {
        <section class="preview-text" aria-label="What has changed since then" aria-live="polite" tabindex="0" data-testid="version-diff">
            {move || match (versions.chosen.get(), versions.difference.get()) {
                (None, _) => view! { <em>"Choose a version to see what has changed since then."</em> }.into_any(),
                (Some(_), None) => view! { <em>"Comparing…"</em> }.into_any(),
                (Some(_), Some(difference)) if difference.is_none() => view! { <em>"The text is the same as then."</em> }.into_any(),
                (Some(_), Some(difference)) => difference.text.into_iter().map(|piece| match piece.change {
                    Change::Equal => view! { <span>{piece.text}</span> }.into_any(),
                    Change::Insert => view! { <ins>{piece.text}</ins> }.into_any(),
                    Change::Delete => view! { <del>{piece.text}</del> }.into_any(),
                }).collect_view().into_any(),
            }}
        </section>
    }
}

#[component]
fn GoBack() -> impl IntoView {
    let session = expect_context::<Session>();
    let shell = expect_context::<Shell>();
    let versions = expect_context::<Versions>();
    let go = move |_| {
        let Some(number) = versions.chosen.get_untracked() else {
            return;
        };
        let path = versions.path(&format!("/{number}/restore"));
        spawn_local(async move {
            match editor::post::<Value>(&path, json!({})).await {
                Ok(_) => {
                    session.looking_back.try_set(false);
                    shell.notices.tell(
                        Level::Info,
                        "The text is as it was then. What was there before is kept as a version.",
                    );
                }
                Err(error) => shell.notices.fail(error.message),
            }
        });
    };
    view! {
        <button type="button" class="button primary" data-testid="version-restore" on:click=go>{icon(Icon::Undo)} "Go back to this"</button>
    }
}
