// What a relay says to a stock client that the client itself keeps quiet about.

import * as Y from 'yjs';

/** Counts the writes that the relay refuses to a client of either protocol, from now on. */
export function refusals(client) {
  const seen = { count: 0 };
  const look = (data) => {
    const bytes = new Uint8Array(data instanceof ArrayBuffer ? data : data.buffer ?? data);
    // y-websocket: an auth message (2), permission denied (0). Hocuspocus: its document's name, SyncStatus (8), refused (0).
    if (client.provider.ws) seen.count += bytes[0] === 2 && bytes[1] === 0 ? 1 : 0;
    else seen.count += bytes.at(-2) === 8 && bytes.at(-1) === 0 ? 1 : 0;
  };
  if (client.provider.ws) client.provider.ws.addEventListener('message', ({ data }) => look(data));
  else client.provider.on('message', ({ event }) => look(event.data));
  return seen;
}

/** State vector and delete set of what a document holds. */
export const snapshot = (doc) => Y.snapshot(doc);

/** Whether two documents hold the same, by state vector and delete set. */
export const same = (one, two) => Y.equalSnapshots(Y.snapshot(one), Y.snapshot(two));
