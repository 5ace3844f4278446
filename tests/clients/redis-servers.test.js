'use strict'
// A gateway and a Node server of each age share their rooms: what either says reaches the clients of both, once.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { hold } = require('./lib/hold')
const { RedisServer } = require('./lib/redis')
const { SERVERS, ServerPeer } = require('./lib/redis-peers')
const { connect } = require('./lib/socket-io')
const { GatewayServer } = require('./lib/socket-io-servers')
const { until } = require('./lib/wait')

// The older clients leave promises and sockets behind when they are closed under way.
process.on('unhandledRejection', () => {})

/** How the gateway writes bytes for each server; where it says nothing, the server's library knows no bytes but its own. */
const PAIRS = {
  '4.8.4 + @socket.io/redis-adapter 8.3.0': 'modern',
  '4.4.1 + @socket.io/redis-adapter 7.2.0': 'modern',
  '3.1.2 + socket.io-redis 6.1.1': 'modern',
  '2.5.1 + socket.io-redis 5.4.0': 'legacy',
  '1.7.4 + socket.io-redis 4.0.1': 'legacy',
  '1.7.4 + socket.io-redis 3.1.0': 'legacy',
  '1.7.4 + socket.io-redis 2.0.1': undefined,
  '1.7.4 + socket.io-redis 1.1.1': undefined,
}
const ANCIENT = '1.3.7 + socket.io-redis 0.1.4'

const DATE = new Date('2014-06-07T12:34:56.789Z')
const SIZES = [0, 1, 15, 16, 255, 256, 70_000]
const TEXT = ['é€😀', { a: [1, null, -1.5], s: 'x'.repeat(40) }]

const generation = (name) => Number(name.split('.')[0])
const listensToEachRoom = (name) => name.startsWith('1.7.4')

let redis
before(async () => {
  redis = await RedisServer.start()
})
after(() => redis.stop())

/** Gateways and a Node server under a key of their own, with a client of the server's age and a newest one on the first. */
class Meeting {
  static async start(name, { socketIo = {}, gateways = 1 } = {}) {
    const key = `meeting ${name}`
    const backplane = { engine: 'redis', url: redis.url, keys: { default: key }, socket_io: socketIo }
    const start = () =>
      GatewayServer.start({
        config: { backplane },
        socketIo: { publish: [{ event: 'chat', rooms: ['both'], as: 'news' }] },
      })
    const [peer, ...servers] = await Promise.all([ServerPeer.start(name, redis, { key }), ...Array.from({ length: gateways }, start)])
    const meeting = new Meeting({ name, key, peer, gateways: servers })
    await meeting.fill()
    return meeting
  }

  constructor(parts) {
    Object.assign(this, parts)
    this.gateway = this.gateways[0]
  }

  /** `near` and `guest` are on gateways, `far` and `other` on the Node server; all are in `both`, one of each in a room of its own. */
  async fill() {
    const { client: version } = SERVERS[this.name]
    const newest = version === '4.8.4' ? '2.5.0' : '4.8.4'
    const at = (url, client = version) => connect(client, url, { transports: 'websocket' })
    this.near = at(this.gateway.url)
    this.guest = at(this.gateways.at(-1).url, newest)
    this.far = at(this.peer.url)
    this.other = at(this.peer.url)
    this.clients = [this.near, this.guest, this.far, this.other]
    const rooms = [['both', 'near'], ['both'], ['both', 'far'], ['both']]
    for (const [index, client] of this.clients.entries()) {
      await client.connected()
      for (const room of rooms[index]) assert.deepEqual(await client.ask('join', room), [true])
    }
    await this.settled('/', 'both')
    await this.settled('/', 'near')
  }

  /** Waits until whoever has a client in the room hears what is said there. */
  async settled(namespace, room) {
    await this.peer.call('settle')
    const gateways = room === 'both' ? this.gateways.length : 1
    const servers = listensToEachRoom(this.name) && room === 'both' ? 1 : 0
    const channel = `${this.key}#${namespace}#${room}#`
    await until(`${channel} to be heard`, async () => (await redis.subscribers(channel)) >= gateways + servers)
  }

  /**
   * What `act` brings to the clients, by their names: all that came before an event that was sent behind it. The Node server
   * says that if `fromServer`, else the gateway.
   */
  async delivered(act, { fromServer }) {
    for (const client of this.clients) client.transcript.length = 0
    await act()
    if (fromServer) await this.peer.call('emit', { event: ['message', 'the end'] })
    else await this.publish({ everyone: true }, 'message', 'the end')
    const seen = {}
    for (const name of ['near', 'guest', 'far', 'other']) {
      await this[name].saw(['event', 'message', 'the end'])
      const events = this[name].entries('event').map(([, ...event]) => event)
      if (events.length > 1) seen[name] = events.slice(0, -1)
    }
    return seen
  }

  publish(to, event, ...args) {
    return this.gateway.api('publish', { to, event, args })
  }

  async stop() {
    for (const client of this.clients ?? []) client.close()
    for (const server of [this.peer, ...this.gateways]) await server.stop()
  }
}

const EVERYBODY = ['near', 'guest', 'far', 'other']
const each = (names, ...events) => Object.fromEntries(names.map((name) => [name, events]))

/** Bytes of each size as the server API takes them, and as clients see them. */
const written = (bytes) => ({ base64: true, data: bytes.toString('base64') })
const seen = (bytes) => ({ binary: bytes.toString('hex') })
const bytesOf = (size) => Buffer.from(Uint8Array.from({ length: size }, (_, index) => (index * 7 + 0xd8) & 0xff))

for (const [name, wire] of Object.entries(PAIRS)) {
  describe(name, () => {
    let meeting
    before(async () => {
      meeting = await Meeting.start(name, { socketIo: { ...(wire && { wire }) } })
    })
    after(async () => {
      await meeting?.stop()
      assert.deepEqual([meeting.peer.exceptions, meeting.peer.redisErrors], [[], []])
    })

    test('from the server: to all, to rooms, to a socket', async () => {
      const { near, peer } = meeting
      const event = ['news', ...TEXT, DATE]
      const said = ['news', ...TEXT, DATE.toISOString()]
      const emit = (more) => meeting.delivered(() => peer.call('emit', { event, ...more }), { fromServer: true })
      assert.deepEqual(await emit(), each(EVERYBODY, said))
      assert.deepEqual(await emit({ to: ['both'] }), each(EVERYBODY, said))
      assert.deepEqual(await emit({ to: ['near'] }), each(['near'], said))
      assert.deepEqual(await emit({ to: ['near', 'both'] }), each(EVERYBODY, said))
      assert.deepEqual(await emit({ to: ['near', 'far'] }), each(['near', 'far'], said))
      assert.deepEqual(await emit({ to: [near.id] }), each(['near'], said))
      assert.deepEqual(await emit({ to: ['nobody'] }), {})
      assert.deepEqual(await emit({ flags: ['volatile'] }), each(EVERYBODY, said))
    })

    test('from the server: to all but some', async () => {
      const { far, peer } = meeting
      const act = (call, more) => meeting.delivered(() => peer.call(call, { event: ['news', 1], ...more }), { fromServer: true })
      const others = each(['near', 'guest', 'other'], ['news', 1])
      assert.deepEqual(await act('broadcast', { socket: far.id }), others)
      assert.deepEqual(await act('broadcast', { socket: far.id, to: ['both'] }), others)
      assert.deepEqual(await act('broadcast', { socket: far.id, to: ['near', 'far'] }), each(['near'], ['news', 1]))
      if (generation(name) < 4) return
      assert.deepEqual(await act('emit', { except: ['near', 'far'] }), each(['guest', 'other'], ['news', 1]))
      assert.deepEqual(await act('emit', { to: ['both'], except: [meeting.near.id] }), each(['guest', 'far', 'other'], ['news', 1]))
    })

    test('from the server: bytes', async () => {
      const args = SIZES.map(bytesOf)
      const event = ['bin', ...args, { deep: [args[1]] }]
      const said = ['bin', ...args.map(seen), { deep: [seen(args[1])] }]
      const emit = (more) => meeting.delivered(() => meeting.peer.call('emit', { event, ...more }), { fromServer: true })
      assert.deepEqual(await emit(), each(EVERYBODY, said))
      assert.deepEqual(await emit({ to: ['near', 'both'] }), each(EVERYBODY, said))
    })

    test('from the gateway: to all, to rooms, to a socket', async () => {
      const { far, guest } = meeting
      const said = ['news', ...TEXT, DATE.toISOString()]
      const publish = (to, more) =>
        meeting.delivered(() => meeting.gateway.api('publish', { to, event: 'news', args: [...TEXT, DATE], ...more }), {})
      assert.deepEqual(await publish({ everyone: true }), each(EVERYBODY, said))
      assert.deepEqual(await publish({ room: 'both' }), each(EVERYBODY, said))
      assert.deepEqual(await publish({ room: 'far' }), each(['far'], said))
      assert.deepEqual(await publish({ rooms: ['far', 'both'] }), each(EVERYBODY, said))
      assert.deepEqual(await publish({ rooms: ['near', 'far'] }), each(['near', 'far'], said))
      assert.deepEqual(await publish({ room: far.id }), each(['far'], said))
      assert.deepEqual(await publish({ room: 'nobody' }), {})
      assert.deepEqual(await publish({ everyone: true }, { volatile: true }), each(EVERYBODY, said))
      assert.deepEqual(await meeting.delivered(async () => {
        guest.emit('chat', ...TEXT)
        await meeting.far.event('news')
      }, {}), each(EVERYBODY, ['news', ...TEXT]))
    })

    test('from the gateway: to all but some', async () => {
      const { far } = meeting
      const publish = (except) =>
        meeting.delivered(() => meeting.publish({ rooms: ['both', 'far'], except }, 'news', 1), {})
      assert.deepEqual(await publish([far.id]), each(['near', 'guest', 'other'], ['news', 1]))
      // Older servers can leave out sockets only.
      if (generation(name) >= 3) assert.deepEqual(await publish(['near', 'far']), each(['guest', 'other'], ['news', 1]))
    })

    test('from the gateway: bytes', { skip: wire ? false : 'unknown to its library' }, async () => {
      const args = SIZES.map(bytesOf)
      const said = ['bin', ...args.map(seen), { deep: [seen(args[1])] }]
      const publish = (to) =>
        meeting.delivered(() => meeting.publish(to, 'bin', ...args.map(written), { deep: [written(args[1])] }), {})
      assert.deepEqual(await publish({ everyone: true }), each(EVERYBODY, said))
      assert.deepEqual(await publish({ rooms: ['near', 'both'] }), each(EVERYBODY, said))
    })

    test('in a namespace, and nowhere else', async () => {
      const admins = [meeting.near, meeting.far].map((client) => client.namespace('/admin'))
      for (const admin of admins) {
        await admin.connected()
        assert.deepEqual(await admin.ask('join', 'both'), [true])
      }
      await meeting.settled('/admin', 'both')
      const { peer } = meeting
      const fromServer = { fromServer: true }
      const event = ['news', 'from the server']
      assert.deepEqual(await meeting.delivered(() => peer.call('emit', { of: '/admin', event }), fromServer), {})
      assert.deepEqual(await meeting.delivered(() => peer.call('emit', { of: '/admin', to: ['both'], event }), fromServer), {})
      const everyone = { everyone: true, realm: 'default/admin' }
      const room = { room: 'both', realm: 'default/admin' }
      for (const to of [everyone, room]) {
        assert.deepEqual(await meeting.delivered(() => meeting.publish(to, 'news', 'from the gateway'), {}), {})
      }
      for (const admin of admins) {
        await admin.event('news', 4)
        const texts = admin.entries('event').map(([, , text]) => text)
        assert.deepEqual(texts, ['from the server', 'from the server', 'from the gateway', 'from the gateway'])
        admin.leave()
      }
    })
  })
}

describe(`${ANCIENT}, between two gateways`, () => {
  let meeting
  before(async () => {
    meeting = await Meeting.start(ANCIENT, { socketIo: { ancient_servers: true }, gateways: 2 })
  })
  after(async () => {
    await meeting?.stop()
    assert.deepEqual(meeting.peer.exceptions, [])
  })

  test('from the server', async () => {
    const { far, near, peer } = meeting
    const act = (call, more) => meeting.delivered(() => peer.call(call, { event: ['news', ...TEXT], ...more }), { fromServer: true })
    const said = ['news', ...TEXT]
    assert.deepEqual(await act('emit'), each(EVERYBODY, said))
    assert.deepEqual(await act('emit', { to: ['near', 'both'] }), each(EVERYBODY, said))
    assert.deepEqual(await act('emit', { to: ['near'] }), each(['near'], said))
    assert.deepEqual(await act('emit', { to: [near.id] }), each(['near'], said))
    assert.deepEqual(await act('broadcast', { socket: far.id }), each(['near', 'guest', 'other'], said))
    assert.deepEqual(await act('broadcast', { socket: far.id, to: ['both'] }), each(['near', 'guest', 'other'], said))
  })

  test('from a gateway', async () => {
    const { far } = meeting
    const publish = (to) => meeting.delivered(() => meeting.publish(to, 'news', ...TEXT), {})
    const said = ['news', ...TEXT]
    assert.deepEqual(await publish({ everyone: true }), each(EVERYBODY, said))
    assert.deepEqual(await publish({ room: 'both' }), each(EVERYBODY, said))
    assert.deepEqual(await publish({ rooms: ['far', 'both'] }), each(EVERYBODY, said))
    assert.deepEqual(await publish({ room: far.id }), each(['far'], said))
    assert.deepEqual(await publish({ rooms: ['both'], except: [far.id] }), each(['near', 'guest', 'other'], said))
  })

  test('in a namespace, and nowhere else', async () => {
    const admins = [meeting.near, meeting.guest, meeting.far].map((client) => client.namespace('/admin'))
    for (const admin of admins) await admin.connected()
    await until('the namespace to be heard', async () => (await redis.subscribers(`${meeting.key}#/admin#`)) === 2)
    const { peer } = meeting
    const event = ['news', 'from the server']
    assert.deepEqual(await meeting.delivered(() => peer.call('emit', { of: '/admin', event }), { fromServer: true }), {})
    const to = { everyone: true, realm: 'default/admin' }
    assert.deepEqual(await meeting.delivered(() => meeting.publish(to, 'news', 'from the gateway'), {}), {})
    for (const admin of admins) {
      await admin.event('news', 2)
      assert.deepEqual(admin.entries('event').map(([, , text]) => text), ['from the server', 'from the gateway'])
      admin.leave()
    }
  })

  const bytes = Buffer.from([1])
  const bin = ['bin', { binary: '01' }]

  /** Publishes bytes from a gateway. Gives a wait until the old server has heard them: its library throws. */
  async function publishBytes() {
    const { peer } = meeting
    const thrown = peer.redisErrors.length
    await meeting.publish({ everyone: true }, 'bin', written(bytes))
    return () => until('the server to throw', () => peer.redisErrors.length > thrown)
  }

  test('bytes are lost between them, and text goes on', async () => {
    const emit = () => meeting.peer.call('emit', { event: ['bin', bytes] })
    assert.deepEqual(await meeting.delivered(emit, { fromServer: true }), each(['far', 'other'], bin))
    const publish = async () => (await publishBytes())()
    assert.deepEqual(await meeting.delivered(publish, {}), each(['near', 'guest'], bin))
  })

  test('text that the server reads in one go with bytes waits there until it reads again', async () => {
    const { far, guest, peer } = meeting
    const behind = ['message', 'behind']
    const goOn = await hold(peer.child)
    const seen = await meeting.delivered(async () => {
      const thrown = await publishBytes()
      await meeting.publish({ everyone: true }, ...behind)
      await guest.saw(['event', ...behind])
      goOn()
      await thrown()
      assert.deepEqual(await far.ask('ack', 'barrier'), ['barrier'])
      assert.deepEqual(far.entries('event'), [])
    }, {})
    assert.deepEqual(seen, { ...each(['near', 'guest'], bin, behind), ...each(['far', 'other'], behind) })
  })
})
