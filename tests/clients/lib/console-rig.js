'use strict'
// A gateway with clients of five protocols, and tabs with its console.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const jwt = require('jsonwebtoken')
const socketCluster = require('socketcluster-client-20.0.2')
const { Browser } = require('./browser')
const { ConsolePage } = require('./console-page')
const { FrameClient } = require('./frame-client')
const { LineClient } = require('./line-client')
const { Polyport, temporaryFolder } = require('./polyport')
const { RpcClient } = require('./rpc-client')
const { connect } = require('./socket-io')
const { verbsListener } = require('./verbs')
const { until } = require('./wait')

const KEYS = Object.fromEntries(['root', 'looker', 'news', 'nothing'].map((name) => [name, crypto.randomBytes(32).toString('base64url')]))
const hash = (key) => `sha256:${crypto.createHash('sha256').update(key).digest('hex')}`
const SECRET = crypto.randomBytes(32).toString('hex')
const AUTH = { tokens: 'main', required: false, from: ['query:token'] }
const SCRIPT = `require('socket.red')(0, () => ({ api: { double: (n) => 2 * n } }))`

/** Clients that are there all the time, all of them in the room `lobby`. */
const CLIENTS = 5

/** Sessions that the listener `few` takes. */
const FEW = 3

class ConsoleRig {
  static async start() {
    const rig = new ConsoleRig()
    rig.browser = await Browser.start('')
    const folder = temporaryFolder()
    fs.writeFileSync(path.join(folder, 'double.js'), SCRIPT)
    rig.gateway = await Polyport.start(
      {
        tokens: { main: { keys: [{ algorithm: 'HS256', secret: 'env:TEST_JWT_SECRET' }] } },
        backends: { double: { kind: 'script', file: 'double.js' } },
        listeners: {
          tcp: verbsListener({ join: ['lobby'] }),
          pocket: { protocol: 'ws-channels', join: ['lobby'], auth: AUTH },
          rpc: { protocol: 'ws-rpc', backends: ['double', 'builtin'], join: ['lobby'] },
          io: { protocol: 'socket-io', join: ['lobby'], socket_io: { publish: [{ event: 'chat', rooms: ['lobby'] }] } },
          sc: { protocol: 'devtools-relay', join: ['lobby'] },
          few: verbsListener({ realm: 'elsewhere', limits: { sessions: FEW } }),
        },
        api: {
          tap: { rate: 5_000 },
          keys: {
            root: { hash: hash(KEYS.root) },
            looker: { hash: hash(KEYS.looker), verbs: ['info', 'sessions', 'rooms', 'presence'] },
            news: { hash: hash(KEYS.news), verbs: ['info', 'publish', 'presence', 'rooms', 'tap'], rooms: ['news*'] },
            nothing: { hash: hash(KEYS.nothing), verbs: ['publish'] },
          },
        },
      },
      { folder, env: { TEST_JWT_SECRET: SECRET } },
    )
    await rig.connect()
    return rig
  }

  /** Pages and clients of one test. */
  opened = []

  async connect() {
    const { ports } = this.gateway
    const token = jwt.sign({ sub: '7' }, SECRET, { expiresIn: 600 })
    this.clients = {
      telnet: await LineClient.open({ port: ports.tcp }),
      page: await FrameClient.open({ port: ports.pocket, path: `/?token=${token}` }),
      rpc: await RpcClient.open({ port: ports.rpc }),
      io: connect('4.8.4', `http://127.0.0.1:${ports.io}`, { events: ['greeting'] }),
    }
    await this.clients.io.connected()
    this.channel = socketCluster.create({ hostname: '127.0.0.1', port: ports.sc })
    await until('all sessions', async () => (await this.api('sessions')).sessions.length === CLIENTS)
  }

  async stop() {
    for (const client of Object.values(this.clients ?? {})) client.close()
    this.channel?.disconnect()
    await this.browser?.stop()
    await this.gateway?.kill()
  }

  /** Takes away what a test has opened. */
  async tidy() {
    for (const one of this.opened.splice(0)) await one.close()
  }

  get origin() {
    return `http://127.0.0.1:${this.gateway.ports.admin}`
  }

  async api(target, key = KEYS.root) {
    const answer = await fetch(`${this.origin}/api/${target}`, { headers: { authorization: `Bearer ${key}` } })
    return answer.json()
  }

  /** Publishes by the server API. */
  async publish(body) {
    const headers = { authorization: `Bearer ${KEYS.root}`, 'content-type': 'application/json' }
    const answer = await fetch(`${this.origin}/api/publish`, { method: 'POST', headers, body })
    assert.equal(answer.status, 200, body)
  }

  /** Waits until so many taps are open. */
  taps(count) {
    return this.gateway.counted('polyport_taps', {}, (open) => open === count)
  }

  async sessionOf(protocol) {
    return (await this.api(`sessions?protocol=${protocol}`)).sessions[0].id
  }

  /** A tab with the console, with the key `root` if no other is given. */
  async open({ origin = this.origin, key = KEYS.root, ...options } = {}) {
    const page = await ConsolePage.open(this.browser, origin, { key, ...options })
    this.opened.push(page)
    return page
  }

  /** A telnet client of this test. */
  async telnet(listener = 'tcp') {
    const client = await LineClient.open({ port: this.gateway.ports[listener] })
    this.opened.push(client)
    return client
  }

  /** Waits until the client of socket.red was told this. */
  heard(message) {
    const { received } = this.clients.rpc
    const wanted = JSON.stringify(message)
    return until(
      () => `${wanted} among ${JSON.stringify(received.slice(-5))}`,
      () => received.some((one) => JSON.stringify(one) === wanted),
    )
  }
}

module.exports = { ConsoleRig, CLIENTS, FEW, KEYS }
