'use strict'
// A service behind SocketCluster: it refuses at the upgrade, logs clients in with its answers, and out again.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const http = require('node:http')
const { after, before, describe, test } = require('node:test')
const jwt = require('jsonwebtoken')
const { FrameClient } = require('./lib/frame-client')
const { Polyport } = require('./lib/polyport')
const { connect } = require('./lib/socketcluster')
const { until } = require('./lib/wait')

const KEY = 'a key of this test'
const PATH = '/socketcluster/'
const GENERATIONS = ['14.3.2', '20.0.2']
const HANDSHAKE = '{"event":"#handshake","data":{"authToken":null},"cid":1}'
const sign = (username) => jwt.sign({ username }, KEY)

/** What the service was asked, and what it answers: status and body. */
const asked = []
const order = (event, data) => ({ publish: { event, data } })
const ANSWERS = {
  open: ({ open, session }) => {
    const wish = new URL(open.target, 'http://x').searchParams.get('wish')
    if (wish === 'nobody') return [401]
    if (wish === 'words') return [200, { error: 'not on Sundays' }]
    if (wish === 'broken') return [500]
    if (wish === 'somebody') return [200, { identity: { user: 'known' } }]
    if (wish === 'token') return [200, { push: [order('#setAuthToken', { token: sign('greeted') })] }]
    return [200, { data: { seen: session.identity?.user ?? null } }]
  },
  close: () => [204],
  call: ({ call, session }) => {
    const { action, args, params } = call
    if (action === 'login') return [200, { result: 'welcome', push: [order('#setAuthToken', { token: sign(params.name) })] }]
    if (action === 'forge') return [200, { result: 'done', push: [order('#setAuthToken', { token: jwt.sign({ username: 'x' }, 'another key') })] }]
    if (action === 'logout') return [200, { result: 'bye', push: [order('#removeAuthToken')] }]
    if (action === 'whoami') return [200, { result: { user: session.identity?.user ?? null, seen: session.data?.seen ?? null } }]
    return [200, { error: `there is no ${action} of ${args}` }]
  },
}

let service
let gateway
before(async () => {
  service = http.createServer(async (request, response) => {
    const question = JSON.parse(Buffer.concat(await request.toArray()).toString())
    asked.push(question)
    const [status, body] = ANSWERS[question.request](question)
    response.writeHead(status)
    response.end(body && JSON.stringify(body))
  })
  service.listen(0, '127.0.0.1')
  await once(service, 'listening')
  const auth = { tokens: 'main', from: ['query:token'], on_expiry: 'downgrade' }
  const listener = (devtools, more) => ({ protocol: 'devtools-relay', backends: ['app'], auth, devtools, ...more })
  gateway = await Polyport.start(
    {
      tokens: { main: { leeway: '0s', require_expiry: false, user_claim: 'username', keys: [{ algorithm: 'HS256', secret: 'env:POLYPORT_JWT_SECRET' }] } },
      backends: { app: { kind: 'http', url: `http://127.0.0.1:${service.address().port}/`, hooks: ['open', 'close'] } },
      listeners: {
        upgrade: listener({ ask_backends: 'upgrade' }),
        handshake: listener({}),
        required: listener({ ask_backends: 'upgrade' }, { auth: { ...auth, required: true } }),
      },
    },
    { env: { POLYPORT_JWT_SECRET: KEY } },
  )
})
after(async () => {
  await gateway?.stop()
  service?.close()
})

const opened = () => asked.filter(({ request }) => request === 'open').length

/** The answer to an upgrade that is refused. */
async function refusal(where, target) {
  const client = await FrameClient.connect({ port: gateway.ports[where] })
  const error = await client.upgrade({ path: target }).then(() => assert.fail('it was let in'), (refused) => refused)
  client.close()
  return error.message
}

const greeting = async (where, target, token = null) => {
  const client = await FrameClient.open({ port: gateway.ports[where], path: target })
  await client.text(HANDSHAKE.replace('null', JSON.stringify(token)))
  return [client, JSON.parse(await client.nextText())]
}

describe('a service that is asked at the upgrade', () => {
  test('refuses it with HTTP', async () => {
    const refused = { listener: 'upgrade', reason: 'nobody' }
    const counted = (await gateway.metrics()).sum('polyport_connections_refused_total', refused)
    assert.match(await refusal('upgrade', `${PATH}?wish=nobody`), /401 Unauthorized/)
    assert.match(await refusal('upgrade', `${PATH}?wish=words`), /401 Unauthorized[^]*not on Sundays/)
    assert.match(await refusal('upgrade', `${PATH}?wish=broken`), /401 Unauthorized[^]*internal error/)
    assert.equal((await gateway.metrics()).sum('polyport_connections_refused_total', refused), counted + 1)
  })

  test('knows who a token in the address says it is; a bad one is refused before it is asked', async () => {
    const [client, { data }] = await greeting('upgrade', `${PATH}?token=${sign('ann')}`)
    assert.equal(data.isAuthenticated, true)
    assert.equal(asked.findLast(({ request }) => request === 'open').session.identity.user, 'ann')
    client.close()
    const before = opened()
    assert.match(await refusal('upgrade', `${PATH}?token=${sign('ann')}x`), /401 Unauthorized[^]*invalid signature/)
    assert.equal(opened(), before)
  })

  test('is asked once, and a token of the handshake counts unless the service has said who it is', async () => {
    for (const version of GENERATIONS) {
      const before = opened()
      const client = await connect(version, gateway.ports.upgrade, { token: sign('bob') })
      assert.deepEqual(await client.invoke('whoami', {}), { user: 'bob', seen: null })
      assert.equal(opened(), before + 1)
      await client.close()
      const known = await connect(version, gateway.ports.upgrade, { query: { wish: 'somebody' }, token: sign('bob') })
      assert.deepEqual(await known.invoke('whoami', {}), { user: 'known', seen: null })
      await known.close()
    }
  })

  test('where a token is required, it may come with the handshake or not at all', async () => {
    const [nobody, refused] = await greeting('required', PATH)
    assert.equal(refused.error.message, 'a token is required')
    const [late, { data }] = await greeting('required', PATH, sign('ann'))
    const [early, { data: greeted }] = await greeting('required', `${PATH}?token=${sign('ann')}`)
    assert.deepEqual([data.isAuthenticated, greeted.isAuthenticated], [true, true])
    for (const client of [nobody, late, early]) client.close()
  })

  test('hears of the end of one that never shook hands', async () => {
    const client = await FrameClient.open({ port: gateway.ports.upgrade, path: PATH })
    const { session } = asked.findLast(({ request }) => request === 'open')
    client.close()
    await until('the service to hear of it', () => asked.some(({ request, session: { id } }) => request === 'close' && id === session.id))
  })
})

describe('a service that is asked at the handshake', () => {
  test('refuses it by the protocol', async () => {
    const [client, { error }] = await greeting('handshake', `${PATH}?wish=words`)
    assert.deepEqual([error.message, error.statusCode], ['not on Sundays', 4008])
    client.close()
  })
})

describe('a service that gives tokens', () => {
  for (const version of GENERATIONS) {
    test(`logs a client in and out again with its answers (${version})`, async () => {
      const client = await connect(version, gateway.ports.handshake)
      assert.equal(await client.invoke('login', { name: 'carl' }), 'welcome')
      assert.equal(client.socket.authState, 'authenticated', 'the token has come with the answer')
      assert.equal(jwt.verify(client.token, KEY).username, 'carl')
      assert.equal((await client.invoke('whoami', {})).user, 'carl')
      const { token } = client
      const again = await connect(version, gateway.ports.handshake, { token })
      assert.equal((await again.invoke('whoami', {})).user, 'carl')
      await again.close()
      assert.equal(await client.invoke('logout', {}), 'bye')
      assert.equal(client.socket.authState, 'unauthenticated')
      assert.equal((await client.invoke('whoami', {})).user, null)
      await until('the token to be thrown away', () => client.token === null)
      await client.close()
    })

    test(`hands out none that the listener does not know (${version})`, async () => {
      const client = await connect(version, gateway.ports.handshake)
      assert.equal(await client.invoke('forge', {}), 'done')
      assert.deepEqual([client.socket.authState, client.token], ['unauthenticated', null])
      await client.close()
    })
  }

  // Clients from 15 on forget what comes together with the answer to their handshake.
  test('may do so as soon as it lets a client in (14.3.2)', async () => {
    for (const where of ['handshake', 'upgrade']) {
      const client = await connect('14.3.2', gateway.ports[where], { query: { wish: 'token' } })
      await until('the client to be logged in', () => client.socket.authState === 'authenticated')
      assert.equal((await client.invoke('whoami', {})).user, 'greeted')
      await client.close()
    }
  })
})
