//! What the shell needs of the browser besides Leptos: storage, clipboard, time, chance, focus.

use leptos::prelude::*;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::places::Size;
use crate::server::Moment;
use crate::words;

/// Reads a value kept in this browser; none as well when storage is forbidden.
pub(crate) fn recall(key: &str) -> Option<String> {
    window().local_storage().ok()??.get_item(key).ok()?
}

/// Keeps a value in this browser. Where storage is forbidden it lasts as long as the page, which is all one can do.
pub(crate) fn keep(key: &str, value: &str) {
    if let Ok(Some(storage)) = window().local_storage() {
        let _forbidden_or_full = storage.set_item(key, value);
    }
}

/// The access key that the surface keeps for this tab; empty without one.
pub(crate) fn access_key() -> String {
    let kept = || window().session_storage().ok()??.get_item("inkling.key").ok()?;
    kept().unwrap_or_default()
}

/// A number made by chance.
pub(crate) fn chance() -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "random() is in 0..1"
    )]
    let number = (js_sys::Math::random() * f64::from(u32::MAX)) as u32;
    number
}

/// Milliseconds since the epoch.
pub(crate) fn now() -> f64 {
    js_sys::Date::now()
}

/// Milliseconds as the API takes them.
pub(crate) fn whole(milliseconds: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "moments of our time are far below 2^53 and above 0"
    )]
    let whole = milliseconds.max(0.0) as u64;
    whole
}

/// "3 minutes ago", or a date.
pub(crate) fn moment_words(moment: &Moment) -> String {
    let then = match moment {
        Moment::Millis(then) => *then,
        Moment::Text(text) => js_sys::Date::parse(text),
    };
    words::ago(then, now()).unwrap_or_else(|| {
        let options = js_sys::Object::new();
        let _plain_object = js_sys::Reflect::set(&options, &"dateStyle".into(), &"medium".into());
        let language = window().navigator().language().unwrap_or_else(|| "en".to_owned());
        js_sys::Date::new(&then.into())
            .to_locale_date_string(&language, &options)
            .into()
    })
}

/// Day and time, in the person's language; empty where it cannot be read.
pub(crate) fn exact_moment(moment: &Moment) -> String {
    let date = match moment {
        Moment::Millis(then) => js_sys::Date::new(&(*then).into()),
        Moment::Text(text) => js_sys::Date::new(&text.as_str().into()),
    };
    if date.get_time().is_nan() {
        return String::new();
    }
    let language = window().navigator().language().unwrap_or_else(|| "en".to_owned());
    date.to_locale_string(&language, &JsValue::UNDEFINED).into()
}

/// Follows a media query for as long as the page lives: for the shell's own state, not for components.
pub(crate) fn follow_media(query: &str) -> ReadSignal<bool> {
    let Ok(Some(list)) = window().match_media(query) else {
        return RwSignal::new(false).read_only();
    };
    let (matches, set) = signal(list.matches());
    let changed =
        Closure::<dyn Fn(web_sys::MediaQueryListEvent)>::new(move |event: web_sys::MediaQueryListEvent| {
            set.set(event.matches());
        });
    let _no_options = list.add_event_listener_with_callback("change", changed.as_ref().unchecked_ref());
    changed.forget(); // as long as the page
    matches
}

/// The size of what can be seen of the page.
pub(crate) fn screen() -> Size {
    let length = |value: Result<JsValue, JsValue>| value.ok().and_then(|value| value.as_f64()).unwrap_or(0.0);
    Size {
        width: length(window().inner_width()),
        height: length(window().inner_height()),
    }
}

/// How far the page is scrolled down.
pub(crate) fn scrolled() -> f64 {
    window().scroll_y().unwrap_or(0.0)
}

/// Puts text on the clipboard; false where that is forbidden (pages without TLS on another machine).
pub(crate) async fn copy(text: &str) -> bool {
    let navigator = window().navigator();
    let there =
        js_sys::Reflect::get(&navigator, &"clipboard".into()).is_ok_and(|clipboard| clipboard.is_object());
    there
        && JsFuture::from(navigator.clipboard().write_text(text))
            .await
            .is_ok()
}

/// Is the command key the one for shortcuts?
pub(crate) fn has_command_key() -> bool {
    let platform = window().navigator().platform().unwrap_or_default();
    platform.starts_with("Mac") || platform.starts_with("iP")
}

/// A shortcut as it is printed on this machine's keys: `shortcut("J")` is "Ctrl+J" or "⌘J".
pub(crate) fn shortcut(key: &str) -> String {
    if has_command_key() {
        format!("⌘{}", key.replace("Shift+", "⇧"))
    } else {
        format!("Ctrl+{key}")
    }
}

/// Is the key for shortcuts of this machine held down?
pub(crate) fn commands(event: &web_sys::KeyboardEvent) -> bool {
    if has_command_key() {
        event.meta_key()
    } else {
        event.ctrl_key()
    }
}

/// Gives the focus to the first element that fits; true when there was one.
pub(crate) fn focus(selector: &str) -> bool {
    let element = document().query_selector(selector).ok().flatten();
    let element = element.and_then(|element| element.dyn_into::<web_sys::HtmlElement>().ok());
    element.is_some_and(|element| element.focus().is_ok())
}

/// Scrolls the first element that fits into view, once it is drawn.
pub(crate) fn bring_into_view(selector: &'static str) {
    request_animation_frame(move || {
        if let Ok(Some(element)) = document().query_selector(selector) {
            element.scroll_into_view();
        }
    });
}

/// Is the focus inside an element that fits?
pub(crate) fn focus_within(selector: &str) -> bool {
    document()
        .active_element()
        .and_then(|element| element.closest(selector).ok().flatten())
        .is_some()
}

/// Is the element that the event came from inside of `root`?
pub(crate) fn comes_from(event: &web_sys::Event, root: &web_sys::Node) -> bool {
    event
        .target()
        .and_then(|target| target.dyn_into::<web_sys::Node>().ok())
        .is_some_and(|node| root.contains(Some(&node)))
}

/// The elements inside `root` that can have the focus, in their order.
pub(crate) fn focusable(root: &web_sys::Element, selector: &str) -> Vec<web_sys::HtmlElement> {
    let Ok(list) = root.query_selector_all(selector) else {
        return Vec::new();
    };
    (0..list.length())
        .filter_map(|index| list.item(index)?.dyn_into::<web_sys::HtmlElement>().ok())
        .filter(|element| element.offset_width() > 0)
        .collect()
}

/// Moves the focus among `elements` as the arrow keys, Home and End say; true when the key was one of them.
pub(crate) fn rove(elements: &[web_sys::HtmlElement], key: &str, previous: &str, next: &str) -> bool {
    let active = document().active_element();
    let here = elements
        .iter()
        .position(|element| active.as_deref() == Some(element.as_ref()))
        .unwrap_or(0);
    let last = elements.len().saturating_sub(1);
    let to = match key {
        "Home" => 0,
        "End" => last,
        key if key == next => {
            if here == last {
                0
            } else {
                here + 1
            }
        }
        key if key == previous => here.checked_sub(1).unwrap_or(last),
        _ => return false,
    };
    elements.get(to).is_some_and(|element| element.focus().is_ok())
}

/// What the Tab key can reach.
const STOPS: &str = "button:not(:disabled), input:not(:disabled), select:not(:disabled), a[href]";

/// At the last of the elements in `root` that Tab reaches, goes on at the first, and the other way round; true when it was
/// one of these two, and the key is used up.
pub(crate) fn turn_around(root: &web_sys::Element, backwards: bool) -> bool {
    let stops = focusable(root, STOPS);
    let (from, to) = if backwards {
        (stops.first(), stops.last())
    } else {
        (stops.last(), stops.first())
    };
    let active = document().active_element();
    // Before the first of them the focus may be on `root` itself.
    let here = from.is_some_and(|from| active.as_deref() == Some(from.as_ref()))
        || (backwards && active.as_ref() == Some(root));
    here && to.is_some_and(|to| to.focus().is_ok())
}

/// Resolves after some milliseconds.
pub(crate) async fn sleep(milliseconds: i32) {
    let timer = js_sys::Promise::new(&mut |resolve, _reject| {
        let _no_page = window().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, milliseconds);
    });
    let _never_rejected = JsFuture::from(timer).await;
}

/// The text of a file that a person chose; none when it cannot be read.
pub(crate) async fn text_of(file: &web_sys::File) -> Option<String> {
    JsFuture::from(file.text()).await.ok()?.as_string()
}

/// Writes to the console: for programmers, never for people.
pub(crate) fn log(message: &str) {
    web_sys::console::error_1(&message.into());
}
