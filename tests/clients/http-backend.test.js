'use strict'
// The sample services of the documentation behind the real gateway, and services that fail.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const { createHmac } = require('node:crypto')
const http = require('node:http')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { FrameClient } = require('./lib/frame-client')
const { LineClient } = require('./lib/line-client')
const { Polyport, ROOT } = require('./lib/polyport')
const { freePort } = require('./lib/ports')
const { RpcClient } = require('./lib/rpc-client')
const { verbsListener } = require('./lib/verbs')
const { until, within } = require('./lib/wait')

const SECRET = 'a secret of this test'

const post = (port, body, headers = {}) =>
  new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, method: 'POST', agent: false, headers }, (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode))
    })
    request.on('error', reject)
    request.end(body)
  })

/** Starts a sample service and waits until it answers. */
async function startSample(command, file) {
  const port = await freePort()
  const child = spawn(command, [path.join(ROOT, 'docs', 'examples', file)], {
    env: { ...process.env, APP_SECRET: SECRET, PORT: String(port) },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors += text
  })
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  await until(
    () => `${file} to answer; it said: ${errors}`,
    () => Promise.race([ended.then(() => Promise.reject(new Error(errors))), post(port, '{}').catch(() => null)]),
  )
  return {
    port,
    async stop() {
      kill()
      process.removeListener('exit', kill)
      await ended
    },
  }
}

for (const [command, file] of [
  ['node', 'service.js'],
  ['python3', 'service.py'],
]) {
  describe(file, () => {
    let gateway
    let service
    const open = (token) => RpcClient.open({ port: gateway.ports.rpc, path: `/?token=${token}` })

    before(async () => {
      service = await startSample(command, file)
      gateway = await Polyport.start(
        {
          backends: {
            app: {
              kind: 'http',
              url: `http://127.0.0.1:${service.port}/polyport`,
              hooks: ['open', 'close'],
              secrets: ['env:APP_SECRET'],
            },
          },
          listeners: {
            rpc: { protocol: 'ws-rpc', backends: ['app'], join: ['lobby'] },
            tcp: verbsListener({ join: ['lobby'] }),
            pocket: { protocol: 'ws-channels', join: ['lobby'] },
          },
        },
        { env: { APP_SECRET: SECRET } },
      )
    })
    after(async () => {
      await gateway?.stop()
      await service?.stop()
    })

    test('lets in who has a token, and nobody else', async () => {
      const client = await open('ann-1')
      assert.deepEqual(await client.call('greet', 'you'), { ok: true, value: { text: 'Hello you, says ann' } })
      client.close()
      await assert.rejects(open('nobody'), /401/)
    })

    test('has its data of each session', async () => {
      const [ann, bob] = [await open('ann-1'), await open('bob-2')]
      for (const count of [1, 2, 3]) assert.deepEqual(await ann.call('count'), { ok: true, value: { count } })
      assert.deepEqual(await bob.call('count'), { ok: true, value: { count: 1 } })
      ann.close()
      bob.close()
    })

    test('names the action that it has not, also one that every object has', async () => {
      const client = await open('ann-1')
      for (const name of ['nothing', 'toString']) {
        assert.deepEqual(await client.call(name), { ok: false, value: `there is no action ${name}` })
      }
      client.close()
    })

    test('pushes to sessions of every protocol before it answers', async () => {
      const telnet = await LineClient.open({ port: gateway.ports.tcp })
      const page = await FrameClient.open({ port: gateway.ports.pocket })
      const client = await open('ann-1')
      assert.deepEqual(await client.call('announce', { n: 1 }), { ok: true, value: null })
      assert.deepEqual(client.received, [[-1, 'news', { n: 1 }]])
      assert.match(await telnet.next(), /^\{"message":\{"n":1\},"room":"lobby",.*"context":"api",.*"event":"news"\}$/)
      assert.equal(await page.nextText(), '{"id":null,"message":"lobby.news","data":{"n":1}}')
      for (const one of [telnet, page, client]) one.close()
    })

    test('is told of the end of its sessions', async () => {
      const labels = { backend: 'app', request: 'close', outcome: 'ok' }
      const before = (await gateway.metrics()).sum('polyport_backend_requests_total', labels)
      const client = await open('ann-1')
      client.close()
      await gateway.counted('polyport_backend_requests_total', labels, (count) => count > before)
    })

    test('answers nobody without the secret', async () => {
      const body = JSON.stringify({ request: 'open', open: { target: '/?token=ann-1' } })
      const sign = (time, secret) => {
        const hex = createHmac('sha256', secret).update(`${time}.${body}`).digest('hex')
        return { 'polyport-signature': `t=${time},v1=${hex}` }
      }
      const now = Math.floor(Date.now() / 1000)
      assert.equal(await post(service.port, body), 401)
      assert.equal(await post(service.port, body, sign(now, 'another')), 401)
      assert.equal(await post(service.port, body, sign(now - 3600, SECRET)), 401)
      assert.equal(await post(service.port, body, sign(now, SECRET)), 200)
    })
  })
}

/** What a failing service does with a connection on which a request has come. */
const FAULTS = [
  ['resets', (_, response) => response.socket.resetAndDestroy(), 'the backend cannot be reached', 'unreachable'],
  ['hangs', () => {}, 'the action did not answer in time', 'timeout'],
  ['fails', (_, response) => response.writeHead(500).end('password=1'), 'The server experienced an internal error', 'failed'],
  ['speaks', (_, response) => response.end('<html>'), "the backend's answer cannot be used", 'bad_answer'],
  ['floods', (_, response) => response.end(`{"result":"${'x'.repeat(100_000)}"}`), "the backend's answer cannot be used", 'bad_answer'],
  [
    'halves',
    (_, response) => {
      response.writeHead(200, { 'content-length': 20 })
      response.write('{"resu', () => response.socket.destroy())
    },
    'the backend cannot be reached',
    'unreachable',
  ],
]

describe('services that fail', () => {
  let gateway
  let service

  before(async () => {
    const behaviour = Object.fromEntries(FAULTS.map(([name, act]) => [name, act]))
    service = http.createServer(async (request, response) => {
      const { call } = JSON.parse(Buffer.concat(await request.toArray()).toString())
      if (Object.hasOwn(behaviour, call.action)) behaviour[call.action](request, response)
      else response.end('{"result":{"fine":true}}')
    })
    await new Promise((resolve) => service.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${service.address().port}/`
    const backend = (more) => ({ kind: 'http', timeout: '500ms', answer: '64KiB', ...more })
    gateway = await Polyport.start({
      backends: {
        app: backend({ url }),
        down: backend({ url: `http://127.0.0.1:${await freePort()}/`, breaker: { failures: 2, pause: '60s' } }),
      },
      listeners: {
        rpc: { protocol: 'ws-rpc', backends: ['app'] },
        tcp: verbsListener({ backends: ['app'] }),
        down: { protocol: 'ws-rpc', backends: ['down'] },
      },
    })
  })
  after(async () => {
    await gateway?.stop()
    service?.closeAllConnections()
    service?.close()
  })

  const outcomes = async (backend) => {
    const metrics = await gateway.metrics()
    const samples = metrics.matching('polyport_backend_requests_total', { backend, request: 'call' })
    return Object.fromEntries(samples.map((sample) => [sample.labels.outcome, sample.value]))
  }

  for (const [name, , text, outcome] of FAULTS) {
    test(name, async () => {
      const before = await outcomes('app')
      const client = await RpcClient.open({ port: gateway.ports.rpc })
      assert.deepEqual(await client.call(name), { ok: false, value: text })
      const telnet = await LineClient.open({ port: gateway.ports.tcp })
      await telnet.send(name)
      assert.equal(JSON.parse(await telnet.next()).error, text)
      const after = await outcomes('app')
      const grown = Object.keys(after).filter((label) => after[label] > (before[label] ?? 0))
      assert.deepEqual(grown, [outcome])
      assert.equal(after[outcome] - before[outcome], 2)
      assert.deepEqual(await client.call('other'), { ok: true, value: { fine: true } })
      client.close()
      telnet.close()
    })
  }

  test('one that refuses connections is left alone after some failures', async () => {
    const client = await RpcClient.open({ port: gateway.ports.down })
    for (let call = 0; call < 4; call += 1) {
      assert.deepEqual(await client.call('any'), { ok: false, value: 'the backend cannot be reached' })
    }
    const { unreachable, circuit_open: left } = await outcomes('down')
    assert.deepEqual([unreachable, left], [2, 2])
    const metrics = await gateway.metrics()
    assert.equal(metrics.sum('polyport_backend_available', { backend: 'down' }), 0)
    assert.equal(metrics.sum('polyport_backend_available', { backend: 'app' }), 1)
    client.close()
  })

  test('calls in flight are answered before the gateway stops', async () => {
    const client = await RpcClient.open({ port: gateway.ports.rpc })
    const call = client.call('hangs')
    await gateway.counted('polyport_backend_in_flight', { backend: 'app' }, (count) => count === 1)
    const stopped = gateway.stop()
    assert.deepEqual(await call, { ok: false, value: 'the action did not answer in time' })
    await within(stopped, 10_000, () => 'the end of the gateway')
  })
})
