//! When the relay has ended a document for this window: it was replaced there, is gone, or may not be opened any more.
//! Whatever this window holds can be kept.

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::dialog::Dialog;
use crate::editor;
use crate::events::{Ended, EndedWhy, Level};
use crate::icon::{Icon, icon};
use crate::route::Route;
use crate::state::{Session, Shell};
use crate::words;

impl EndedWhy {
    fn heading(self) -> &'static str {
        match self {
            Self::Replaced => "This document was replaced on the server",
            Self::Gone => "This document is not on the server any more",
            Self::Refused => "You may not open this document any more",
        }
    }

    fn explanation(self, title: &str) -> String {
        match self {
            Self::Replaced => format!(
                "The server now has another state of “{title}”, for example because a backup was put back. What you have in this \
                 window is kept apart from it: nothing of it is lost, and nothing of it is sent."
            ),
            Self::Gone | Self::Refused => format!(
                "“{title}” was deleted on the server, or a backup was put back that does not have it. What you have in this \
                 window is still here."
            ),
        }
    }

    /// Whether this window holds something that the relay does not.
    fn leaves_a_copy(self) -> bool {
        matches!(self, Self::Replaced | Self::Gone)
    }
}

/// A line above the text that stays for as long as it is so.
#[component]
pub(crate) fn PartedBanner() -> impl IntoView {
    let session = expect_context::<Session>();
    let shell = expect_context::<Shell>();
    let ended = Memo::new(move |_| session.link.with(|link| link.ended.clone()));
    move || {
        ended.get().map(|Ended { why, message }| {
            let words = if why.leaves_a_copy() {
                "Your copy is in this window only, until you have decided what becomes of it.".to_owned()
            } else {
                capital(&message)
            };
            view! {
                <div class="banner parted" role="alert" data-testid="parted-banner" data-why=format!("{why:?}").to_lowercase()>
                    {icon(Icon::Problem)}
                    <span><strong>{why.heading()}"."</strong>" "{words}</span>
                    <span class="spring"></span>
                    {if why.leaves_a_copy() {
                        view! { <button type="button" class="button compact" data-testid="parted-decide" on:click=move |_| session.parting.set(true)>"Decide…"</button> }.into_any()
                    } else {
                        view! { <button type="button" class="button compact" data-testid="parted-download" on:click=move |_| download(shell, session)>"Save what is here"</button> }.into_any()
                    }}
                </div>
            }
        })
    }
}

/// What is to become of this window's copy.
#[component]
pub(crate) fn PartedDialog() -> impl IntoView {
    let session = expect_context::<Session>();
    let shell = expect_context::<Shell>();
    let why = Memo::new(move |_| {
        session
            .link
            .with(|link| link.ended.as_ref().map(|ended| ended.why))
    });
    Effect::new(move || {
        if why.get().is_some_and(EndedWhy::leaves_a_copy) {
            session.asking.set(false);
            session.looking_back.set(false);
            session.parting.set(true);
        }
    });
    let title = Signal::derive(move || why.get().unwrap_or_default().heading().to_owned());
    let open = session.parting;
    let (busy, trouble, sure) = (
        RwSignal::new(false),
        RwSignal::new(None::<String>),
        RwSignal::new(false),
    );
    let name = move || words::title(&session.title.get()).to_owned();
    let keep = move |_| {
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        trouble.set(None);
        let title = format!("{} (my copy)", words::title(&session.title.get_untracked()));
        spawn_local(async move {
            let answer = editor::keep_copy(&title).await;
            busy.try_set(false);
            match answer.doc {
                Some(doc) => {
                    shell
                        .notices
                        .tell(Level::Info, format!("Your copy is kept as “{title}”."));
                    editor::close();
                    let _same_page = window().location().set_hash(&Route::Document(doc).hash());
                }
                None => {
                    let words = answer
                        .message
                        .unwrap_or_else(|| "There was no answer.".to_owned());
                    trouble.try_set(Some(format!(
                        "{words} Download your copy as a file instead, or try again."
                    )));
                }
            }
        });
    };
    let take = move |_| {
        if sure.get_untracked() {
            editor::close(); // no question about what is not saved: it was answered here
            let _no_page = window().location().reload();
        } else {
            sure.set(true);
        }
    };
    view! {
        <Dialog open title name="parted" class="medium">
            <p>{move || why.get().unwrap_or_default().explanation(&name())}</p>
            {move || trouble.get().map(|words| view! { <p class="trouble" role="alert" data-testid="parted-trouble">{words}</p> })}
            <ul class="choices">
                <li>
                    <button type="button" class="choice" autofocus data-testid="parted-keep" aria-busy=move || busy.get().to_string() on:click=keep>
                        {icon(Icon::Plus)}
                        <span><strong>"Keep my copy as a new document"</strong>
                        <span>{move || format!("Everything in this window, suggestions too, becomes “{} (my copy)”.", name())}</span></span>
                    </button>
                </li>
                <li>
                    <button type="button" class="choice" data-testid="parted-markdown" on:click=move |_| download(shell, session)>
                        {icon(Icon::Document)}
                        <span><strong>"Download my copy as Markdown"</strong>
                        <span>"A file for you, whatever you choose then."</span></span>
                    </button>
                </li>
                <Show when=move || why.get() == Some(EndedWhy::Replaced)>
                    <li>
                        <button type="button" class="choice" class:danger=move || sure.get() data-testid="parted-take" on:click=take>
                            {icon(Icon::Reload)}
                            <span><strong>{move || if sure.get() { "Press again: my copy is not needed" } else { "Take the server's copy" }}</strong>
                            <span>"Opens what the server has now. The copy in this window is gone then."</span></span>
                        </button>
                    </li>
                </Show>
            </ul>
            <div class="ends">
                <button type="button" class="button" data-testid="parted-later" on:click=move |_| open.set(false)>"Decide later"</button>
            </div>
        </Dialog>
    }
}

/// Saves what this window holds as a Markdown file, without the relay.
fn download(shell: Shell, session: Session) {
    let title = words::title(&session.title.get_untracked()).to_owned();
    let Some(text) = editor::markdown_here() else {
        shell
            .notices
            .fail("There is nothing in this window that could be saved.");
        return;
    };
    spawn_local(async move {
        let saved = editor::save_text(&title, &text).await;
        let level = if saved.ok { Level::Info } else { Level::Error };
        shell.notices.tell(level, saved.message);
    });
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let end = if text.ends_with(['.', '!', '?']) || text.is_empty() {
        ""
    } else {
        "."
    };
    format!("{first}{}{end}", letters.as_str())
}
