'use strict'
// Several gateways and a Node server act as one: whoever says something, everybody hears it, whatever the protocol.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { RedisServer } = require('./lib/redis')
const { clientsOf, startNode } = require('./lib/redis-gateways')
const { ServerPeer } = require('./lib/redis-peers')
const { connect } = require('./lib/socket-io')
const { until } = require('./lib/wait')

process.on('unhandledRejection', () => {})

const NODES = ['a', 'b', 'c']
const TEXTS = 40

describe('three gateways and a Node server', () => {
  let redis
  let nodes
  let peer
  let guest
  let clients

  before(async () => {
    redis = await RedisServer.start()
    nodes = await Promise.all(NODES.map(() => startNode(redis)))
    peer = await ServerPeer.start('4.8.4 + @socket.io/redis-adapter 8.3.0', redis)
    guest = connect('4.8.4', peer.url, { transports: 'websocket' })
    await guest.connected()
    await peer.call('join', { socket: guest.id, room: 'lobby' })
    clients = (await Promise.all(nodes.map((node, index) => clientsOf(node, NODES[index])))).flat()
    await settled()
  })
  after(async () => {
    for (const client of clients ?? []) client.close()
    guest?.close()
    for (const server of [peer, ...(nodes ?? [])]) await server?.stop()
    await redis?.stop()
  })

  /** Waits until every server listens to the lobby. */
  const settled = () =>
    until('the subscriptions', async () => (await redis.subscribers('socket.io#/#lobby#')) === NODES.length)

  const hearers = () => [
    ...clients,
    {
      name: 'node server',
      get heard() {
        return guest.entries('event', 'message').map(([, , text]) => text)
      },
    },
  ]

  const speakers = () => [
    ...clients,
    ...nodes.map((node, index) => ({
      name: `${NODES[index]}/api`,
      say: (text) => node.publish('lobby', 'message', text),
      hearsItself: true,
    })),
    { name: 'node server/emit', say: (text) => peer.publish('lobby', 'message', text), hearsItself: true },
  ]

  test('every cell of the matrix: once, and in the order of each publisher, under load', async () => {
    const all = speakers()
    await Promise.all(
      all.map(async (speaker) => {
        for (let index = 0; index <= TEXTS; index += 1) await speaker.say(`${speaker.name} ${index}`)
      }),
    )
    for (const hearer of hearers()) {
      for (const speaker of all) {
        if (speaker === hearer && !speaker.hearsItself) continue
        const last = `${speaker.name} ${TEXTS}`
        await until(() => `${last} at ${hearer.name}, which has heard ${hearer.heard.length}`, () => hearer.heard.includes(last))
      }
    }
    // What would come twice would have come by now.
    await Promise.all(all.map((speaker) => speaker.say(`${speaker.name} end`)))
    for (const hearer of hearers()) {
      for (const speaker of all) {
        const expected = Array.from({ length: TEXTS + 1 }, (_, index) => `${speaker.name} ${index}`)
        if (speaker === hearer && !speaker.hearsItself) expected.length = 0
        else await until(() => `the end of ${speaker.name} at ${hearer.name}`, () => hearer.heard.includes(`${speaker.name} end`))
        const from = hearer.heard.filter((text) => text.startsWith(`${speaker.name} `) && !text.endsWith('end'))
        assert.deepEqual(from, expected, `${speaker.name} at ${hearer.name}`)
      }
    }
  })
})

test('a namespace that only the other gateway has clients in', async () => {
  const redis = await RedisServer.start()
  const socketIo = { namespaces: ['/room-*'], publish: [] }
  const nodes = await Promise.all([startNode(redis, { socketIo }), startNode(redis, { socketIo })])
  const guest = connect('4.8.4', nodes[1].url, { transports: 'websocket' })
  const client = guest.namespace('/room-7')
  await client.connected()
  await until('the namespace', async () => (await redis.subscribers('socket.io#/room-7#')) === 1)
  const to = { everyone: true, realm: 'default/room-7' }
  assert.deepEqual(await nodes[0].api('publish', { to, event: 'news', args: [1] }), { sessions: 0, cluster: 'sent' })
  await client.event('news')
  const nowhere = nodes[0].api('publish', { to: { everyone: true, realm: 'nowhere' }, event: 'news' })
  await assert.rejects(nowhere, /unknown_realm/)
  guest.close()
  for (const node of nodes) await node.stop()
  await redis.stop()
})
