'use strict'
// Gateways and servers with the streams adapter: one stream is the order of all, and an outage loses nothing.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { hold } = require('./lib/hold')
const { RedisCluster, RedisServer } = require('./lib/redis')
const { clientsOf, startNode, PROTOCOLS } = require('./lib/redis-gateways')
const { recording, ServerPeer } = require('./lib/redis-peers')
const { connect } = require('./lib/socket-io')
const { GatewayServer } = require('./lib/socket-io-servers')
const { until, LIMIT } = require('./lib/wait')

process.on('unhandledRejection', () => {})

const STREAMS = '4.8.4 + @socket.io/redis-streams-adapter 0.3.1'
const AT_ONCE = 1_000
const PER_NODE = Object.keys(PROTOCOLS).length
const MANY = 1_000
// Whatever Redis has said that it has, it has after its end, too.
const LASTING = { lines: ['appendonly yes', 'appendfsync always'] }
const UID = '0123456789abcdef'

const backplane = (more = {}) => ({ engine: 'redis-streams', ...more })

const metric = async (node, name, labels = {}) => (await node.gateway.metrics()).sum(`polyport_backplane_${name}`, labels)

/** Adds an event of another server to a stream. */
const add = (redis, key, { nsp = '/', rooms = [], event }) => {
  const data = JSON.stringify({ packet: { type: 2, data: event }, opts: { rooms, except: [], flags: {} } })
  return redis.command('XADD', key, '*', 'uid', UID, 'nsp', nsp, 'type', '3', 'data', data)
}

/** Ends the connections of gateways: those of Node servers have names. */
async function cut(redis) {
  const lines = (await redis.command('CLIENT', 'LIST')).split('\n')
  const theirs = lines.filter((line) => line.includes(' name= ') && !line.includes(' cmd=client'))
  for (const line of theirs) await redis.command('CLIENT', 'KILL', 'ID', /^id=(\d+)/.exec(line)[1])
  return theirs.length
}

/** Nobody is put into the room of a user: in a recording, another room of as many letters stands for it. */
function inAnyRoom(data) {
  const renamed = (text) => text.replaceAll('user(1)', 'room(1)')
  if (data.startsWith('{')) return renamed(data)
  return Buffer.from(renamed(Buffer.from(data, 'base64').toString('latin1')), 'latin1').toString('base64')
}

const numbers = (count, name) => Array.from({ length: count }, (_, index) => `${name} ${index}`)

describe('two gateways and a Node server', () => {
  let redis
  let nodes
  let peer
  let guest
  let clients

  before(async () => {
    redis = await RedisServer.start()
    nodes = await Promise.all([1, 2].map(() => startNode(redis, { backplane: backplane() })))
    peer = await ServerPeer.start(STREAMS, redis)
    guest = connect('4.8.4', peer.url, { transports: 'websocket', events: ['all', 'room', 'two', 'ack', 'f', 'x', 'e'] })
    await guest.connected()
    await peer.call('join', { socket: guest.id, room: 'lobby' })
    clients = (await Promise.all(nodes.map((node, index) => clientsOf(node, `node ${index + 1}`)))).flat()
  })
  after(async () => {
    for (const client of clients ?? []) client.close()
    guest?.close()
    for (const server of [peer, ...(nodes ?? [])]) await server?.stop()
    await redis?.stop()
    assert.deepEqual(peer?.exceptions, [])
  })

  const socketOf = (index) => clients.filter(({ client }) => client)[index].client
  const hearers = () => [
    ...clients,
    {
      name: 'node server',
      get heard() {
        return guest.entries('event', 'message').map(([, , text]) => text)
      },
    },
  ]

  test('what anybody says everybody hears, once and in the order of who says it', async () => {
    const speakers = [
      ...clients,
      ...nodes.map((node, index) => ({ name: `api ${index}`, say: (text) => node.publish('lobby', 'message', text), hearsItself: true })),
      { name: 'emit', say: (text) => peer.publish('lobby', 'message', text), hearsItself: true },
    ]
    await Promise.all(speakers.map(async ({ name, say }) => {
      for (const text of numbers(20, name)) await say(text)
    }))
    for (const { say, name } of speakers) await say(`${name} end`)
    for (const hearer of hearers()) {
      for (const { name, hearsItself } of speakers) {
        if (hearer.name === name && !hearsItself) continue
        await until(() => `the end of ${name} at ${hearer.name}`, () => hearer.heard.includes(`${name} end`))
      }
      for (const speaker of speakers) {
        const isMuted = hearer.name === speaker.name && !speaker.hearsItself
        const expected = isMuted ? [] : [...numbers(20, speaker.name), `${speaker.name} end`]
        assert.deepEqual(hearer.heard.filter((text) => text.startsWith(`${speaker.name} `)), expected, `${speaker.name} at ${hearer.name}`)
      }
    }
  })

  test('all members on all nodes hear one order, whoever has published', async () => {
    const lines = clients.filter(({ name }) => /tcp|socket-io/.test(name))
    const begun = lines.map(({ heard }) => heard.length)
    await Promise.all(nodes.map(async (node, index) => {
      for (const text of numbers(50, `ordered ${index}`)) await node.publish('lobby', 'message', text)
    }))
    await until('all of them', () => lines.every(({ heard }, index) => heard.length === begun[index] + 100))
    const [first, ...others] = lines.map(({ heard }, index) => heard.slice(begun[index]))
    for (const other of others) assert.deepEqual(other, first)
  })

  test('everybody, several rooms, exceptions, one socket, binary, a namespace', async () => {
    const client = socketOf(0)
    await peer.call('emit', { event: ['bin', Buffer.from([0, 255]), { deep: [Buffer.from([0, 255])] }] })
    assert.deepEqual(await client.event('bin'), ['event', 'bin', { binary: '00ff' }, { deep: [{ binary: '00ff' }] }])
    await nodes[1].api('publish', { to: { everyone: true }, event: 'bin', args: [{ base64: true, data: 'AP8=' }] })
    assert.deepEqual(await guest.event('bin', 2), ['event', 'bin', { binary: '00ff' }])
    await peer.call('emit', { to: [client.id], event: ['news', 'only you'] })
    await client.saw(['event', 'news', 'only you'])
    await nodes[0].api('publish', { to: { room: guest.id }, event: 'news', args: ['only you'] })
    await guest.saw(['event', 'news', 'only you'])

    const rooms = ['lobby', guest.id, client.id]
    await peer.call('emit', { to: rooms, except: [socketOf(1).id], event: ['news', 'but one'] })
    await nodes[1].api('publish', { to: { rooms, except: [socketOf(1).id] }, event: 'news', args: ['but one again'] })
    for (const hearer of [guest, client]) {
      for (const text of ['but one', 'but one again']) {
        await hearer.saw(['event', 'news', text])
        assert.equal(hearer.entries('event', 'news', text).length, 1)
      }
    }
    assert.deepEqual(await socketOf(1).exchange('echo', ['barrier']), ['barrier'])
    assert.deepEqual(socketOf(1).entries('event', 'news'), [])

    const admins = [guest, client].map((some) => some.namespace('/admin', { events: ['x'] }))
    for (const admin of admins) await admin.connected()
    await peer.call('emit', { of: '/admin', event: ['x', 1] })
    await nodes[0].api('publish', { to: { realm: 'default/admin', everyone: true }, event: 'x', args: [3] })
    for (const admin of admins) {
      await admin.saw(['event', 'x', 1])
      await admin.saw(['event', 'x', 3])
      admin.leave()
    }
    assert.deepEqual(client.entries('event', 'x'), [])
  })

  test('of several targets each session is told once, in its place among the events of the room', async () => {
    const client = socketOf(0)
    const { sessions } = await nodes[0].api('sessions?room=lobby')
    // Only of its own sessions a node tells what they are about.
    const { id } = sessions.find(({ protocol, calls_in_flight: calls }) => protocol === 'socket-io' && calls !== null)
    const to = [{ session: id }, { room: 'lobby' }, { rooms: ['lobby', client.id], except: [guest.id] }, { room: guest.id }]
    const texts = ['before the broadcast', 'broadcast', 'after the broadcast']
    await nodes[0].publish('lobby', 'news', texts[0])
    const told = await nodes[0].api('broadcast', { to, event: 'news', args: [texts[1]] })
    assert.deepEqual(told, { sessions: PER_NODE, cluster: 'sent' })
    await nodes[0].publish('lobby', 'news', texts[2])
    for (const hearer of [client, guest, socketOf(1)]) {
      await hearer.saw(['event', 'news', texts[2]])
      const heard = hearer.entries('event', 'news').map(([, , text]) => text).filter((text) => texts.includes(text))
      assert.deepEqual(heard, texts)
    }
  })

  test('the server asks, and is answered at once', async () => {
    const start = Date.now()
    const fetched = async (call) => (await peer.call('fetchSockets', call)).map(({ id }) => id).sort()
    assert.deepEqual(await fetched({ to: ['lobby'] }), [guest.id, socketOf(0).id, socketOf(1).id].sort())
    const bytes = Buffer.from([9])
    const asked = await peer.call('ask', { to: ['lobby'], event: ['question', bytes], timeout: 2_000 })
    assert.deepEqual([asked.error, asked.answers.length], [null, 3])
    const said = await peer.call('serverSideAsk', { event: ['hello', 1] })
    assert.deepEqual(said, { error: null, answers: [null, null] })
    assert.ok(Date.now() - start < 3 * AT_ONCE, 'no time-out')
  })

  test('orders go both ways', async () => {
    const inRoom = async (room) => (await peer.call('fetchSockets', { to: [room] })).length
    await peer.call('socketsJoin', { to: ['lobby'], rooms: ['r1'] })
    await until('joining', async () => (await inRoom('r1')) === 3)
    await peer.call('socketsLeave', { to: ['r1'], rooms: ['r1'] })
    await until('leaving', async () => (await inRoom('r1')) === 0)
    await nodes[0].api('join', { to: { room: 'lobby' }, room: 'r2' })
    await until('joining by the server API', async () => (await inRoom('r2')) === 3)
    await nodes[1].api('leave', { to: { room: 'lobby' }, room: 'r2' })
    await until('leaving by the server API', async () => (await inRoom('r2')) === 0)
    const late = connect('4.8.4', nodes[0].url, { transports: 'websocket' })
    await late.connected()
    await peer.call('disconnectSockets', { to: [late.id], close: true })
    assert.match(await late.disconnected(), /^(io server disconnect|transport close)$/)
    const later = connect('4.8.4', peer.url, { transports: 'websocket' })
    await later.connected()
    await nodes[0].api('disconnect', { to: { room: later.id } })
    assert.match(await later.disconnected(), /^(io server disconnect|transport close)$/)
  })

  test('recorded entries reach a gateway as they reach the Node server', async () => {
    const events = ['all', 'room', 'two', 'ack', 'f', 'x', 'e']
    const pair = [nodes[0].url, peer.url].map((url) => connect('4.8.4', url, { transports: 'websocket', events }))
    for (const client of pair) {
      await client.connected()
      assert.deepEqual(await client.ask('join', 'room(1)'), [true])
      client.transcript.length = 0
    }
    for (const { cmd, args } of recording('adapter-redis-streams-adapter_0.3.1')) {
      // After an order to end nobody would hear anything.
      if (cmd !== 'XADD' || args.includes('6')) continue
      await redis.command('XADD', ...args.slice(0, -1), inAnyRoom(args.at(-1)))
    }
    await peer.call('emit', { event: ['message', 'the end of the recording'] })
    const seen = []
    for (const client of pair) {
      await client.saw(['event', 'message', 'the end of the recording'])
      seen.push(client.entries('event'))
      client.close()
    }
    assert.ok(seen[1].length > 3)
    assert.deepEqual(seen[0], seen[1])
  })

  test('what is no entry is dropped and counted', async () => {
    const before = await metric(nodes[0], 'received_total', { outcome: 'malformed' })
    await redis.command('XADD', 'socket.io', '*', 'anything', 'else')
    await redis.command('XADD', 'socket.io', '*', 'uid', UID, 'nsp', '/', 'type', '3', 'data', '?')
    await redis.command('XADD', 'socket.io', '*', 'uid', UID, 'nsp', '/', 'type', '3', 'data', '{"packet":1}')
    await nodes[0].gateway.counted('polyport_backplane_received_total', { outcome: 'malformed' }, (count) => count === before + 3)
    await add(redis, 'socket.io', { event: ['news', 'goes on'] })
    await socketOf(0).saw(['event', 'news', 'goes on'])
  })

  test('whoever publishes to KEY#emitter is heard', async () => {
    await redis.command('PUBLISH', 'socket.io#emitter', '{"data":["news","without an adapter"],"room":"lobby"}')
    for (const index of [0, 1]) await socketOf(index).saw(['event', 'news', 'without an adapter'])
  })
})

test('several streams are those of the adapter', async () => {
  const redis = await RedisServer.start()
  const backplaneOfThree = { ...backplane({ streams: { count: 3 } }), url: redis.url }
  const nodes = await Promise.all([1, 2].map(() => GatewayServer.start({ config: { backplane: backplaneOfThree } })))
  const peer = await ServerPeer.start(STREAMS, redis, { options: { streamCount: 3 } })
  const clients = nodes.map(({ url }) => connect('4.8.4', url, { transports: 'websocket', events: ['x'] }))
  for (const client of clients) await client.connected()
  // The hash of the last one is negative: other servers do not hear what the adapter publishes there.
  for (const name of ['/', '/admin', '/room-kitchen']) {
    const there = clients.map((client) => (name === '/' ? client : client.namespace(name, { events: ['x'] })))
    for (const client of there) await client.connected()
    const realm = name === '/' ? 'default' : `default${name}`
    await nodes[0].api('publish', { to: { realm, everyone: true }, event: 'x', args: ['gateway'] })
    await peer.call('emit', { of: name, event: ['x', 'peer'] })
    for (const client of there) {
      for (const text of ['gateway', 'peer']) await client.saw(['event', 'x', text])
      assert.equal(client.entries('event', 'x').length, 2)
    }
  }
  const keys = (await redis.command('KEYS', 'socket.io-*')).sort()
  assert.deepEqual(keys, ['socket.io--2', 'socket.io-1', 'socket.io-2'])
  for (const client of clients) client.close()
  for (const server of [peer, ...nodes]) await server.stop()
  await redis.stop()
})

describe('outages', { concurrency: 2 }, () => {
  /** Two nodes, with a client of telnet and one of Socket.IO on each. */
  async function pair(redis, more) {
    const nodes = await Promise.all([1, 2].map(() => startNode(redis, { backplane: backplane(more) })))
    const all = await Promise.all(nodes.map((node, index) => clientsOf(node, `node ${index + 1}`)))
    const clients = all.flat().filter(({ name }) => /tcp|socket-io/.test(name))
    const stop = async () => {
      for (const client of all.flat()) client.close()
      for (const node of nodes) await node.stop()
      await redis.stop()
    }
    return { nodes, clients, stop }
  }

  const from = (client, name) => client.heard.filter((text) => text.startsWith(`${name} `))

  test('Redis is restarted while both publish: nothing is lost, doubled or out of order', async () => {
    const redis = await RedisServer.start(LASTING)
    const { nodes, clients, stop } = await pair(redis)
    const words = new Set()
    let published = 0
    const publishing = nodes.map(async (node, index) => {
      for (const data of numbers(MANY, `node${index}`)) {
        const { sessions, cluster } = await node.api('publish', { to: { room: 'lobby' }, event: 'message', data })
        assert.equal(sessions, PER_NODE)
        words.add(cluster)
        published += 1
      }
    })
    for (const share of [0.25, 0.5, 0.75]) {
      await until('some of them', () => published >= share * 2 * MANY, 3 * LIMIT)
      await redis.kill()
      const during = published
      await until('some while Redis is away', () => published >= during + 50, 3 * LIMIT)
      await redis.spawn()
    }
    await Promise.all(publishing)
    for (const client of clients) {
      for (const index of [0, 1]) {
        const name = `node${index}`
        await until(() => `all of ${name} at ${client.name}: ${from(client, name).length}`, () => from(client, name).length >= MANY, 3 * LIMIT)
      }
    }
    for (const node of nodes) await node.publish('lobby', 'message', 'the end')
    for (const client of clients) {
      await until('the end', () => client.heard.filter((text) => text === 'the end').length === 2)
      for (const index of [0, 1]) assert.deepEqual(from(client, `node${index}`), numbers(MANY, `node${index}`), client.name)
    }
    assert.deepEqual([...words], ['sent'])
    for (const node of nodes) {
      assert.equal(await metric(node, 'gaps_total'), 0)
      assert.equal(await metric(node, 'published_total', { outcome: 'not_sent' }), 0)
    }
    await stop()
  })

  test('Redis does not answer for a while: nothing is lost or doubled', async () => {
    const redis = await RedisServer.start()
    const { nodes, clients, stop } = await pair(redis)
    let isOver = false
    let count = 0
    const publishing = (async () => {
      for (; !isOver; count += 1) await nodes[0].publish('lobby', 'message', `held ${count} ${'x'.repeat(500)}`)
    })()
    await until('some of them', () => count > 100)
    redis.pause()
    const held = count
    for (const node of nodes) await until('the loss', async () => (await metric(node, 'up')) === 0)
    assert.ok(count > held, 'publishing goes on')
    redis.resume()
    for (const node of nodes) await until('the link', async () => (await metric(node, 'up')) === 1)
    const back = count
    await until('some more', () => count > back + 100)
    isOver = true
    await publishing
    const seen = (client) => from(client, 'held').map((text) => text.split(' ')[1])
    for (const client of clients) {
      await until(() => `all at ${client.name}: ${seen(client).length}`, () => seen(client).length >= count)
      assert.deepEqual(seen(client), Array.from({ length: count }, (_, index) => String(index)), client.name)
    }
    await stop()
  })

  test('connections are cut while a Node server and a gateway publish: nothing is lost or doubled', async () => {
    const redis = await RedisServer.start()
    const { nodes, clients, stop } = await pair(redis)
    const peer = await ServerPeer.start(STREAMS, redis)
    let isOver = false
    const publishing = Promise.all([
      (async () => {
        for (const text of numbers(MANY, 'peer')) await peer.publish('lobby', 'message', text)
      })(),
      (async () => {
        for (const text of numbers(MANY, 'gateway')) await nodes[0].publish('lobby', 'message', text)
      })(),
    ]).finally(() => {
      isOver = true
    })
    let cuts = 0
    while (!isOver) {
      const links = await Promise.all(nodes.map((node) => metric(node, 'links_total')))
      if ((await cut(redis)) > 0) cuts += 1
      await until('the links', async () => {
        const now = await Promise.all(nodes.map((node) => metric(node, 'links_total')))
        return isOver || now.every((count, index) => count > links[index])
      })
    }
    await publishing
    assert.ok(cuts > 1)
    for (const client of clients) {
      for (const name of ['peer', 'gateway']) {
        await until(() => `all of ${name} at ${client.name}: ${from(client, name).length}`, () => from(client, name).length >= MANY)
      }
    }
    await peer.publish('lobby', 'message', 'the end')
    for (const client of clients) {
      await until('the end', () => client.heard.includes('the end'))
      for (const name of ['peer', 'gateway']) assert.deepEqual(from(client, name), numbers(MANY, name), client.name)
    }
    await peer.stop()
    await stop()
  })

  test('what a stream has lost before it was read is counted, and what is left is delivered', async () => {
    const redis = await RedisServer.start()
    // The shortest there is: nobody looks for a loss where there was no time for filling the stream.
    const { nodes, clients, stop } = await pair(redis, { streams: { length: 100 } })
    const [late, early] = [1, 2].map((number) => clients.find(({ name }) => name === `node ${number}/socket-io`))
    await add(redis, 'socket.io', { rooms: ['lobby'], event: ['message', 'before'] })
    await until('the one before', () => late.heard.includes('before'))
    const goOn = await hold(nodes[0].gateway.child)
    for (const text of numbers(50, 'late')) await add(redis, 'socket.io', { rooms: ['lobby'], event: ['message', text] })
    await until('the last on the other node', () => early.heard.includes('late 49'))
    await redis.command('XTRIM', 'socket.io', 'MAXLEN', '10')
    goOn()
    await until('the last', () => late.heard.includes('late 49'))
    // If it waited for more when it was held, Redis has given it the first one, which is a gap by itself: what was read before
    // that is gone, too.
    const first = from(late, 'late').filter((text) => text === 'late 0')
    assert.deepEqual(from(late, 'late'), [...first, ...numbers(50, 'late').slice(40)])
    assert.equal(await metric(nodes[0], 'gaps_total'), 1 + first.length)
    await nodes[0].gateway.logged(/a stream has lost something/)
    assert.deepEqual(from(early, 'late'), numbers(50, 'late'))
    assert.equal(await metric(nodes[1], 'gaps_total'), 0)
    await stop()
  })

  test('Redis comes back empty: what it had not given back is added again', async () => {
    const redis = await RedisServer.start()
    const { nodes, clients, stop } = await pair(redis)
    await nodes[0].publish('lobby', 'message', 'before')
    for (const client of clients) await until('the one before', () => client.heard.includes('before'))
    await redis.kill()
    await until('the loss', async () => (await metric(nodes[0], 'up')) === 0)
    const { cluster } = await nodes[0].api('publish', { to: { room: 'lobby' }, event: 'message', data: 'meanwhile' })
    assert.equal(cluster, 'sent')
    const here = clients.filter(({ name }) => name.startsWith('node 1'))
    for (const client of here) await until('the one meanwhile', () => client.heard.includes('meanwhile'))
    await redis.spawn()
    for (const client of clients) await until('the one meanwhile', () => client.heard.includes('meanwhile'))
    await nodes[1].publish('lobby', 'message', 'after')
    for (const client of clients) {
      await until('the one after', () => client.heard.includes('after'))
      assert.deepEqual(client.heard.slice(-3), ['before', 'meanwhile', 'after'])
    }
    for (const node of nodes) assert.equal(await metric(node, 'gaps_total'), 1)
    await stop()
  })

  test('Redis is out of memory, and more waits than may: events stay here, in order', async () => {
    const redis = await RedisServer.start()
    const { nodes, clients, stop } = await pair(redis, { queue: '64KiB' })
    const here = clients.filter(({ name }) => name.startsWith('node 1'))
    await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
    await redis.command('CONFIG', 'SET', 'maxmemory', '1')
    for (const text of numbers(10, 'full')) await nodes[0].publish('lobby', 'message', text)
    for (const client of here) await until('those of a full Redis', () => from(client, 'full').length === 10)
    await nodes[0].gateway.counted('polyport_backplane_published_total', { outcome: 'not_sent' }, (count) => count === 10)
    await nodes[0].gateway.logged(/Redis does not take what is published/)
    await redis.command('CONFIG', 'SET', 'maxmemory', '0')
    await redis.kill()
    await until('the loss', async () => (await metric(nodes[0], 'up')) === 0)
    const filler = 'x'.repeat(2_000)
    const answers = []
    for (const text of numbers(100, 'away')) {
      answers.push((await nodes[0].api('publish', { to: { room: 'lobby' }, event: 'message', data: `${text} ${filler}` })).cluster)
    }
    const kept = answers.filter((word) => word === 'sent').length
    assert.ok(kept > 10 && kept < 100, `${kept} were kept`)
    for (const client of here) {
      await until('all here', () => from(client, 'away').length === 100)
      assert.deepEqual(from(client, 'away').map((text) => text.split(' ')[1]), Array.from({ length: 100 }, (_, index) => String(index)))
      assert.deepEqual(from(client, 'full'), numbers(10, 'full'))
    }
    await redis.spawn()
    const there = clients.filter(({ name }) => name.startsWith('node 2'))
    for (const client of there) {
      await until('those that were kept', () => from(client, 'away').length === kept)
      assert.deepEqual(from(client, 'full'), [])
    }
    await stop()
  })

  test('on a Cluster, whose primary fails', async () => {
    const redis = await RedisCluster.start()
    const { nodes, clients, stop } = await pair(redis)
    const everybody = async (text) => {
      await nodes[0].publish('lobby', 'message', text)
      for (const client of clients) await until(() => `${text} at ${client.name}`, () => client.heard.includes(text), 3 * LIMIT)
    }
    await everybody('before')
    await redis.failover('socket.io')
    await everybody('after')
    for (const client of clients) assert.deepEqual(client.heard.slice(-2), ['before', 'after'])
    await stop()
  })
})
