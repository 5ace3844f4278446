'use strict'
// Sharded channels on a Redis Cluster whose slots move and whose primaries die, under load. A Node server with the sharded
// adapter takes part.

const assert = require('node:assert/strict')
const { describe, test } = require('node:test')
const { RedisCluster } = require('./lib/redis')
const { Load, nodesWithClients } = require('./lib/redis-load')
const { ServerPeer } = require('./lib/redis-peers')
const { connect } = require('./lib/socket-io')
const { until } = require('./lib/wait')

process.on('unhandledRejection', () => {})

const SHARDED = '4.8.4 + @socket.io/redis-adapter 8.3.0 sharded'
const BACK = 5_000
const LOBBY = 'socket.io#/#lobby#'
const EVERYBODY = 'socket.io#/#'
const MOVES = 5

/** Gateways and a Node server on a Cluster, with clients of each. */
async function world(act) {
  const redis = await RedisCluster.start()
  const made = await nodesWithClients(redis, { backplane: { socket_io: { adapters: ['sharded'] } } })
  const peer = await ServerPeer.start(SHARDED, redis, { client: 'ioredis' })
  const guest = connect('4.8.4', peer.url, { transports: 'websocket' })
  try {
    await guest.connected()
    await peer.call('join', { socket: guest.id, room: 'lobby' })
    await until('the subscriptions', async () => (await redis.shardSubscribers(LOBBY)) === 3)
    await act({ redis, made, peer })
  } finally {
    guest.close()
    await peer.stop()
    await made.stop()
    await redis.stop()
  }
}

const links = async (node) => (await node.gateway.metrics()).sum('polyport_backplane_links_total')

/** Has the Node server publish until every client of the gateways has heard it, each at most once. */
async function heardFromPeer(peer, made, word) {
  const clients = [...made.here, ...made.there]
  let round = 0
  await until(`${word} at all clients`, async () => {
    round += 1
    await peer.publish('lobby', 'message', `${word} ${round}`)
    return clients.every((client) => client.heard.some((text) => String(text).startsWith(word)))
  })
  for (const client of clients) {
    const heard = client.heard.filter((text) => String(text).startsWith(word))
    assert.equal(new Set(heard).size, heard.length, `${client.name} has heard nothing twice`)
  }
}

describe('sharded channels on a Cluster', { concurrency: 2 }, () => {
  test('slots that move take their subscriptions along, and no link ends', () => world(async ({ redis, made, peer }) => {
    const load = new Load(made)
    await load.arrives()
    for (let move = 0; move < MOVES; move += 1) {
      for (const channel of [LOBBY, EVERYBODY]) {
        const owner = await redis.move(channel)
        const isBack = async () => (await owner.shardSubscribers(channel)) >= 2
        await until(`the subscriptions to ${channel} at their new place`, isBack, BACK)
      }
      await load.arrives(BACK)
    }
    await load.stop()
    assert.deepEqual(load.cluster.filter((word) => word !== 'sent'), [], 'everything was sent')
    for (const node of made.nodes) assert.equal(await links(node), 1)
    await heardFromPeer(peer, made, 'after the moves')
  }))

  test('a primary that dies ends the link until its heir serves the channels', () => world(async ({ redis, made, peer }) => {
    const load = new Load(made)
    await load.arrives()
    const heir = await redis.failover(LOBBY)
    const took = await load.arrives(BACK)
    assert.ok(took <= BACK, `delivering again after ${took} ms`)
    assert.equal((await heir.info('replication')).role, 'master')
    assert.ok(load.cluster.includes('not_sent'), 'the loss was told')
    await load.stop()
    await heardFromPeer(peer, made, 'after the loss')
    for (const node of made.nodes) assert.ok((await links(node)) >= 2)
  }))
})
