//! How a document differs from a version of it: as one text, or block by block.

use leptos::prelude::*;

use crate::versions::{BlockChange, Change, Difference, Piece};

/// How the difference is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The whole text, with what came and went in its place.
    Text,
    /// Only the blocks that differ.
    Blocks,
}

/// The two ways to look at a difference.
#[component]
pub(crate) fn LookSwitch(
    /// The chosen one.
    look: RwSignal<Look>,
) -> impl IntoView {
    let choice = move |this: Look, words: &'static str, name: &'static str| {
        view! {
            <button
                type="button" class="segment" data-testid=name
                aria-pressed=move || (look.get() == this).to_string()
                on:click=move |_| look.set(this)
            >{words}</button>
        }
    };
    view! {
        <div class="segments" role="group" aria-label="Show the difference as">
            {choice(Look::Text, "Text", "diff-text")}
            {choice(Look::Blocks, "Blocks", "diff-blocks")}
        </div>
    }
}

/// A difference.
#[component]
pub(crate) fn DifferenceView(
    /// From the version to now.
    difference: Difference,
    /// How.
    look: Look,
) -> impl IntoView {
    if difference.is_none() {
        return view! { <p class="diff-remark">"The text is the same as then."</p> }.into_any();
    }
    match look {
        Look::Text => {
            let remark = difference.is_of_form_only().then(|| {
                view! { <p class="diff-remark">"The words are the same as then; what they stand in has changed: see Blocks."</p> }
            });
            view! { {remark} <div class="diff-text">{pieces(difference.text)}</div> }.into_any()
        }
        Look::Blocks => view! {
            <ol class="diff-blocks">
                {difference.blocks.into_iter().map(|change| view! { <BlockRow change=change /> }).collect_view()}
            </ol>
        }
        .into_any(),
    }
}

#[component]
fn BlockRow(change: BlockChange) -> impl IntoView {
    let form = change
        .is_of_form()
        .then(|| view! { <span class="diff-form">"The words are the same; their form has changed."</span> });
    let empty = change
        .pieces()
        .iter()
        .all(|piece| piece.text.is_empty())
        .then(|| view! { <span class="diff-form">"It is empty."</span> });
    view! {
        <li class="diff-block" data-change=change.look()>
            <span class="diff-head"><strong class="diff-word">{change.word()}</strong> " " {change.what()}</span>
            <span class="diff-body">{pieces(change.pieces())}</span>
            {form}
            {empty}
        </li>
    }
}

/// What is new and what is gone, by `ins` and `del`, so that screen readers can tell them apart too.
fn pieces(pieces: Vec<Piece>) -> impl IntoView {
    pieces
        .into_iter()
        .map(|piece| match piece.change {
            Change::Equal => view! { <span>{piece.text}</span> }.into_any(),
            Change::Insert => view! { <ins>{piece.text}</ins> }.into_any(),
            Change::Delete => view! { <del>{piece.text}</del> }.into_any(),
        })
        .collect_view()
}
