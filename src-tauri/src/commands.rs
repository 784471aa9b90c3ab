//! What the page may call. Each command parses, asks the relay and answers.

use serde::Serialize;
use sync_server::Relay;
use tauri::State;
use tauri::ipc::{Channel, InvokeBody, InvokeResponseBody, Request};

use crate::error::IpcError;
use crate::outside;
use crate::window_link::WindowLinks;

/// Opens a link to the embedded relay; frames from the relay arrive on `channel` as raw bytes, a JSON
/// message `{"closed": reason}` when the relay has closed it. Returns the link's number.
#[tauri::command]
pub(crate) async fn link_open(
    links: State<'_, WindowLinks>,
    channel: Channel<InvokeResponseBody>,
) -> Result<u32, IpcError> {
    Ok(links.open(channel))
}

/// Sends one frame to the relay: the raw request body, on the link that the header `link` names.
#[tauri::command]
pub(crate) async fn link_send(links: State<'_, WindowLinks>, request: Request<'_>) -> Result<(), IpcError> {
    let link = request
        .headers()
        .get("link")
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .ok_or_else(|| {
            IpcError::bad_request("the header `link` must be the number that link_open returned")
        })?;
    let InvokeBody::Raw(frame) = request.body() else {
        return Err(IpcError::bad_request("a frame must be sent as raw bytes"));
    };
    links.send(link, frame.clone().into()).await
}

/// Closes a link. Closing one that is closed already is no error.
#[tauri::command]
pub(crate) async fn link_close(links: State<'_, WindowLinks>, link: u32) -> Result<(), IpcError> {
    links.close(link);
    Ok(())
}

/// The answer of the relay's REST interface.
#[derive(Debug, Serialize)]
pub(crate) struct ApiAnswer {
    status: u16,
    body: String,
}

/// Asks the embedded relay's REST interface (docs/protocol.md) without a socket.
#[tauri::command]
pub(crate) async fn api_request(
    relay: State<'_, Relay>,
    method: String,
    path: String,
    body: Option<String>,
) -> Result<ApiAnswer, IpcError> {
    let answer = relay.api(&method, &path, body.unwrap_or_default().into()).await;
    Ok(ApiAnswer {
        status: answer.status,
        body: String::from_utf8_lossy(&answer.body).into_owned(),
    })
}

/// Opens a link of a document where the system opens such addresses. Only addresses of the web, of mail and of telephones:
/// a document comes from others, and must not start programs.
#[tauri::command]
pub(crate) async fn follow_link(url: String) -> Result<(), IpcError> {
    let address = outside::address(&url)?;
    open::that_detached(address.as_str())
        .map_err(|error| IpcError::system("the link cannot be opened", &error))
}

/// Writes a text file into the person's folder for downloads, under a name that nothing there has; answers its path.
#[tauri::command]
pub(crate) async fn save_text(name: String, text: String) -> Result<String, IpcError> {
    let folder = outside::downloads()
        .ok_or_else(|| IpcError::bad_request("this system names no folder for downloads"))?;
    outside::save(&folder, &name, &text)
        .map(|path| path.display().to_string())
        .map_err(|error| IpcError::system("the file cannot be written", &error))
}
