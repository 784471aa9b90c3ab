//! The icons of `ui/assets/icons`, inside the page: no request, and they take the colour of the text around them.

use leptos::prelude::*;

macro_rules! icons {
    ($($name:ident = $file:literal),* $(,)?) => {
        /// One of our icons.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Icon { $($name),* }

        impl Icon {
            fn svg(self) -> &'static str {
                match self {
                    $(Self::$name => include_str!(concat!("../assets/icons/", $file, ".svg"))),*
                }
            }
        }
    };
}

icons! {
    Authors = "authors", Back = "back", Bold = "bold", Brainstorm = "brainstorm", Bullets = "bullets", Cards = "cards", Check = "check",
    Chevron = "chevron", Chip = "chip", Close = "close", Code = "code", CodeBlock = "code-block",
    Connected = "connected", Continue = "continue", Copy = "copy", DeviceSaved = "device-saved",
    Document = "document", Info = "info", Italic = "italic", Link = "link", Locate = "locate", Moon = "moon",
    More = "more", Numbers = "numbers", Offline = "offline", Pencil = "pencil", Plus = "plus",
    Problem = "problem", Quote = "quote", Redo = "redo", Reload = "reload", Rewrite = "rewrite", Rule = "rule",
    Saved = "saved", Saving = "saving", Send = "send", Share = "share", Spark = "spark", Strike = "strike",
    Summarise = "summarise", Sun = "sun", Table = "table", Tasks = "tasks", Trash = "trash",
    Underline = "underline", Undo = "undo",
}

/// An icon beside or instead of words. It says nothing by itself: the control that holds it has a name.
pub(crate) fn icon(icon: Icon) -> impl IntoView {
    view! { <span class="icon" aria-hidden="true" inner_html=icon.svg()></span> }
}

/// Inkling's drop.
pub(crate) fn mark() -> impl IntoView {
    view! { <span class="mark" aria-hidden="true" inner_html=include_str!("../assets/mark.svg")></span> }
}
