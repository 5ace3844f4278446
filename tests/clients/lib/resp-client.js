'use strict'
// A Redis client that does no more than suites need: commands, and subscriptions whose payloads stay bytes.

const { once } = require('node:events')
const fs = require('node:fs')
const net = require('node:net')
const tls = require('node:tls')
const { until } = require('./wait')

const CRLF = '\r\n'

/** What Redis answers to a command that it refuses. */
class RedisError extends Error {}

/** The reply that begins at `start`, and where it ends; null if it is not all there yet. */
function parse(input, start) {
  const end = input.indexOf(CRLF, start)
  if (end < 0) return null
  const kind = String.fromCharCode(input[start])
  const head = input.toString('utf8', start + 1, end)
  let next = end + CRLF.length
  if (kind === '+') return { value: head, next }
  if (kind === '-') return { value: new RedisError(head), next }
  if (kind === ':') return { value: Number(head), next }
  if (kind !== '$' && kind !== '*') throw new Error(`not a reply of Redis: ${kind}${head}`)
  const length = Number(head)
  if (length < 0) return { value: null, next }
  if (kind === '$') {
    const after = next + length
    return input.length < after + CRLF.length ? null : { value: input.subarray(next, after), next: after + CRLF.length }
  }
  const items = []
  while (items.length < length) {
    const item = parse(input, next)
    if (item === null) return null
    items.push(item.value)
    next = item.next
  }
  return { value: items, next }
}

const text = (value) => (Buffer.isBuffer(value) ? value.toString() : Array.isArray(value) ? value.map(text) : value)

function write(args) {
  const parts = [Buffer.from(`*${args.length}${CRLF}`)]
  for (const arg of args) {
    const bytes = Buffer.isBuffer(arg) ? arg : Buffer.from(String(arg))
    parts.push(Buffer.from(`$${bytes.length}${CRLF}`), bytes, Buffer.from(CRLF))
  }
  return Buffer.concat(parts)
}

class RespClient {
  /** A client that is connected and has told who it is. `address` is one of `lib/redis.js`. */
  static async connect({ host, port, path, ca, user, password }) {
    const to = path ? { path } : { host, port }
    const socket = ca ? tls.connect({ ...to, ca: fs.readFileSync(ca) }) : net.connect(to)
    await once(socket, ca ? 'secureConnect' : 'connect')
    const client = new RespClient(socket)
    if (password) {
      try {
        await client.command('AUTH', ...(user ? [user] : []), password)
      } catch (error) {
        client.close()
        throw error
      }
    }
    return client
  }

  constructor(socket) {
    this.socket = socket
    this.input = Buffer.alloc(0)
    this.waiting = []
    /** What came on subscriptions: `channel`, `payload` as bytes, and `pattern` if one has matched. */
    this.messages = []
    socket.on('data', (bytes) => this.read(bytes))
    socket.on('error', () => {})
    this.ended = new Promise((resolve) => {
      socket.once('close', () => {
        for (const { reject } of this.waiting.splice(0)) reject(new Error('Redis has ended the connection'))
        resolve()
      })
    })
  }

  read(bytes) {
    this.input = Buffer.concat([this.input, bytes])
    let start = 0
    for (let reply = parse(this.input, start); reply !== null; reply = parse(this.input, start)) {
      start = reply.next
      this.take(reply.value)
    }
    this.input = this.input.subarray(start)
  }

  take(value) {
    const kind = Array.isArray(value) && Buffer.isBuffer(value[0]) ? value[0].toString() : null
    if (kind === 'message' || kind === 'smessage') {
      this.messages.push({ channel: value[1].toString(), payload: value[2] })
    } else if (kind === 'pmessage') {
      this.messages.push({ pattern: value[1].toString(), channel: value[2].toString(), payload: value[3] })
    } else {
      const { resolve, reject } = this.waiting.shift()
      if (value instanceof RedisError) reject(value)
      else resolve(text(value))
    }
  }

  /** Gives the answer, with bytes as text. */
  command(...args) {
    return new Promise((resolve, reject) => {
      if (this.socket.destroyed) return reject(new Error('the connection to Redis has ended'))
      this.waiting.push({ resolve, reject })
      this.socket.write(write(args))
    })
  }

  /** Gives how many subscribers of this node have got it. */
  publish(channel, payload) {
    return this.command('PUBLISH', channel, payload)
  }

  subscribe(...channels) {
    return Promise.all(channels.map((channel) => this.command('SUBSCRIBE', channel)))
  }

  psubscribe(...patterns) {
    return Promise.all(patterns.map((pattern) => this.command('PSUBSCRIBE', pattern)))
  }

  ssubscribe(...channels) {
    return Promise.all(channels.map((channel) => this.command('SSUBSCRIBE', channel)))
  }

  /** Waits for `count` messages altogether; gives them all. */
  async received(count, limit) {
    await until(() => `${count} messages, there are ${this.messages.length}`, () => this.messages.length >= count, limit)
    return this.messages
  }

  close() {
    this.socket.destroy()
  }
}

module.exports = { RespClient, RedisError }
