//! The document's setting of which adapters the model here wears: one for everything, others for single commands.

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::adapters::{AS_USUAL, BARE, COMMANDS, Worn};
use crate::dialog::{Dialog, Ends};
use crate::editor;
use crate::events::Level;
use crate::route;
use crate::state::{Session, Shell};
use crate::words;

/// The dialog.
#[component]
pub(crate) fn AdaptersDialog() -> impl IntoView {
    let session = expect_context::<Session>();
    view! {
        <Dialog open=session.dressing title="How the model here writes" name="adapters" class="wide">
            <Settings />
        </Dialog>
    }
}

#[component]
fn Settings() -> impl IntoView {
    let session = expect_context::<Session>();
    let shell = expect_context::<Shell>();
    let path = StoredValue::new(format!(
        "/documents/{}/adapters",
        route::encode(&session.doc.get_value())
    ));
    let known = RwSignal::new(None::<Worn>);
    let usual = RwSignal::new(BARE.to_owned());
    let commands = COMMANDS.map(|command| (command, RwSignal::new(AS_USUAL.to_owned())));
    spawn_local(async move {
        match editor::get::<Worn>(&path.get_value()).await {
            Ok(worn) => {
                usual.try_set(worn.usual_option());
                for (command, chosen) in commands {
                    chosen.try_set(worn.command_option(command));
                }
                known.try_set(Some(worn));
            }
            Err(error) => shell.notices.fail(error.message),
        }
    });
    let save = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let chosen = commands.map(|(command, chosen)| (command, chosen.get_untracked()));
        let body = Worn::told(&usual.get_untracked(), chosen.into_iter());
        spawn_local(async move {
            match editor::put::<Worn>(&path.get_value(), body).await {
                Ok(_) => {
                    session.dressing.set(false);
                    shell
                        .notices
                        .tell(Level::Info, "How the model here writes is set.");
                }
                Err(error) => shell.notices.fail(error.message),
            }
        });
    };
    move || {
        known.get().map(|worn| {
            let fixed = !worn.may_set;
            let options = worn.options();
            let has_own = !worn.commands.is_empty();
            view! {
                <form class="privacy" on:submit=save>
                    <p>"An adapter teaches the model in Inkling itself a subject or a style. Engines elsewhere wear none, and their cards say so."</p>
                    {worn.remark().map(|words| view! { <p class="choice-about" role="status" data-testid="adapters-remark">{words}</p> })}
                    <fieldset disabled=fixed>
                        <legend class="unseen">"Adapters"</legend>
                        <Pick label="Adapter" name="adapter-usual" chosen=usual options=options.clone() own=false />
                        <details class="add-model-more" open=has_own>
                            <summary data-testid="adapter-commands">"Another one for single commands"</summary>
                            <div class="add-model-details">
                                {commands.map(|(command, chosen)| view! {
                                    <Pick label=words::request(command) name=format!("adapter-{command}") chosen options=options.clone() own=true />
                                }).collect_view()}
                            </div>
                        </details>
                    </fieldset>
                    {if fixed {
                        view! { <p class="choice-about">"Only the document’s owner can change this."</p> }.into_any()
                    } else {
                        view! { <Ends open=session.dressing words="Set" name="adapters-save" /> }.into_any()
                    }}
                </form>
            }
        })
    }
}

/// One choice.
#[component]
fn Pick(
    label: &'static str,
    #[prop(into)] name: String,
    chosen: RwSignal<String>,
    options: Vec<(String, String)>,
    /// For one command: it may also be as for everything.
    own: bool,
) -> impl IntoView {
    // By its id: what is in the list is no part of its name.
    let named = format!("{name}-label");
    view! {
        <label class="field">
            <span id=named.clone()>{label}</span>
            <select data-testid=name aria-labelledby=named on:change=move |event| chosen.set(event_target_value(&event))>
                {own.then(|| view! { <option value=AS_USUAL selected=move || chosen.get() == AS_USUAL>"As for everything"</option> })}
                <option value=BARE selected=move || chosen.get() == BARE>"None: the model as it is"</option>
                {options.into_iter().map(|(value, words)| {
                    let own = value.clone();
                    view! { <option value=value selected=move || chosen.get() == own>{words}</option> }
                }).collect_view()}
            </select>
        </label>
    }
}
