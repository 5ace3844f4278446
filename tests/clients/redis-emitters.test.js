'use strict'
// Every emitter reaches clients of the gateway: all that it can say, exactly once, whatever its age.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const jwt = require('jsonwebtoken')
const { installPython } = require('./lib/python-client')
const { RedisServer } = require('./lib/redis')
const { clientsOf, startNode } = require('./lib/redis-gateways')
const { EMITTERS, EmitterPeer, ServerPeer, STEPS } = require('./lib/redis-peers')
const { connect } = require('./lib/socket-io')
const { until } = require('./lib/wait')

process.on('unhandledRejection', () => {})

const SECRET = 'a secret of the emitters suite, long enough'
const CLIENTS = ['2.5.0', '4.8.4']
const EVENTS = ['c', 'e', 'f', 'j', 's', 'types', 'v', 'x']
const PYTHON = 'python_socket.io-emitter@0.1.5.1'
const NUMBERED = 1_000
// Of a map with a value that is undefined some emitters make null.
const MSGPACK_LITE = 'socket.io-emitter@2.0.0'

const token = () => jwt.sign({ sub: '1', site: 'example.com' }, SECRET, { expiresIn: 300 })
const events = (client) => client.entries('event').map(([, ...event]) => event)

/** A value as clients see it: dates as texts, nothing as null. */
function seen(value, nulls) {
  if (value === undefined) return null
  if (value instanceof Date) return value.toISOString()
  if (Buffer.isBuffer(value)) return { binary: value.toString('hex') }
  if (value instanceof ArrayBuffer) return { binary: Buffer.from(value).toString('hex') }
  if (typeof value?.toJSON === 'function') return value.toJSON()
  if (Array.isArray(value)) return value.map((inner) => seen(inner, nulls))
  if (value === null || typeof value !== 'object') return value
  const entries = Object.entries(value).filter(([, inner]) => nulls || inner !== undefined)
  return Object.fromEntries(entries.map(([key, inner]) => [key, seen(inner, nulls)]))
}

describe('emitters reach the gateway', () => {
  let redis
  let node
  let publisher
  let clients
  let marks = 0

  before(async () => {
    installPython()
    redis = await RedisServer.start()
    node = await startNode(redis, {
      listener: { join: ['lobby'], auth: { tokens: 'main' } },
      config: {
        tokens: { main: { keys: [{ algorithm: 'HS256', secret: 'env:TEST_SECRET' }], site_claim: 'site' } },
      },
      run: { env: { TEST_SECRET: SECRET } },
    })
    publisher = await redis.connect()
    clients = []
    for (const version of CLIENTS) {
      const client = connect(version, node.url, { transports: 'websocket', events: EVENTS, query: { jwt: token() } })
      await client.connected()
      const admin = client.namespace('/admin', { events: EVENTS })
      await admin.connected()
      assert.deepEqual(await admin.ask('join', 'ops'), [true])
      clients.push({ client, admin })
    }
    for (const channel of ['socket.io#/#user(1)#', 'socket.io#/#site(example.com)#', 'socket.io#/admin#ops#']) {
      await until(`a subscription to ${channel}`, async () => (await redis.subscribers(channel)) === 1)
    }
  })
  after(async () => {
    for (const { client } of clients ?? []) client.close()
    publisher?.close()
    await node?.stop()
    await redis?.stop()
  })

  /** Waits until everything that was published before has arrived. */
  async function mark() {
    marks += 1
    const text = `mark ${marks}`
    for (const nsp of ['/', '/admin']) {
      const data = { type: 2, data: ['message', text], nsp }
      await publisher.publish('socket.io#emitter', Buffer.from(JSON.stringify([data, { rooms: [], flags: {} }])))
    }
    for (const { client, admin } of clients) {
      await client.saw(['event', 'message', text])
      await admin.saw(['event', 'message', text])
    }
  }

  for (const name of Object.keys(EMITTERS)) {
    test(name, async () => {
      const emitter = await EmitterPeer.start(name, redis)
      const steps = emitter.steps.filter((step) => STEPS[step].call[0] === 'emit')
      for (const step of steps) {
        for (const { client, admin } of clients) client.transcript.length = admin.transcript.length = 0
        await emitter.do(step)
        await mark()
        const { of = '/', call: [, event, ...args] } = STEPS[step]
        let said = [[event, ...args.map((arg) => seen(arg, name === MSGPACK_LITE))]]
        // The Python emitter makes a text of its bytes.
        if (name === PYTHON && event === 'bin') said = [['bin', '\u0001\u0002\u0003']]
        const isNews = ([heard, text]) => heard !== 'message' || !/^mark /.test(text)
        for (const { client, admin } of clients) {
          const where = `${step}, client ${client.version}`
          assert.deepEqual(events(client).filter(isNews), of === '/' ? said : [], where)
          assert.deepEqual(events(admin).filter(isNews), of === '/' ? [] : said, where)
        }
      }
      await emitter.stop()
    })
  }
})

test('what one emitter says comes to two gateways in its order, once, whatever their clients speak', async () => {
  const redis = await RedisServer.start()
  const nodes = await Promise.all([1, 2].map(() => startNode(redis)))
  const clients = (await Promise.all(nodes.map((node, index) => clientsOf(node, `node ${index + 1}`)))).flat()
  await until('the subscriptions', async () => (await redis.subscribers('socket.io#/#lobby#')) === 2)
  const emitter = await EmitterPeer.start('@socket.io/redis-emitter@5.1.0', redis)
  const texts = Array.from({ length: NUMBERED }, (_, index) => `number ${index}`)
  await Promise.all(texts.map((text) => emitter.do({ to: ['lobby'], call: ['emit', 'message', text] })))
  await emitter.do({ to: ['lobby'], call: ['emit', 'message', 'the end'] })
  for (const client of clients) {
    await until(() => `the end at ${client.name}, which has heard ${client.heard.length}`, () => client.heard.includes('the end'))
    assert.deepEqual(client.heard, [...texts, 'the end'], client.name)
    client.close()
  }
  await emitter.stop()
  for (const node of nodes) await node.stop()
  await redis.stop()
})

describe('namespaces that look like patterns', () => {
  // To Redis the first is a pattern that matches all of them but the last.
  const NAMES = ['/a*b[1]', '/axb1', '/a*b1', '/a*b[1]1', '/']
  // Node's adapters do not escape, so that they themselves are deaf in the others.
  const HEARD_BY_NODE = NAMES.filter((name) => !name.includes('['))
  let redis
  let node
  let peer
  let clients

  before(async () => {
    redis = await RedisServer.start()
    node = await startNode(redis, { socketIo: { namespaces: ['/a*'] } })
    peer = await ServerPeer.start('4.8.4 + @socket.io/redis-adapter 8.3.0', redis)
    // A server has a namespace from when it is first asked for it.
    for (const of of NAMES) await peer.call('emit', { of, to: ['nobody'], event: ['message', 'hello'] })
    clients = []
    for (const [server, names] of [[node, NAMES], [peer, HEARD_BY_NODE]]) {
      const root = connect('4.8.4', server.url, { transports: 'websocket' })
      await root.connected()
      for (const name of names) {
        const client = name === '/' ? root : root.namespace(name)
        await client.connected()
        clients.push({ name, client, isHere: server === node })
      }
    }
    for (const { name, client, isHere } of clients) {
      if (!isHere) {
        await peer.call('join', { of: name, socket: client.id, room: 'ops' })
        continue
      }
      await node.api('join', { to: { room: client.id, realm: realmOf(name) }, room: 'ops' })
      await until(`a subscription to ${name}`, async () => (await redis.subscribers(`socket.io#${name}#ops#`)) === 1)
    }
    await peer.call('settle')
  })
  after(async () => {
    for (const { name, client } of clients ?? []) if (name === '/') client.close()
    await peer?.stop()
    await node?.stop()
    await redis?.stop()
  })

  const realmOf = (name) => (name === '/' ? 'default' : `default${name}`)

  /** Sends what `say` says to each namespace, and waits until it has come there. */
  async function each(texts, say) {
    for (const { client } of clients) client.transcript.length = 0
    for (const name of NAMES) for (const text of texts) await say(name, text)
    for (const { name, client } of clients) await client.saw(['event', 'message', `${texts.at(-1)} ${name}`])
    for (const { name, client } of clients) {
      const said = texts.map((text) => ['message', `${text} ${name}`])
      assert.deepEqual(events(client), said, `${name} of ${client.socket.io.uri}`)
    }
  }

  const TARGETS = { all: [], room: ['ops'], end: [] }
  const emit = (name, text) => ({ of: name, to: TARGETS[text], call: ['emit', 'message', `${text} ${name}`] })

  test('get only their own from emitters', async () => {
    const emitter = await EmitterPeer.start('@socket.io/redis-emitter@5.1.0', redis)
    await each(['all', 'room', 'end'], (name, text) => emitter.do(emit(name, text)))
    await emitter.stop()
  })

  test('get only their own from servers', async () => {
    await each(['all', 'room', 'end'], (of, text) =>
      peer.call('emit', { of, to: TARGETS[text], event: ['message', `${text} ${of}`] }))
  })

  test('get only their own from gateways', async () => {
    const to = { all: { everyone: true }, room: { room: 'ops' }, end: { everyone: true } }
    await each(['all', 'room', 'end'], (name, text) =>
      node.api('publish', { to: { ...to[text], realm: realmOf(name) }, event: 'message', data: `${text} ${name}` }))
  })

  test('reach one of their sockets', async () => {
    for (const { client } of clients) client.transcript.length = 0
    for (const { name, client, isHere } of clients) {
      const text = `only you in ${name}`
      if (isHere) await peer.call('emit', { of: name, to: [client.id], event: ['message', text] })
      else await node.api('publish', { to: { room: client.id, realm: realmOf(name) }, event: 'message', data: text })
    }
    for (const of of NAMES) await peer.call('emit', { of, event: ['message', 'end'] })
    for (const { name, client } of clients) {
      await client.saw(['event', 'message', 'end'])
      await client.saw(['event', 'message', `only you in ${name}`])
      assert.equal(client.entries('event').length, 2, name)
    }
  })

  test('of which old emitters leave out the slash', async () => {
    const emitter = await EmitterPeer.start('socket.io-emitter@1.1.0', redis)
    for (const { client } of clients) client.transcript.length = 0
    for (const name of NAMES.slice(0, -1)) {
      for (const text of ['all', 'room']) await emitter.do({ ...emit(name, text), of: name.slice(1) })
    }
    await emitter.do({ call: ['emit', 'message', 'end /'] })
    // Servers on Node do not hear it.
    for (const { name, client } of clients.filter(({ isHere }) => isHere)) {
      if (name === '/') await client.saw(['event', 'message', 'end /'])
      else await client.saw(['event', 'message', `room ${name}`])
      const said = name === '/' ? [['message', 'end /']] : ['all', 'room'].map((text) => ['message', `${text} ${name}`])
      assert.deepEqual(events(client), said, name)
    }
    await emitter.stop()
  })
})
