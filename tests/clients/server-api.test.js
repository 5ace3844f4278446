'use strict'
// The server API of the real binary, as its callers and the clients of every protocol see it.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const http = require('node:http')
const { after, before, describe, test } = require('node:test')
const jwt = require('jsonwebtoken')
const { FrameClient } = require('./lib/frame-client')
const { LineClient } = require('./lib/line-client')
const { Polyport } = require('./lib/polyport')
const { verbsListener } = require('./lib/verbs')
const { until } = require('./lib/wait')

const SECRET = crypto.randomBytes(32).toString('hex')
const KEY = crypto.randomBytes(32).toString('base64url')
const NEWS_KEY = crypto.randomBytes(32).toString('base64url')
const hash = (key) => `sha256:${crypto.createHash('sha256').update(key).digest('hex')}`

const AUTH = { tokens: 'main', required: false, from: ['query:token'] }

describe('the server API', () => {
  let gateway
  let agent
  let telnet
  let page
  let rpc

  const ask = (method, path, body, { key = KEY, headers = {} } = {}) =>
    new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : JSON.stringify(body)
      const request = http.request(
        {
          host: '127.0.0.1',
          port: gateway.ports.admin,
          method,
          path: `/api/${path}`,
          agent,
          headers: {
            ...(key ? { Authorization: `Bearer ${key}` } : {}),
            ...(text ? { 'Content-Type': 'application/json' } : {}),
            ...headers,
          },
        },
        (response) => {
          const parts = []
          response.on('data', (part) => parts.push(part))
          response.on('error', reject)
          response.on('end', () =>
            resolve({
              status: response.statusCode,
              headers: response.headers,
              body: JSON.parse(Buffer.concat(parts).toString()),
            }),
          )
        },
      )
      request.on('error', reject)
      request.end(text)
    })
  const post = async (path, body) => {
    const answer = await ask('POST', path, body)
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    return answer.body
  }
  const get = async (path) => {
    const answer = await ask('GET', path)
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    return answer.body
  }
  /** The session that came through a listener; there is one of each in these tests. */
  const sessionOf = async (listener) => {
    const { sessions } = await get(`sessions?listener=${listener}`)
    assert.equal(sessions.length, 1, listener)
    return sessions[0]
  }

  /** Calls what there is not and gives the texts that came before the answer. */
  const rpcBefore = async () => {
    await rpc.text('[1,"no such action",[]]')
    const earlier = []
    for (;;) {
      const text = await rpc.nextText()
      if (text.startsWith('[1,')) return earlier
      earlier.push(text)
    }
  }

  before(async () => {
    agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    gateway = await Polyport.start(
      {
        tokens: { main: { keys: [{ algorithm: 'HS256', secret: 'env:TEST_JWT_SECRET' }] } },
        listeners: {
          tcp: verbsListener({ join: ['lobby'], auth: AUTH }),
          pocket: { protocol: 'ws-channels', join: ['lobby'], auth: AUTH },
          rpc: { protocol: 'ws-rpc', backends: ['builtin'], join: ['lobby'], auth: AUTH },
        },
        api: {
          keys: {
            all: { hash: hash(KEY) },
            news: { hash: hash(NEWS_KEY), verbs: ['publish'], rooms: ['lobby'], rate: 2 },
          },
        },
      },
      { env: { TEST_JWT_SECRET: SECRET } },
    )
    const token = jwt.sign({ sub: '7' }, SECRET, { expiresIn: 300 })
    const path = `/?token=${token}`
    telnet = await LineClient.open({ port: gateway.ports.tcp })
    const authenticate = { action: 'authenticate', params: { token } }
    assert.equal((await telnet.ask(JSON.stringify(authenticate))).user, '7')
    page = await FrameClient.open({ port: gateway.ports.pocket, path })
    rpc = await FrameClient.open({ port: gateway.ports.rpc, path })
    await until('three sessions', async () => (await get('presence?room=user(7)')).count === 3)
  })
  after(async () => {
    agent?.destroy()
    for (const client of [telnet, page, rpc]) client?.close()
    await gateway?.stop()
  })

  test('one publish reaches telnet, a page and a client of socket.red in one room', async () => {
    const done = await post('publish', { to: { room: 'lobby' }, event: 'news', data: { n: 1 } })
    assert.deepEqual(done, { sessions: 3 })
    assert.match(
      await telnet.next(),
      /^\{"message":\{"n":1\},"room":"lobby","from":0,"context":"api","sentAt":\d{13},"event":"news"\}$/,
    )
    assert.equal(await page.nextText(), '{"id":null,"message":"lobby.news","data":{"n":1}}')
    assert.equal(await rpc.nextText(), '[-1,"news",{"n":1}]')
  })

  test('an action is dispatched by clients of socket.red', async () => {
    await post('publish', { to: { session: (await sessionOf('rpc')).id }, action: { type: 'ADD' } })
    assert.equal(await rpc.nextText(), '[0,{"type":"ADD"}]')
  })

  test('a user is reached on all that he has open', async () => {
    assert.deepEqual(await post('publish', { to: { user: 7 }, event: 'hi', data: 'you' }), { sessions: 3 })
    assert.match(await telnet.next(), /^\{"message":"you","room":"user\(7\)","from":0,.*"event":"hi"\}$/)
    assert.equal(await page.nextText(), '{"id":null,"message":"user(7).hi","data":"you"}')
    assert.equal(await rpc.nextText(), '[-1,"hi","you"]')
    assert.deepEqual(await post('publish', { to: { user: 8 }, event: 'hi' }), { sessions: 0 })
  })

  test('a broadcast reaches each session once', async () => {
    const to = [{ room: 'lobby' }, { user: 7 }, { everyone: true }]
    assert.deepEqual(await post('broadcast', { to, event: 'all', data: 1 }), { sessions: 3 })
    assert.match(await telnet.next(), /^\{"message":1,"from":0,/)
    assert.equal(await page.nextText(), '{"id":null,"message":"all","data":1}')
    assert.equal(await rpc.nextText(), '[-1,"all",1]')
    assert.deepEqual([await telnet.before(), await page.before(), await rpcBefore()], [[], [], []])
  })

  test('a text made for people does not break a protocol of lines', async () => {
    const text = '{"to":{"room":"lobby"},"event":"pretty","data":{\r\n  "a": [\r\n    1\r\n  ]\r\n}}'
    await new Promise((resolve, reject) => {
      const headers = { Authorization: `Bearer ${KEY}`, 'Content-Type': 'application/json' }
      const options = { host: '127.0.0.1', port: gateway.ports.admin, method: 'POST', path: '/api/publish', headers }
      http.request(options, (response) => response.resume().on('end', resolve)).on('error', reject).end(text)
    })
    assert.match(await telnet.next(), /^\{"message":\{"a":\[1\]\},"room":"lobby",.*"event":"pretty"\}$/)
    assert.equal(await page.nextText(), '{"id":null,"message":"lobby.pretty","data":{"a":[1]}}')
    assert.equal(await rpc.nextText(), '[-1,"pretty",{"a":[1]}]')
  })

  test('sessions join and leave as the server says', async () => {
    const { id } = await sessionOf('tcp')
    assert.deepEqual(await post('join', { to: { session: id }, room: 'news' }), { sessions: 1 })
    assert.deepEqual((await get('presence?room=news')).members.map(({ session, user }) => [session, user]), [[id, '7']])
    const { results } = await post('batch', {
      commands: [
        { publish: { to: { room: 'news' }, event: 'message', data: 'in' } },
        { leave: { to: { room: 'news' }, room: 'news' } },
        { publish: { to: { room: 'news' }, event: 'message', data: 'out' } },
        { join: { to: { room: 'lobby' }, room: 'user(8)' } },
      ],
    })
    assert.deepEqual(results.slice(0, 3), [{ sessions: 1 }, { sessions: 1 }, { sessions: 0 }])
    assert.equal(results[3].error.code, 'identity_room')
    assert.match(await telnet.next(), /^\{"message":"in","room":"news","from":0,"context":"api","sentAt":\d{13}\}$/)
    assert.deepEqual(await telnet.before(), [])
  })

  test('what is sent again is not done again', async () => {
    const headers = { 'Idempotency-Key': crypto.randomUUID() }
    const body = { to: { session: (await sessionOf('rpc')).id }, event: 'once' }
    const first = await ask('POST', 'publish', body, { headers })
    const again = await ask('POST', 'publish', body, { headers })
    assert.deepEqual([first.body, again.body], [{ sessions: 1 }, { sessions: 1 }])
    assert.equal(again.headers['idempotent-replayed'], 'true')
    assert.equal(await rpc.nextText(), '[-1,"once",null]')
    assert.deepEqual(await rpcBefore(), [])
  })

  test('a key does what it may, as often as it may', async () => {
    const as = (key, path, body) => ask(body ? 'POST' : 'GET', path, body, { key })
    const body = { to: { rooms: ['lobby'], except: ['lobby'] }, event: 'n' }
    assert.equal((await as(null, 'info')).status, 401)
    assert.equal((await as('wrong', 'info')).headers['www-authenticate'], 'Bearer realm="polyport"')
    assert.equal((await as(NEWS_KEY, 'info')).status, 403)
    assert.equal((await as(NEWS_KEY, 'publish', { ...body, to: { everyone: true } })).status, 403)
    const limited = await until('the rate to be used up', async () => {
      const answer = await as(NEWS_KEY, 'publish', body)
      return answer.status === 429 && answer
    })
    assert.equal(limited.headers['retry-after'], '1')
    assert.equal(limited.body.error.code, 'rate_limited')
    assert.ok(!gateway.log.includes(KEY) && !gateway.log.includes(NEWS_KEY))
  })

  test('rooms, info and the document', async () => {
    const { rooms } = await get('rooms?prefix=lob')
    const [{ events }] = rooms
    assert.deepEqual(rooms, [{ name: 'lobby', members: 3, events }])
    await post('publish', { to: { room: 'lobby' }, event: 'counted' })
    assert.equal((await get('rooms?prefix=lob')).rooms[0].events, events + 1)
    const info = await get('info')
    assert.deepEqual([info.ready, info.sessions, info.listeners.length], [true, 3, 3])
    const document = await ask('GET', 'openapi.json', undefined, { key: null })
    assert.equal(document.body.openapi, '3.1.0')
    assert.equal((await ask('POST', 'call', { to: { session: (await sessionOf('tcp')).id }, event: 'q' })).body.error.code, 'no_acks')
  })

  test('keys change with a reload, and connections stay', async () => {
    const key = crypto.randomBytes(32).toString('base64url')
    const from = gateway.log.length
    gateway.configure({ ...gateway.config, api: { keys: { all: { hash: hash(KEY) }, fresh: { hash: hash(key) } } } })
    gateway.signal('SIGHUP')
    await until(
      () => `the new key; the log:\n${gateway.log.slice(from)}`,
      async () => (await ask('GET', 'info', undefined, { key })).status === 200,
    )
    assert.equal((await ask('GET', 'info', undefined, { key: NEWS_KEY })).status, 401)
    assert.equal((await get('info')).sessions, 3)
  })

  test('disconnected, each in its own way', async () => {
    assert.deepEqual(await post('disconnect', { to: { rooms: ['lobby', 'user(7)'] } }), { sessions: 3 })
    await Promise.all([telnet.ended(), page.ended(), rpc.ended()])
    await until('no session', async () => (await get('sessions')).sessions.length === 0)
    const { body, status } = await ask('POST', 'publish', { to: { session: crypto.randomUUID() }, event: 'n' })
    assert.deepEqual([status, body.error.code], [404, 'unknown_session'])
  })
})
