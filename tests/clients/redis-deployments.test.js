'use strict'
// The Redis servers that suites start: each kind answers, dies and comes back, and leaves nothing behind.

const assert = require('node:assert/strict')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')
const { describe, test } = require('node:test')
const { RedisCluster, RedisError, RedisSentinels, RedisServer, RespClient, HOST } = require('./lib/redis')
const { until } = require('./lib/wait')

const BYTES = Buffer.from([0xff, 0x00, 0x0d, 0x0a, 0xd8, 0x00])

const SINGLE = {
  plain: {},
  'with a password': { password: 'secret' },
  'with users': { user: 'gateway', password: 'secret' },
  'on a unix socket': { unix: true },
  'with TLS': { tls: true, password: 'secret' },
}

/** Whether a connection to the port is accepted. */
const accepts = (port) =>
  new Promise((resolve) => {
    const socket = net.connect({ host: HOST, port })
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })

/** The letter by which the kernel tells what a process does; null if there is none. */
const stateOf = (pid) => {
  try {
    return /^State:\t(.)/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]
  } catch {
    return null
  }
}
const hasEnded = (pid) => [null, 'Z', 'X'].includes(stateOf(pid))

async function delivers(redis) {
  const subscriber = await redis.connect()
  const publisher = await redis.connect()
  try {
    await subscriber.subscribe('exact')
    await subscriber.psubscribe('pat*')
    assert.equal(await redis.subscribers('exact'), 1)
    assert.equal(await publisher.publish('exact', BYTES), 1)
    assert.equal(await publisher.publish('pattern', 'text'), 1)
    const expected = [
      { channel: 'exact', payload: BYTES },
      { pattern: 'pat*', channel: 'pattern', payload: Buffer.from('text') },
    ]
    assert.deepEqual(await subscriber.received(2), expected)
  } finally {
    subscriber.close()
    publisher.close()
  }
}

describe('a Redis server', { concurrency: true }, () => {
  for (const [name, options] of Object.entries(SINGLE)) {
    test(`${name} delivers, dies, comes back empty and ends`, async () => {
      const redis = await RedisServer.start(options)
      try {
        await delivers(redis)
        await redis.command('SET', 'key', 'value')
        const { port, url } = redis
        const witness = await redis.connect()
        await redis.kill()
        await witness.ended
        await assert.rejects(redis.command('PING'), { code: 'ECONNREFUSED' })
        await redis.restart()
        assert.deepEqual({ port: redis.port, url: redis.url }, { port, url })
        assert.equal(await redis.command('GET', 'key'), null)
        await delivers(redis)
        await redis.restart()
        await delivers(redis)
      } finally {
        await redis.stop()
      }
      assert.equal(redis.isRunning, false)
      if (redis.port) assert.equal(await accepts(redis.port), false)
    })
  }

  test('refuses who does not say the right words', async () => {
    for (const options of [SINGLE['with a password'], SINGLE['with users']]) {
      const redis = await RedisServer.start(options)
      const { user, password, ...where } = redis.address
      const stranger = await RespClient.connect(where)
      const isRefused = (error) => error instanceof RedisError && /NOAUTH/.test(error.message)
      await assert.rejects(stranger.command('PUBLISH', 'a', 'b'), isRefused)
      stranger.close()
      await assert.rejects(RespClient.connect({ ...where, user, password: 'wrong' }), /WRONGPASS/)
      await redis.stop()
    }
    const limited = await RedisServer.start({ user: 'reader', password: 'secret', rules: '&* +subscribe' })
    await assert.rejects(limited.command('PUBLISH', 'a', 'b'), /NOPERM/)
    await limited.stop()
  })

  test('is held and goes on', async () => {
    const redis = await RedisServer.start()
    const client = await redis.connect()
    redis.pause()
    await until('a stopped process', () => stateOf(redis.child.pid) === 'T')
    let answered = false
    const answer = client.command('PING').then((text) => {
      answered = true
      return text
    })
    // The kernel accepts in its place, so a second connection proves that the first had its time.
    const other = await redis.connect()
    assert.equal(answered, false)
    redis.resume()
    assert.equal(await answer, 'PONG')
    assert.equal(await other.command('PING'), 'PONG')
    other.close()
    redis.pause()
    await redis.stop()
    await client.ended
  })
})

test('Sentinels make the replica primary, and the old primary its replica', async () => {
  const group = await RedisSentinels.start()
  try {
    const old = await group.primary()
    await delivers(old)
    const chosen = await group.failover()
    assert.notEqual(chosen.port, old.port)
    await delivers(chosen)
    await old.restart()
    await group.settled()
    assert.equal(await group.primary(), chosen)
    assert.equal((await old.info('replication')).role, 'slave')
    await group.sentinels[0].restart()
    await group.settled()
  } finally {
    await group.stop()
  }
})

test('a Cluster carries messages over its bus, and a replica takes over', async () => {
  const cluster = await RedisCluster.start()
  try {
    const owners = await Promise.all(['a', 'b', 'c'].map((key) => cluster.ownerOf(key)))
    assert.equal(new Set(owners).size, 3)
    const subscriber = await cluster.nodes[5].connect()
    await subscriber.subscribe('everywhere')
    assert.equal(await cluster.subscribers('everywhere'), 1)
    await cluster.nodes[0].command('PUBLISH', 'everywhere', BYTES)
    assert.deepEqual(await subscriber.received(1), [{ channel: 'everywhere', payload: BYTES }])
    subscriber.close()
    const sharded = await owners[1].connect()
    await sharded.ssubscribe('b')
    assert.equal(await owners[1].command('SPUBLISH', 'b', BYTES), 1)
    assert.deepEqual(await sharded.received(1), [{ channel: 'b', payload: BYTES }])
    await assert.rejects(owners[0].command('SPUBLISH', 'b', BYTES), /^Error: MOVED/)

    const heir = await cluster.failover('a')
    assert.equal((await heir.info('replication')).role, 'master')
    await owners[0].restart()
    await cluster.settled()
    assert.equal((await owners[0].info('replication')).role, 'slave')
  } finally {
    await cluster.stop()
  }
})

test('nothing is left of a process that just ends', async () => {
  const script = `
    const { RedisServer, RedisSentinels, RedisCluster } = require(${JSON.stringify(path.resolve(__dirname, 'lib', 'redis'))})
    Promise.all([RedisServer.start(), RedisSentinels.start(), RedisCluster.start()]).then(([single, group, cluster]) => {
      const servers = [single, ...group.servers, ...group.sentinels, ...cluster.nodes]
      single.pause()
      console.log(JSON.stringify(servers.map(({ folder, child }) => ({ folder, pid: child.pid }))))
      process.exit(0)
    })`
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' })
  assert.equal(stderr, '')
  const servers = JSON.parse(stdout)
  assert.equal(servers.length, 12)
  for (const { folder, pid } of servers) {
    assert.equal(fs.existsSync(folder), false, folder)
    await until(`the end of Redis ${pid}`, () => hasEnded(pid))
  }
})
