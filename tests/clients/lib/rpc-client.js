'use strict'
// A plain socket.red client for tests: calls with a promise each, and what else came in order.

const WebSocket = require('ws')
const { within } = require('./wait')

const LIMIT = 10_000

class RpcClient {
  static async open({ port, path = '/', headers = {} }) {
    const client = new RpcClient(new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers }))
    await within(client.opened, LIMIT, () => `an opening on ${port}${path}`)
    return client
  }

  constructor(socket) {
    this.socket = socket
    this.last = 0
    this.pending = new Map()
    this.received = []
    this.opened = new Promise((resolve, reject) => {
      socket.once('open', resolve)
      socket.once('error', reject)
    })
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }))
    })
    socket.on('message', (data) => {
      const message = JSON.parse(data.toString())
      const answer = this.pending.get(message[0])
      if (!answer) {
        this.received.push(message)
        return
      }
      this.pending.delete(message[0])
      answer({ ok: message[1], value: message[2] })
    })
  }

  /** The answer as `{ ok, value }`. */
  call(name, ...args) {
    const id = ++this.last
    const answered = new Promise((resolve) => this.pending.set(id, resolve))
    this.socket.send(JSON.stringify([id, name, args]))
    return within(answered, LIMIT, () => `an answer to ${name}`)
  }

  close() {
    this.socket.terminate()
  }
}

module.exports = { RpcClient }
