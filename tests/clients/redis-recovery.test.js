'use strict'
// A client that is lost on one server comes back to another, gateway or Node, as who it was, and has missed nothing.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const jwt = require('jsonwebtoken')
const { connectedSocket, openSocket } = require('./lib/engine-io')
const { RedisCluster, RedisServer } = require('./lib/redis')
const { backplaneOf } = require('./lib/redis-gateways')
const { ServerPeer } = require('./lib/redis-peers')
const { connect } = require('./lib/socket-io')
const { GatewayServer } = require('./lib/socket-io-servers')
const { until, LIMIT } = require('./lib/wait')
const { Wire } = require('./lib/wire')

process.on('unhandledRejection', () => {})

const STREAMS = '4.8.4 + @socket.io/redis-streams-adapter 0.3.1'
const SECRET = 'secret-of-the-socket-io-suites-0123456789'
const EACH = 10

const startGateway = (redis, { socketIo, backplane, config, ...more } = {}) =>
  GatewayServer.start({
    socketIo: { recovery: '2m', ...socketIo },
    config: { backplane: backplaneOf(redis, { engine: 'redis-streams', ...backplane }), ...config },
    ...more,
  })

const startPeer = (redis) => ServerPeer.start(STREAMS, redis, { server: { connectionStateRecovery: {} } })

const metric = async (server, name, labels = {}) => (await server.gateway.metrics()).sum(name, { listener: 'messaging', ...labels })

const counted = (server, name, labels, value, limit) =>
  until(`${value} of ${name}`, async () => (await metric(server, name, labels)) === value, limit)

/** A client in a room, on a wire that can be cut and led elsewhere. */
async function enter(server, room) {
  const wire = await Wire.lay(server.port)
  const client = connect('4.8.4', wire.url, { transports: 'websocket', reconnection: true, events: ['own'] })
  await client.connected()
  assert.deepEqual(await client.ask('join', room), [true])
  const { id } = client
  let connections = 1
  return {
    client,
    id,
    get pid() {
      return client.socket._pid
    },
    get heard() {
      return client.entries('event', 'news').map(([, , text]) => text)
    },
    heardAll: (texts) => until(
      () => `${texts}; ${client.describe()}`,
      () => texts.every((text) => client.entries('event', 'news', text).length > 0),
    ),
    async lose() {
      wire.cut()
      await client.disconnected(connections)
    },
    async comeBack(to) {
      wire.lead(to.port)
      wire.mend()
      connections += 1
      await client.connected(connections)
    },
    close() {
      client.close()
      wire.close()
    },
  }
}

/** The raw CONNECT of a client that had a session. */
async function claim(port, payload) {
  const socket = await openSocket(port)
  await socket.text(`40${JSON.stringify(payload)}`)
  return { socket, ...JSON.parse((await socket.nextText()).slice(2)) }
}

const args = (text) => JSON.parse(text.slice(2))

const PREFIX = 'sio:session:'

const kept = (redis, pid, prefix = PREFIX) =>
  until('the session to be kept', async () => (await redis.command('EXISTS', `${prefix}${pid}`)) === 1)

/** A raw client that has one event of a room and is lost; what it needs to come back. */
async function lost(redis, server, room, { token } = {}) {
  const socket = token ? await openSocket(server.port) : await connectedSocket(server.port)
  if (token) await socket.text(`40${JSON.stringify({ token })}`)
  const welcome = token ? await socket.nextText() : socket.welcome
  const { sid, pid } = JSON.parse(welcome.slice(2))
  await socket.text(`420["join","${room}"]`)
  assert.equal(await socket.nextText(), '430[true]')
  await server.publish(room, 'news', 'seen')
  const [, text, offset] = args(await socket.nextText())
  assert.equal(text, 'seen')
  assert.match(offset, /^\d+-\d+$/)
  socket.close()
  await kept(redis, pid)
  return { sid, pid, offset }
}

describe('two gateways and a Node server', () => {
  let redis
  let servers

  before(async () => {
    redis = await RedisServer.start()
    const [one, other, node] = await Promise.all([startGateway(redis), startGateway(redis), startPeer(redis)])
    servers = { one, other, node }
  })
  after(async () => {
    for (const server of Object.values(servers ?? {})) await server.stop()
    await redis?.stop()
    assert.deepEqual(servers?.node.exceptions, [])
  })

  const ways = [
    ['one', 'one'], ['one', 'other'], ['one', 'node'], ['node', 'one'], ['node', 'node'],
  ]
  for (const [from, to] of ways) {
    test(`lost on ${from}, and back on ${to} with everything`, async () => {
      const room = `from ${from} to ${to}`
      const guest = await enter(servers[from], room)
      await servers[from].publish(room, 'news', 'before')
      await guest.heardAll(['before'])
      await guest.lose()
      await kept(redis, guest.pid)
      const texts = (name) => Array.from({ length: EACH }, (_, number) => `${name} ${number}`)
      await Promise.all(Object.entries(servers).map(async ([name, server]) => {
        for (const text of texts(name)) await server.publish(room, 'news', text)
      }))
      await guest.comeBack(servers[to])
      assert.equal(guest.client.id, guest.id)
      assert.equal(guest.client.socket.recovered, true)
      for (const [name, server] of Object.entries(servers)) await server.publish(room, 'news', `${name} after`)
      await guest.heardAll(Object.keys(servers).map((name) => `${name} after`))
      assert.equal(guest.heard.length, 1 + 3 * (EACH + 1), guest.client.describe())
      for (const name of Object.keys(servers)) {
        const own = guest.heard.filter((text) => text.startsWith(`${name} `))
        assert.deepEqual(own, [...texts(name), `${name} after`])
      }
      assert.equal((await guest.client.exchange('echo', ['still']))[0], 'still')
      guest.close()
    })
  }

  test('from server to server, while others talk on: once and in order', async () => {
    const guest = await enter(servers.one, 'wanderers')
    const witness = await enter(servers.node, 'wanderers')
    let number = 0
    let isOver = false
    const talking = (async () => {
      while (!isOver) {
        await servers.other.publish('wanderers', 'news', number)
        number += 1
      }
    })()
    await guest.heardAll([0])
    // What is said while the adapter of Node looks for what was missed may come twice from there, or not at all.
    const unsure = []
    for (const name of ['other', 'node', 'one', 'other', 'one', 'node', 'other']) {
      await guest.lose()
      await kept(redis, guest.pid)
      const begun = number
      await until('more to be said', () => number > begun + EACH)
      if (name === 'node') await witness.heardAll([begun + EACH])
      await guest.comeBack(servers[name])
      const last = number
      assert.deepEqual([guest.client.id, guest.client.socket.recovered], [guest.id, true], name)
      if (name === 'node') unsure.push([begun + EACH + 1, last])
      await guest.heardAll([last + 1])
    }
    isOver = true
    await talking
    await guest.heardAll([number - 1])
    const isSure = (it) => unsure.every(([first, last]) => it < first || it > last)
    assert.deepEqual(guest.heard.filter(isSure), Array.from({ length: number }, (_, index) => index).filter(isSure))
    witness.close()
    guest.close()
  })

  test('whoever had it ends it silently, and presence shows it once', async () => {
    const parked = (value, limit) => counted(servers.one, 'polyport_sessions_parked', {}, value, limit)
    const before = await metric(servers.one, 'polyport_sessions_parked')
    const shown = async () => (await servers.other.api('presence?room=shown')).count
    const one = await lost(redis, servers.one, 'shown')
    await parked(before + 1)
    await until('it to be shown', async () => (await shown()) === 1)
    const back = await claim(servers.other.port, one)
    assert.equal(back.sid, one.sid)
    await parked(before)
    assert.equal(await servers.one.publish('shown', 'news', 'after'), 0)
    assert.deepEqual(args(await back.socket.nextText()).slice(0, 2), ['news', 'after'])
    await until('it to be shown once', async () => (await shown()) === 1)
    await back.socket.text('41')
    back.socket.close()
    await until('it to be gone', async () => (await shown()) === 0)

    // A Node server says nothing when it takes a session.
    const another = await lost(redis, servers.one, 'shown')
    await parked(before + 1)
    const elsewhere = await claim(servers.node.port, another)
    assert.equal(elsewhere.sid, another.sid)
    await parked(before, 2 * LIMIT)
    elsewhere.socket.close()
  })

  test('a pid is good once, wherever it is shown', async () => {
    const one = await lost(redis, servers.one, 'once')
    const first = await claim(servers.other.port, one)
    assert.equal(first.sid, one.sid)
    const second = await claim(servers.one.port, one)
    assert.notEqual(second.sid, one.sid)
    const third = await claim(servers.other.port, one)
    assert.notEqual(third.sid, one.sid)
    for (const { socket } of [first, second, third]) socket.close()

    const other = await lost(redis, servers.one, 'once')
    const claims = await Promise.all([servers.one, servers.other, servers.one, servers.other].map(({ port }) => claim(port, other)))
    assert.equal(claims.filter(({ sid }) => sid === other.sid).length, 1)
    for (const { socket } of claims) socket.close()
  })

  test('what nobody knows any more makes a new session', async () => {
    for (const offset of ['zz', '', '1-1', '99999999999999-0', undefined]) {
      const { sid, pid } = await lost(redis, servers.node, 'unknown')
      const back = await claim(servers.one.port, { pid, offset })
      assert.equal(typeof back.sid, 'string')
      assert.notEqual(back.sid, sid, offset)
      back.socket.close()
    }
    const nobody = await claim(servers.one.port, { pid: 'AAAAAAAAAAAAAAAAAAAA', offset: '1-1' })
    assert.notEqual(nobody.pid, 'AAAAAAAAAAAAAAAAAAAA')
    nobody.socket.close()
  })

  test('who is sent away while lost is new everywhere', async () => {
    const one = await lost(redis, servers.one, 'away')
    await servers.other.api('disconnect', { to: { room: 'away' } })
    await until('it to be kept no longer', async () => (await redis.command('EXISTS', `${PREFIX}${one.pid}`)) === 0)
    const back = await claim(servers.other.port, one)
    assert.notEqual(back.sid, one.sid)
    back.socket.close()
  })

  test('exceptions, other rooms, other namespaces and volatile events are not missed', async () => {
    const one = await lost(redis, servers.one, 'choosy')
    const { node, other } = servers
    await node.call('emit', { to: ['elsewhere'], event: ['news', 'no: another room'] })
    await node.call('emit', { of: '/admin', event: ['news', 'no: another namespace'] })
    await node.call('emit', { to: ['choosy'], except: [one.sid], event: ['news', 'no: excepted'] })
    await node.call('emit', { to: ['choosy'], flags: ['volatile'], event: ['news', 'no: volatile'] })
    await node.call('emit', { event: ['news', 'everybody'] })
    await other.api('publish', { to: { room: one.sid }, event: 'news', args: ['you alone'] })
    await node.call('emit', { to: ['choosy', 'elsewhere'], event: ['bin', Buffer.from([0, 255])] })
    await until('all to be in the stream', async () => {
      const entries = await redis.command('XRANGE', 'socket.io', one.offset, '+')
      return JSON.stringify(entries).includes('you alone') && entries.at(-1)[1].at(-1).startsWith('g')
    })
    const back = await claim(other.port, one)
    assert.equal(back.sid, one.sid)
    const texts = []
    for (let count = 0; count < 3; count += 1) texts.push(await back.socket.nextText())
    const heard = texts.map((text) => (text.startsWith('451-') ? 'binary' : args(text)[1]))
    assert.deepEqual(heard.sort(), ['binary', 'everybody', 'you alone'])
    back.socket.close()
  })

  test('what is said to one session alone has offsets that tell it apart here and are places elsewhere', async () => {
    const one = await lost(redis, servers.one, 'alone')
    const back = await claim(servers.one.port, one)
    assert.equal(back.sid, one.sid)
    const offsets = []
    for (const number of [0, 1, 2, 3]) {
      await back.socket.text(`42["echo",${number}]`)
      offsets.push(args(await back.socket.nextText()).at(-1))
    }
    assert.equal(new Set(offsets).size, 4)
    const place = (offset) => offset.split('-').map(Number).join('-')
    for (const offset of offsets) assert.match(offset, /^\d+-\d+$/)
    back.socket.close()
    await kept(redis, one.pid)
    const again = await claim(servers.one.port, { pid: one.pid, offset: offsets[1] })
    assert.equal(again.sid, one.sid)
    for (const number of [2, 3]) assert.equal(args(await again.socket.nextText())[1], number)
    again.socket.close()
    await kept(redis, one.pid)
    const found = await redis.command('XRANGE', 'socket.io', offsets[3], offsets[3])
    assert.deepEqual(found.map(([id]) => id), [place(offsets[3])])
    const elsewhere = await claim(servers.node.port, { pid: one.pid, offset: offsets[3] })
    assert.equal(elsewhere.sid, one.sid)
    elsewhere.socket.close()
  })

  test('nobody becomes somebody by what a Node server has kept', async () => {
    const guest = await enter(servers.node, 'user(7)')
    assert.deepEqual(await guest.client.ask('join', 'plain'), [true])
    await servers.node.publish('plain', 'news', 'before')
    await guest.heardAll(['before'])
    await servers.node.call('setData', { socket: guest.id, data: { kept: [1, 'x'] } })
    await guest.lose()
    await kept(redis, guest.pid)
    await guest.comeBack(servers.one)
    assert.equal(guest.client.id, guest.id)
    await servers.node.publish('user(7)', 'news', 'secret')
    await servers.node.publish('plain', 'news', 'after')
    await guest.heardAll(['after'])
    assert.deepEqual(guest.heard, ['before', 'after'])
    await guest.lose()
    await kept(redis, guest.pid)
    await guest.comeBack(servers.node)
    const sockets = await servers.node.call('fetchSockets', { to: ['plain'] })
    assert.deepEqual(sockets.find(({ id }) => id === guest.id).data, { kept: [1, 'x'] })
    guest.close()
  })
})

describe('what is said just when a client comes back', () => {
  const END = 'the end'
  // What the server asks on the connection by which it reads on, and where it looks for what a client has missed.
  const READING = 'XREAD'
  const FINDING = '\r\n$1\r\n+\r\n'

  /**
   * What a client hears that comes from one Node server, which says something just then, to another server, which waits for
   * an answer of Redis meanwhile that is held.
   */
  async function heardOn(start, held) {
    const redis = await RedisServer.start()
    const wire = await Wire.lay(redis.port)
    const address = { ...redis.address, port: wire.server.address().port }
    const [server, speaker] = await Promise.all([start({ address }), startPeer(redis)])
    const one = await lost(redis, speaker, 'news')
    const witness = await connectedSocket(server.port)
    await witness.text('420["join","news"]')
    assert.equal(await witness.nextText(), '430[true]')
    const socket = await openSocket(server.port)
    const comeBack = () => socket.text(`40${JSON.stringify(one)}`)
    const isHeld = wire.hold(held)
    if (held === READING) {
      // The answer for which it waits already is this.
      await speaker.publish('elsewhere', 'news', 'to read on behind')
      await speaker.publish('news', 'news', 'just then')
      await isHeld
      await comeBack()
    } else {
      await comeBack()
      await isHeld
      await speaker.publish('news', 'news', 'just then')
      assert.equal(args(await witness.nextText())[1], 'just then')
      wire.release()
    }
    const heard = []
    let sid
    while (heard.at(-1) !== END) {
      const text = await socket.nextText()
      if (text.startsWith('42')) heard.push(args(text)[1])
      if (!text.startsWith('40')) continue
      ({ sid } = JSON.parse(text.slice(2)))
      wire.release()
      await speaker.publish('news', 'news', END)
    }
    assert.equal(sid, one.sid)
    for (const client of [socket, witness]) client.close()
    for (const it of [server, speaker]) await it.stop()
    wire.close()
    await redis.stop()
    return heard
  }

  for (const [name, held] of Object.entries({ 'read late': READING, 'found late': FINDING })) {
    test(`${name}: a gateway says it once`, async () => {
      assert.deepEqual(await heardOn(startGateway, held), ['just then', END])
    })
  }

  // Its adapter does not compare what it finds in the stream for a client with what it reads there for everybody.
  test('read late: a Node server says it twice, with no gateway near', async () => {
    assert.deepEqual(await heardOn(startPeer, READING), ['just then', 'just then', END])
  })

  test('found late: a Node server does not say it, with no gateway near', async () => {
    assert.deepEqual(await heardOn(startPeer, FINDING), [END])
  })
})

test('a gateway that is killed leaves its lost clients to the others', async () => {
  const redis = await RedisServer.start()
  const [one, other] = await Promise.all([startGateway(redis), startGateway(redis)])
  const guest = await enter(one, 'news')
  // It has heard nothing yet: where it has begun is kept.
  await guest.lose()
  await kept(redis, guest.pid)
  await other.publish('news', 'news', 'first')
  one.gateway.child.kill('SIGKILL')
  await one.gateway.ended
  await other.publish('news', 'news', 'second')
  await guest.comeBack(other)
  await guest.heardAll(['first', 'second'])
  assert.deepEqual([guest.client.id, guest.client.socket.recovered], [guest.id, true])
  assert.deepEqual(guest.heard, ['first', 'second'])
  await counted(other, 'polyport_recoveries_total', { result: 'recovered' }, 1)
  guest.close()
  await other.stop()
  await redis.stop()
})

test('a gateway that is restarted has its clients again, and others have them meanwhile', async () => {
  const redis = await RedisServer.start()
  const [one, other] = await Promise.all([startGateway(redis), startGateway(redis)])
  const loyal = connect('4.8.4', one.url, { transports: 'websocket', reconnection: true })
  const polling = connect('4.8.4', one.url, { transports: 'polling', reconnection: true })
  for (const client of [loyal, polling]) {
    await client.connected()
    assert.deepEqual(await client.ask('join', 'news'), [true])
  }
  const guest = await enter(one, 'news')
  await other.publish('news', 'news', 'before')
  await guest.heardAll(['before'])
  for (const client of [loyal, polling]) await client.saw(['event', 'news', 'before'])
  const ids = [loyal.id, polling.id]
  const restarting = one.restart()
  await guest.client.disconnected()
  await other.publish('news', 'news', 'meanwhile')
  await kept(redis, guest.pid)
  await guest.comeBack(other)
  await restarting
  for (const [index, client] of [loyal, polling].entries()) {
    await client.connected(2)
    assert.deepEqual([client.id, client.socket.recovered], [ids[index], true])
  }
  await other.publish('news', 'news', 'after')
  await guest.heardAll(['meanwhile', 'after'])
  assert.deepEqual([guest.client.id, guest.client.socket.recovered], [guest.id, true])
  assert.deepEqual(guest.heard, ['before', 'meanwhile', 'after'])
  for (const client of [loyal, polling]) {
    await client.saw(['event', 'news', 'after'])
    assert.deepEqual(client.entries('event', 'news').map(([, , text]) => text), guest.heard)
    client.close()
  }
  guest.close()
  for (const server of [one, other]) await server.stop()
  await redis.stop()
})

test('without Redis a client comes back to the same node; to another one it is new', async () => {
  const redis = await RedisServer.start()
  const [one, other] = await Promise.all([startGateway(redis), startGateway(redis)])
  const guests = await Promise.all([enter(one, 'news'), enter(one, 'news')])
  await one.publish('news', 'news', 'before')
  for (const guest of guests) await guest.heardAll(['before'])
  await redis.kill()
  for (const guest of guests) await guest.lose()
  await counted(one, 'polyport_sessions_parked', {}, 2)
  await one.publish('news', 'news', 'meanwhile')
  await guests[0].comeBack(one)
  await guests[1].comeBack(other)
  await guests[0].heardAll(['meanwhile'])
  assert.deepEqual(guests.map(({ client }) => client.socket.recovered), [true, false])
  for (const guest of guests) guest.close()
  for (const server of [one, other]) await server.stop()
})

test('an offset that the stream has dropped makes a new session', async () => {
  const redis = await RedisServer.start()
  const [one, other] = await Promise.all([startGateway(redis), startGateway(redis)])
  const gone = await lost(redis, one, 'news')
  await one.publish('news', 'news', 'later')
  await until('both to be in the stream', async () => (await redis.command('XLEN', 'socket.io')) === 2)
  await redis.command('XTRIM', 'socket.io', 'MAXLEN', '=', '1')
  const back = await claim(other.port, gone)
  assert.notEqual(back.sid, gone.sid)
  await counted(other, 'polyport_recoveries_total', { result: 'missed' }, 1)
  back.socket.close()
  for (const server of [one, other]) await server.stop()
  await redis.stop()
})

test('who a client is goes with it, for as long as its token says', async () => {
  const redis = await RedisServer.start()
  const guarded = {
    listener: { auth: { tokens: 'main', required: true, from: ['bearer'] } },
    config: { tokens: { main: { keys: [{ algorithm: 'HS256', secret: 'env:TEST_JWT_SECRET' }], leeway: '0s' } } },
    run: { env: { TEST_JWT_SECRET: SECRET } },
  }
  const [one, other, open] = await Promise.all([startGateway(redis, guarded), startGateway(redis, guarded), startGateway(redis)])
  const token = (expiresIn) => jwt.sign({ id: 1 }, SECRET, { expiresIn })
  const somebody = await lost(redis, one, 'news', { token: token(300) })
  const back = await claim(other.port, somebody)
  assert.equal(back.sid, somebody.sid)
  await other.publish('user(1)', 'news', 'to you')
  assert.equal(args(await back.socket.nextText())[1], 'to you')
  const { sessions } = await other.api('sessions?room=news')
  assert.equal(sessions[0].user, '1')
  back.socket.close()

  const brief = await lost(redis, one, 'news', { token: token(2) })
  one.gateway.child.kill('SIGKILL')
  await one.gateway.ended
  const end = Date.now() + 2_100
  await until('the token to have expired', () => Date.now() > end)
  const late = await claim(other.port, brief)
  assert.notEqual(late.sid, brief.sid)
  await counted(other, 'polyport_recoveries_total', { result: 'ended' }, 1)
  late.socket.close()

  // A session of nobody is not let in where everybody has to be somebody.
  const nobody = await lost(redis, open, 'open')
  const stranger = await claim(other.port, nobody)
  assert.notEqual(stranger.sid, nobody.sid)
  await counted(other, 'polyport_recoveries_total', { result: 'ended' }, 2)
  stranger.socket.close()
  for (const server of [other, open]) await server.stop()
  await redis.stop()
})

test('on a Cluster, with several streams and another prefix', async () => {
  const redis = await RedisCluster.start()
  const more = { backplane: { streams: { count: 3, session_prefix: 'elsewhere:' } } }
  const [one, other] = await Promise.all([startGateway(redis, more), startGateway(redis, more)])
  const guest = await enter(one, 'news')
  await one.publish('news', 'news', 'before')
  await guest.heardAll(['before'])
  await guest.lose()
  await kept(await redis.ownerOf(`elsewhere:${guest.pid}`), guest.pid, 'elsewhere:')
  await one.publish('news', 'news', 'meanwhile')
  await guest.comeBack(other)
  await guest.heardAll(['meanwhile'])
  assert.deepEqual([guest.client.id, guest.client.socket.recovered], [guest.id, true])
  assert.deepEqual(guest.heard, ['before', 'meanwhile'])
  guest.close()
  for (const server of [one, other]) await server.stop()
  await redis.stop()
})
