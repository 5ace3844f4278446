'use strict'
// How sessions of all five protocols leave a gateway that stops, and what their original clients do then.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { afterEach, describe, test } = require('node:test')
const { FIVE, KINDS, Small } = require('./lib/five')
const { Original } = require('./lib/originals')
const { Polyport, ROOT } = require('./lib/polyport')
const { Line } = require('./lib/upgrading')
const { until } = require('./lib/wait')

const KEY = 'key-of-the-drain-suite-0123456789'

/** What is on the wire, what the original client makes of it, and when it comes back: never, or after so many milliseconds. */
const GOODBYE = {
  'tcp-verbs': { wire: '{"status":"Bye!","context":"api"}', client: 'the end of the connection', returns: [900, 3_000] },
  'ws-channels': { wire: 'close 1001', client: 'close 1001', returns: null },
  'ws-rpc': { wire: 'close ', client: 'close 1005', returns: [0, 1_500] },
  'socket-io': { wire: 'close ', client: 'transport close', returns: [400, 3_000] },
  'devtools-relay': { wire: 'close ', client: 'close 1005', returns: [0, 1_500] },
}

let gateway
let line
afterEach(async () => {
  line?.kill()
  await gateway?.kill()
  line = undefined
})

// A call that an original client makes while it is not connected leaves a promise that nobody holds.
process.on('unhandledRejection', () => {})

/** Pages get events of other protocols only from a hub that is none of the plain relays; calls may take long. */
const listeners = (limits) =>
  Object.fromEntries(KINDS.map((kind) => [kind, { ...FIVE[kind].listener({ limits: { call: '20s', ...limits } }), channels: undefined }]))

async function start(config, limits = {}) {
  gateway = await Polyport.start({ api: {}, listeners: listeners(limits), ...config }, { env: { POLYPORT_API_KEY: KEY } })
  return gateway
}

async function api(verb, body) {
  const answer = await fetch(`http://127.0.0.1:${gateway.ports.admin}/api/${verb}`, {
    method: 'POST', headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }, body: JSON.stringify(body),
  })
  assert.equal(answer.status, 200, verb)
  return answer.json()
}

const draining = () => until('/readyz to say that it drains', async () => (await gateway.get('/readyz')).status === 503)

describe('a gateway that stops', () => {
  for (const window of ['0s', '2s']) {
    test(`with a window of ${window}: each protocol's goodbye, behind the answer to the call that is under way`, async () => {
      await start({ shutdown: { window, deadline: '15s' } })
      const time = 4_000
      const open = () => Promise.all(KINDS.map((kind) => Small.open(kind, gateway.ports[kind])))
      const [idle, busy] = [await open(), await open()]
      const answers = busy.map((client) => client.kind === 'ws-channels' ? null : client.ask(time))
      const calling = KINDS.length - 1
      await gateway.counted('polyport_sessions', {}, (sessions) => sessions === 2 * KINDS.length)
      const under = async () => {
        const { sessions } = await (await fetch(`http://127.0.0.1:${gateway.ports.admin}/api/sessions`, { headers: { authorization: `Bearer ${KEY}` } })).json()
        return sessions.filter((session) => session.calls_in_flight > 0).length
      }
      await until('the calls to be under way', async () => (await under()) === calling)
      const begin = Date.now()
      gateway.signal('SIGTERM')
      for (const client of idle) {
        const { at, farewell, error } = await client.ended
        assert.deepEqual([client.kind, farewell, error], [client.kind, GOODBYE[client.kind].wire, undefined])
        assert.ok(at - begin < 3_500, `${client.kind} left after ${at - begin} ms`)
      }
      // Pages of Pocketsocket have no calls: theirs left with the idle ones.
      for (const [index, client] of busy.entries()) {
        if (answers[index]) assert.ok(await answers[index], client.kind)
        const { at, farewell } = await client.ended
        assert.deepEqual([client.kind, farewell], [client.kind, GOODBYE[client.kind].wire])
        if (answers[index]) assert.ok(at - begin > time - 1_500, `${client.kind} left after ${at - begin} ms`)
      }
      assert.deepEqual(await gateway.ended, { code: 0, signal: null })
    })
  }

  test('namespaces of one Socket.IO connection leave together, behind the answer that one of them waits for', async () => {
    await start({ shutdown: { window: '1s', deadline: '15s' } })
    const { Manager } = require('socket.io-client-4.8.4')
    const manager = new Manager(`http://127.0.0.1:${gateway.ports['socket-io']}`, { transports: ['websocket'], reconnection: false })
    const [idle, busy] = [manager.socket('/'), manager.socket('/other')]
    const ends = []
    for (const socket of [idle, busy]) socket.on('disconnect', (reason) => ends.push([socket.nsp, reason, Date.now()]))
    await until('both to be connected', () => idle.connected && busy.connected)
    const answered = busy.timeout(15_000).emitWithAck('sleepTest', 3_000)
    await busy.timeout(15_000).emitWithAck('randomNumber')
    const begin = Date.now()
    gateway.signal('SIGTERM')
    assert.ok(await answered)
    await until('both to be told', () => ends.length === 2)
    assert.deepEqual(ends.map(([, reason]) => reason), ['transport close', 'transport close'])
    for (const [nsp, , at] of ends) assert.ok(at - begin > 2_000, `${nsp} left after ${at - begin} ms`)
    assert.deepEqual(await gateway.ended, { code: 0, signal: null })
  })

  test('until its turn a session is served, and what waited in its outbox arrives before the goodbye', async () => {
    await start({ shutdown: { window: '3s', deadline: '15s' } }, { outbox: '64MiB' })
    const clients = await Promise.all(KINDS.map((kind) => Small.open(kind, gateway.ports[kind])))
    const got = clients.map(() => 0)
    for (const [index, client] of clients.entries()) {
      client.hear = (text) => {
        if (text.includes('x'.repeat(1_000))) got[index] += 1
        else client.heard.push(text)
      }
      client.socket.pause()
    }
    const count = 60
    const big = 'x'.repeat(100_000)
    for (let sent = 0; sent < count; sent += 1) {
      const { sessions } = await api('publish', { to: { everyone: true }, event: 'news', args: [big] })
      assert.equal(sessions, KINDS.length)
    }
    gateway.signal('SIGTERM')
    await draining()
    clients.forEach((client) => client.socket.resume())
    for (const [index, client] of clients.entries()) {
      const { farewell } = await client.ended
      assert.deepEqual([client.kind, got[index], farewell], [client.kind, count, GOODBYE[client.kind].wire])
    }
    assert.deepEqual(await gateway.ended, { code: 0, signal: null })
  })

  test('original clients see the goodbye and come back as the table in operations.md says', async () => {
    await start({ shutdown: { window: '1s' } })
    line = new Line(gateway)
    const clients = await Promise.all(KINDS.map((kind) => Original.open(kind, gateway.ports[kind])))
    for (const client of clients) await client.ask()
    await api('upgrade', {})
    await line.next()
    await line.ended(gateway.pid)
    for (const client of clients) {
      const { client: seen, returns } = GOODBYE[client.kind]
      await client.ended()
      assert.deepEqual([client.kind, client.ends.map(({ what }) => what)], [client.kind, [seen]])
      if (!returns) continue
      await client.connected(2)
      const after = client.opens[1] - client.ends[0].at
      assert.ok(after >= returns[0] && after <= returns[1], `${client.kind} came back after ${after} ms`)
      await client.ask()
    }
    for (const client of clients) {
      if (!GOODBYE[client.kind].returns) assert.equal(client.opens.length, 1, `${client.kind} does not come back`)
      await client.close()
    }
    const page = fs.readFileSync(path.join(ROOT, 'docs', 'operations.md'), 'utf8')
    for (const [kind, { client, returns }] of Object.entries(GOODBYE)) {
      const row = page.split('\n').find((text) => text.startsWith(`| \`${kind}\` |`))
      assert.ok(row, kind)
      assert.ok(row.includes(client), row)
      assert.equal(/\bnever\b/.test(row), returns === null, row)
    }
    await line.stop()
  })
})
