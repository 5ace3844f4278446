'use strict'
// Another binary under open sockets: SIGUSR2, POST /api/upgrade and `polyport upgrade`.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { afterEach, describe, test } = require('node:test')
const { KINDS, Small, fiveListeners } = require('./lib/five')
const { LineClient } = require('./lib/line-client')
const { BINARY, Polyport, run, temporaryFolder } = require('./lib/polyport')
const { freePort } = require('./lib/ports')
const { RedisServer } = require('./lib/redis')
const { Line, isAlive } = require('./lib/upgrading')
const { verbsListener } = require('./lib/verbs')
const { until } = require('./lib/wait')

const KEY = 'key-of-the-upgrade-suite-0123456789'

let gateway
let line
afterEach(async () => {
  line?.kill()
  await gateway?.kill()
})

async function start(config, options = {}) {
  gateway = await Polyport.start({ api: {}, ...config }, { env: { POLYPORT_API_KEY: KEY }, ...options })
  line = new Line(gateway)
  return gateway
}

/** Asks the server API of whoever serves; gives `{ status, body }`. */
async function api(verb, body) {
  const answer = await fetch(`http://127.0.0.1:${gateway.ports.admin}/api/${verb}`, {
    method: body ? 'POST' : 'GET',
    headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json', connection: 'close' },
    body: body && JSON.stringify(body),
  })
  return { status: answer.status, body: await answer.json() }
}

const command = (name, args = []) => run([name, '--config', gateway.file, ...args], { env: { POLYPORT_API_KEY: KEY }, timeout: 40_000 })

/** Comes to a listener again and again until it is told to stop, which gives how often it was served. */
function knock(kind, target) {
  let goesOn = true
  const knocking = (async () => {
    let served = 0
    while (goesOn) {
      const client = await Small.open(kind, target)
      client.close()
      served += 1
    }
    return served
  })()
  knocking.catch(() => {})
  return () => {
    goesOn = false
    return knocking
  }
}

describe('an upgrade', () => {
  test('no connection is refused, twice in a row, and sessions of the old process go on until they are told', async () => {
    const socket = path.join(temporaryFolder(), 'verbs.sock')
    await start({
      shutdown: { window: '3s' },
      listeners: { ...fiveListeners(), unix: verbsListener({ backends: ['builtin'], bind: `unix:${socket}` }), any: verbsListener({ backends: ['builtin'], bind: '127.0.0.1:0' }) },
    })
    const [, any] = /\bany\b[^\n]*127\.0\.0\.1:(\d+)/.exec(gateway.log) ?? []
    const targets = [...KINDS.map((kind) => [kind, gateway.ports[kind]]), ['tcp-verbs', socket], ['tcp-verbs', Number(any)]]
    const knocks = targets.map(([kind, target]) => knock(kind, target))
    const health = (() => {
      let goesOn = true
      const asking = (async () => {
        while (goesOn) assert.equal((await gateway.get('/healthz')).status, 200)
      })()
      asking.catch(() => {})
      return () => {
        goesOn = false
        return asking
      }
    })()
    for (let round = 0; round < 2; round += 1) {
      const old = line.pid
      const open = await Promise.all(targets.map(([kind, target]) => Small.open(kind, target)))
      const begin = Date.now()
      line.signal('SIGUSR2')
      await line.next()
      assert.ok(isAlive(old), 'sessions are there')
      // Until it is told a session goes on at the old process; whoever comes is at the new one.
      const fresh = await Promise.all(targets.map(([kind, target]) => Small.open(kind, target)))
      for (const client of fresh) await client.ask()
      const ends = await Promise.all(open.map((client) => client.ended))
      for (const { at, error } of ends) {
        assert.equal(error, undefined)
        assert.ok(at - begin < 20_000)
      }
      await line.ended(old)
      for (const client of fresh) await client.ask()
      assert.ok(fs.existsSync(socket), 'the old process leaves the file of the socket')
      fresh.forEach((client) => client.close())
    }
    for (const stop of knocks) assert.ok((await stop()) > 3)
    await health()
    assert.equal(new Set(line.pids).size, 3)
    await line.stop()
    assert.ok(!fs.existsSync(socket), 'the last process takes it away')
  })

  test('a new process that fails leaves everything as it was, and says why', async () => {
    await start({ listeners: { tcp: verbsListener() } })
    const client = await LineClient.open({ port: gateway.ports.tcp })
    const good = fs.readFileSync(gateway.file, 'utf8')
    fs.writeFileSync(gateway.file, good.replace('[listeners.tcp]', '[listeners.tcp]\nbnid = 1'))
    const refused = await api('upgrade', {})
    assert.equal(refused.status, 422)
    assert.equal(refused.body.error.code, 'upgrade_failed')
    assert.match(refused.body.error.problems.join('\n'), /gateway\.toml:\d+:\d+: listeners\.tcp\.bnid: .*did you mean `bind`/)
    const told = command('upgrade', ['--url', `http://127.0.0.1:${gateway.ports.admin}`])
    assert.equal(told.status, 1)
    assert.match(told.stderr, /the new process has not taken over; nothing has changed \(upgrade_failed\)\n {2}.*bnid/)
    // An address that is somebody else's.
    const blocker = await Polyport.start({ listeners: { tcp: verbsListener() } })
    fs.writeFileSync(gateway.file, `${good}\n[listeners.more]\nprotocol = "tcp-verbs"\nbind = "127.0.0.1:${blocker.ports.tcp}"\n`)
    const taken = await api('upgrade', {})
    assert.match(taken.body.error.problems.join('\n'), new RegExp(`listener \`more\`: cannot listen on 127\\.0\\.0\\.1:${blocker.ports.tcp}`))
    await blocker.stop()
    assert.match(gateway.log, /the new process has not taken over, nothing has changed/)
    assert.equal((await client.ask('randomNumber')).messageCount, 1)
    assert.equal((await gateway.get('/readyz')).status, 200)
    fs.writeFileSync(gateway.file, good)
    const { status, body } = await api('upgrade', {})
    assert.deepEqual([status, body.old_pid, body.sessions], [200, gateway.pid, 1])
    assert.equal(await line.next(), body.new_pid)
    client.close()
    await line.stop()
  })

  test('a reload of the new process closes, keeps and opens listeners, as if the sockets were its own', async () => {
    const socket = path.join(temporaryFolder(), 'verbs.sock')
    await start({ listeners: { goes: verbsListener(), stays: verbsListener(), unix: verbsListener({ bind: `unix:${socket}` }) } })
    const told = command('upgrade')
    assert.equal(told.status, 0, told.stderr)
    assert.match(told.stdout, new RegExp(`^process \\d+ has taken over from ${gateway.pid}; nobody is there to leave\n$`))
    await line.next()
    const port = await freePort()
    const config = structuredClone(gateway.config)
    delete config.listeners.goes
    delete config.listeners.unix
    config.listeners.comes = verbsListener({ bind: `127.0.0.1:${port}` })
    gateway.configure(config)
    const reloaded = command('reload')
    assert.equal(reloaded.status, 0, reloaded.stderr)
    assert.match(reloaded.stdout, /^generation 2 is in force\nat once, for open sessions too:\n {2}\+ listeners\.comes .*\n {2}- listeners\.goes .*\n {2}- listeners\.unix .*\n$/)
    await until('the removed listener to be gone', () => LineClient.connect({ port: gateway.ports.goes }).then((client) => client.close() ?? false, () => true))
    await until('its file to be gone', () => !fs.existsSync(socket))
    for (const one of [gateway.ports.stays, port]) (await LineClient.open({ port: one })).close()
    // And back.
    gateway.configure({ ...config, listeners: { ...config.listeners, goes: verbsListener({ bind: `127.0.0.1:${gateway.ports.goes}` }) } })
    assert.equal(command('reload').status, 0)
    ;(await LineClient.open({ port: gateway.ports.goes })).close()
    await line.stop()
  })

  test('it is the binary that stands at the path now that is started', async () => {
    const folder = temporaryFolder()
    const binary = path.join(folder, 'polyport')
    fs.copyFileSync(BINARY, binary)
    await start({ listeners: { tcp: verbsListener() } }, { binary })
    const next = path.join(folder, 'next')
    fs.copyFileSync(BINARY, next)
    fs.renameSync(next, binary)
    assert.match(fs.readlinkSync(`/proc/${gateway.pid}/exe`), / \(deleted\)$/)
    line.signal('SIGUSR2')
    await line.next()
    assert.equal(fs.readlinkSync(`/proc/${line.pid}/exe`), binary)
    await line.ended(gateway.pid)
    // What is no gateway has nothing to say, and changes nothing.
    fs.rmSync(binary)
    fs.writeFileSync(binary, '#!/bin/sh\nexit 0\n', { mode: 0o755 })
    const refused = await api('upgrade', {})
    assert.deepEqual(refused.body.error.problems, ['it ended before it was ready, and did not say why'])
    fs.rmSync(binary)
    assert.match((await api('upgrade', {})).body.error.problems.join(), /polyport cannot be started: No such file/)
    ;(await LineClient.open({ port: gateway.ports.tcp })).close()
    await line.stop()
  })

  test('a process that never gets ready is ended after a while, or with the one that waits for it', async () => {
    const folder = temporaryFolder()
    const binary = path.join(folder, 'polyport')
    fs.copyFileSync(BINARY, binary)
    await start({ listeners: { tcp: verbsListener() } }, { binary })
    fs.rmSync(binary)
    const note = path.join(folder, 'pid')
    fs.writeFileSync(binary, `#!/bin/sh\necho $$ > ${note}.part && mv ${note}.part ${note}\nexec sleep 600\n`, { mode: 0o755 })
    const hanging = async () => {
      await until('the process to begin', () => fs.existsSync(note))
      const pid = Number(fs.readFileSync(note, 'utf8'))
      fs.rmSync(note)
      return pid
    }
    const asked = api('upgrade', {})
    const first = await hanging()
    const client = await LineClient.open({ port: gateway.ports.tcp })
    assert.equal((await client.ask('randomNumber')).messageCount, 1, 'it serves meanwhile')
    assert.deepEqual((await asked).body.error.problems, [`${binary} was not ready within 20 s`])
    assert.ok(!isAlive(first))
    assert.equal((await client.ask('randomNumber')).messageCount, 2)
    client.close()
    line.signal('SIGUSR2')
    const second = await hanging()
    gateway.signal('SIGTERM')
    assert.deepEqual(await gateway.ended, { code: 0, signal: null })
    assert.ok(!isAlive(second))
  })

  test('a signal to stop while sessions leave the old process tells those that are left at once', async () => {
    await start({ shutdown: { window: '60s' }, listeners: { tcp: verbsListener() } })
    const clients = await Promise.all(Array.from({ length: 20 }, () => LineClient.open({ port: gateway.ports.tcp })))
    line.signal('SIGUSR2')
    await line.next()
    line.signal('SIGTERM', gateway.pid)
    for (const client of clients) assert.match(await client.rest(), /Bye/)
    await line.ended(gateway.pid)
    ;(await LineClient.open({ port: gateway.ports.tcp })).close()
    await line.stop()
  })

  test('the two processes share Redis and the reports of DevTools', async () => {
    const redis = await RedisServer.start()
    try {
      const file = path.join(temporaryFolder(), 'reports.sqlite')
      await start({
        shutdown: { window: '60s' },
        backplane: { engine: 'redis', url: redis.url },
        listeners: {
          tcp: verbsListener({ join: ['lobby'] }),
          relay: { protocol: 'devtools-relay', realm: 'devtools', devtools: { relay: true, reports: file } },
        },
      })
      const report = (title) => fetch(`http://127.0.0.1:${gateway.ports.relay}/`, {
        method: 'POST', headers: { 'content-type': 'application/json', connection: 'close' }, body: JSON.stringify({ type: 'STATE', title, payload: '{}' }),
      })
      const titles = async () => {
        const answer = await fetch(`http://127.0.0.1:${gateway.ports.relay}/`, {
          method: 'POST', headers: { 'content-type': 'application/json', connection: 'close' }, body: '{"op":"list"}',
        })
        return (await answer.json()).map(({ title }) => title)
      }
      assert.equal((await report('before')).status, 200)
      const old = await LineClient.open({ port: gateway.ports.tcp })
      const { body } = await api('upgrade', {})
      assert.equal(await line.next(), body.new_pid)
      const fresh = await LineClient.open({ port: gateway.ports.tcp })
      assert.equal((await report('after')).status, 200)
      assert.deepEqual((await titles()).sort(), ['after', 'before'])
      await fresh.send('say lobby hello')
      assert.match(await old.next(), /^\{"message":"hello","room":"lobby"/, 'what is said at the new process is heard at the old one')
      await old.send('say lobby back')
      await until('what is said at the old one to be heard at the new one', async () => /"message":"back"/.test(await fresh.next()))
      const { body: seen } = await api('sessions')
      assert.equal(seen.sessions.length, 2)
      assert.equal(new Set(seen.sessions.map(({ node }) => node)).size, 2)
      line.signal('SIGTERM', gateway.pid)
      await line.ended(gateway.pid)
      for (const client of [old, fresh]) client.close()
      await line.stop()
    } finally {
      await redis.stop()
    }
  })

  test('it takes a right of its own, and a reload another', async () => {
    const other = 'another-key-of-the-upgrade-suite-0123456789'
    const hash = `sha256:${crypto.createHash('sha256').update(other).digest('hex')}`
    await start({ api: { keys: { other: { hash, verbs: ['reload'] } } }, listeners: { tcp: verbsListener() } })
    const ask = async (verb, headers) => {
      const answer = await fetch(`http://127.0.0.1:${gateway.ports.admin}/api/${verb}`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: '{}' })
      return answer.status
    }
    const key = { authorization: `Bearer ${other}` }
    assert.deepEqual([await ask('reload', key), await ask('upgrade', key)], [200, 403])
    assert.deepEqual([await ask('reload'), await ask('upgrade')], [401, 401])
    await line.stop()
  })
})
