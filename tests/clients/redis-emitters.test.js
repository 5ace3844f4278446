'use strict'
// Every emitter reaches clients of the gateway: all that it can say, exactly once, whatever its age.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const jwt = require('jsonwebtoken')
const { installPython } = require('./lib/python-client')
const { RedisServer } = require('./lib/redis')
const { startNode } = require('./lib/redis-gateways')
const { EMITTERS, EmitterPeer, STEPS } = require('./lib/redis-peers')
const { connect } = require('./lib/socket-io')
const { until } = require('./lib/wait')

process.on('unhandledRejection', () => {})

const SECRET = 'a secret of the emitters suite, long enough'
const CLIENTS = ['2.5.0', '4.8.4']
const EVENTS = ['c', 'e', 'f', 'j', 's', 'types', 'v', 'x']
const PYTHON = 'python_socket.io-emitter@0.1.5.1'
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
