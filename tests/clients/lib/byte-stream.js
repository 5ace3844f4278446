'use strict'
// What a socket has delivered and nobody has taken yet, with waiting by condition.

const { within, LIMIT } = require('./wait')

class ByteStream {
  constructor(socket, name) {
    this.socket = socket
    this.name = name
    this.pending = Buffer.alloc(0)
    this.over = false
    this.error = null
    this.waiting = new Set()
    // A test that fails leaves its sockets open; they must not keep its process alive.
    socket.unref?.()
    socket.on('data', (chunk) => {
      this.pending = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk])
      this.wake()
    })
    socket.on('error', (error) => {
      this.error = error
      this.over = true
      this.wake()
    })
    socket.on('end', () => {
      this.over = true
      this.wake()
    })
    socket.on('close', () => {
      this.over = true
      this.wake()
    })
  }

  wake() {
    for (const check of [...this.waiting]) check()
  }

  /**
   * Resolves with what `attempt` gives as soon as that is not undefined; `attempt` runs on every arrival. A stream that
   * is over before that will never satisfy it, so then it fails at once.
   */
  wait(what, attempt, limit = LIMIT) {
    let check
    const arrived = new Promise((resolve, reject) => {
      check = () => {
        const value = attempt()
        if (value !== undefined) resolve(value)
        else if (this.over) reject(new Error(`${this.name} waits in vain for ${what}; ${this.describe()}`))
      }
      this.waiting.add(check)
      check()
    })
    return within(arrived, limit, () => `${this.name} waits for ${what}; ${this.describe()}`).finally(() =>
      this.waiting.delete(check),
    )
  }

  describe() {
    const shown = JSON.stringify(this.pending.subarray(0, 400).toString())
    const state = this.over ? `the stream is over${this.error ? ` (${this.error.message})` : ''}` : 'the stream is open'
    return `${this.pending.length} bytes unread: ${shown}, ${state}`
  }

  take(count) {
    const taken = this.pending.subarray(0, count)
    this.pending = this.pending.subarray(count)
    return taken
  }

  /** Exactly `count` raw bytes. */
  bytes(count, limit) {
    return this.wait(`${count} bytes`, () => (this.pending.length >= count ? this.take(count) : undefined), limit)
  }

  /** Resolves when the peer has ended the stream; whatever is unread stays unread. */
  ended(limit) {
    return this.wait('the end of the stream', () => (this.over ? true : undefined), limit)
  }
}

module.exports = { ByteStream }
