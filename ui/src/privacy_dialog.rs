//! The document's setting of what may leave this machine: with a look at what would be masked, and at what has left.

use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::json;

use crate::browser;
use crate::dialog::{Dialog, Ends};
use crate::editor;
use crate::events::Level;
use crate::people::once_each;
use crate::privacy::{Departure, MaskPreview, Privacy};
use crate::route;
use crate::server::Moment;
use crate::state::{Session, Shell};

/// What may be chosen: word, name, explanation.
const CHOICES: [(&str, &str, &str); 3] = [
    ("nothing", "Nothing", "Only models on this machine are asked."),
    (
        "masked",
        "Text with personal data masked",
        "Placeholders stand for it on the way; the answer has the real words again.",
    ),
    ("asIs", "The text as it is", "Nothing is masked."),
];

/// The most departures that are listed.
const LISTED: usize = 50;

/// The dialog.
#[component]
pub(crate) fn PrivacyDialog() -> impl IntoView {
    let session = expect_context::<Session>();
    view! {
        <Dialog open=session.leaving title="What may leave this machine" name="privacy" class="wide">
            <Settings />
        </Dialog>
    }
}

/// The names that this window knows, for the preview.
pub(crate) fn known_names(session: Session) -> Vec<String> {
    let people = session.people.with_untracked(|people| once_each(people));
    let humans = people
        .into_iter()
        .filter(|person| person.kind == crate::events::PeerKind::Human);
    humans.map(|person| person.name).collect()
}

#[component]
fn Settings() -> impl IntoView {
    let session = expect_context::<Session>();
    let shell = expect_context::<Shell>();
    let path = StoredValue::new(format!("/documents/{}", route::encode(&session.doc.get_value())));
    let known = RwSignal::new(None::<Privacy>);
    let leave = RwSignal::new(String::new());
    let engines = RwSignal::new(Vec::<String>::new());
    let preview = RwSignal::new(None::<MaskPreview>);
    let departures = RwSignal::new(None::<Vec<Departure>>);
    let take = move |privacy: Privacy| {
        leave.try_set(privacy.leave.clone());
        engines.try_set(privacy.engines.clone());
        known.try_set(Some(privacy));
    };
    spawn_local(async move {
        match editor::get::<Privacy>(&format!("{}/privacy", path.get_value())).await {
            Ok(privacy) => take(privacy),
            Err(error) => shell.notices.fail(error.message),
        }
        // For owners only: others see no list.
        if let Ok(list) = editor::get::<Vec<Departure>>(&format!("{}/departures", path.get_value())).await {
            departures.try_set(Some(list));
        }
    });
    let names = known_names(session);
    Effect::new(move || {
        if leave.get() == "masked" && preview.get_untracked().is_none() {
            let body = json!({"names": names.clone()});
            spawn_local(async move {
                let path = format!("{}/privacy/preview", path.get_value());
                if let Ok(found) = editor::post::<MaskPreview>(&path, body).await {
                    preview.try_set(Some(found));
                }
            });
        }
    });
    let save = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let body = json!({"leave": leave.get_untracked(), "engines": engines.get_untracked()});
        spawn_local(async move {
            match editor::put::<Privacy>(&format!("{}/privacy", path.get_value()), body).await {
                Ok(privacy) => {
                    take(privacy);
                    session.leaving.set(false);
                    shell
                        .notices
                        .tell(Level::Info, "What may leave this machine is set.");
                }
                Err(error) => shell.notices.fail(error.message),
            }
        });
    };
    move || {
        known.get().map(|privacy| {
            let fixed = !privacy.may_set;
            let elsewhere: Vec<_> = privacy.available.iter().filter(|engine| engine.is_elsewhere()).cloned().collect();
            let none = elsewhere.is_empty();
            view! {
                <form class="privacy" on:submit=save>
                    <p>"Models in Inkling itself read the text where it is. Engines elsewhere see of it what is allowed here, and only when somebody asks them."</p>
                    <fieldset disabled=fixed>
                        <legend>"What may be sent to them"</legend>
                        {CHOICES.map(|(word, name, about)| view! {
                            <label class="choice">
                                <input type="radio" name="leave" value=word data-testid=format!("leave-{word}")
                                    prop:checked=move || leave.get() == word on:change=move |_| leave.set(word.to_owned()) />
                                <span><strong>{name}</strong><span class="choice-about">{about}</span></span>
                            </label>
                        }).collect_view()}
                    </fieldset>
                    <fieldset disabled=fixed hidden=move || leave.get() == "nothing">
                        <legend>"To which engines"</legend>
                        {none.then(|| view! { <p>"None is set up. Whoever runs this program can name some in engines.json."</p> })}
                        {elsewhere.into_iter().map(|engine| {
                            let (name, own) = (engine.name.clone(), engine.name.clone());
                            let toggle = move |event| {
                                let on = event_target_checked(&event);
                                engines.update(|engines| {
                                    engines.retain(|known| *known != own);
                                    if on {
                                        engines.push(own.clone());
                                    }
                                });
                            };
                            view! {
                                <label class="choice">
                                    <input type="checkbox" data-testid="leave-engine" prop:checked=move || engines.with(|engines| engines.contains(&name)) on:change=toggle />
                                    <span><strong>{engine.name}</strong><span class="choice-about">{engine.problem.unwrap_or(engine.place_words)}</span></span>
                                </label>
                            }
                        }).collect_view()}
                    </fieldset>
                    <Show when=move || leave.get() == "masked">
                        <MaskList preview />
                    </Show>
                    {if fixed {
                        view! { <p class="choice-about">"Only the document’s owner can change this."</p> }.into_any()
                    } else {
                        view! { <Ends open=session.leaving words="Set" name="privacy-save" /> }.into_any()
                    }}
                    {move || departures.get().map(|list| view! { <Left list /> })}
                </form>
            }
        })
    }
}

/// What would leave instead of what is personal.
#[component]
pub(crate) fn MaskList(preview: RwSignal<Option<MaskPreview>>) -> impl IntoView {
    view! {
        <section class="mask-preview" aria-live="polite" data-testid="mask-preview">
            {move || preview.get().map(|preview| {
                let spans = preview.once_each();
                if spans.is_empty() {
                    return view! { <p>"Nothing personal was found by the rules. Names that nobody here has are not found: look yourself."</p> }.into_any();
                }
                view! {
                    <p>"This would leave, masked so. Names that nobody here has are not found: look yourself."</p>
                    <ul>
                        {spans.into_iter().map(|span| view! {
                            <li><span class="mask-was">{span.text}</span> <span class="mask-kind">{span.words}</span> <code>{span.placeholder}</code></li>
                        }).collect_view()}
                    </ul>
                }.into_any()
            })}
        </section>
    }
}

#[component]
fn Left(list: Vec<Departure>) -> impl IntoView {
    let session = expect_context::<Session>();
    let name_of = move |id: &str| {
        session.people.with_untracked(|people| {
            let known = people.iter().find(|person| person.id == id);
            known.map_or_else(
                || "somebody who is not here now".to_owned(),
                |person| person.name.clone(),
            )
        })
    };
    let more = list.len().saturating_sub(LISTED);
    let empty = list.is_empty();
    view! {
        <details class="departures" data-testid="departures">
            <summary>{format!("What has left ({})", list.len())}</summary>
            {empty.then(|| view! { <p>"Nothing yet."</p> })}
            <ul>
                {list.into_iter().take(LISTED).map(|departure| {
                    let words = departure.words(&name_of(&departure.by));
                    view! { <li><time>{browser::moment_words(&Moment::Millis(departure.at))}</time> " " {words}</li> }
                }).collect_view()}
            </ul>
            {(more > 0).then(|| view! { <p>{format!("and {more} before")}</p> })}
        </details>
    }
}
