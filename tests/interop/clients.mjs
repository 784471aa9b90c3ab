// Stock clients, unmodified, and what the tests do with them.

import { HocuspocusProvider, HocuspocusProviderWebsocket } from '@hocuspocus/provider';
import { WebsocketProvider } from 'y-websocket';
import WebSocket from 'ws';
import * as Y from 'yjs';

/** How long a condition may take before the test says what it waited for. Nothing here measures speed. */
const PATIENCE_MS = 20_000;

/** Waits until `condition` holds; fails with `what` otherwise. */
export async function until(what, condition) {
  const end = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A stock y-websocket client of a document. */
export function yWebsocket(server, name, params = {}) {
  const doc = new Y.Doc();
  const provider = new WebsocketProvider(`ws://127.0.0.1:${server.port}/y`, encodeURIComponent(name), doc, {
    WebSocketPolyfill: WebSocket, disableBc: true, params, maxBackoffTime: 500,
  });
  return { doc, provider, text: paragraph(doc), synced: () => provider.synced, close: () => provider.destroy() };
}

/** A stock Hocuspocus client of a document, on a socket of its own or on `socket`. */
export function hocuspocus(server, name, { token = '', socket, ...handlers } = {}) {
  const doc = new Y.Doc();
  const own = socket ?? hocuspocusSocket(server);
  const provider = new HocuspocusProvider({ name, document: doc, token, websocketProvider: own, ...handlers });
  provider.attach();
  return {
    doc, provider, text: paragraph(doc),
    synced: () => provider.isSynced,
    saved: () => provider.isSynced && provider.unsyncedChanges === 0,
    close: () => { provider.destroy(); if (!socket) own.destroy(); },
  };
}

/** One WebSocket for several documents. */
export function hocuspocusSocket(server) {
  return new HocuspocusProviderWebsocket({
    url: `ws://127.0.0.1:${server.port}/hocuspocus`, WebSocketPolyfill: WebSocket, delay: 100, minDelay: 100, maxDelay: 500, jitter: false,
  });
}

/** The document's first paragraph as a shared text, made by whoever asks first after syncing. */
function paragraph(doc) {
  return () => {
    const fragment = doc.getXmlFragment('default');
    if (fragment.length === 0) {
      const element = new Y.XmlElement('paragraph');
      element.insert(0, [new Y.XmlText()]);
      fragment.insert(0, [element]);
    }
    return fragment.get(0).get(0);
  };
}

/** The whole text of a document, blocks joined by newlines. */
export function plain(doc) {
  return doc.getXmlFragment('default').toArray().map((block) => textOf(block)).join('\n');
}

function textOf(node) {
  if (node instanceof Y.XmlText) return node.toDelta().map((run) => (typeof run.insert === 'string' ? run.insert : '')).join('');
  return node.toArray().map(textOf).join('');
}

/** Everything that identifies a replica's state: equal for two replicas that have converged. */
export function fingerprint(doc) {
  return Buffer.from(Y.encodeStateAsUpdate(doc)).toString('base64') + JSON.stringify(doc.getXmlFragment('default').toJSON());
}
