'use strict'
// What gateways say to servers and not to their clients (`serverSideEmit`), and what Node servers and other gateways answer,
// by every way in which they meet.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { temporaryFolder } = require('./lib/polyport')
const { RedisCluster, RedisServer } = require('./lib/redis')
const { backplaneOf } = require('./lib/redis-gateways')
const { ServerPeer } = require('./lib/redis-peers')
const { RpcClient } = require('./lib/rpc-client')
const { connect } = require('./lib/socket-io')
const { GatewayServer, SCRIPT } = require('./lib/socket-io-servers')
const { until } = require('./lib/wait')

process.on('unhandledRejection', () => {})

const CLASSIC = '4.8.4 + @socket.io/redis-adapter 8.3.0'
const OLDER = '4.4.1 + @socket.io/redis-adapter 7.2.0'
const SHARDED = `${CLASSIC} sharded`
const STREAMS = '4.8.4 + @socket.io/redis-streams-adapter 0.3.1'
const AT_ONCE = 1_000

/** Answers servers by its name, and lets clients speak to servers. */
const desk = (name) => `const polyport = require('polyport')
exports.hello = { name: 'serverSide:hello', inputs: { first: {}, second: {} },
  run: ({ params: { first, second } }) => ({ gateway: '${name}', first, second }) }
exports.tell = { name: 'serverSide:tell', inputs: { room: {}, text: {} },
  run: ({ params: { room, text } }) => { polyport.publish({ room }, 'news', '${name}: ' + text) } }
exports.ask = { name: 'ask', inputs: { event: {}, arg: {} },
  run: ({ params }) => polyport.serverSideEmit(params.event, params.arg) }
`

const by = (...adapters) => ({ socket_io: { adapters } })

const ways = {
  'classic adapters': { backplane: by('classic'), peers: [CLASSIC, OLDER] },
  'sharded adapters': { backplane: by('sharded'), peers: [SHARDED] },
  'both kinds': { backplane: by('classic', 'sharded-static'), peers: [CLASSIC, SHARDED], options: { subscriptionMode: 'static' } },
  'both kinds on a Cluster': { backplane: by('classic', 'sharded'), peers: [CLASSIC, SHARDED], kind: RedisCluster, client: 'ioredis' },
  'a stream': { backplane: { engine: 'redis-streams' }, peers: [STREAMS, STREAMS] },
}

async function startGateway(redis, name, backplane) {
  const folder = temporaryFolder()
  const file = path.join(folder, 'desk.js')
  fs.writeFileSync(file, desk(name))
  return GatewayServer.start({
    config: {
      backends: { walk: { kind: 'script', file: SCRIPT }, desk: { kind: 'script', file } },
      backplane: backplaneOf(redis, backplane),
    },
    listener: { backends: ['walk', 'desk'] },
    listeners: { rpc: { protocol: 'ws-rpc', backends: ['desk'] } },
  })
}

const sorted = (answers) => answers.map((answer) => JSON.stringify(answer)).sort()

for (const [name, { backplane, peers, options, kind = RedisServer, client }] of Object.entries(ways)) {
  describe(`what is said to servers, with ${name}`, () => {
    let redis
    let gateways
    let nodes
    let listeners

    before(async () => {
      redis = await kind.start()
      gateways = await Promise.all(['a', 'b'].map((it) => startGateway(redis, it, backplane)))
      nodes = await Promise.all(peers.map((peer) =>
        ServerPeer.start(peer, redis, { client, options: peer === SHARDED ? options : undefined })))
      // A namespace that nobody is in is none for a gateway.
      const urls = [...gateways, ...nodes].flatMap(({ url }) => [url, `${url}/admin`])
      listeners = await Promise.all(urls.map(async (url) => {
        const listener = connect('4.8.4', url, { transports: 'websocket' })
        await listener.connected()
        return listener
      }))
      const classic = peers.filter((peer) => peer === CLASSIC || peer === OLDER).length
      await until('everybody to be asked', async () => {
        const isThere = []
        for (const of of ['/', '/admin']) {
          if (classic > 0) isThere.push((await redis.subscribers(`socket.io-request#${of}#`)) === 2 + classic)
          if (peers.includes(STREAMS)) isThere.push((await redis.subscribers(`socket.io#${of}#`)) === 4)
          if (peers.includes(SHARDED)) isThere.push((await redis.shardSubscribers(`socket.io#${of}#`)) === 3)
        }
        return isThere.every(Boolean)
      })
    })
    after(async () => {
      for (const listener of listeners ?? []) listener.close()
      for (const server of [...(nodes ?? []), ...(gateways ?? [])]) await server.stop()
      await redis?.stop()
    })

    const answersOfNodes = () => nodes.map(({ port }) => ({ port }))

    test('Node servers and the other gateway answer the server API, each once', async () => {
      const begun = Date.now()
      const said = await gateways[0].api('serverSideEmit', { event: 'hello', args: [{ a: 1 }, 'b'] })
      assert.ok(Date.now() - begun < AT_ONCE, 'nobody is waited for in vain')
      const expected = [...answersOfNodes(), { gateway: 'b', first: { a: 1 }, second: 'b' }]
      assert.deepEqual({ ...said, answers: sorted(said.answers) }, { answers: sorted(expected), complete: true })
      for (const node of nodes) {
        const heard = () => node.heard.filter(({ args }) => args[1] === 'b')
        await until(`the word of ${node.name}`, () => heard().length > 0)
        assert.deepEqual(heard(), [{ namespace: '/', args: [{ a: 1 }, 'b'] }], node.name)
      }
      for (const listener of listeners) assert.deepEqual(listener.entries('event', 'hello'), [])
    })

    test('in a namespace, with one argument', async () => {
      const said = await gateways[1].api('serverSideEmit', { realm: 'default/admin', event: 'hello', data: 7 })
      const expected = [...answersOfNodes(), { gateway: 'a', first: 7 }]
      assert.deepEqual({ ...said, answers: sorted(said.answers) }, { answers: sorted(expected), complete: true })
      const isIt = ({ namespace, args }) => namespace === '/admin' && args[0] === 7
      for (const node of nodes) await until(`the word of ${node.name}`, () => node.heard.some(isIt))
    })

    test('a script gets the same answers', async () => {
      const asker = await RpcClient.open({ port: gateways[0].gateway.ports.rpc })
      const { ok, value } = await asker.call('ask', 'hello', 'from a script')
      assert.equal(ok, true, JSON.stringify(value))
      const { answers, complete } = value
      const expected = [...answersOfNodes(), { gateway: 'b', first: 'from a script' }]
      assert.deepEqual([sorted(answers), complete], [sorted(expected), true])
      asker.close()
    })

    test('who does not answer is missed', async () => {
      const said = await gateways[0].api('serverSideEmit', { event: 'nobody knows', timeout: 300 })
      assert.deepEqual(said, { answers: [null], complete: false })
    })

    test('Node servers are answered by all gateways', async () => {
      for (const [index, node] of nodes.entries()) {
        const { error, answers } = await node.call('serverSideAsk', { event: ['hello', index] })
        const others = nodes.filter((it) => it !== node && (it.name === SHARDED) === (node.name === SHARDED))
        const expected = [...others.map(({ port }) => ({ port })), ...['a', 'b'].map((it) => ({ gateway: it, first: index }))]
        assert.deepEqual([error, sorted(answers)], [null, sorted(expected)], node.name)
      }
    })

    test('what Node servers want no answer to, each gateway hears once', async () => {
      const [listener] = listeners
      assert.deepEqual(await listener.ask('join', 'told'), [true])
      const tell = (text) => Promise.all(nodes.map((node) => node.call('serverSideEmit', { event: ['tell', 'told', text] })))
      const heard = (text) => listener.entries('event', 'news').filter(([, , it]) => it.endsWith(text)).map(([, , it]) => it[0]).sort()
      const everybody = ['a', 'b'].flatMap((name) => nodes.map(() => name))
      for (const text of ['first', 'the end']) {
        await tell(text)
        await until(() => `what gateways were told; ${listener.describe()}`, () => heard(text).length >= everybody.length)
      }
      assert.deepEqual(heard('first'), everybody)
    })
  })
}

test('refusals', async () => {
  const redis = await RedisServer.start()
  const gateway = await startGateway(redis, 'alone', by('classic'))
  const emit = (body) => gateway.api('serverSideEmit', body)
  await until('the link', async () => (await redis.subscribers('socket.io-request#/#')) === 1)
  assert.deepEqual(await emit({ event: 'hello' }), { answers: [], complete: true }, 'there is nobody else')
  await assert.rejects(emit({ event: 'hello', realm: 'nowhere' }), /404.*unknown_realm/)
  await assert.rejects(emit({ event: 'hello', timeout: 0 }), /422.*invalid_request/)
  await assert.rejects(emit({ event: 'hello', args: [], data: 1 }), /422.*invalid_request/)
  await assert.rejects(emit({ args: [] }), /422.*invalid_request/)
  await redis.kill()
  await until('the loss', async () => (await gateway.gateway.metrics()).sum('polyport_backplane_up') === 0)
  await assert.rejects(emit({ event: 'hello' }), /503.*out_of_reach/)
  const asker = await RpcClient.open({ port: gateway.gateway.ports.rpc })
  assert.deepEqual(await asker.call('ask', 'hello', 1), { ok: false, value: 'the other servers are out of reach' })
  asker.close()
  await gateway.stop()
  await redis.stop()
})
