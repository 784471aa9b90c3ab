// Where the relay is, in a browser: the server that the page came from.

/** sessionStorage name of the access key: it lasts as long as the tab. */
const KEY = "inkling.key";

/** The access key: of the page's address (`?key=`), else the one this tab used before; "" when there is none. */
export function accessKey(location: Location = window.location): string {
  const given = new URLSearchParams(location.search).get("key");
  try {
    if (given !== null && given !== "") sessionStorage.setItem(KEY, given);
    return given ?? sessionStorage.getItem(KEY) ?? "";
  } catch {
    return given ?? ""; // storage is switched off
  }
}

/** Address of the relay's Hocuspocus socket. */
export function relayUrl(location: Location = window.location): string {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/hocuspocus`;
}
