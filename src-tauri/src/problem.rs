//! A window that says why there is none: whoever starts Inkling from a menu sees no terminal.

use anyhow::Context as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tauri::{WebviewUrl, WebviewWindowBuilder};

/// Shows what went wrong at the start, and returns when the window is closed.
///
/// # Errors
/// When not even this window can be opened.
pub(crate) fn show(problem: &anyhow::Error) -> anyhow::Result<()> {
    let page = page(&format!("{problem:#}"));
    // No command is managed or allowed here: the page only shows words.
    tauri::Builder::default()
        .setup(move |app| {
            WebviewWindowBuilder::new(app, "problem", WebviewUrl::App(page.into()))
                .title("Inkling cannot start")
                .inner_size(520.0, 320.0)
                .center()
                .build()?;
            Ok(())
        })
        .build(crate::context())
        .context("the window could not be opened; is a display available?")?
        .run(|_app, _event| {});
    Ok(())
}

/// The page with its words, which it takes from the address.
fn page(words: &str) -> String {
    format!("problem.html#{}", utf8_percent_encode(words, NON_ALPHANUMERIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_words_survive_in_the_address() {
        assert_eq!(
            page("a/b: 100 % <x> ü"),
            "problem.html#a%2Fb%3A%20100%20%25%20%3Cx%3E%20%C3%BC"
        );
    }
}
