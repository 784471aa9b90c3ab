//! The formatting toolbar: what is switched on at the selection, and the commands to change it. One stop for the Tab
//! key; arrow keys lead through it.

use leptos::ev;
use leptos::html;
use leptos::prelude::*;
use serde_json::json;
use wasm_bindgen::JsCast;

use crate::browser;
use crate::editor;
use crate::events::{Active, Toolbar};
use crate::icon::{Icon, icon};
use crate::menu::{MenuItem, Opens, Popup};
use crate::state::Session;

/// Every control of the bar.
const TOOLS: &str = ".tool";

/// The bar.
#[component]
pub(crate) fn FormatBar() -> impl IntoView {
    let session = expect_context::<Session>();
    let bar = NodeRef::<html::Div>::new();
    // One tool at a time can be reached by Tab: the one that had the focus last.
    let stop_at = move |chosen: Option<&web_sys::HtmlElement>| {
        let Some(bar) = bar.get_untracked() else { return };
        for (index, tool) in browser::focusable(&bar, TOOLS).iter().enumerate() {
            tool.set_tab_index(if chosen.map_or(index == 0, |chosen| chosen == tool) {
                0
            } else {
                -1
            });
        }
    };
    bar.on_load(move |_| stop_at(None));
    let on_focus = move |event: ev::FocusEvent| {
        let target = event
            .target()
            .and_then(|target| target.dyn_into::<web_sys::HtmlElement>().ok());
        if let Some(tool) = target.filter(|target| target.class_list().contains("tool")) {
            stop_at(Some(&tool));
        }
    };
    let on_key = move |event: ev::KeyboardEvent| {
        let Some(bar) = bar.get_untracked().filter(|_| browser::focus_within(TOOLS)) else {
            return;
        };
        if browser::rove(
            &browser::focusable(&bar, TOOLS),
            &event.key(),
            "ArrowLeft",
            "ArrowRight",
        ) {
            event.prevent_default();
        } else if event.key() == "Escape" {
            editor::command("focus");
        }
    };
    // A click on a tool must not take the selection away from the text.
    let keep_selection = move |event: ev::MouseEvent| {
        let target = event
            .target()
            .and_then(|target| target.dyn_into::<web_sys::Element>().ok());
        if target.is_some_and(|target| target.closest(TOOLS).is_ok_and(|tool| tool.is_some())) {
            event.prevent_default();
        }
    };
    view! {
        <div
            node_ref=bar class="format-bar" role="toolbar" aria-label="Formatting" data-testid="toolbar"
            on:keydown=on_key on:focusin=on_focus on:mousedown=keep_selection
        >
            <div class="group">
                <Tool name="undo" label="Undo" keys="Z" picture=Icon::Undo can=|bar| bar.can.undo />
                <Tool name="redo" label="Redo" keys="Shift+Z" picture=Icon::Redo can=|bar| bar.can.redo />
            </div>
            <div class="group"><StyleMenu /></div>
            <div class="group">
                <Tool name="toggleBold" label="Bold" keys="B" picture=Icon::Bold on=|active| active.bold />
                <Tool name="toggleItalic" label="Italic" keys="I" picture=Icon::Italic on=|active| active.italic />
                <Tool name="toggleUnderline" label="Underline" keys="U" picture=Icon::Underline on=|active| active.underline />
                <Tool name="toggleStrike" label="Strike through" keys="Shift+S" picture=Icon::Strike on=|active| active.strike />
                <Tool name="toggleCode" label="Code" keys="E" picture=Icon::Code on=|active| active.code />
            </div>
            <div class="group">
                <Tool name="toggleBulletList" label="Bullet list" keys="Shift+8" picture=Icon::Bullets on=|active| active.bullet_list />
                <Tool name="toggleOrderedList" label="Numbered list" keys="Shift+7" picture=Icon::Numbers on=|active| active.ordered_list />
                <Tool name="toggleTaskList" label="Task list" keys="Shift+9" picture=Icon::Tasks on=|active| active.task_list />
                <Tool name="toggleBlockquote" label="Quote" keys="Shift+B" picture=Icon::Quote on=|active| active.blockquote />
                <Tool name="toggleCodeBlock" label="Code block" keys="Alt+C" picture=Icon::CodeBlock on=|active| active.code_block.is_some() />
            </div>
            <div class="group">
                <Tool
                    name="link" label="Link" keys="K" picture=Icon::Link on=|active| active.link.is_some()
                    run=Callback::new(move |()| session.linking.set(true))
                />
                <TableMenu />
                <Tool name="setHorizontalRule" label="Dividing line" picture=Icon::Rule />
            </div>
            <span class="spring"></span>
            <button
                type="button" class="tool ask-tool" data-testid="ask"
                title=format!("Ask the AI ({})", browser::shortcut("J"))
                aria-keyshortcuts=if browser::has_command_key() { "Meta+J" } else { "Control+J" }
                on:click=move |_| session.asking.set(true)
            >
                {icon(Icon::Spark)} <span>"Ask"</span>
            </button>
        </div>
    }
}

/// One button. Without `run` its name is the surface's command.
#[component]
fn Tool(
    name: &'static str,
    label: &'static str,
    #[prop(optional)] keys: &'static str,
    picture: Icon,
    /// Whether it is switched on; without, it is no switch.
    #[prop(optional)]
    on: Option<fn(&Active) -> bool>,
    /// Whether it can be used; without, whenever the document can be written.
    #[prop(optional)]
    can: Option<fn(&Toolbar) -> bool>,
    #[prop(optional)] run: Option<Callback<()>>,
) -> impl IntoView {
    let session = expect_context::<Session>();
    let pressed = Memo::new(move |_| on.map(|on| session.toolbar.with(|bar| on(&bar.active))));
    let usable = Memo::new(move |_| {
        session
            .toolbar
            .with(|bar| bar.editable && can.is_none_or(|can| can(bar)))
    });
    let title = if keys.is_empty() {
        label.to_owned()
    } else {
        format!("{label} ({})", browser::shortcut(keys))
    };
    let press = move |_| {
        if usable.get_untracked() {
            match run {
                Some(run) => run.run(()),
                None => editor::command(name),
            }
        }
    };
    view! {
        // aria-disabled, not disabled: it stays within reach of the arrow keys, and the bar of the Tab key.
        <button
            type="button" class="tool" data-testid=format!("tool-{name}") aria-label=label title=title
            aria-pressed=move || pressed.get().map(|on| on.to_string())
            aria-disabled=move || (!usable.get()).to_string()
            on:click=press
        >
            {icon(picture)}
        </button>
    }
}

#[component]
fn StyleMenu() -> impl IntoView {
    let session = expect_context::<Session>();
    let style = Memo::new(move |_| {
        session.toolbar.with(|bar| {
            if bar.active.code_block.is_some() {
                "Code".to_owned()
            } else {
                bar.active
                    .heading
                    .map_or("Text".to_owned(), |level| format!("Heading {level}"))
            }
        })
    });
    let heading = move |level: u8| {
        let run = Callback::new(move |()| editor::command_with("toggleHeading", &json!({ "level": level })));
        let chosen = Signal::derive(move || session.toolbar.with(|bar| bar.active.heading == Some(level)));
        let name = match level {
            1 => "style-h1",
            2 => "style-h2",
            3 => "style-h3",
            _ => "style-h4",
        };
        view! { <MenuItem name run chosen><span class=format!("style-sample h{level}")>{format!("Heading {level}")}</span></MenuItem> }
    };
    let paragraph = Callback::new(move |()| editor::command("setParagraph"));
    let is_text = Signal::derive(move || {
        session
            .toolbar
            .with(|bar| bar.active.heading.is_none() && bar.active.code_block.is_none())
    });
    view! {
        <Popup
            name="style" label=Signal::derive(move || format!("Text style: {}", style.get())) class="tool style-tool"
            opens=Opens::Menu return_focus=false
            face=move || view! { <span class="style-name">{move || style.get()}</span> {icon(Icon::Chevron)} }
        >
            <MenuItem name="style-text" run=paragraph chosen=is_text><span class="style-sample">"Text"</span></MenuItem>
            {(1..=4).map(heading).collect_view()}
        </Popup>
    }
}

#[component]
fn TableMenu() -> impl IntoView {
    let session = expect_context::<Session>();
    let outside = Signal::derive(move || session.toolbar.with(|bar| !bar.active.table));
    let closed = Signal::derive(move || session.toolbar.with(|bar| !bar.editable));
    let insert = Callback::new(|()| {
        editor::command_with(
            "insertTable",
            &json!({ "rows": 3, "cols": 3, "withHeaderRow": true }),
        );
    });
    let item = move |command: &'static str, words: &'static str| {
        let run = Callback::new(move |()| editor::command(command));
        view! { <MenuItem name=command run disabled=outside danger=command.starts_with("delete")>{words}</MenuItem> }
    };
    view! {
        <Popup name="table" label="Table" class="tool" opens=Opens::Menu return_focus=false face=|| icon(Icon::Table)>
            <MenuItem name="insertTable" run=insert disabled=closed>"Insert a table"</MenuItem>
            <hr />
            {item("addRowBefore", "Add a row above")}
            {item("addRowAfter", "Add a row below")}
            {item("addColumnBefore", "Add a column to the left")}
            {item("addColumnAfter", "Add a column to the right")}
            {item("toggleHeaderRow", "Header row on or off")}
            {item("mergeOrSplit", "Merge or split cells")}
            <hr />
            {item("deleteRow", "Delete the row")}
            {item("deleteColumn", "Delete the column")}
            {item("deleteTable", "Delete the table")}
        </Popup>
    }
}
