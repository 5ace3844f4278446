'use strict'
// Ten thousand sessions over all protocols through reloads, a certificate change and another binary.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const { after, before, describe, test } = require('node:test')
const { Authority } = require('./lib/certificates')
const { FIVE, KINDS, Small } = require('./lib/five')
const { LineClient } = require('./lib/line-client')
const { Original } = require('./lib/originals')
const { Polyport } = require('./lib/polyport')
const { freePort } = require('./lib/ports')
const { Line } = require('./lib/upgrading')
const { verbsListener } = require('./lib/verbs')
const { until } = require('./lib/wait')

const KEY = 'key-of-the-steadiness-suite-0123456789'
const EACH = Number(process.env.POLYPORT_STEADY ?? 2_000)
const RELOADS = 20
const WINDOW = 10_000
/** Openings at once. */
const AT_ONCE = 100
/** Every so-manieth comes back after the upgrade. */
const RETURNING = 10

process.on('unhandledRejection', () => {})

/** Does `work` with each of `items`, so many at once. */
async function each(items, work, atOnce = AT_ONCE) {
  const rest = items[Symbol.iterator]()
  const one = async () => {
    for (const item of rest) await work(item)
  }
  await Promise.all(Array.from({ length: atOnce }, one))
}

describe('steadiness', () => {
  const authority = new Authority()
  const tls = authority.issue('before')
  let gateway
  let line
  let clients = []
  let originals = []
  let secured = []
  let spare

  const api = async (verb, body) => {
    const answer = await fetch(`http://127.0.0.1:${gateway.ports.admin}/api/${verb}`, {
      method: body ? 'POST' : 'GET',
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json', connection: 'close' },
      body: body && JSON.stringify(body),
    })
    const told = await answer.json()
    assert.equal(answer.status, 200, JSON.stringify(told))
    return told
  }
  const secure = () => LineClient.open({ port: gateway.ports.tls, tls: { ca: authority.certificate } })

  before(async () => {
    spare = await freePort()
    // Pages of the original library are on a hub of their own: theirs tells everybody of all who come and go.
    const listeners = Object.fromEntries(KINDS.map((kind) => [kind, FIVE[kind].listener()]))
    gateway = await Polyport.start(
      { api: {}, shutdown: { window: `${WINDOW}ms`, deadline: '20s' }, listeners: { ...listeners, hub: { protocol: 'ws-channels' }, tls: verbsListener({ tls }) } },
      { env: { POLYPORT_API_KEY: KEY } },
    )
    line = new Line(gateway)
  })
  after(async () => {
    clients.forEach((client) => client.close())
    secured.forEach((client) => client.close())
    await Promise.all(originals.map((client) => client.close()))
    line?.kill()
    await gateway?.kill()
  })

  test(`${EACH * KINDS.length} sessions, ${RELOADS} reloads and a certificate: none is dropped`, async (t) => {
    const begin = Date.now()
    const wanted = Array.from({ length: EACH }, () => KINDS).flat()
    await each(wanted, async (kind) => clients.push(await Small.open(kind, gateway.ports[kind])))
    const gone = []
    for (const client of clients) client.ended.then(() => gone.push(client.kind))
    for (const kind of KINDS) {
      for (let count = 0; count < 2; count += 1) originals.push(await Original.open(kind, gateway.ports[kind === 'ws-channels' ? 'hub' : kind], { patience: 300 }))
    }
    for (let count = 0; count < 5; count += 1) secured.push(await secure())
    t.diagnostic(`opened in ${Date.now() - begin} ms`)
    const sample = KINDS.map((kind) => clients.find((client) => client.kind === kind))
    const before = await api('info')
    assert.equal(before.configuration.generation, 1)
    for (let round = 1; round <= RELOADS; round += 1) {
      const config = structuredClone(gateway.config)
      const { listeners } = config
      config.log = { level: round % 2 ? 'warn' : 'info' }
      listeners['tcp-verbs'].limits = { calls_in_flight: 10 + round }
      listeners['ws-rpc'].permissions = { call: [round % 2 ? '*' : 'random*'] }
      config.backends = { [`service${round}`]: { kind: 'http', url: 'http://127.0.0.1:9' } }
      listeners['socket-io'].backends = ['builtin', `service${round}`]
      // This one is bound anew.
      listeners['devtools-relay'].devtools = { ...listeners['devtools-relay'].devtools, ping_timeout: `${2 + (round % 3)}h` }
      if (round % 2) listeners.comes = verbsListener({ bind: `127.0.0.1:${spare}` })
      else delete listeners.comes
      gateway.configure(config)
      const { generation, changes } = await api('reload', {})
      assert.equal(generation, round + 1)
      assert.ok(changes.length >= 4, JSON.stringify(changes))
      for (const client of sample) await client.ask()
      if (round % 2) (await LineClient.open({ port: spare })).close()
      if (round === RELOADS / 2) {
        const fresh = authority.issue('after')
        fs.copyFileSync(fresh.cert, tls.cert)
        fs.copyFileSync(fresh.key, tls.key)
        assert.deepEqual(await api('reload', { certificates: true }), { certificates: ['tls'] })
        const client = await secure()
        assert.equal(client.socket.getPeerCertificate().subject.CN, 'after')
        secured.push(client)
      }
    }
    t.diagnostic(`reloaded until ${Date.now() - begin} ms`)
    await each(clients, (client) => client.ask())
    for (const client of originals) {
      await client.ask()
      assert.deepEqual([client.kind, client.opens.length, client.ends], [client.kind, 1, []])
    }
    for (const client of secured) assert.equal(typeof (await client.ask('randomNumber')).randomNumber, 'number')
    assert.deepEqual(gone, [])
    const { configuration, sessions } = await api('info')
    assert.deepEqual([configuration.generation, configuration.reloads], [RELOADS + 1, { ok: RELOADS, failed: 0 }])
    assert.equal(sessions, clients.length + originals.length + secured.length)
    t.diagnostic(`all have answered after ${Date.now() - begin} ms`)
  })

  test('another binary: no connection is refused, sessions leave evenly, and who comes back is at the new process', async (t) => {
    let goesOn = true
    let served = 0
    const knock = async (kind) => {
      while (goesOn) {
        const client = await Small.open(kind, gateway.ports[kind])
        client.close()
        served += 1
      }
    }
    const knocking = Promise.all([...KINDS.map(knock), (async () => {
      while (goesOn) (await secure()).close()
    })()])
    knocking.catch(() => {})
    const left = []
    const returned = []
    const returning = clients.map(async (client, index) => {
      const { at, farewell, error } = await client.ended
      left.push({ at, farewell, error, kind: client.kind })
      if (index % RETURNING === 0) returned.push(await Small.open(client.kind, gateway.ports[client.kind]))
    })
    const { old_pid: old, sessions } = await api('upgrade', {})
    await line.next()
    assert.ok(sessions >= clients.length)
    await until('sessions to leave', () => left.length > 0)
    // Whether anybody is refused later is for upgrade.test.js: from here on it is measured how sessions leave.
    goesOn = false
    await knocking
    await Promise.all(returning)
    await line.ended(old)
    assert.ok(served > KINDS.length * 10, `${served} were served`)
    assert.deepEqual(left.filter(({ error }) => error), [])
    const first = Math.min(...left.map(({ at }) => at))
    const shares = Array.from({ length: 10 }, (_, tenth) => {
      const inside = left.filter(({ at }) => Math.min(9, Math.floor(((at - first) * 10) / WINDOW)) === tenth)
      return inside.length / left.length
    })
    t.diagnostic(`left in each tenth of the window: ${shares.map((share) => `${(100 * share).toFixed(1)} %`).join(' ')}; ${served} came meanwhile`)
    // Single tenths say more of how busy the machine is.
    let sum = 0
    for (const [tenth, share] of shares.entries()) {
      sum += share
      assert.ok(Math.abs(sum - (tenth + 1) / 10) < 0.15, `${(100 * sum).toFixed(1)} % had left after tenth ${tenth + 1}`)
    }
    await each(returned, (client) => client.ask())
    for (const client of originals.filter(({ kind }) => kind !== 'ws-channels')) {
      await client.connected(2)
      await client.ask()
    }
    clients = [...clients, ...returned]
    // Nobody but those who came back is there.
    await until('those who knocked to be gone', async () => (await api('info')).sessions === returned.length + originals.length - 2)
    assert.equal((await api('info')).configuration.generation, 1)
    await line.stop()
  })
})
