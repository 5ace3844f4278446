'use strict'
// Gateways and servers with the sharded adapter, with and without the classic one beside them.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { RedisCluster, RedisServer } = require('./lib/redis')
const { clientsOf, startNode } = require('./lib/redis-gateways')
const { EmitterPeer, ServerPeer } = require('./lib/redis-peers')
const { connect } = require('./lib/socket-io')
const { until } = require('./lib/wait')

process.on('unhandledRejection', () => {})

const SHARDED = '4.8.4 + @socket.io/redis-adapter 8.3.0 sharded'
const CLASSIC = '4.8.4 + @socket.io/redis-adapter 8.3.0'
const SOON = 1_000

const ways = {
  'with a channel for each room': { adapters: ['sharded'], options: {} },
  'with one channel': { adapters: ['sharded-static'], options: { subscriptionMode: 'static' } },
  'beside classic servers': { adapters: ['classic', 'sharded'], options: {}, classic: true },
  'on a Cluster': { adapters: ['sharded'], options: {}, kind: RedisCluster, client: 'ioredis' },
  'on a Cluster, beside classic servers': {
    adapters: ['classic', 'sharded'], options: {}, classic: true, kind: RedisCluster, client: 'ioredis',
  },
}

for (const [name, { adapters, options, classic, kind = RedisServer, client }] of Object.entries(ways)) {
  describe(`the sharded adapter, ${name}`, () => {
    let redis
    let nodes
    let peer
    let other
    let guest
    let clients

    before(async () => {
      redis = await kind.start()
      const backplane = { socket_io: { adapters } }
      nodes = await Promise.all([1, 2].map(() => startNode(redis, { backplane })))
      peer = await ServerPeer.start(SHARDED, redis, { options, client })
      if (classic) other = await ServerPeer.start(CLASSIC, redis, { client })
      guest = connect('4.8.4', peer.url, { transports: 'websocket' })
      await guest.connected()
      await peer.call('join', { socket: guest.id, room: 'lobby' })
      clients = (await Promise.all(nodes.map((node, index) => clientsOf(node, `node ${index + 1}`)))).flat()
      await until('the subscriptions', async () => {
        const channel = options.subscriptionMode ? 'socket.io#/#' : 'socket.io#/#lobby#'
        return (await redis.shardSubscribers(channel)) === 3
      })
      if (classic) await until('the classic ones', async () => (await redis.subscribers('socket.io#/#lobby#')) === 2)
    })
    after(async () => {
      for (const client of clients ?? []) client.close()
      guest?.close()
      for (const server of [peer, other, ...(nodes ?? [])]) await server?.stop()
      await redis?.stop()
    })

    const socketOf = (index) => clients.filter(({ client }) => client)[index].client

    const heardBy = (text) => [
      ...clients.map((client) => [client.name, client.heard.filter((heard) => heard === text).length]),
      ['node server', guest.entries('event', 'message', text).length],
    ]

    /** Waits until everybody has heard a text, and sees that nobody has heard it twice when another has come, too. */
    async function everybody(say, text, except = []) {
      await say(text)
      const wanted = () => heardBy(text).filter(([hearer]) => !except.includes(hearer))
      await until(() => `${text}: ${JSON.stringify(heardBy(text))}`, () => wanted().every(([, count]) => count >= 1))
      await say(`${text}, end`)
      const last = () => heardBy(`${text}, end`).filter(([hearer]) => !except.includes(hearer))
      await until('the end', () => last().every(([, count]) => count >= 1))
      for (const [hearer, count] of wanted()) assert.equal(count, 1, `${text} at ${hearer}`)
    }

    test('what anybody says everybody hears, once', async () => {
      for (const client of clients) {
        await everybody(client.say, `from ${client.name}`, client.hearsItself ? [] : [client.name])
      }
      await everybody((text) => peer.publish('lobby', 'message', text), 'from the node server')
      await everybody((text) => nodes[0].publish('lobby', 'message', text), 'from the server API')
      // Servers with one adapter do not hear those with the other.
      const deaf = ['node server']
      if (other) await everybody((text) => other.publish('lobby', 'message', text), 'from the classic server', deaf)
    })

    test('everybody, several rooms, exceptions, one socket, binary', async () => {
      const [client] = [socketOf(0)]
      const bytes = Buffer.from([0, 255])
      await peer.call('emit', { event: ['bin', bytes, { deep: [bytes] }] })
      assert.deepEqual(await client.event('bin'), ['event', 'bin', { binary: '00ff' }, { deep: [{ binary: '00ff' }] }])
      await nodes[1].api('publish', { to: { everyone: true }, event: 'bin', args: [{ base64: true, data: 'AP8=' }] })
      assert.deepEqual(await guest.event('bin', 2), ['event', 'bin', { binary: '00ff' }])
      await peer.call('emit', { to: [client.id], event: ['news', 'only you'] })
      await client.saw(['event', 'news', 'only you'])
      await nodes[0].api('publish', { to: { room: guest.id }, event: 'news', args: ['only you'] })
      await guest.saw(['event', 'news', 'only you'])
      const rooms = ['lobby', guest.id, client.id]
      await peer.call('emit', { to: rooms, except: [socketOf(1).id], event: ['news', 'but one'] })
      await client.saw(['event', 'news', 'but one'])
      assert.deepEqual(await socketOf(1).exchange('echo', ['barrier']), ['barrier'])
      assert.deepEqual(socketOf(1).entries('event', 'news'), [])
      assert.equal(client.entries('event', 'news', 'but one').length, 1)
    })

    test('the server asks, and is answered', async () => {
      const start = Date.now()
      const sockets = await peer.call('fetchSockets', { to: ['lobby'] })
      const ids = sockets.map(({ id }) => id).sort()
      assert.deepEqual(ids, [guest.id, socketOf(0).id, socketOf(1).id].sort())
      await peer.call('socketsJoin', { to: ['lobby'], rooms: ['r1'] })
      await until('joining', async () => (await peer.call('fetchSockets', { to: ['r1'] })).length === 3)
      await peer.call('socketsLeave', { to: ['r1'], rooms: ['r1'] })
      await until('leaving', async () => (await peer.call('fetchSockets', { to: ['r1'] })).length === 0)
      const asked = await peer.call('ask', { to: ['lobby'], event: ['question', 'how?'], timeout: 2_000 })
      assert.equal(asked.error, null)
      assert.equal(asked.answers.length, 3)
      assert.ok(Date.now() - start < 5 * SOON, 'no time-out')
    })

    test('the server sends clients away', async () => {
      const late = connect('4.8.4', nodes[0].url, { transports: 'websocket' })
      await late.connected()
      await peer.call('disconnectSockets', { to: [late.id], close: true })
      assert.match(await late.disconnected(), /^(io server disconnect|transport close)$/)
    })

    if (classic) {
      test('an emitter reaches everybody whom it can reach', async () => {
        const emitter = await EmitterPeer.start('@socket.io/redis-emitter@5.1.0', redis, { client })
        const text = 'from an emitter'
        await emitter.do({ to: ['lobby'], call: ['emit', 'message', text] })
        await until(text, () => heardBy(text).slice(0, -1).every(([, count]) => count === 1))
        await emitter.stop()
      })
    }
  })
}
