'use strict'
// Node servers ask all servers of their cluster about sockets, and order things of them. The gateway is one that answers: in
// the form of each adapter, at once, and whoever its clients are.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { LineClient } = require('./lib/line-client')
const { temporaryFolder } = require('./lib/polyport')
const { RedisServer } = require('./lib/redis')
const { SERVERS, ServerPeer } = require('./lib/redis-peers')
const { connect } = require('./lib/socket-io')
const { GatewayServer } = require('./lib/socket-io-servers')
const { verbsListener } = require('./lib/verbs')
const { until } = require('./lib/wait')

const NEWEST = '4.8.4 + @socket.io/redis-adapter 8.3.0'
const ASKING = [NEWEST, `${NEWEST} specific response`, '4.4.1 + @socket.io/redis-adapter 7.2.0', '3.1.2 + socket.io-redis 6.1.1']
const OLD = ['2.5.1 + socket.io-redis 5.4.0', '1.7.4 + socket.io-redis 4.0.1', '1.7.4 + socket.io-redis 3.1.0']
const SYNC = '1.7.4 + socket.io-redis 1.1.1'

// Whoever waits for a server that does not answer waits for five seconds; answers take some milliseconds.
const AT_ONCE = 1_000

const SECRET = 'what-nobody-else-may-know'

// The older clients leave promises and sockets behind when they are closed under way.
process.on('unhandledRejection', () => {})

let redis
before(async () => {
  redis = await RedisServer.start()
})
after(() => redis.stop())

const CLERK = `const polyport = require('polyport')
exports.stock = {
  name: 'serverSide:stock', inputs: { article: { required: true }, of: {} },
  async run({ params, connection: { id, session } }) {
    return { name: 'stock', article: params.article, of: params.of ?? null, id, session }
  },
}
exports.tell = {
  name: 'serverSide:tell', inputs: { room: {}, text: {} },
  run({ params }) { polyport.publish(params.room, 'news', params.text) },
}
exports.custom = { name: 'serverSide:customRequest', inputs: { data: {} }, run: ({ params }) => ({ custom: params.data }) }
`

/** A script with actions for servers. */
function clerk() {
  const file = path.join(temporaryFolder(), 'clerk.js')
  fs.writeFileSync(file, CLERK)
  return { kind: 'script', file }
}

/** A gateway and a Node server with one key, each known to the other. */
class Cluster {
  static async start(name, { socketIo = {}, listeners = {}, options, actions, backends, answering } = {}) {
    const key = `${name} ${(Cluster.count = (Cluster.count ?? 0) + 1)}`
    const backplane = { engine: 'redis', url: redis.url, keys: { default: key }, socket_io: socketIo }
    const [gateway, node] = await Promise.all([
      GatewayServer.start({
        config: { backplane, backends: { ...(actions && { clerk: clerk() }), ...backends } },
        listeners,
        listener: { backends: answering ?? (actions ? ['walk', 'clerk'] : ['walk']) },
      }),
      ServerPeer.start(name, redis, { key, options }),
    ])
    const asked = name === SYNC ? `${key}-sync#request#/#` : `${key}-request#/#`
    await until('both to be asked', async () => (await redis.subscribers(asked)) === 2)
    return new Cluster(name, gateway, node)
  }

  constructor(name, gateway, node) {
    Object.assign(this, { name, gateway, node, clients: [] })
  }

  /** A client of the gateway, of the server's age, in `rooms`. */
  async client({ rooms = [], version = SERVERS[this.name].client, url = this.gateway.url, ...options } = {}) {
    const client = connect(version, url, { transports: 'websocket', ...options })
    this.clients.push(client)
    await client.connected()
    for (const room of rooms) assert.deepEqual(await client.ask('join', room), [true])
    return client
  }

  /** What the Node server is answered, and that nobody keeps it waiting. */
  async ask(name, call) {
    const begun = Date.now()
    const result = await this.node.call(name, call)
    const took = Date.now() - begun
    assert.ok(took < AT_ONCE, `${name} took ${took} ms`)
    return result
  }

  async stop() {
    for (const client of this.clients) client.close()
    await this.node.stop()
    await this.gateway.stop()
    assert.deepEqual(this.node.exceptions, [])
  }
}

/** Runs `act` with a cluster of its own. */
const withCluster = (name, options, act) => async () => {
  const cluster = await Cluster.start(name, options)
  try {
    await act(cluster)
  } finally {
    await cluster.stop()
  }
}

const idsOf = (sockets) => sockets.map(({ id }) => id).sort()
const sorted = (...values) => [...values].sort()

/** The rooms that the gateway has a client in, without that of its page's site. */
const roomsOf = async (client) => (await client.ask('rooms'))[0].filter((room) => !room.startsWith('site(')).sort()

describe('who is there', () => {
  for (const name of ASKING) {
    test(name, withCluster(name, {}, async (cluster) => {
      const [first, second, old] = [
        await cluster.client({ rooms: ['both'] }), await cluster.client({ rooms: ['both', 'second'] }), await cluster.client({ version: '2.5.0' }),
      ]
      const ids = sorted(first.id, second.id, old.id)
      const sockets = (call) => cluster.ask('sockets', call)
      if (name === NEWEST) {
        // There it asks nobody any more.
        assert.deepEqual(await sockets(), [])
      } else if (!name.includes('specific')) {
        assert.deepEqual((await sockets()).sort(), ids)
        assert.deepEqual(await sockets({ rooms: ['second'] }), [second.id])
        assert.deepEqual(await sockets({ rooms: ['nobody'] }), [])
      }
      const rooms = await cluster.ask('allRooms')
      for (const room of [...ids, 'both', 'second']) assert.ok(rooms.includes(room), room)
      assert.equal(rooms.length, new Set(rooms).size)
      if (name.startsWith('3.')) return

      const fetched = (call) => cluster.ask('fetchSockets', call)
      assert.deepEqual(idsOf(await fetched()), ids)
      assert.deepEqual(idsOf(await fetched({ to: ['both'] })), sorted(first.id, second.id))
      assert.deepEqual(idsOf(await fetched({ to: ['second', 'both'], except: [first.id] })), [second.id])
      assert.deepEqual(idsOf(await fetched({ to: [old.id] })), [old.id])
      assert.deepEqual(await fetched({ to: ['nobody'] }), [])
    }))
  }

  test('in a namespace, and only there', withCluster(NEWEST, {}, async (cluster) => {
    const client = await cluster.client()
    const admin = client.namespace('/admin')
    await admin.connected()
    await until('the namespace to be asked', async () => {
      const channel = `${cluster.node.options.key}-request#/admin#`
      return (await redis.subscribers(channel)) === 2
    })
    assert.deepEqual(idsOf(await cluster.ask('fetchSockets', { of: '/admin' })), [admin.id])
    assert.deepEqual(idsOf(await cluster.ask('fetchSockets')), [client.id])
  }))

  test('how it came, without anything that is secret', withCluster(
    NEWEST,
    { listeners: { open: { protocol: 'socket-io' } } },
    async (cluster) => {
      const { ports } = cluster.gateway.gateway
      const headers = {
        'x-known': 'yes', origin: 'http://127.0.0.1', authorization: `Bearer ${SECRET}`, cookie: `io=${SECRET}`,
      }
      const coming = { headers, query: { app: 'a b', token: SECRET }, auth: { user: 1, token: SECRET } }
      // A listener that asks its backends keeps what the client said, the other only what servers may ask for.
      for (const port of [ports.messaging, ports.open]) {
        const client = await cluster.client({ url: `http://127.0.0.1:${port}`, ...coming })
        const [{ id, handshake, rooms, data }] = await cluster.ask('fetchSockets', { to: [client.id] })
        assert.ok(!JSON.stringify(handshake).includes(SECRET))
        assert.deepEqual([id, rooms[0], data], [client.id, client.id, {}])
        assert.deepEqual(Object.keys(handshake), [
          'headers', 'time', 'address', 'xdomain', 'secure', 'issued', 'url', 'query', 'auth',
        ])
        assert.deepEqual([handshake.headers['x-known'], handshake.headers.host], ['yes', `127.0.0.1:${port}`])
        assert.deepEqual(handshake.query, { EIO: '4', app: 'a b', transport: 'websocket' })
        assert.match(handshake.url, /^\/socket\.io\/\?(?=.*EIO=4)(?=.*app=a)/)
        assert.deepEqual(handshake.auth, { user: 1 })
        assert.deepEqual([handshake.address, handshake.xdomain, handshake.secure], ['127.0.0.1', true, false])
        assert.equal(handshake.time, String(new Date(handshake.issued)).replace(/GMT.*/, 'GMT+0000 (Coordinated Universal Time)'))
        client.close()
      }
    },
  ))

  const TELNET = { tcp: verbsListener({ join: ['lobby'] }) }

  test('sessions of other protocols are not sockets', withCluster(NEWEST, { listeners: TELNET }, async (cluster) => {
    const telnet = await LineClient.open({ port: cluster.gateway.gateway.ports.tcp })
    const client = await cluster.client({ rooms: ['sockets'] })
    assert.deepEqual(idsOf(await cluster.ask('fetchSockets')), [client.id])
    assert.ok(!(await cluster.ask('allRooms')).includes('lobby'))
    telnet.socket.destroy()
  }))

  test('unless they are shown', withCluster(
    NEWEST,
    { listeners: TELNET, socketIo: { expose: 'all' } },
    async (cluster) => {
      const telnet = await LineClient.open({ port: cluster.gateway.gateway.ports.tcp })
      const [{ id, rooms, handshake, data }] = await cluster.ask('fetchSockets', { to: ['lobby'] })
      assert.match(id, /^[0-9a-f-]{36}$/)
      assert.deepEqual([rooms, data], [['lobby'], {}])
      assert.deepEqual([handshake.headers, handshake.query, handshake.auth], [{}, {}, {}])
      assert.equal(handshake.address, '127.0.0.1')
      assert.ok((await cluster.ask('allRooms')).includes('lobby'))
      telnet.socket.destroy()
    },
  ))
})

describe('orders', () => {
  for (const name of ASKING.slice(0, 3)) {
    test(`to all that match: ${name}`, withCluster(name, {}, async (cluster) => {
      const [client, other] = [await cluster.client({ rooms: ['theirs'] }), await cluster.client()]
      await cluster.node.call('socketsJoin', { to: ['theirs'], rooms: 'more' })
      await until('joining', async () => (await roomsOf(client)).includes('more'))
      await cluster.node.call('socketsLeave', { to: ['more'], rooms: ['theirs', 'more'] })
      await until('leaving', async () => (await roomsOf(client)).length === 0)
      await cluster.node.call('disconnectSockets', { to: [client.id], close: true })
      assert.equal(await client.disconnected(), 'io server disconnect')
      assert.deepEqual(await roomsOf(other), [])
    }))
  }

  for (const name of [ASKING[3], ...OLD]) {
    const adapter = name.split(' ').at(-1)
    test(`to one, which is confirmed: ${name}`, withCluster(name, {}, async (cluster) => {
      const [client, other] = [await cluster.client({ rooms: ['theirs'] }), await cluster.client()]
      await cluster.ask('remoteJoin', { socket: client.id, room: 'more' })
      assert.deepEqual(await roomsOf(client), ['more', 'theirs'])
      await cluster.ask('remoteJoin', { socket: client.id, room: 'more' })
      await cluster.ask('remoteLeave', { socket: client.id, room: 'theirs' })
      assert.deepEqual(await roomsOf(client), ['more'])
      await cluster.ask('remoteLeave', { socket: client.id, room: 'theirs' })
      if (adapter >= '4.') {
        await cluster.ask('remoteDisconnect', { socket: client.id, close: true })
        assert.match(await client.disconnected(), /^(io server disconnect|transport close)$/)
      }
      assert.deepEqual(await roomsOf(other), [])
    }))
  }

  test('nobody becomes somebody by an order, and the asker hears of it', withCluster(
    '2.5.1 + socket.io-redis 5.4.0',
    { options: { requestsTimeout: 300 } },
    async (cluster) => {
      const client = await cluster.client()
      await assert.rejects(cluster.ask('remoteJoin', { socket: client.id, room: 'user(1)' }), /timeout/)
      assert.deepEqual(await roomsOf(client), [])
    },
  ))
})

describe('the questions of old adapters', () => {
  for (const name of OLD) {
    const adapter = name.split(' ').at(-1)
    test(name, withCluster(name, {}, async (cluster) => {
      const [first, second] = [await cluster.client(), await cluster.client({ rooms: ['second'], version: '4.8.4' })]
      assert.deepEqual((await cluster.ask('sockets')).sort(), sorted(first.id, second.id))
      assert.deepEqual(await cluster.ask('sockets', { rooms: ['second'] }), [second.id])
      const rooms = await cluster.ask('clientRooms', { socket: second.id })
      assert.ok(rooms.includes(second.id) && rooms.includes('second'))
      const all = await cluster.ask('allRooms')
      for (const room of [first.id, second.id, 'second']) assert.ok(all.includes(room), room)
      // Its own answer is nothing, too.
      if (adapter >= '4.') assert.deepEqual(await cluster.ask('customRequest', { data: 1 }), [null, null])
    }))
  }

  test(SYNC, withCluster(SYNC, { socketIo: { legacy_sync: true } }, async (cluster) => {
    const [first, second] = [await cluster.client(), await cluster.client({ rooms: ['second'] })]
    assert.deepEqual((await cluster.ask('sockets')).sort(), sorted(first.id, second.id))
    assert.deepEqual(await cluster.ask('sockets', { rooms: ['second'] }), [second.id])
  }))
})

describe('what clients answer', () => {
  const question = (more) => ({ timeout: 5_000, event: ['question', 1], ...more })

  for (const name of ASKING.slice(0, 2)) {
    test(name, withCluster(name, { listeners: { tcp: verbsListener({ join: ['both'] }) } }, async (cluster) => {
      // Without any client there is nothing to wait for.
      assert.deepEqual(await cluster.ask('ask', question()), { error: null, answers: [] })

      const answer = (question) => [{ question, bytes: Buffer.from([1, 2]) }, 'the second goes to nobody']
      const first = await cluster.client({ rooms: ['both'], answer })
      const old = await cluster.client({ rooms: ['both'], version: '2.5.0', answer: () => [] })
      const telnet = await LineClient.open({ port: cluster.gateway.gateway.ports.tcp })
      const told = { question: 1, bytes: Buffer.from([1, 2]) }
      assert.deepEqual(await cluster.ask('ask', question({ to: [first.id] })), { error: null, answers: [told] })
      const { error, answers } = await cluster.ask('ask', question({ to: ['both'] }))
      assert.deepEqual([error, answers.length], [null, 2])
      assert.ok(answers.includes(null))
      assert.deepEqual(answers.find((answer) => answer !== null), told)
      // Who cannot answer hears it all the same.
      const line = JSON.parse(await telnet.next())
      assert.deepEqual([line.event, line.room, line.message], ['question', 'both', 1])

      const bytes = Buffer.from([9])
      const asked = await cluster.ask('ask', question({ to: [first.id], event: ['question', bytes] }))
      assert.deepEqual(asked.answers[0].question, bytes)

      old.socket.off('question')
      const late = await cluster.node.call('ask', question({ timeout: 300, to: ['both'] }))
      assert.deepEqual(late, { error: 'operation has timed out', answers: [told] })
      telnet.socket.destroy()
    }))
  }

  test('a client that never answers is asked again, however often', withCluster(NEWEST, {}, async (cluster) => {
    const client = await cluster.client()
    const handlers = client.socket.listeners('question')
    client.socket.off('question')
    // More than the gateway remembers.
    const unanswered = Array.from({ length: 1_100 }, (_, count) =>
      cluster.node.call('ask', { timeout: 1, event: ['question', count] }))
    for (const { error } of await Promise.all(unanswered)) assert.equal(error, 'operation has timed out')
    await cluster.node.call('emit', { event: ['news', 'all are sent'] })
    await client.event('news')
    for (const handler of handlers) client.socket.on('question', handler)
    assert.deepEqual(await cluster.ask('ask', question()), { error: null, answers: ['fine'] })
  }))
})

describe('what is said to servers', () => {
  for (const name of ASKING.slice(0, 3)) {
    test(name, withCluster(name, {}, async (cluster) => {
      const answered = await cluster.ask('serverSideAsk', { event: ['hello', 1] })
      assert.deepEqual(answered, { error: null, answers: [null] })
      await cluster.ask('serverSideEmit', { event: ['hello', 2] })
      // It stays one of those who are asked.
      assert.deepEqual(await cluster.ask('fetchSockets'), [])
    }))
  }

  for (const name of ASKING.slice(0, 3)) {
    test(`a script answers ${name}`, withCluster(name, { actions: true }, async (cluster) => {
      const said = async (...event) => cluster.ask('serverSideAsk', { event })
      const wanted = { name: 'stock', article: 7, of: 'shelf', id: null, session: null }
      assert.deepEqual(await said('stock', 7, 'shelf'), { error: null, answers: [wanted] })
      assert.deepEqual(await said('stock', 8), { error: null, answers: [{ ...wanted, article: 8, of: null }] })
      // What fails, and what nobody knows.
      assert.deepEqual(await said('stock'), { error: null, answers: [null] })
      assert.deepEqual(await said('unknown'), { error: null, answers: [null] })
    }))
  }

  test('a script hears what wants no answer, in its namespace', withCluster(NEWEST, { actions: true }, async (cluster) => {
    const [client, admin] = [await cluster.client({ rooms: ['clerks'] }), await cluster.client({ url: `${cluster.gateway.url}/admin` })]
    assert.deepEqual(await admin.ask('join', 'clerks'), [true])
    await until('the question to the namespace', async () => {
      const channel = `${cluster.node.options.key}-request#/admin#`
      return (await redis.subscribers(channel)) === 2
    })
    await cluster.ask('serverSideEmit', { of: '/admin', event: ['tell', 'clerks', 'from a server'] })
    await admin.saw(['event', 'news', 'from a server'])
    await cluster.ask('serverSideEmit', { event: ['tell', 'clerks', 'from another'] })
    await client.saw(['event', 'news', 'from another'])
    assert.deepEqual(client.entries('event', 'news', 'from a server'), [])
  }))

  test('no client calls what is for servers', withCluster(NEWEST, { actions: true }, async (cluster) => {
    const client = await cluster.client()
    client.emit('serverSide:tell', 'sockets', 'from a client')
    assert.deepEqual(await client.exchange('echo', ['barrier']), ['barrier'])
    assert.deepEqual(client.entries('event', 'news'), [])
  }))

  test('a script answers the custom requests of old adapters', withCluster(OLD[0], { actions: true }, async (cluster) => {
    const answers = await cluster.ask('customRequest', { data: { n: 1 } })
    assert.deepEqual(answers.find((answer) => answer !== null), { custom: { n: 1 } })
    assert.equal(answers.length, 2)
  }))

  test('a service answers what its pattern names', async () => {
    const requests = []
    const service = http.createServer(async (request, response) => {
      const chunks = await request.toArray()
      const asked = JSON.parse(Buffer.concat(chunks).toString())
      requests.push(asked)
      response.setHeader('content-type', 'application/json')
      const push = [{ publish: { to: { room: 'clerks' }, event: 'news', data: asked.call.action } }]
      response.end(JSON.stringify({ result: { args: asked.call.args }, push, data: 'ignored' }))
    })
    await new Promise((resolve) => service.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${service.address().port}/`
    const backends = { desk: { kind: 'http', url, actions: ['*', 'serverSide:st*'] } }
    await withCluster(NEWEST, { backends, answering: ['walk', 'desk'] }, async (cluster) => {
      const client = await cluster.client({ rooms: ['clerks'] })
      const before = requests.length
      const asked = await cluster.ask('serverSideAsk', { event: ['stock', 7, { deep: [1] }] })
      assert.deepEqual(asked, { error: null, answers: [{ args: [7, { deep: [1] }] }] })
      await client.saw(['event', 'news', 'serverSide:stock'])
      const { request, session, realm, call } = requests.at(-1)
      assert.deepEqual({ request, session, realm, action: call.action }, {
        request: 'call', session: undefined, realm: 'default', action: 'serverSide:stock',
      })
      // Its other pattern is about clients.
      assert.deepEqual(await cluster.ask('serverSideAsk', { event: ['other'] }), { error: null, answers: [null] })
      assert.equal(requests.length, before + 1)
    })()
    service.close()
  })

  test('is ignored if the operator prefers that', withCluster(
    NEWEST,
    { socketIo: { server_side_ack: 'ignore' }, options: { requestsTimeout: 300 } },
    async (cluster) => {
      const { error, answers } = await cluster.node.call('serverSideAsk', { event: ['hello', 1] })
      assert.match(error, /^timeout reached: only 0 responses received out of 1$/)
      assert.deepEqual(answers, [])
      assert.deepEqual(await cluster.ask('fetchSockets'), [])
    },
  ))
})

test('answers are counted, and what is no question is not', withCluster(NEWEST, {}, async (cluster) => {
  const { gateway } = cluster.gateway
  await cluster.ask('fetchSockets')
  await gateway.counted('polyport_backplane_answers_total', { size: 'usual' }, (count) => count === 1)
  const { key } = cluster.node.options
  for (const text of ['{"type":9,"requestId":"a"}', '{"type":0}', '[]', '{"requestid":"a","type":3,"sid":1}', '\xc1']) {
    await redis.command('PUBLISH', `${key}-request#/#`, text)
  }
  await gateway.counted('polyport_backplane_received_total', { outcome: 'malformed' }, (count) => count >= 4)
  await cluster.ask('fetchSockets')
  await gateway.counted('polyport_backplane_answers_total', {}, (count) => count === 2)
}))
