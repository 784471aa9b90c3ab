//! The margin: every request and its answer as a card beside the text it is about. Where there is no room beside the
//! page it is a drawer that shows them one under the other.

use std::collections::HashMap;

use leptos::ev;
use leptos::html;
use leptos::prelude::*;

use crate::browser;
use crate::card::CardView;
use crate::cards;
use crate::editor;
use crate::events::Card;
use crate::icon::{Icon, icon};
use crate::layout::{self, Slot};
use crate::state::{Session, Shell};

/// Least distance between two cards in px.
const GAP: f64 = 12.0;
/// Taken for a card's height until it has been measured.
const UNMEASURED: f64 = 140.0;

/// Heights that the cards report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heights(pub(crate) RwSignal<HashMap<String, f64>>);

/// Where each card stands, and how far down they reach; in px from the margin's top.
#[derive(Clone, Debug, Default, PartialEq)]
struct Arrangement {
    tops: HashMap<String, f64>,
    extent: f64,
}

/// The margin.
#[component]
pub(crate) fn Margin() -> impl IntoView {
    let session = expect_context::<Session>();
    let shell = expect_context::<Shell>();
    let heights = Heights(RwSignal::default());
    provide_context(heights);
    let earlier = RwSignal::new(false);
    let element = NodeRef::<html::Div>::new();
    // The surface counts from the top of the whole page, the margin begins further down.
    let offset = RwSignal::new(0.0);
    let measure = move || {
        if let Some(element) = element.get_untracked() {
            offset.set(element.get_bounding_client_rect().top() + browser::scrolled());
        }
    };
    Effect::new(move || {
        session.cards.track();
        shell.wide.track();
        measure();
    });
    let resized = window_event_listener(ev::resize, move |_| measure());
    on_cleanup(move || resized.remove());

    let ids = Memo::new(move |_| {
        session.cards.with(|all| {
            session.seen.with(|seen| {
                session
                    .away
                    .with(|away| cards::shown(all, seen, away, earlier.get()))
            })
        })
    });
    let arrangement = Memo::new(move |_| {
        let ids = ids.get();
        let offset = offset.get();
        let focused = session.focused.get();
        let slots = session
            .cards
            .with(|all| heights.0.with(|heights| slots(&ids, all, heights, offset)));
        let focused = ids.iter().position(|id| focused.as_ref() == Some(id));
        let tops = layout::place(&slots, GAP, focused);
        let extent = layout::extent(&slots, &tops);
        Arrangement {
            tops: ids.into_iter().zip(tops).collect(),
            extent,
        }
    });
    let height = move || {
        shell
            .wide
            .get()
            .then(|| format!("{:.0}px", arrangement.with(|arrangement| arrangement.extent)))
    };
    let on_key = move |event: ev::KeyboardEvent| {
        if event.key() == "Escape" {
            session.drawer.set(false);
            editor::command("focus");
        }
    };
    view! {
        <aside class="margin" aria-label="Suggestions" tabindex="-1" data-testid="margin" on:keydown=on_key>
            <MarginHead earlier />
            <div class="cards" node_ref=element style:min-height=height>
                <For each=move || ids.get() key=Clone::clone let:id>
                    <CardView id=id.clone() style=style_of(&id, arrangement, shell) />
                </For>
                <Show when=move || ids.with(Vec::is_empty) && session.ready.get() && session.may_ask()>
                    <Hint />
                </Show>
            </div>
        </aside>
        <button
            type="button" class="drawer-button" data-testid="open-margin"
            aria-expanded=move || session.drawer.get().to_string()
            on:click=move |_| session.drawer.update(|open| *open = !*open)
        >
            {icon(Icon::Cards)}
            <span>"Suggestions"</span>
            {move || Some(session.cards.with(|cards| cards::waiting(cards))).filter(|waiting| *waiting > 0).map(|waiting| view! { <span class="count">{waiting}</span> })}
        </button>
    }
}

/// Beside its text where there is room for that; in the drawer cards simply follow each other.
fn style_of(id: &str, arrangement: Memo<Arrangement>, shell: Shell) -> Signal<String> {
    let id = id.to_owned();
    Signal::derive(move || {
        if !shell.wide.get() {
            return String::new();
        }
        let top = arrangement
            .with(|arrangement| arrangement.tops.get(&id).copied())
            .unwrap_or(0.0);
        format!("transform:translateY({top:.0}px)")
    })
}

/// The shown cards as the layout wants them: in the order of the text.
fn slots(ids: &[String], all: &[Card], heights: &HashMap<String, f64>, offset: f64) -> Vec<Slot> {
    ids.iter()
        .map(|id| Slot {
            wanted: all
                .iter()
                .find(|card| card.id == *id)
                .and_then(|card| card.top)
                .map(|top| (top - offset).max(0.0)),
            height: heights.get(id).copied().unwrap_or(UNMEASURED),
        })
        .collect()
}

#[component]
fn MarginHead(earlier: RwSignal<bool>) -> impl IntoView {
    let session = expect_context::<Session>();
    let count = Memo::new(move |_| {
        session.cards.with(|all| {
            session
                .seen
                .with(|seen| all.iter().filter(|card| cards::is_earlier(card, seen)).count())
        })
    });
    view! {
        <div class="margin-head">
            <h2 class="narrow-only">"Suggestions"</h2>
            <span class="spring"></span>
            <Show when=move || count.get() != 0>
                <button
                    type="button" class="text-button" data-testid="earlier" aria-pressed=move || earlier.get().to_string()
                    on:click=move |_| earlier.update(|shown| *shown = !*shown)
                >
                    {move || if earlier.get() { "Hide earlier ones".to_owned() } else { format!("{} accepted earlier", count.get()) }}
                </button>
            </Show>
            <button type="button" class="quiet small narrow-only" aria-label="Close the suggestions" on:click=move |_| session.drawer.set(false)>
                {icon(Icon::Close)}
            </button>
        </div>
    }
}

#[component]
fn Hint() -> impl IntoView {
    view! {
        <p class="margin-hint" data-testid="margin-empty">
            "Suggestions appear here, beside the text they are about. Press "
            <kbd>{browser::shortcut("J")}</kbd>
            " to ask for one."
        </p>
    }
}
