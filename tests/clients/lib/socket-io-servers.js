'use strict'
// The servers under test: npm's in a process of its own, and the gateway. Both run the same application.

const { spawn } = require('node:child_process')
const crypto = require('node:crypto')
const path = require('node:path')
const readline = require('node:readline')
const { freePort } = require('./ports')
const { Polyport } = require('./polyport')
const { within, LIMIT } = require('./wait')

const PROGRAMS = path.resolve(__dirname, '..', 'programs')
const SCRIPT = path.join(PROGRAMS, 'socket-io-script.js')
const API_KEY = 'key-of-the-socket-io-suites-0123456789'

/** The npm server that is of one age with a client. */
const SERVER_OF = (client) => (/^1\./.test(client) ? '1.7.4' : /^2\./.test(client) ? '2.5.1' : '4.8.4')

const KINDS = ['npm', 'gateway']

/** Which servers the suites run against: `SOCKET_IO_SERVERS=npm` or `gateway`; both if it is not set. */
const SERVERS = (process.env.SOCKET_IO_SERVERS ?? KINDS.join()).split(',')
for (const kind of SERVERS) if (!KINDS.includes(kind)) throw new Error(`SOCKET_IO_SERVERS: ${kind} is neither of ${KINDS}`)

const runs = (kind) => SERVERS.includes(kind)

class NpmServer {
  /** `options` as of `programs/socket-io-app.js`. */
  static async start(version, options = {}) {
    const server = new NpmServer(version, options)
    await server.spawn()
    return server
  }

  constructor(version, options, program = 'socket-io-app.js') {
    this.kind = 'npm'
    this.version = version
    this.options = options
    this.program = program
  }

  get url() {
    return `http://127.0.0.1:${this.port}`
  }

  async spawn() {
    const port = this.port ?? 0
    const options = JSON.stringify({ ...this.options, port })
    this.child = spawn(process.execPath, [path.join(PROGRAMS, this.program), this.version, options], {
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    let errors = ''
    this.child.stderr.setEncoding('utf8').on('data', (text) => {
      errors += text
    })
    const kill = () => this.child.kill('SIGKILL')
    process.once('exit', kill)
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code) => {
        process.removeListener('exit', kill)
        resolve(code)
      })
    })
    const printed = new Promise((resolve, reject) => {
      readline.createInterface({ input: this.child.stdout }).on('line', (line) => {
        if (/^\d+$/.test(line)) resolve(Number(line))
        else this.hear(JSON.parse(line))
      })
      this.ended.then((code) => reject(new Error(`socket.io ${this.version} ended with ${code}: ${errors}`)))
    })
    this.port = await within(printed, LIMIT, () => `socket.io ${this.version} has not started: ${errors}`)
  }

  /** What the program says after its port. */
  hear(line) {
    throw new Error(`socket.io ${this.version} said ${JSON.stringify(line)}`)
  }

  command(value) {
    this.child.stdin.write(`${JSON.stringify(value)}\n`)
  }

  /** Sends an event to a room, from outside. */
  async publish(room, event, ...args) {
    this.command({ publish: { room, event, args } })
  }

  /** Tells all clients that it ends, ends, and comes back on the same port. */
  async restart() {
    this.command({ close: true })
    await within(this.ended, LIMIT, () => `socket.io ${this.version} has not closed`)
    await this.spawn()
  }

  async stop() {
    this.child.kill('SIGKILL')
    await this.ended
  }
}

/** A listener of the gateway; `socketIo` goes into its `socket_io` table, everything else beside it. */
const messaging = ({ socketIo = {}, ...rest } = {}) => ({
  protocol: 'socket-io',
  backends: ['walk'],
  ...rest,
  socket_io: { namespaces: ['/admin', '/private', '/plainerr', '/room-*'], ...socketIo },
})

class GatewayServer {
  /** A gateway whose listener `messaging` runs the walk; `listeners` beside it, `config` and `run` as of `Polyport.start`. */
  static async start({ socketIo, listener = {}, listeners = {}, config = {}, run = {} } = {}) {
    const port = await freePort()
    const hash = crypto.createHash('sha256').update(API_KEY).digest('hex')
    const gateway = await Polyport.start(
      {
        ...config,
        backends: { walk: { kind: 'script', file: SCRIPT }, ...config.backends },
        api: { keys: { suite: { hash: `sha256:${hash}` } } },
        listeners: { messaging: messaging({ socketIo, bind: `127.0.0.1:${port}`, ...listener }), ...listeners },
      },
      run,
    )
    return new GatewayServer(gateway, run)
  }

  constructor(gateway, run) {
    this.kind = 'gateway'
    this.gateway = gateway
    this.run = run
    this.port = gateway.ports.messaging
  }

  get url() {
    return `http://127.0.0.1:${this.port}`
  }

  /** Asks the server API; without a body by GET. */
  async api(command, body) {
    const answer = await fetch(`http://127.0.0.1:${this.gateway.ports.admin}/api/${command}`, {
      method: body ? 'POST' : 'GET',
      headers: { authorization: `Bearer ${API_KEY}`, ...(body && { 'content-type': 'application/json' }) },
      body: body && JSON.stringify(body),
    })
    const text = await answer.text()
    if (answer.status !== 200) throw new Error(`${command} answered ${answer.status}: ${text}`)
    return JSON.parse(text)
  }

  /** Sends an event to a room, from outside; gives how many sessions it reached. */
  async publish(room, event, ...args) {
    return (await this.api('publish', { to: { room }, event, args })).sessions
  }

  /** Drains, ends, and comes back on the same port. */
  async restart() {
    await this.gateway.stop()
    this.gateway.exit = null
    this.gateway.spawn(this.run.args ?? [], this.run.env ?? {})
  }

  stop() {
    return this.gateway.stop()
  }
}

module.exports = { NpmServer, GatewayServer, messaging, runs, SERVERS, SERVER_OF, SCRIPT, PROGRAMS, API_KEY }
