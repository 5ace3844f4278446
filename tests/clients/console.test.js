'use strict'
// The console in Chromium: what it consists of, what a key decides, and that every view shows what is so.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { after, afterEach, before, describe, test } = require('node:test')
const { gunzipSync } = require('node:zlib')
const { ConsoleRig, CLIENTS, FEW, KEYS } = require('./lib/console-rig')
const { LineClient } = require('./lib/line-client')
const { Polyport, ROOT } = require('./lib/polyport')
const { freePort } = require('./lib/ports')
const { RedisServer } = require('./lib/redis')
const { backplaneOf } = require('./lib/redis-gateways')
const { verbsListener } = require('./lib/verbs')
const { until } = require('./lib/wait')

/** The number in a text that people read. */
const number = (text) => Number(text.replace(/[^\d.]/g, ''))

let rig
before(async () => {
  rig = await ConsoleRig.start()
})
afterEach(() => rig.tidy())
after(() => rig?.stop())

describe('what the page consists of', () => {
  const asset = (target, headers = {}) => fetch(`${rig.origin}${target}`, { headers })

  test('is served with types, tags and a policy', async () => {
    for (const [target, type] of [['/', 'text/html'], ['/console/main.js', 'text/javascript'], ['/console/vendor/preact.mjs', 'text/javascript'], ['/console/style.css', 'text/css'], ['/console/icon.svg', 'image/svg+xml']]) {
      const answer = await asset(target)
      assert.equal(answer.status, 200, target)
      assert.match(answer.headers.get('content-type'), new RegExp(`^${type.replace('+', '\\+')}`), target)
      assert.match(answer.headers.get('content-security-policy'), /^default-src 'none'; script-src 'self'; style-src 'self';/)
      assert.equal(answer.headers.get('x-content-type-options'), 'nosniff')
      const again = await asset(target, { 'if-none-match': answer.headers.get('etag') })
      assert.equal(again.status, 304, target)
      assert.equal(await again.text(), '')
    }
    assert.equal((await asset('/console/none.js')).status, 404)
    assert.equal((await asset('/console/../api/info')).status, 401)
  })

  test('is compressed for those who take it', async () => {
    const raw = await new Promise((resolve, reject) => {
      http.get(`${rig.origin}/console/style.css`, { headers: { 'accept-encoding': 'gzip' } }, (answer) => {
        const parts = []
        answer.on('data', (part) => parts.push(part)).on('end', () => resolve({ answer, body: Buffer.concat(parts) })).on('error', reject)
      })
    })
    assert.equal(raw.answer.headers['content-encoding'], 'gzip')
    const plain = fs.readFileSync(path.join(ROOT, 'crates/admin/console/style.css'))
    assert.deepEqual(gunzipSync(raw.body), plain)
  })

  test('libraries are those of their packages, byte for byte', () => {
    const vendored = {
      'preact.mjs': 'preact/dist/preact.mjs',
      'preact.LICENSE': 'preact/LICENSE',
      'htm.mjs': 'htm/dist/htm.mjs',
      'htm.LICENSE': 'htm/LICENSE',
      'uPlot.iife.min.js': 'uplot/dist/uPlot.iife.min.js',
      'uPlot.min.css': 'uplot/dist/uPlot.min.css',
      'uPlot.LICENSE': 'uplot/LICENSE',
    }
    const folder = path.join(ROOT, 'crates/admin/console/vendor')
    assert.deepEqual(fs.readdirSync(folder).sort(), Object.keys(vendored).sort())
    const { devDependencies } = require('./package.json')
    for (const [file, source] of Object.entries(vendored)) {
      const [name] = source.split('/')
      assert.match(devDependencies[name], /^\d+\.\d+\.\d+$/, `${name} has one version`)
      assert.equal(require(path.join(__dirname, 'node_modules', name, 'package.json')).version, devDependencies[name])
      const original = fs.readFileSync(path.join(__dirname, 'node_modules', source))
      assert.ok(original.equals(fs.readFileSync(path.join(folder, file))), file)
    }
  })
})

describe('the key', () => {
  test('comes in the address, is taken out of it, and stays in the tab', async () => {
    const page = await rig.open()
    await page.shows(/Ready/)
    assert.equal(await page.page.evaluate(() => location.href), `${rig.origin}/`)
    await page.page.reload()
    await page.shows(/Ready/)
    await page.click('Forget the key')
    await page.shows(/API key/)
    assert.equal(await page.page.evaluate(() => JSON.stringify({ ...sessionStorage })), '{}')
    await page.page.reload()
    await page.shows(/API key/)
    await page.checkFaults()
  })

  test('is asked for, and one that is not known is refused', async () => {
    const page = await rig.open({ key: null })
    await page.fill('key', 'this-is-no-key-of-this-gateway')
    await page.click('Open the console')
    await page.shows(/The gateway does not know this key/)
    await page.fill('key', KEYS.root)
    await page.click('Open the console')
    await page.shows(/Ready/)
    await page.checkFaults()
  })

  test('decides what is offered', async () => {
    const page = await rig.open({ key: KEYS.looker })
    await page.shows(/Ready/)
    await page.go(`#/sessions/${await rig.sessionOf('tcp-verbs')}`)
    await page.shows(/Rooms\s+lobby/)
    assert.doesNotMatch(await page.text('main'), /Disconnect|Leave|Join|Publish/)
    await page.go('#/rooms/default/lobby')
    await page.shows(/does not have the verb publish/)
    const news = await rig.open({ key: KEYS.news })
    await news.go('#/sessions')
    await news.shows(/does not have the verb sessions/)
    await news.go('#/trouble')
    await news.shows(/Slow consumers\s+This key does not have the verb sessions/)
    await news.go('#/rooms/default/lobby')
    await news.shows(/may not address the room `lobby`/)
    const nothing = await rig.open({ key: KEYS.nothing })
    await nothing.shows(/key `nothing` does not have the verb `info`/, '.top')
    for (const one of [page, news, nothing]) await one.checkFaults()
  })

  test('is of no use where there is no server API', async () => {
    const bare = await Polyport.start({ listeners: { tcp: verbsListener() } })
    const page = await rig.open({ origin: `http://127.0.0.1:${bare.ports.admin}`, key: 'whatever' })
    await page.shows(/has no server API.*\[api\]/s)
    await page.checkFaults()
    await bare.kill()
  })
})

describe('the views', () => {
  test('overview: listeners, figures and charts', async () => {
    const page = await rig.open()
    const rows = await page.table('Listeners', (seen) => seen.length === 6)
    const tcp = rows.find((row) => row.Listener === 'tcp')
    assert.deepEqual(
      [tcp.Protocol, tcp.Realm, tcp.Address, tcp.State, tcp.Sessions],
      ['tcp-verbs', 'default', `127.0.0.1:${rig.gateway.ports.tcp}`, 'Open', '1'],
    )
    await page.shows(/Sessions\s+5\s/, '.facts')
    const { process: used } = await rig.api('overview')
    assert.ok(used.resident_bytes > 1 << 20 && used.open_files > 10 && used.cpu_seconds > 0, JSON.stringify(used))
    await until('figures in every chart', async () => {
      const now = await page.page.$$eval('[data-now]', (all) => all.map((one) => [one.dataset.now, one.innerText]))
      return now.length === 8 && now.every(([name, text]) => name === 'p99' || text !== '–')
    })
    assert.equal(await page.page.$$eval('.uplot canvas', (all) => all.length), 7)
    await page.checkFaults()
  })

  test('overview: what goes through is seen as rates', async () => {
    const page = await rig.open()
    const speaker = await rig.telnet()
    const speaking = setInterval(() => speaker.send('say lobby hello', 'randomNumber'), 20)
    await until('deliveries and calls', async () => {
      const now = Object.fromEntries(await page.page.$$eval('[data-now]', (all) => all.map((one) => [one.dataset.now, one.innerText])))
      return number(now.delivered ?? '0') > 10 && number(now.calls ?? '0') > 1 && /ms|µs/.test(now.p99) && /B\/s/.test(now.sent)
    }, 20_000)
    if (process.env.UPDATE_SCREENSHOTS === '1') await until('a chart that is worth a picture', async () => {
      const seen = await page.page.$eval('.tile .unseen', (one) => one.innerText)
      return seen !== '' && (await page.text('.facts')).includes('m ')
    }, 120_000)
    await page.screenshot('overview')
    await page.picture('console-overview.png')
    clearInterval(speaking)
    await page.checkFaults()
  })

  test('overview: listeners that come and go with a reload', async () => {
    const own = await Polyport.start({ api: {}, listeners: { tcp: verbsListener() } }, { env: { POLYPORT_API_KEY: KEYS.root } })
    try {
      const page = await rig.open({ origin: `http://127.0.0.1:${own.ports.admin}` })
      await page.table('Listeners', (rows) => rows.length === 1)
      const port = await freePort()
      const before = own.config
      own.configure({ ...before, listeners: { ...before.listeners, late: verbsListener({ bind: `127.0.0.1:${port}` }) } })
      own.signal('SIGHUP')
      await page.table('Listeners', (rows) => rows.some((row) => row.Listener === 'late' && row.Address === `127.0.0.1:${port}` && row.State === 'Open'))
      own.configure(before)
      own.signal('SIGHUP')
      await page.table('Listeners', (rows) => rows.length === 1)
      await page.checkFaults()
    } finally {
      await own.kill()
    }
  })

  test('overview: which configuration is in force, and why a reload has failed', async () => {
    const own = await Polyport.start({ api: {}, listeners: { tcp: verbsListener() } }, { env: { POLYPORT_API_KEY: KEYS.root } })
    try {
      const page = await rig.open({ origin: `http://127.0.0.1:${own.ports.admin}` })
      await page.shows(/Configuration\s+generation 1, since \S+ \d+, \d{4}[^\n]*\n\s*Reloads\s+0\s/)
      const good = own.config
      own.configure({ ...good, listeners: { tcp: { ...good.listeners.tcp, protocol: 'carrier-pigeon' } } })
      own.signal('SIGHUP')
      await page.shows(/Reloads\s+0, and 1 that has failed\s+Last reload\s+[^\n]*, failed\s+The last reload has failed; generation 1 stays in force:\s[^]*gateway\.toml:\d+:\d+[^]*carrier-pigeon/)
      assert.deepEqual(await page.accessibility(), [])
      await page.screenshot('overview-failed-reload')
      own.configure(good)
      own.signal('SIGHUP')
      await page.shows(/Configuration\s+generation 2, since [^\n]*\n\s*Reloads\s+1, and 1 that has failed\s+Last reload\s+[^\n]*, worked\s/)
      assert.doesNotMatch(await page.text('main'), /The last reload has failed/)
      await page.checkFaults()
    } finally {
      await own.kill()
    }
  })

  test('sessions: search and filters', async () => {
    const page = await rig.open()
    await page.go('#/sessions')
    await page.table('Sessions', (rows) => rows.length === CLIENTS)
    const only = async (id, text, protocol) => {
      await page.fill(id, text)
      await page.click('Find')
      await page.table('Sessions', (rows) => rows.length === 1 && rows[0].Protocol === protocol)
      await page.click('Clear')
      await page.table('Sessions', (rows) => rows.length === CLIENTS)
    }
    await only('filter-protocol', 'ws-rpc', 'ws-rpc')
    await only('filter-listener', 'io', 'socket-io')
    await only('filter-user', '7', 'ws-channels')
    await only('filter-room', 'user(7)', 'ws-channels')
    await only('filter-search', (await rig.sessionOf('tcp-verbs')).slice(4, 20), 'tcp-verbs')
    await page.fill('filter-realm', 'nowhere')
    await page.click('Find')
    await page.shows(/realm `nowhere`/)
    await page.checkFaults()
  })

  test('sessions: pages', async () => {
    const many = await Promise.all(Array.from({ length: 60 }, () => rig.telnet()))
    const page = await rig.open()
    await page.go('#/sessions?listener=tcp')
    const first = await page.table('Sessions', (rows) => rows.length === 50)
    await page.shows(/1 to 50, and more/)
    await page.click('Next')
    const second = await page.table('Sessions', (rows) => rows.length === 11)
    assert.equal(new Set([...first, ...second].map((row) => row.Session)).size, 61)
    await page.click('Previous')
    await page.table('Sessions', (rows) => rows.length === 50)
    await page.checkFaults()
  })

  test('a session: join, leave, publish, disconnect', async () => {
    const own = await rig.telnet()
    const id = await own.id()
    const page = await rig.open()
    await page.go(`#/sessions/${id}`)
    await page.shows(/tcp-verbs/)
    await page.fill('join-room', 'aside')
    await page.click('Join')
    await page.shows(/It is in the room aside now/, '.notices')
    await page.shows(/Rooms\s+lobby\s+Leave\s+lobby\s+aside\s+Leave\s+aside/)
    await page.click('Leave aside')
    await page.shows(/It has left the room aside/, '.notices')
    await page.fill('to-session-event', 'only')
    await page.fill('to-session-text', '[{"big": 12345678901234567890}]')
    await page.click('Publish')
    await page.shows(/1 session gets it/, '.notices')
    assert.match(await own.next(), /^\{"message":\{"big":\s?12345678901234567890\},.*"event":"only"\}$/, 'digits stay')
    await page.click('Disconnect')
    await page.shows(/Disconnect this session\?/, 'dialog')
    await page.press('Escape')
    assert.equal(await page.page.$('dialog'), null)
    await page.click('Disconnect')
    await page.shows(/Disconnect this session\?/, 'dialog')
    await page.click('Disconnect', 'dialog button')
    await own.ended()
    await page.shows(/1 session is ending/, '.notices')
    await page.shows(/It has ended/)
    await page.checkFaults()
  })

  test('rooms: members, events and rates', async () => {
    const page = await rig.open()
    await page.go('#/rooms')
    const rows = await page.table('Rooms', (seen) => seen.some((row) => row.Room === 'lobby'))
    const lobby = rows.find((row) => row.Room === 'lobby')
    assert.equal(lobby.Members, String(CLIENTS))
    assert.ok(rows.some((row) => row.Room === 'user(7)' && row.Members === '1'))
    const speaker = await rig.telnet()
    await until('a rate', async () => {
      await speaker.ask('say lobby hello')
      const [now] = (await page.rows('Rooms')).filter((row) => row.Room === 'lobby')
      return number(now['Events/s']) > 1 && number(now['Events here']) > number(lobby['Events here'])
    })
    await page.screenshot('rooms')
    await page.fill('rooms-prefix', 'user(')
    await page.click('Find')
    await page.table('Rooms', (seen) => seen.length === 1 && seen[0].Room === 'user(7)')
    await page.checkFaults()
  })

  test('a room: who is in it, and what is published reaches every protocol in each form', async () => {
    const page = await rig.open()
    await page.go('#/rooms/default/lobby')
    await page.shows(/5 sessions/)
    const members = await page.rows('Members')
    assert.deepEqual(members.map((row) => row.User).sort(), ['7', '–', '–', '–', '–'])
    await rig.clients.telnet.before()
    await rig.clients.page.before()
    await page.fill('to-room-event', 'greeting')
    await page.fill('to-room-text', '["hello", {"n": 1}]')
    await page.click('Publish')
    await page.shows(/5 sessions get it/, '.notices')
    await rig.clients.io.event('greeting')
    assert.match(await rig.clients.telnet.next(), /"message":\["hello",\s?\{"n":\s?1\}\],"room":"lobby".*"event":"greeting"/)
    await rig.heard([-1, 'greeting', ['hello', { n: 1 }]])
    assert.match(await rig.clients.page.nextText(), /"message":"lobby.greeting"/)

    await page.fill('to-room-form', 'message')
    await page.fill('to-room-text', '"plain"')
    await page.click('Publish')
    assert.match(await rig.clients.telnet.next(), /^\{"message":"plain","room":"lobby","from":0,"context":"api","sentAt":\d+\}$/)
    await page.fill('to-room-form', 'action')
    await page.fill('to-room-text', '{"type": "ADD"}')
    await page.click('Publish')
    await rig.heard([0, { type: 'ADD' }])

    await page.fill('to-room-form', 'args')
    await page.fill('to-room-text', '[1')
    await page.click('Publish')
    await page.shows(/This is no JSON/)
    await page.fill('to-room-text', '1')
    await page.click('Publish')
    await page.shows(/Arguments are a list/)
    await page.checkFaults()
  })

  test('calls: outcomes and times', async () => {
    const page = await rig.open()
    await page.go('#/calls')
    const before = Number((await rig.api('overview')).listeners.find(({ name }) => name === 'rpc').calls.outcomes.ok ?? 0)
    assert.deepEqual(await rig.clients.rpc.call('double', 4), { ok: true, value: 8 })
    assert.equal((await rig.clients.rpc.call('nothingLikeThis')).ok, false)
    await page.table('Calls by outcome', (rows) =>
      rows.some((row) => row.Listener === 'rpc' && row.Outcome === 'ok' && Number(row.Calls) === before + 1)
      && rows.some((row) => row.Listener === 'rpc' && row.Outcome === 'unknown action'))
    const [rpc] = (await page.rows('Calls by listener')).filter((row) => row.Listener === 'rpc')
    assert.match(rpc['Half took'], /µs|ms/)
    assert.match(rpc.Failed, /^1 \(/)
    await page.checkFaults()
  })

  test('cluster: backends, and no backplane', async () => {
    const page = await rig.open()
    await page.go('#/cluster')
    await page.shows(/This gateway is alone/)
    const [backend] = await page.table('Backends', (rows) => rows.length === 1)
    assert.deepEqual([backend.Backend, backend.Kind, backend.State], ['double', 'script', 'Available'])
    await page.checkFaults()
  })

  test('cluster: two gateways over Redis, and what is seen when it goes', async () => {
    const redis = await RedisServer.start()
    const nodes = []
    try {
      for (let n = 0; n < 2; n += 1) {
        const config = { api: {}, backplane: backplaneOf(redis, { on_outage: 'unready' }), listeners: { tcp: verbsListener({ join: ['lobby'] }) } }
        nodes.push(await Polyport.start(config, { env: { POLYPORT_API_KEY: KEYS.root } }))
      }
      const page = await rig.open({ origin: `http://127.0.0.1:${nodes[0].ports.admin}` })
      await page.go('#/cluster')
      await page.shows(/Backplane\s+Up\s+Node\s+\S+\s+Connected\s+1 ×/)
      const other = await LineClient.open({ port: nodes[1].ports.tcp })
      await page.go('#/sessions?room=lobby')
      const [row] = await page.table('Sessions', (rows) => rows.length === 1)
      assert.equal(row.Session, await other.id())
      await page.go('#/rooms/default/lobby')
      await page.table('Members', (rows) => rows.length === 1 && rows[0].Node !== 'this one')
      await page.fill('to-room-form', 'message')
      await page.fill('to-room-text', '"over there"')
      await page.click('Publish')
      assert.match(await other.next(), /"message":"over there"/)
      await page.shows(/0 sessions get it here, and other nodes are told/, '.notices')
      await page.go('#/cluster')
      await page.shows(/Published\s+[1-9]\d* sent/)
      await redis.kill()
      await page.shows(/Backplane\s+Out of reach/)
      await page.go('#/overview')
      await page.shows(/Not ready\s+backplane: Redis is out of reach/)
      await page.checkFaults()
      other.close()
    } finally {
      for (const node of nodes) await node.kill()
      await redis.stop()
    }
  })

  test('trouble: refusals with reasons, limits, ends', async () => {
    const page = await rig.open()
    await page.go('#/trouble')
    for (let n = 0; n < FEW; n += 1) await rig.telnet('few')
    const late = new LineClient({ port: rig.gateway.ports.few })
    await late.ended()
    const [refusal] = await page.table('Recent refusals', (rows) => rows.length === 1)
    assert.deepEqual([refusal.Listener, refusal.Address], ['few', '127.0.0.1'])
    assert.match(refusal.Reason, /^listener_sessions: the listener holds as many sessions as it may$/)
    await page.table('Limits and ends', (rows) => rows.some((row) => row.Listener === 'few' && row.What === 'connection refused' && row.Times === '1'))
    await page.checkFaults()
  })

  test('trouble: a client that does not read', async () => {
    const page = await rig.open()
    await page.go('#/trouble')
    const slow = await rig.telnet()
    const id = await slow.id()
    slow.socket.pause()
    const fill = { to: { session: id }, event: 'much', data: 'x'.repeat(200_000) }
    const publish = () =>
      fetch(`${rig.origin}/api/publish`, { method: 'POST', headers: { authorization: `Bearer ${KEYS.root}`, 'content-type': 'application/json' }, body: JSON.stringify(fill) })
    await until('something waits', async () => {
      await publish()
      return (await rig.api('overview')).slow.waiting.some(({ session }) => session === id)
    })
    await page.table('Sessions for which most waits', (rows) => rows.some((row) => row.Session === id && /iB$/.test(row.Waiting)))
    await until('it is too slow', async () => {
      await publish()
      return (await rig.api('overview')).slow.closed.some(({ session }) => session === id)
    })
    await page.table('Sessions ended because too much waited', (rows) => rows.some((row) => row.Session === id && row.Listener === 'tcp'))
    slow.reset()
    await page.checkFaults()
  })
})
