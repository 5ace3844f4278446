'use strict'
// Servers of python-socketio meet over Redis in a way of their own. They and gateways on one Redis do not disturb each other,
// even if both are called the same.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { installPython } = require('./lib/python-client')
const { RedisServer } = require('./lib/redis')
const { clientsOf, startNode } = require('./lib/redis-gateways')
const { EmitterPeer, PythonServerPeer } = require('./lib/redis-peers')
const { connect } = require('./lib/socket-io')
const { until } = require('./lib/wait')

process.on('unhandledRejection', () => {})

// What their manager has for a channel, and here the key of the gateways too.
const CHANNEL = 'socketio'
const TEXTS = 100

const texts = (speaker) => Array.from({ length: TEXTS }, (_, index) => `${speaker} ${index}`)

describe('gateways and servers of python-socketio', () => {
  let redis
  let nodes
  let servers
  let clients
  let guests

  before(async () => {
    installPython()
    redis = await RedisServer.start()
    const backplane = { keys: { default: CHANNEL }, socket_io: { ancient_servers: true } }
    nodes = await Promise.all([1, 2].map(() => startNode(redis, { backplane })))
    servers = await Promise.all([1, 2].map(() => PythonServerPeer.start(redis)))
    clients = (await Promise.all(nodes.map((node, index) => clientsOf(node, `node ${index + 1}`)))).flat()
    guests = []
    for (const { url } of servers) {
      const guest = connect('4.8.4', url, { transports: 'polling' })
      await guest.connected()
      assert.deepEqual(await guest.ask('join', 'lobby'), [true])
      guests.push(guest)
    }
    await until('the subscriptions', async () => (await redis.subscribers(`${CHANNEL}#/#lobby#`)) === nodes.length)
    await until('the servers in Python', async () => (await redis.subscribers(CHANNEL)) === servers.length)
  })
  after(async () => {
    for (const client of [...(clients ?? []), ...(guests ?? [])]) client.close()
    for (const peer of [...(servers ?? []), ...(nodes ?? [])]) await peer.stop()
    await redis?.stop()
  })

  const heardBy = (guest) => guest.entries('event', 'message').map(([, , text]) => text)
  const from = (speaker, heard) => heard.filter((text) => text.startsWith(`${speaker} `))

  test('each hear their own, in order and once', async () => {
    const emitter = await EmitterPeer.start('@socket.io/redis-emitter@5.1.0', redis, { key: CHANNEL })
    const OURS = {
      gateway: (text) => nodes[0].publish('lobby', 'message', text),
      emitter: (text) => emitter.do({ to: ['lobby'], call: ['emit', 'message', text] }),
    }
    const THEIRS = {
      first: (text) => servers[0].publish('lobby', 'message', text),
      second: (text) => servers[1].publish('lobby', 'message', text),
    }
    await Promise.all(
      Object.entries({ ...OURS, ...THEIRS }).map(async ([speaker, say]) => {
        for (const text of [...texts(speaker), `${speaker} end`]) await say(text)
      }),
    )
    const hearers = [
      ...clients.map((client) => [client.name, () => client.heard, OURS]),
      ...guests.map((guest, index) => [`Python ${index + 1}`, () => heardBy(guest), THEIRS]),
    ]
    for (const [name, heard, speakers] of hearers) {
      for (const speaker of Object.keys(speakers)) {
        await until(() => `the end of ${speaker} at ${name}`, () => heard().includes(`${speaker} end`))
        assert.deepEqual(from(speaker, heard()), [...texts(speaker), `${speaker} end`], `${speaker} at ${name}`)
      }
      assert.equal(heard().length, Object.keys(speakers).length * (TEXTS + 1), `${name} hears nobody else`)
    }
    await emitter.stop()
  })

  test('and nobody finds anything wrong', async () => {
    for (const { errors } of servers) assert.equal(errors, '')
    for (const node of nodes) {
      assert.equal((await node.gateway.metrics()).sum('polyport_backplane_received_total', { outcome: 'malformed' }), 0)
      assert.doesNotMatch(node.gateway.log, /"level":"(WARN|ERROR)".*polyport_redis_rooms/)
    }
  })
})
