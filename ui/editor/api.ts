// The REST interface: over HTTP in a browser, over IPC in the desktop window.

import { invoke } from "@tauri-apps/api/core";
import { record, reason, words } from "./json.ts";
import type { ApiAnswer } from "./seam.ts";
import { isDesktop } from "./transport-tauri.ts";
import { accessKey } from "./transport-ws.ts";

const BASE = "/api/v1";

/** Calls `path` (below /api/v1, or whole); never rejects. Status 0 means that nothing answered, with words in `message`. */
export async function callApi(method: string, path: string, body: string | null): Promise<ApiAnswer> {
  const whole = path.startsWith(`${BASE}/`) ? path : BASE + path;
  try {
    return isDesktop() ? await overIpc(method, whole, body) : await overHttp(method, whole, body);
  } catch (error) {
    const message = `The server cannot be reached (${reason(error)}).`;
    return { status: 0, body: JSON.stringify({ code: "unreachable", message }) };
  }
}

async function overIpc(method: string, path: string, body: string | null): Promise<ApiAnswer> {
  const answer = record(await invoke("api_request", { method, path, body }));
  return { status: Number(answer["status"]) || 0, body: words(answer["body"]) };
}

async function overHttp(method: string, path: string, body: string | null): Promise<ApiAnswer> {
  const headers: Record<string, string> = {};
  const key = accessKey();
  if (key !== "") headers["authorization"] = `Bearer ${key}`;
  if (body !== null) headers["content-type"] = "application/json";
  const response = await fetch(path, { method, headers, body, cache: "no-store" });
  return { status: response.status, body: await response.text() };
}
