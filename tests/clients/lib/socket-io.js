'use strict'
// One face for the original Socket.IO clients of all generations. A client writes down what its application sees.

const { until } = require('./wait')

const VERSIONS = ['1.4.8', '1.7.4', '2.0.4', '2.5.0', '3.0.5', '3.1.3', '4.1.3', '4.6.0', '4.8.4']

const TRANSPORTS = {
  polling: ['polling'],
  websocket: ['websocket'],
  upgrade: undefined,
}

/** Events of the walk's application and of the suites. */
const EVENTS = [
  'echo', 'question', 'got-answer', 'bin', 'uni', 'burst', 'big', 'load', 'authenticated', 'unauthorized', 'message', 'news',
  'chat',
]

const isBinary = (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value)

/** A value as transcripts hold it: comparable, and binary however the client gives it. */
function plain(value) {
  if (isBinary(value)) {
    const view = value instanceof ArrayBuffer ? new Uint8Array(value) : new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    return { binary: Buffer.from(view).toString('hex') }
  }
  if (typeof value === 'function') return '<callback>'
  if (Array.isArray(value)) return value.map(plain)
  if (value === null || typeof value !== 'object') return value
  if (value instanceof Error) return { message: value.message, ...(value.data === undefined ? {} : { data: plain(value.data) }) }
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
}

/** 3 for clients 1.x and 2.x, 4 for the later ones: the number of their Engine.IO. */
const generation = (version) => (/^[12]\./.test(version) ? 3 : 4)

/** What an application sees, and waiting for it. Who extends it has `emit` and `request`. */
class Witness {
  constructor(version) {
    this.version = version
    this.transcript = []
    this.asked = new Map()
  }

  /** The entries of the transcript that begin with `head`. */
  entries(...head) {
    return this.transcript.filter((entry) => head.every((value, index) => entry[index] === value))
  }

  /** Waits for the `count`th entry that begins with `head`; gives it. */
  async saw(head, count = 1, limit) {
    await until(
      () => `${count} of ${JSON.stringify(head)}; ${this.describe()}`,
      () => this.entries(...head).length >= count,
      limit,
    )
    return this.entries(...head)[count - 1]
  }

  event(name, count, limit) {
    return this.saw(['event', name], count, limit)
  }

  /** Emits, and gives the arguments of the `name` that follows. */
  async exchange(event, args, name = event) {
    const before = this.entries('event', name).length
    this.emit(event, ...args)
    return (await this.event(name, before + 1)).slice(2)
  }

  connected(count = 1, limit) {
    return this.saw(['connect'], count, limit)
  }

  /** Waits until it is told that it is disconnected; gives the reason. */
  async disconnected(count = 1, limit) {
    return (await this.saw(['disconnect'], count, limit))[1]
  }

  /** Emits and gives the arguments of the server's answer; answers to one event come in order. */
  async ask(name, ...args) {
    const count = (this.asked.get(name) ?? 0) + 1
    this.asked.set(name, count)
    this.request(name, ...args)
    return (await this.saw(['answer', name], count)).slice(2)
  }

  describe() {
    const short = (key, value) => (typeof value === 'string' && value.length > 200 ? `${value.slice(0, 20)}… (${value.length})` : value)
    return `client ${this.version} has seen ${JSON.stringify(this.transcript, short).slice(0, 4000)}`
  }
}

class Client extends Witness {
  /** Everything that the application behind `socket` sees goes into `transcript`. */
  constructor(version, socket, { answer = () => ['fine', { n: 1 }], confirm = false, events = [] } = {}) {
    super(version)
    this.generation = generation(version)
    this.socket = socket
    const note = (...entry) => this.transcript.push(entry)
    socket.on('connect', () => note('connect'))
    socket.on('disconnect', (reason) => note('disconnect', reason))
    socket.on('connect_error', (error) => note('connect_error', plain(error)))
    if (this.generation === 3) socket.on('error', (error) => note('error', plain(error)))
    for (const name of new Set([...EVENTS, ...events])) {
      socket.on(name, (...args) => {
        note('event', name, ...args.map(plain))
        const callback = args.at(-1)
        if (typeof callback !== 'function') return
        if (name === 'question') callback(...answer(...args.slice(0, -1)))
        else if (confirm) callback()
      })
    }
  }

  get isConnected() {
    return this.socket.connected
  }

  /** The id by which servers know this connection. */
  get id() {
    return this.socket.id
  }

  get transport() {
    return this.socket.io.engine.transport.name
  }

  /** Whether it is about to connect again by itself. */
  get isReturning() {
    const manager = this.socket.io
    return Boolean(manager.reconnecting || manager._reconnecting)
  }

  emit(name, ...args) {
    this.socket.emit(name, ...args)
  }

  /** Emits an event whose answer goes into the transcript. */
  request(name, ...args) {
    this.socket.emit(name, ...args, (...answer) => this.transcript.push(['answer', name, ...answer.map(plain)]))
  }

  /** Another namespace on the same connection. `query` is of generation 3, `auth` of generation 4. */
  namespace(name, { query, auth, ...options } = {}) {
    const socket = this.socket.io.socket(name, { query, auth })
    const client = new Client(this.version, socket, options)
    socket.open()
    return client
  }

  /** Leaves the namespace, and the connection if nothing else is on it. */
  leave() {
    this.socket.disconnect()
  }

  /** Takes the whole connection down. */
  close() {
    const manager = this.socket.io
    if (manager.reconnection) manager.reconnection(false)
    this.socket.disconnect()
    manager.engine?.close()
  }
}

/**
 * A client under way. `transports` is a name of TRANSPORTS; `namespace`, `query`, `auth`, `parser` and `headers` are what
 * they are to the clients; `answer` makes the arguments of the answer to the event `question`, `confirm` answers all others;
 * `events` are names to hear beside EVENTS.
 */
function connect(version, url, {
  transports = 'upgrade', namespace = '', query, auth, parser, headers, reconnection = false, answer, confirm, events, options = {},
} = {}) {
  const io = require(`socket.io-client-${version}`)
  // Namespaces are opened by hand: left to itself, 4.6.0 sends a second CONNECT for each, and others none for one left before.
  const settings = {
    forceNew: true, autoConnect: false, reconnection, reconnectionDelay: 50, reconnectionDelayMax: 100, randomizationFactor: 0,
    ...options,
  }
  if (TRANSPORTS[transports]) settings.transports = TRANSPORTS[transports]
  if (query) settings.query = query
  if (auth) settings.auth = auth
  if (parser) settings.parser = parser
  if (headers) {
    settings.extraHeaders = headers
    // Older versions take headers of a transport only by its own name.
    settings.transportOptions = { polling: { extraHeaders: headers }, websocket: { extraHeaders: headers } }
  }
  const client = new Client(version, io(`${url}${namespace}`, settings), { answer, confirm, events })
  client.socket.open()
  return client
}

module.exports = { connect, generation, plain, Witness, VERSIONS, TRANSPORTS }
