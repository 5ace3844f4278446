'use strict'
// Several gateways on one Redis as their server APIs show them: who is where on all nodes, what reaches sessions of other
// nodes, and how nodes that die are forgotten.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { FrameClient } = require('./lib/frame-client')
const { LineClient } = require('./lib/line-client')
const { RedisCluster, RedisServer } = require('./lib/redis')
const { connect } = require('./lib/socket-io')
const { GatewayServer, API_KEY } = require('./lib/socket-io-servers')
const { until, within, LIMIT } = require('./lib/wait')
const { verbsListener } = require('./lib/verbs')

const TIME_TO_LIVE = 1_500
// What is not renewed is kept for twenty times its node's time to live.
const KEPT = 20 * TIME_TO_LIVE
const NOBODY = '00000000-0000-4000-8000-000000000000'

class Node {
  static async start(backplane) {
    const node = new Node()
    node.server = await GatewayServer.start({
      config: {
        backplane: { engine: 'redis', time_to_live: `${TIME_TO_LIVE}ms`, ...backplane },
      },
      listener: { join: ['lobby'] },
      listeners: {
        tcp: verbsListener({ join: ['lobby'] }),
        pocket: { protocol: 'ws-channels', join: ['lobby'] },
        private: verbsListener({ realm: 'apart', join: ['lobby'] }),
      },
    })
    node.clients = []
    return node
  }

  get ports() {
    return this.server.gateway.ports
  }

  async ask(method, path, body) {
    const answer = await fetch(`http://127.0.0.1:${this.ports.admin}/api/${path}`, {
      method,
      headers: { authorization: `Bearer ${API_KEY}`, ...(body && { 'content-type': 'application/json' }) },
      body: body && JSON.stringify(body),
    })
    return { status: answer.status, body: await answer.json() }
  }

  async get(path) {
    const { status, body } = await this.ask('GET', path)
    assert.equal(status, 200, JSON.stringify(body))
    return body
  }

  async post(path, body) {
    const answer = await this.ask('POST', path, body)
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    return answer.body
  }

  async refuses(status, code, ...request) {
    const answer = await this.ask(...request)
    assert.deepEqual([answer.status, answer.body.error?.code], [status, code], JSON.stringify(answer.body))
  }

  /** How the others call it. */
  async name() {
    const { sessions } = await this.get('sessions?listener=tcp')
    const own = sessions.find(({ calls_in_flight: calls }) => calls !== null)
    return own.node
  }

  async telnet(name = 'tcp') {
    const client = await LineClient.open({ port: this.ports[name] })
    client.session = await client.id()
    this.clients.push(client)
    return client
  }

  async page() {
    const client = await FrameClient.open({ port: this.ports.pocket })
    this.clients.push(client)
    return client
  }

  async socket(version = '4.8.4') {
    const client = connect(version, this.server.url, { transports: 'websocket' })
    this.clients.push(client)
    await client.connected()
    return client
  }

  async close() {
    for (const client of this.clients) client.close()
    await this.server.gateway.kill()
  }
}

/** The sessions in a room as a node sees them, without doubt: no other node is still writing. */
async function present(node, room = 'lobby', query = '') {
  const answer = await node.get(`presence?room=${room}${query}`)
  return answer.complete ? answer : undefined
}

/** Waits until a room has so many members in the eyes of each node; gives their ids. */
async function members(nodes, count, room = 'lobby', limit = LIMIT) {
  let seen
  for (const node of nodes) {
    await until(
      () => `${count} in ${room}, there are ${JSON.stringify(seen)}`,
      async () => {
        seen = await present(node, room)
        return seen?.count === count
      },
      limit,
    )
  }
  return seen.members.map(({ session }) => session).sort()
}

/** All entries of a list, page by page. */
async function pages(node, path, list, limit) {
  const entries = []
  let next = ''
  for (;;) {
    const answer = await node.get(`${path}limit=${limit}${next && `&cursor=${next}`}`)
    assert.ok(answer[list].length <= limit)
    entries.push(...answer[list])
    if (answer.next === null) return entries
    next = answer.next
  }
}

const keys = (redis) => redis.command('KEYS', '*')

describe('three gateways as one', () => {
  let redis
  let nodes
  let telnets
  let socket
  let page

  before(async () => {
    redis = await RedisServer.start()
    nodes = await Promise.all([1, 2, 3].map(() => Node.start({ url: redis.url })))
    const [a, b, c] = nodes
    telnets = await Promise.all(nodes.map((node) => node.telnet()))
    page = await b.page()
    socket = await c.socket()
    await a.telnet('private')
    await members(nodes, 5)
  })
  after(async () => {
    await Promise.all((nodes ?? []).map((node) => node.close()))
    await redis?.stop()
  })

  test('a room has its members of all nodes, in one order, each with its node', async () => {
    const names = await Promise.all(nodes.map((node) => node.name()))
    assert.equal(new Set(names).size, 3)
    const lists = await Promise.all(nodes.map(async (node) => (await present(node)).members))
    assert.deepEqual(lists[1], lists[0])
    assert.deepEqual(lists[2], lists[0])
    const counts = names.map((name) => lists[0].filter(({ node }) => node === name).length)
    assert.deepEqual(counts, [1, 2, 2])
    const times = lists[0].map(({ since }) => since)
    assert.deepEqual(times, [...times].sort((one, other) => one - other))
    for (const [index, { session: id }] of telnets.entries()) {
      assert.equal(lists[0].find(({ session }) => session === id).node, names[index])
    }
    assert.deepEqual(await pages(nodes[0], 'presence?room=lobby&', 'members', 2), lists[0])
    assert.equal((await present(nodes[1], 'lobby', '&realm=apart')).count, 1)
    assert.equal((await present(nodes[1], 'nobody')).count, 0)
  })

  test('rooms and sessions are those of all nodes, page by page', async () => {
    for (const node of nodes) {
      const { rooms } = await node.get('rooms?prefix=lob')
      assert.deepEqual(rooms.map(({ name, members }) => [name, members]), [['lobby', 5]])
    }
    const [a, b] = nodes
    const all = (await a.get('sessions')).sessions
    assert.equal(all.length, 6)
    assert.deepEqual(all.map(({ id }) => id), all.map(({ id }) => id).sort())
    const ids = (list) => list.map(({ id }) => id)
    assert.deepEqual(ids(await pages(b, 'sessions?', 'sessions', 1)), ids(all))
    assert.deepEqual(ids((await b.get('sessions?room=lobby')).sessions), await members([b], 5))
    assert.deepEqual(ids((await b.get('sessions?listener=tcp')).sessions), telnets.map(({ session }) => session).sort())
    assert.equal((await b.get('sessions?protocol=socket-io&room=lobby')).sessions.length, 1)
    assert.equal((await b.get('sessions?realm=apart')).sessions.length, 1)
    const seen = await b.get(`sessions/${telnets[2].session}`)
    const own = await nodes[2].get(`sessions/${telnets[2].session}`)
    assert.deepEqual({ ...seen, calls_in_flight: 0 }, own)
    assert.deepEqual(seen.rooms, ['lobby'])
  })

  test('a room of many is listed whole', async () => {
    const [a, b, c] = nodes
    const rooms = Array.from({ length: 7 }, (_, index) => `many ${index}`)
    for (const [index, room] of rooms.entries()) await a.post('join', { to: { session: telnets[index % 3].session }, room })
    await a.post('join', { to: { session: telnets[2].session }, room: rooms[0] })
    for (const node of [a, b, c]) {
      await until('the rooms', async () => {
        const found = await pages(node, 'rooms?prefix=many%20&', 'rooms', 2)
        return found.length === 7 && found[0].members === 2
      })
    }
    const found = await pages(b, 'rooms?prefix=many%20&', 'rooms', 3)
    assert.deepEqual(found.map(({ name }) => name), rooms)
    for (const room of rooms) await b.post('leave', { to: { room }, room })
    for (const node of [a, b, c]) {
      await until('no such room', async () => (await node.get('rooms?prefix=many%20')).rooms.length === 0)
    }
  })

  test('what the API of one node says reaches sessions of the others', async () => {
    const [a] = nodes
    const { session: id } = telnets[1]
    assert.deepEqual(await a.post('publish', { to: { session: id }, event: 'message', data: 1 }), { sessions: 0, cluster: 'sent' })
    assert.match(await telnets[1].next(), /^\{"message":1,/)
    await a.post('join', { to: { session: id }, room: 'news' })
    await members(nodes, 1, 'news')
    await a.post('publish', { to: { room: 'news' }, event: 'message', data: 2 })
    assert.match(await telnets[1].next(), /^\{"message":2,"room":"news",/)
    await a.post('leave', { to: { room: 'news' }, room: 'news' })
    await members(nodes, 0, 'news')
    const [later] = await Promise.all([nodes[1].telnet()])
    await members(nodes, 6)
    await a.post('disconnect', { to: { session: later.session } })
    await later.ended()
    await members(nodes, 5)
  })

  test('telnet views the members of all nodes', async () => {
    const ids = await members(nodes, 5)
    for (const telnet of telnets) {
      const { data } = await telnet.ask('roomView lobby')
      assert.deepEqual([data.room, data.membersCount, Object.keys(data.members).sort()], ['lobby', 5, ids])
    }
  })

  test('a session that no node has is unknown on all', async () => {
    for (const node of nodes) {
      const to = { session: NOBODY }
      await node.refuses(404, 'unknown_session', 'GET', `sessions/${NOBODY}`)
      await node.refuses(404, 'unknown_session', 'POST', 'publish', { to, event: 'e' })
      await node.refuses(404, 'unknown_session', 'POST', 'broadcast', { to: [{ room: 'lobby' }, to], event: 'e' })
      await node.refuses(404, 'unknown_session', 'POST', 'join', { to, room: 'r' })
      await node.refuses(404, 'unknown_session', 'POST', 'disconnect', { to })
      await node.refuses(404, 'unknown_session', 'POST', 'call', { to, event: 'e' })
      const { results } = await node.post('batch', { commands: [{ leave: { to, room: 'r' } }] })
      assert.equal(results[0].error.code, 'unknown_session')
      await node.refuses(404, 'unknown_session', 'POST', 'publish', { to: { session: telnets[1].session, realm: 'apart' }, event: 'e' })
      await node.refuses(404, 'unknown_realm', 'GET', 'presence?room=lobby&realm=none')
    }
  })

  test('a client of another node is asked there', async () => {
    const [a, b] = nodes
    const { sessions: [{ id }] } = await a.get('sessions?protocol=socket-io')
    const to = { session: id }
    const args = [{ base64: true, data: 'AP8=' }, 'how?']
    for (const node of nodes) {
      assert.deepEqual(await node.post('call', { to, event: 'question', args }), { args: ['fine', { n: 1 }] })
      assert.deepEqual(socket.entries('event', 'question').at(-1).slice(2, 4), [{ binary: '00ff' }, 'how?'])
    }
    await a.refuses(504, 'no_answer', 'POST', 'call', { to, event: 'message', timeout: 50 })
    await b.refuses(409, 'no_acks', 'POST', 'call', { to: { session: telnets[2].session }, event: 'e' })
    const other = await nodes[2].socket()
    await members(nodes, 6)
    const found = (await a.get('sessions?protocol=socket-io')).sessions.find((session) => session.id !== id)
    const asked = a.ask('POST', 'call', { to: { session: found.id }, event: 'message' })
    await other.event('message')
    other.close()
    assert.deepEqual([(await asked).status, (await asked).body.error.code], [409, 'session_ended'])
    await members(nodes, 5)
  })

  test('a node that is killed is forgotten within its time to live, and nobody else is', async () => {
    const extra = await Node.start({ url: redis.url })
    await extra.telnet()
    await extra.page()
    await members([...nodes, extra], 7)
    const left = (await present(extra)).members.filter(({ session }) => session !== extra.clients[0].session)
    const others = new Set(await Promise.all(nodes.map((node) => node.name())))
    const kept = left.filter(({ node }) => others.has(node)).map(({ session }) => session).sort()
    assert.equal(kept.length, 5)
    await extra.server.gateway.kill()
    const killed = Date.now()
    let last
    for (;;) {
      const seen = (await present(nodes[0]))?.members.map(({ session }) => session).sort()
      last = Date.now() - killed
      if (!seen) continue
      assert.ok(kept.every((id) => seen.includes(id)), 'the living are always there')
      if (seen.length === 5) break
      assert.ok(last < TIME_TO_LIVE + 500, `after ${last} ms it is still there`)
    }
    assert.deepEqual(await members(nodes, 5), kept)
    await nodes[0].refuses(404, 'unknown_session', 'GET', `sessions/${extra.clients[0].session}`)
    const [lobby] = (await nodes[1].get('rooms?prefix=lobby')).rooms
    assert.deepEqual([lobby.name, lobby.members], ['lobby', 5])
    await extra.close()
  })

  test('a node that stops leaves nothing behind at once', async () => {
    const extra = await Node.start({ url: redis.url })
    await extra.telnet()
    await members(nodes, 6)
    const name = await extra.name()
    assert.ok((await keys(redis)).some((key) => key.includes(name)))
    await extra.server.stop()
    assert.deepEqual((await keys(redis)).filter((key) => key.includes(name)), [])
    await members(nodes, 5)
  })

  test('while Redis is away a node shows its own, and all of them when it is back, empty', async () => {
    const [a] = nodes
    await redis.kill()
    await until('an incomplete answer', async () => {
      const { complete, count } = await a.get('presence?room=lobby')
      return !complete && count === 1
    })
    assert.deepEqual((await a.get('rooms?prefix=lobby')).rooms, [{ name: 'lobby', members: 1, events: 0 }])
    assert.equal((await a.get('sessions?realm=default')).sessions.length, 1)
    await a.refuses(503, 'out_of_reach', 'GET', `sessions/${telnets[1].session}`)
    await a.refuses(503, 'out_of_reach', 'POST', 'call', { to: { session: telnets[1].session }, event: 'e' })
    await a.get(`sessions/${telnets[0].session}`)
    const late = await a.telnet()
    await redis.spawn()
    await members(nodes, 6)
    late.close()
    await members(nodes, 5)
    await redis.command('FLUSHALL')
    await members(nodes, 5)
    await until('all records', async () => (await keys(redis)).some((key) => key.endsWith(':room:7:default:lobby')))
    await members(nodes, 5)
  })

  test('records that are lost are written again', async () => {
    const [key] = (await keys(redis)).filter((name) => name.endsWith(':room:7:default:lobby'))
    await redis.command('DEL', key)
    await until('that record', async () => (await redis.command('EXISTS', key)) === 1, KEPT)
    await members(nodes, 5)
  })

  test('records that cannot be written do not keep messages from passing', async () => {
    const [a, b] = nodes
    await redis.command('CONFIG', 'SET', 'maxmemory', '1')
    const late = await b.telnet()
    await b.server.gateway.logged(/records of who is here are not written/)
    await a.post('publish', { to: { room: 'lobby' }, event: 'message', data: 'on' })
    while (!(await late.next()).includes('"message":"on"'));
    await b.server.gateway.counted('polyport_backplane_records_total', { outcome: 'not_written' }, (count) => count > 0)
    await redis.command('CONFIG', 'SET', 'maxmemory', '0')
    await b.server.gateway.logged(/records of who is here are written again/)
    await members(nodes, 6)
    late.close()
    await members(nodes, 5)
  })

  test('when all nodes are dead their records expire', async () => {
    await Promise.all(nodes.map((node) => node.server.gateway.kill()))
    for (const key of await keys(redis)) {
      const left = await redis.command('PTTL', key)
      assert.ok(left !== -1 && left <= KEPT, `${key} is kept for ${left} ms`)
    }
    await until('nothing', async () => (await keys(redis)).length === 0, KEPT + LIMIT)
  })
})

test('two gateways on a Redis Cluster', async () => {
  const redis = await RedisCluster.start()
  const url = redis.address.cluster.map(({ host, port }) => `redis://${host}:${port}`)
  const nodes = await Promise.all([1, 2].map(() => Node.start({ url, deployment: 'cluster' })))
  try {
    await Promise.all(nodes.map((node) => node.telnet()))
    await members(nodes, 2)
    await redis.failover('polyport:{socket.io}:nodes')
    await nodes[0].page()
    await members(nodes, 3, 'lobby', 3 * LIMIT)
  } finally {
    await Promise.all(nodes.map((node) => node.close()))
    await redis.stop()
  }
})

test('a gateway without presence shows its own and orders all the same', async () => {
  const redis = await RedisServer.start()
  const nodes = await Promise.all([1, 2].map(() => Node.start({ url: redis.url, presence: false })))
  try {
    const [a] = nodes
    const telnet = await nodes[1].telnet()
    const answer = await a.get('presence?room=lobby')
    assert.deepEqual(answer, { realm: 'default', room: 'lobby', count: 0, members: [], next: null })
    const done = await a.post('publish', { to: { session: telnet.session }, event: 'message', data: 1 })
    assert.deepEqual(done, { sessions: 0, cluster: 'sent' })
    assert.match(await within(telnet.next(), LIMIT, () => 'the message'), /^\{"message":1,/)
    assert.deepEqual(await keys(redis), [])
  } finally {
    await Promise.all(nodes.map((node) => node.close()))
    await redis.stop()
  }
})
