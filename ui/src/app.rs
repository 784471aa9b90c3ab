//! The whole page: which part of it the address names, and what is there in any case.

use leptos::ev;
use leptos::prelude::*;

use crate::browser;
use crate::doc_list::DocList;
use crate::editor_view::EditorView;
use crate::models_page::ModelsPage;
use crate::notices::NoticeList;
use crate::route::Route;
use crate::state::Shell;

/// Puts the page into the browser's.
pub(crate) fn mount() {
    std::panic::set_hook(Box::new(|panic| {
        browser::log(&panic.to_string());
        say_broken();
    }));
    leptos::mount::mount_to_body(App);
}

/// The page's last words, without any help of what has just broken.
fn say_broken() {
    let Ok(words) = document().create_element("div") else {
        return;
    };
    words.set_class_name("broken");
    let _unsupported = words.set_attribute("role", "alert");
    words.set_text_content(Some(
        "Something in Inkling itself has broken. What you wrote up to the last “Saved” is safe. Reload the page to go on.",
    ));
    if let Some(body) = document().body() {
        let _detached = body.append_child(&words);
    }
}

#[component]
fn App() -> impl IntoView {
    let shell = Shell::new();
    provide_context(shell);
    let hash = || window().location().hash().unwrap_or_default();
    let route = RwSignal::new(Route::parse(&hash()));
    let moved = window_event_listener(ev::hashchange, move |_| route.set(Route::parse(&hash())));
    on_cleanup(move || moved.remove());
    let route = Memo::new(move |_| route.get());
    Effect::new(move || {
        if let Some(page) = document().document_element() {
            let _detached = page.set_attribute("data-theme", shell.theme.get().name());
        }
    });
    shell.look_at_server();
    view! {
        {move || match route.get() {
            Route::List => view! { <DocList /> }.into_any(),
            Route::Document(id) => view! { <EditorView doc=id /> }.into_any(),
            Route::Models => view! { <ModelsPage /> }.into_any(),
        }}
        <NoticeList />
    }
}

/// The button that changes between light and dark.
#[component]
pub(crate) fn ThemeToggle() -> impl IntoView {
    use crate::icon::{Icon, icon};
    let shell = expect_context::<Shell>();
    let words = move || {
        if shell.is_dark() {
            "Switch to light"
        } else {
            "Switch to dark"
        }
    };
    view! {
        <button type="button" class="quiet" data-testid="theme" aria-label=words title=words on:click=move |_| shell.toggle_theme()>
            {move || icon(if shell.is_dark() { Icon::Sun } else { Icon::Moon })}
        </button>
    }
}
