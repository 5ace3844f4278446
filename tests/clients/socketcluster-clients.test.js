'use strict'
// The npm clients of SocketCluster, five majors of each generation, and the Python clients, on one listener.

const assert = require('node:assert/strict')
const net = require('node:net')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { Polyport, ROOT } = require('./lib/polyport')
const { freePort } = require('./lib/ports')
const { connect, isOld, V1, V2 } = require('./lib/socketcluster')
const { installClusterPython, PythonCluster, PYTHON } = require('./lib/socketcluster-python')
const { until } = require('./lib/wait')

const KEY = 'polyport-test-key'
const APPLICATION = { kind: 'script', file: path.join(ROOT, 'tests', 'clients', 'programs', 'socketcluster-script.js') }
const TOKENS = { leeway: '0s', require_expiry: false, user_claim: 'username', keys: [{ algorithm: 'HS256', secret: 'env:POLYPORT_JWT_SECRET' }] }
const AUTH = { tokens: 'main', on_expiry: 'downgrade' }

const listener = (devtools, more = {}) => ({ protocol: 'devtools-relay', backends: ['application'], auth: AUTH, devtools, ...more })

let gateway
before(async () => {
  gateway = await Polyport.start(
    {
      api: {},
      tokens: { main: TOKENS },
      backends: { application: APPLICATION },
      listeners: {
        auto: listener({ ack_timeout: '700ms' }),
        direct: { protocol: 'devtools-relay' },
        beating: listener({ ping_interval: '500ms', ping_timeout: '2s' }),
      },
    },
    { env: { POLYPORT_JWT_SECRET: KEY } },
  )
})
after(() => gateway?.stop())

/** What stands in front of several gateways: it sends each connection to the one that it is told of. */
class Entrance {
  static async to(target) {
    const entrance = new Entrance()
    entrance.target = target
    entrance.server = net.createServer((client) => {
      const gateway = net.connect(entrance.target, '127.0.0.1')
      for (const socket of [client, gateway]) socket.on('error', () => {})
      client.pipe(gateway).pipe(client)
    })
    entrance.port = await freePort()
    await new Promise((resolve) => entrance.server.listen(entrance.port, '127.0.0.1', resolve))
    return entrance
  }

  close() {
    this.server.close()
  }
}

const failure = async (promise) => {
  const error = await promise.then((value) => assert.fail(`it was answered with ${JSON.stringify(value)}`), (error) => error)
  return typeof error === 'string' ? error : { ...error, name: error.name, message: error.message }
}

for (const version of [...V1, ...V2]) {
  describe(`socketcluster-client ${version}`, () => {
    test('shakes hands, calls, is called', async () => {
      const client = await connect(version, gateway.ports.auto)
      const [status] = client.all('connect')
      assert.match(status.id, /^[A-Za-z0-9_-]{20}$/)
      assert.equal(status.pingTimeout, 600_000)
      assert.equal(status.isAuthenticated, false)
      assert.equal(client.id, status.id)

      const value = { x: [1, 'é', null, true] }
      assert.deepEqual(await client.invoke('echo', value), value)
      assert.equal(await client.invoke('void', 1), undefined)
      assert.equal(await client.invoke('nul'), null)
      const failed = await failure(client.invoke('failing'))
      assert.deepEqual([failed.name, failed.message, failed.detail], ['CustomError', 'it failed', { a: 1 }])
      assert.equal((await failure(client.invoke('failStr'))).message ?? 'plain string', 'plain string')

      client.answers('client-proc', (data) => (data === 'err' ? { error: Object.assign(new Error('client says no'), { name: 'ClientNo' }) } : { value: { you: data } }))
      assert.deepEqual(await client.invoke('callme', 5), { got: { you: 5 } })
      const refused = await failure(client.invoke('callme', 'err'))
      assert.deepEqual([refused.name, refused.message], ['ClientNo', 'client says no'])
      const silent = await failure(client.invoke('callmeNoAck'))
      assert.equal(silent.name, 'TimeoutError')
      assert.match(silent.message, isOld(version) ? /^Event response for 'client-missing' timed out$/ : /^Event response for client-missing event timed out$/)

      client.listens('tx-back')
      client.transmit('tx', { n: 1 })
      assert.deepEqual((await client.until('tx-back'))[0], { n: 1 })
      await client.close()
    })

    test('subscribes, publishes and is kicked out', async () => {
      const channel = `news-${version}`
      const [one, other] = [await connect(version, gateway.ports.auto), await connect(version, gateway.ports.auto)]
      await one.subscribe(channel)
      await other.subscribe(channel)
      for (const data of [{ n: 1 }, 'plain', 7, null, [1, 2], true]) await other.publish(channel, data)
      await one.barrier()
      assert.deepEqual(one.all(`#${channel}`), [{ n: 1 }, 'plain', 7, null, [1, 2], true])
      assert.deepEqual(other.all(`#${channel}`), one.all(`#${channel}`), 'the publisher hears itself')

      for (const refused of ['forbidden', 'silent']) await one.subscribe(refused)
      const errors = JSON.stringify((await one.until('subscribeFail', 2)).map((value) => (value.error ?? value[0] ?? value).message ?? value))
      assert.match(errors, /You may not subscribe/)
      assert.match(errors, isOld(version) ? /silently blocked by subscribe middleware/ : /The subscribe AGAction was blocked by inbound middleware/)
      assert.equal((await failure(one.publish('readonly', 1))).name, 'ReadOnlyError')

      await one.invoke('kick', { channel, message: 'out!' })
      await one.until('kickOut')
      await other.publish(channel, 'after')
      await other.barrier()
      await one.barrier()
      assert.ok(!one.all(`#${channel}`).includes('after'))
      await one.subscribe(channel)
      await other.publish(channel, 'again')
      await until('the client to hear again', () => one.all(`#${channel}`).includes('again'))
      for (const client of [one, other]) await client.close()
    })

    test('stays connected for several times the ping timeout', async () => {
      const client = await connect(version, gateway.ports.beating, { autoReconnect: true })
      const start = Date.now()
      while (Date.now() - start < 5_000) {
        await client.barrier()
        assert.deepEqual(client.all('disconnect'), [])
        await client.invoke('callme', 1).catch(() => {})
      }
      assert.equal(client.all('connect').length, 1)
      const metrics = await gateway.metrics()
      assert.ok(metrics.sum('polyport_sessions', { listener: 'beating' }) >= 1)
      await client.close()
    })

    test('gets a token, shows it again and loses it', async () => {
      const client = await connect(version, gateway.ports.auto)
      await client.invoke('auth', { username: `alice-${version}` })
      assert.deepEqual(await client.invoke('whoami'), { user: `alice-${version}`, state: 'authenticated' })
      await until('the client to have its token', () => client.token)
      const { token } = client
      await client.close()

      const again = await connect(version, gateway.ports.auto, { token })
      assert.equal(again.all('connect')[0].isAuthenticated, true)
      assert.deepEqual(await again.invoke('whoami'), { user: `alice-${version}`, state: 'authenticated' })
      await again.subscribe('members')
      assert.deepEqual(again.all('subscribeFail'), [])
      await again.invoke('deauth', 1)
      await until('the client to have lost its token', () => again.token === null)
      assert.equal((await again.invoke('whoami')).state, 'unauthenticated')
      await again.close()

      const bad = await connect(version, gateway.ports.auto, { token: 'nope' })
      assert.equal(bad.all('connect')[0].authError?.message, 'jwt malformed')
      await until('the client to have thrown its token away', () => bad.token === null)
      await bad.close()
    })

    test('subscribes with waitForAuth once it has a token, and not before', async () => {
      const [early, late] = [await connect(version, gateway.ports.auto), await connect(version, gateway.ports.auto)]
      assert.notEqual(early.id, late.id, 'of one user, and still two')
      for (const client of [early, late]) await client.subscribe('members', { waitForAuth: true, waits: false })
      const isIn = (client) => client.socket.isSubscribed?.('members') ?? client.socket.subscriptions().includes('members')
      for (const client of [early, late]) await client.barrier()
      await early.invoke('auth', { username: 'carol' })
      await until('the subscription', () => isIn(early))
      await late.barrier()
      assert.equal(isIn(late), false, 'it still waits')
      assert.deepEqual([early, late].map((client) => client.all('subscribeFail')), [[], []], 'who asks without a token is refused there')
      await late.invoke('auth', { username: 'carol' })
      await until('the other subscription', () => isIn(late))
      for (const client of [early, late]) await client.close()
    })

    test('a token expires', async () => {
      const client = await connect(version, gateway.ports.auto)
      await client.invoke('auth', { username: 'bob', expiresIn: 1 })
      assert.equal((await client.invoke('whoami')).state, 'authenticated')
      await until('the token to be gone', async () => (await client.invoke('whoami')).state === 'unauthenticated')
      await until('the client to have lost its token', () => client.token === null)
      await client.close()
    })

    test('hears why it is sent away, and comes back unless told not to', async () => {
      const client = await connect(version, gateway.ports.auto)
      await client.invoke('bye', { code: 4321, reason: 'go away' })
      const [end] = await client.until('disconnect')
      assert.deepEqual(isOld(version) ? [].concat(end) : [end.code, end.reason], [4321, 'go away'])

      const refused = await connect(version, gateway.ports.auto, { query: { denysc: 4501 }, waits: false, autoReconnect: true })
      const text = JSON.stringify(await refused.until('connectAbort'))
      // The oldest know only that the handshake has failed.
      assert.match(text, ['5.5.2', '8.0.2'].includes(version) ? /4003/ : /4501/)
      await refused.close()
    })
  })
}

describe('a handshake that is refused', () => {
  for (const version of ['14.3.2', '20.0.2']) {
    test(`${version} tries again after 4008, and not after 4501`, async () => {
      const autoReconnectOptions = { initialDelay: 20, randomness: 10, multiplier: 1, maxDelay: 50 }
      const refused = (denysc) => connect(version, gateway.ports.auto, { query: { denysc }, waits: false, autoReconnect: true, autoReconnectOptions })
      const [away, again] = [await refused(4501), await refused(4008)]
      await away.until('connectAbort')
      await again.until('connectAbort', 5)
      assert.equal(away.all('connectAbort').length, 1)
      for (const client of [away, again]) await client.close()
    })
  }
})

describe('both generations together', () => {
  test('one channel, one encoding', async () => {
    const clients = await Promise.all([...V1, ...V2].map((version) => connect(version, gateway.ports.auto)))
    for (const client of clients) await client.subscribe('mixed')
    const encodes = async () => (await gateway.metrics()).sum('polyport_encodes_total', { protocol: 'devtools-relay' })
    const before = await encodes()
    await clients[0].publish('mixed', { from: 'old' })
    await clients.at(-1).publish('mixed', { from: 'new' })
    for (const client of clients) assert.deepEqual(await client.until('#mixed', 2), [{ from: 'old' }, { from: 'new' }])
    assert.equal((await encodes()) - before, 2)
    for (const client of clients) await client.close()
  })

  test('a thousand messages keep their order while others come and go', async () => {
    const [speaker, listening, restless] = await Promise.all(['14.3.2', '20.0.2', '20.0.2'].map((version) => connect(version, gateway.ports.direct)))
    await listening.subscribe('count')
    for (let n = 0; n < 1000; n += 1) {
      speaker.socket.publish('count', n)
      if (n % 100 === 0) await restless.subscribe('count')
      if (n % 100 === 50) restless.unsubscribe('count')
    }
    const heard = await listening.until('#count', 1000)
    assert.deepEqual(heard, Array.from({ length: 1000 }, (_, n) => n))
    for (const client of [speaker, listening, restless]) await client.close()
  })
})

describe('a drain', () => {
  for (const version of ['14.3.2', '20.0.2']) {
    test(`${version} is back at once, with its subscriptions`, async () => {
      const start = () => Polyport.start({ listeners: { sc: { protocol: 'devtools-relay' } } })
      const [first, second] = [await start(), await start()]
      const entrance = await Entrance.to(first.ports.sc)
      const client = await connect(version, entrance.port, { autoReconnect: true })
      await client.subscribe('kept')
      entrance.target = second.ports.sc
      await first.stop()
      const drained = Date.now()
      await client.until('connect', 2)
      assert.ok(Date.now() - drained < 1_000, 'at once')
      const speaker = await connect(version, second.ports.sc)
      await until('the client to hear again', async () => {
        await speaker.publish('kept', 'again')
        return client.all('#kept').includes('again')
      })
      for (const one of [client, speaker]) await one.close()
      entrance.close()
      await second.stop()
    })
  }
})

describe('Python', () => {
  before(() => installClusterPython())

  for (const version of PYTHON) {
    test(`socketclusterclient ${version}`, async () => {
      const client = await PythonCluster.start(version, gateway.ports.auto)
      assert.match((await client.hears('connected')).id, /^[A-Za-z0-9_-]{20}$/)
      client.says({ emit: ['echo', { x: [1, 'é', null] }] })
      assert.deepEqual(await client.hears('answer'), { name: 'echo', error: '', data: { x: [1, 'é', null] } })
      client.says({ subscribe: 'snakes' })
      await client.hears('subscribed')
      const other = await connect('20.0.2', gateway.ports.auto)
      await other.publish('snakes', { from: 'js' })
      assert.deepEqual(await client.hears('message'), { channel: 'snakes', data: { from: 'js' } })
      await other.subscribe('snakes')
      client.says({ publish: ['snakes', { from: version }] })
      assert.deepEqual(await other.until('#snakes'), [{ from: version }])
      client.says({ emit: ['auth', { username: 'python' }] })
      await client.hears('token')
      await client.hears('answer')
      client.says({ emit: ['whoami', null] })
      assert.deepEqual((await client.hears('answer')).data, { user: 'python', state: 'authenticated' })
      await other.close()
      client.stop()
    })
  }
})
