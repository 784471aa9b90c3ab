//! In the ask bar: what would leave the machine, shown before the first request that does.

use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::json;

use crate::browser;
use crate::editor;
use crate::privacy::{self, MaskPreview, Privacy};
use crate::privacy_dialog::{MaskList, known_names};
use crate::route;
use crate::state::Session;

/// Where the browser keeps that a person has seen what leaves a document, and agreed.
const SEEN: &str = "inkling.leaves";

/// What would leave with the next request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaving {
    session: Session,
    /// The engine that is asked; empty for whichever fits.
    to: RwSignal<String>,
    /// What was pressed, and waits for the person's word.
    held: RwSignal<Option<&'static str>>,
    /// How it may leave, once the relay has said so.
    leave: RwSignal<Option<String>>,
    preview: RwSignal<Option<MaskPreview>>,
}

impl Leaving {
    pub(crate) fn new(session: Session, to: RwSignal<String>) -> Self {
        Self {
            session,
            to,
            held: RwSignal::new(None),
            leave: RwSignal::new(None),
            preview: RwSignal::new(None),
        }
    }

    /// The names of the engines elsewhere that this request may go to.
    fn engines(self) -> Vec<String> {
        let to = self.to.get();
        let peers = self.session.ai_peers().into_iter();
        peers
            .filter(|peer| privacy::leaves(peer) && (to.is_empty() || to == peer.id))
            .map(|peer| peer.name)
            .collect()
    }

    fn key(self) -> String {
        format!("{SEEN}.{}", self.session.doc.get_value())
    }

    /// Whether a request waits until the person has seen what leaves with it. It then is shown.
    pub(crate) fn holds(self, kind: &'static str) -> bool {
        if untrack(move || self.engines().is_empty()) || browser::recall(&self.key()).is_some() {
            return false;
        }
        self.held.set(Some(kind));
        if self.leave.get_untracked().is_none() {
            self.look();
        }
        true
    }

    /// Asks the relay how it may leave, and how that looks.
    fn look(self) {
        let path = format!(
            "/documents/{}/privacy",
            route::encode(&self.session.doc.get_value())
        );
        let names = known_names(self.session);
        spawn_local(async move {
            let leave = editor::get::<Privacy>(&path).await.map(|privacy| privacy.leave);
            let leave = leave.unwrap_or_else(|_unreachable| "nothing".to_owned());
            if leave == "masked" {
                let found =
                    editor::post::<MaskPreview>(&format!("{path}/preview"), json!({"names": names})).await;
                if let Ok(found) = found {
                    self.preview.try_set(Some(found));
                }
            }
            self.leave.try_set(Some(leave));
        });
    }
}

/// What leaves, and the button that lets it.
#[component]
pub(crate) fn WouldLeave(leaving: Leaving, ask: Callback<&'static str>) -> impl IntoView {
    let button = NodeRef::<leptos::html::Button>::new();
    button.on_load(|button| _ = button.focus());
    let agree = move |_| {
        browser::keep(&leaving.key(), "seen");
        if let Some(kind) = leaving.held.get_untracked() {
            ask.run(kind);
        }
    };
    view! {
        {move || {
            let engines = leaving.engines();
            (!engines.is_empty()).then(|| view! {
                <p class="leaves" data-testid="leaves">{format!("May be sent to {}", engines.join(" or "))}</p>
            })
        }}
        <Show when=move || leaving.held.get().is_some() && leaving.leave.get().is_some()>
            <section class="leaves-first" role="group" aria-label="What would leave this machine" data-testid="leaves-first">
                {move || if leaving.leave.get().as_deref() == Some("masked") {
                    view! { <MaskList preview=leaving.preview /> }.into_any()
                } else {
                    view! { <p>"The text around this place leaves this machine as it is."</p> }.into_any()
                }}
                <button node_ref=button type="button" class="button primary" data-testid="leaves-agree" on:click=agree>"Send it so"</button>
            </section>
        </Show>
    }
}
