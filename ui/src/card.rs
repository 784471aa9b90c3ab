//! One card of the margin: what was asked, what is proposed, and what can be done with it.

use leptos::ev;
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;

use crate::browser;
use crate::editor::{self, Ask};
use crate::events::{Card, CardState, ProposalKind};
use crate::icon::{Icon, icon};
use crate::margin::Heights;
use crate::state::Session;
use crate::words;

/// One card.
#[component]
pub(crate) fn CardView(
    /// Its id.
    id: String,
    /// Where it stands.
    style: Signal<String>,
) -> impl IntoView {
    let session = expect_context::<Session>();
    let element = NodeRef::<html::Article>::new();
    report_height(id.clone(), element);
    let key = id.clone();
    let card = Memo::new(move |_| {
        session
            .cards
            .with(|cards| cards.iter().find(|card| card.id == key).cloned())
            .unwrap_or_default()
    });
    let focused_id = id.clone();
    let has_focus = Signal::derive(move || {
        session
            .focused
            .with(|focused| focused.as_ref() == Some(&focused_id))
    });
    let on_key = {
        let id = id.clone();
        move |event: ev::KeyboardEvent| {
            let card = card.get_untracked();
            if event.key() == "Enter"
                && browser::commands(&event)
                && card.state == CardState::Pending
                && session.may_decide()
            {
                event.prevent_default();
                accept(session, &card);
            } else if event.key() == "Backspace"
                && browser::commands(&event)
                && card.state == CardState::Pending
                && session.may_decide()
            {
                event.prevent_default();
                focus_next(&id);
                session.decide(card.id, "reject", false);
            }
        }
    };
    let focus_in = move |_| session.focused.set(Some(id.clone()));
    let label = move || {
        card.with(|card| {
            format!(
                "{}: {}",
                words::request(&card.request_kind),
                words::card_state(card)
            )
        })
    };
    view! {
        <article
            node_ref=element
            class="card"
            tabindex="0"
            aria-label=label
            data-testid="card"
            data-id=move || card.with(|card| card.id.clone())
            data-state=move || card.with(|card| card.state.name())
            data-stale=move || card.with(|card| card.stale && card.state == CardState::Pending).then_some("")
            data-detached=move || card.with(|card| card.detached).then_some("")
            data-focused=move || has_focus.get().then_some("")
            style=move || style.get()
            on:keydown=on_key
            on:focusin=focus_in
            on:focusout=move |_| session.focused.set(None)
        >
            <Head card />
            <Show when=move || card.with(|card| card.state != CardState::Accepted)><Body card /></Show>
            <Actions card />
            // Below the buttons, so that they do not move away from under the pointer that presses one.
            <Show when=move || has_focus.get() && card.with(|card| card.state == CardState::Pending) && session.may_decide()>
                <p class="card-keys" aria-hidden="true">
                    <kbd>{browser::shortcut("↵")}</kbd> " accepts, " <kbd>{browser::shortcut("⌫")}</kbd> " rejects"
                </p>
            </Show>
        </article>
    }
}

/// Tells the margin how high the card is, whenever that changes.
fn report_height(id: String, element: NodeRef<html::Article>) {
    let heights = expect_context::<Heights>().0;
    let watched = StoredValue::new_local(None);
    let key = id.clone();
    element.on_load(move |card| {
        let measured = card.clone();
        let note = Closure::<dyn Fn()>::new(move || {
            let height = f64::from(measured.offset_height());
            if heights.with_untracked(|heights| heights.get(&key) != Some(&height)) {
                heights.update(|heights| _ = heights.insert(key.clone(), height));
            }
        });
        if let Ok(observer) = web_sys::ResizeObserver::new(note.as_ref().unchecked_ref()) {
            observer.observe(&card);
            watched.set_value(Some((observer, note)));
        }
    });
    on_cleanup(move || {
        watched.update_value(|watched| {
            if let Some((observer, _note)) = watched.take() {
                observer.disconnect();
            }
        });
        heights.try_update(|heights| heights.remove(&id));
    });
}

/// What was asked, of whom, and where it stands.
#[component]
fn Head(card: Memo<Card>) -> impl IntoView {
    let title = move || {
        card.with(|card| {
            let own_words = card.request_kind == "ask" && !card.instruction.is_empty();
            if own_words {
                words::shortened(&card.instruction, 80)
            } else {
                words::request(&card.request_kind).to_owned()
            }
        })
    };
    let by = move || {
        card.with(|card| {
            let author = card.author.as_ref().map(words::writer);
            let asked = (!card.mine && !card.requester.name.is_empty())
                .then(|| format!("for {}", card.requester.name));
            let speed = card.stats.and_then(|stats| stats.tokens_per_second);
            let speed = speed.filter(|speed| *speed > 0.0).map(words::speed);
            [author, asked, speed]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" · ")
        })
    };
    let figures = move || card.with(|card| card.stats.as_ref().map(words::figures).unwrap_or_default());
    let decided = move || {
        card.with(|card| {
            let by = card
                .decided_by
                .as_ref()
                .filter(|_| card.state == CardState::Accepted)?;
            Some(format!("by {}", by.name))
        })
    };
    view! {
        <header class="card-head">
            <span class="card-icon">{move || icon(card.with(|card| match card.state {
                CardState::Accepted => Icon::Check,
                CardState::Failed => Icon::Problem,
                _ => Icon::Spark,
            }))}</span>
            <h3>{title}</h3>
            <span class="card-state">{move || card.with(words::card_state)}</span>
            <p class="card-by" title=move || figures().join(", ")>{move || decided().unwrap_or_else(by)}</p>
        </header>
    }
}

/// The text it is about, and the text that is proposed.
#[component]
fn Body(card: Memo<Card>) -> impl IntoView {
    let quote = Memo::new(move |_| card.with(|card| words::shortened(&card.quote, 140)));
    let instruction = Memo::new(move |_| {
        card.with(|card| {
            (card.request_kind != "ask" && !card.instruction.is_empty())
                .then(|| words::shortened(&card.instruction, 160))
        })
    });
    let removes = move || card.with(|card| card.kind == Some(ProposalKind::Delete));
    let payload = Memo::new(move |_| card.with(|card| card.payload_html.clone()));
    let trouble = Memo::new(move |_| {
        card.with(|card| {
            let words = card.error.clone().filter(|words| !words.is_empty());
            (card.state == CardState::Failed)
                .then(|| words.unwrap_or_else(|| "The AI could not answer.".to_owned()))
        })
    });
    let remark = Memo::new(move |_| {
        card.with(|card| match card.state {
        CardState::Pending if card.detached => Some("The text this was about is gone, so it cannot be put in by itself. You can still copy it from here."),
        CardState::Pending if card.stale => Some("The text under it has changed since it was asked for. Look at both before you accept."),
        CardState::Queued => Some("The AI has not begun yet."),
        _ => None,
    })
    });
    let rationale =
        Memo::new(move |_| card.with(|card| card.rationale.clone().filter(|words| !words.is_empty())));
    view! {
        {move || instruction.get().map(|words| view! { <p class="card-instruction">{words}</p> })}
        <Show when=move || quote.with(|quote| !quote.is_empty())>
            <blockquote class="card-quote" class:removed=removes>{move || quote.get()}</blockquote>
        </Show>
        <Show when=move || payload.with(|payload| !payload.is_empty())>
            // Made safe by the surface: see payloadHtml in ui/editor/seam.ts.
            <div class="card-payload" data-testid="payload" tabindex="-1" inner_html=move || payload.get()></div>
        </Show>
        <Show when=move || card.with(|card| matches!(card.state, CardState::Queued | CardState::Streaming))>
            <div class="progress" role="presentation"></div>
        </Show>
        {move || trouble.get().map(|words| view! { <p class="trouble">{words}</p> })}
        {move || remark.get().map(|words| view! { <p class="card-remark">{words}</p> })}
        {move || rationale.get().map(|words| view! { <p class="card-remark">{words}</p> })}
    }
}

/// What can be done now. Drawn again only when that changes, so that a button keeps the focus while text streams in.
#[component]
fn Actions(card: Memo<Card>) -> impl IntoView {
    let session = expect_context::<Session>();
    let situation = Memo::new(move |_| {
        (
            card.with(|card| (card.state, card.stale, card.detached)),
            session.may_decide(),
            session.may_ask(),
        )
    });
    let busy = Signal::derive(move || {
        card.with(|card| session.deciding.with(|deciding| deciding.contains(&card.id)))
    });
    view! {
        <div class="card-actions" aria-busy=move || busy.get().to_string()>
            {move || {
                let ((state, stale, detached), may_decide, may_ask) = situation.get();
                match state {
                    CardState::Queued | CardState::Streaming => view! { <Cancel card may_ask /> }.into_any(),
                    CardState::Pending => view! {
                        <Decide card stale detached may_decide busy />
                        {(may_ask && !detached).then(|| view! { <AskAgain card /> })}
                    }.into_any(),
                    CardState::Accepted => view! { <Undo card may_decide busy /> }.into_any(),
                    CardState::Failed => view! { <Again card may_ask /> }.into_any(),
                    CardState::Rejected | CardState::Cancelled => ().into_any(),
                }
            }}
            <span class="spring"></span>
            <Show when=move || card.with(|card| card.top.is_some() && !card.detached)>
                <button
                    type="button" class="quiet small" data-testid="reveal" aria-label="Show in the text" title="Show in the text"
                    on:click=move |_| card.with_untracked(|card| editor::reveal(&card.id))
                >
                    {icon(Icon::Locate)}
                </button>
            </Show>
        </div>
    }
}

/// Accepts, after a look at what has changed where something has.
fn accept(session: Session, card: &Card) {
    if card.stale {
        session.preview(card.id.clone());
    } else {
        session.decide(card.id.clone(), "accept", false);
    }
}

/// The card after this one gets the focus, or the one before, or the text: a decided card may be about to vanish.
fn focus_next(id: &str) {
    let cards = document()
        .body()
        .map(|body| browser::focusable(&body, ".card"))
        .unwrap_or_default();
    let here = cards
        .iter()
        .position(|card| card.get_attribute("data-id").as_deref() == Some(id));
    let neighbour = here.and_then(|here| cards.get(here + 1).or_else(|| cards.get(here.checked_sub(1)?)));
    match neighbour {
        Some(card) => _ = card.focus(),
        None => editor::command("focus"),
    }
}

/// A shortcut as `aria-keyshortcuts` has it.
fn keys(key: &str) -> String {
    let command = if browser::has_command_key() {
        "Meta"
    } else {
        "Control"
    };
    format!("{command}+{key}")
}

/// Was a button pressed by the keyboard? Then the focus has to go somewhere sensible.
fn by_keyboard(event: &ev::MouseEvent) -> bool {
    event.detail() == 0
}

#[component]
fn Decide(
    card: Memo<Card>,
    stale: bool,
    detached: bool,
    may_decide: bool,
    /// A decision is on its way: no second one before it is there.
    busy: Signal<bool>,
) -> impl IntoView {
    let session = expect_context::<Session>();
    if !may_decide {
        return view! { <span class="card-remark">"Somebody who may edit decides."</span> }.into_any();
    }
    let on_accept = move |event: ev::MouseEvent| {
        let card = card.get_untracked();
        if by_keyboard(&event) && !card.stale {
            focus_next(&card.id);
        }
        accept(session, &card);
    };
    let on_reject = move |event: ev::MouseEvent| {
        let id = card.with_untracked(|card| card.id.clone());
        if by_keyboard(&event) {
            focus_next(&id);
        }
        session.decide(id, "reject", false);
    };
    let kind = card.with_untracked(|card| card.kind);
    let title = format!("{} ({})", words::accepting(kind), browser::shortcut("Enter"));
    view! {
        <Show when=move || !detached>
            <button type="button" class="button accept" data-testid="accept" aria-disabled=move || busy.get().to_string() aria-keyshortcuts=keys("Enter") title=title.clone() on:click=on_accept>
                {icon(Icon::Check)} {if stale { "Review…" } else { "Accept" }}
            </button>
        </Show>
        <button
            type="button" class="button" data-testid="reject" aria-disabled=move || busy.get().to_string() aria-keyshortcuts=keys("Backspace")
            title=format!("Put this away for everybody ({})", browser::shortcut("Backspace")) on:click=on_reject
        >"Reject"</button>
    }
    .into_any()
}

#[component]
fn Cancel(card: Memo<Card>, may_ask: bool) -> impl IntoView {
    let cancel = move |event: ev::MouseEvent| {
        let (id, request) = card.with_untracked(|card| (card.id.clone(), card.request.clone()));
        if by_keyboard(&event) {
            focus_next(&id);
        }
        editor::cancel(if request.is_empty() { &id } else { &request });
    };
    may_ask.then(|| {
        view! {
            <button type="button" class="button" data-testid="cancel" on:click=cancel>"Cancel"</button>
        }
    })
}

#[component]
fn Undo(card: Memo<Card>, may_decide: bool, busy: Signal<bool>) -> impl IntoView {
    let session = expect_context::<Session>();
    view! {
        {may_decide.then(|| view! {
            <button
                type="button" class="button" data-testid="undo-accept" aria-disabled=move || busy.get().to_string() title="Take it out of the text again"
                on:click=move |_| session.decide(card.with_untracked(|card| card.id.clone()), "undo", false)
            >{icon(Icon::Undo)} "Undo"</button>
        })}
        <PutAway card />
    }
}

#[component]
fn Again(card: Memo<Card>, may_ask: bool) -> impl IntoView {
    view! {
        {may_ask.then(|| view! { <AskAgain card /> })}
        <PutAway card />
    }
}

/// Asks once more for the same, at the same place. What was proposed before gives way to the new answer.
#[component]
fn AskAgain(card: Memo<Card>) -> impl IntoView {
    let session = expect_context::<Session>();
    let again = move |event: ev::MouseEvent| {
        let card = card.get_untracked();
        let kind = if card.request_kind.is_empty() {
            "ask".to_owned()
        } else {
            card.request_kind.clone()
        };
        let asked = editor::ask(&Ask {
            kind,
            instruction: card.instruction,
            to: String::new(),
            again: Some(card.id.clone()),
        });
        if !asked {
            return; // the surface has said why
        }
        if by_keyboard(&event) {
            focus_next(&card.id);
        }
        if card.state == CardState::Pending && session.may_decide() {
            session.decide(card.id, "reject", false);
        } else {
            session.away.update(|away| _ = away.insert(card.id));
        }
    };
    let pending = card.with_untracked(|card| card.state == CardState::Pending);
    let class = if pending { "quiet small" } else { "button" };
    view! {
        <button type="button" class=class data-testid="ask-again" aria-label="Ask again" title="Ask again: another answer takes this one's place" on:click=again>
            {icon(Icon::Reload)} {(!pending).then_some("Ask again")}
        </button>
    }
}

/// Takes the card out of this window's margin; it stays in the document's.
#[component]
fn PutAway(card: Memo<Card>) -> impl IntoView {
    let session = expect_context::<Session>();
    let put_away = move |_| {
        session
            .away
            .update(|away| _ = away.insert(card.with_untracked(|card| card.id.clone())));
    };
    view! { <button type="button" class="text-button" data-testid="put-away" on:click=put_away>"Hide"</button> }
}
