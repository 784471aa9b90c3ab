//! A button that opens something: a menu of commands, or a panel with other content.

use leptos::children::ViewFn;
use leptos::ev;
use leptos::html;
use leptos::prelude::*;

use crate::browser;
use crate::events::SelectionRect;
use crate::places::{self, Corner, Size};

/// What opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opens {
    /// Commands: arrow keys move among them, choosing one closes it.
    Menu,
    /// Anything else.
    Panel,
}

/// Closes the menu that an item is in.
#[derive(Clone, Copy)]
struct Choice(Callback<()>);

/// Selects what can have the focus.
const INSIDE: &str =
    "button:not(:disabled), input:not(:disabled), select:not(:disabled), a[href], [tabindex='0']";

/// The button and, while it is open, what it opens, next to it and on the screen.
#[component]
pub(crate) fn Popup(
    /// `data-testid` of the button; the opened part has the same with `-open`.
    name: &'static str,
    /// Name of the button, also its tooltip.
    #[prop(into)]
    label: Signal<String>,
    /// Classes of the button.
    #[prop(optional)]
    class: &'static str,
    /// What opens.
    opens: Opens,
    /// Aligned with the button's right edge.
    #[prop(optional)]
    at_end: bool,
    /// Where the focus goes when a command was chosen: back to the button, unless the command takes it elsewhere.
    #[prop(default = true)]
    return_focus: bool,
    /// For those who want to open or watch it.
    #[prop(default = RwSignal::new(false))]
    open: RwSignal<bool>,
    /// What the button shows.
    #[prop(into)]
    face: ViewFn,
    /// What opens.
    children: ChildrenFn,
) -> impl IntoView {
    let root = NodeRef::<html::Span>::new();
    let button = NodeRef::<html::Button>::new();
    let close = move |refocus: bool| {
        open.set(false);
        if let Some(button) = button.get_untracked().filter(|_| refocus) {
            let _gone = button.focus();
        }
    };
    let outside = window_event_listener(ev::pointerdown, move |event| {
        let inside = root
            .get_untracked()
            .is_some_and(|root| browser::comes_from(&event, &root));
        if open.get_untracked() && !inside {
            close(false);
        }
    });
    on_cleanup(move || outside.remove());
    let on_key = move |event: ev::KeyboardEvent| {
        if event.key() == "Escape" && open.get_untracked() {
            event.prevent_default();
            event.stop_propagation();
            close(true);
        } else if event.key() == "ArrowDown" && !open.get_untracked() && opens == Opens::Menu {
            event.prevent_default();
            open.set(true);
        }
    };
    let face = StoredValue::new(face);
    let children = StoredValue::new(children);
    view! {
        <span class="popup" node_ref=root on:keydown=on_key>
            <button
                node_ref=button
                type="button"
                class=class
                data-testid=name
                aria-label=move || label.get()
                title=move || label.get()
                aria-haspopup=if opens == Opens::Menu { "menu" } else { "dialog" }
                aria-expanded=move || open.get().to_string()
                on:click=move |_| open.update(|open| *open = !*open)
            >
                {move || face.with_value(ViewFn::run)}
            </button>
            <Show when=move || open.get()>
                <Opened name label opens at_end button on_choice=Callback::new(move |()| close(return_focus))>
                    {children.with_value(|children| children())}
                </Opened>
            </Show>
        </span>
    }
}

#[component]
fn Opened(
    name: &'static str,
    #[prop(into)] label: Signal<String>,
    opens: Opens,
    at_end: bool,
    button: NodeRef<html::Button>,
    on_choice: Callback<()>,
    children: Children,
) -> impl IntoView {
    provide_context(Choice(on_choice));
    let panel = NodeRef::<html::Div>::new();
    let corner = RwSignal::new(Corner { left: 0.0, top: 0.0 });
    panel.on_load(move |panel| {
        if let Some(button) = button.get_untracked() {
            corner.set(beside(&button, &panel, at_end));
        }
        if let Some(first) = browser::focusable(&panel, INSIDE).first() {
            let _gone = first.focus();
        } else {
            let _gone = panel.focus();
        }
    });
    let resized = window_event_listener(ev::resize, move |_| {
        if let (Some(button), Some(panel)) = (button.get_untracked(), panel.get_untracked()) {
            corner.set(beside(&button, &panel, at_end));
        }
    });
    on_cleanup(move || resized.remove());
    let on_key = move |event: ev::KeyboardEvent| {
        let Some(panel) = panel.get_untracked().filter(|_| opens == Opens::Menu) else {
            return;
        };
        if event.key() == "Tab" {
            // A menu is one stop: from its button the key goes on to the next.
            on_choice.run(());
        } else if browser::rove(
            &browser::focusable(&panel, INSIDE),
            &event.key(),
            "ArrowUp",
            "ArrowDown",
        ) {
            event.prevent_default();
            event.stop_propagation();
        }
    };
    view! {
        <div
            node_ref=panel
            class=if opens == Opens::Menu { "floating menu" } else { "floating panel" }
            role=if opens == Opens::Menu { "menu" } else { "dialog" }
            aria-label=move || label.get()
            tabindex="-1"
            data-testid=format!("{name}-open")
            style:left=move || format!("{}px", corner.get().left)
            style:top=move || format!("{}px", corner.get().top)
            on:keydown=on_key
        >
            {children()}
        </div>
    }
}

fn beside(button: &web_sys::Element, panel: &web_sys::Element, at_end: bool) -> Corner {
    let (button, panel) = (
        button.get_bounding_client_rect(),
        panel.get_bounding_client_rect(),
    );
    let left = if at_end {
        button.right() - panel.width()
    } else {
        button.left()
    };
    let rect = SelectionRect {
        top: button.top(),
        left,
        bottom: button.bottom(),
    };
    places::below(
        rect,
        Size {
            width: panel.width(),
            height: panel.height(),
        },
        browser::screen(),
    )
}

/// One command of a menu.
#[component]
pub(crate) fn MenuItem(
    /// `data-testid`.
    name: &'static str,
    /// What it does.
    run: Callback<()>,
    /// One of several of which one is chosen: is it that one? Without, it is a plain command.
    #[prop(optional, into)]
    chosen: Option<Signal<bool>>,
    /// It cannot be done now.
    #[prop(into, default = Signal::stored(false))]
    disabled: Signal<bool>,
    /// It destroys something.
    #[prop(optional)]
    danger: bool,
    /// Words, icons.
    children: Children,
) -> impl IntoView {
    let menu = use_context::<Choice>();
    let press = move |_| {
        // First closed, so that a dialog that the command opens gives the focus back to the menu's button.
        if let Some(Choice(close)) = menu {
            close.run(());
        }
        run.run(());
    };
    view! {
        <button
            type="button"
            role=if chosen.is_some() { "menuitemradio" } else { "menuitem" }
            tabindex="-1"
            class="item"
            class:danger=danger
            data-testid=name
            data-chosen=move || chosen.is_some_and(|chosen| chosen.get()).then_some("")
            aria-checked=move || chosen.map(|chosen| chosen.get().to_string())
            disabled=move || disabled.get()
            on:click=press
        >
            {children()}
        </button>
    }
}
