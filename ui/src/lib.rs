//! The shell around the editing surface: the list of documents, and around an open document its people, toolbar,
//! margin, ask bar and status.
//!
//! **Invariant:** the shell never touches a document's content. It hears of it by events (`events`) and acts on it by
//! the few calls of `editor`, the only seam to JavaScript.
//!
//! In reading order: what needs no browser (built and tested natively), then what draws (WebAssembly only).

#![cfg_attr(
    target_arch = "wasm32",
    allow(
        unreachable_pub,
        reason = "#[component] makes the types of a component's properties public"
    )
)]

pub mod adapters;
pub mod address;
pub mod announce;
pub mod authors;
pub mod cards;
pub mod compare;
pub mod events;
pub mod layout;
pub mod models;
pub mod names;
pub mod people;
pub mod places;
pub mod privacy;
pub mod route;
pub mod search;
pub mod server;
pub mod theme;
pub mod versions;
pub mod words;

#[cfg(target_arch = "wasm32")]
mod adapter_list;
#[cfg(target_arch = "wasm32")]
mod adapters_dialog;
#[cfg(target_arch = "wasm32")]
mod add_model;
#[cfg(target_arch = "wasm32")]
mod app;
#[cfg(target_arch = "wasm32")]
mod ask_bar;
#[cfg(target_arch = "wasm32")]
mod authors_bar;
#[cfg(target_arch = "wasm32")]
mod browser;
#[cfg(target_arch = "wasm32")]
mod card;
#[cfg(target_arch = "wasm32")]
mod dialog;
#[cfg(target_arch = "wasm32")]
mod diff_view;
#[cfg(target_arch = "wasm32")]
mod doc_list;
#[cfg(target_arch = "wasm32")]
mod editor;
#[cfg(target_arch = "wasm32")]
mod editor_view;
#[cfg(target_arch = "wasm32")]
mod header;
#[cfg(target_arch = "wasm32")]
mod history;
#[cfg(target_arch = "wasm32")]
mod history_way_back;
#[cfg(target_arch = "wasm32")]
mod icon;
#[cfg(target_arch = "wasm32")]
mod leaving;
#[cfg(target_arch = "wasm32")]
mod link_bubble;
#[cfg(target_arch = "wasm32")]
mod link_dialog;
#[cfg(target_arch = "wasm32")]
mod margin;
#[cfg(target_arch = "wasm32")]
mod markdown_files;
#[cfg(target_arch = "wasm32")]
mod menu;
#[cfg(target_arch = "wasm32")]
mod model_report;
#[cfg(target_arch = "wasm32")]
mod model_row;
#[cfg(target_arch = "wasm32")]
mod models_page;
#[cfg(target_arch = "wasm32")]
mod notices;
#[cfg(target_arch = "wasm32")]
mod open_link;
#[cfg(target_arch = "wasm32")]
mod parted;
#[cfg(target_arch = "wasm32")]
mod people_bar;
#[cfg(target_arch = "wasm32")]
mod preview_dialog;
#[cfg(target_arch = "wasm32")]
mod privacy_dialog;
#[cfg(target_arch = "wasm32")]
mod self_test;
#[cfg(target_arch = "wasm32")]
mod share;
#[cfg(target_arch = "wasm32")]
mod share_links;
#[cfg(target_arch = "wasm32")]
mod share_row;
#[cfg(target_arch = "wasm32")]
mod state;
#[cfg(target_arch = "wasm32")]
mod status_bar;
#[cfg(target_arch = "wasm32")]
mod toolbar;

/// Puts the shell into the page; the browser calls it once the WebAssembly is loaded.
#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
pub fn start() {
    app::mount();
}
