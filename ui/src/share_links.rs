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
use crate::share::LinkField;
use crate::share_row::{LinkRow, focus_soon};
use crate::state::{Session, Shell};
use crate::versions::ShareLink;

const DAY: f64 = 86_400_000.0;

/// What is known of the links.
#[derive(Clone, Copy)]
struct Links {
    path: StoredValue<String>,
    list: RwSignal<Option<Vec<ShareLink>>>,
    /// Why there is nothing to see.
    obstacle: RwSignal<Option<String>>,
    /// One that was just made.
    fresh: RwSignal<Option<String>>,
}

impl Links {
    fn load(self) {
        spawn_local(async move {
            match editor::get::<Vec<ShareLink>>(&self.path.get_value()).await {
                Ok(found) => _ = self.list.try_set(Some(found)),
                Err(error) if error.status == 403 => {
                    let words = "Only whoever owns this document makes and revokes links with a role.";
                    self.obstacle.try_set(Some(words.into()));
                }
                Err(error) => _ = self.obstacle.try_set(Some(error.message)),
            }
        });
    }
}

/// The links of the open document and a form for another.
#[component]
pub(crate) fn ShareLinks() -> impl IntoView {
    let session = expect_context::<Session>();
    let shell = expect_context::<Shell>();
    let path = format!("/documents/{}/shares", route::encode(&session.doc.get_value()));
    let links = Links {
        path: StoredValue::new(path),
        list: RwSignal::new(None),
        obstacle: RwSignal::new(None),
        fresh: RwSignal::new(None),
    };
    links.load();
    let revoke = Callback::new(move |id: String| {
        spawn_local(async move {
            let path = format!("{}/{}", links.path.get_value(), route::encode(&id));
            match editor::delete_at(&path).await {
                Ok(()) => {
                    links.fresh.try_set(None);
                    shell.notices.tell(
                        Level::Info,
                        "The link is revoked: whoever came by it is sent away.",
                    );
                    focus_soon("[data-testid=share-label]");
                }
                Err(error) => shell.notices.fail(error.message),
            }
            links.load();
        });
    });
    view! {
        <section class="share-links" data-testid="share-links">
            <h2>"Links with a role"</h2>
            {move || links.obstacle.get().map(|words| view! { <p data-testid="share-obstacle">{words}</p> })}
            {move || links.list.get().map(|found| view! {
                {found.is_empty().then(|| view! { <p>"None yet. Such a link opens this document only, and you can take it back."</p> })}
                <ul>{found.into_iter().map(|link| view! { <LinkRow link=link revoke /> }).collect_view()}</ul>
            })}
            <Show when=move || links.list.with(Option::is_some)><Make links /></Show>
            {move || links.fresh.get().map(|url| view! {
                <div class="share-fresh" data-testid="share-fresh"><LinkField link=url words="The new link, to give away:" name="share-new" /></div>
            })}
        </section>
    }
}

/// The form for a new link.
#[component]
fn Make(links: Links) -> impl IntoView {
    let shell = expect_context::<Shell>();
    let (label, role, days) = (
        RwSignal::new(String::new()),
        RwSignal::new("viewer".to_owned()),
        RwSignal::new("7".to_owned()),
    );
    let busy = RwSignal::new(false);
    let make = move |event: ev::SubmitEvent| {
        event.prevent_default();
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        let days = days.get_untracked().parse::<f64>().ok();
        let expires = days.map(|days| browser::whole(browser::now() + days * DAY));
        let label_text = label.get_untracked().trim().to_owned();
        let body = json!({
            "role": role.get_untracked(),
            "expiresAt": expires,
            "label": (!label_text.is_empty()).then_some(label_text),
        });
        spawn_local(async move {
            match editor::post::<ShareLink>(&links.path.get_value(), body).await {
                Ok(link) => {
                    if browser::copy(&link.url).await {
                        shell.notices.tell(Level::Info, "The new link is copied.");
                    } else {
                        shell.notices.speak("The new link is made.".to_owned());
                    }
                    label.try_set(String::new());
                    links.fresh.try_set(Some(link.url));
                    links.load();
                }
                Err(error) => shell.notices.fail(error.message),
            }
            busy.try_set(false);
        });
    };
    view! {
        <form class="share-form" on:submit=make>
            <input
                type="text" class="plain-field" maxlength="80" aria-label="For whom or what the link is" placeholder="For whom (if you like)"
                data-testid="share-label" bind:value=label
            />
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
            <button type="submit" class="button" data-testid="share-make" aria-busy=move || busy.get().to_string()>{icon(Icon::Plus)} "Make"</button>
        </form>
    }
}
