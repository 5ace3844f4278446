'use strict'
// Slots of a Redis Cluster move from node to node while gateways use them.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { RedisCluster } = require('./lib/redis')
const { clientsOf } = require('./lib/redis-gateways')
const { Load, nodesWithClients } = require('./lib/redis-load')
const { API_KEY } = require('./lib/socket-io-servers')
const { until } = require('./lib/wait')

process.on('unhandledRejection', () => {})

// All records are in one slot.
const RECORDS = 'polyport:{socket.io}:nodes'
// Which of them go first, in each move: while it is under way the rest is still where it was.
const FIRST = [/:ids$/, /:sessions$/, /:node:[^:]+$/, /:room:/, /:rooms:/, /:nodes$/]
const TIME_TO_LIVE = 1_500

/** The members of the lobby as a node sees them, if it is sure. */
async function lobby(node) {
  const answer = await fetch(`http://127.0.0.1:${node.gateway.ports.admin}/api/presence?room=lobby`, {
    headers: { authorization: `Bearer ${API_KEY}` },
  })
  const { complete, members } = await answer.json()
  return complete ? members.map(({ session }) => session).sort() : undefined
}

/** How many times a node has tried to write records. */
const recorded = async (node) => (await node.gateway.metrics()).sum('polyport_backplane_records_total')

/** Waits until all nodes see so many in the lobby, and the same; gives their ids. */
async function present(nodes, count) {
  let seen
  await until(
    () => `${count} in the lobby, there are ${JSON.stringify(seen)}`,
    async () => {
      seen = await Promise.all(nodes.map(lobby))
      return seen.every((ids) => ids?.length === count)
    },
  )
  for (const ids of seen) assert.deepEqual(ids, seen[0])
  return seen[0]
}

test('slots move under load: everything arrives in order and once, and records are right', async () => {
  const redis = await RedisCluster.start()
  const made = await nodesWithClients(redis, { backplane: { time_to_live: `${TIME_TO_LIVE}ms` } })
  const { nodes, here, there } = made
  const all = here.length + there.length
  const ids = await present(nodes, all)
  const load = new Load(made)
  await load.arrives()

  const owners = new Set([await redis.ownerOf(RECORDS)])
  for (const first of FIRST) {
    let late
    owners.add(await redis.move(RECORDS, (key) => first.test(key), async () => {
      const written = await recorded(nodes[1])
      late = await clientsOf(nodes[1], 'late')
      await load.arrives()
      await until('records of them', async () => (await recorded(nodes[1])) > written)
    }))
    await load.arrives()
    await present(nodes, all + late.length)
    for (const client of late) client.close()
    assert.deepEqual(await present(nodes, all), ids, 'those who stay are seen as before')
  }
  assert.equal(owners.size, 3)

  await load.stop()
  assert.ok(load.cluster.every((word) => word === 'sent'), 'nothing is lost')
  for (const client of there) {
    const numbers = client.heard.filter((text) => text.startsWith('n ')).map((text) => Number(text.slice(2)))
    assert.deepEqual(numbers, Array.from({ length: load.sent }, (_, index) => index), client.name)
  }
  for (const node of nodes) {
    const metrics = await node.gateway.metrics()
    assert.equal(metrics.sum('polyport_backplane_links_total'), 1, 'the link has not been lost')
  }

  const [survivor, victim] = nodes
  await victim.gateway.kill()
  await present([survivor], here.length)
  for (const client of [...here, ...there]) client.close()
  await survivor.stop()
  await redis.stop()
})
