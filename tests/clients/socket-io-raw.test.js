'use strict'
// Engine.IO and Socket.IO byte by byte: what no original client would send, and what they never show.

const assert = require('node:assert/strict')
const http = require('node:http')
const { after, before, describe, test } = require('node:test')
const zlib = require('node:zlib')
const { connectedSocket, nextMessage, opening, openSocket, Polling, send, sendHead, upgrading, PATH } = require('./lib/engine-io')
const { FrameClient } = require('./lib/frame-client')
const { connect, VERSIONS } = require('./lib/socket-io')
const { GatewayServer, NpmServer, runs, SERVER_OF } = require('./lib/socket-io-servers')
const { until } = require('./lib/wait')

process.on('unhandledRejection', () => {})

const LIMIT = 1_000_000
const json = (code, message) => ({ type: 'application/json', body: JSON.stringify({ code, message }) })
const EMPTY = { body: '' }

/** The server of npm that speaks both generations, the one of generation 3, and the gateway. */
const SERVERS = {
  'socket.io 4.8.4': (server = {}) => NpmServer.start('4.8.4', { server: { allowEIO3: true, ...server } }),
  'the gateway': (server = {}) => GatewayServer.start({ socketIo: settings(server) }),
}
const NPM = 'socket.io 4.8.4'
const names = Object.keys(SERVERS).filter((name) => runs(name === NPM ? 'npm' : 'gateway'))

/** Settings of the gateway from the options of npm's server, both in milliseconds. */
function settings(server) {
  const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  return Object.fromEntries(
    Object.entries(server).map(([name, value]) => [snake(name), typeof value === 'number' ? `${value}ms` : value]),
  )
}

// --- section 2 --------------------------------------------------------------------------------------------------------

const TRANSPORT = { status: 400, ...json(0, 'Transport unknown') }
const SESSION = { status: 400, ...json(1, 'Session ID unknown') }
const METHOD = { status: 400, ...json(2, 'Bad handshake method') }
const REQUEST = { status: 400, ...json(3, 'Bad request') }
const PROTOCOL = { status: 400, ...json(5, 'Unsupported protocol version') }
const NOT_FOUND = { status: 404 }

/** `[method, address, expected, with an open session, npm's where that is wrong]`. */
const REQUESTS = [
  ['GET', '?EIO=4', TRANSPORT],
  ['GET', '?EIO=4&transport=', TRANSPORT],
  ['GET', '?EIO=4&transport=abc', TRANSPORT],
  ['GET', '?EIO=4&transport=constructor', TRANSPORT],
  ['POST', '?EIO=4&transport=abc&sid=nope', TRANSPORT],
  ['GET', '?EIO=3', TRANSPORT],
  ['GET', '?EIO=4&transport=polling&sid=nope', SESSION],
  ['GET', '?EIO=3&transport=polling&sid=nope', SESSION],
  ['GET', '?EIO=9&transport=polling&sid=nope', SESSION],
  ['POST', '?EIO=4&transport=polling&sid=nope', SESSION],
  ['GET', '?EIO=4&transport=websocket&sid=nope', SESSION],
  ['GET', '?EIO=4&transport=websocket&sid=SID', REQUEST],
  ['POST', '?EIO=4&transport=websocket&sid=SID', REQUEST],
  ['POST', '?EIO=4&transport=polling', METHOD],
  ['PUT', '?EIO=4&transport=polling', METHOD],
  ['DELETE', '?EIO=3&transport=polling', METHOD],
  ['OPTIONS', '?EIO=4&transport=polling', METHOD],
  ['POST', '?EIO=4&transport=websocket', METHOD],
  ['GET', '?EIO=4&transport=websocket', REQUEST],
  ['GET', '?EIO=3&transport=websocket', REQUEST],
  // Node takes whatever is not 4 for 3 when it serves that.
  ['GET', '?EIO=5&transport=polling', PROTOCOL, { status: 200 }],
  ['GET', '?EIO=abc&transport=polling', PROTOCOL, { status: 200 }],
  ['GET', '?EIO=2&transport=polling', PROTOCOL, { status: 200 }],
  ['GET', '?transport=polling', PROTOCOL, { status: 200 }],
  ['PUT', '?EIO=4&transport=polling&sid=SID', { status: 405 }, { status: 500, ...EMPTY }],
  ['DELETE', '?EIO=4&transport=polling&sid=SID', { status: 405 }, { status: 500, ...EMPTY }],
  ['GET', 'anything?EIO=4&transport=polling', { status: 200 }],
  ['GET', '../socket.io?EIO=4&transport=polling', { status: 200 }, NOT_FOUND],
  ['GET', '../other/?EIO=4&transport=polling', NOT_FOUND],
  ['GET', '../socket.iox/?EIO=4&transport=polling', NOT_FOUND],
]

const text = (message) => ({ status: 400, line: 'HTTP/1.1 400 Bad Request', type: 'text/html', body: message, connection: 'close' })
const SWITCHED = { status: 101 }

const UPGRADES = [
  ['?EIO=4', text('Transport unknown')],
  ['?EIO=4&transport=abc', text('Transport unknown')],
  ['?EIO=4&transport=websocket&sid=nope', text('Session ID unknown')],
  ['?EIO=3&transport=websocket&sid=nope', text('Session ID unknown')],
  ['?EIO=4&transport=polling&sid=nope', text('Session ID unknown')],
  // Node says 101 to what cannot succeed.
  ['?EIO=abc&transport=websocket', text('Unsupported protocol version'), SWITCHED],
  ['?EIO=4&transport=polling', { status: 400 }, SWITCHED],
]

const resolved = (target) => (target.startsWith('../') ? target.slice(2) : `${PATH}${target}`)

for (const name of names) {
  const isNpm = name === NPM

  describe(`${name}: requests`, () => {
    let server
    before(async () => {
      server = await SERVERS[name]()
    })
    after(() => server?.stop())

    for (const [method, target, expected, npm] of REQUESTS) {
      test(`${method} ${target}`, async () => {
        const wanted = isNpm && npm ? npm : expected
        const session = target.includes('SID') ? await Polling.open(server.port) : null
        const answer = await send(server.port, { method, path: resolved(target.replace('SID', session?.sid)) })
        assert.equal(answer.status, wanted.status, answer.text)
        if (wanted.body !== undefined) assert.equal(answer.text, wanted.body)
        if (wanted.type !== undefined) assert.equal(answer.headers['content-type'], wanted.type)
        // The session itself is none the worse for it.
        if (session) assert.equal((await session.post('40')).text, 'ok')
      })
    }

    for (const [target, expected, npm] of UPGRADES) {
      test(`upgrade ${target}`, async () => {
        const wanted = isNpm && npm ? npm : expected
        const answer = await sendHead(server.port, opening(resolved(target)), { hasBody: wanted.status !== 101 })
        assert.equal(answer.status, wanted.status, answer.head)
        if (wanted.line) assert.equal(answer.head.split('\r\n')[0], wanted.line)
        if (wanted.body !== undefined) assert.equal(answer.body, wanted.body)
        for (const [header, value] of [['content-type', wanted.type], ['connection', wanted.connection]]) {
          if (value) assert.equal(new RegExp(`^${header}: *(.*)\r$`, 'im').exec(answer.head)?.[1].toLowerCase(), value)
        }
      })
    }

    test('an origin that is none is refused', async () => {
      const head = `GET ${PATH}?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nOrigin: http://a\x01b\r\nConnection: close\r\n\r\n`
      assert.equal((await sendHead(server.port, head)).status, 400)
    })

    if (!isNpm) {
      test('an upgrade on a foreign path is answered with 404 at once', async () => {
        assert.equal((await sendHead(server.port, opening('/other/?EIO=4&transport=websocket'))).status, 404)
      })

      test('a script that is not there: 404, and what to do', async () => {
        const answer = await send(server.port, { path: `${PATH}socket.io.js` })
        assert.equal(answer.status, 404)
        assert.match(answer.text, /client_files/)
      })
    }
  })

  describe(`${name}: transports that are off`, () => {
    let server
    before(async () => {
      server = await SERVERS[name]({ transports: ['websocket'] })
    })
    after(() => server?.stop())

    test('polling is no transport', async () => {
      const answer = await send(server.port, { path: `${PATH}?EIO=4&transport=polling` })
      assert.deepEqual([answer.status, answer.text], [400, TRANSPORT.body])
      const client = await connectedSocket(server.port)
      assert.deepEqual(client.opened.upgrades, [])
      client.close()
    })
  })

  // --- sections 3 and 4 -----------------------------------------------------------------------------------------------

  describe(`${name}: polling`, () => {
    let server
    let neighbour
    before(async () => {
      server = await SERVERS[name](isNpm ? {} : { compressFrom: '1KiB' })
      neighbour = await Polling.connected(server.port)
    })
    after(() => server?.stop())

    const session = (options) => Polling.connected(server.port, options)
    const isUnknown = async (polling) => {
      const answer = await polling.get()
      assert.deepEqual([answer.status, answer.text], [400, SESSION.body])
    }
    const neighbourIsWell = async () => assert.equal(await neighbour.echo('well'), '42["echo","well"]')

    /** A GET that waits, on a connection of its own: `{ answer, request }`. */
    async function waiting(polling, more = '') {
      let request
      const answer = polling.get({ path: polling.path(more) }, (started) => {
        request = started
      })
      answer.catch(() => {})
      await until('the request to be on its way', () => request.socket?.bytesWritten > 0 && request.writableFinished)
      // What follows on another connection must not overtake it: the server has answered something since.
      await neighbourIsWell()
      return { answer, request }
    }

    test('the handshake of generation 4', async () => {
      const { handshake } = await Polling.open(server.port)
      assert.match(
        handshake.text,
        /^0\{"sid":"[A-Za-z0-9_-]{20}","upgrades":\["websocket"\],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000\}$/,
      )
      assert.equal(handshake.headers['content-type'], 'text/plain; charset=UTF-8')
      assert.equal(handshake.headers['content-length'], String(handshake.body.length))
      assert.equal(handshake.headers['cache-control'], 'no-store')
      assert.equal(handshake.headers['set-cookie'], undefined)
      assert.equal(handshake.headers['access-control-allow-origin'], undefined)
    })

    test('the handshake of generation 3', async () => {
      const polling = await Polling.open(server.port, { eio: 3, query: '&b64=1' })
      const { sid, upgrades, pingInterval, pingTimeout } = polling.opened
      assert.match(sid, /^[A-Za-z0-9_-]{20}$/)
      assert.deepEqual({ upgrades, pingInterval, pingTimeout }, { upgrades: ['websocket'], pingInterval: 25000, pingTimeout: 20000 })
      assert.deepEqual(Object.keys(polling.opened).slice(0, 4), ['sid', 'upgrades', 'pingInterval', 'pingTimeout'])
      // Node 4.x keeps its CONNECT for the next response, Node 2.x and the gateway do not.
      assert.deepEqual(polling.early.length > 0 ? polling.early : await polling.poll(), ['40'])
      if (!isNpm) assert.deepEqual(polling.early, ['40'])
    })

    test('the id of generation 4 is not the secret one', async () => {
      const polling = await Polling.open(server.port)
      await polling.send('40')
      const [answer] = await polling.poll()
      assert.match(answer, /^40\{"sid":"[A-Za-z0-9_-]{20}"\}$/)
      assert.notEqual(JSON.parse(answer.slice(2)).sid, polling.sid)
    })

    test('a cookie, where one is wanted', async () => {
      const cookie = isNpm ? { name: 'io', path: '/', httpOnly: true, sameSite: 'lax' } : 'io'
      const other = await SERVERS[name]({ cookie })
      const polling = await Polling.open(other.port)
      assert.deepEqual(polling.handshake.headers['set-cookie'], [`io=${polling.sid}; Path=/; HttpOnly; SameSite=Lax`])
      await other.stop()
    })

    test('every response says what it is', async () => {
      const polling = await session()
      const taken = await polling.post('42["echo",1]')
      assert.deepEqual([taken.status, taken.text], [200, 'ok'])
      assert.equal(taken.headers['content-type'], 'text/html')
      assert.equal(taken.headers['content-length'], '2')
      assert.equal(taken.headers['cache-control'], 'no-store')
      const given = await polling.get()
      assert.equal(given.text, '42["echo",1]')
      assert.equal(given.headers['content-type'], 'text/plain; charset=UTF-8')
      assert.equal(given.headers['cache-control'], 'no-store')
      assert.equal(given.headers['x-xss-protection'], undefined)
    })

    for (const browser of ['Mozilla/4.0 (compatible;MSIE 8.0)', 'Mozilla/5.0 (Windows NT 6.3; Trident/7.0; rv:11.0)']) {
      test(`to ${browser}`, async () => {
        const polling = await session({ headers: { 'user-agent': browser } })
        assert.equal(polling.handshake.headers['x-xss-protection'], '0')
        assert.equal((await polling.post('42["echo",1]')).headers['x-xss-protection'], '0')
      })
    }

    test('several packets in one body', async () => {
      const polling = await session()
      await polling.send('42["echo",1]', '42["echo",2]', '421["ack","x"]')
      assert.deepEqual((await polling.packets(3)).sort(), ['42["echo",1]', '42["echo",2]', '431["x"]'])
      const old = await session({ eio: 3, query: '&b64=1' })
      await old.send('42["echo",1]', '42["echo",2]')
      assert.deepEqual(await old.packets(2), ['42["echo",1]', '42["echo",2]'])
    })

    for (const [encoding, decompress] of [['gzip', zlib.gunzipSync], ['deflate', zlib.inflateSync]]) {
      test(`long bodies in ${encoding}, short ones not`, async () => {
        const polling = await session()
        await polling.send('42["big",3000]')
        const long = await polling.get({ headers: { 'accept-encoding': encoding } })
        assert.equal(long.headers['content-encoding'], encoding)
        assert.equal(decompress(long.body).toString(), `42["big","${'x'.repeat(3000)}"]`)
        await polling.send('42["big",3]')
        const short = await polling.get({ headers: { 'accept-encoding': encoding } })
        assert.equal(short.headers['content-encoding'], undefined)
      })
    }

    test('binary in generation 4', async () => {
      const polling = await session()
      await polling.send('42["sendbin"]')
      const parts = []
      while (parts.length < 3) parts.push(...(await polling.get()).text.split('\x1e'))
      assert.deepEqual(parts, [
        '452-["bin",{"_placeholder":true,"num":0},{"nested":[{"_placeholder":true,"num":1}]}]', 'bAAEC/f7/', 'baGk=',
      ])
    })

    test('attachments in the same POST, and in later ones', async () => {
      const polling = await session()
      const event = '452-["echo",{"_placeholder":true,"num":0},"t",{"_placeholder":true,"num":1}]'
      for (const posts of [[[event, 'bCQgH', 'bBg==']], [[event], ['bCQgH', 'bBg==']], [[event, 'bCQgH'], ['bBg==']]]) {
        for (const packets of posts) await polling.send(...packets)
        assert.deepEqual(await polling.packets(3), [event, Buffer.from([9, 8, 7]), Buffer.from([6])])
      }
    })

    test('binary in generation 3, in text', async () => {
      const polling = await session({ eio: 3, query: '&b64=1' })
      await polling.send('42["sendbin"]')
      const bodies = []
      while (bodies.join('').length < 100) bodies.push((await polling.get()).text)
      assert.equal(
        bodies.join(''),
        '84:452-["bin",{"_placeholder":true,"num":0},{"nested":[{"_placeholder":true,"num":1}]}]10:b4AAEC/f7/6:b4aGk=',
      )
    })

    test('binary in generation 3, in bytes', async () => {
      const polling = await session({ eio: 3 })
      const event = '452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
      const length = [...String(event.length)].map(Number)
      const body = Buffer.concat([
        Buffer.from([0, ...length, 0xff]), Buffer.from(event),
        Buffer.from([1, 7, 0xff, 4, 0, 1, 2, 0xfd, 0xfe, 0xff]), Buffer.from([1, 3, 0xff, 4, 0x68, 0x69]),
      ])
      const taken = await polling.post(body, { 'content-type': 'application/octet-stream' })
      assert.deepEqual([taken.status, taken.text], [200, 'ok'])
      const bytes = []
      while (Buffer.concat(bytes).length < body.length) {
        const answer = await polling.get()
        // What holds no binary is text.
        const isBinary = answer.headers['content-type'] === 'application/octet-stream'
        bytes.push(isBinary ? answer.body : Buffer.concat([Buffer.from([0, ...length, 0xff]), answer.body.subarray(String(event.length).length + 1)]))
        if (bytes.length > 1) assert.ok(isBinary)
      }
      assert.deepEqual(Buffer.concat(bytes), body)
    })

    test('a second poll ends the session', async () => {
      const polling = await session()
      const first = await waiting(polling)
      const second = await polling.get({ path: polling.path('&t=2') })
      assert.deepEqual([second.status, second.text], [400, ''])
      const { status, text: body } = await first.answer
      assert.deepEqual([status, body], [200, '1'])
      await isUnknown(polling)
      await neighbourIsWell()
    })

    test('a second POST while one is read ends the session', async () => {
      const polling = await session()
      const slow = http.request({
        host: '127.0.0.1', port: server.port, method: 'POST', path: polling.path(), headers: { 'content-length': 20 }, agent: false,
      })
      slow.on('error', () => {})
      slow.write('42["echo"')
      await until('the first to be on its way', () => slow.socket?.bytesWritten > 0)
      await neighbourIsWell()
      const second = await polling.post('42["echo",2]')
      assert.deepEqual([second.status, second.text], [400, ''])
      slow.destroy()
      await isUnknown(polling)
      await neighbourIsWell()
    })

    test('a client that aborts its poll is gone', async () => {
      const polling = await session()
      const { request } = await waiting(polling)
      request.destroy()
      await until('the session to be unknown', async () => {
        const answer = await polling.post('42["echo",1]').catch(() => null)
        return answer?.status === 400 && answer.text === SESSION.body
      })
      await neighbourIsWell()
    })

    test('a body of exactly the limit, and one byte more', async () => {
      const polling = await session()
      const filled = (length) => `42["echo","${'x'.repeat(length - 13)}"]`
      assert.equal((await polling.post(filled(LIMIT))).text, 'ok')
      assert.equal((await polling.poll())[0].length, LIMIT)
      for (const headers of [{}, { 'transfer-encoding': 'chunked' }]) {
        const big = await polling.post(filled(LIMIT + 1), headers).catch((error) => error)
        // Whoever refuses by the head may cut the rest off.
        if (!(big instanceof Error)) assert.deepEqual([big.status, big.text], [413, ''])
        assert.equal(await polling.echo('alive'), '42["echo","alive"]')
      }
    })

    const bad = isNpm ? [200, 'ok'] : [400, undefined]
    for (const [what, options, body] of [
      ['an unknown packet', {}, 'abc'],
      ['an empty body', {}, ''],
      ['a body without lengths', { eio: 3 }, '42["echo",1]'],
      ['a length that is too long', { eio: 3 }, '99:42["echo",1]'],
      ['an empty body of generation 3', { eio: 3 }, ''],
    ]) {
      test(`${what} ends the session`, async () => {
        const polling = await session(options)
        const answer = await polling.post(body)
        assert.equal(answer.status, bad[0], answer.text)
        if (bad[1]) assert.equal(answer.text, bad[1])
        await isUnknown(polling)
        await neighbourIsWell()
      })
    }

    test('bytes in generation 4 end the session', async () => {
      const polling = await session()
      assert.equal((await polling.post('42["echo",1]', { 'content-type': 'application/octet-stream' })).status, 400)
      await isUnknown(polling)
    })

    for (const eio of [4, 3]) {
      test(`a close packet while a poll waits, generation ${eio}`, async () => {
        const polling = await session({ eio, query: eio === 3 ? '&b64=1' : '' })
        const { answer } = await waiting(polling)
        await polling.send('1')
        assert.equal((await answer).text, eio === 3 ? '1:6' : '6')
        await isUnknown(polling)
      })
    }

    if (!isNpm) {
      test('what ends the session by what it says: 400, however it is said', async () => {
        for (const packet of ['4abc', '42{}', '42["disconnect"]', '42/admin,["echo",1]']) {
          const polling = await session()
          const answer = await polling.post(`42["echo",1]\x1e${packet}`)
          assert.deepEqual([answer.status, answer.text], [400, ''], packet)
          await isUnknown(polling)
        }
      })

      test('very many packets in one body cost no memory', async () => {
        const polling = await session({ eio: 3, query: '&b64=1' })
        const before = server.gateway.memory()
        assert.equal((await polling.post('1:3'.repeat(LIMIT / 4))).text, 'ok')
        assert.ok(server.gateway.memory() - before < 4 * 1024 * 1024, 'memory is flat')
        assert.equal(await polling.echo('alive'), '42["echo","alive"]')
      })

      test('JSONP, where it is off, and where nobody asks for it', async () => {
        const refused = await send(server.port, { path: `${PATH}?EIO=3&transport=polling&j=0` })
        assert.deepEqual([refused.status, refused.text], [400, REQUEST.body])
        const polling = await session({ query: '&j=0' })
        assert.match(polling.handshake.text, /^0\{/)
      })

      // Node goes on with the old connection when both come at once, and closes.
      test('leaving a namespace and joining it again in one body', async () => {
        for (const eio of [4, 3]) {
          const polling = await session({ eio, query: eio === 3 ? '&b64=1' : '' })
          const greeting = eio === 3 ? /^40\/admin,$/ : /^40\/admin,\{"sid":"[A-Za-z0-9_-]{20}"\}$/
          await polling.send('40/admin,')
          const [first] = await polling.packets(1)
          await polling.send('41/admin,', '40/admin,')
          const [second] = await polling.packets(1)
          for (const packet of [first, second]) assert.match(packet, greeting)
          if (eio === 4) assert.notEqual(first, second)
          await polling.send('42/admin,["echo","again"]')
          assert.deepEqual(await polling.packets(1), ['42/admin,["echo","again"]'])
        }
      })
    }

    test('leaving the namespace, and everything else', async () => {
      const polling = await session()
      const { answer } = await waiting(polling)
      await polling.send('42["kick-close"]')
      assert.match((await answer).text, /^41(\x1e1)?$/)
    })

    if (!isNpm) {
      test('generation 3 gets text that both styles read alike, and is read in its own', async () => {
        const polling = await session({ eio: 3, query: '&b64=1' })
        await polling.send('42["uni"]')
        assert.equal((await polling.get()).text, '42:42["uni","\\u00e9\\u20ac\\ud83d\\ude00\\u2028"]')
        const twice = (packet) => {
          const once = Buffer.from(packet).toString('latin1')
          return Buffer.from(`${once.length}:${once}`)
        }
        const back = async () => JSON.parse((await polling.poll())[0].slice(2))
        await polling.post(twice('42["echo","é€😀"]'))
        assert.deepEqual(await back(), ['echo', 'é€😀'])
        const single = await session({ eio: 3, query: '&b64=1' })
        await single.send('42["echo","é€😀"]', '42["echo","é"]')
        const packets = await single.packets(2)
        assert.deepEqual(packets.map((packet) => JSON.parse(packet.slice(2))[1]), ['é€😀', 'é'])
      })
    }
  })

  // --- section 5 and 6 ------------------------------------------------------------------------------------------------

  describe(`${name}: WebSocket and upgrade`, () => {
    let server
    before(async () => {
      server = await SERVERS[name]({ upgradeTimeout: 700 })
    })
    after(() => server?.stop())

    test('what is too big closes with 1009, exactly the limit does not', async () => {
      for (const eio of [4, 3]) {
        const client = await connectedSocket(server.port, { eio })
        const filled = (length) => `42["echo","${'x'.repeat(length - 13)}"]`
        await client.text(filled(LIMIT))
        assert.equal((await client.nextText()).length, LIMIT)
        await client.text(filled(LIMIT + 1))
        const { kind, code } = await client.next()
        assert.deepEqual([kind, code], ['close', 1009])
      }
    })

    test('binary frames: bare in generation 4, marked in generation 3, base64 where asked for', async () => {
      const event = '452-["bin",{"_placeholder":true,"num":0},{"nested":[{"_placeholder":true,"num":1}]}]'
      for (const [options, frames] of [
        [{ eio: 4 }, ['000102fdfeff', '6869']],
        [{ eio: 3 }, ['04000102fdfeff', '046869']],
        [{ eio: 3, query: '&b64=1' }, ['b4AAEC/f7/', 'b4aGk=']],
      ]) {
        const client = await connectedSocket(server.port, options)
        await client.text('42["sendbin"]')
        assert.equal(await client.nextText(), event)
        for (const expected of frames) {
          const { kind, payload, text: found } = await client.next()
          assert.equal(kind === 'text' ? found : payload.toString('hex'), expected)
        }
        client.close()
      }
    })

    test('binary in text frames is taken, too', async () => {
      for (const [eio, frame] of [[4, 'bCQgH'], [3, 'b4CQgH']]) {
        const client = await connectedSocket(server.port, { eio })
        const event = '451-["echo",{"_placeholder":true,"num":0}]'
        await client.text(event)
        await client.text(frame)
        assert.equal(await client.nextText(), event)
        const { payload } = await client.next()
        assert.equal(payload.toString('hex'), eio === 3 ? '04090807' : '090807')
        client.close()
      }
    })

    test('fragments, pings, no compression, no subprotocol', async () => {
      const client = await FrameClient.open({
        port: server.port, path: `${PATH}?EIO=4&transport=websocket`,
        headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' },
      })
      assert.doesNotMatch(client.answer, /sec-websocket-extensions|sec-websocket-protocol/i)
      await client.nextText()
      await client.text('4', { fin: false })
      await client.send('ping', 'p')
      await client.send('continuation', '0')
      const seen = [await client.next(), await client.next()]
      assert.deepEqual(new Set(seen.map(({ kind }) => kind)), new Set(['pong', 'text']))
      client.close()
    })

    test("a client's close frame ends the session, and what follows is nothing", async () => {
      const client = await connectedSocket(server.port)
      await client.send('close', '')
      await client.text('41').catch(() => {})
      assert.equal((await client.next()).kind, 'close')
      await client.ended()
    })

    test('the upgrade', async () => {
      for (const eio of [4, 3]) {
        const polling = await Polling.connected(server.port, { eio })
        const waiting = polling.get()
        const socket = await upgrading(polling)
        await socket.text('2probe')
        assert.equal(await socket.nextText(), '3probe')
        assert.equal((await waiting).text, eio === 3 ? '1:6' : '6')
        await polling.send('42["echo","by POST"]')
        await socket.text('5')
        assert.equal(await socket.nextText(), '42["echo","by POST"]')
        await socket.text('42["echo","by WebSocket"]')
        assert.equal(await socket.nextText(), '42["echo","by WebSocket"]')
        const late = await polling.get()
        assert.deepEqual([late.status, late.text], [400, REQUEST.body])
        socket.close()
      }
    })

    if (!isNpm) {
      test('leaving a namespace and joining it again in frames back to back', async () => {
        const client = await connectedSocket(server.port)
        await client.text('40/admin,')
        const first = await client.nextText()
        await Promise.all([client.text('41/admin,'), client.text('40/admin,')])
        const second = await client.nextText()
        for (const packet of [first, second]) assert.match(packet, /^40\/admin,\{"sid":"[A-Za-z0-9_-]{20}"\}$/)
        assert.notEqual(first, second)
        await client.text('42/admin,["echo","again"]')
        assert.equal(await client.nextText(), '42/admin,["echo","again"]')
        client.close()
      })
    }

    test('probe and upgrade back to back, with a poll that waits', async () => {
      const polling = await Polling.connected(server.port)
      const waiting = polling.get()
      const socket = await upgrading(polling)
      await Promise.all([socket.text('2probe'), socket.text('5'), socket.text('42["echo","at once"]')])
      assert.deepEqual(await socket.nextTexts(2), ['3probe', '42["echo","at once"]'])
      // Node ends the poll as if the session were over.
      assert.equal((await waiting).text, isNpm ? '1' : '6')
      socket.close()
    })

    test('a wrong probe closes its socket, polling goes on', async () => {
      for (const word of ['2wrong', '3probe', '42["echo",1]']) {
        const polling = await Polling.connected(server.port)
        const socket = await upgrading(polling)
        await socket.text(word)
        assert.equal((await socket.next()).kind, 'close')
        assert.equal(await polling.echo('alive'), '42["echo","alive"]')
      }
    })

    test('an upgrade that is never finished closes its socket, polling goes on', async () => {
      for (const probes of [[], ['2probe']]) {
        const polling = await Polling.connected(server.port)
        const socket = await upgrading(polling)
        const start = Date.now()
        for (const probe of probes) await socket.text(probe)
        if (probes.length > 0) assert.equal(await socket.nextText(), '3probe')
        assert.equal((await socket.next()).kind, 'close')
        const took = Date.now() - start
        assert.ok(took > 600 && took < 1_500, `after ${took} ms`)
        assert.equal(await polling.echo('alive'), '42["echo","alive"]')
      }
    })

    test('a second socket for a session is sent away, the first is not touched', async () => {
      const refused = async (polling) => {
        const path = `${PATH}?EIO=4&transport=websocket&sid=${polling.sid}`
        const second = await FrameClient.open({ port: server.port, path }).catch((error) => error)
        if (second instanceof Error) assert.match(second.message, / 400 /)
        else assert.equal((await second.next()).kind, 'close')
      }
      const polling = await Polling.connected(server.port)
      const socket = await upgrading(polling)
      await socket.text('2probe')
      assert.equal(await socket.nextText(), '3probe')
      await refused(polling)
      await socket.text('5')
      await refused(polling)
      await socket.text('42["echo","first"]')
      assert.equal(await socket.nextText(), '42["echo","first"]')
      socket.close()
    })
  })

  // --- section 7 ------------------------------------------------------------------------------------------------------

  describe(`${name}: heartbeat`, () => {
    const BEAT = { pingInterval: 300, pingTimeout: 200 }
    // How late a timer may fire on a machine that has other things to do.
    const LATE = 60
    let server
    before(async () => {
      server = await SERVERS[name]({ ...BEAT, connectTimeout: 400 })
    })
    after(() => server?.stop())

    const lasted = async (start, client) => {
      let found
      do found = await client.next()
      while (found.kind === 'text')
      assert.deepEqual([found.kind, found.code], ['close', null])
      return Date.now() - start
    }
    /** Timing counts only if the machine kept time: the best of three. */
    const inTime = async (attempt, least, most) => {
      const all = []
      for (let tries = 0; tries < 3; tries += 1) {
        const took = await attempt()
        if (took >= least && took <= most) return
        assert.ok(took >= least, `after ${took} ms already`)
        all.push(took)
      }
      assert.fail(`after ${all} ms`)
    }

    for (const eio of [4, 3]) {
      test(`a client of generation ${eio} that never answers is cut after 500 ms`, async () => {
        await inTime(async () => {
          const start = Date.now()
          return lasted(start, await connectedSocket(server.port, { eio }))
        }, 495, 500 + LATE)
      })
    }

    test('a client of generation 4 that answers stays', async () => {
      const client = await connectedSocket(server.port)
      for (let count = 0; count < 4; count += 1) {
        assert.equal(await client.nextText(), '2')
        await client.text('3')
      }
      await client.text('42["echo",1]')
      assert.equal(await client.nextText(), '42["echo",1]')
      client.close()
    })

    test('a client of generation 3 pings, and any data comes back', async () => {
      const client = await connectedSocket(server.port, { eio: 3 })
      for (const data of ['', 'hello', '{}']) {
        await client.text(`2${data}`)
        // Node forgets the data, which no client sends.
        assert.equal(await client.nextText(), isNpm ? '3' : `3${data}`)
      }
      client.close()
    })

    test('a client of generation 4 that pings is closed', async () => {
      const client = await connectedSocket(server.port)
      await client.text('2')
      const { kind, code } = await client.next()
      assert.deepEqual([kind, code], ['close', null])
    })

    if (!isNpm) {
      test('a stray pong of generation 3 is nothing', async () => {
        const client = await connectedSocket(server.port, { eio: 3 })
        await client.text('3')
        await client.text('42["echo",1]')
        assert.equal(await client.nextText(), '42["echo",1]')
        client.close()
      })

      test('in generation 3 any packet shows life', async () => {
        const client = await connectedSocket(server.port, { eio: 3 })
        const end = Date.now() + 1_200
        while (Date.now() < end) {
          await client.text('42["echo",1]')
          assert.equal(await client.nextText(), '42["echo",1]')
          await new Promise((resolve) => setTimeout(resolve, 100))
        }
        client.close()
      })
    }

    test('a polling client that does not poll is gone', async () => {
      const polling = await Polling.connected(server.port)
      const neighbour = await connectedSocket(server.port, { eio: 3 })
      const pings = setInterval(() => neighbour.text('2').catch(() => {}), 100)
      try {
        const start = Date.now()
        await neighbour.text('2')
        while (Date.now() - start < 900) await neighbour.next()
        const answer = await polling.get()
        assert.deepEqual([answer.status, answer.text], [400, SESSION.body])
      } finally {
        clearInterval(pings)
        neighbour.close()
      }
    })

    test('nothing connected in time: closed', async () => {
      await inTime(async () => {
        const start = Date.now()
        return lasted(start, await openSocket(server.port))
      }, 390, 400 + LATE)
      await inTime(async () => {
        const start = Date.now()
        const client = await openSocket(server.port)
        await client.text('40/unknown,')
        assert.equal(await client.nextText(), '44/unknown,{"message":"Invalid namespace"}')
        return lasted(start, client)
      }, 390, 400 + LATE)
    })
  })
}

// --- section 11 -------------------------------------------------------------------------------------------------------

for (const name of names) {
  test(`${name}: when the server ends, clients without a namespace hear it too`, async () => {
    const server = await SERVERS[name]()
    const socket = await openSocket(server.port)
    const joined = await connectedSocket(server.port)
    const polling = await Polling.open(server.port)
    const waiting = polling.get()
    // Whatever is asked later has been answered, so the poll waits.
    assert.equal(await (await Polling.connected(server.port)).echo('before'), '42["echo","before"]')
    if (name === NPM) server.command({ close: true })
    else await server.stop()
    for (const client of [socket, joined]) {
      const { kind, code } = await client.next()
      assert.deepEqual([kind, code], ['close', null])
    }
    assert.equal((await waiting).text, '1')
    await server.stop()
  })
}

// --- the original clients, idle ---------------------------------------------------------------------------------------

describe('idle clients', () => {
  const BEAT = { server: { pingInterval: 300, pingTimeout: 200 } }
  const servers = []
  before(async () => {
    if (runs('npm')) servers.push(...(await Promise.all(['1.7.4', '2.5.1', '4.8.4'].map((version) => NpmServer.start(version, BEAT)))))
    if (runs('gateway')) servers.push(await GatewayServer.start({ socketIo: settings(BEAT.server) }))
  })
  after(() => Promise.all(servers.map((server) => server.stop())))

  test('stay for five seconds, whatever their age', async () => {
    const clients = servers.flatMap((server) =>
      VERSIONS.filter((version) => server.kind === 'gateway' || SERVER_OF(version) === server.version)
        .flatMap((version) => ['polling', 'websocket'].map((transports) => connect(version, server.url, { transports }))),
    )
    for (const client of clients) await client.connected()
    const end = Date.now() + 5_000
    await until('five seconds', () => Date.now() > end)
    for (const client of clients) {
      assert.deepEqual(client.transcript, [['connect']], client.describe())
      assert.deepEqual(await client.exchange('echo', ['alive']), ['alive'])
      client.close()
    }
  })
})

// --- section 17 -------------------------------------------------------------------------------------------------------

const CLOSED = 'closed'
const IGNORED = 'ignored'
const PLACEHOLDER = '{"_placeholder":true,"num":0}'
const bytes = (...values) => Buffer.from(values)

/** What is sent, what becomes of it in generation 4, in generation 3 on npm's 2.5.1, and there on the gateway. */
const BAD = [
  ['an unknown Engine.IO packet', ['abc'], CLOSED, CLOSED, CLOSED],
  ['an empty packet', [''], CLOSED, CLOSED, CLOSED],
  ['an unknown Socket.IO packet', ['4abc'], CLOSED, IGNORED, IGNORED],
  ['a Socket.IO packet of type 7', ['47["x"]'], CLOSED, IGNORED, IGNORED],
  ['bad JSON', ['42["echo",'], CLOSED, CLOSED, IGNORED],
  ['bad JSON three times', ['42["echo",', '42[x]', '42{'], CLOSED, CLOSED, CLOSED],
  ['an event that is no array', ['42{}'], CLOSED, CLOSED, CLOSED],
  ['an event without a name', ['42[]'], CLOSED, CLOSED, CLOSED],
  ['a reserved name', ['42["disconnect"]'], CLOSED, IGNORED, IGNORED],
  ['another reserved name', ['42["connect_error","x"]'], CLOSED, IGNORED, IGNORED],
  ['an event of a namespace never joined', ['42/admin,["echo",1]'], CLOSED, IGNORED, IGNORED],
  ['a second CONNECT', ['40'], CLOSED, IGNORED, IGNORED],
  ['eleven attachments', [`4511-["echo",${PLACEHOLDER}]`], CLOSED, CLOSED, CLOSED],
  ['text while an attachment is missing', [`451-["echo",${PLACEHOLDER}]`, '42["echo",1]'], CLOSED, CLOSED, CLOSED],
  ['a placeholder out of range', ['451-["echo",{"_placeholder":true,"num":7}]', bytes(1)], CLOSED, CLOSED, CLOSED],
  ['binary out of the blue', [bytes(1)], CLOSED, CLOSED, CLOSED],
  ['an answer that nobody awaits', ['4399[]'], IGNORED, IGNORED, IGNORED],
  ['an answer with bytes that nobody awaits', [`461-99[${PLACEHOLDER}]`, bytes(1)], IGNORED, IGNORED, IGNORED],
]

describe('bad input', () => {
  const columns = []
  if (runs('npm')) {
    columns.push(['socket.io 4.8.4, generation 4', 4, (row) => row[2], () => NpmServer.start('4.8.4')])
    columns.push(['socket.io 2.5.1, generation 3', 3, (row) => row[3], () => NpmServer.start('2.5.1')])
  }
  if (runs('gateway')) {
    columns.push(['the gateway, generation 4', 4, (row) => row[2], () => GatewayServer.start()])
    columns.push(['the gateway, generation 3', 3, (row) => row[4], () => GatewayServer.start()])
  }

  for (const [name, eio, outcome, start] of columns) {
    describe(name, () => {
      let server
      let neighbour
      before(async () => {
        server = await start()
        neighbour = await connectedSocket(server.port, { eio })
      })
      after(() => server?.stop())

      const feed = async (client, inputs) => {
        for (const input of inputs) {
          if (typeof input === 'string') await client.text(input)
          else await client.send('binary', eio === 3 ? Buffer.concat([bytes(4), input]) : input)
        }
      }
      const isAlive = async (client, word) => {
        await client.text(`42["echo","${word}"]`)
        assert.equal(await nextMessage(client), `42["echo","${word}"]`)
      }

      for (const row of BAD) {
        const [what, inputs] = row
        test(`${what}: ${outcome(row)}`, async () => {
          const client = await connectedSocket(server.port, { eio })
          await feed(client, inputs)
          if (outcome(row) === IGNORED) {
            await isAlive(client, 'alive')
          } else {
            const found = await client.next()
            assert.deepEqual([found.kind, found.code], ['close', null], found.text)
          }
          client.close()
          await isAlive(neighbour, what)
        })
      }

      if (name.startsWith('the gateway')) {
        // Npm's servers answer another id then.
        test('an ack id beyond 2^53', async () => {
          const client = await connectedSocket(server.port, { eio })
          await client.text(`42${'9'.repeat(20)}["ack",1]`)
          assert.equal((await client.next()).kind, 'close')
          await isAlive(neighbour, 'after the great id')
        })
      }

      test('an event after leaving', async () => {
        const client = await connectedSocket(server.port, { eio })
        // Node is through with a packet only when it reads the next chunk.
        const fence = async () => {
          await client.send('ping', 'fence')
          assert.equal((await client.next()).kind, 'pong')
        }
        await client.text('41')
        await fence()
        await client.text('42["echo","ghost"]')
        if (eio === 4) {
          const found = await client.next()
          assert.deepEqual([found.kind, found.code], ['close', null], found.text)
        } else {
          // The namespace can be joined again, and nothing was said in between.
          await fence()
          await client.text('40')
          // Node 2.x believes that its CONNECT of the opening will do.
          if (server.kind === 'gateway') assert.equal(await client.nextText(), '40')
          else await fence()
          await isAlive(client, 'again')
        }
        client.close()
        await isAlive(neighbour, 'after the ghost')
      })
    })
  }
})
