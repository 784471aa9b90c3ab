//! The line at the bottom: is it saved, is there a connection, which AI is here and how fast.

use std::time::Duration;

use leptos::prelude::*;

use crate::events::Connection;
use crate::icon::{Icon, icon};
use crate::menu::{Opens, Popup};
use crate::model_report::ModelReport;
use crate::privacy;
use crate::server;
use crate::state::{Session, Shell};
use crate::words::{self, SavedLook};

/// How often the relay is asked for its models, while that is of interest.
const LOOK: Duration = Duration::from_secs(4);

/// The line.
#[component]
pub(crate) fn StatusBar() -> impl IntoView {
    let session = expect_context::<Session>();
    let shell = expect_context::<Shell>();
    let details = RwSignal::new(false);
    let alone = Memo::new(move |_| session.ai_peers().is_empty());
    Effect::new(move || {
        // Whenever an AI comes or goes, and when somebody opens the details.
        alone.track();
        details.track();
        shell.look_at_server();
    });
    if let Ok(timer) = set_interval_with_handle(
        move || {
            if alone.get_untracked() || details.get_untracked() {
                shell.look_at_server();
            }
        },
        LOOK,
    ) {
        on_cleanup(move || timer.clear());
    }
    let ai_words = Memo::new(move |_| {
        session.ai_peers().first().map(|peer| {
            let speed = peer
                .ai
                .as_ref()
                .and_then(|ai| ai.tokens_per_second)
                .filter(|speed| *speed > 0.0)
                .map(words::speed);
            let runs = shell.server.with(|status| privacy::runs(peer, status.as_ref()));
            [runs, speed]
                .into_iter()
                .flatten()
                .filter(|words| !words.is_empty())
                .collect::<Vec<_>>()
                .join(" · ")
        })
    });
    view! {
        <footer class="status-bar" aria-label="Status">
            <SavedWords />
            <ConnectionWords />
            <Linked />
            <span class="spring"></span>
            <Popup
                name="ai-details" label="About the AI" class="status-item as-button" opens=Opens::Panel at_end=true open=details
                face=move || view! {
                    {icon(Icon::Chip)}
                    <span data-testid="ai-device">{move || match ai_words.get() {
                        None => shell.server.with(|status| server::absence(status.as_ref())).short().to_owned(),
                        Some(words) if words.is_empty() => "AI ready".to_owned(),
                        Some(words) => words,
                    }}</span>
                }
            >
                <ModelReport />
            </Popup>
        </footer>
    }
}

#[component]
fn SavedWords() -> impl IntoView {
    let session = expect_context::<Session>();
    let shell = expect_context::<Shell>();
    let saved = Memo::new(move |_| session.link.with(|link| words::saved(link, shell.desktop)));
    let look = move || match saved.get().0 {
        SavedLook::Saved if shell.desktop => ("saved", Icon::DeviceSaved),
        SavedLook::Saved => ("saved", Icon::Saved),
        SavedLook::Busy => ("busy", Icon::Saving),
        SavedLook::Offline => ("offline", Icon::Offline),
        SavedLook::Problem => ("problem", Icon::Problem),
    };
    // Not each letter's "Saving…" and "Saved": only what lasts is said aloud.
    Effect::new(move |before: Option<SavedLook>| {
        let (look, words) = saved.get();
        let before = before.unwrap_or(SavedLook::Saved);
        if !session.ready.get_untracked() || look == SavedLook::Busy {
            return before;
        }
        if look != before {
            shell.notices.speak(format!("{words}."));
        }
        look
    });
    view! {
        // Nothing can be unsaved while the document has not even arrived.
        <Show when=move || session.ready.get()>
            <span class="status-item" data-testid="saved" data-look=move || look().0>
                {move || icon(look().1)} <span>{move || saved.get().1}</span>
            </span>
        </Show>
    }
}

#[component]
fn ConnectionWords() -> impl IntoView {
    let session = expect_context::<Session>();
    let connection = Memo::new(move |_| session.link.with(|link| link.connection));
    let look = move || match connection.get() {
        Connection::Connected => ("connected", Icon::Connected),
        Connection::Connecting => ("connecting", Icon::Saving),
        Connection::Offline => ("offline", Icon::Offline),
    };
    view! {
        <span class="status-item" data-testid="connection" data-look=move || look().0>
            {move || icon(look().1)} <span>{move || words::connection(connection.get())}</span>
        </span>
    }
}

/// Another server's document that this one is kept in sync with, and how that goes now.
#[component]
fn Linked() -> impl IntoView {
    let session = expect_context::<Session>();
    let link = Memo::new(move |_| session.about.with(|about| about.as_ref()?.link.clone()));
    if let Ok(timer) = set_interval_with_handle(
        move || {
            if link.get_untracked().is_some() {
                session.look_at_document();
            }
        },
        LOOK,
    ) {
        on_cleanup(move || timer.clear());
    }
    let state = Memo::new(move |_| session.about.with(|about| about.as_ref()?.link_state.clone()));
    move || {
        link.get().map(|link| {
            let words = move || server::link_words(&server::host(&link), state.get().as_deref());
            let look = move || if state.get().as_deref() == Some("connected") { "connected" } else { "offline" };
            view! {
                <span class="status-item" data-testid="linked" data-look=look>{icon(Icon::Link)} <span>{words}</span></span>
            }
        })
    }
}
