'use strict'
// The original clients of Socket.IO, every generation by every transport, against the gateway.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const jwt = require('jsonwebtoken')
const WebSocket = require('ws')
const { LineClient } = require('./lib/line-client')
const { Polyport, temporaryFolder } = require('./lib/polyport')
const { until, within } = require('./lib/wait')

const VERSIONS = ['1.4.8', '1.7.4', '2.0.4', '2.5.0', '3.0.5', '3.1.3', '4.1.3', '4.8.4']
const TRANSPORTS = { polling: ['polling'], websocket: ['websocket'], upgrade: ['polling', 'websocket'] }
const SECRET = 'a secret of these tests that is long enough'
const UNICODE = 'é€😀\u2028'
const isOld = (version) => version < '3'

/** Answers calls, tells what it knows of a session, and refuses one namespace. */
const APPLICATION = path.join(temporaryFolder(), 'application.js')
fs.writeFileSync(
  APPLICATION,
  `require('socket.red')(0, (url, headers, origin, isTls, request) => {
     if (request.namespace === '/private') throw new Error('not authorized')
     return {
       onStart() {
         for (let number = 0; number < 100; number++) this.emit('greeting', number)
       },
       api: {
         ack: (value) => value,
         fail: () => { throw new Error('it failed') },
         later: (value) => new Promise((resolve) => setTimeout(resolve, 20, value)),
         whoami: () => ({ namespace: request.namespace, auth: request.auth ?? null, url, user: request.user }),
       },
     }
   })`,
)

const KEY = 'a key of these tests, long enough to be one'
const configuration = {
  api: {},
  tokens: { main: { keys: [{ algorithm: 'HS256', secret: 'env:TEST_SECRET' }] } },
  backends: { application: { kind: 'script', file: APPLICATION } },
  listeners: {
    io: {
      protocol: 'socket-io',
      backends: ['application', 'builtin'],
      join: ['lobby'],
      socket_io: {
        namespaces: ['/admin', '/private', '/room-*'],
        publish: [{ event: 'chat', rooms: ['lobby'] }, { event: 'shout', rooms: ['lobby'], as: 'heard' }],
      },
    },
    beating: { protocol: 'socket-io', socket_io: { ping_interval: '300ms', ping_timeout: '200ms' } },
    login: { protocol: 'socket-io', auth: { tokens: 'main', required: true } },
    tcp: { protocol: 'tcp-verbs', join: ['lobby'] },
  },
}

describe('Socket.IO', () => {
  let gateway
  before(async () => {
    const env = { TEST_SECRET: SECRET, POLYPORT_API_KEY: KEY }
    gateway = await Polyport.start(configuration, { env })
  })
  after(() => gateway.stop())

  /** A client that remembers what it hears. */
  function connect(version, { transports = ['websocket'], listener = 'io', namespace = '', ...options } = {}) {
    const module = require(`socket.io-client-${version}`)
    const open = module.io ?? module
    const url = `http://127.0.0.1:${gateway.ports[listener]}${namespace}`
    const socket = open(url, { forceNew: true, reconnection: false, transports, ...options })
    const heard = { events: [], errors: [], disconnects: [], connected: false }
    for (const name of ['greeting', 'chat', 'heard', 'authenticated'])
      socket.on(name, (...args) => heard.events.push([name, ...args]))
    socket.on('connect', () => (heard.connected = true))
    socket.on('connect_error', (error) => heard.errors.push(error))
    socket.on('error', (error) => heard.errors.push(error))
    socket.on('disconnect', (reason) => heard.disconnects.push(reason))
    const call = (...args) => within(new Promise((resolve) => socket.emit(...args, resolve)), 5000, () => `no ack of ${args[0]}`)
    const heardOf = (name) => heard.events.filter(([known]) => known === name).map(([, ...args]) => args)
    const connected = () => until(() => `a connection; errors: ${heard.errors}`, () => heard.connected)
    return { socket, heard, call, heardOf, connected, close: () => socket.close() }
  }

  const api = (verb, body) =>
    fetch(`http://127.0.0.1:${gateway.ports.admin}/api/${verb}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }).then((answer) => answer.json())

  for (const version of VERSIONS) {
    for (const [way, transports] of Object.entries(TRANSPORTS)) {
      describe(`client ${version}, ${way}`, () => {
        test('calls are answered by their acks', async () => {
          const client = connect(version, { transports })
          await client.connected()
          assert.deepEqual(await client.call('ack', { a: [true, null], text: UNICODE }), { a: [true, null], text: UNICODE })
          assert.equal(await client.call('later', 'x'), 'x')
          assert.deepEqual(await client.call('fail'), { error: 'it failed' })
          assert.deepEqual(Object.keys(await client.call('randomNumber', {})), ['randomNumber'])
          client.close()
        })

        test('what is sent at once arrives whole and in order', async () => {
          const client = connect(version, { transports })
          await until('all greetings', () => client.heardOf('greeting').length === 100)
          assert.deepEqual(client.heardOf('greeting').map(([number]) => number), [...Array(100).keys()])
          client.close()
        })

        test('events that a rule names reach the room with every argument, binary too', async () => {
          const client = connect(version, { transports })
          await client.connected()
          const nested = { list: [Buffer.from('hi'), 1] }
          client.socket.emit('chat', UNICODE, 1, { a: [true, null] }, Buffer.from([0, 1, 255]), nested)
          client.socket.emit('shout', 'x'.repeat(70_000))
          await until('both events', () => client.heardOf('heard').length === 1)
          assert.deepEqual(client.heardOf('chat'), [[UNICODE, 1, { a: [true, null] }, Buffer.from([0, 1, 255]), nested]])
          assert.equal(client.heardOf('heard')[0][0].length, 70_000)
          client.close()
        })

        test('a client is asked and answers', async () => {
          const client = connect(version, { transports })
          await client.connected()
          client.socket.on('question', (text, respond) => respond(text, 42, Buffer.from('b')))
          const room = `room of ${version} ${way}`
          const listed = await fetch(`http://127.0.0.1:${gateway.ports.admin}/api/sessions?room=lobby`, {
            headers: { authorization: `Bearer ${KEY}` },
          }).then((answer) => answer.json())
          for (const { id } of listed.sessions) await api('join', { to: { session: id }, room })
          const mine = listed.sessions.filter((session) => session.protocol === 'socket-io')
          assert.equal(mine.length, 1)
          const answer = await api('call', { to: { session: mine[0].id }, event: 'question', args: ['how?'] })
          assert.deepEqual(answer.args, ['how?', 42, { base64: true, data: 'Yg==' }])
          await api('disconnect', { to: { session: mine[0].id } })
          await until('the end', () => client.heard.disconnects.length === 1)
          assert.deepEqual(client.heard.disconnects, ['io server disconnect'])
        })

        test('namespaces are open, refused or unknown', async () => {
          const admin = connect(version, { transports, namespace: '/admin' })
          await admin.connected()
          assert.equal((await admin.call('whoami')).namespace, '/admin')
          const pattern = connect(version, { transports, namespace: '/room-7' })
          await pattern.connected()
          for (const [namespace, text] of [['/private', 'not authorized'], ['/unknown', 'Invalid namespace']]) {
            const refused = connect(version, { transports, namespace })
            await until('a refusal', () => refused.heard.errors.length > 0)
            const [error] = refused.heard.errors
            assert.equal(isOld(version) ? error : error.message, text)
            refused.close()
          }
          admin.close()
          pattern.close()
        })

        test('a token is asked for by the event of socketio-jwt', async () => {
          const sign = (claims) => jwt.sign(claims, SECRET, { expiresIn: '1h' })
          const client = connect(version, { transports, listener: 'login' })
          const refusals = []
          client.socket.on('unauthorized', (error) => refusals.push(error))
          client.socket.emit('authenticate', { token: 'nonsense' })
          await until('a refusal', () => refusals.length === 1)
          assert.deepEqual(refusals[0], {
            message: 'jwt malformed',
            inner: { message: 'jwt malformed' },
            data: { message: 'jwt malformed', code: 'invalid_token', type: 'UnauthorizedError' },
          })
          client.socket.emit('authenticate', { token: sign({ id: 7 }) })
          await until('the login', () => client.heardOf('authenticated').length === 1)
          assert.deepEqual(client.heardOf('authenticated'), [[]])
          const told = new Promise((resolve) => client.socket.on('message', resolve))
          const { sessions } = await api('publish', { to: { user: '7' }, event: 'message', data: 'for you' })
          assert.equal(sessions, 1)
          assert.equal(await told, 'for you')
          client.socket.emit('authenticate', { token: sign({ id: 8 }) })
          await until('the second login', () => client.heardOf('authenticated').length === 2)
          assert.equal((await api('publish', { to: { user: '7' }, event: 'message' })).sessions, 0)
          client.close()
        })
      })
    }
  }

  test('the token of a CONNECT decides at once', async () => {
    const good = connect('4.8.4', { listener: 'login', auth: { token: jwt.sign({ id: 9 }, SECRET, { expiresIn: '1h' }) } })
    await good.connected()
    assert.equal((await api('publish', { to: { user: '9' }, event: 'message' })).sessions, 1)
    const bearer = connect('4.8.4', { listener: 'login', auth: { token: `Bearer ${jwt.sign({ id: 9 }, SECRET, { expiresIn: '1h' })}` } })
    await bearer.connected()
    const bad = connect('4.8.4', { listener: 'login', auth: { token: 'a.b' } })
    await until('a refusal', () => bad.heard.errors.length === 1)
    assert.equal(bad.heard.errors[0].message, 'jwt malformed')
    assert.deepEqual(bad.heard.errors[0].data, { message: 'jwt malformed', code: 'invalid_token', type: 'UnauthorizedError' })
    for (const client of [good, bearer, bad]) client.close()
  })

  test('who never logs in hears nothing and is sent away', async () => {
    const client = connect('4.8.4', { listener: 'login' })
    await client.connected()
    await until('the end', () => client.heard.disconnects.length === 1, 8000)
    assert.deepEqual(client.heard.disconnects, ['io server disconnect'])
  })

  test('idle clients of each generation stay, one that never answers is cut', async () => {
    const clients = VERSIONS.flatMap((version) =>
      Object.values(TRANSPORTS).map((transports) => connect(version, { transports, listener: 'beating' })),
    )
    for (const client of clients) await client.connected()
    const raw = new WebSocket(`ws://127.0.0.1:${gateway.ports.beating}/socket.io/?EIO=4&transport=websocket`)
    const began = Date.now()
    const took = await new Promise((resolve) => raw.on('close', () => resolve(Date.now() - began)))
    assert.ok(took >= 490 && took < 700, `cut after ${took} ms`)
    // Six intervals of the heartbeat, which the raw clients have not lived.
    for (let round = 0; round < 3; round++) {
      const silent = new WebSocket(`ws://127.0.0.1:${gateway.ports.beating}/socket.io/?EIO=4&transport=websocket`)
      await new Promise((resolve) => silent.on('close', resolve))
    }
    assert.deepEqual(clients.map((client) => client.heard.disconnects), clients.map(() => []))
    for (const client of clients) client.close()
  })

  test('requests that cannot succeed are told why, to the byte', async () => {
    const get = (query, { method = 'GET', headers = {}, path = `/socket.io/${query}` } = {}) =>
      new Promise((resolve, reject) => {
        const options = { host: '127.0.0.1', port: gateway.ports.io, path, method, headers, agent: false }
        const request = http.request(options, (response) => {
          let body = ''
          response.on('data', (part) => (body += part))
          response.on('end', () => resolve([response.statusCode, response.headers['content-type'], body]))
        })
        request.on('error', reject)
        request.end()
      })
    const json = (code, message, status = 400) => [status, 'application/json', JSON.stringify({ code, message })]
    assert.deepEqual(await get('?EIO=4'), json(0, 'Transport unknown'))
    assert.deepEqual(await get('?EIO=4&transport=tube'), json(0, 'Transport unknown'))
    assert.deepEqual(await get('?EIO=4&transport=polling&sid=nobody'), json(1, 'Session ID unknown'))
    assert.deepEqual(await get('?EIO=4&transport=polling', { method: 'POST' }), json(2, 'Bad handshake method'))
    assert.deepEqual(await get('?EIO=4&transport=websocket'), json(3, 'Bad request'))
    assert.deepEqual(await get('?EIO=5&transport=polling'), json(5, 'Unsupported protocol version'))
    assert.deepEqual((await get('', { path: '/elsewhere' }))[0], 404)
    const upgrade = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    }
    assert.deepEqual(await get('?EIO=4&transport=websocket&sid=nobody', { headers: upgrade }), [400, 'text/html', 'Session ID unknown'])
    assert.deepEqual(await get('?EIO=abc&transport=websocket', { headers: upgrade }), [400, 'text/html', 'Unsupported protocol version'])
    const foreign = { ...upgrade, origin: 'http://elsewhere.example' }
    assert.deepEqual(await get('?EIO=4&transport=websocket', { headers: foreign }), [403, 'text/html', 'Forbidden'])
  })

  describe('polling, raw', () => {
    const base = () => `http://127.0.0.1:${gateway.ports.io}/socket.io/?EIO=4&transport=polling`
    const handshake = async () => {
      const answer = await fetch(base())
      const { sid } = JSON.parse((await answer.text()).slice(1))
      return `${base()}&sid=${sid}`
    }
    const isKnown = async (address) => (await fetch(address, { method: 'POST', body: '3' })).status === 200

    test('two polls at once end the session', async () => {
      const address = await handshake()
      const polls = await Promise.all([fetch(address), fetch(address)])
      const said = await Promise.all(polls.map(async (answer) => [answer.status, await answer.text()]))
      assert.deepEqual(said.sort(), [[200, '1'], [400, '']])
      assert.equal(await isKnown(address), false)
    })

    test('a poll that is given up ends the session', async () => {
      // Once more if it was given up before it had arrived.
      await until('the end of a session', async () => {
        const address = await handshake()
        const giving = new AbortController()
        const poll = fetch(address, { signal: giving.signal }).catch(() => 'gone')
        await isKnown(address)
        giving.abort()
        assert.equal(await poll, 'gone')
        for (let round = 0; round < 20; round++) if (!(await isKnown(address))) return true
        return false
      })
    })

    test('a body that is too large is refused and the session goes on; one that is none ends it', async () => {
      const address = await handshake()
      const large = await fetch(address, { method: 'POST', body: 'x'.repeat(1_000_001) })
      assert.equal(large.status, 413)
      assert.equal(await isKnown(address), true)
      const bad = await fetch(address, { method: 'POST', body: '' })
      assert.equal(bad.status, 400)
      await until('the end of the session', async () => !(await isKnown(address)))
    })

    test('who is refused for the size of its body may send it to the end, and goes on', async () => {
      const { pathname, search } = new URL(await handshake())
      const client = await LineClient.connect({ port: gateway.ports.io })
      const status = async () => {
        for (;;) {
          const [, code] = /HTTP\/1\.1 (\d+)/.exec(await client.next()) ?? []
          if (code) return Number(code)
        }
      }
      const head = (headers) => `POST ${pathname}${search} HTTP/1.1\r\nhost: x\r\n${headers}\r\n\r\n`
      const pong = `${head('content-length: 1')}3`
      const size = 4_000_000
      await client.write(head(`content-length: ${size}`))
      assert.equal(await status(), 413)
      await client.write(`${'x'.repeat(size)}${pong}`)
      assert.equal(await status(), 200)
      await client.write(`${head('transfer-encoding: chunked')}${size.toString(16)}\r\n${'x'.repeat(size / 2)}`)
      assert.equal(await status(), 413)
      await client.write(`${'x'.repeat(size / 2)}\r\n0\r\n\r\n${pong}`)
      assert.equal(await status(), 200)
      client.close()
    })

    test('a client that says it closes is gone', async () => {
      // Once more if the close overtakes the poll.
      await until('a poll that is sent home', async () => {
        const address = await handshake()
        const poll = fetch(address)
        const post = await fetch(address, { method: 'POST', body: '1' })
        assert.equal(await post.text(), 'ok')
        const said = await (await poll).text()
        await until('the end of the session', async () => !(await isKnown(address)))
        return said === '6'
      })
    })
  })

  describe('what breaks the protocol', () => {
    const open = async (revision) => {
      const url = `ws://127.0.0.1:${gateway.ports.io}/socket.io/?EIO=${revision}&transport=websocket`
      const socket = new WebSocket(url)
      const closed = new Promise((resolve) => socket.on('close', (code) => resolve(code)))
      const said = []
      socket.on('message', (data) => said.push(String(data)))
      await until('the open packet', () => said.length > 0)
      return { socket, closed, said }
    }
    const strict = ['x', '', '4abc', '42{}', '42[]', '42["connect"]', '42["early"]', '4511-["x"]', '2', '43[]']
    for (const text of strict) {
      test(`generation 4 is closed for ${JSON.stringify(text)}`, async () => {
        const { socket, closed } = await open(4)
        if (text !== '42["early"]') socket.send('40')
        socket.send(text)
        assert.equal(await closed, 1005)
      })
    }

    test('a placeholder that lies and binary that was not announced close the client', async () => {
      for (const parts of [['451-["x",{"_placeholder":true,"num":7}]', Buffer.from('a')], [Buffer.from('a')]]) {
        const { socket, closed } = await open(4)
        socket.send('40')
        for (const part of parts) socket.send(part)
        assert.equal(await closed, 1005)
      }
    })

    test('generation 3 lets two unreadable packets pass and ends at the third', async () => {
      const { socket, closed, said } = await open(3)
      await until('the namespace', () => said.includes('40'))
      socket.send('4abc')
      socket.send('42[')
      socket.send('420["ack",5]')
      await until('the ack', () => said.includes('430[5]'))
      socket.send('4abc')
      assert.equal(await closed, 1005)
    })

    test('a message above the limit closes with 1009', async () => {
      const { socket, closed } = await open(4)
      socket.send('4' + 'x'.repeat(1_000_000))
      assert.equal(await closed, 1009)
    })
  })
})
