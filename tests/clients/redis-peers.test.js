'use strict'
// The peers that suites put beside the gateway on one Redis: Node servers of every age reach each other's clients, and
// emitters publish and arrive as recorded.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { installPython } = require('./lib/python-client')
const { RedisCluster, RedisSentinels, RedisServer } = require('./lib/redis')
const { EMITTERS, EmitterPeer, published, recording, SERVERS, ServerPeer, STEPS } = require('./lib/redis-peers')
const { connect } = require('./lib/socket-io')
const { until } = require('./lib/wait')

const ROOMS = ['user(1)', 'site(example.com)']
const EVENTS = ['c', 'e', 'f', 'j', 's', 'types', 'v', 'x']
const NEWEST = '4.8.4 + @socket.io/redis-adapter 8.3.0'
const REPEAT = 200
// Its bytes end the connection of clients of newer servers.
const ENDING = 'socket.io-emitter@2.0.0'
const PYTHON = 'python_socket.io-emitter@0.1.5.1'

// The older clients leave promises and sockets behind when they are closed under way.
process.on('unhandledRejection', () => {})

const versionOf = (name) => name.split(' ')[0]
const isAtLeast = (name, version) => Number(versionOf(name).slice(0, 3)) >= version

/** A client of the server's age, connected. */
async function clientOf(server, options = {}) {
  const client = connect(SERVERS[server.name].client, server.url, { transports: 'websocket', events: EVENTS, ...options })
  await client.connected()
  return client
}

async function join(server, client, ...rooms) {
  for (const room of rooms) assert.deepEqual(await client.ask('join', room), [true])
  await server.call('settle')
}

/** The events of a client, without those that only marked a place. */
const events = (client) => client.entries('event').map(([, ...event]) => event)

describe('two servers deliver to each other\'s clients', () => {
  let redis
  before(async () => {
    redis = await RedisServer.start()
  })
  after(() => redis.stop())

  for (const name of Object.keys(SERVERS)) {
    describe(name, () => {
      const key = `pair of ${name}`
      const servers = []
      let mine
      let theirs

      before(async () => {
        servers.push(...(await Promise.all([1, 2].map(() => ServerPeer.start(name, redis, { key })))))
        mine = await clientOf(servers[0])
        theirs = await clientOf(servers[1])
        await join(servers[0], mine, 'both')
        await join(servers[1], theirs, 'both', 'theirs')
      })
      after(async () => {
        for (const client of [mine, theirs]) client?.close()
        for (const server of servers) await server.stop()
        for (const server of servers) assert.deepEqual([server.exceptions, server.redisErrors], [[], []])
      })

      /** What either client gets of what `act` does on the first server. */
      async function delivered(act) {
        for (const client of [mine, theirs]) client.transcript.length = 0
        await act(servers[0])
        await servers[0].call('emit', { event: ['message', 'the end'] })
        for (const client of [mine, theirs]) await client.saw(['event', 'message', 'the end'])
        return [mine, theirs].map((client) => events(client).slice(0, -1))
      }

      test('to all, to a room, to another socket', async () => {
        const text = ['news', 'é€😀', { a: [1, null] }]
        const emit = (more) => (server) => server.call('emit', { event: text, ...more })
        assert.deepEqual(await delivered(emit()), [[text], [text]])
        assert.deepEqual(await delivered(emit({ to: ['both'] })), [[text], [text]])
        assert.deepEqual(await delivered(emit({ to: ['theirs'] })), [[], [text]])
        assert.deepEqual(await delivered(emit({ to: ['nobody'] })), [[], []])
        assert.deepEqual(await delivered((server) => server.publish(theirs.id, ...text)), [[], [text]])
        if (isAtLeast(name, 1.7)) assert.deepEqual(await delivered(emit({ flags: ['volatile'] })), [[text], [text]])
      })

      test('to all but some', async () => {
        const broadcast = (more) => (server) => server.call('broadcast', { socket: mine.id, event: ['e', 1], ...more })
        assert.deepEqual(await delivered(broadcast()), [[], [['e', 1]]])
        assert.deepEqual(await delivered(broadcast({ to: ['both'] })), [[], [['e', 1]]])
        if (!isAtLeast(name, 4)) return
        const emit = (more) => (server) => server.call('emit', { event: ['e', 2], ...more })
        assert.deepEqual(await delivered(emit({ except: ['theirs'] })), [[['e', 2]], []])
        assert.deepEqual(await delivered(emit({ flags: ['local'] })), [[['e', 2]], []])
      })

      // The oldest sends only places for bytes.
      test('bytes', { skip: isAtLeast(name, 1.7) ? false : 'lost by its adapter' }, async () => {
        const bytes = ['bin', { binary: '010203' }, { deep: [{ binary: 'ff' }] }]
        const event = ['bin', Buffer.from([1, 2, 3]), { deep: [Buffer.from([255])] }]
        assert.deepEqual(await delivered((server) => server.call('emit', { event })), [[bytes], [bytes]])
      })

      test('in a namespace, and nowhere else', async () => {
        const admin = theirs.namespace('/admin', { events: EVENTS })
        await admin.connected()
        await join(servers[1], admin, 'both')
        const sent = await delivered((server) => server.call('emit', { of: '/admin', to: ['both'], event: ['x', 1] }))
        assert.deepEqual(sent, [[], []])
        await admin.event('x')
        assert.deepEqual(events(admin), [['x', 1]])
        admin.leave()
      })
    })
  }
})

describe('servers ask each other', () => {
  let redis
  before(async () => {
    redis = await RedisServer.start()
  })
  after(() => redis.stop())

  /** Two servers with a client each, the second one's in `theirs`. */
  async function pair(name, act) {
    const servers = await Promise.all([1, 2].map(() => ServerPeer.start(name, redis, { key: `asking ${name}` })))
    const clients = await Promise.all(servers.map((server) => clientOf(server)))
    try {
      await join(servers[1], clients[1], 'theirs')
      await act({ servers, clients, ids: clients.map(({ id }) => id) })
      for (const server of servers) assert.deepEqual(server.exceptions, [])
    } finally {
      for (const client of clients) client.close()
      for (const server of servers) await server.stop()
    }
  }

  for (const name of Object.keys(SERVERS).filter((name) => isAtLeast(name, 1.7) && !isAtLeast(name, 4))) {
    test(name, () =>
      pair(name, async ({ servers: [server], clients: [, client], ids }) => {
        const adapter = name.split(' ').at(-1)
        if (adapter === '1.1.1') {
          await until('both to be asked', async () => (await redis.subscribers(`asking ${name}-sync#request#/#`)) === 2)
        }
        assert.deepEqual((await server.call('sockets')).sort(), [...ids].sort())
        assert.deepEqual(await server.call('sockets', { rooms: ['theirs'] }), [ids[1]])
        if (adapter < '2.') return
        if (adapter < '6.') {
          assert.deepEqual((await server.call('clientRooms', { socket: ids[1] })).sort(), [ids[1], 'theirs'].sort())
        }
        if (adapter < '3.') return
        assert.deepEqual((await server.call('allRooms')).sort(), [...ids, 'theirs'].sort())
        await server.call('remoteJoin', { socket: ids[1], room: 'more' })
        assert.deepEqual((await client.ask('rooms'))[0].sort(), [ids[1], 'more', 'theirs'].sort())
        await server.call('remoteLeave', { socket: ids[1], room: 'theirs' })
        assert.deepEqual((await client.ask('rooms'))[0].sort(), [ids[1], 'more'].sort())
        if (adapter < '4.') return
        if (adapter < '6.') assert.deepEqual(await server.call('customRequest', { data: 1 }), [null, null])
        await server.call('remoteDisconnect', { socket: ids[1], close: true })
        assert.match(await client.disconnected(), /^(io server disconnect|transport close)$/)
      }))
  }

  for (const name of Object.keys(SERVERS).filter((name) => isAtLeast(name, 4))) {
    test(name, () =>
      pair(name, async ({ servers, clients, ids }) => {
        const [server, other] = servers
        await other.call('setData', { socket: ids[1], data: { user: 1 } })
        const found = await server.call('fetchSockets')
        assert.deepEqual(found.map(({ id }) => id).sort(), [...ids].sort())
        const [there] = await server.call('fetchSockets', { to: ['theirs'] })
        assert.deepEqual([there.id, there.rooms, there.data], [ids[1], [ids[1], 'theirs'], { user: 1 }])
        assert.equal(there.handshake.query.transport, 'websocket')

        if (name.includes('/redis-adapter') && !name.endsWith('sharded')) {
          assert.deepEqual((await server.call('allRooms')).sort(), [...ids, 'theirs'].sort())
        }
        const answered = await server.call('serverSideAsk', { event: ['hello', 1] })
        assert.deepEqual(answered, { error: null, answers: [{ port: other.port }] })
        await server.call('serverSideEmit', { of: '/admin', event: ['hello', 2] })
        await until('what is said to servers', () => other.heard.length === 2)
        assert.deepEqual(other.heard, [{ namespace: '/', args: [1] }, { namespace: '/admin', args: [2] }])

        if (isAtLeast(name, 4.5)) {
          const answers = await server.call('ask', { timeout: 5_000, event: ['question', 1] })
          assert.deepEqual(answers, { error: null, answers: ['fine', 'fine'] })
        }

        await server.call('socketsJoin', { to: ['theirs'], rooms: 'more' })
        await until('joining', async () => (await clients[1].ask('rooms'))[0].includes('more'))
        await server.call('socketsLeave', { to: ['more'], rooms: ['theirs', 'more'] })
        await until('leaving', async () => (await clients[1].ask('rooms'))[0].length === 1)
        await server.call('disconnectSockets', { to: [ids[1]], close: false })
        assert.equal(await clients[1].disconnected(), 'io server disconnect')
        assert.deepEqual(await clients[0].ask('ack', 'still here'), ['still here'])
      }))
  }
})

describe('servers on every kind of Redis', () => {
  const KINDS = {
    'with users': [() => RedisServer.start({ user: 'node', password: 'secret' })],
    'on a unix socket': [() => RedisServer.start({ unix: true })],
    'with TLS': [() => RedisServer.start({ tls: true, password: 'secret' })],
    'with Sentinels': [() => RedisSentinels.start(), { client: 'ioredis' }],
    'as a Cluster': [() => RedisCluster.start(), { client: 'ioredis' }],
  }

  for (const [kind, [start, options]] of Object.entries(KINDS)) {
    test(kind, async () => {
      const redis = await start()
      const servers = await Promise.all([1, 2].map(() => ServerPeer.start(NEWEST, redis, options)))
      const client = await clientOf(servers[1])
      const emitter = await EmitterPeer.start('@socket.io/redis-emitter@5.1.0', redis, options)
      try {
        await join(servers[1], client, 'room')
        await servers[0].publish('room', 'news', 1)
        await client.event('news')
        await emitter.do({ to: ['room'], call: ['emit', 'news', 2] })
        await client.event('news', 2)
        assert.deepEqual(events(client), [['news', 1], ['news', 2]])
      } finally {
        client.close()
        await emitter.stop()
        for (const server of servers) await server.stop()
        await redis.stop()
      }
    })
  }

  for (const [name, server] of Object.entries(SERVERS)) {
    if (!['redis-adapter-8.3.0', 'socket.io-redis-5.4.0', 'socket.io-redis-1.1.1'].includes(server.adapter)) continue
    test(`after a restart: ${name}`, async () => {
      const redis = await RedisServer.start()
      const servers = await Promise.all([1, 2].map(() => ServerPeer.start(name, redis)))
      const client = await clientOf(servers[1])
      try {
        await join(servers[1], client, 'room')
        await redis.kill()
        await redis.restart()
        // Nothing is kept of what is published before both are back.
        await until('delivery', async () => {
          await servers[0].publish('room', 'news', 'again')
          return events(client).length > 0
        })
      } finally {
        client.close()
        for (const peer of servers) await peer.stop()
        await redis.stop()
      }
    })
  }
})

describe('emitters publish what is recorded', () => {
  let redis
  let listener
  before(async () => {
    installPython()
    redis = await RedisServer.start()
    listener = await redis.connect()
    await listener.psubscribe('*')
  })
  after(async () => {
    listener.close()
    await redis.stop()
  })

  for (const name of Object.keys(EMITTERS)) {
    test(name, async () => {
      const emitter = await EmitterPeer.start(name, redis)
      for (const [step, expected] of published(name)) {
        listener.messages.length = 0
        await emitter.do(step)
        const messages = await listener.received(expected.length)
        const found = messages.map(({ channel, payload }) => ({ channel, payload }))
        if (name === PYTHON && expected.length > 1) {
          // It takes rooms in any order.
          const channels = (list) => list.map(({ channel }) => channel).sort()
          assert.deepEqual(channels(found), channels(expected), step)
        } else {
          assert.deepEqual(found, expected, step)
        }
      }
      await emitter.stop()
    })
  }

  test('under another key, too', async () => {
    for (const name of Object.keys(EMITTERS)) {
      const emitter = await EmitterPeer.start(name, redis, { key: 'other' })
      listener.messages.length = 0
      await emitter.do('all')
      const [{ channel }] = await listener.received(1)
      assert.match(channel, /^other#(emitter|\/#)$/, name)
      await emitter.stop()
    }
  })
})

describe('emitters reach servers as recorded', () => {
  const MATRIX = recording('emitter-to-server-matrix')
  const rowOf = (server, emitter) =>
    MATRIX.find((row) => row.server === `socket.io ${server}` && row.emitter === emitter).received_by_client
  const RECORDED = [...new Set(MATRIX.map(({ server }) => server.replace(/^socket\.io /, '')))]
  const SHARDED = Buffer.from(JSON.stringify({
    type: 3,
    data: { packet: { type: 2, data: ['message', 'hello'] }, opts: { rooms: [], except: [], flags: {} } },
    uid: 'c89237a4bb1f101a',
    nsp: '/',
  }))
  const [ANCIENT] = published('socket.io-emitter@0.1.0').get('all')
  const [CLASSIC] = published('socket.io-emitter@3.2.0').get('all')

  const members = []
  let redis
  let publisher
  let marks = 0

  before(async () => {
    redis = await RedisServer.start()
    publisher = await redis.connect()
    const servers = await Promise.all(RECORDED.map((name) => ServerPeer.start(name, redis)))
    members.push(...servers.map((server) => ({ server })))
  })
  after(async () => {
    for (const { server, client } of members) {
      client?.close()
      await server.stop()
    }
    publisher.close()
    await redis.stop()
  })

  /** The subscriber of npm `redis` 4 hears nothing more when what listens to it has thrown. */
  const isDeaf = (server) => SERVERS[server.name].redis === 'redis-4' && server.exceptions.length > 0

  /** Starts servers anew that hear nothing, and forgets what others have thrown. */
  async function revive() {
    for (const member of members) {
      if (isDeaf(member.server)) {
        member.client.close()
        delete member.client
        await member.server.stop()
        await member.server.spawn()
      }
      member.server.exceptions.length = member.server.redisErrors.length = 0
    }
  }

  /** Puts a client in its place, unless one is there. */
  async function fill(member) {
    if (member.client?.isConnected) return
    member.client = await clientOf(member.server)
    await join(member.server, member.client, ...ROOMS)
    member.admin = member.client.namespace('/admin', { events: EVENTS })
    await member.admin.connected()
    await join(member.server, member.admin, 'ops')
  }

  /**
   * Waits until everything that was published before has come to every client that is still there. A server that throws
   * on a message forgets what came with it, so marks are published until they have come.
   */
  async function mark() {
    marks += 1
    const number = String(marks).padStart(5, '0')
    const numbered = (payload) => Buffer.from(payload.toString('latin1').replace('hello', number), 'latin1')
    const isMissing = ({ server, client }) =>
      !isDeaf(server) && client.isConnected && client.entries('event', 'message', number).length === 0
    const missing = () => members.filter(isMissing).map(({ server, client }) => `${server.describe()}, ${client.describe()}`)
    let published = 0
    await until(() => `mark ${number}: ${missing()}`, async () => {
      if (!members.some(isMissing)) return true
      if (Date.now() - published < REPEAT) return false
      published = Date.now()
      await publisher.publish(ANCIENT.channel, numbered(ANCIENT.payload))
      await publisher.publish(CLASSIC.channel, numbered(CLASSIC.payload))
      await publisher.command('SPUBLISH', CLASSIC.channel, numbered(SHARDED))
      return false
    })
  }

  /** What every client gets of each step: a list by steps for each server. */
  async function play(emitter, steps) {
    await revive()
    const seen = Object.fromEntries(members.map(({ server }) => [server.name, { root: {}, admin: {} }]))
    for (const step of steps) {
      await Promise.all(members.map(fill))
      for (const { client, admin } of members) client.transcript.length = admin.transcript.length = 0
      await emitter.do(step)
      await mark()
      for (const { server, client, admin } of members) {
        seen[server.name].root[step] = events(client).filter(([, text]) => !/^\d{5}$/.test(text))
        seen[server.name].admin[step] = events(admin)
      }
    }
    return seen
  }

  /** As the recordings write it. */
  function recorded(value) {
    if (Array.isArray(value)) return value.map(recorded)
    if (value === null || typeof value !== 'object') return value
    if (typeof value.binary === 'string') return { $bin: Buffer.from(value.binary, 'hex').toString('base64') }
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, recorded(inner)]))
  }

  for (const name of Object.keys(EMITTERS).filter((name) => name !== PYTHON)) {
    describe(name, () => {
      let seen
      const exceptions = {}
      before(async () => {
        const emitter = await EmitterPeer.start(name, redis)
        seen = await play(emitter, emitter.steps.filter((step) => STEPS[step].call[0] === 'emit'))
        for (const { server } of members) {
          // The oldest client of Redis takes what its listeners throw for errors of its own.
          exceptions[server.name] = [...new Set([...server.exceptions, ...server.redisErrors])].sort()
        }
        await emitter.stop()
      })

      for (const row of MATRIX.filter(({ emitter }) => emitter === name)) {
        test(`${row.server}`, () => {
          const server = row.server.replace(/^socket\.io /, '')
          const { root, admin } = seen[server]
          const expected = Object.fromEntries(Object.keys(root).map((step) => [step, row.received_by_client[step]]))
          // A client that the bytes have ended was back late, or never; here another takes its place.
          if (name === ENDING && isAtLeast(server, 3) && !server.endsWith('sharded')) {
            expected['flags json+volatile+broadcast'] = [['f']]
            expected.types = rowOf(NEWEST, name).types
          }
          assert.deepEqual(recorded(root), expected)
          assert.deepEqual(exceptions[server], row.server_exceptions.sort())

          const isAncient = name.includes('@0.')
          const isHeard = !server.endsWith('sharded') && isAncient === server.startsWith('1.3.7')
          const isSlashed = isAtLeast(name.split('@').at(-1), 3)
          const heard = {
            'namespace /admin, one room': isHeard ? [['x', 1]] : [],
            'namespace without slash': isHeard && isSlashed ? [['x', 1]] : [],
          }
          for (const [step, list] of Object.entries(admin)) assert.deepEqual(list, heard[step] ?? [], step)
        })
      }
    })
  }

  test(PYTHON, async () => {
    const emitter = await EmitterPeer.start(PYTHON, redis)
    const seen = await play(emitter, emitter.steps)
    await emitter.stop()
    const expected = {
      all: [['message', 'hello']],
      'one room': [['message', 'x']],
      'two rooms': [['news', { a: 1 }], ['news', { a: 1 }]],
      namespace: [],
      'bytes argument': [['bin', '\u0001\u0002\u0003']],
      'long string (40 bytes)': [['s', 'x'.repeat(40)]],
    }
    for (const [server, { root, admin }] of Object.entries(seen)) {
      const isHeard = !server.endsWith('sharded') && !server.startsWith('1.3.7')
      for (const [step, list] of Object.entries(expected)) assert.deepEqual(root[step], isHeard ? list : [], `${server}: ${step}`)
      assert.deepEqual(admin.namespace, isHeard ? [['x', 1]] : [], server)
    }
  })

  for (const name of ['@socket.io/redis-emitter@4.1.1', '@socket.io/redis-emitter@5.1.0']) {
    test(`${name} moves clients and speaks to servers`, async () => {
      const emitter = await EmitterPeer.start(name, redis)
      await Promise.all(members.map(fill))
      const { server, client } = members.find((member) => member.server.name === NEWEST)
      const isIn = async (room) => (await client.ask('rooms'))[0].includes(room)
      server.heard.length = 0
      await emitter.do('socketsJoin all')
      await until('joining', () => isIn('r1'))
      await emitter.do('socketsLeave')
      await until('leaving', async () => !(await isIn('r1')))
      await emitter.do('socketsJoin in room except')
      await until('joining two', async () => (await isIn('r1')) && isIn('r2'))
      await emitter.do('serverSideEmit')
      await emitter.do('serverSideEmit /admin')
      await until('what is said to servers', () => server.heard.length === 2)
      assert.deepEqual(server.heard, [{ namespace: '/', args: [{ a: 1 }, 'b'] }, { namespace: '/admin', args: [] }])
      await emitter.do('disconnectSockets(true)')
      assert.match(await client.disconnected(), /^(io server disconnect|transport close)$/)
      await emitter.stop()
    })
  }
})
