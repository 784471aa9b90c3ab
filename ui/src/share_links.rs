//! Links that let others in with a role, for a time, until they are revoked.

use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::json;

use crate::browser;
use crate::editor;
use crate::events::Level;
use crate::icon::{Icon, icon};
use crate::route;
use crate::state::{Session, Shell};
use crate::versions::{ShareLink, allows, lasts};

const DAY: f64 = 86_400_000.0;

/// The links of the open document and a form for another; nothing for those who may not share.
#[component]
pub(crate) fn ShareLinks() -> impl IntoView {
    let session = expect_context::<Session>();
    let shell = expect_context::<Shell>();
    let links = RwSignal::new(None::<Vec<ShareLink>>);
    let path = StoredValue::new(format!(
        "/documents/{}/shares",
        route::encode(&session.doc.get_value())
    ));
    let load = move || {
        spawn_local(async move {
            // Refused, or a relay without links: then there is nothing to show.
            if let Ok(found) = editor::get::<Vec<ShareLink>>(&path.get_value()).await {
                links.try_set(Some(found));
            }
        });
    };
    load();
    let role = RwSignal::new("viewer".to_owned());
    let days = RwSignal::new("7".to_owned());
    let make = move |event: ev::SubmitEvent| {
        event.prevent_default();
        let expires = days
            .get_untracked()
            .parse::<f64>()
            .ok()
            .map(|days| (browser::now() + days * DAY).round());
        let body = json!({ "role": role.get_untracked(), "expiresAt": expires });
        spawn_local(async move {
            match editor::post::<ShareLink>(&path.get_value(), body).await {
                Ok(link) => {
                    if browser::copy(&link.url).await {
                        shell.notices.tell(Level::Info, "The new link is copied.");
                    }
                    load();
                }
                Err(error) => shell.notices.fail(error.message),
            }
        });
    };
    let revoke = Callback::new(move |id: String| {
        spawn_local(async move {
            let gone = editor::delete_at(&format!("{}/{}", path.get_value(), route::encode(&id))).await;
            match gone {
                Ok(()) => load(),
                Err(error) => shell.notices.fail(error.message),
            }
        });
    });
    move || {
        links.get().map(|found| {
            view! {
                <section class="share-links" data-testid="share-links">
                    <h2>"Links with a role"</h2>
                    {found.is_empty().then(|| view! { <p>"None yet. Such a link opens this document only, and you can take it back."</p> })}
                    <ul>
                        {found.into_iter().map(|link| view! { <LinkRow link=link revoke /> }).collect_view()}
                    </ul>
                    <form class="share-form" on:submit=make>
                        <select aria-label="What the link allows" data-testid="share-role" bind:value=role>
                            <option value="viewer">"Can read"</option>
                            <option value="suggester">"Can suggest"</option>
                            <option value="editor">"Can edit"</option>
                        </select>
                        <select aria-label="How long it lasts" data-testid="share-days" bind:value=days>
                            <option value="1">"for a day"</option>
                            <option value="7">"for a week"</option>
                            <option value="30">"for a month"</option>
                            <option value="">"for ever"</option>
                        </select>
                        <button type="submit" class="button" data-testid="share-make">{icon(Icon::Plus)} "Make"</button>
                    </form>
                </section>
            }
        })
    }
}

#[component]
fn LinkRow(link: ShareLink, revoke: Callback<String>) -> impl IntoView {
    let shell = expect_context::<Shell>();
    let words = format!("{} {}", allows(link.role), lasts(link.expires_at, browser::now()));
    let label = link.label.clone().filter(|label| !label.is_empty());
    let (url, id) = (link.url, link.id);
    let copy = move |_| {
        let url = url.clone();
        spawn_local(async move {
            let (level, words) = if browser::copy(&url).await {
                (Level::Info, "The link is copied.".to_owned())
            } else {
                (Level::Warning, url)
            };
            shell.notices.tell(level, words);
        });
    };
    view! {
        <li data-testid="share">
            <span class="share-words">{label.map(|label| view! { <strong>{label}" "</strong> })} {words}</span>
            <button type="button" class="quiet small" aria-label="Copy this link" title="Copy this link" data-testid="share-copy" on:click=copy>{icon(Icon::Copy)}</button>
            <button type="button" class="quiet small" aria-label="Revoke this link" title="Revoke: whoever came by it is sent away" data-testid="share-revoke" on:click=move |_| revoke.run(id.clone())>{icon(Icon::Trash)}</button>
        </li>
    }
}
