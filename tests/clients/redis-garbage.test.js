'use strict'
// What arrives over Redis may be anything: gateways drop what they cannot read, count it, and go on.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const jwt = require('jsonwebtoken')
const { ROOT } = require('./lib/polyport')
const { RedisServer } = require('./lib/redis')
const { clientsOf, startNode } = require('./lib/redis-gateways')
const { EmitterPeer, ServerPeer } = require('./lib/redis-peers')
const { connect } = require('./lib/socket-io')
const { until } = require('./lib/wait')

process.on('unhandledRejection', () => {})

const RECORDINGS = path.join(ROOT, 'tests', 'traces', 'socket-io-redis')
const RANDOM = 1_000
const LONGEST = 200
/** So many places at which each recorded payload is cut off. */
const CUTS = 5
const AT_ONCE = 500
const SHARDED = '4.8.4 + @socket.io/redis-adapter 8.3.0 sharded'

// The names of rooms that match the patterns for ids of clients, and what old emitters and servers publish to.
const ID = 'abcdefghijklmnopqrst'
const MATCHED = [
  `socket.io#/#${ID}#`, `socket.io#/admin#${ID}#`, `socket.io#/admin#/admin#${ID}#`, 'socket.io#admin#', 'socket.io#admin#ops#',
  'socket.io#AbCd12',
]

/** Always the same numbers for one seed, from 0 to below `limit`. */
function numbers(seed) {
  let state = seed
  return (limit) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return (state >>> 8) % limit
  }
}

const next = numbers(20_261_126)

/** Bytes by chance, half of them with the beginning that a message has. */
function* chance() {
  const heads = ['93a6', '93a7656d6974746572', '92', '82', '7b', '5b', '85a375696d', ''].map((hex) => Buffer.from(hex, 'hex'))
  for (let count = 0; count < RANDOM; count += 1) {
    const tail = Buffer.from(Array.from({ length: next(LONGEST) }, () => next(256)))
    yield count % 2 === 0 ? tail : Buffer.concat([heads[next(heads.length)], tail])
  }
}

/** Every payload of the recordings that anybody has published, each once. */
function recorded() {
  const payloads = new Set()
  for (const file of fs.readdirSync(RECORDINGS).filter((name) => name.endsWith('.jsonl'))) {
    for (const line of fs.readFileSync(path.join(RECORDINGS, file), 'utf8').trim().split('\n')) {
      const { payload_b64: payload } = JSON.parse(line)
      if (payload) payloads.add(payload)
    }
  }
  return [...payloads].map((payload) => Buffer.from(payload, 'base64'))
}

/** Beginnings of recorded payloads. Whatever they begin, none of them is whole. */
function* truncated() {
  for (const payload of recorded()) {
    for (let cut = 0; cut < CUTS; cut += 1) yield payload.subarray(0, next(payload.length))
  }
}

describe('garbage on every channel', () => {
  let redis
  let nodes
  let publisher
  let clients

  before(async () => {
    redis = await RedisServer.start()
    const backplane = { socket_io: { adapters: ['classic', 'sharded'], ancient_servers: true, legacy_sync: true } }
    nodes = await Promise.all([1, 2].map(() => startNode(redis, { backplane })))
    publisher = await redis.connect()
    clients = (await Promise.all(nodes.map((node, index) => clientsOf(node, `node ${index + 1}`)))).flat()
    await until('the subscriptions', async () => (await redis.subscribers('socket.io#/#lobby#')) === 2)
  })
  after(async () => {
    for (const client of clients ?? []) client.close()
    publisher?.close()
    for (const node of nodes ?? []) await node.stop()
    await redis?.stop()
  })

  const received = async (node, labels = {}) => (await node.gateway.metrics()).sum('polyport_backplane_received_total', labels)

  /** What all clients hear of a text in the lobby: each once. */
  async function everybodyHears(text, say) {
    await say(text)
    const heard = () => clients.map(({ heard }) => heard.filter((said) => said === text).length)
    await until(() => `${text}: ${heard()}`, () => heard().every((count) => count === 1))
  }

  /** Publishes all of it, in parts, as fast as both nodes take it. */
  async function publish(command, channel, payloads) {
    const all = [...payloads]
    for (let start = 0; start < all.length; start += AT_ONCE) {
      const part = all.slice(start, start + AT_ONCE)
      const earlier = await Promise.all(nodes.map((node) => received(node)))
      const reached = await Promise.all(part.map((payload) => publisher.command(command, channel, payload)))
      assert.ok(reached.every((count) => count > 0), `${channel} is heard`)
      const isOfOne = reached.every((count) => count === 1)
      await until(`${channel} to be read`, async () => {
        const more = (await Promise.all(nodes.map((node) => received(node)))).map((count, index) => count - earlier[index])
        return isOfOne ? more.some((count) => count >= part.length) : more.every((count) => count >= part.length)
      })
    }
    return all.length
  }

  test('is dropped and counted, and everything goes on', async () => {
    const exact = await redis.command('PUBSUB', 'CHANNELS', '*')
    const shards = await redis.command('PUBSUB', 'SHARDCHANNELS', '*')
    for (const kind of ['frames', 'sessions', 'orders', 'node:']) {
      assert.ok(exact.some((name) => name.startsWith(`polyport:socket.io:${kind}`)), kind)
    }
    for (const name of ['socket.io#emitter', 'socket.io#/#', 'socket.io#/#lobby#', 'socket.io-request#/#', 'socket.io-sync#request#/#']) {
      assert.ok(exact.includes(name), name)
    }
    assert.ok(shards.includes('socket.io#/#') && shards.includes('socket.io#/#lobby#'))

    let bad = 0
    for (const channel of [...exact, ...MATCHED]) bad += await publish('PUBLISH', channel, [...chance(), ...truncated()])
    for (const channel of shards) bad += await publish('SPUBLISH', channel, [...chance(), ...truncated()])
    for (const node of nodes) {
      assert.equal(node.gateway.exit, null)
      assert.equal(await received(node, { outcome: 'overflow' }), 0)
      const malformed = await received(node, { outcome: 'malformed' })
      assert.ok(malformed > bad / 2, `${malformed} of ${bad} are malformed`)
    }
    for (const client of clients) assert.deepEqual(client.heard, [], client.name)
  })

  test('and everybody delivers afterwards', async () => {
    const [one, two] = nodes
    await everybodyHears('from the first', (text) => one.publish('lobby', 'message', text))
    await everybodyHears('from the second', (text) => two.publish('lobby', 'message', text))
    for (const client of clients.filter(({ hearsItself }) => hearsItself)) await everybodyHears(`from ${client.name}`, client.say)
    const emitter = await EmitterPeer.start('@socket.io/redis-emitter@5.1.0', redis)
    await everybodyHears('from an emitter', (text) => emitter.do({ to: ['lobby'], call: ['emit', 'message', text] }))
    await emitter.stop()
    const peer = await ServerPeer.start(SHARDED, redis)
    await everybodyHears('from a server', (text) => peer.publish('lobby', 'message', text))
    const found = await peer.call('fetchSockets', { to: ['lobby'] })
    assert.equal(found.length, 2)
    await peer.stop()
  })
})

describe('bytes as the first emitters of today\'s form wrote them', () => {
  const SECRET = 'a secret of the garbage suite, long enough'
  const SIZES = [...Array(41).keys(), 300, 70_000]
  let redis
  let node
  let client
  let stranger

  before(async () => {
    redis = await RedisServer.start()
    node = await startNode(redis, {
      listener: { join: ['lobby'], auth: { tokens: 'main' } },
      config: { tokens: { main: { keys: [{ algorithm: 'HS256', secret: 'env:TEST_SECRET' }] } } },
      run: { env: { TEST_SECRET: SECRET } },
    })
    const as = (sub) => ({ transports: 'websocket', query: { jwt: jwt.sign({ sub }, SECRET, { expiresIn: 300 }) } })
    client = connect('4.8.4', node.url, as('1'))
    stranger = connect('4.8.4', node.url, as('2'))
    for (const one of [client, stranger]) await one.connected()
    await until('the subscriptions', async () => (await redis.subscribers('socket.io#/#user(1)#')) === 1)
  })
  after(async () => {
    for (const one of [client, stranger]) one?.close()
    await node?.stop()
    await redis?.stop()
  })

  test('arrive whole, and only where they belong', async () => {
    const emitter = await EmitterPeer.start('socket.io-emitter@1.1.0', redis)
    const said = []
    for (const size of SIZES) {
      const bytes = Buffer.from(Uint8Array.from({ length: size }, (_, index) => (index * 31 + size) & 0xff))
      for (const place of [0, 1, 2]) {
        const args = ['text', { n: 1 }]
        args.splice(place, 0, bytes)
        await emitter.do({ to: ['user(1)'], call: ['emit', 'bin', ...args] })
        args[place] = { binary: bytes.toString('hex') }
        said.push(['event', 'bin', ...args])
      }
    }
    await emitter.do({ call: ['emit', 'message', 'the end'] })
    for (const one of [client, stranger]) await one.saw(['event', 'message', 'the end'])
    const heard = client.entries('event', 'bin')
    for (const [index, event] of said.entries()) assert.deepEqual(heard[index], event, `bytes of number ${index}`)
    assert.equal(heard.length, said.length)
    assert.deepEqual(stranger.entries('event'), [['event', 'message', 'the end']])
    await emitter.stop()
  })
})
