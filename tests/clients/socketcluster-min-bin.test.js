'use strict'
// Listeners with the codec of npm sc-codec-min-bin: its clients of both generations, and what is no packet to it.

const assert = require('node:assert/strict')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const codec = require('sc-codec-min-bin')
const { FrameClient } = require('./lib/frame-client')
const { Polyport, ROOT } = require('./lib/polyport')
const { connect, isOld } = require('./lib/socketcluster')
const { until } = require('./lib/wait')

const VERSIONS = ['8.0.2', '14.3.2', '15.1.0', '20.0.2']
const PATH = '/socketcluster/'
const application = { kind: 'script', file: path.join(ROOT, 'tests', 'clients', 'programs', 'socketcluster-script.js') }
const tokens = { leeway: '0s', require_expiry: false, user_claim: 'username', keys: [{ algorithm: 'HS256', secret: 'env:POLYPORT_JWT_SECRET' }] }

const listener = (devtools, more = {}) => ({
  protocol: 'devtools-relay', backends: ['application'], realm: 'shared', auth: { tokens: 'main', on_expiry: 'downgrade' },
  devtools: { codec: 'min-bin', ack_timeout: '700ms', ...devtools }, ...more,
})

let gateway
before(async () => {
  gateway = await Polyport.start(
    {
      tokens: { main: tokens },
      backends: { application },
      listeners: {
        auto: listener({}),
        json: listener({ codec: 'json' }),
        beating: listener({ ping_interval: '500ms', ping_timeout: '2s' }),
        v1: listener({ protocol_version: 1 }),
        v2: listener({ protocol_version: 2 }),
      },
    },
    { env: { POLYPORT_JWT_SECRET: 'polyport-test-key' } },
  )
})
after(() => gateway?.stop())

const bytes = (...values) => Uint8Array.from(values).buffer

/** Buffers as lists of their bytes, so that they can be compared. */
const plain = (value) => {
  if (value instanceof ArrayBuffer) return { bytes: [...new Uint8Array(value)] }
  if (Array.isArray(value)) return value.map(plain)
  return value && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)])) : value
}

const binary = (version, name, more = {}) => connect(version, gateway.ports[name], { codecEngine: codec, ...more })

for (const version of VERSIONS) {
  describe(`socketcluster-client ${version}`, () => {
    test('calls and is called', async () => {
      const client = await binary(version, 'auto')
      assert.match(client.id, /^[\w-]{20}$/)
      const long = 'é'.repeat(40_000)
      for (const value of [{ x: [1, 'é', null, true] }, -1.5, 2 ** 31, 2 ** 53, -40_000, long, Array.from({ length: 70_000 }, (_, n) => n % 300)]) {
        assert.deepEqual(await client.invoke('echo', value), value)
      }
      for (const value of [bytes(1, 2, 255), bytes(), { a: [bytes(7), { b: bytes(...Array(255).fill(9)) }] }]) {
        assert.deepEqual(plain(await client.invoke('echo', value)), plain(value))
      }
      const failed = await client.invoke('failing').then(assert.fail, (error) => error)
      assert.deepEqual([failed.name, failed.message, failed.detail], ['CustomError', 'it failed', { a: 1 }])
      client.answers('client-proc', (data) => (data === 'err' ? { error: Object.assign(new Error('client says no'), { name: 'ClientNo' }) } : { value: { you: data } }))
      assert.deepEqual(await client.invoke('callme', 5), { got: { you: 5 } })
      const refused = await client.invoke('callme', 'err').then(assert.fail, (error) => error)
      assert.deepEqual([refused.name, refused.message], ['ClientNo', 'client says no'])
      client.listens('tx-back')
      client.transmit('tx', { n: bytes(3) })
      assert.deepEqual(plain(await client.until('tx-back')), [{ n: { bytes: [3] } }])
      await client.close()
    })

    test('shares channels with clients that have no codec', async () => {
      const channel = `news-${version}`
      const [client, other] = [await binary(version, 'auto'), await connect('20.0.2', gateway.ports.json)]
      for (const one of [client, other]) await one.subscribe(channel)
      await client.publish(channel, { b: bytes(1, 2) })
      await other.publish(channel, { n: 1 })
      await other.publish(channel, { base64: true, data: 'aGk=' })
      assert.deepEqual(plain(await client.until(`#${channel}`, 3)), [{ b: { bytes: [1, 2] } }, { n: 1 }, { bytes: [104, 105] }])
      assert.deepEqual(await other.until(`#${channel}`, 3), [{ b: { base64: true, data: 'AQI=' } }, { n: 1 }, { base64: true, data: 'aGk=' }])
      await client.invoke('kick', { channel, message: 'out!' })
      await client.until('kickOut')
      await client.subscribe('forbidden')
      assert.match(JSON.stringify(await client.until('subscribeFail')), /ForbiddenError/)
      for (const one of [client, other]) await one.close()
    })

    test('gets a token, shows it, and is sent away', async () => {
      const client = await binary(version, 'auto')
      await client.invoke('auth', { username: `alice-${version}` })
      await until('the client to have its token', () => client.token)
      const { token } = client
      await client.close()
      const again = await binary(version, 'auto', { token })
      assert.equal(again.all('connect')[0].isAuthenticated, true)
      await again.invoke('bye', { code: 4321, reason: 'go away' })
      const [end] = await again.until('disconnect')
      assert.deepEqual(isOld(version) ? [].concat(end) : [end.code, end.reason], [4321, 'go away'])
    })

    test('answers pings, which are text in generation 2 only', async () => {
      const client = await binary(version, 'beating')
      const start = Date.now()
      while (Date.now() - start < 5_000) await client.barrier()
      assert.deepEqual(client.all('disconnect'), [])
      await client.close()
    })
  })
}

// As servers 14.7.2 and 20.0.1 with the codec did.
for (const version of [1, 2]) {
  describe(`what is no packet, to generation ${version}`, () => {
    const name = `v${version}`
    const handshake = codec.encode({ event: '#handshake', data: { authToken: null }, cid: 1 })
    const call = codec.encode({ event: 'echo', data: 'after', cid: 3 })
    const json = JSON.stringify({ event: '#handshake', data: {}, cid: 1 })
    const open = () => FrameClient.open({ port: gateway.ports[name], path: PATH })
    const ready = async () => {
      const client = await open()
      await client.send('binary', handshake)
      assert.equal(codec.decode((await client.next()).payload).rid, 1)
      return client
    }
    const noPackets = [
      ['text', json], ['text', 'hello'], ['text', '#2'], ['binary', Buffer.from(json)], ['binary', Buffer.from([0xc1])], ['binary', Buffer.from([5])],
      ['binary', Buffer.from([0xc0])], ['binary', Buffer.alloc(0)], ['binary', handshake.subarray(0, 4)],
    ]

    for (const [kind, payload] of noPackets) {
      test(`${kind} ${payload.toString(kind === 'text' ? 'utf8' : 'hex')}`, async () => {
        const stranger = await open()
        await stranger.send(kind, payload)
        const end = await stranger.next()
        assert.deepEqual([end.kind, end.code, end.reason], ['close', 4009, ''])
        stranger.close()

        const invalid = async () => (await gateway.metrics()).sum('polyport_invalid_messages_total', { listener: name })
        const client = await ready()
        const before = await invalid()
        await client.send(kind, payload)
        await client.send('binary', call)
        assert.equal((await client.next()).payload.toString('hex'), '81a1729303c0a56166746572', 'it goes on')
        assert.equal((await invalid()) - before, 1)
        client.close()
      })
    }

    test('packets as they are in JSON, bytes behind a packet, and lists', async () => {
      const client = await open()
      await client.send('binary', Buffer.from('\x83\xa5event\xaa#handshake\xa4data\x80\xa3cid\x01', 'latin1'))
      assert.equal(codec.decode((await client.next()).payload).rid, 1)
      await client.send('binary', Buffer.concat([call, Buffer.from([1, 2])]))
      assert.equal((await client.next()).payload.toString('hex'), '81a1729303c0a56166746572')
      await client.send('binary', codec.encode([{ event: 'echo', data: 1, cid: 4 }, { event: 'echo', data: 2, cid: 5 }]))
      assert.equal((await client.next()).payload.toString('hex'), '81a1729304c001')
      assert.equal((await client.next()).payload.toString('hex'), '81a1729305c002')
      client.close()
    })
  })
}
