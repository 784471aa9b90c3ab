//! Turns the compiled shell (`ui.wasm`) into what a browser loads: `shell.js` and `shell_bg.wasm`.
//!
//! The same work as the `wasm-bindgen` command, as a program of this workspace: Cargo.lock then keeps it and the
//! library that the shell is compiled with at one version, and nothing has to be installed.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (Some(wasm), Some(folder), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: ui-bundle <ui.wasm> <output folder>");
    };
    Bindgen::new()
        .input_path(&wasm)
        .out_name("shell")
        .web(true)?
        .typescript(false)
        .omit_default_module_path(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(&folder)
        .with_context(|| format!("cannot turn {} into {}", wasm.display(), folder.display()))
}
