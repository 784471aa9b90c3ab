//! Settings, Models: the LoRA adapters on the relay's machine; adding and removing them.

use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::{Value, json};

use crate::adapters::Adapter;
use crate::dialog::{Dialog, Ends};
use crate::editor;
use crate::events::Level;
use crate::icon::{Icon, icon};
use crate::models::size;
use crate::models_page::Models;
use crate::route;
use crate::state::Shell;

/// What there is, and the form that adds one.
#[component]
pub(crate) fn Adapters() -> impl IntoView {
    let models = expect_context::<Models>();
    let adapters = Memo::new(move |_| {
        let found = models
            .library
            .with(|library| Some(library.as_ref()?.adapters.clone()));
        found.unwrap_or_default()
    });
    let removing = RwSignal::new(None::<Adapter>);
    view! {
        <section class="adapters" aria-labelledby="adapters-heading">
            <h2 id="adapters-heading">"Adapters"</h2>
            <p class="models-note">"LoRA adapters teach a model a subject or a style. A document names the one that is worn in it: More, How the model here writes."</p>
            {move || adapters.with(Vec::is_empty).then(|| view! { <p class="models-note" data-testid="adapters-empty">"None yet."</p> })}
            <ul class="models" data-testid="adapters">
                {move || adapters.get().into_iter().map(|adapter| view! { <Row adapter removing /> }).collect_view()}
            </ul>
            <Add />
        </section>
        <Remove removing />
    }
}

#[component]
fn Row(adapter: Adapter, removing: RwSignal<Option<Adapter>>) -> impl IntoView {
    let whole = StoredValue::new(adapter.clone());
    let fits = if adapter.fits {
        "fits the model that runs".to_owned()
    } else {
        format!("only for {}, which does not run now", adapter.base)
    };
    let facts = format!(
        "For {}; rank {}, changes {} matrices; {}; from {}",
        adapter.base,
        adapter.rank,
        adapter.changed,
        size(adapter.bytes),
        adapter.source
    );
    view! {
        <li class="model adapter" data-testid="adapter" data-id=adapter.id.clone()>
            <div class="model-head">
                {icon(Icon::Pencil)}
                <h3>{adapter.id.clone()}</h3>
                <span class="badge" class:model-running=adapter.fits>{fits}</span>
                <span class="spring"></span>
                <button
                    type="button" class="quiet" data-testid="adapter-remove" title="Remove…" aria-label=format!("Remove {}…", adapter.id)
                    on:click=move |_| removing.set(Some(whole.get_value()))
                >{icon(Icon::Trash)}</button>
            </div>
            <p class="models-note">{facts}</p>
        </li>
    }
}

/// The form.
#[component]
fn Add() -> impl IntoView {
    let models = expect_context::<Models>();
    let shell = expect_context::<Shell>();
    let (from, name, base) = (
        RwSignal::new(String::new()),
        RwSignal::new(String::new()),
        RwSignal::new(String::new()),
    );
    let busy = RwSignal::new(false);
    let trouble = RwSignal::new(None::<String>);
    let place = if shell.desktop {
        "on this computer"
    } else {
        "on the server's machine"
    };
    let bases = Memo::new(move |_| {
        let ids = models.library.with(|library| {
            let models = &library.as_ref()?.models;
            Some(models.iter().map(|model| model.id.clone()).collect::<Vec<_>>())
        });
        ids.unwrap_or_default()
    });
    let add = move |event: ev::SubmitEvent| {
        event.prevent_default();
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        trouble.set(None);
        let said = [from, name, base].map(|text| text.get_untracked().trim().to_owned());
        let [from_text, name_text, base_text] = said.map(|text| (!text.is_empty()).then_some(text));
        let body = json!({"from": from_text.unwrap_or_default(), "name": name_text, "model": base_text});
        spawn_local(async move {
            match editor::post::<Value>("/adapters", body).await {
                Ok(_) => {
                    from.try_set(String::new());
                    name.try_set(String::new());
                }
                Err(error) => _ = trouble.try_set(Some(error.message)),
            }
            busy.try_set(false);
            models.load();
        });
    };
    view! {
        <form class="add-model" on:submit=add>
            <label class="field">
                <span>{format!("A PEFT folder or a GGUF adapter {place}")}</span>
                <input
                    type="text" required autocomplete="off" spellcheck="false" placeholder="/home/me/my-adapter" data-testid="adapter-from"
                    aria-invalid=move || trouble.with(Option::is_some).to_string() bind:value=from
                />
            </label>
            {move || trouble.get().map(|words| view! { <p class="trouble" role="alert" data-testid="adapter-trouble">{words}</p> })}
            <div class="add-model-details">
                <label class="field">
                    <span>"Name in the list"</span>
                    <input type="text" autocomplete="off" spellcheck="false" maxlength="96" placeholder="made from what is added" data-testid="adapter-name" bind:value=name />
                </label>
                <label class="field">
                    <span>"The model that it was trained on"</span>
                    <select data-testid="adapter-base" on:change=move |event| base.set(event_target_value(&event))>
                        <option value="">"The one that runs"</option>
                        {move || bases.get().into_iter().map(|id| view! { <option value=id.clone()>{id.clone()}</option> }).collect_view()}
                    </select>
                </label>
            </div>
            <button type="submit" class="button" data-testid="adapter-add" aria-busy=move || busy.get().to_string()>{icon(Icon::Plus)} "Add"</button>
        </form>
    }
}

#[component]
fn Remove(removing: RwSignal<Option<Adapter>>) -> impl IntoView {
    let models = expect_context::<Models>();
    let shell = expect_context::<Shell>();
    let open = RwSignal::new(false);
    Effect::new(move || {
        if removing.with(Option::is_some) {
            open.set(true);
        }
    });
    Effect::new(move || {
        if !open.get() {
            removing.set(None);
        }
    });
    let adapter = move || removing.get().unwrap_or_default();
    let remove = move |event: ev::SubmitEvent| {
        event.prevent_default();
        let id = adapter().id;
        open.set(false);
        spawn_local(async move {
            match editor::delete_at(&format!("/adapters/{}", route::encode(&id))).await {
                Ok(()) => shell.notices.tell(Level::Info, format!("{id} is removed.")),
                Err(error) => shell.notices.fail(error.message),
            }
            models.load();
        });
    };
    view! {
        <Dialog open title="Remove this adapter?" name="remove-adapter">
            <form on:submit=remove>
                <p>{move || { let adapter = adapter(); format!("The copy of “{}” is deleted from this machine's disk. {}", adapter.id, adapter.use_words()) }}</p>
                <Ends open words="Remove" name="remove-adapter-confirm" danger=true />
            </form>
        </Dialog>
    }
}
