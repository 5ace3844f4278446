'use strict'
// One small client for each of the five protocols, all with the same face, for tests with thousands of them: open, ask, and how it
// was told goodbye. Pings are off in the listeners that go with them, so that nothing has to be answered.

const crypto = require('node:crypto')
const net = require('node:net')
const { frame } = require('./frame-client')
const { verbsListener } = require('./verbs')
const { within } = require('./wait')

const LIMIT = 30_000

const websocket = (path, more) => ({
  opening: (port) =>
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${crypto.randomBytes(16).toString('base64')}\r\n\r\n`,
  ...more,
})

/**
 * By protocol: its listener, the bytes that open (`opening`), what comes when it is open (`ready`), what is sent then (`hello`), a call
 * with a number (`call`) of an action that takes `time`, and its answer (`answer`).
 */
const FIVE = {
  'tcp-verbs': {
    listener: (more = {}) => verbsListener({ backends: ['builtin'], ...more }),
    ready: () => 'Welcome',
    call: (_, time) => (time ? `${JSON.stringify({ action: 'sleepTest', params: { sleepDuration: time } })}\r\n` : 'randomNumber\r\n'),
    answer: (number) => new RegExp(`"messageCount":${number}\\b`),
  },
  'ws-channels': websocket('/', {
    listener: (more = {}) => ({ protocol: 'ws-channels', channels: { relay: 'plain' }, ...more }),
    call: (number) => frame('ping', `ping ${number}`),
    answer: (number) => new RegExp(`^pong ping ${number}$`),
  }),
  'ws-rpc': websocket('/', {
    listener: (more = {}) => ({ protocol: 'ws-rpc', backends: ['builtin'], rpc: { heartbeat: '0s' }, ...more }),
    call: (number, time) => frame('text', JSON.stringify(time ? [number, 'sleepTest', [time]] : [number, 'randomNumber', []])),
    answer: (number) => new RegExp(`^text \\[${number},true,`),
  }),
  'socket-io': websocket('/socket.io/?EIO=4&transport=websocket', {
    listener: (more = {}) => ({ protocol: 'socket-io', backends: ['builtin'], socket_io: { ping_interval: '1h', namespaces: ['/other'] }, ...more }),
    hello: frame('text', '40'),
    ready: () => '40{',
    call: (number, time) => frame('text', `42${number}${JSON.stringify(time ? ['sleepTest', time] : ['randomNumber'])}`),
    answer: (number) => new RegExp(`^text 43${number}\\[`),
  }),
  'devtools-relay': websocket('/socketcluster/', {
    listener: (more = {}) => ({
      protocol: 'devtools-relay', backends: ['builtin'],
      devtools: { protocol_version: 2, ping_interval: '1h', ping_timeout: '2h' }, ...more,
    }),
    hello: frame('text', '{"event":"#handshake","data":{"authToken":null},"cid":1}'),
    ready: () => '"rid":1,',
    call: (number, time) =>
      frame('text', JSON.stringify({ event: time ? 'sleepTest' : 'randomNumber', data: time ? { sleepDuration: time } : {}, cid: number + 1 })),
    answer: (number) => new RegExp(`"rid":${number + 1}\\b`),
  }),
}

const KINDS = Object.keys(FIVE)

/** The whole frames at the beginning of bytes from a server, as `kind payload` texts, and the bytes behind them. */
function frames(bytes) {
  const KIND = { 1: 'text', 2: 'binary', 8: 'close', 9: 'ping', 10: 'pong' }
  const found = []
  let at = 0
  while (bytes.length - at >= 2) {
    let length = bytes[at + 1] & 0x7f
    let start = at + 2
    if (length === 126) {
      if (bytes.length < start + 2) break
      length = bytes.readUInt16BE(start)
      start += 2
    } else if (length === 127) {
      if (bytes.length < start + 8) break
      length = Number(bytes.readBigUInt64BE(start))
      start += 8
    }
    if (bytes.length < start + length) break
    const kind = KIND[bytes[at] & 0x0f]
    const payload = bytes.subarray(start, start + length)
    found.push(kind === 'close' ? `close ${length ? payload.readUInt16BE(0) : ''}` : `${kind} ${payload}`)
    at = start + length
  }
  return [found, bytes.subarray(at)]
}

/** A client of protocol `kind`. */
class Small {
  /** Opens a session; throws if that fails. */
  static async open(kind, port, options) {
    const client = new Small(kind, port, options)
    await within(client.opened, LIMIT, () => `a session of ${kind}; so far ${client.heard.slice(-3)}`)
    return client
  }

  constructor(kind, target, { host = '127.0.0.1', localAddress } = {}) {
    this.kind = kind
    this.protocol = FIVE[kind]
    this.heard = []
    this.asked = 0
    this.waiting = []
    this.rest = Buffer.alloc(0)
    this.isUpgraded = !this.protocol.opening
    this.socket = typeof target === 'string' ? net.connect(target) : net.connect({ port: target, host, localAddress })
    this.socket.setNoDelay(true)
    this.ended = new Promise((resolve) => {
      this.socket.once('close', () => {
        const farewell = this.heard.at(-1)
        for (const { reject } of this.waiting.splice(0)) reject(new Error(`${kind} was closed, last with ${farewell}`))
        resolve({ at: Date.now(), farewell, error: this.error })
      })
    })
    this.socket.on('error', (error) => {
      this.error = error
    })
    this.socket.on('data', (bytes) => this.take(bytes))
    this.opened = this.protocol.ready || this.protocol.opening
      ? this.hears(this.protocol.ready ? (text) => text.includes(this.protocol.ready()) : (text) => text.startsWith('HTTP/1.1 101'))
      : Promise.resolve()
    if (this.protocol.opening) this.socket.write(this.protocol.opening(target))
  }

  take(bytes) {
    this.rest = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes])
    if (!this.isUpgraded) {
      const end = this.rest.indexOf('\r\n\r\n')
      if (end < 0) return
      this.isUpgraded = true
      const head = this.rest.subarray(0, end).toString()
      this.rest = this.rest.subarray(end + 4)
      this.hear(head)
      if (this.protocol.hello) this.socket.write(this.protocol.hello)
    }
    if (this.protocol.opening) {
      const [found, rest] = frames(this.rest)
      this.rest = rest
      for (const text of found) {
        this.hear(text)
        // A close frame is answered, as every client does.
        if (text.startsWith('close')) this.socket.end(frame('close', Buffer.from([3, 0xe9])))
      }
      return
    }
    const lines = this.rest.toString().split('\r\n')
    this.rest = Buffer.from(lines.pop())
    for (const line of lines) this.hear(line)
  }

  hear(text) {
    this.heard.push(text)
    if (this.heard.length > 20) this.heard.shift()
    const found = this.waiting.findIndex(({ test }) => test(text))
    if (found >= 0) this.waiting.splice(found, 1)[0].resolve(text)
  }

  hears(test) {
    const heard = new Promise((resolve, reject) => this.waiting.push({ test, resolve, reject }))
    // Whoever waits for it sees the error; where nobody does it is none.
    heard.catch(() => {})
    return heard
  }

  /** Calls an action that takes `time` milliseconds, and gives the answer. */
  ask(time = 0) {
    this.asked += 1
    const answer = this.protocol.answer(this.asked)
    const answered = this.hears((text) => answer.test(text))
    this.socket.write(this.protocol.call(this.asked, time))
    return within(answered, LIMIT + time, () => `an answer to call ${this.asked} of ${this.kind}; heard ${this.heard.slice(-3)}`)
  }

  close() {
    this.socket.destroy()
  }
}

/** A listener of each protocol, under its protocol's name. */
const fiveListeners = (more = {}) => Object.fromEntries(KINDS.map((kind) => [kind, FIVE[kind].listener(structuredClone(more))]))

module.exports = { FIVE, KINDS, Small, fiveListeners }
