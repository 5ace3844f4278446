'use strict'
// Tokens of npm jsonwebtoken on every protocol: who comes in, who is reached, and what happens when a token expires.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const { after, before, describe, test } = require('node:test')
const jwt = require('jsonwebtoken')
const { FrameClient } = require('./lib/frame-client')
const { LineClient } = require('./lib/line-client')
const { Polyport } = require('./lib/polyport')
const { verbsListener } = require('./lib/verbs')
const { until } = require('./lib/wait')

const SECRET = crypto.randomBytes(32).toString('hex')
const FROM = ['bearer', 'query:token', 'cookie:token', 'header:x-token']

const sign = (claims = {}, options = {}) => jwt.sign({ sub: '7', ...claims }, SECRET, { expiresIn: 300, ...options })
const auth = (more = {}) => ({ tokens: 'main', required: false, from: FROM, ...more })
const page = (more = {}) => ({ protocol: 'ws-channels', join: ['lobby'], auth: auth(more) })
const rpc = (more = {}) => ({ protocol: 'ws-rpc', backends: ['builtin'], join: ['lobby'], auth: auth(more) })
const lines = (more = {}) => verbsListener({ join: ['lobby'], auth: auth(more) })

/** Each way in which an opening carries a token, as options of `FrameClient.open`. */
const WAYS = {
  bearer: (token) => ({ headers: { Authorization: `Bearer ${token}` } }),
  query: (token) => ({ path: `/?a=b&token=${token}` }),
  cookie: (token) => ({ headers: { Cookie: `other=1; token=${token}; more=2` } }),
  header: (token) => ({ headers: { 'X-Token': token } }),
}

const BAD = {
  expired: () => sign({}, { expiresIn: -60 }),
  'not active yet': () => sign({}, { notBefore: 60 }),
  'signed by another': () => jwt.sign({ sub: '7' }, 'another secret', { expiresIn: 300 }),
  'without an expiry': () => jwt.sign({ sub: '7' }, SECRET),
  'of another algorithm': () => jwt.sign({ sub: '7' }, SECRET, { algorithm: 'HS512', expiresIn: 300 }),
  unsigned: () => jwt.sign({ sub: '7' }, '', { algorithm: 'none', expiresIn: 300 }),
  garbage: () => 'garbage',
}

describe('identity', () => {
  let gateway
  let desk
  const open = (name, options = {}) => FrameClient.open({ port: gateway.ports[name], ...options })
  const dial = (name) => LineClient.open({ port: gateway.ports[name] })
  const authenticate = (client, token) =>
    client.ask(JSON.stringify({ action: 'authenticate', params: { token } }))

  before(async () => {
    gateway = await Polyport.start(
      {
        tokens: { main: { keys: [{ algorithm: 'HS256', secret: 'env:TEST_JWT_SECRET' }], leeway: '0s' } },
        listeners: {
          pocket: page(),
          'pocket-closed': page({ required: true }),
          'pocket-downgrade': page({ on_expiry: 'downgrade' }),
          rpc: rpc(),
          'rpc-closed': rpc({ required: true }),
          tcp: lines(),
          'tcp-closed': lines({ required: true }),
          'tcp-downgrade': lines({ on_expiry: 'downgrade' }),
          desk: verbsListener({ permissions: { publish_unjoined: ['user(*)', 'site(*)'] } }),
        },
      },
      { env: { TEST_JWT_SECRET: SECRET } },
    )
    desk = await dial('desk')
  })
  after(() => gateway?.stop())

  /** Says something in a room from outside. */
  const announce = async (room, text) => {
    const answer = await desk.ask(`say ${room} ${text}`)
    assert.equal(answer.status, 'OK', JSON.stringify(answer))
  }

  for (const [way, options] of Object.entries(WAYS)) {
    for (const name of ['pocket', 'pocket-closed']) {
      test(`a token by ${way} on ${name}`, async () => {
        const client = await open(name, options(sign({ sub: `${way} on ${name}`.replaceAll(' ', '-') })))
        await announce(`user(${way}-on-${name})`, 'hello')
        await until('the greeting', async () => {
          const message = JSON.parse(await client.nextText())
          return message.message === `user(${way}-on-${name}).message` && message.data === 'hello'
        })
        client.close()
      })
    }
    test(`a token by ${way} on rpc`, async () => {
      const client = await open('rpc-closed', options(sign({ sub: `rpc-${way}` })))
      await announce(`user(rpc-${way})`, 'hello')
      assert.deepEqual(JSON.parse(await client.nextText()), [-1, 'message', 'hello'])
      client.close()
    })
  }

  for (const [kind, token] of Object.entries(BAD)) {
    test(`a token that is ${kind} lets nobody in, required or not`, async () => {
      for (const name of ['pocket', 'pocket-closed', 'rpc', 'rpc-closed']) {
        await assert.rejects(open(name, WAYS.query(token())), / 401 /, name)
      }
      const client = await dial('tcp')
      const answer = await authenticate(client, token())
      assert.equal(typeof answer.error, 'string')
      assert.ok(!JSON.stringify(answer).includes(token()), 'no answer repeats a token')
      assert.deepEqual((await client.ask('detailsView')).data.rooms, ['lobby'])
      client.close()
    })
  }

  test('where a token is required and none is given', async () => {
    for (const name of ['pocket-closed', 'rpc-closed']) {
      await assert.rejects(open(name), / 401 /, name)
    }
    const client = await LineClient.connect({ port: gateway.ports['tcp-closed'] })
    assert.equal(await client.rest(), '{"error":"you may not connect here","context":"api"}\r\n')
    for (const name of ['pocket', 'rpc']) (await open(name)).close()
  })

  test('user(7) is reached on every protocol', async () => {
    const telnet = await dial('tcp')
    const who = await authenticate(telnet, sign({ sub: 7 }))
    assert.equal(who.user, '7')
    assert.ok(who.expires > Date.now())
    const caller = await open('rpc')
    await caller.text(JSON.stringify([1, 'authenticate', [sign({ sub: 7 })]]))
    const [id, ok, result] = JSON.parse(await caller.nextText())
    assert.deepEqual([id, ok, result.user], [1, true, '7'])
    const pocket = await open('pocket', WAYS.bearer(sign({ sub: 7 })))
    const others = [await dial('tcp'), await open('rpc', WAYS.bearer(sign({ sub: 77 })))]
    await announce('user(7)', 'to you')
    const heard = JSON.parse(await telnet.next())
    assert.deepEqual([heard.message, heard.room], ['to you', 'user(7)'])
    assert.deepEqual(JSON.parse(await caller.nextText()), [-1, 'message', 'to you'])
    await until('the page', async () => JSON.parse(await pocket.nextText()).data === 'to you')
    assert.deepEqual(await others[0].before(), [])
    for (const client of [telnet, caller, pocket, ...others]) client.close()
  })

  test('site(example.com) is where the page is, also for who logs in later', async () => {
    const headers = { Origin: 'https://www.example.com' }
    const early = await open('rpc', { headers: { ...headers, ...WAYS.bearer(sign({ sub: 'early' })).headers } })
    const late = await open('rpc', { headers })
    await late.text(JSON.stringify([1, 'authenticate', [sign({ sub: 'late' })]]))
    assert.equal(JSON.parse(await late.nextText())[2].site, 'example.com')
    await announce('site(example.com)', 'hi')
    for (const client of [early, late]) {
      assert.deepEqual(JSON.parse(await client.nextText()), [-1, 'message', 'hi'])
      client.close()
    }
  })

  test('a new token makes another user', async () => {
    const client = await dial('tcp')
    await authenticate(client, sign({ sub: 'first' }))
    await authenticate(client, sign({ sub: 'second' }))
    assert.deepEqual((await client.ask('detailsView')).data.rooms, ['lobby', 'user(second)'])
    client.close()
  })

  test('nobody gets into the room of somebody', async () => {
    const client = await dial('tcp')
    await authenticate(client, sign({ sub: 'mallory' }))
    const other = await dial('tcp')
    await authenticate(other, sign({ sub: 'alice' }))
    assert.equal((await client.ask('roomAdd user(alice)')).status, 'not authorized to join room')
    assert.notEqual((await client.ask('say user(alice) psst')).status, 'OK')
    assert.notEqual((await client.ask('say user(mallory) psst')).status, 'OK')
    assert.deepEqual(await other.before(), [])
    for (const one of [client, other]) one.close()
  })

  test('a token that expires ends its session', async () => {
    const short = () => sign({ sub: 'short' }, { expiresIn: 2 })
    const telnet = await dial('tcp')
    await authenticate(telnet, short())
    const pocket = await open('pocket', WAYS.query(short()))
    assert.equal(await telnet.rest(), '{"error":"token expired","context":"api"}\r\n')
    const close = await until('a close frame', async () => {
      const found = await pocket.next()
      return found.kind === 'close' && found
    })
    assert.deepEqual([close.code, close.reason], [1008, 'token expired'])
  })

  test('or makes it nobody again', async () => {
    const telnet = await dial('tcp-downgrade')
    await authenticate(telnet, sign({ sub: 'short' }, { expiresIn: 1 }))
    const rooms = async () => (await telnet.ask('detailsView')).data.rooms
    await until('the end of the identity', async () => !(await rooms()).includes('user(short)'))
    assert.deepEqual(await rooms(), ['lobby'])
    telnet.close()
  })

  test('a fresh token in time keeps the session', async () => {
    const telnet = await dial('tcp')
    const witness = await dial('tcp')
    await authenticate(telnet, sign({ sub: 'kept' }, { expiresIn: 1 }))
    await authenticate(telnet, sign({ sub: 'kept' }))
    await authenticate(witness, sign({ sub: 'gone' }, { expiresIn: 2 }))
    await witness.rest()
    assert.deepEqual((await telnet.ask('detailsView')).data.rooms, ['lobby', 'user(kept)'])
    telnet.close()
  })

  test('the log holds no token', async () => {
    const token = sign({ sub: 'secretive' })
    ;(await open('pocket', WAYS.query(token))).close()
    assert.ok(!gateway.log.includes(token.split('.')[2]))
    assert.ok(!gateway.log.includes(SECRET))
  })
})
