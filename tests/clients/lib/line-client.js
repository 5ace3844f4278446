'use strict'
// A client of the verbs protocol on a bare socket: it sees every byte and assumes nothing.

const net = require('node:net')
const tls = require('node:tls')
const { ByteStream } = require('./byte-stream')
const { within, LIMIT } = require('./wait')

let counter = 0

class LineClient {
  /** Options as of `net.connect`, and of `tls.connect` under `tls`. Resolves when connected, before the welcome. */
  static async connect(options) {
    counter += 1
    const client = new LineClient(options, options.name ?? `client ${counter}`)
    await within(client.connected, LIMIT, () => `${client.name} is not connected`)
    return client
  }

  /** Connects and takes the welcome line. */
  static async open(options) {
    const client = await LineClient.connect(options)
    client.welcome = await client.next()
    return client
  }

  constructor({ port, path, host = '127.0.0.1', tls: secure, localAddress }, name) {
    this.name = name
    const target = path ? { path } : { port, host, localAddress }
    this.socket = secure ? tls.connect({ ...target, ...secure }) : net.connect(target)
    this.socket.setNoDelay(true)
    this.stream = new ByteStream(this.socket, name)
    this.connected = new Promise((resolve, reject) => {
      this.socket.once(secure ? 'secureConnect' : 'connect', resolve)
      this.socket.once('error', reject)
    })
  }

  /** Resolves when the kernel has taken the bytes. */
  write(data) {
    return new Promise((resolve, reject) => {
      this.socket.write(data, (error) => (error ? reject(error) : resolve()))
    })
  }

  send(...lines) {
    return this.write(lines.map((line) => `${line}\r\n`).join(''))
  }

  /** The next line, without its CR LF. A bare LF does not end a line here: the server must send CR LF. */
  next(limit) {
    return this.stream.wait(
      'a line',
      () => {
        const end = this.stream.pending.indexOf('\r\n')
        if (end < 0) return undefined
        return this.stream.take(end + 2).subarray(0, end).toString()
      },
      limit,
    )
  }

  async nextLines(count, limit) {
    const lines = []
    while (lines.length < count) lines.push(await this.next(limit))
    return lines
  }

  /** Sends one line and gives the parsed line that comes next. */
  async ask(line) {
    await this.send(line)
    return JSON.parse(await this.next())
  }

  /** Sends a line and gives back what came before its answer, proof of what did or did not arrive until now. */
  async before(line = 'paramView barrier') {
    await this.send(line)
    const earlier = []
    for (;;) {
      const found = await this.next()
      if (JSON.parse(found).context === 'response') return earlier
      earlier.push(found)
    }
  }

  async id() {
    return (await this.ask('detailsView')).data.id
  }

  /** Everything until the end of the stream, as text. */
  async rest(limit) {
    await this.stream.ended(limit)
    return this.stream.take(this.stream.pending.length).toString()
  }

  bytes(count, limit) {
    return this.stream.bytes(count, limit)
  }

  ended(limit) {
    return this.stream.ended(limit)
  }

  halfClose() {
    this.socket.end()
  }

  close() {
    this.socket.destroy()
  }

  reset() {
    this.socket.resetAndDestroy()
  }
}

module.exports = { LineClient }
