//! The form that adds a model: of a hub, from a folder, or a GGUF file.

use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::{Map, Value};

use crate::editor;
use crate::icon::{Icon, icon};
use crate::models_page::Models;
use crate::state::Shell;

/// What can be said besides where it comes from: label, field of the call, what stands in the empty field.
const DETAILS: [(&str, &str, &str); 6] = [
    ("Name in the list", "name", "made from what is added"),
    (
        "Variant",
        "variant",
        "q8, q4… of a hub; fp32, q8 or exact for GGUF",
    ),
    ("Branch, tag or commit", "revision", "main"),
    ("GGUF file of the hub", "file", "the preferred one"),
    ("Address of the hub", "hub", "https://huggingface.co"),
    (
        "Token for the hub (not kept)",
        "token",
        "for models that ask for an agreement",
    ),
];

/// The form.
#[component]
pub(crate) fn AddModel() -> impl IntoView {
    let shell = expect_context::<Shell>();
    let models = expect_context::<Models>();
    let from = RwSignal::new(String::new());
    let details = DETAILS.map(|(label, field, hint)| (label, field, hint, RwSignal::new(String::new())));
    let busy = RwSignal::new(false);
    let trouble = RwSignal::new(None::<String>);
    let place = if shell.desktop {
        "on this computer"
    } else {
        "on the server's machine"
    };
    let add = move |event: ev::SubmitEvent| {
        event.prevent_default();
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        trouble.set(None);
        let said = details
            .iter()
            .map(|(_, field, _, text)| (*field, text.get_untracked()));
        let body: Map<String, Value> = said
            .chain([("from", from.get_untracked())])
            .filter(|(_, text)| !text.trim().is_empty())
            .map(|(field, text)| (field.to_owned(), Value::String(text.trim().to_owned())))
            .collect();
        spawn_local(async move {
            match editor::post::<Value>("/models", Value::Object(body)).await {
                Ok(_) => _ = from.try_set(String::new()),
                Err(error) => _ = trouble.try_set(Some(error.message)),
            }
            busy.try_set(false);
            models.load();
        });
    };
    view! {
        <section class="add-model">
            <h2>"Add a model"</h2>
            <form on:submit=add>
                <label class="field">
                    <span>{format!("A hub's model as owner/name, a folder, or a GGUF file {place}")}</span>
                    <input
                        type="text" required autocomplete="off" spellcheck="false" placeholder="HuggingFaceTB/SmolLM2-360M-Instruct"
                        data-testid="model-from" aria-invalid=move || trouble.with(Option::is_some).to_string() bind:value=from
                    />
                </label>
                {move || trouble.get().map(|words| view! { <p class="trouble" role="alert" data-testid="model-trouble">{words}</p> })}
                <details class="add-model-more">
                    <summary data-testid="model-more">"More"</summary>
                    <div class="add-model-details">
                        {details.map(|(label, field, hint, text)| view! {
                            <label class="field">
                                <span>{label}</span>
                                <input type=if field == "token" { "password" } else { "text" } autocomplete="off" spellcheck="false" placeholder=hint data-testid=format!("model-{field}") bind:value=text />
                            </label>
                        }).collect_view()}
                    </div>
                </details>
                <button type="submit" class="button primary" data-testid="model-add" aria-busy=move || busy.get().to_string()>{icon(Icon::Plus)} "Add"</button>
            </form>
            <p class="models-note">"Hugging Face's ONNX layout and GGUF are understood. A GGUF file is converted here; what is lost in that is said. A download that breaks off goes on where it was."</p>
        </section>
    }
}
