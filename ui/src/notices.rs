//! Words that come and go: notices at the edge of the page, and the sentences that only screen readers hear.

use std::time::Duration;

use leptos::prelude::*;

use crate::events::Level;
use crate::icon::{Icon, icon};
use crate::state::Shell;

/// How long a notice stays that nobody has to act on.
const STAY: Duration = Duration::from_secs(7);

/// What can be done about a notice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Action {
    words: &'static str,
    run: Callback<()>,
}

/// A notice on the page.
#[derive(Clone, Debug)]
pub(crate) struct Toast {
    number: u64,
    level: Level,
    message: String,
    action: Option<Action>,
}

/// The notices that are shown, and what is said aloud.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notices {
    toasts: RwSignal<Vec<Toast>>,
    spoken: RwSignal<String>,
    alarm: RwSignal<String>,
    count: StoredValue<u64>,
}

impl Notices {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self {
            toasts: RwSignal::default(),
            spoken: RwSignal::default(),
            alarm: RwSignal::default(),
            count: StoredValue::new(0),
        }
    }

    /// Shows words. Errors stay until they are put away, the others go by themselves.
    pub(crate) fn tell(self, level: Level, message: impl Into<String>) {
        self.show(level, message.into(), None);
    }

    /// Shows words and a button that does something about them; stays until one of both is put away.
    pub(crate) fn offer(
        self,
        level: Level,
        message: impl Into<String>,
        words: &'static str,
        run: Callback<()>,
    ) {
        self.show(level, message.into(), Some(Action { words, run }));
    }

    fn show(self, level: Level, message: String, action: Option<Action>) {
        // Said in one place only: a notice that were a live region of its own would be read twice.
        if level == Level::Error {
            self.alarm.set(message.clone());
        } else {
            self.spoken.set(message.clone());
        }
        self.count.update_value(|count| *count += 1);
        let number = self.count.get_value();
        self.toasts.update(|toasts| {
            toasts.retain(|toast| toast.message != message); // the same words twice are said once
            toasts.push(Toast {
                number,
                level,
                message,
                action,
            });
            let surplus = toasts.len().saturating_sub(4);
            toasts.drain(..surplus);
        });
        if level != Level::Error && action.is_none() {
            set_timeout(move || self.put_away(number), STAY);
        }
    }

    /// Shows that something failed.
    pub(crate) fn fail(self, message: impl Into<String>) {
        self.tell(Level::Error, message);
    }

    /// Lets screen readers say something; nothing is shown.
    pub(crate) fn speak(self, sentence: String) {
        self.spoken.set(sentence);
    }

    fn put_away(self, number: u64) {
        self.toasts
            .try_update(|toasts| toasts.retain(|toast| toast.number != number));
    }
}

/// Where notices appear.
#[component]
pub(crate) fn NoticeList() -> impl IntoView {
    let notices = expect_context::<Shell>().notices;
    view! {
        <div class="toasts" role="region" aria-label="Notices" data-testid="notices">
            <For each=move || notices.toasts.get() key=|toast| toast.number let:toast>
                <Notice toast=toast />
            </For>
        </div>
        <div class="unseen" aria-live="polite" data-testid="announcer">{move || notices.spoken.get()}</div>
        <div class="unseen" role="alert" data-testid="alarm">{move || notices.alarm.get()}</div>
    }
}

#[component]
fn Notice(toast: Toast) -> impl IntoView {
    let notices = expect_context::<Shell>().notices;
    let (name, picture) = match toast.level {
        Level::Info => ("info", Icon::Info),
        Level::Warning => ("warning", Icon::Problem),
        Level::Error => ("error", Icon::Problem),
    };
    let number = toast.number;
    view! {
        <div class="toast" data-level=name data-testid="notice">
            {icon(picture)}
            <p>{toast.message}</p>
            {toast.action.map(|Action { words, run }| view! {
                <button type="button" class="text-button" data-testid="notice-action" on:click=move |_| { notices.put_away(number); run.run(()); }>{words}</button>
            })}
            <button class="quiet small" aria-label="Put this notice away" on:click=move |_| notices.put_away(number)>
                {icon(Icon::Close)}
            </button>
        </div>
    }
}
