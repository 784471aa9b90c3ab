//! Who is here: people as avatars, AI peers with their model's name; a panel tells more, and takes one's own name.

use leptos::ev;
use leptos::prelude::*;

use crate::events::{PeerKind, Person};
use crate::icon::{Icon, icon};
use crate::menu::{Opens, Popup};
use crate::names;
use crate::people::once_each;
use crate::state::{Session, Shell};
use crate::words;

/// How many avatars are shown before they are counted.
const SHOWN: usize = 4;

/// The people, their panel, and once the hint that one may choose a name.
#[component]
pub(crate) fn PeopleBar() -> impl IntoView {
    let session = expect_context::<Session>();
    let shell = expect_context::<Shell>();
    let open = RwSignal::new(false);
    let label = Signal::derive(move || {
        let (people, ais) = session.people.with(|people| {
            let people = once_each(people);
            let ais = people.iter().filter(|person| person.kind == PeerKind::Ai).count();
            (people.len() - ais, ais)
        });
        let count = |number: usize, one: &str, many: &str| {
            format!("{number} {}", if number == 1 { one } else { many })
        };
        format!(
            "Who is here: {}, {}",
            count(people, "person", "people"),
            count(ais, "AI", "AIs")
        )
    });
    view! {
        <div class="people-place">
            <Popup name="people" label class="people" opens=Opens::Panel at_end=true open face=move || view! { <Faces /> }>
                <PeoplePanel />
            </Popup>
            <Show when=move || shell.name_hint.get() && session.ready.get() && !open.get()>
                <div class="hint" role="note">
                    <span>"Others see you as " <strong>{move || shell.user.with(|user| user.name.clone())}</strong></span>
                    <button type="button" class="text-button" data-testid="choose-name" on:click=move |_| open.set(true)>"Change"</button>
                    <button type="button" class="quiet small" aria-label="Put this hint away" on:click=move |_| shell.put_hint_away()>{icon(Icon::Close)}</button>
                </div>
            </Show>
        </div>
    }
}

#[component]
fn Faces() -> impl IntoView {
    let session = expect_context::<Session>();
    let humans = move || {
        session.people.with(|people| {
            let mut humans = once_each(people);
            humans.retain(|person| person.kind == PeerKind::Human);
            humans
        })
    };
    view! {
        {move || session.ai_peers().into_iter().map(|ai| view! {
            <span class="ai-chip" data-working=words::activity(ai.ai.as_ref()).map(|_| "")>
                {icon(Icon::Spark)}
                <span class="ai-name">{words::shortened(words::ai_name(&ai), 24)}</span>
                {words::activity(ai.ai.as_ref()).map(|doing| view! { <span class="ai-doing wide-only">{doing}</span> })}
            </span>
        }).collect_view()}
        <span class="faces">
            {move || humans().into_iter().take(SHOWN).map(|person| view! { <Avatar person=person /> }).collect_view()}
            {move || humans().len().checked_sub(SHOWN).filter(|more| *more > 0).map(|more| view! {
                <span class="avatar more">{format!("+{more}")}</span>
            })}
        </span>
    }
}

#[component]
fn Avatar(person: Person) -> impl IntoView {
    if person.kind == PeerKind::Ai {
        return view! { <span class="avatar ai" aria-hidden="true">{icon(Icon::Spark)}</span> }.into_any();
    }
    let letters = names::letters_on(&person.color);
    let style = format!("background:{};color:{letters}", person.color);
    view! { <span class="avatar" style=style aria-hidden="true">{names::initials(&person.name)}</span> }
        .into_any()
}

#[component]
fn PeoplePanel() -> impl IntoView {
    let session = expect_context::<Session>();
    let shell = expect_context::<Shell>();
    let name = RwSignal::new(shell.user.get_untracked().name);
    let keep = move || shell.rename_user(&name.get_untracked());
    let on_key = move |event: ev::KeyboardEvent| {
        if event.key() == "Enter" && !event.is_composing() {
            event.prevent_default();
            keep();
        }
    };
    view! {
        <label class="field">
            <span>"Your name"</span>
            <input
                type="text" autocomplete="nickname" maxlength=names::NAME_LIMIT.to_string() data-testid="name-input"
                bind:value=name on:blur=move |_| keep() on:keydown=on_key
            />
        </label>
        <h2>"Here now"</h2>
        <ul class="person-list" data-testid="person-list">
            {move || session.people.with(|people| once_each(people)).into_iter().map(|person| view! { <PersonRow person=person /> }).collect_view()}
        </ul>
    }
}

#[component]
fn PersonRow(person: Person) -> impl IntoView {
    let facts = match person.kind {
        PeerKind::Human => vec![if person.is_self { "You" } else { "Person" }.to_owned()],
        PeerKind::Ai => {
            let doing = words::activity(person.ai.as_ref()).unwrap_or("ready").to_owned();
            let model = person
                .model
                .clone()
                .filter(|model| model != words::ai_name(&person));
            let known = [
                model,
                person.quantisation.clone(),
                person.device.clone(),
                person.licence.clone(),
            ];
            let known = known.into_iter().flatten().filter(|fact| !fact.is_empty());
            ["AI, may only suggest".to_owned()]
                .into_iter()
                .chain(known)
                .chain([doing])
                .collect()
        }
    };
    let kind = if person.kind == PeerKind::Ai {
        "ai"
    } else {
        "human"
    };
    let name = if person.kind == PeerKind::Ai {
        words::ai_name(&person).to_owned()
    } else {
        person.name.clone()
    };
    view! {
        <li class="person" data-kind=kind>
            <Avatar person=person />
            <span class="person-words">
                <span class="person-name">{name}</span>
                <span class="person-facts">{facts.join(" · ")}</span>
            </span>
        </li>
    }
}
