//! What runs where: the model, its licence, its speed, and why other devices were refused.

use leptos::prelude::*;

use crate::events::Person;
use crate::icon::{Icon, icon};
use crate::route::Route;
use crate::self_test::SelfTest;
use crate::server::{Device, Model};
use crate::state::{Session, Shell};
use crate::words;

/// The content of the status bar's panel.
#[component]
pub(crate) fn ModelReport() -> impl IntoView {
    let session = expect_context::<Session>();
    let shell = expect_context::<Shell>();
    let models = move || {
        shell
            .server
            .with(|status| status.as_ref().map(|status| status.models.clone()))
    };
    // Peers from elsewhere: the relay knows nothing of their models but what they say themselves.
    let guests = move || {
        let known = models().unwrap_or_default();
        let names: Vec<String> = known
            .into_iter()
            .flat_map(|model| [model.name, model.id])
            .collect();
        session
            .ai_peers()
            .into_iter()
            .filter(move |peer| !names.iter().any(|name| name == words::ai_name(peer)))
            .collect::<Vec<_>>()
    };
    view! {
        <div class="report" data-testid="model-report">
            <h2>"The AI in this document"</h2>
            {move || {
                let problem = shell.server.with(|status| status.as_ref().and_then(|status| status.model_problem.clone()));
                problem.map(|words| view! { <p class="trouble" data-testid="model-problem">{words}</p> })
            }}
            {move || match models() {
                None => view! { <p>"The server has not said which models it has."</p> }.into_any(),
                Some(models) if models.is_empty() && guests().is_empty() => view! {
                    <p>"No model is loaded. Writing together works all the same."</p>
                }.into_any(),
                Some(models) => models.into_iter().map(|model| view! { <ModelFacts model=model /> }).collect_view().into_any(),
            }}
            {move || guests().into_iter().map(|peer| view! { <GuestFacts peer=peer /> }).collect_view()}
            {move || shell.may_manage().then(|| view! {
                <a class="text-button report-manage" href=Route::Models.hash() data-testid="manage-models">"Add and remove models…"</a>
            })}
            <SelfTest />
            <p class="report-note">"It runs where it is said here, and its suggestions enter the text only when a person accepts them."</p>
        </div>
    }
}

#[component]
fn ModelFacts(model: Model) -> impl IntoView {
    let name = if model.name.is_empty() {
        model.id.clone()
    } else {
        model.name.clone()
    };
    let speed = model
        .tokens_per_second
        .filter(|speed| *speed > 0.0)
        .map(words::speed);
    let context = model
        .context_length
        .filter(|length| *length > 0.0)
        .map(|length| format!("{length} tokens"));
    view! {
        <section class="report-model">
            <h3>{icon(Icon::Spark)} {name}</h3>
            <dl>
                <Fact term="Runs on" value=Some(model.device) />
                <Fact term="Weights" value=Some(model.quantisation) />
                <Fact term="Licence" value=Some(model.licence) />
                <Fact term="Context" value=context />
                <Fact term="Speed" value=speed />
            </dl>
            {(!model.devices.is_empty()).then(|| view! { <Devices devices=model.devices.clone() /> })}
        </section>
    }
}

#[component]
fn Devices(devices: Vec<Device>) -> impl IntoView {
    view! {
        <h4>"Devices, in the order they were tried"</h4>
        <ul class="devices">
            {devices.into_iter().map(|device| view! {
                <li data-running=device.running.then_some("")>
                    {icon(if device.running { Icon::Check } else { Icon::Close })}
                    <span>
                        <strong>{device.provider}</strong>
                        {if device.running { " runs the model" } else { " was refused" }}
                        {device.reason.filter(|reason| !reason.is_empty()).map(|reason| view! { <span class="reason">{reason}</span> })}
                    </span>
                </li>
            }).collect_view()}
        </ul>
    }
}

#[component]
fn GuestFacts(peer: Person) -> impl IntoView {
    let speed = peer
        .ai
        .as_ref()
        .and_then(|ai| ai.tokens_per_second)
        .filter(|speed| *speed > 0.0)
        .map(words::speed);
    view! {
        <section class="report-model">
            <h3>{icon(Icon::Spark)} {words::ai_name(&peer).to_owned()}</h3>
            <dl>
                <Fact term="Runs on" value=peer.device.clone() />
                <Fact term="Weights" value=peer.quantisation.clone() />
                <Fact term="Licence" value=peer.licence.clone() />
                <Fact term="Speed" value=speed />
            </dl>
        </section>
    }
}

#[component]
fn Fact(term: &'static str, value: Option<String>) -> impl IntoView {
    value
        .filter(|value| !value.is_empty())
        .map(|value| view! { <div><dt>{term}</dt><dd>{value}</dd></div> })
}
