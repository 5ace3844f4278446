'use strict'
// Signals: SIGHUP changes a running gateway without dropping anybody, SIGTERM and SIGINT take it down in order.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const { afterEach, describe, test } = require('node:test')
const { Authority } = require('./lib/certificates')
const { FrameClient } = require('./lib/frame-client')
const { LineClient } = require('./lib/line-client')
const { Polyport } = require('./lib/polyport')
const { freePort } = require('./lib/ports')
const { verbsListener } = require('./lib/verbs')
const { until } = require('./lib/wait')

const BYE = '{"status":"Bye!","context":"api"}\r\n'
const sleep = (duration) => JSON.stringify({ action: 'sleepTest', params: { sleepDuration: duration } })

let gateway
afterEach(() => gateway?.kill())

const start = async (config) => {
  gateway = await Polyport.start(config)
  return gateway
}

/** Changes the configuration file and tells the gateway. */
function reload(change) {
  const config = structuredClone(gateway.config)
  change(config)
  gateway.configure(config)
  gateway.signal('SIGHUP')
}

const reachable = async (port) => {
  const client = await LineClient.connect({ port }).catch(() => null)
  client?.close()
  return client !== null
}

describe('SIGHUP', () => {
  test('listeners come and go, the others do not notice', async () => {
    await start({ listeners: { stays: verbsListener(), goes: verbsListener() } })
    const stays = await LineClient.open({ port: gateway.ports.stays })
    const goes = await LineClient.open({ port: gateway.ports.goes })
    const port = await freePort()
    reload((config) => {
      delete config.listeners.goes
      config.listeners.comes = verbsListener({ bind: `127.0.0.1:${port}` })
    })
    await until('the new listener', () => reachable(port))
    await until('the old listener to be gone', async () => !(await reachable(gateway.ports.goes)))
    assert.equal(await goes.rest(), BYE, 'sessions of a removed listener are told')
    assert.equal((await stays.ask('randomNumber')).messageCount, 1)
    const comes = await LineClient.open({ port })
    assert.equal((await comes.ask('randomNumber')).messageCount, 1)
    assert.equal((await gateway.get('/readyz')).status, 200)
    for (const client of [stays, comes]) client.close()
  })

  test('a listener that moves to another address', async () => {
    await start({ listeners: { tcp: verbsListener() } })
    const port = await freePort()
    reload((config) => {
      config.listeners.tcp.bind = `127.0.0.1:${port}`
    })
    await until('the new address', () => reachable(port))
    await until('the old address to be free', async () => !(await reachable(gateway.ports.tcp)))
  })

  test('a limit changes for those who come later', async () => {
    await start({ listeners: { tcp: verbsListener() } })
    const first = await LineClient.open({ port: gateway.ports.tcp })
    reload((config) => {
      config.listeners.tcp.limits = { sessions: 1 }
    })
    await until('a second client to be refused', async () => {
      const second = await LineClient.connect({ port: gateway.ports.tcp })
      const refused = await second.next().then(() => false, () => true)
      second.close()
      return refused
    })
    assert.equal((await first.ask('randomNumber')).messageCount, 1)
    reload((config) => {
      config.listeners.tcp.limits = { sessions: 10 }
    })
    await until('a second client to be served', () =>
      LineClient.open({ port: gateway.ports.tcp }).then((second) => second.close() ?? true, () => false))
    first.close()
  })

  test('the log level changes', async () => {
    await start({ listeners: { tcp: verbsListener() } })
    reload((config) => {
      config.log = { level: 'debug' }
    })
    await until('debug lines', async () => {
      await reachable(gateway.ports.tcp)
      return /"level":"DEBUG"/i.test(gateway.log)
    })
  })

  test('a certificate is replaced under an open connection', async () => {
    const authority = new Authority()
    const tls = authority.issue('before')
    await start({ listeners: { tls: verbsListener({ tls }) } })
    const connect = () => LineClient.open({ port: gateway.ports.tls, tls: { ca: authority.certificate } })
    const subject = (client) => client.socket.getPeerCertificate().subject.CN
    const old = await connect()
    assert.equal(subject(old), 'before')
    const fresh = authority.issue('after')
    fs.copyFileSync(fresh.cert, tls.cert)
    fs.copyFileSync(fresh.key, tls.key)
    gateway.signal('SIGHUP')
    await until('the new certificate', async () => {
      const client = await connect()
      const name = subject(client)
      client.close()
      return name === 'after'
    })
    assert.equal((await old.ask('randomNumber')).messageCount, 1, 'the open connection goes on')
    old.close()
  })

  test('a bad file changes nothing and says why', async () => {
    await start({ listeners: { tcp: verbsListener() } })
    const client = await LineClient.open({ port: gateway.ports.tcp })
    const from = gateway.log.length
    reload((config) => {
      config.listeners.tcp.limits = { sesions: 1 }
      config.listeners.more = verbsListener({ bind: '127.0.0.1:0' })
    })
    const line = await gateway.logged(/sesions/, { from })
    assert.match(line, /gateway\.toml:\d+/)
    assert.match(line, /did you mean `sessions`/)
    assert.equal((await client.ask('randomNumber')).messageCount, 1)
    const second = await LineClient.open({ port: gateway.ports.tcp })
    assert.equal((await gateway.get('/readyz')).status, 200)
    for (const one of [client, second]) one.close()
  })

  test('an address that cannot be bound changes nothing and says why', async () => {
    await start({ listeners: { tcp: verbsListener(), pocket: { protocol: 'ws-channels' } } })
    const blocker = await Polyport.start({ listeners: { tcp: verbsListener() } })
    const from = gateway.log.length
    reload((config) => {
      config.listeners.more = verbsListener({ bind: `127.0.0.1:${blocker.ports.tcp}` })
      delete config.listeners.pocket
    })
    await gateway.logged(new RegExp(`127\\.0\\.0\\.1:${blocker.ports.tcp}`), { from })
    const page = await FrameClient.open({ port: gateway.ports.pocket })
    assert.deepEqual(await page.before(), [])
    page.close()
    await blocker.stop()
  })
})

describe('all or nothing', () => {
  test('a reload that fails at its last address leaves nothing of what came before it', async () => {
    await start({ listeners: { tcp: verbsListener(), moves: verbsListener() } })
    const blocker = await Polyport.start({ listeners: { tcp: verbsListener() } })
    const client = await LineClient.open({ port: gateway.ports.tcp })
    const [first, elsewhere] = [await freePort(), await freePort()]
    const from = gateway.log.length
    reload((config) => {
      config.listeners.added = verbsListener({ bind: `127.0.0.1:${first}` })
      config.listeners.moves.bind = `127.0.0.1:${elsewhere}`
      config.listeners.tcp.realm = 'other'
      config.listeners.zlast = verbsListener({ bind: `127.0.0.1:${blocker.ports.tcp}` })
    })
    await gateway.logged(/nothing has changed/, { from })
    for (const port of [first, elsewhere]) await until(`${port} to be free`, async () => !(await reachable(port)))
    const metrics = await gateway.metrics()
    assert.deepEqual(['failed', 'ok'].map((outcome) => metrics.sum('polyport_reloads_total', { outcome })), [1, 0])
    assert.equal(metrics.sum('polyport_config_generation', {}), 1)
    assert.equal(await reachable(gateway.ports.moves), true)
    assert.equal((await client.ask('randomNumber')).messageCount, 1)
    // The same without the address that is taken.
    reload((config) => {
      delete config.listeners.zlast
    })
    await gateway.counted('polyport_config_generation', {}, (generation) => generation === 2)
    for (const port of [first, elsewhere, gateway.ports.tcp]) assert.equal(await reachable(port), true, `${port}`)
    client.close()
    await blocker.stop()
  })

  test('listeners that are made anew, and two that exchange their addresses, refuse nobody', async () => {
    await start({ listeners: { one: verbsListener(), two: { protocol: 'ws-channels' } } })
    const [one, two] = [gateway.ports.one, gateway.ports.two]
    let goesOn = true
    const knocking = Promise.all([one, two].map(async (port) => {
      let served = 0
      while (goesOn) {
        const client = await LineClient.connect({ port })
        client.close()
        served += 1
      }
      return served
    }))
    knocking.catch(() => {})
    for (let round = 0; round < 6; round += 1) {
      reload((config) => {
        const { listeners } = config
        listeners.one.realm = `realm-${round}`
        ;[listeners.one.bind, listeners.two.bind] = [listeners.two.bind, listeners.one.bind]
      })
      await gateway.counted('polyport_config_generation', {}, (generation) => generation === round + 2)
    }
    goesOn = false
    for (const served of await knocking) assert.ok(served > 5, `${served}`)
    const client = await LineClient.open({ port: one })
    const page = await FrameClient.open({ port: two })
    for (const it of [client, page]) it.close()
  })

  test('two listeners on any port keep theirs when one of them changes', async () => {
    await start({ listeners: { a: verbsListener({ bind: '127.0.0.1:0' }), b: verbsListener({ bind: '127.0.0.1:0' }) } })
    const port = (name) => Number(new RegExp(`\\b${name}\\b[^\\n]*127\\.0\\.0\\.1:(\\d+)`).exec(gateway.log)[1])
    const [a, b] = [port('a'), port('b')]
    reload((config) => {
      config.listeners.b.realm = 'other'
    })
    await gateway.counted('polyport_config_generation', {}, (generation) => generation === 2)
    const [first, second] = [await LineClient.open({ port: a }), await LineClient.open({ port: b })]
    assert.equal((await gateway.metrics()).sum('polyport_sessions', { listener: 'a' }), 1)
    for (const client of [first, second]) client.close()
  })
})

describe('SIGTERM and SIGINT', () => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`${signal} says goodbye in each protocol's way and ends with 0`, async () => {
      await start({ listeners: { tcp: verbsListener(), pocket: { protocol: 'ws-channels' } } })
      const client = await LineClient.open({ port: gateway.ports.tcp })
      const page = await FrameClient.open({ port: gateway.ports.pocket })
      gateway.signal(signal)
      assert.equal(await client.rest(), BYE)
      const farewell = await page.next()
      assert.deepEqual([farewell.kind, farewell.code], ['close', 1001])
      page.close()
      assert.deepEqual(await gateway.ended, { code: 0, signal: null })
    })
  }

  test('while it drains it is alive, not ready, and answers what is under way', async () => {
    await start({ shutdown: { deadline: '8s' }, listeners: { tcp: verbsListener() } })
    const client = await LineClient.open({ port: gateway.ports.tcp })
    await client.send(sleep(1200))
    assert.equal((await client.ask('detailsView')).data.pendingActions, 1)
    gateway.signal('SIGTERM')
    await until('/readyz to say that it drains', async () => (await gateway.get('/readyz')).status === 503)
    assert.equal((await gateway.get('/healthz')).status, 200)
    assert.equal(await reachable(gateway.ports.tcp), false)
    assert.equal(JSON.parse(await client.next()).sleepDuration, 1200)
    assert.equal(await client.rest(), BYE)
    assert.deepEqual(await gateway.ended, { code: 0, signal: null })
  })

  test('with a window sessions of all listeners leave evenly', async () => {
    const window = 4_000
    const each = 100
    await start({ shutdown: { deadline: '20s', window: `${window}ms` }, listeners: { tcp: verbsListener(), pocket: { protocol: 'ws-channels' } } })
    const many = (open) => Promise.all(Array.from({ length: each }, open))
    const lines = await many(() => LineClient.open({ port: gateway.ports.tcp }))
    const pages = await many(() => FrameClient.open({ port: gateway.ports.pocket }))
    const busy = await LineClient.open({ port: gateway.ports.tcp })
    await busy.send(sleep(window + 1_000))
    assert.equal((await busy.ask('detailsView')).data.pendingActions, 1)
    const begin = Date.now()
    gateway.signal('SIGTERM')
    const left = { lines: [], pages: [] }
    const leaving = [
      ...lines.map(async (client) => {
        assert.equal(await client.rest(3 * window), BYE)
        left.lines.push(Date.now() - begin)
      }),
      ...pages.map(async (page) => {
        let frame = await page.next(3 * window)
        // Until its turn a page hears who leaves the hub.
        while (frame.kind !== 'close') frame = await page.next(3 * window)
        assert.equal(frame.code, 1001)
        left.pages.push(Date.now() - begin)
        page.close()
      }),
    ]
    await until('/readyz to say that it drains', async () => (await gateway.get('/readyz')).status === 503)
    assert.equal(await reachable(gateway.ports.tcp), false)
    assert.ok(left.lines.length + left.pages.length < each, 'most sessions are still there')
    await Promise.all(leaving)
    for (const [kind, times] of Object.entries(left)) {
      assert.equal(times.length, each)
      for (const quarter of [1, 2, 3, 4]) {
        const [from, to] = [((quarter - 1) * window) / 4, quarter === 4 ? Infinity : (quarter * window) / 4]
        const count = times.filter((time) => time >= from && time < to).length
        assert.ok(count > 8 && count < 45, `${count} of ${each} ${kind} left in quarter ${quarter}`)
      }
      assert.ok(Math.max(...times) < window + 2_000, `the last of ${kind} left after ${Math.max(...times)} ms`)
    }
    assert.equal(JSON.parse(await busy.next()).sleepDuration, window + 1_000)
    assert.equal(await busy.rest(), BYE)
    assert.deepEqual(await gateway.ended, { code: 0, signal: null })
  })

  test('a window ends when nobody is left', async () => {
    await start({ shutdown: { window: '60s' }, listeners: { tcp: verbsListener() } })
    const client = await LineClient.open({ port: gateway.ports.tcp })
    gateway.signal('SIGTERM')
    await until('the drain to begin', async () => !(await reachable(gateway.ports.tcp)))
    client.close()
    assert.deepEqual(await gateway.ended, { code: 0, signal: null })
  })

  test('a second signal ends it at once', async () => {
    await start({ shutdown: { deadline: '60s' }, listeners: { tcp: verbsListener() } })
    const client = await LineClient.open({ port: gateway.ports.tcp })
    await client.send(sleep(50_000))
    await client.ask('detailsView')
    gateway.signal('SIGTERM')
    await until('the drain to begin', async () => !(await reachable(gateway.ports.tcp)))
    const before = Date.now()
    gateway.signal('SIGTERM')
    await gateway.ended
    assert.ok(Date.now() - before < 1000, `it took ${Date.now() - before} ms`)
    client.close()
  })

  test('a client that reads nothing cannot hold it up beyond the deadline', async () => {
    await start({
      shutdown: { deadline: '1s' },
      listeners: { tcp: verbsListener({ limits: { outbox: '64MiB' } }) },
    })
    const [stuck, speaker] = [await LineClient.open({ port: gateway.ports.tcp }), await LineClient.open({ port: gateway.ports.tcp })]
    for (const client of [stuck, speaker]) await client.ask('roomAdd defaultRoom')
    stuck.socket.pause()
    const line = `say defaultRoom ${'x'.repeat(60_000)}`
    for (let said = 0; said < 200; said += 1) {
      await speaker.send(line)
      await speaker.nextLines(2)
    }
    const before = Date.now()
    gateway.signal('SIGTERM')
    assert.equal((await gateway.ended).code, 0)
    assert.ok(Date.now() - before < 3000, `it took ${Date.now() - before} ms`)
    for (const client of [stuck, speaker]) client.close()
  })
})
