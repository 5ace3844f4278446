'use strict'
// Taps: what clients of five protocols say to each other, seen live as it came and as each of them gets it, without secrets.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const { spawn } = require('node:child_process')
const { after, before, describe, test } = require('node:test')
const { FrameClient } = require('./lib/frame-client')
const { LineClient } = require('./lib/line-client')
const { BINARY, Polyport, environment, run } = require('./lib/polyport')
const { connect: connectCluster } = require('./lib/socketcluster')
const { connect: connectSocketIo } = require('./lib/socket-io')
const { Tap } = require('./lib/tap')
const { verbsListener } = require('./lib/verbs')
const { until, within, LIMIT } = require('./lib/wait')

process.on('unhandledRejection', () => {})

const KEY = crypto.randomBytes(32).toString('base64url')
const ROOM_KEY = crypto.randomBytes(32).toString('base64url')
const hash = (key) => `sha256:${crypto.createHash('sha256').update(key).digest('hex')}`

const SECRET = 'hunter2hunter2'
const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2VjcmV0LXNpZ25hdHVyZQ'

const KEYS = { all: { hash: hash(KEY) }, news: { hash: hash(ROOM_KEY), verbs: ['tap'], rooms: ['news*'] } }

const LISTENERS = {
  tcp: verbsListener({ join: ['lobby'] }),
  pocket: { protocol: 'ws-channels', join: ['lobby'] },
  other: { protocol: 'ws-channels', join: ['lobby'] },
  rpc: { protocol: 'ws-rpc', backends: ['builtin'], join: ['lobby'] },
  sio: { protocol: 'socket-io', backends: ['builtin'], join: ['lobby'], socket_io: { publish: [{ event: 'chat', rooms: ['lobby'] }] } },
  cluster: { protocol: 'devtools-relay', backends: ['builtin'], join: ['lobby'], devtools: { relay: false } },
}

/** Waits until a client has got exactly this text. */
async function got(next, text) {
  const earlier = []
  for (;;) {
    const found = await next().catch((error) => {
      throw new Error(`${error.message}; wanted ${text}; got ${JSON.stringify(earlier)}`)
    })
    if (found === text) return
    earlier.push(found)
  }
}

describe('clients of five protocols in a room', () => {
  let gateway
  let clients
  let room
  let speaker

  before(async () => {
    gateway = await Polyport.start({ api: { keys: KEYS, tap: { taps: 12 } }, listeners: LISTENERS })
    const { ports } = gateway
    room = await Tap.open(ports.admin, { room: 'lobby' }, KEY)
    clients = {
      telnet: await LineClient.open({ port: ports.tcp }),
      listener: await LineClient.open({ port: ports.tcp }),
      page: await FrameClient.open({ port: ports.pocket }),
      abroad: await FrameClient.open({ port: ports.other }),
      rpc: await FrameClient.open({ port: ports.rpc }),
      io: connectSocketIo('4.8.4', `http://127.0.0.1:${ports.sio}`, { transports: 'websocket' }),
      cluster: await connectCluster('20.0.2', ports.cluster),
    }
    await clients.io.connected()
    clients.io.raw = []
    clients.io.socket.io.engine.on('packet', ({ type, data }) => {
      if (type === 'message') clients.io.raw.push(`4${data}`)
    })
    const heard = async () => {
      for await (const { message } of clients.cluster.socket.listener('message')) clients.cluster.raw.push(message)
    }
    heard()
    await clients.cluster.subscribe('lobby')
    speaker = await clients.telnet.id()
    await clients.page.before()
    await clients.abroad.before()
  })
  after(async () => {
    room?.close()
    for (const client of Object.values(clients ?? {})) client.close()
    await gateway?.stop()
  })

  /** What each of those who hear it really gets must be what the tap shows. */
  const heardAsShown = async (forms) => {
    assert.deepEqual(Object.keys(forms).sort(), ['devtools-relay', 'socket-io', 'tcp-verbs', 'ws-channels', 'ws-rpc'])
    const { listener, abroad, rpc, io, cluster } = clients
    await got(() => listener.next(), forms['tcp-verbs'])
    await got(async () => (await abroad.next()).text, forms['ws-channels'])
    await got(async () => (await rpc.next()).text, forms['ws-rpc'])
    await until(() => `${forms['socket-io']} in ${JSON.stringify(io.raw)}`, () => io.raw.includes(forms['socket-io']))
    await until(() => `${forms['devtools-relay']} in ${JSON.stringify(cluster.raw)}`, () => cluster.raw.includes(forms['devtools-relay']))
  }

  for (const [name, listener, protocol, event, args, say] of [
    ['telnet', 'tcp', 'tcp-verbs', 'message', ['hi there'], () => clients.telnet.send('say lobby hi there')],
    ['a Pocketsocket page', 'pocket', 'ws-channels', 'hello', [{ n: 1.5 }], () => clients.page.text('{"id":"0.a","message":"lobby.hello","data":{"n":1.5}}')],
    ['Socket.IO', 'sio', 'socket-io', 'chat', ['é', [1, null]], () => clients.io.emit('chat', 'é', [1, null])],
    ['SocketCluster', 'cluster', 'devtools-relay', 'message', [{ from: 'cluster' }], () => clients.cluster.publish('lobby', { from: 'cluster' })],
  ]) {
    test(`what ${name} says is seen as it came, and as each of the others gets it`, async () => {
      await say()
      const seen = await room.saw((record) => record.kind === 'publish' && record.listener === listener)
      const shown = [seen.protocol, seen.realm, seen.room, seen.event, seen.args]
      assert.deepEqual(shown, [protocol, 'default', 'lobby', event, args])
      assert.match(seen.session, /^[0-9a-f-]{36}$/)
      assert.ok(Math.abs(seen.at - Date.now()) < 60_000)
      await heardAsShown(seen.forms)
    })
  }

  test('what the server API publishes is seen too', async () => {
    const args = ['--room', 'lobby', 'news', '{"n":1.50}', '"é"']
    const sent = run(['publish', '--config', gateway.file, ...args], { env: { POLYPORT_API_KEY: KEY } })
    assert.equal(sent.status, 0, sent.stderr)
    const seen = await room.saw({ kind: 'publish', event: 'news' })
    assert.equal(seen.session, undefined)
    assert.ok(room.text.includes('"args":[{"n":1.50},"é"]'), 'digit by digit')
    await heardAsShown(seen.forms)
  })

  test('what socket.red asks for, and what it is answered', async () => {
    const tap = await Tap.open(gateway.ports.admin, { listener: 'rpc' }, KEY)
    await clients.rpc.text('[7,"cacheTest",["k",{"a":1,"token":"t"}]]')
    const call = await tap.saw({ kind: 'call', name: 'cacheTest' })
    assert.deepEqual(call.args, ['k', { a: 1, token: '[redacted]' }])
    const answer = await tap.saw({ kind: 'answer', name: 'cacheTest' })
    assert.equal(answer.outcome, 'ok')
    assert.ok(answer.seconds >= 0 && answer.seconds < 10)
    assert.equal(answer.args[0].cacheTestResults.loadResp.key, 'cacheTest_k')
    await clients.rpc.text('[8,"nobody",[]]')
    assert.equal((await tap.saw({ kind: 'answer', name: 'nobody' })).outcome, 'unknown_action')
    tap.close()
  })

  test('texts of a hub that are no events are seen as they came', async () => {
    const tap = await Tap.open(gateway.ports.admin, { listener: 'pocket' }, KEY)
    await clients.page.text('free text, password=hunter2hunter2')
    assert.deepEqual((await tap.saw((record) => record.raw?.startsWith('free'))).raw, 'free text, password=[redacted]')
    tap.close()
  })

  test('a session from its opening to its end', async () => {
    const listener = await Tap.open(gateway.ports.admin, { listener: 'tcp' }, KEY)
    const client = await LineClient.open({ port: gateway.ports.tcp })
    const id = await client.id()
    const open = await listener.saw({ kind: 'open', session: id })
    assert.match(open.peer, /^127\.0\.0\.1:\d+$/)
    await listener.saw({ kind: 'join', session: id, room: 'lobby' })
    const tap = await Tap.open(gateway.ports.admin, { session: id }, KEY)
    await clients.telnet.send('say lobby to you')
    const heard = await tap.saw({ kind: 'deliver' })
    assert.deepEqual([heard.args, heard.session], [['to you'], speaker])
    await client.send('say lobby from me')
    assert.equal((await tap.saw({ kind: 'publish' })).session, id)
    await client.send('randomNumber')
    await tap.saw({ kind: 'answer', name: 'randomNumber', outcome: 'ok' })
    await client.send('quit')
    assert.equal((await tap.saw({ kind: 'close' })).reason, 'client_left')
    assert.equal(await within(tap.ended, LIMIT, () => 'the tap goes on'), 'in order')
    await listener.saw({ kind: 'leave', session: id, room: 'lobby' })
    listener.close()
    client.close()
  })

  test('secrets of every protocol stay hidden, in forms too', async () => {
    const taps = await Promise.all(
      [{ room: 'lobby' }, ...['tcp', 'pocket', 'rpc', 'sio', 'cluster'].map((listener) => ({ listener }))].map((what) => Tap.open(gateway.ports.admin, what, KEY)),
    )
    const value = { user: 'ann', password: SECRET, deep: [{ 'X-Auth-Token': { a: SECRET } }], text: `see ${JWT}`, inner: JSON.stringify({ apiKey: SECRET }) }
    await clients.telnet.send(`say lobby wss://h/?token=${SECRET}`, `{"action":"cacheTest","params":{"key":"k","value":"v","password":"${SECRET}"}}`)
    await clients.page.text(JSON.stringify({ id: '0.s', message: 'lobby.login', data: value }))
    await clients.rpc.text(JSON.stringify([9, 'cacheTest', ['k', value]]))
    clients.io.emit('chat', value, Buffer.from(`{"secret":"${SECRET}"}`))
    await clients.cluster.publish('lobby', value)
    clients.io.emit('chat', 'the end')
    for (const tap of taps) await tap.saw((record) => record.args?.[0] === 'the end')
    for (const tap of taps) {
      assert.ok(!tap.text.includes(SECRET), 'by name')
      assert.ok(!tap.text.includes(Buffer.from(SECRET).toString('base64').slice(0, 16)), 'in binary')
      assert.ok(!tap.text.includes('c2VjcmV0LXNp'), 'a token by its looks')
      assert.ok(tap.text.includes('[redacted]'))
      tap.close()
    }
  })

  test('who may not, and what cannot be watched', async () => {
    const refused = (parameters, key, status, code) =>
      assert.rejects(Tap.open(gateway.ports.admin, parameters, key), (error) => {
        assert.deepEqual([error.status, error.body.error.code], [status, code])
        return true
      })
    await refused({ room: 'lobby' }, 'x'.repeat(43), 401, 'unauthorized')
    await refused({ room: 'lobby' }, ROOM_KEY, 403, 'forbidden')
    await refused({ listener: 'tcp' }, ROOM_KEY, 403, 'forbidden')
    await refused({ session: crypto.randomUUID() }, KEY, 404, 'unknown_session')
    await refused({ listener: 'none' }, KEY, 404, 'unknown_listener')
    await refused({}, KEY, 400, 'malformed_request')
    const news = await Tap.open(gateway.ports.admin, { room: 'news-1' }, ROOM_KEY)
    news.close()
    const open = []
    const many = async () => {
      for (;;) open.push(await Tap.open(gateway.ports.admin, { room: 'lobby' }, KEY))
    }
    await assert.rejects(many, (error) => error.status === 429 && error.body.error.code === 'too_many_taps')
    assert.ok(open.length > 5 && open.length < 12, `${open.length} beside the one of this suite`)
    assert.equal((await gateway.get('/healthz')).status, 200)
    for (const tap of open) tap.close()
    await gateway.counted('polyport_taps', {}, (count) => count === 1)
  })
})

describe('calls that no backend is asked for', () => {
  const limits = { calls_in_flight: 1 }
  const permissions = { call: ['sleepTest', 'random*'] }
  const monitored = (devtools) => ({ protocol: 'devtools-relay', devtools: { relay: true, protocol_version: 2, ...devtools }, permissions: { call: ['nothing'] } })
  let gateway
  let clients

  before(async () => {
    const few = { backends: ['builtin'], limits, permissions }
    const listeners = {
      tcp: verbsListener({ limits, permissions }),
      rpc: { protocol: 'ws-rpc', ...few },
      sio: { protocol: 'socket-io', ...few },
      cluster: { protocol: 'devtools-relay', devtools: { relay: false, protocol_version: 2 }, ...few },
      monitored: monitored({}),
      closed: { ...monitored({ anybody: ['app'], users: [{ name: 'ann', secret: 'env:USER_SECRET' }] }), realm: 'closed' },
    }
    gateway = await Polyport.start({ api: { keys: KEYS }, listeners }, { env: { USER_SECRET: 'sesame-of-the-tap' } })
    const cluster = async (name) => {
      const client = await FrameClient.open({ port: gateway.ports[name], path: '/socketcluster/' })
      await client.text('{"event":"#handshake","data":{"authToken":null},"cid":1}')
      await client.nextText()
      return client
    }
    clients = {
      tcp: await LineClient.open({ port: gateway.ports.tcp }),
      rpc: await FrameClient.open({ port: gateway.ports.rpc }),
      sio: connectSocketIo('4.8.4', `http://127.0.0.1:${gateway.ports.sio}`, { transports: 'websocket' }),
      cluster: await cluster('cluster'),
      monitored: await cluster('monitored'),
      closed: await cluster('closed'),
    }
    await clients.sio.connected()
  })
  after(async () => {
    for (const client of Object.values(clients ?? {})) client.close()
    await gateway?.stop()
  })

  /** How a client of each listener calls an action with an object. */
  const calls = {
    tcp: (name, given) => clients.tcp.send(JSON.stringify({ action: name, params: given })),
    rpc: (name, given) => clients.rpc.text(JSON.stringify([1, name, [given]])),
    sio: (name, given) => clients.sio.emit(name, given),
    cluster: (name, given) => clients.cluster.text(JSON.stringify({ event: name, data: given, cid: 2 })),
  }
  /** Of which some have no names for what they give. */
  const long = { tcp: { sleepDuration: 60_000 }, rpc: 60_000, sio: 60_000, cluster: { sleepDuration: 60_000 } }
  const NOT_ALLOWED = 'not authorized to call this action'

  for (const [listener, call] of Object.entries(calls)) {
    test(`${listener}: not permitted, and too many in flight`, async () => {
      const tap = await Tap.open(gateway.ports.admin, { listener }, KEY)
      const answered = (name, outcome) => tap.saw({ kind: 'answer', name, outcome })
      await call('cacheTest', { key: 'k', password: SECRET })
      const refused = await answered('cacheTest', 'forbidden')
      assert.deepEqual([refused.error, refused.seconds, refused.listener], [NOT_ALLOWED, 0, listener])
      const [asked] = tap.all('call')
      assert.deepEqual([asked.name, asked.args[0].key, asked.args[0].password, asked.session], ['cacheTest', 'k', '[redacted]', refused.session])
      await gateway.counted('polyport_calls_total', { listener, outcome: 'forbidden' }, (count) => count === 1)
      await call('sleepTest', long[listener])
      await tap.saw({ kind: 'call', name: 'sleepTest' })
      await call('randomNumber', {})
      assert.equal((await answered('randomNumber', 'too_many_pending')).error, 'you have too many pending requests')
      assert.equal(tap.all('call').length, 3)
      assert.ok(!tap.text.includes(SECRET))
      tap.close()
    })
  }

  test('socket.red: a call of nothing', async () => {
    const tap = await Tap.open(gateway.ports.admin, { listener: 'rpc' }, KEY)
    const client = await FrameClient.open({ port: gateway.ports.rpc })
    await client.text('[1,7,[]]')
    assert.equal((await tap.saw({ kind: 'answer', outcome: 'unknown_action' })).name, '7')
    client.close()
    tap.close()
  })

  test('a monitor that asks for a report', async () => {
    const added = await fetch(`http://127.0.0.1:${gateway.ports.monitored}/`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ type: 'STATE', title: 'a report', payload: JSON.stringify({ n: 1, token: SECRET }) }),
    })
    const { id } = await added.json()
    const tap = await Tap.open(gateway.ports.admin, { listener: 'monitored' }, KEY)
    const get = async (data) => {
      const from = tap.records.length
      await clients.monitored.text(JSON.stringify({ event: 'getReport', data, cid: 3 }))
      // A text without anything is a heartbeat.
      const text = async () => (await clients.monitored.nextText()) || text()
      const heard = JSON.parse(await text())
      await until('its answer', () => tap.records.slice(from).some(({ kind }) => kind === 'answer'))
      const [call, answer] = tap.records.slice(from)
      assert.deepEqual([call.kind, call.name, answer.kind, answer.name], ['call', 'getReport', 'answer', 'getReport'])
      return { heard, call, answer }
    }
    const found = await get(id)
    assert.deepEqual([found.call.args, found.answer.outcome, found.answer.args[0].title], [[id], 'ok', 'a report'])
    assert.equal(found.heard.data.title, 'a report')
    assert.ok(found.heard.data.payload.includes(SECRET) && !tap.text.includes(SECRET))
    const missing = await get('none')
    assert.deepEqual([missing.answer.outcome, missing.answer.error, missing.heard.error.message], ['rejected', 'No such report', 'No such report'])
    const nothing = await get()
    assert.deepEqual([nothing.call.args, nothing.answer.args], [[], [{ error: 'No id specified.' }]])
    await gateway.counted('polyport_calls_total', { listener: 'monitored', outcome: 'ok' }, (count) => count === 2)
    tap.close()
    const closed = await Tap.open(gateway.ports.admin, { listener: 'closed' }, KEY)
    await clients.closed.text(JSON.stringify({ event: 'getReport', data: id, cid: 3 }))
    const refused = await closed.saw({ kind: 'answer', name: 'getReport' })
    assert.deepEqual([refused.outcome, closed.all('call')[0].args], ['forbidden', [id]])
    closed.close()
  })
})

describe('a storm', () => {
  test('a reader that does not read loses records; the gateway keeps its memory and everybody else their messages', async () => {
    const gateway = await Polyport.start({ api: { keys: KEYS, tap: { rate: 100_000 } }, listeners: { tcp: verbsListener({ join: ['lobby'] }) } })
    const ROUNDS = 16
    const EACH = 250
    try {
      const [speaker, member] = [await LineClient.open({ port: gateway.ports.tcp }), await LineClient.open({ port: gateway.ports.tcp })]
      const tap = await Tap.open(gateway.ports.admin, { room: 'lobby', forms: false }, KEY)
      tap.response.pause()
      const start = gateway.memory()
      let last
      for (let round = 0; round < ROUNDS; round += 1) {
        const lines = Array.from({ length: EACH }, (_, index) => `say lobby ${round}-${index}-${'x'.repeat(4000)}`)
        await Promise.all([speaker.send(...lines), (async () => {
          for (let index = 0; index < EACH; index += 1) last = await member.next()
        })()])
        // The answers, and what it has said itself.
        await speaker.nextLines(2 * EACH)
      }
      assert.ok(last.includes(`${ROUNDS - 1}-${EACH - 1}-`), 'in order to the last one')
      // 16 MB were said; 4 MiB may wait for the reader.
      const grown = gateway.memory() - start
      assert.ok(grown < 24 << 20, `${grown} bytes more`)
      assert.ok((await gateway.counted('polyport_tap_records_total', { outcome: 'dropped' }, (count) => count > 0)) > 200)
      tap.response.resume()
      await tap.saw((record) => record.kind === 'dropped' && record.count > 100, 60_000)
      tap.close()
      for (const client of [speaker, member]) client.close()
    } finally {
      await gateway.stop()
    }
  })

  test('more than the rate is not shown, and how much more is told', async () => {
    const gateway = await Polyport.start({ api: { keys: KEYS, tap: { rate: 50 } }, listeners: { tcp: verbsListener({ join: ['lobby'] }) } })
    try {
      const speaker = await LineClient.open({ port: gateway.ports.tcp })
      const tap = await Tap.open(gateway.ports.admin, { room: 'lobby' }, KEY)
      await speaker.send(...Array.from({ length: 1000 }, (_, index) => `say lobby ${index}`))
      await speaker.nextLines(1000)
      const told = () => tap.all('publish').length + tap.all('dropped').reduce((sum, record) => sum + record.count, 0)
      await until(() => `1000 shown or told of, not ${told()}`, () => told() === 1000)
      assert.ok(tap.all('publish').length < 500)
      tap.close()
      speaker.close()
    } finally {
      await gateway.stop()
    }
  })
})

describe('the end of a tap', () => {
  test('the key is withdrawn by a reload', async () => {
    const config = { api: { keys: KEYS }, listeners: { tcp: verbsListener() } }
    const gateway = await Polyport.start(config)
    try {
      const [stays, goes] = [await Tap.open(gateway.ports.admin, { room: 'otherRoom' }, KEY), await Tap.open(gateway.ports.admin, { room: 'news' }, ROOM_KEY)]
      gateway.configure({ ...gateway.config, api: { keys: { all: KEYS.all } } })
      gateway.signal('SIGHUP')
      assert.equal((await goes.saw({ kind: 'end' })).reason, 'the key may no longer do this')
      assert.equal(await within(goes.ended, LIMIT, () => 'the tap goes on'), 'in order')
      const client = await LineClient.open({ port: gateway.ports.tcp })
      await client.send('roomAdd otherRoom')
      await stays.saw({ kind: 'join' })
      stays.close()
      client.close()
    } finally {
      await gateway.stop()
    }
  })

  test('the gateway stops, and how its sessions leave is seen', async () => {
    const gateway = await Polyport.start({ api: { keys: KEYS }, listeners: { tcp: verbsListener({ join: ['lobby'] }) } })
    const client = await LineClient.open({ port: gateway.ports.tcp })
    const tap = await Tap.open(gateway.ports.admin, { listener: 'tcp' }, KEY)
    const ended = await gateway.stop()
    assert.deepEqual(ended, { code: 0, signal: null })
    assert.equal(await within(tap.ended, LIMIT, () => 'the tap goes on'), 'in order')
    assert.deepEqual(tap.records.map(({ kind, reason }) => reason ?? kind), ['leave', 'shutdown', 'the gateway stops'])
    client.close()
  })
})

describe('polyport tap', () => {
  let gateway
  let telnet

  before(async () => {
    gateway = await Polyport.start({ api: { keys: KEYS }, listeners: { tcp: verbsListener({ join: ['lobby'] }) } })
    telnet = await LineClient.open({ port: gateway.ports.tcp })
  })
  after(async () => {
    telnet?.close()
    await gateway?.stop()
  })

  /** The command while it runs: what it has printed, and how it ended. */
  const start = (args, { shell } = {}) => {
    const command = [BINARY, 'tap', '--config', gateway.file, ...args]
    const line = shell ? ['sh', '-c', `"$0" "$@" ${shell}`, ...command] : command
    const child = spawn(line[0], line.slice(1), { env: environment({ POLYPORT_API_KEY: KEY }), cwd: gateway.folder })
    const running = { child, out: '', error: '' }
    child.stdout.setEncoding('utf8').on('data', (text) => {
      running.out += text
    })
    child.stderr.setEncoding('utf8').on('data', (text) => {
      running.error += text
    })
    const closed = new Promise((resolve) => {
      child.once('close', (code, signal) => resolve({ code, signal }))
    })
    running.ended = () => within(closed, LIMIT, () => `it does not end: ${running.out}${running.error}`)
    running.prints = (pattern) => until(() => `${pattern} in ${running.out}${running.error}`, () => pattern.test(running.out))
    return running
  }

  /** Waits until so many taps are open. */
  const open = (count) => gateway.counted('polyport_taps', {}, (taps) => taps === count)

  test('lines for people, until Ctrl-C', async () => {
    const tap = start(['--room', 'lobby', '--forms'])
    await open(1)
    await telnet.send('say lobby hello you', 'roomLeave lobby', 'roomAdd lobby')
    await tap.prints(/^\d\d:\d\d:\d\d\.\d{3}Z {2}publish {2}tcp-verbs [0-9a-f-]{36} {2}lobby {2}message {2}"hello you"\n {14}tcp-verbs {2}\{"message":"hello you",.*\}\n.* {2}leave {3} .*\n.* {2}join {4} .*\n$/)
    tap.child.kill('SIGINT')
    assert.deepEqual(await tap.ended(), { code: 0, signal: null })
    assert.ok(!tap.out.includes('\x1b'), 'no colours but on a terminal')
    await open(0)
  })

  test('lines for programs, so many of them', async () => {
    const tap = start(['--listener', 'tcp', '--json', '--count', '2'])
    await open(1)
    await telnet.send('randomNumber')
    assert.deepEqual(await tap.ended(), { code: 0, signal: null })
    const records = tap.out.trimEnd().split('\n').map((line) => JSON.parse(line))
    assert.deepEqual(records.map(({ kind, name }) => [kind, name]), [['call', 'randomNumber'], ['answer', 'randomNumber']])
  })

  test('for a time, until nobody reads, until the session ends', async () => {
    const timed = start(['--room', 'lobby', '--for', '300ms'])
    assert.deepEqual(await timed.ended(), { code: 0, signal: null })
    const read = start(['--room', 'lobby', '--json'], { shell: '| head -n 1' })
    await open(1)
    const says = setInterval(() => telnet.send('say lobby again'), 50)
    assert.deepEqual(await read.ended(), { code: 0, signal: null })
    clearInterval(says)
    assert.equal(read.error, '')
    assert.equal(read.out.split('\n').length, 2)
    await open(0)
    const other = await LineClient.open({ port: gateway.ports.tcp })
    const watched = start(['--session', await other.id()])
    await open(1)
    await other.send('quit')
    assert.deepEqual(await watched.ended(), { code: 0, signal: null })
    assert.match(watched.out, / {2}close {4}.* {2}client_left\n$/)
    other.close()
  })

  test('errors say what to do', async () => {
    const check = async (args, code, pattern) => {
      const tap = start(args)
      assert.equal((await tap.ended()).code, code, tap.out)
      assert.match(tap.error, pattern)
    }
    await check([], 2, /--room <ROOM>\|--session <ID>\|--listener <NAME>/)
    await check(['--listener', 'none'], 1, /there is no listener `none`.*unknown_listener/)
    await check(['--room', 'a', '--url', 'http://127.0.0.1:1'], 1, /does not answer/)
  })

  test('a gateway that goes away, in order or not', async () => {
    for (const [end, pattern] of [['stop', /the gateway stops/], ['kill', /has gone away/]]) {
      const short = await Polyport.start({ api: { keys: KEYS }, listeners: { tcp: verbsListener() } })
      const tap = start(['--room', 'lobby', '--url', `http://127.0.0.1:${short.ports.admin}`])
      await short.counted('polyport_taps', {}, (taps) => taps === 1)
      await short[end]()
      assert.equal((await tap.ended()).code, 1)
      assert.match(tap.error, pattern)
    }
  })
})
