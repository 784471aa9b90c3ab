//! Asking an AI peer: the bar where one says what for, and the small button at a selection that opens it.

use leptos::ev;
use leptos::html;
use leptos::prelude::*;

use crate::browser;
use crate::editor::{self, Ask};
use crate::events::Person;
use crate::icon::{Icon, icon};
use crate::leaving::{Leaving, WouldLeave};
use crate::places::{self, Corner, Size};
use crate::server;
use crate::state::{Session, Shell};
use crate::words;

/// What can be asked for with one press: kind, `data-testid`, icon, and whether it needs selected text.
const KINDS: [(&str, &str, Icon, bool); 4] = [
    ("continue", "ask-continue", Icon::Continue, false),
    ("rewrite", "ask-rewrite", Icon::Rewrite, true),
    ("summarise", "ask-summarise", Icon::Summarise, false),
    ("brainstorm", "ask-brainstorm", Icon::Brainstorm, false),
];

/// Size of the bubble, for placing it before it is drawn.
const BUBBLE: Size = Size {
    width: 76.0,
    height: 34.0,
};

/// The button that floats at a selection.
#[component]
pub(crate) fn AskBubble() -> impl IntoView {
    let session = expect_context::<Session>();
    // Not while somebody is still dragging, and not over other text once the page has moved.
    let dragging = RwSignal::new(false);
    let moved = RwSignal::new(false);
    let listeners = [
        window_event_listener(ev::pointerdown, move |_| dragging.set(true)),
        window_event_listener(ev::pointerup, move |_| dragging.set(false)),
        window_event_listener(ev::pointercancel, move |_| dragging.set(false)),
        window_event_listener(ev::scroll, move |_| moved.set(true)),
    ];
    on_cleanup(move || listeners.into_iter().for_each(WindowListenerHandle::remove));
    Effect::new(move || {
        session.selection.track();
        moved.set(false);
    });
    let corner = move || {
        if session.asking.get() || dragging.get() || moved.get() || !session.may_ask() {
            return None;
        }
        session.selection.with(|selection| {
            let rect = selection.rect.filter(|_| !selection.empty && selection.focused)?;
            let ceiling = document()
                .query_selector(".tops")
                .ok()
                .flatten()?
                .get_bounding_client_rect()
                .bottom();
            Some(places::above(rect, BUBBLE, ceiling, browser::screen()))
        })
    };
    move || {
        corner().map(|corner| {
            view! {
                <button
                    type="button" class="bubble" data-testid="ask-bubble"
                    style:left=format!("{}px", corner.left) style:top=format!("{}px", corner.top)
                    title=format!("Ask the AI about this ({})", browser::shortcut("J"))
                    // Before the text loses its selection to the click.
                    on:pointerdown=|event| event.prevent_default()
                    on:mousedown=|event| event.prevent_default()
                    on:click=move |_| session.asking.set(true)
                >
                    {icon(Icon::Spark)} "Ask"
                </button>
            }
        })
    }
}

/// The bar.
#[component]
pub(crate) fn AskBar() -> impl IntoView {
    let session = expect_context::<Session>();
    view! {
        <Show when=move || session.asking.get()>
            <OpenBar />
        </Show>
    }
}

#[component]
fn OpenBar() -> impl IntoView {
    let session = expect_context::<Session>();
    let shell = expect_context::<Shell>();
    let bar = NodeRef::<html::Div>::new();
    let input = NodeRef::<html::Input>::new();
    let corner = RwSignal::new(None::<Corner>);
    let instruction = RwSignal::new(String::new());
    let to = RwSignal::new(String::new());
    let place = move || {
        let Some(bar) = bar.get_untracked() else { return };
        let rect = bar.get_bounding_client_rect();
        let size = Size {
            width: rect.width(),
            height: rect.height(),
        };
        let at = session.selection.with_untracked(|selection| selection.rect);
        corner.set(Some(at.map_or_else(
            || places::middle(size, browser::screen()),
            |at| places::below(at, size, browser::screen()),
        )));
    };
    bar.on_load(move |bar| {
        place();
        match input.get_untracked().filter(|input| !input.disabled()) {
            Some(input) => _ = input.focus(),
            // Nobody can be asked: the bar says why, and Escape closes it.
            None => _ = bar.focus(),
        }
    });
    let resized = window_event_listener(ev::resize, move |_| place());
    // The surface tells of the selection's place again whenever the page scrolls or the text moves.
    Effect::new(move || {
        session.selection.track();
        place();
    });
    let outside = window_event_listener(ev::pointerdown, move |event| {
        if bar
            .get_untracked()
            .is_some_and(|bar| !browser::comes_from(&event, &bar))
        {
            session.asking.set(false);
        }
    });
    on_cleanup(move || {
        resized.remove();
        outside.remove();
    });

    let obstacle = Memo::new(move |_| {
        if !session.may_ask() {
            Some(
                "You can read this document. To ask for suggestions you need a link that allows it."
                    .to_owned(),
            )
        } else if session.ai_peers().is_empty() {
            Some(
                shell
                    .server
                    .with(|status| server::absence(status.as_ref()).sentence()),
            )
        } else {
            None
        }
    });
    let leaving = Leaving::new(session, shell, to);
    let ask = Callback::new(move |kind: &'static str| {
        if obstacle.with_untracked(Option::is_some) || leaving.holds(kind) {
            return;
        }
        let asked = editor::ask(&Ask {
            kind: kind.to_owned(),
            instruction: instruction.get_untracked().trim().to_owned(),
            to: to.get_untracked(),
            again: None,
        });
        if asked {
            session.asking.set(false);
            session.drawer.set(true);
            editor::command("focus");
        }
    });
    let on_key = move |event: ev::KeyboardEvent| {
        if event.key() == "Escape" {
            event.prevent_default();
            session.asking.set(false);
            editor::command("focus");
        } else if event.key() == "Tab"
            && let Some(bar) = bar.get_untracked()
            && browser::turn_around(&bar, event.shift_key())
        {
            event.prevent_default();
        }
    };
    let submit = move |event: ev::SubmitEvent| {
        event.prevent_default();
        if instruction.with_untracked(|words| !words.trim().is_empty()) {
            ask.run("ask");
        }
    };
    let can_send =
        move || obstacle.with(Option::is_none) && instruction.with(|words| !words.trim().is_empty());
    view! {
        <div
            node_ref=bar class="ask-bar" role="dialog" tabindex="-1" aria-label="Ask the AI" data-testid="ask-bar"
            style:left=move || corner.get().map(|corner| format!("{}px", corner.left))
            style:top=move || corner.get().map(|corner| format!("{}px", corner.top))
            on:keydown=on_key
        >
            <form class="ask-line" on:submit=submit>
                <span class="ask-icon">{icon(Icon::Spark)}</span>
                <input
                    node_ref=input type="text" autocomplete="off" maxlength="2000" data-testid="ask-input"
                    aria-label="What the AI should do" placeholder="Say what the AI should write or change"
                    disabled=move || obstacle.with(Option::is_some)
                    bind:value=instruction
                />
                <button type="submit" class="send" data-testid="ask-send" aria-label="Ask" title="Ask (Enter)" disabled=move || !can_send()>{icon(Icon::Send)}</button>
            </form>
            {move || obstacle.get().map(|words| view! { <p class="ask-obstacle" role="status" data-testid="ask-obstacle">{icon(Icon::Info)} <span>{words}</span></p> })}
            <Quick blocked=Signal::derive(move || obstacle.with(Option::is_some)) ask />
            <Foot to />
            <WouldLeave leaving ask />
        </div>
    }
}

/// The kinds that need no words.
#[component]
fn Quick(blocked: Signal<bool>, ask: Callback<&'static str>) -> impl IntoView {
    let session = expect_context::<Session>();
    let nothing_selected = Memo::new(move |_| session.selection.with(|selection| selection.empty));
    let kinds = KINDS.map(|(kind, name, picture, needs_text)| {
        let unfit = move || needs_text && nothing_selected.get();
        let off = move || blocked.get() || unfit();
        view! {
            // aria-disabled, not disabled: who gets there by the keyboard is told why it is off.
            <button
                type="button" class="chip" data-testid=name
                aria-disabled=move || off().to_string()
                title=move || unfit().then_some("Select the text first")
                aria-description=move || unfit().then_some("Select the text first")
                on:click=move |_| if !untrack(off) { ask.run(kind) }
            >{icon(picture)} {words::request(kind)}</button>
        }
    });
    view! { <div class="ask-kinds" role="group" aria-label="Ask for">{kinds.into_iter().collect_view()}</div> }
}

/// An AI's name, and where it runs if that is not here.
fn named(peer: &Person) -> String {
    let name = words::ai_name(peer);
    match peer.device.as_deref().filter(|device| device.starts_with("on ")) {
        Some(place) => format!("{name}, {place}"),
        None => name.to_owned(),
    }
}

/// What it is about, and who is asked.
#[component]
fn Foot(to: RwSignal<String>) -> impl IntoView {
    let session = expect_context::<Session>();
    let about = move || {
        session.selection.with(|selection| {
            if selection.empty {
                "At the caret".to_owned()
            } else {
                format!("About “{}”", words::shortened(&selection.text, 60))
            }
        })
    };
    let peers = Memo::new(move |_| {
        session
            .ai_peers()
            .iter()
            .map(|peer| (peer.id.clone(), named(peer)))
            .collect::<Vec<_>>()
    });
    view! {
        <div class="ask-foot">
            <span class="ask-about">{about}</span>
            {move || {
                let peers = peers.get();
                match peers.as_slice() {
                    [] => ().into_any(),
                    [(_, name)] => view! { <span class="ask-peer">{name.clone()}</span> }.into_any(),
                    several => view! {
                        <select aria-label="Which AI" data-testid="ask-peer" on:change=move |event| to.set(event_target_value(&event))>
                            <option value="">"Whichever fits"</option>
                            {several.iter().map(|(id, name)| view! { <option value=id.clone()>{name.clone()}</option> }).collect_view()}
                        </select>
                    }.into_any(),
                }
            }}
        </div>
    }
}
