//! One model of the list, and one thing that is under way.

use leptos::prelude::*;

use crate::icon::{Icon, icon};
use crate::menu::{MenuItem, Opens, Popup};
use crate::models::{Installed, Job, Stand, size};
use crate::models_page::Models;
use crate::words;

/// What is known of a model, and what can be done with it.
#[component]
pub(crate) fn ModelRow(model: Installed) -> impl IntoView {
    let models = expect_context::<Models>();
    let id = StoredValue::new(model.id.clone());
    let whole = StoredValue::new(model.clone());
    let Installed {
        name,
        licence,
        bytes,
        quantisation,
        context_length,
        source,
        measured,
        running,
        ..
    } = model;
    // What is free changes all the time; the rest of the row stays as it is then, and whoever is in its menu too.
    let memory = Memo::new(move |_| {
        let find = |model: &&Installed| id.with_value(|id| model.id == *id);
        let found = models
            .library
            .with(|library| Some(library.as_ref()?.models.iter().find(find)?.memory));
        found.unwrap_or_default()
    });
    let fits = move || match memory.get().fits {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    };
    let context = context_length.map(|tokens| format!("{tokens:.0} tokens"));
    let speed = measured.as_ref().map(|measured| {
        format!(
            "{} written, {:.0} read",
            words::speed(measured.decode_tokens_per_second),
            measured.prefill_tokens_per_second
        )
    });
    let device = measured.map(|measured| measured.device);
    let is_named_otherwise = id.with_value(|id| *id != name);
    let is_verifying = move || {
        models
            .verifying
            .with(|verifying| verifying.as_deref() == Some(id.get_value().as_str()))
    };
    let measure = Callback::new(move |()| id.with_value(|id| models.measure(id)));
    let verify = Callback::new(move |()| models.verify(id.get_value()));
    let remove = Callback::new(move |()| models.ask_to_remove(whole.get_value()));
    view! {
        <li class="model" data-testid="model" data-id=id.get_value() aria-busy=move || is_verifying().to_string()>
            <div class="model-head">
                {icon(Icon::Spark)}
                <h2>{name.clone()}</h2>
                {is_named_otherwise.then(|| view! { <code class="model-id">{id.get_value()}</code> })}
                {running.then(|| view! { <span class="badge model-running">"Running"</span> })}
                <span class="spring"></span>
                <Popup name="model-menu" label=format!("What to do with {name}") class="quiet" opens=Opens::Menu at_end=true face=|| icon(Icon::More)>
                    <MenuItem name="model-verify" run=verify>{icon(Icon::Check)} "Verify the files"</MenuItem>
                    <MenuItem name="model-measure" run=measure>{icon(Icon::Chip)} "Measure the speed"</MenuItem>
                    <MenuItem name="model-remove" danger=true disabled=running run=remove>{icon(Icon::Trash)} {if running { "Remove (it is running)" } else { "Remove…" }}</MenuItem>
                </Popup>
            </div>
            <p class="model-memory" data-fits=fits data-testid="model-memory">
                {move || icon(if fits() == "no" { Icon::Problem } else { Icon::Chip })} <span>{move || memory.get().words()}</span>
            </p>
            <dl class="model-facts">
                <Fact term="Licence" value=licence.unwrap_or_else(|| "not stated".into()) />
                <Fact term="Size" value=size(bytes) />
                <Fact term="Context" value=context.unwrap_or_else(|| "not stated".into()) />
                <Fact term="Weights" value=quantisation />
                <Fact term="Speed here" value=speed.unwrap_or_else(|| "not measured".into()) more=device.unwrap_or_default() />
                <Fact term="From" value=source.unwrap_or_else(|| "not recorded".into()) />
            </dl>
        </li>
    }
}

#[component]
fn Fact(
    term: &'static str,
    value: String,
    /// For whoever points at it.
    #[prop(optional)]
    more: String,
) -> impl IntoView {
    view! { <div title=more><dt>{term}</dt><dd>{value}</dd></div> }
}

/// Something that is under way or over. It stands for its id: what it is at is looked up, so that the focus stays.
#[component]
pub(crate) fn JobRow(id: String) -> impl IntoView {
    let models = expect_context::<Models>();
    let id = StoredValue::new(id);
    let job = Memo::new(move |_| {
        let find = |job: &Job| id.with_value(|id| job.id == *id);
        let found = models
            .library
            .with(|library| library.as_ref()?.jobs.iter().find(|job| find(job)).cloned());
        found.unwrap_or_default()
    });
    let running = Memo::new(move |_| job.with(|job| job.state == Stand::Running));
    let state = move || match job.with(|job| job.state) {
        Stand::Running => "running",
        Stand::Done => "done",
        Stand::Failed => "failed",
        Stand::Stopped => "stopped",
    };
    let label = move || if running.get() { "Stop" } else { "Put away" };
    view! {
        <li class="model-job" data-testid="model-job" data-state=state>
            <div class="model-job-words">
                <strong>{move || job.with(Job::title)}</strong>
                <span>{move || job.with(Job::words)}</span>
                <Show when=move || running.get()>
                    <progress max="1" aria-label=move || job.with(Job::title) value=move || job.with(Job::part).map(|part| part.to_string())></progress>
                </Show>
            </div>
            <button
                type="button" class=move || if running.get() { "button" } else { "quiet small" } data-testid="model-job-end"
                aria-label=move || format!("{}: {}", label(), job.with(Job::title)) title=label
                on:click=move |_| id.with_value(|id| models.end(id))
            >
                {move || if running.get() { "Stop".into_any() } else { icon(Icon::Close).into_any() }}
            </button>
        </li>
    }
}
