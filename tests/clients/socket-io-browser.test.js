'use strict'
// The browser builds of the original clients in Chromium: bodies of bytes, JSONP, and pages of other origins.

const assert = require('node:assert/strict')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const vm = require('node:vm')
const { Browser } = require('./lib/browser')
const { opening, Polling, send, sendHead, PATH } = require('./lib/engine-io')
const { GatewayServer, NpmServer, runs, SERVER_OF } = require('./lib/socket-io-servers')
const { until } = require('./lib/wait')

const DIST = (version) => path.join(path.dirname(require.resolve(`socket.io-client-${version}/package.json`)), 'dist')

/** What a page does: `drive` opens a client and gives a handle on what it sees. */
const PAGE = `
  import new_client from ${JSON.stringify(path.join(DIST('4.8.4'), 'socket.io.js'))}
  import old_client from ${JSON.stringify(path.join(DIST('2.5.0'), 'socket.io.js'))}
  const CLIENTS = { '4.8.4': new_client, '2.5.0': old_client }
  const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  const plain = (value) => {
    if (value instanceof ArrayBuffer) return { binary: hex(value) }
    if (ArrayBuffer.isView(value)) return { binary: hex(value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength)) }
    if (Array.isArray(value)) return value.map(plain)
    if (value === null || typeof value !== 'object') return value
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
  }
  window.open_client = (version, url, options) => {
    const seen = { events: [], connects: 0, ends: [], errors: [] }
    const socket = CLIENTS[version](url, { forceNew: true, reconnection: false, ...options })
    socket.on('connect', () => (seen.connects += 1))
    socket.on('disconnect', (reason) => seen.ends.push(reason))
    socket.on('connect_error', (error) => seen.errors.push(String(error.message ?? error)))
    for (const name of ['echo', 'uni', 'bin', 'burst', 'big', 'got-answer']) {
      socket.on(name, (...args) => seen.events.push([name, ...args.map(plain)]))
    }
    socket.on('question', (text, answer) => answer('fine', new Uint8Array([1, 2]).buffer))
    window.client = { socket, seen, transport: () => socket.io.engine.transport.name }
  }
`.replaceAll('new_client', 'newClient').replaceAll('old_client', 'oldClient').replaceAll('open_client', 'openClient')

const VERSIONS = ['2.5.0', '4.8.4']
const TRANSPORTS = { polling: ['polling'], websocket: ['websocket'], upgrade: ['polling', 'websocket'] }

/** The walk of a page, and what it must see. */
const STEPS = [
  ['echo', 'hello', 1, { a: [true, null] }],
  ['uni'],
  ['echo', 'é€😀'],
  ['sendbin'],
  ['askme'],
  ['burst'],
  ['big', 3000],
]
const SEEN = [
  ['echo', 'hello', 1, { a: [true, null] }],
  ['uni', 'é€😀\u2028'],
  ['echo', 'é€😀'],
  ['bin', { binary: '000102fdfeff' }, { nested: [{ binary: '6869' }] }],
  ['got-answer', 'fine', { binary: '0102' }],
  ['burst', 0],
  ['burst', 1],
  ['burst', 2],
  ['big', 'x'.repeat(3000)],
  ['echo', { binary: '090807' }, { deep: { binary: '06' } }],
]

describe('Socket.IO in Chromium', () => {
  let browser
  let foreign
  const servers = { npm: {}, gateway: {} }

  before(async () => {
    browser = await Browser.start(PAGE)
    // The same pages by another name are of another origin.
    foreign = browser.origin.replace('127.0.0.1', 'localhost')
    const cors = { origins: [browser.origin], credentials: true }
    if (runs('npm')) {
      servers.npm['4.8.4'] = await NpmServer.start('4.8.4', { server: { cors: { origin: [browser.origin], credentials: true } } })
      servers.npm['2.5.1'] = await NpmServer.start('2.5.1')
    }
    if (runs('gateway')) servers.gateway = await GatewayServer.start({ socketIo: { cors } })
  })
  after(async () => {
    await browser?.stop()
    for (const server of [...Object.values(servers.npm), servers.gateway]) await server.stop?.()
  })

  const serverOf = (kind, version) => (kind === 'npm' ? servers.npm[SERVER_OF(version)] : servers.gateway)

  /** A page with a client under way; `bodies` collects the polling responses. */
  async function open(version, server, options, origin = browser.origin) {
    const page = await browser.browser.newPage()
    const bodies = []
    page.on('response', async (response) => {
      const type = response.headers()['content-type']
      if (!response.url().includes('transport=polling') || response.request().method() !== 'GET') return
      bodies.push({ type, body: await response.buffer().catch(() => null), headers: response.headers() })
    })
    await page.goto(origin)
    await page.evaluate((...args) => window.openClient(...args), version, server.url, options)
    const seen = () => page.evaluate(() => window.client.seen)
    return {
      bodies,
      seen,
      emit: (...args) => page.evaluate((...all) => { window.client.socket.emit(...all) }, ...args),
      run: (work) => page.evaluate(work),
      transport: () => page.evaluate(() => window.client.transport()),
      connected: () =>
        until('a connection', async () => {
          const { connects, errors } = await seen()
          assert.deepEqual(errors, [])
          return connects === 1
        }),
      events: (count) => until('events', async () => {
        const { events } = await seen()
        return events.length >= count && events
      }),
      close: () => page.close(),
    }
  }

  for (const kind of Object.keys(servers).filter(runs)) {
    for (const version of VERSIONS) {
      for (const [transport, transports] of Object.entries(TRANSPORTS)) {
        test(`${kind}: the walk, ${version}, ${transport}`, async () => {
          const page = await open(version, serverOf(kind, version), { transports, withCredentials: true })
          await page.connected()
          let count = 0
          for (const step of STEPS) {
            await page.emit(...step)
            count += step[0] === 'burst' ? 3 : 1
            await page.events(count)
          }
          await page.run(() => {
            window.client.socket.emit('echo', new Uint8Array([9, 8, 7]).buffer, { deep: new Uint8Array([6]).buffer })
          })
          assert.deepEqual(await page.events(SEEN.length), SEEN)
          const wanted = transport === 'polling' ? 'polling' : 'websocket'
          await until('the transport', async () => (await page.transport()) === wanted)
          assert.deepEqual((await page.seen()).ends, [])
          await page.close()
        })
      }
    }

    test(`${kind}: bytes come as bytes to a page of generation 3`, async () => {
      const page = await open('2.5.0', serverOf(kind, '2.5.0'), { transports: ['polling'], withCredentials: true })
      await page.connected()
      await page.emit('sendbin')
      assert.deepEqual(await page.events(1), [SEEN[3]])
      const binary = await until('the bodies', () => {
        const found = page.bodies.filter(({ type, body }) => body && type === 'application/octet-stream')
        return found.length > 0 && found
      })
      const bytes = Buffer.concat(binary.map(({ body }) => body))
      const attachments = Buffer.from([1, 7, 0xff, 4, 0, 1, 2, 0xfd, 0xfe, 0xff, 1, 3, 0xff, 4, 0x68, 0x69])
      assert.deepEqual(bytes.subarray(-attachments.length), attachments)
      await page.close()
    })

    test(`${kind}: a page of another origin`, async () => {
      const server = serverOf(kind, '4.8.4')
      const page = await open('4.8.4', server, { transports: ['polling'], withCredentials: true }, foreign)
      await until('an error', async () => (await page.seen()).errors.length === 1)
      assert.deepEqual((await page.seen()).errors, ['xhr poll error'])
      await page.close()
      if (kind === 'npm') return
      // CORS is no matter of WebSocket: the gateway looks at the origin itself, Node does not.
      for (const version of VERSIONS) {
        const other = await open(version, server, { transports: ['websocket'] }, foreign)
        await until('an error', async () => (await other.seen()).errors.length === 1)
        assert.equal((await other.seen()).connects, 0)
        await other.close()
        const eio = version === '4.8.4' ? 4 : 3
        const refused = await sendHead(server.port, opening(`${PATH}?EIO=${eio}&transport=websocket`, { Origin: foreign }))
        assert.deepEqual([refused.status, refused.body], [403, 'Forbidden'])
      }
    })

    test(`${kind}: what CORS says`, async () => {
      const server = serverOf(kind, '4.8.4')
      const polling = new Polling(server.port, 4, '', {})
      const ask = (origin, more = {}) => polling.get({ ...more, headers: { ...(origin ? { origin } : {}), ...more.headers } })
      const permission = ({ headers }) => [
        headers['access-control-allow-origin'], headers['access-control-allow-credentials'],
      ]
      for (const more of [{}, { path: `${PATH}?EIO=4&transport=polling&sid=nope` }]) {
        const good = await ask(browser.origin, more)
        assert.deepEqual(permission(good), [browser.origin, 'true'])
        assert.match(good.headers.vary, /Origin/)
        const bad = await ask(foreign, more)
        assert.equal(permission(bad)[0], undefined)
        assert.match(bad.headers.vary, /Origin/)
      }
      const asked = await ask(browser.origin, {
        method: 'OPTIONS',
        headers: { 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-one,x-two' },
      })
      assert.equal(asked.status, 204)
      assert.deepEqual(permission(asked), [browser.origin, 'true'])
      assert.equal(asked.headers['access-control-allow-headers'], 'x-one,x-two')
      const methods = asked.headers['access-control-allow-methods'].split(/, */)
      for (const method of ['GET', 'POST']) assert.ok(methods.includes(method), asked.headers['access-control-allow-methods'])
      assert.match(asked.headers.vary, /Access-Control-Request-Headers/)
      // RFC 9110 forbids it with a 204; Node says it all the same.
      assert.ok([undefined, '0'].includes(asked.headers['content-length']))
      polling.close()
    })
  }
})

describe('JSONP', () => {
  const SERVERS = {
    npm: () => NpmServer.start('2.5.1'),
    gateway: () => GatewayServer.start({ socketIo: { jsonp: true, cors: { origins: ['*'] } } }),
  }
  for (const kind of Object.keys(SERVERS).filter(runs)) {
    describe(kind, () => {
      let server
      let browser
      before(async () => {
        server = await SERVERS[kind]()
        browser = await Browser.start(PAGE)
      })
      after(async () => {
        await browser?.stop()
        await server?.stop()
      })

      /** The packets of a body, read as a page reads it: by running it. */
      const run = ({ text }, number) => {
        const received = []
        const eio = []
        eio[number] = (body) => received.push(body)
        vm.runInNewContext(text, { ___eio: eio })
        assert.equal(received.length, 1, text)
        return new Polling(0, 3).decode({ headers: {}, body: Buffer.from(received[0]) })
      }

      test('handshake, poll, POST', async () => {
        const polling = new Polling(server.port, 3, '&b64=1', {})
        const handshake = await polling.get({ path: polling.path('&j=0') })
        assert.match(handshake.text, /^___eio\[0\]\("\d+:0\{\\"sid\\":\\"[A-Za-z0-9_-]{20}\\",.*\}2:40"\);$/)
        const [open, connect] = run(handshake, 0)
        assert.equal(connect, '40')
        polling.sid = JSON.parse(open.slice(1)).sid
        if (kind === 'gateway') {
          assert.equal(handshake.headers['content-type'], 'text/javascript; charset=UTF-8')
          assert.equal(handshake.headers['x-content-type-options'], 'nosniff')
        }
        const form = { 'content-type': 'application/x-www-form-urlencoded' }
        const say = async (body) => {
          const answer = await polling.post(body, form, { path: polling.path('&j=0') })
          assert.deepEqual([answer.status, answer.text], [200, 'ok'])
        }
        // As recorded: a newline in the text, a letter beyond ASCII, a line separator.
        await say('d=27%3A42%5B%22echo%22%2C%22a%5C%5Cnb%22%2C%22%C3%A9%E2%80%A8x%22%2C%22c%22%5D')
        const poll = await polling.get({ path: polling.path('&j=0') })
        assert.match(poll.text, /^___eio\[0\]\("/)
        assert.doesNotMatch(poll.text, /[\u2028\u2029]/)
        assert.deepEqual(run(poll, 0).map((packet) => JSON.parse(packet.slice(2))), [['echo', 'a\nb', 'é\u2028x', 'c']])
        await say('d=13%3A42%5B%22sendbin%22%5D')
        const packets = []
        while (packets.length < 3) packets.push(...run(await polling.get({ path: polling.path('&j=0') }), 0))
        assert.deepEqual(packets.slice(1), [Buffer.from([0, 1, 2, 0xfd, 0xfe, 0xff]), Buffer.from('hi')])
        polling.close()
      })

      test('only digits of j are said', async () => {
        const polling = new Polling(server.port, 3, '&b64=1', {})
        const answer = await polling.get({ path: polling.path('&j=5;alert(1)') })
        if (kind === 'npm') assert.match(answer.text, /^___eio\[51?\]\("/)
        else assert.deepEqual([answer.status, answer.text], [400, '{"code":3,"message":"Bad request"}'])
        polling.close()
      })

      test('refusals are no script', async () => {
        const polling = new Polling(server.port, 3, '&b64=1&sid=nope', {})
        const answer = await polling.get({ path: polling.path('&j=0') })
        assert.deepEqual([answer.status, answer.text], [400, '{"code":1,"message":"Session ID unknown"}'])
        polling.close()
      })

      test('a page that knows nothing else', async () => {
        const page = await browser.page()
        await page.evaluate((url) => window.openClient('2.5.0', url, { forceJSONP: true, transports: ['polling'] }), server.url)
        const seen = () => page.evaluate(() => window.client.seen)
        await until('a connection', async () => (await seen()).connects === 1)
        for (const [index, args] of [['plain', 1], ['é€😀\u2028\n\\n"', { a: null }]].entries()) {
          await page.evaluate((...all) => { window.client.socket.emit('echo', ...all) }, ...args)
          await until('an echo', async () => (await seen()).events.length === index + 1)
          assert.deepEqual((await seen()).events[index], ['echo', ...args])
        }
        await page.close()
      })
    })
  }
})

describe('the script that a page takes from its server', () => {
  const SERVERS = {
    npm: () => NpmServer.start('4.8.4'),
    gateway: () => GatewayServer.start({ socketIo: { client_files: DIST('4.8.4') } }),
  }
  for (const kind of Object.keys(SERVERS).filter(runs)) {
    test(kind, async () => {
      const server = await SERVERS[kind]()
      try {
        for (const file of ['socket.io.js', 'socket.io.min.js', 'socket.io.esm.min.js', 'socket.io.msgpack.min.js', 'socket.io.js.map']) {
          const target = `${PATH}${file}`
          const answer = await send(server.port, { path: target })
          assert.equal(answer.status, 200, file)
          assert.match(answer.headers['content-type'], file.endsWith('.map') ? /^application\/json/ : /^application\/javascript/)
          assert.equal(answer.headers['cache-control'], 'public, max-age=0')
          assert.deepEqual(answer.body, require('node:fs').readFileSync(path.join(DIST('4.8.4'), file)))
          const head = await send(server.port, { method: 'HEAD', path: target })
          const { date, 'transfer-encoding': chunked, 'content-length': length, ...said } = answer.headers
          for (const [header, value] of Object.entries(said)) assert.equal(head.headers[header], value, header)
          assert.deepEqual([head.status, head.text], [200, ''])
          const again = await send(server.port, { path: target, headers: { 'if-none-match': answer.headers.etag } })
          assert.deepEqual([again.status, again.text], [304, ''])
        }
        for (const other of ['package.json', '../package.json', '..%2fpackage.json', 'socket.io.js/../../package.json']) {
          assert.notEqual((await send(server.port, { path: `${PATH}${other}` })).status, 200, other)
        }
      } finally {
        await server.stop()
      }
    })
  }
})
