//! The seam to JavaScript: `window.inkling`, made by `ui/editor`. The only `extern "C"` block of the shell.

use leptos::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;

use crate::browser;
use crate::events::{self, DecideAnswer, EditorEvent, User};
use crate::route;
use crate::server::{ApiAnswer, ApiError};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = inkling, js_name = open)]
    fn js_open(element: &web_sys::HtmlElement, options: &str, on_event: &Closure<dyn Fn(String)>);
    #[wasm_bindgen(js_namespace = inkling, js_name = close)]
    fn js_close();
    #[wasm_bindgen(js_namespace = inkling, js_name = command)]
    fn js_command(name: &str, arguments: &str);
    #[wasm_bindgen(js_namespace = inkling, js_name = ask)]
    fn js_ask(options: &str) -> String;
    #[wasm_bindgen(js_namespace = inkling, js_name = cancel)]
    fn js_cancel(id: &str);
    #[wasm_bindgen(js_namespace = inkling, js_name = decide, catch)]
    async fn js_decide(options: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_namespace = inkling, js_name = preview, catch)]
    async fn js_preview(proposal: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_namespace = inkling, js_name = reveal)]
    fn js_reveal(card: &str);
    #[wasm_bindgen(js_namespace = inkling, js_name = setTitle)]
    fn js_set_title(title: &str);
    #[wasm_bindgen(js_namespace = inkling, js_name = setUser)]
    fn js_set_user(user: &str);
    #[wasm_bindgen(js_namespace = inkling, js_name = follow)]
    fn js_follow(href: &str);
    #[wasm_bindgen(js_namespace = inkling, js_name = saveText, catch)]
    async fn js_save_text(name: &str, text: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_namespace = inkling, js_name = api, catch)]
    async fn js_api(method: &str, path: &str, body: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_namespace = inkling, js_name = content)]
    fn js_content() -> String;
    #[wasm_bindgen(js_namespace = inkling, js_name = keepCopy, catch)]
    async fn js_keep_copy(title: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_namespace = inkling, js_name = platform)]
    fn js_platform() -> String;
}

/// A document that is open in the surface; it is closed with the component that opened it.
pub(crate) fn open(
    element: &web_sys::HtmlElement,
    doc: &str,
    user: &User,
    dark: bool,
    hear: impl Fn(EditorEvent) + 'static,
) {
    // `Fn`, not `FnMut`: an event may come while a call of ours, made by another event, still runs.
    let on_event = Closure::<dyn Fn(String)>::new(move |json: String| match events::parse(&json) {
        Ok(event) => hear(event),
        Err(error) => browser::log(&format!("an event of the surface cannot be read: {error}")),
    });
    let options = json!({
        "doc": doc,
        "user": user,
        "theme": if dark { "dark" } else { "light" },
        "placeholder": format!("Write, or press {} to ask the AI", browser::shortcut("J")),
    });
    js_open(element, &options.to_string(), &on_event);
    let on_event = StoredValue::new_local(on_event);
    on_cleanup(move || {
        js_close(); // no event comes after it, so the closure may go
        on_event.dispose();
    });
}

/// Runs an editing command without arguments.
pub(crate) fn command(name: &str) {
    js_command(name, "");
}

/// Runs an editing command.
pub(crate) fn command_with(name: &str, arguments: &Value) {
    js_command(name, &arguments.to_string());
}

/// What to ask an AI peer for.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub(crate) struct Ask {
    /// `continue`, `rewrite`, `summarise`, `brainstorm` or `ask`.
    pub(crate) kind: String,
    /// The person's own words.
    pub(crate) instruction: String,
    /// Id of an AI peer, or empty.
    pub(crate) to: String,
    /// The card whose place is meant; without it the selection's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) again: Option<String>,
}

/// Asks; false when the request could not be written (the surface has said why).
pub(crate) fn ask(ask: &Ask) -> bool {
    serde_json::to_string(ask).is_ok_and(|options| !js_ask(&options).is_empty())
}

/// Withdraws a request.
pub(crate) fn cancel(id: &str) {
    js_cancel(id);
}

/// Has the relay accept, reject or take back.
pub(crate) async fn decide(proposal: &str, action: &str, force: bool) -> DecideAnswer {
    let options = json!({ "proposal": proposal, "action": action, "force": force }).to_string();
    read(js_decide(&options).await).unwrap_or_else(unanswered)
}

/// What accepting would do now.
pub(crate) async fn preview(proposal: &str) -> DecideAnswer {
    read(js_preview(proposal).await).unwrap_or_else(unanswered)
}

/// Brings a card's place into view.
pub(crate) fn reveal(card: &str) {
    js_reveal(card);
}

/// Renames the open document.
pub(crate) fn set_title(title: &str) {
    js_set_title(title);
}

/// Tells the surface that the person's name has changed.
pub(crate) fn set_user(user: &User) {
    js_set_user(&json!(user).to_string());
}

/// Follows a link, wherever it leads.
pub(crate) fn follow(href: &str) {
    js_follow(href);
}

/// What became of saving a file, with words for the person.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct SaveAnswer {
    pub(crate) ok: bool,
    pub(crate) message: String,
}

/// Saves a text as a Markdown file.
pub(crate) async fn save_text(name: &str, text: &str) -> SaveAnswer {
    read(js_save_text(name, text).await).unwrap_or_default()
}

/// What became of keeping the window's copy as a document of its own: its id, or words for the person.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct KeepAnswer {
    pub(crate) doc: Option<String>,
    pub(crate) message: Option<String>,
}

/// Makes a new document of what this window holds of the open one.
pub(crate) async fn keep_copy(title: &str) -> KeepAnswer {
    read(js_keep_copy(title).await).unwrap_or_default()
}

/// What this window holds of the open document, as Markdown; the relay is not asked.
pub(crate) fn markdown_here() -> Option<String> {
    let root: crdt::Node = serde_json::from_str(&js_content()).ok()?;
    Some(crdt::markdown::write(&root.content))
}

/// Leaves the open document without a question about what is not saved.
pub(crate) fn close() {
    js_close();
}

/// A document's text as Markdown.
pub(crate) async fn markdown(doc: &str) -> Result<String, ApiError> {
    let path = format!("/documents/{}/markdown", route::encode(doc));
    api("GET", &path, None).await.into_body()
}

/// Does the shell run in the desktop window?
pub(crate) fn is_desktop() -> bool {
    js_platform() == "desktop"
}

/// Calls the REST API; `path` below `/api/v1`.
async fn api(method: &str, path: &str, body: Option<Value>) -> ApiAnswer {
    let path = &signed(path);
    let body = body.map_or(JsValue::NULL, |body| JsValue::from_str(&body.to_string()));
    read(js_api(method, path, &body).await).unwrap_or_default()
}

/// The path with who asks, as the socket says it too: versions, links and edits are put down to that name.
fn signed(path: &str) -> String {
    let user = browser::recall(crate::state::USER).and_then(|json| serde_json::from_str::<User>(&json).ok());
    let Some(user) = user else {
        return path.to_owned();
    };
    let mark = if path.contains('?') { '&' } else { '?' };
    let (id, name) = (route::encode(&user.id), route::encode(&user.name));
    format!("{path}{mark}user={id}&name={name}")
}

/// `GET`, read as JSON.
pub(crate) async fn get<T: DeserializeOwned>(path: &str) -> Result<T, ApiError> {
    api("GET", path, None).await.into_json()
}

/// `POST`, its answer read as JSON.
pub(crate) async fn post<T: DeserializeOwned>(path: &str, body: Value) -> Result<T, ApiError> {
    api("POST", path, Some(body)).await.into_json()
}

/// `PUT`, its answer read as JSON.
pub(crate) async fn put<T: DeserializeOwned>(path: &str, body: Value) -> Result<T, ApiError> {
    api("PUT", path, Some(body)).await.into_json()
}

/// Renames a document that is not open.
pub(crate) async fn rename(doc: &str, title: &str) -> Result<(), ApiError> {
    let path = format!("/documents/{}", route::encode(doc));
    api("PATCH", &path, Some(json!({ "title": title })))
        .await
        .into_body()
        .map(|_document| ())
}

/// Deletes a document.
pub(crate) async fn delete(doc: &str) -> Result<(), ApiError> {
    delete_at(&format!("/documents/{}", route::encode(doc))).await
}

/// `DELETE`.
pub(crate) async fn delete_at(path: &str) -> Result<(), ApiError> {
    api("DELETE", path, None).await.into_body().map(|_nothing| ())
}

fn read<T: DeserializeOwned>(answer: Result<JsValue, JsValue>) -> Option<T> {
    let json = answer.ok()?.as_string()?;
    serde_json::from_str(&json)
        .map_err(|error| browser::log(&format!("an answer of the surface cannot be read: {error}")))
        .ok()
}

fn unanswered() -> DecideAnswer {
    let message = Some("There was no answer. Look at the card before you decide again.".to_owned());
    DecideAnswer {
        message,
        ..DecideAnswer::default()
    }
}
