//! In the ask bar: what would leave the machine, shown before the first request that does.

use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::json;

use crate::editor;
use crate::privacy::{self, MaskPreview, Privacy};
use crate::privacy_dialog::{MaskList, known_names};
use crate::route;
use crate::state::{Session, Shell};

/// What would leave with the next request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaving {
    session: Session,
    shell: Shell,
    /// The engine that is asked; empty for whichever fits.
    to: RwSignal<String>,
    /// What was pressed, and waits for the person's word.
    held: RwSignal<Option<&'static str>>,
    /// What the relay lets go on.
    cleared: RwSignal<Option<&'static str>>,
    /// How it may leave, once the relay has said so and wants the person's word.
    policy: RwSignal<Option<Privacy>>,
    preview: RwSignal<Option<MaskPreview>>,
    agreed: RwSignal<bool>,
}

impl Leaving {
    pub(crate) fn new(session: Session, shell: Shell, to: RwSignal<String>) -> Self {
        Self {
            session,
            shell,
            to,
            held: RwSignal::new(None),
            cleared: RwSignal::new(None),
            policy: RwSignal::new(None),
            preview: RwSignal::new(None),
            agreed: RwSignal::new(false),
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

    fn path(self) -> String {
        format!(
            "/documents/{}/privacy",
            route::encode(&self.session.doc.get_value())
        )
    }

    /// Whether a request waits until the relay knows that the person has seen what leaves with it. It is shown then.
    pub(crate) fn holds(self, kind: &'static str) -> bool {
        if untrack(move || self.engines().is_empty()) || self.agreed.get_untracked() {
            return false;
        }
        self.held.set(Some(kind));
        if self.policy.with_untracked(Option::is_none) {
            self.look(kind);
        }
        true
    }

    /// Asks the relay whether the person has agreed; if not, how it may leave, and how that looks.
    fn look(self, kind: &'static str) {
        let names = known_names(self.session);
        spawn_local(async move {
            let policy = match editor::get::<Privacy>(&self.path()).await {
                Ok(policy) => policy,
                Err(error) => return self.shell.notices.fail(error.message),
            };
            let Some((open, _)) = policy.open() else {
                self.clear(kind);
                return;
            };
            if open.leave == "masked" {
                let path = format!("{}/preview", self.path());
                // Nobody agrees to what cannot be shown.
                match editor::post::<MaskPreview>(&path, json!({"names": names})).await {
                    Ok(found) => _ = self.preview.try_set(Some(found)),
                    Err(error) => return self.shell.notices.fail(error.message),
                }
            }
            self.policy.try_set(Some(policy));
        });
    }

    /// Tells the relay that the person has seen it, and lets the request go.
    fn agree(self) {
        let (Some(kind), Some(policy)) = (self.held.get_untracked(), self.policy.get_untracked()) else {
            return;
        };
        let Some((open, there)) = policy.open() else {
            return;
        };
        let body = json!({"leave": open.leave, "engines": open.engines, "there": there});
        spawn_local(async move {
            match editor::post::<Privacy>(&format!("{}/agree", self.path()), body).await {
                // The other server may want to be agreed with as well: that is another look.
                Ok(policy) if policy.open().is_some() => {
                    self.policy.try_set(None);
                    self.look(kind);
                }
                Ok(_) => self.clear(kind),
                Err(error) => {
                    // It may have changed meanwhile: the next press looks again.
                    self.policy.try_set(None);
                    self.held.try_set(None);
                    self.shell.notices.fail(error.message);
                }
            }
        });
    }

    /// Whether what waits for the person's word is masked.
    fn masks(self) -> bool {
        self.policy.with(|policy| {
            let open = policy.as_ref().and_then(Privacy::open);
            open.is_some_and(|(open, _)| open.leave == "masked")
        })
    }

    fn clear(self, kind: &'static str) {
        self.agreed.try_set(true);
        self.cleared.try_set(Some(kind));
    }
}

/// What leaves, and the button that lets it.
#[component]
pub(crate) fn WouldLeave(leaving: Leaving, ask: Callback<&'static str>) -> impl IntoView {
    let button = NodeRef::<leptos::html::Button>::new();
    button.on_load(|button| _ = button.focus());
    Effect::new(move || {
        if let Some(kind) = leaving.cleared.get() {
            ask.run(kind);
        }
    });
    view! {
        {move || {
            let engines = leaving.engines();
            (!engines.is_empty()).then(|| view! {
                <p class="leaves" data-testid="leaves">{format!("May be sent to {}", engines.join(" or "))}</p>
            })
        }}
        <Show when=move || leaving.held.get().is_some() && leaving.policy.with(Option::is_some)>
            <section class="leaves-first" role="group" aria-label="What would leave this machine" data-testid="leaves-first">
                {move || if leaving.masks() {
                    view! { <MaskList preview=leaving.preview /> }.into_any()
                } else {
                    view! { <p>"The text around this place leaves this machine as it is."</p> }.into_any()
                }}
                <button node_ref=button type="button" class="button primary" data-testid="leaves-agree" on:click=move |_| leaving.agree()>"Send it so"</button>
            </section>
        </Show>
    }
}
