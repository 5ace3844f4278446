'use strict'
// Tokens over Socket.IO, in the three ways that its servers know: the event of npm socketio-jwt, the handshake, and CONNECT.
// The objects that clients get are those of that package to the byte.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const crypto = require('node:crypto')
const path = require('node:path')
const readline = require('node:readline')
const { after, before, describe, test } = require('node:test')
const jwt = require('jsonwebtoken')
const { connectedSocket, openSocket } = require('./lib/engine-io')
const { connect, generation, VERSIONS } = require('./lib/socket-io')
const { GatewayServer, NpmServer, PROGRAMS, runs } = require('./lib/socket-io-servers')
const { until } = require('./lib/wait')

process.on('unhandledRejection', () => {})

const SECRET = 'secret-of-the-socket-io-suites-0123456789'
const TIMEOUT = 700
const AUDIENCES = ['shop', 'desk']
const ISSUER = 'https://issuer.example'

const sign = (claims = {}, options = {}) => jwt.sign({ id: 1, name: 'ada', ...claims }, SECRET, { expiresIn: 300, ...options })

/** A token with claims that no library would sign. */
function forge(claims, header = { alg: 'HS256', typ: 'JWT' }) {
  const text = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  return `${text}.${crypto.createHmac('sha256', SECRET).update(text).digest('base64url')}`
}

/** The argument of `unauthorized`. */
const refusal = (message, code = 'invalid_token') => ({
  message,
  inner: { message },
  data: { message, code, type: 'UnauthorizedError' },
})

/** What `authenticate` is given, and the message that comes back. */
const BAD = {
  'no token': [{}, 'invalid token datatype'],
  'a number': [{ token: 5 }, 'invalid token datatype'],
  nothing: [null, 'invalid token datatype'],
  'a word': [{ token: 'abc' }, 'jwt malformed'],
  'two parts': [{ token: 'a.b' }, 'jwt malformed'],
  'three parts that are none': [{ token: 'a.b.c' }, 'invalid token'],
  unsigned: [{ token: jwt.sign({ id: 1 }, '', { algorithm: 'none' }) }, 'jwt signature is required'],
  'of another algorithm': [{ token: sign({}, { algorithm: 'HS512' }) }, 'invalid algorithm'],
  'of another secret': [{ token: jwt.sign({ id: 1 }, 'another', { expiresIn: 300 }) }, 'invalid signature'],
  'not active yet': [{ token: sign({}, { notBefore: 60 }) }, 'jwt not active'],
  expired: [{ token: sign({}, { expiresIn: -60 }) }, 'jwt expired'],
  'with a start that is no number': [{ token: forge({ id: 1, nbf: 'soon' }) }, 'invalid nbf value'],
  'with an end that is no number': [{ token: forge({ id: 1, exp: 'late' }) }, 'invalid exp value'],
}

/** The same where the audience and the issuer matter. */
const FOREIGN = {
  'for nobody': [{ token: sign() }, 'jwt audience invalid. expected: shop or desk'],
  'for others': [{ token: sign({}, { audience: 'lab', issuer: ISSUER }) }, 'jwt audience invalid. expected: shop or desk'],
  'by others': [{ token: sign({}, { audience: 'desk', issuer: 'x' }) }, `jwt issuer invalid. expected: ${ISSUER}`],
}

const KEYS = { keys: [{ algorithm: 'HS256', secret: 'env:TEST_JWT_SECRET' }], leeway: '0s', require_expiry: false }
const TOKENS = { main: KEYS, strict: { ...KEYS, audience: AUDIENCES, issuer: ISSUER } }

/** A listener of the gateway with tokens; `auth` beside the rest of its auth, `flow` into its `jwt`. */
const closed = ({ auth = {}, ...flow } = {}) => ({
  listener: { auth: { tokens: 'main', required: true, from: ['query:token', 'bearer'], ...auth }, join: ['lobby'] },
  socketIo: { jwt: { ways: ['event', 'handshake', 'auth'], timeout: `${TIMEOUT}ms`, callback: 'confirm', ...flow } },
  config: { tokens: TOKENS },
  run: { env: { TEST_JWT_SECRET: SECRET } },
})

const GATEWAY_CALLBACK = { default: 'confirm', false: 'immediate', 300: '300ms' }
const CALLBACK = { default: undefined, false: false, 300: 300 }

/** The servers of an event flow whose option `callback` is one of the above. */
const EVENT_SERVERS = {
  npm: (callback = 'default', strict = false) =>
    NpmServer.start('2.5.1', {
      jwt: {
        secret: SECRET, timeout: TIMEOUT, callback: CALLBACK[callback], algorithms: ['HS256'],
        ...(strict ? { audience: AUDIENCES, issuer: ISSUER } : {}),
      },
    }),
  gateway: (callback = 'default', strict = false) =>
    GatewayServer.start(closed({ callback: GATEWAY_CALLBACK[callback], auth: strict ? { tokens: 'strict' } : {} })),
}
const kinds = Object.keys(EVENT_SERVERS).filter(runs)

const authenticate = (client, token) => client.emit('authenticate', { token })

/** Whether a publish to `room` reaches the client, told by one that follows. */
async function reaches(server, room, client) {
  const word = crypto.randomUUID()
  await server.publish(room, 'news', word)
  await client.exchange('echo', ['after'])
  // The publish goes another way than the echo: it has arrived once a second one has.
  await server.publish(room, 'news', `${word} again`)
  await client.exchange('echo', ['after'])
  return client.entries('event', 'news', word).length === 1
}

for (const kind of kinds) {
  const isNpm = kind === 'npm'
  const VERSION = '2.5.0'

  describe(`tokens by event (${kind})`, () => {
    let server
    let strict
    const open = (options = {}, version = VERSION) => connect(version, server.url, options)
    before(async () => {
      server = await EVENT_SERVERS[kind]()
      strict = await EVENT_SERVERS[kind]('default', true)
    })
    after(async () => {
      await server?.stop()
      await strict?.stop()
    })

    test('a good token: `authenticated` without arguments, and a member of user(1)', async () => {
      for (const version of isNpm ? ['2.0.4', '2.5.0'] : VERSIONS) {
        const client = open({}, version)
        await client.connected()
        authenticate(client, sign())
        assert.deepEqual(await client.event('authenticated'), ['event', 'authenticated'])
        await server.publish('user(1)', 'news', 1)
        assert.deepEqual(await client.event('news'), ['event', 'news', 1], version)
        assert.deepEqual(await client.exchange('echo', ['in']), ['in'])
        client.close()
      }
    })

    for (const eio of isNpm ? [3] : [3, 4]) {
      for (const [what, [data, message]] of [...Object.entries(BAD), ...Object.entries(FOREIGN)]) {
        test(`a token that is ${what}: ${message} (generation ${eio})`, async () => {
          const socket = await connectedSocket((what in FOREIGN ? strict : server).port, { eio })
          await socket.text(`42${JSON.stringify(['authenticate', data])}`)
          const answer = /^42(\d+)(.*)$/s.exec(await socket.nextText())
          assert.equal(answer?.[2], JSON.stringify(['unauthorized', refusal(message)]))
          await socket.text(`43${answer[1]}[]`)
          assert.equal(await socket.nextText(), '41')
          const { kind: end, code } = await socket.next()
          assert.deepEqual([end, code], ['close', null])
        })
      }
    }

    test('a client that confirms is disconnected', async () => {
      const client = open({ confirm: true })
      await client.connected()
      authenticate(client, BAD['of another secret'][0].token)
      assert.equal(await client.disconnected(), 'io server disconnect')
      assert.deepEqual(client.transcript, [
        ['connect'],
        ['event', 'unauthorized', refusal('invalid signature'), '<callback>'],
        ['disconnect', 'io server disconnect'],
      ])
    })

    test('one that says nothing is disconnected when the time is over, without an event', async () => {
      const client = open()
      await client.connected()
      const start = Date.now()
      assert.equal(await client.disconnected(), 'io server disconnect')
      const took = Date.now() - start
      assert.ok(took > TIMEOUT - 100 && took < TIMEOUT + 400, `after ${took} ms`)
      assert.deepEqual(client.transcript, [['connect'], ['disconnect', 'io server disconnect']])
    })

    test('until then it is heard by nobody and hears nothing', async () => {
      const client = open()
      await client.connected()
      client.emit('echo', 'too early')
      await server.publish('lobby', 'news', 'not for you')
      await client.disconnected()
      assert.deepEqual(client.transcript, [['connect'], ['disconnect', 'io server disconnect']])
    })

    test('a bad token, then a good one in time', async () => {
      const client = open()
      await client.connected()
      authenticate(client, 'abc')
      assert.deepEqual((await client.event('unauthorized'))[2], refusal('jwt malformed'))
      authenticate(client, sign())
      await client.event('authenticated')
      assert.deepEqual(await client.exchange('echo', ['in']), ['in'])
      client.close()
    })

    if (!isNpm) {
      test('a bad token, then nothing: disconnected when the time is over', async () => {
        const client = open()
        await client.connected()
        const start = Date.now()
        authenticate(client, 'abc')
        assert.equal(await client.disconnected(), 'io server disconnect')
        const took = Date.now() - start
        assert.ok(took > TIMEOUT - 100 && took < TIMEOUT + 400, `after ${took} ms`)
      })
    }

    test('a new token makes another user, a bad one none', async () => {
      const client = open()
      await client.connected()
      authenticate(client, sign())
      await client.event('authenticated')
      authenticate(client, sign({ id: 2 }))
      await client.event('authenticated', 2)
      assert.equal(await reaches(server, 'user(1)', client), false)
      assert.equal(await reaches(server, 'user(2)', client), true)
      authenticate(client, 'abc')
      await client.event('unauthorized')
      assert.equal(await reaches(server, 'user(2)', client), true)
      client.close()
    })

    test('three tabs of one user, and three of another', async () => {
      const tabs = []
      for (const id of [1, 1, 1, 2, 2, 2]) {
        const client = open({ transports: tabs.length % 2 === 0 ? 'websocket' : 'polling' })
        await client.connected()
        authenticate(client, sign({ id }))
        tabs.push(client)
      }
      for (const tab of tabs) await tab.event('authenticated')
      await server.publish('user(1)', 'news', 'one')
      await server.publish('user(2)', 'news', 'two')
      for (const tab of tabs) await tab.event('news')
      assert.deepEqual(tabs.map((tab) => tab.entries('event', 'news').map((entry) => entry[2])), [
        ['one'], ['one'], ['one'], ['two'], ['two'], ['two'],
      ])
      for (const tab of tabs) tab.close()
    })

    test("the document's own client, to the letter", async () => {
      const child = spawn(process.execPath, [path.join(PROGRAMS, 'messaging-document.js')], {
        env: { ...process.env, PORT: server.port, TOKEN: sign() },
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      try {
        const lines = []
        const now = new Date()
        readline.createInterface({ input: child.stdout }).on('line', (line) => {
          const entry = JSON.parse(line)
          lines.push(entry)
          // As an emitter does at the first moment at which it can.
          if (entry[0] === 'authenticated') server.publish('user(1)', 'message', now)
        })
        await until(() => `the message; it printed ${JSON.stringify(lines)}`, () => lines.length >= 2)
        assert.deepEqual(lines, [['authenticated'], ['message', now.toISOString()]])
      } finally {
        child.kill('SIGKILL')
      }
    })
  })

  describe(`what follows a refusal (${kind})`, () => {
    for (const [callback, least, most] of [['false', 0, 250], ['300', 250, 600]]) {
      test(`callback ${callback}`, async () => {
        const server = await EVENT_SERVERS[kind](callback)
        try {
          for (const transports of ['websocket', 'polling']) {
            const client = connect(VERSION, server.url, { transports })
            await client.connected()
            authenticate(client, 'abc')
            await client.event('unauthorized')
            const start = Date.now()
            assert.equal(await client.disconnected(), 'io server disconnect')
            const took = Date.now() - start
            assert.ok(took >= least && took <= most, `after ${took} ms`)
          }
        } finally {
          await server.stop()
        }
      })
    }
  })
}

// --- handshake --------------------------------------------------------------------------------------------------------

const unauthorized = (message, code = 'invalid_token') => ({ message, code, type: 'UnauthorizedError' })

/** How an address or a header can be wrong: options of a client, and what comes back. */
const REFUSED = {
  'no token': [{}, unauthorized('no token provided', 'credentials_required')],
  'a header of one word': [{ headers: { Authorization: sign() } }, unauthorized('Format is Authorization: Bearer [token]', 'credentials_bad_format')],
  'an expired token': [{ query: { token: sign({}, { expiresIn: -60 }) } }, unauthorized('jwt expired')],
  "another's signature": [{ query: { token: BAD['of another secret'][0].token } }, unauthorized('invalid signature')],
  'a word as token': [{ query: { token: 'abc' } }, unauthorized('jwt malformed')],
  'a bad token in the header': [{ headers: { Authorization: 'Bearer abc' } }, unauthorized('jwt malformed')],
}

const HANDSHAKE_SERVERS = {
  npm: () => NpmServer.start('2.5.1', { jwt: { secret: SECRET, handshake: true, algorithms: ['HS256'] } }),
  gateway: () => GatewayServer.start(closed({ ways: ['handshake'] })),
}

for (const kind of kinds) {
  describe(`tokens in the handshake (${kind})`, () => {
    let server
    before(async () => {
      server = await HANDSHAKE_SERVERS[kind]()
    })
    after(() => server?.stop())

    for (const transports of ['polling', 'websocket']) {
      test(`in the address or the header, ${transports}`, async () => {
        for (const options of [
          { query: { token: sign() } },
          { headers: { Authorization: `Bearer ${sign()}` } },
          { query: { token: sign() }, headers: { Authorization: 'Bearer abc' } },
        ]) {
          const client = connect('2.5.0', server.url, { transports, ...options })
          await client.connected()
          assert.equal(await reaches(server, 'user(1)', client), true)
          assert.deepEqual(client.entries('event', 'authenticated'), [])
          client.close()
        }
      })
    }

    for (const [what, [options, expected]] of Object.entries(REFUSED)) {
      test(`${what}: ${expected.message}`, async () => {
        const client = connect('2.5.0', server.url, options)
        assert.deepEqual(await client.saw(['error']), ['error', expected])
        assert.equal(client.isConnected, false)
        client.close()
        const query = options.query ? `&token=${options.query.token}` : ''
        const socket = await openSocket(server.port, { eio: 3, query, headers: options.headers })
        assert.equal(await socket.nextText(), `44${JSON.stringify(expected)}`)
        socket.close()
      })
    }
  })
}

// --- CONNECT, and what only the gateway has ---------------------------------------------------------------------------

if (runs('gateway')) {
  describe('tokens in CONNECT', () => {
    let server
    let gateway
    before(async () => {
      server = await GatewayServer.start(closed({ ways: ['auth'] }))
      ;({ gateway } = server)
    })
    after(() => server?.stop())

    for (const version of ['3.1.3', '4.8.4']) {
      test(`bare, and with Bearer, ${version}`, async () => {
        for (const token of [sign(), `Bearer ${sign()}`]) {
          const client = connect(version, server.url, { auth: { token } })
          await client.connected()
          assert.equal(await reaches(server, 'user(1)', client), true)
          assert.deepEqual(client.entries('event', 'authenticated'), [])
          client.close()
        }
      })
    }

    const WRONG = {
      'no token': [undefined, unauthorized('no token provided', 'credentials_required')],
      'an empty object': [{}, unauthorized('no token provided', 'credentials_required')],
      'an expired token': [{ token: sign({}, { expiresIn: -60 }) }, unauthorized('jwt expired')],
      'a bad Bearer': [{ token: 'Bearer abc' }, unauthorized('jwt malformed')],
      "another's signature": [{ token: BAD['of another secret'][0].token }, unauthorized('invalid signature')],
      unsigned: [{ token: BAD.unsigned[0].token }, unauthorized('jwt signature is required')],
    }
    for (const [what, [auth, data]] of Object.entries(WRONG)) {
      test(`${what}: ${data.message}`, async () => {
        const client = connect('4.8.4', server.url, { auth })
        assert.deepEqual(await client.saw(['connect_error']), ['connect_error', { message: data.message, data }])
        client.close()
        const socket = await openSocket(server.port)
        await socket.text(`40${auth ? JSON.stringify(auth) : ''}`)
        assert.equal(await socket.nextText(), `44${JSON.stringify({ message: data.message, data })}`)
        // Another try on the same connection.
        await socket.text(`40${JSON.stringify({ token: sign() })}`)
        assert.match(await socket.nextText(), /^40\{"sid":"[A-Za-z0-9_-]{20}"\}$/)
        socket.close()
      })
    }

    test('the log holds no token', async () => {
      const token = sign({ name: 'secretive' })
      const client = connect('4.8.4', server.url, { auth: { token }, query: { token } })
      await client.connected()
      client.close()
      await until('the client to be gone', async () => (await gateway.metrics()).sum('polyport_sessions', { listener: 'messaging' }) === 0)
      assert.ok(!gateway.log.includes(token.split('.')[2]))
      assert.ok(!gateway.log.includes(SECRET))
    })
  })

  describe('all ways at once', () => {
    let server
    before(async () => {
      server = await GatewayServer.start(closed())
    })
    after(() => server?.stop())

    test('each leads into user(1)', async () => {
      const ways = [
        ['2.5.0', { query: { token: sign() } }],
        ['2.5.0', { headers: { Authorization: `Bearer ${sign()}` } }],
        ['4.8.4', { query: { token: sign() } }],
        ['4.8.4', { headers: { Authorization: `Bearer ${sign()}` } }],
        ['4.8.4', { auth: { token: sign() } }],
        ['4.8.4', { auth: { token: `Bearer ${sign()}` } }],
      ]
      const clients = ways.map(([version, options]) => connect(version, server.url, options))
      for (const version of ['2.5.0', '4.8.4']) {
        const client = connect(version, server.url)
        authenticate(client, sign())
        await client.event('authenticated')
        clients.push(client)
      }
      for (const client of clients) await client.connected()
      assert.equal(await server.publish('user(1)', 'news', 'all'), clients.length)
      for (const client of clients) assert.deepEqual(await client.event('news'), ['event', 'news', 'all'])
      for (const client of clients) client.close()
    })

    test('`authenticate` is answered after a good handshake too', async () => {
      const client = connect('2.5.0', server.url, { query: { token: sign() } })
      await client.connected()
      authenticate(client, sign())
      await client.event('authenticated')
      client.close()
    })

    test('a token in the same body as what needs it', async () => {
      const client = connect('2.5.0', server.url, { transports: 'polling' })
      authenticate(client, sign())
      client.emit('echo', 'right behind')
      await client.event('authenticated')
      assert.deepEqual(await client.event('echo'), ['event', 'echo', 'right behind'])
      client.close()
    })
  })

  test('a header that is demanded', async () => {
    const server = await GatewayServer.start(closed({ ways: ['handshake'], auth: { from: ['bearer'] } }))
    try {
      const expected = unauthorized('Server requires Authorization Header', 'missing_authorization_header')
      const client = connect('2.5.0', server.url)
      assert.deepEqual(await client.saw(['error']), ['error', expected])
      client.close()
    } finally {
      await server.stop()
    }
  })

  test('who has still to log in can be let listen', async () => {
    const server = await GatewayServer.start(closed({ deliver_before_auth: true }))
    try {
      for (const version of ['2.5.0', '4.8.4']) {
        const client = connect(version, server.url)
        await client.connected()
        await until('it to be in the lobby', async () => (await server.publish('lobby', 'news', 'early')) === 1)
        await client.event('news')
        client.emit('echo', 'too early')
        authenticate(client, 'abc')
        assert.deepEqual((await client.event('unauthorized'))[2], refusal('jwt malformed'))
        authenticate(client, sign())
        client.emit('echo', 'right behind')
        await client.event('authenticated')
        assert.deepEqual(await client.event('echo'), ['event', 'echo', 'right behind'])
        assert.equal(await reaches(server, 'user(1)', client), true)
        client.close()
        await until('it to be gone', async () => (await server.publish('lobby', 'news')) === 0)
        const silent = connect(version, server.url)
        await silent.connected()
        assert.equal(await silent.disconnected(), 'io server disconnect')
      }
    } finally {
      await server.stop()
    }
  })

  describe('a namespace beside `/`, which clients of generation 3 open unasked', () => {
    for (const early of [false, true]) {
      const flow = early ? ', all may listen before' : ''
      let server
      const emptied = () => server.gateway.counted('polyport_sessions', { listener: 'messaging' }, (seen) => seen === 0)
      before(async () => {
        server = await GatewayServer.start(closed({ deliver_before_auth: early }))
      })
      after(() => server?.stop())

      test(`logs in alone and stays${flow}`, async () => {
        const clients = VERSIONS.filter((version) => generation(version) === 3).flatMap((version) =>
          ['websocket', 'polling'].map((transports) => connect(version, server.url, { transports, namespace: '/admin' })))
        for (const client of clients) {
          await client.connected()
          authenticate(client, sign())
          await client.event('authenticated')
        }
        // When this one is out of time, the others' `/` has been so before.
        const last = connect('2.5.0', server.url)
        await last.disconnected()
        // `/` hears nothing that is for those who have logged in.
        assert.equal(await server.publish('lobby', 'news', 'secret'), 0)
        for (const client of clients) {
          assert.deepEqual(await client.exchange('echo', ['still']), ['still'])
          assert.deepEqual(client.entries('disconnect'), [], client.version)
          client.close()
        }
        await emptied()
      })

      test(`stays when \`/\` is disconnected alone${flow}`, async () => {
        for (const version of ['1.7.4', '2.5.0']) {
          const root = connect(version, server.url)
          await root.connected()
          const admin = root.namespace('/admin')
          await admin.connected()
          authenticate(admin, sign())
          await admin.event('authenticated')
          assert.equal(await root.disconnected(), 'io server disconnect')
          assert.deepEqual(await admin.exchange('echo', ['still']), ['still'])
          assert.deepEqual(admin.entries('disconnect'), [])
          admin.close()
          await emptied()
        }
      })

      test(`ends with the connection when nobody has logged in${flow}`, async () => {
        for (const version of ['1.7.4', '2.5.0']) {
          const client = connect(version, server.url, { namespace: '/admin' })
          await client.connected()
          assert.equal(await client.disconnected(), 'io server disconnect')
          await emptied()
        }
      })
    }
  })

  describe('a token that expires', () => {
    // There is nothing to confirm: with or without a callback.
    const isTold = async (client) => assert.deepEqual((await client.event('unauthorized'))[2], refusal('jwt expired'))
    const short = () => sign({}, { expiresIn: 2 })

    test('downgrade: an event, and time for a new token', async () => {
      const server = await GatewayServer.start(closed({ auth: { on_expiry: 'downgrade' } }))
      const [lasting, ending] = [connect('2.5.0', server.url), connect('4.8.4', server.url, { auth: { token: short() } })]
      authenticate(lasting, short())
      await Promise.all([lasting.event('authenticated'), ending.connected()])
      await isTold(lasting)
      authenticate(lasting, sign())
      await lasting.event('authenticated', 2)
      await isTold(ending)
      assert.equal(await ending.disconnected(), 'io server disconnect')
      assert.equal(await reaches(server, 'user(1)', lasting), true)
      assert.deepEqual(lasting.entries('disconnect'), [])
      lasting.close()
      await server.stop()
    })

    test('keep: nothing', async () => {
      const server = await GatewayServer.start(closed({ auth: { on_expiry: 'keep' } }))
      const client = connect('2.5.0', server.url)
      authenticate(client, short())
      await client.event('authenticated')
      const end = Date.now() + 3_500
      await until('the token to be over', () => Date.now() > end)
      assert.equal(await reaches(server, 'user(1)', client), true)
      client.close()
      await server.stop()
    })

    test('close: the end', async () => {
      const server = await GatewayServer.start(closed())
      const client = connect('2.5.0', server.url)
      const kept = connect('2.5.0', server.url)
      for (const one of [client, kept]) authenticate(one, short())
      for (const one of [client, kept]) await one.event('authenticated')
      authenticate(kept, sign())
      await kept.event('authenticated', 2)
      assert.equal(await client.disconnected(), 'io server disconnect')
      assert.deepEqual(await kept.exchange('echo', ['kept']), ['kept'])
      kept.close()
      await server.stop()
    })
  })
}
