'use strict'
// What becomes of gateways when Redis does not do what it should: each has a documented outcome (docs/redis.md), and nothing
// is delivered twice.

const assert = require('node:assert/strict')
const { describe, test } = require('node:test')
const { RedisCluster, RedisSentinels, RedisServer } = require('./lib/redis')
const { clientsOf, startNode } = require('./lib/redis-gateways')
const { Load, nodesWithClients } = require('./lib/redis-load')
const { until } = require('./lib/wait')

process.on('unhandledRejection', () => {})

const BACK = 2_000
const PAUSE = 30_000
const ROUNDS = 10

const readiness = async (node) => (await fetch(`http://127.0.0.1:${node.gateway.ports.admin}/readyz`)).status

const linksOf = (nodes) => Promise.all(nodes.map((node) => metric(node, 'links_total')))

const metric = async (node, name, labels = {}) => (await node.gateway.metrics()).sum(`polyport_backplane_${name}`, labels)

describe('faults of Redis', { concurrency: 4 }, () => {
  test('killed and restarted ten times under load, with connections reset between', async () => {
    const redis = await RedisServer.start()
    const made = await nodesWithClients(redis)
    const load = new Load(made)
    await load.arrives()
    for (let round = 0; round < ROUNDS; round += 1) {
      await redis.kill()
      await until('word of the loss', () => load.cluster.at(-1) === 'not_sent')
      await redis.spawn()
      const took = await load.arrives()
      assert.ok(took <= BACK, `delivering again after ${took} ms`)
      const links = await linksOf(made.nodes)
      await redis.command('CLIENT', 'KILL', 'TYPE', round % 2 === 0 ? 'normal' : 'pubsub')
      await until('both to have connected again', async () => {
        const now = await linksOf(made.nodes)
        return now.every((count, index) => count === links[index] + 1)
      })
      await load.arrives(BACK)
    }
    await load.stop()
    assert.deepEqual(await linksOf(made.nodes), [2 * ROUNDS + 1, 2 * ROUNDS + 1])
    assert.ok((await metric(made.nodes[0], 'published_total', { outcome: 'not_sent' })) >= ROUNDS)
    await made.stop()
    await redis.stop()
  })

  test('connections reset', async () => {
    const redis = await RedisServer.start()
    const made = await nodesWithClients(redis)
    const load = new Load(made)
    await load.arrives()
    for (const kind of ['normal', 'pubsub', 'normal', 'pubsub']) {
      await redis.command('CLIENT', 'KILL', 'TYPE', kind)
      const took = await load.arrives()
      assert.ok(took <= BACK, `delivering again after ${took} ms`)
    }
    await load.stop()
    await made.stop()
    await redis.stop()
  })

  test('held for thirty seconds', async () => {
    const redis = await RedisServer.start()
    const made = await nodesWithClients(redis, { backplane: { on_outage: 'unready' } })
    const load = new Load(made)
    await load.arrives()
    redis.pause()
    const paused = Date.now()
    await until('word of the loss', () => load.cluster.at(-1) === 'not_sent')
    for (const node of made.nodes) await until('to be unready', async () => (await readiness(node)) === 503)
    await until('the end of the pause', () => Date.now() - paused >= PAUSE, 2 * PAUSE)
    redis.resume()
    const took = await load.arrives()
    assert.ok(took <= BACK, `delivering again after ${took} ms`)
    for (const node of made.nodes) assert.equal(await readiness(node), 200)
    await load.stop()
    await made.stop()
    await redis.stop()
  })

  test('a wrong password, and a user who may not subscribe', async () => {
    const redis = await RedisServer.start({ user: 'gateway', password: 'right' })
    const wrong = { address: { ...redis.address, password: 'wrong' } }
    const node = await startNode(wrong)
    assert.match(node.gateway.log, /WRONGPASS/)
    assert.ok(!node.gateway.log.includes('"wrong"'), 'the password is not shown')
    assert.equal((await node.api('publish', { to: { room: 'lobby' }, event: 'e' })).cluster, 'not_sent')
    await node.stop()
    const made = await nodesWithClients(redis)
    const load = new Load(made)
    await load.arrives()
    await redis.command('ACL', 'SETUSER', 'gateway', 'resetchannels')
    await until('word of the loss', () => load.cluster.at(-1) === 'not_sent')
    await redis.command('ACL', 'SETUSER', 'gateway', 'allchannels')
    await load.arrives()
    await load.stop()
    await made.stop()
    await redis.stop()
  })

  test('a read-only replica is nothing to meet at', async () => {
    const primary = await RedisServer.start()
    const replica = await RedisServer.start({ lines: [`replicaof 127.0.0.1 ${primary.port}`] })
    const node = await startNode(replica)
    assert.match(node.gateway.log, /is a read-only replica/)
    assert.equal(await metric(node, 'up'), 0)
    await replica.command('REPLICAOF', 'NO', 'ONE')
    await until('the link', async () => (await metric(node, 'up')) === 1)
    await node.stop()
    await replica.stop()
    await primary.stop()
  })

  test('out of memory, events go on', async () => {
    const redis = await RedisServer.start()
    const made = await nodesWithClients(redis)
    const load = new Load(made)
    await load.arrives()
    await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
    await redis.command('CONFIG', 'SET', 'maxmemory', '1')
    await load.arrives()
    await redis.command('CONFIG', 'SET', 'maxmemory', '0')
    await load.stop()
    assert.ok(!load.cluster.includes('not_sent'))
    await made.stop()
    await redis.stop()
  })

  test('TLS, and a socket file', async () => {
    for (const options of [{ tls: true, password: 'secret' }, { unix: true }]) {
      const redis = await RedisServer.start(options)
      const made = await nodesWithClients(redis)
      const load = new Load(made)
      await load.arrives()
      await load.stop()
      await made.stop()
      await redis.stop()
    }
  })

  test('Sentinels choose another primary', async () => {
    const redis = await RedisSentinels.start()
    const made = await nodesWithClients(redis)
    const load = new Load(made)
    await load.arrives()
    await redis.failover()
    const took = await load.arrives()
    assert.ok(took <= BACK, `delivering again after ${took} ms`)
    await load.stop()
    await made.stop()
    await redis.stop()
  })

  test('a Cluster loses a primary', async () => {
    const redis = await RedisCluster.start()
    const made = await nodesWithClients(redis)
    const load = new Load(made)
    await load.arrives()
    await redis.failover('{polyport}')
    await load.arrives()
    await load.stop()
    await made.stop()
    await redis.stop()
  })

  test('nobody is let in without the others, where it is said so', async () => {
    const redis = await RedisServer.start()
    const made = await nodesWithClients(redis, { backplane: { on_outage: 'refuse' } })
    await redis.kill()
    const [node] = made.nodes
    await until('to be unready', async () => (await readiness(node)) === 503)
    await assert.rejects(clientsOf(node, 'late'))
    const metrics = await node.gateway.metrics()
    assert.ok(metrics.sum('polyport_connections_refused_total', { reason: 'cut_off' }) >= 1)
    await redis.spawn()
    await until('to be ready', async () => (await readiness(node)) === 200)
    for (const client of await clientsOf(node, 'late')) client.close()
    await made.stop()
    await redis.stop()
  })
})
