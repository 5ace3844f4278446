'use strict'
// A raw Engine.IO client: it sends what a test asks for, legal or not, and shows every byte that comes back.

const http = require('node:http')
const { FrameClient } = require('./frame-client')
const { within, LIMIT } = require('./wait')

const SEPARATOR = '\x1e'
const PATH = '/socket.io/'

/** One request. Gives `{ status, headers, body, text }`; `started` is told when the request is on its way. */
function send(port, { method = 'GET', path, headers = {}, body, agent = false, limit = LIMIT }, started = () => {}) {
  const options = { host: '127.0.0.1', port, method, path, headers, agent }
  let request
  const answered = new Promise((resolve, reject) => {
    request = http.request(options, (response) => {
      const parts = []
      response.on('data', (part) => parts.push(part))
      response.on('error', reject)
      response.on('end', () => {
        const whole = Buffer.concat(parts)
        resolve({ status: response.statusCode, headers: response.headers, body: whole, text: whole.toString() })
      })
    })
    request.on('error', reject)
    request.end(body)
  })
  started(request)
  return within(answered, limit, () => `no answer to ${method} ${path}`)
}

/** Sends a head as it stands, and gives the status line, the headers and the body of what comes back. */
async function sendHead(port, head, { hasBody = true } = {}) {
  const client = await FrameClient.connect({ port })
  try {
    const answer = await client.request(head)
    if (hasBody && answer.body === '') await client.ended().catch(() => {})
    const body = answer.body || client.stream.pending.toString()
    return { ...answer, body }
  } finally {
    client.close()
  }
}

/** The head of a WebSocket opening. */
const opening = (path, headers = {}) => {
  const lines = {
    Host: '127.0.0.1',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
  }
  return `GET ${path} HTTP/1.1\r\n${Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
}

/** The packets of a polling body of generation 3, text or binary; binary messages are Buffers. */
function decodeOld(body, isBinary) {
  const packets = []
  if (!isBinary) {
    let text = body.toString()
    while (text !== '') {
      const colon = text.indexOf(':')
      const length = Number(text.slice(0, colon))
      const packet = text.slice(colon + 1, colon + 1 + length)
      if (!/^\d+$/.test(text.slice(0, colon)) || packet.length !== length) throw new Error(`not a polling body: ${body}`)
      packets.push(packet.startsWith('b') ? Buffer.from(packet.slice(2), 'base64') : packet)
      text = text.slice(colon + 1 + length)
    }
    return packets
  }
  let at = 0
  while (at < body.length) {
    const isText = body[at] === 0
    const end = body.indexOf(0xff, at)
    const length = Number([...body.subarray(at + 1, end)].join(''))
    const packet = body.subarray(end + 1, end + 1 + length)
    packets.push(isText ? packet.toString() : packet.subarray(1))
    at = end + 1 + length
  }
  return packets
}

const decodeNew = (body) =>
  body.toString().split(SEPARATOR).map((packet) => (packet.startsWith('b') ? Buffer.from(packet.slice(1), 'base64') : packet))

const encodeOld = (packets) => packets.map((packet) => `${packet.length}:${packet}`).join('')

class Polling {
  /** A session by its handshake. `query` is more of the address, as `&b64=1`. */
  static async open(port, { eio = 4, query = '', headers = {} } = {}) {
    const session = new Polling(port, eio, query, headers)
    session.handshake = await session.get()
    if (session.handshake.status !== 200) throw new Error(`the handshake gave ${session.handshake.status} ${session.handshake.text}`)
    const [first, ...rest] = session.decode(session.handshake)
    session.opened = JSON.parse(first.slice(1))
    session.sid = session.opened.sid
    session.early = rest
    return session
  }

  /** A session that is in the namespace `/`. */
  static async connected(port, options) {
    const session = await Polling.open(port, options)
    if (session.eio === 4) await session.send('40')
    const packets = session.early.length > 0 ? session.early : await session.poll()
    if (!packets[0].startsWith('40')) throw new Error(`connecting gave ${packets}`)
    return session
  }

  constructor(port, eio, query, headers) {
    this.port = port
    this.eio = eio
    this.query = query
    this.headers = headers
    // An agent of its own: its connections are kept, as those of the original clients are.
    this.agent = new http.Agent({ keepAlive: true })
  }

  path(more = '') {
    const sid = this.sid ? `&sid=${this.sid}` : ''
    return `${PATH}?EIO=${this.eio}&transport=polling${this.query}${sid}${more}`
  }

  request(options, started) {
    return send(this.port, { path: this.path(), agent: this.agent, ...options, headers: { ...this.headers, ...options.headers } }, started)
  }

  get(options = {}, started) {
    return this.request(options, started)
  }

  /** The packets of one polling response that has any: a ping is answered, and a noop is none. */
  async poll() {
    for (;;) {
      const answer = await this.get()
      if (answer.status !== 200) throw new Error(`a poll gave ${answer.status} ${answer.text}`)
      const packets = this.decode(answer)
      if (this.eio === 4 && packets.includes('2')) await this.send('3')
      const rest = packets.filter((packet) => packet !== '6' && !(this.eio === 4 && packet === '2'))
      if (rest.length > 0) return rest
    }
  }

  /** Polls until there are `count` packets. */
  async packets(count) {
    const packets = []
    while (packets.length < count) packets.push(...(await this.poll()))
    return packets
  }

  decode({ headers, body }) {
    return this.eio === 3 ? decodeOld(body, headers['content-type'] === 'application/octet-stream') : decodeNew(body)
  }

  post(body, headers = { 'content-type': 'text/plain;charset=UTF-8' }, options = {}) {
    return this.request({ method: 'POST', body, headers, ...options })
  }

  async send(...packets) {
    const answer = await this.post(this.eio === 3 ? encodeOld(packets) : packets.join(SEPARATOR))
    if (answer.status !== 200 || answer.text !== 'ok') throw new Error(`a POST gave ${answer.status} ${answer.text}`)
  }

  /** Sends an event to the walk's application and gives the packet that comes back. */
  async echo(word) {
    await this.send(`42["echo",${JSON.stringify(word)}]`)
    return (await this.poll())[0]
  }

  close() {
    this.agent.destroy()
  }
}

/** A WebSocket session, a FrameClient with what it was told at its opening in `opened`. */
async function openSocket(port, { eio = 4, query = '', headers } = {}) {
  const client = await FrameClient.open({ port, path: `${PATH}?EIO=${eio}&transport=websocket${query}`, headers })
  client.opened = JSON.parse((await client.nextText()).slice(1))
  return client
}

/** A WebSocket session in the namespace `/`; `welcome` is what the server said to it. */
async function connectedSocket(port, options = {}) {
  const client = await openSocket(port, options)
  if ((options.eio ?? 4) === 4) await client.text('40')
  client.welcome = await client.nextText()
  return client
}

/** The next text that is no ping; those are answered. */
async function nextMessage(client) {
  for (;;) {
    const text = await client.nextText()
    if (text !== '2') return text
    await client.text('3')
  }
}

/** A WebSocket on its way to take over from polling. */
const upgrading = (polling) =>
  FrameClient.open({ port: polling.port, path: `${PATH}?EIO=${polling.eio}&transport=websocket&sid=${polling.sid}` })

module.exports = { Polling, send, sendHead, opening, openSocket, connectedSocket, nextMessage, upgrading, SEPARATOR, PATH }
