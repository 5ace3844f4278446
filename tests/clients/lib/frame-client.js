'use strict'
// A WebSocket client that sends whatever frame a test asks for, legal or not, and shows every frame it receives.

const crypto = require('node:crypto')
const net = require('node:net')
const { ByteStream } = require('./byte-stream')
const { within, LIMIT } = require('./wait')

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 }
const KIND = Object.fromEntries(Object.entries(OPCODE).map(([kind, opcode]) => [opcode, kind]))

/** The bytes of one frame. `mask: null` leaves it unmasked, which is illegal for a client. */
function frame(kind, payload = '', { fin = true, rsv = 0, opcode = OPCODE[kind], mask = crypto.randomBytes(4) } = {}) {
  const body = Buffer.from(payload)
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode
  const masked = mask ? 0x80 : 0
  let head
  if (body.length < 126) head = Buffer.from([first, masked | body.length])
  else if (body.length < 65_536) head = Buffer.from([first, masked | 126, body.length >> 8, body.length & 0xff])
  else {
    head = Buffer.alloc(10)
    head[0] = first
    head[1] = masked | 127
    head.writeBigUInt64BE(BigInt(body.length), 2)
  }
  if (!mask) return Buffer.concat([head, body])
  const hidden = Buffer.from(body.map((byte, index) => byte ^ mask[index % 4]))
  return Buffer.concat([head, mask, hidden])
}

/** The payload of a close frame. */
function closing(code, reason = '') {
  const payload = Buffer.alloc(2 + Buffer.byteLength(reason))
  payload.writeUInt16BE(code, 0)
  payload.write(reason, 2)
  return payload
}

let counter = 0

class FrameClient {
  /** Connects and opens; throws if the answer is not a proper 101. */
  static async open(options) {
    const client = await FrameClient.connect(options)
    await client.upgrade(options)
    return client
  }

  /** Connects TCP only. */
  static async connect({ port, host = '127.0.0.1', localAddress, name }) {
    counter += 1
    const client = new FrameClient(net.connect({ port, host, localAddress }), name ?? `page ${counter}`)
    await within(client.connected, LIMIT, () => `${client.name} is not connected`)
    return client
  }

  constructor(socket, name) {
    this.name = name
    this.socket = socket
    this.socket.setNoDelay(true)
    this.stream = new ByteStream(socket, name)
    this.connected = new Promise((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
  }

  get localPort() {
    return this.socket.localPort
  }

  write(data) {
    return new Promise((resolve, reject) => {
      this.socket.write(data, (error) => (error ? reject(error) : resolve()))
    })
  }

  /** Sends a request head and gives the answer's head and, if it states a length, its body. */
  async request(head) {
    await this.write(head)
    const answer = await this.stream.wait('an HTTP answer', () => {
      const end = this.stream.pending.indexOf('\r\n\r\n')
      return end < 0 ? undefined : this.stream.take(end + 4).toString()
    })
    const length = Number(/^content-length:\s*(\d+)/im.exec(answer)?.[1] ?? 0)
    const body = length > 0 ? (await this.stream.bytes(length)).toString() : ''
    return { head: answer, status: Number(answer.split(' ')[1]), body }
  }

  async upgrade({ path = '/', headers = {} } = {}) {
    const key = crypto.randomBytes(16).toString('base64')
    const lines = {
      Host: '127.0.0.1',
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': key,
      ...headers,
    }
    const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`)
    const answer = await this.request(`GET ${path} HTTP/1.1\r\n${head.join('')}\r\n`)
    if (answer.status !== 101) throw new Error(`${this.name} was refused: ${answer.head}${answer.body}`)
    const accept = crypto.createHash('sha1').update(key + GUID).digest('base64')
    const given = /^sec-websocket-accept:\s*(\S+)/im.exec(answer.head)?.[1]
    if (given !== accept) throw new Error(`${this.name} was accepted with ${given} instead of ${accept}`)
    this.answer = answer.head
    return answer
  }

  send(kind, payload, options) {
    return this.write(frame(kind, payload, options))
  }

  text(payload, options) {
    return this.send('text', payload, options)
  }

  /** The next frame: `{ kind, fin, rsv, masked, payload }`, with `text` for text and `code`, `reason` for close. */
  next(limit) {
    return this.stream.wait('a frame', () => this.parse(), limit)
  }

  parse() {
    const { pending } = this.stream
    if (pending.length < 2) return undefined
    let length = pending[1] & 0x7f
    let start = 2
    if (length === 126) {
      if (pending.length < 4) return undefined
      length = pending.readUInt16BE(2)
      start = 4
    } else if (length === 127) {
      if (pending.length < 10) return undefined
      length = Number(pending.readBigUInt64BE(2))
      start = 10
    }
    if (pending.length < start + length) return undefined
    const bytes = this.stream.take(start + length)
    const payload = bytes.subarray(start)
    const opcode = bytes[0] & 0x0f
    const kind = KIND[opcode] ?? `opcode ${opcode}`
    const found = { kind, fin: bytes[0] >= 0x80, rsv: (bytes[0] >> 4) & 7, masked: bytes[1] >= 0x80, payload }
    if (kind === 'text') found.text = payload.toString()
    if (kind === 'close') {
      found.code = payload.length >= 2 ? payload.readUInt16BE(0) : null
      found.reason = payload.subarray(2).toString()
    }
    return found
  }

  /** The next frame, which must be a text; gives its text. */
  async nextText(limit) {
    const found = await this.next(limit)
    if (found.kind !== 'text') throw new Error(`${this.name} got ${JSON.stringify(found)} instead of a text`)
    return found.text
  }

  async nextTexts(count, limit) {
    const texts = []
    while (texts.length < count) texts.push(await this.nextText(limit))
    return texts
  }

  /** Sends `{"id":"barrier"}` and gives the texts that came before its receipt. */
  async before(id = 'barrier') {
    await this.text(JSON.stringify({ id }))
    const earlier = []
    for (;;) {
      const text = await this.nextText()
      if (text.includes(`"messageId": "${id}", "socket": "sent"`)) return earlier
      earlier.push(text)
    }
  }

  ended(limit) {
    return this.stream.ended(limit)
  }

  close() {
    this.socket.destroy()
  }
}

module.exports = { FrameClient, frame, closing }
