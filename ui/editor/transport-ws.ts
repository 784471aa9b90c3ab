// Where the relay is, in a browser: the server that the page came from.

/** sessionStorage name of the access key: it lasts as long as the tab. */
const KEY = "inkling.key";

/** An address with its access key taken out of it, and the key; null when it has none. */
export function withoutKey(address: string): { address: string; key: string } | null {
  const url = new URL(address);
  const [path = "", query = ""] = url.hash.split(/\?(.*)/s);
  const [inHash, inSearch] = [new URLSearchParams(query), url.searchParams];
  // Links are printed with the key behind the #, where no server sees it; links of before had it in front.
  const key = inHash.get("key") ?? inSearch.get("key") ?? "";
  if (!inHash.has("key") && !inSearch.has("key")) return null;
  inHash.delete("key");
  inSearch.delete("key");
  const rest = inHash.toString();
  url.hash = rest === "" ? path : `${path}?${rest}`;
  return { address: url.href, key };
}

/**
 * Takes the key out of the page's address, so that it is not in the history, in bookmarks or over a shoulder, and keeps it
 * for this tab. True when it is another one than before.
 */
export function takeKey(location: Location = window.location): boolean {
  const found = withoutKey(location.href);
  if (found === null) return false;
  const before = accessKey();
  remember(found.key);
  window.history.replaceState(window.history.state, "", found.address);
  return found.key !== "" && found.key !== before;
}

/** The access key of this tab; "" when there is none. */
export function accessKey(): string {
  try {
    return sessionStorage.getItem(KEY) ?? unstored;
  } catch {
    return unstored;
  }
}

/** Lasts as long as the page, where storage is switched off. */
let unstored = "";

function remember(key: string): void {
  if (key === "") return;
  unstored = key;
  try {
    sessionStorage.setItem(KEY, key);
  } catch {
    // Storage is switched off: a reload needs the link again.
  }
}

/** Address of the relay's Hocuspocus socket. */
export function relayUrl(location: Location = window.location): string {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/hocuspocus`;
}
