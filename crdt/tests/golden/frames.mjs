// Writes frames.json: frames as the real Hocuspocus packages put them on the socket. crdt/tests/frames.rs reads them.
// To make them again, in an empty folder:
//   npm install @hocuspocus/provider@4.8.0 @hocuspocus/server@4.7.0 yjs@13.6.33 y-protocols@1.0.7
//   cp <repository>/crdt/tests/golden/frames.mjs . && node frames.mjs > <repository>/crdt/tests/golden/frames.json
import { HocuspocusProvider, HocuspocusProviderWebsocket } from '@hocuspocus/provider'
import { OutgoingMessage } from '@hocuspocus/server'
import { Awareness } from 'y-protocols/awareness'
import * as Y from 'yjs'

const frames = []
const hex = bytes => Buffer.from(bytes).toString('hex')
const note = (from, what, bytes) => frames.push({ from, what, hex: hex(bytes) })
const soon = () => new Promise(resolve => setTimeout(resolve, 20))

// The client's side: a provider whose socket keeps what it is given.
let socket
class Socket {
  static OPEN = 1
  readyState = 1
  sent = []
  #listeners = {}
  constructor() {
    socket = this
    setTimeout(() => this.#tell('open', {}), 0)
  }
  addEventListener(event, listener) {
    (this.#listeners[event] ??= []).push(listener)
  }
  removeEventListener() {}
  send(bytes) {
    this.sent.push(new Uint8Array(bytes))
  }
  close() {}
  #tell(event, payload) {
    for (const listener of this.#listeners[event] ?? []) listener(payload)
  }
  receive(bytes) {
    this.#tell('message', { data: new Uint8Array(bytes).buffer })
  }
  take(...names) {
    if (this.sent.length !== names.length) throw new Error(`${this.sent.length} frames, not ${names.length}: ${names}`)
    this.sent.splice(0).forEach((bytes, index) => note('client', names[index], bytes))
  }
}

function openProvider(options) {
  const document = new Y.Doc()
  document.clientID = 1001
  const awareness = new Awareness(document)
  awareness.setLocalState({ user: { id: 'u1', name: 'Zoë 🌲', color: '#2f6f4f' } })
  const websocketProvider = new HocuspocusProviderWebsocket({ url: 'ws://nowhere', WebSocketPolyfill: Socket })
  const provider = new HocuspocusProvider({ name: 'plän', document, awareness, websocketProvider, ...options })
  provider.attach()
  return { document, awareness, provider, websocketProvider }
}

const { document, awareness, provider, websocketProvider } = openProvider({ token: '{"key":"k"}' })
await soon()
socket.take('token', 'step1 of an empty document', 'awareness')

const server = new Y.Doc()
server.clientID = 7
const address = 'plän'
const say = (what, message) => {
  const bytes = message.toUint8Array()
  note('server', what, bytes)
  return bytes
}
socket.receive(say('authenticated read-write', new OutgoingMessage(address).writeAuthenticated(false)))
socket.receive(say('step1', new OutgoingMessage(address).createSyncMessage().writeFirstSyncStepFor(server)))
socket.take('step2 of an empty document')
document.getText('t').insert(0, 'Grüße 🌲')
socket.take('update')
provider.sendStateless('{"type":"decide","seq":1}')
socket.take('stateless')
socket.receive(new OutgoingMessage(address).writeQueryAwareness().toUint8Array())
socket.take('answer to the awareness question')
awareness.setLocalState(null)
socket.take('awareness gone')
socket.receive([9])
socket.take('pong')
provider.detach()
socket.take('close')
websocketProvider.destroy()

const second = openProvider({ token: '', sessionAwareness: true })
second.provider.sessionId = 's3ss10n'
await soon()
socket.sent.length = 0
second.provider.sendStateless('hello')
socket.take('stateless of a session')
second.websocketProvider.destroy()

// The server's side: its own class for what it sends.
Y.applyUpdate(server, Y.encodeStateAsUpdate(document))
const shared = new Awareness(server)
shared.setLocalState({ user: { name: 'relay' } })
say('ask for the token', new OutgoingMessage(address).writeTokenSyncRequest())
say('authenticated readonly', new OutgoingMessage(address).writeAuthenticated(true))
say('permission denied', new OutgoingMessage(address).writePermissionDenied('wrong key'))
say('sync reply', new OutgoingMessage(address).createSyncReplyMessage().writeFirstSyncStepFor(server))
say('update', new OutgoingMessage(address).createSyncMessage().writeUpdate(Y.encodeStateAsUpdate(server)))
say('awareness', new OutgoingMessage(address).createAwarenessUpdateMessage(shared))
say('awareness question', new OutgoingMessage(address).writeQueryAwareness())
say('stateless', new OutgoingMessage(address).writeStateless('{"type":"decided"}'))
say('broadcast stateless', new OutgoingMessage(address).writeBroadcastStateless('all'))
say('close', new OutgoingMessage(address).writeCloseMessage('gone'))
say('saved', new OutgoingMessage(address).writeSyncStatus(true))
say('refused', new OutgoingMessage(address).writeSyncStatus(false))
say('to a session', new OutgoingMessage('plän\0s3ss10n').writeSyncStatus(true))
note('server', 'ping', [9])

console.log(JSON.stringify(frames, null, 1))
process.exit(0)
