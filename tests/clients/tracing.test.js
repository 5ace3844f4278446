'use strict'
// Traces: a collector reads what the gateway exports by OpenTelemetry's own definitions, and a service that is instrumented with
// OpenTelemetry for JavaScript takes part in them.

const assert = require('node:assert/strict')
const { createHash, randomBytes } = require('node:crypto')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { ROOT_CONTEXT, SpanKind, trace } = require('@opentelemetry/api')
const { W3CTraceContextPropagator } = require('@opentelemetry/core')
const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base')
const WebSocket = require('ws')
const { Collector } = require('./lib/collector')
const { LineClient } = require('./lib/line-client')
const { Polyport, run, temporaryFolder } = require('./lib/polyport')
const { freePort } = require('./lib/ports')
const { RedisServer } = require('./lib/redis')
const { startNode } = require('./lib/redis-gateways')
const { RpcClient } = require('./lib/rpc-client')
const { connect } = require('./lib/socket-io')
const { verbsListener } = require('./lib/verbs')
const { until } = require('./lib/wait')

const KEY = 'a-key-of-the-tracing-tests-0123456789'
const HASH = `sha256:${createHash('sha256').update(KEY).digest('hex')}`
const CALLER = { trace: '4bf92f3577b34da6a3ce929d0e0e4736', span: '00f067aa0ba902b7' }
const parentOf = ({ trace: id, span }, flags = '01') => `00-${id}-${span}-${flags}`

/** Text of a carrier for the propagator of OpenTelemetry. */
const carrier = { get: (headers, name) => headers[name], keys: (headers) => Object.keys(headers) }
const setter = { set: (headers, name, value) => { headers[name] = value } }

/** A service instrumented with OpenTelemetry: its spans go nowhere but into a list. */
async function startService() {
  const exporter = new InMemorySpanExporter()
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  const tracer = provider.getTracer('service')
  const propagator = new W3CTraceContextPropagator()
  const asked = []
  const server = http.createServer(async (request, response) => {
    const context = propagator.extract(ROOT_CONTEXT, request.headers, carrier)
    const span = tracer.startSpan('service', { kind: SpanKind.SERVER }, context)
    let body = ''
    for await (const part of request.setEncoding('utf8')) body += part
    const question = JSON.parse(body)
    asked.push({ question, headers: request.headers })
    const answers = {
      shout: { result: 'done', push: [{ publish: { to: { room: 'lobby' }, event: 'shouted', data: question.call?.args?.[0] } }] },
      fail: { status: 500 },
    }
    const { status = 200, ...answer } = answers[question.call?.action] ?? { result: true }
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
    span.end()
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    asked,
    url: `http://127.0.0.1:${server.address().port}/`,
    spans: () => exporter.getFinishedSpans(),
    stop: () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve) }),
  }
}

const api = (gateway, verb, body, headers = {}) =>
  fetch(`http://127.0.0.1:${gateway.ports.admin}/api/${verb}`, {
    method: body ? 'POST' : 'GET',
    headers: { authorization: `Bearer ${KEY}`, ...(body && { 'content-type': 'application/json' }), ...headers },
    ...(body && { body: JSON.stringify(body) }),
  })

/** The parent of `child` is `parent`, and it lies within it in time unless `later`. */
function hangsOn(child, parent, { later = false } = {}) {
  assert.deepEqual([child.trace, child.parent], [parent.trace, parent.id], `${child.name} is a part of ${parent.name}`)
  assert.ok(child.start >= parent.start && child.end >= child.start, 'time goes on')
  if (!later) assert.ok(child.end <= parent.end, `${child.name} ends before ${parent.name}`)
}

describe('a gateway that exports its traces', () => {
  let collector
  let service
  let gateway

  before(async () => {
    [collector, service] = [await Collector.start(), await startService()]
    const folder = temporaryFolder()
    fs.writeFileSync(path.join(folder, 'script.js'), `const polyport = require('polyport')
exports.tell = { name: 'tell', description: 'd', inputs: {}, async run () {
  await new Promise((resolve) => setTimeout(resolve, 5))
  polyport.publish({ room: 'lobby' }, 'told', 1)
  const answer = await fetch('${service.url}', { method: 'POST', body: '{}' })
  return { status: answer.status }
} }
exports.boom = { name: 'boom', description: 'd', inputs: {}, run () { for (;;) {} } }`)
    gateway = await Polyport.start(
      {
        api: { keys: { some: { hash: HASH } } },
        tracing: {
          endpoint: collector.endpoint,
          headers: { 'x-secret': 'env:COLLECTOR_SECRET' },
          service: 'gateway-of-tests',
          attributes: { 'deployment.environment.name': 'test' },
          interval: '50ms',
        },
        backends: {
          script: { kind: 'script', file: 'script.js', time: '1s', fetch: [new URL(service.url).host] },
          app: { kind: 'http', url: service.url, hooks: ['open'] },
        },
        listeners: {
          rpc: { protocol: 'ws-rpc', backends: ['script', 'app'], join: ['lobby'], traceparent: 'trust' },
          tcp: verbsListener({ backends: ['script', 'builtin'], join: ['lobby'] }),
          messaging: { protocol: 'socket-io', backends: ['builtin'], join: ['lobby'], socket_io: { publish: [{ event: 'chat', rooms: ['lobby'] }] } },
          pocket: { protocol: 'ws-channels' },
        },
      },
      { folder, env: { COLLECTOR_SECRET: 'hunter2' } },
    )
  })
  after(async () => {
    await gateway?.stop()
    await service?.stop()
    await collector?.stop()
  })

  test('from a call through a service to the frames that it causes', async () => {
    const telnet = await LineClient.open({ port: gateway.ports.tcp })
    const client = await RpcClient.open({ port: gateway.ports.rpc })
    assert.deepEqual(await client.call('shout', 'hello'), { ok: true, value: 'done' })
    await telnet.next()
    const call = await collector.span('call shout')
    assert.deepEqual([call.kind, call.parent, call.error], ['SERVER', '', null])
    assert.deepEqual(call.attributes, {
      'polyport.action': 'shout', 'polyport.listener': 'rpc', 'polyport.protocol': 'ws-rpc', 'polyport.outcome': 'ok',
    })
    assert.ok(call.end > call.start && call.flags === 1)
    const of = (span) => span.trace === call.trace
    const ask = await collector.span('ask app', { 'polyport.request': 'call', 'polyport.outcome': 'ok' }, of)
    hangsOn(ask, call)
    const post = await collector.span('POST', { 'http.response.status_code': 200, 'polyport.attempt': 1 }, of)
    hangsOn(post, ask)
    assert.equal(post.kind, 'CLIENT')
    const served = service.spans().find((span) => span.spanContext().traceId === call.trace)
    assert.equal(served.parentSpanContext.spanId, post.id, 'as OpenTelemetry has read it')
    const publish = await collector.span('publish', { 'polyport.event': 'shouted', 'polyport.room': 'lobby', 'polyport.sessions': 2 }, of)
    hangsOn(publish, call)
    const deliver = await collector.span('deliver', { 'polyport.sessions': 2, 'polyport.dialects': 2 }, of)
    hangsOn(deliver, publish)
    assert.deepEqual([publish.kind, deliver.kind], ['PRODUCER', 'CONSUMER'])
    client.close()
    telnet.close()
  })

  test('what a collector hears of the process, and what of it is secret', async () => {
    const { resource } = await collector.span('call shout')
    assert.deepEqual(Object.keys(resource).sort(), ['deployment.environment.name', 'service.instance.id', 'service.name', 'service.version'])
    assert.deepEqual([resource['service.name'], resource['deployment.environment.name']], ['gateway-of-tests', 'test'])
    for (const { method, url, headers } of collector.requests) {
      assert.deepEqual([method, url, headers['content-type'], headers['x-secret']], ['POST', '/v1/traces', 'application/x-protobuf', 'hunter2'])
    }
    const shown = run(['config', '--config', gateway.file], { env: { COLLECTOR_SECRET: 'hunter2' } }).stdout
    assert.ok(shown.includes('env:COLLECTOR_SECRET') && !(shown + gateway.log).includes('hunter2'))
  })

  test('from a script, also after it has waited, and to what it fetches', async () => {
    const client = await LineClient.open({ port: gateway.ports.tcp })
    await client.send('tell')
    const call = await collector.span('call tell', { 'polyport.protocol': 'tcp-verbs', 'polyport.outcome': 'ok' })
    const of = (span) => span.trace === call.trace
    const ask = await collector.span('ask script', { 'polyport.outcome': 'ok' }, of)
    hangsOn(ask, call)
    const publish = await collector.span('publish', { 'polyport.event': 'told' }, of)
    hangsOn(publish, ask)
    hangsOn(await collector.span('deliver', {}, of), publish)
    const fetched = await collector.span('fetch', { 'http.response.status_code': 200 }, of)
    hangsOn(fetched, ask)
    const served = service.spans().find((span) => span.spanContext().traceId === call.trace)
    assert.equal(served.parentSpanContext.spanId, fetched.id)
    client.close()
  })

  test('a session belongs to the trace of its handshake', async () => {
    const headers = { traceparent: parentOf(CALLER), tracestate: 'vendor=1' }
    const client = await RpcClient.open({ port: gateway.ports.rpc, headers })
    await client.call('shout', 'again')
    const of = (span) => span.trace === CALLER.trace
    const call = await collector.span('call shout', {}, of)
    assert.deepEqual([call.parent, call.state], [CALLER.span, 'vendor=1'])
    const open = await collector.span('ask app', { 'polyport.request': 'open' }, of)
    assert.equal(open.parent, CALLER.span)
    hangsOn(await collector.span('POST', {}, (span) => of(span) && span.parent === open.id), open)
    const asked = service.asked.filter((it) => it.headers.traceparent?.includes(CALLER.trace))
    assert.deepEqual(asked.map((it) => it.headers.tracestate), ['vendor=1', 'vendor=1'])
    client.close()
  })

  test('the handshakes of Socket.IO and Pocketsocket, and what their clients publish', async () => {
    const [mine, theirs] = ['1'.repeat(32), '2'.repeat(32)]
    const socket = connect('4.8.4', `http://127.0.0.1:${gateway.ports.messaging}`, {
      transports: 'websocket',
      headers: { traceparent: parentOf({ ...CALLER, trace: mine }) },
    })
    await socket.connected()
    socket.emit('chat', 'hi')
    const publish = await collector.span('publish', { 'polyport.event': 'chat' }, (span) => span.trace === mine)
    assert.equal(publish.parent, CALLER.span)
    assert.ok(!collector.spans.some((span) => span.attributes['polyport.action'] === 'chat'), 'what is published is no call')
    socket.close()
    const pocket = new WebSocket(`ws://127.0.0.1:${gateway.ports.pocket}`, { headers: { traceparent: parentOf({ ...CALLER, trace: theirs }) } })
    await new Promise((resolve) => pocket.once('open', resolve))
    pocket.send(JSON.stringify({ id: '1', message: 'lobby.x', data: 1 }))
    const relay = await collector.span('relay', { 'polyport.listener': 'pocket' }, (span) => span.trace === theirs)
    assert.equal(relay.parent, CALLER.span)
    pocket.terminate()
  })

  test('the server API goes on with the trace of its caller, as OpenTelemetry writes it', async () => {
    const provider = new BasicTracerProvider()
    const span = provider.getTracer('caller').startSpan('caller')
    const headers = {}
    new W3CTraceContextPropagator().inject(trace.setSpan(ROOT_CONTEXT, span), headers, setter)
    const answer = await api(gateway, 'publish', { to: { room: 'lobby' }, event: 'pushed', args: [] }, headers)
    assert.equal(answer.status, 200)
    const { traceId, spanId } = span.spanContext()
    const post = await collector.span('POST /api/publish', { 'http.response.status_code': 200 })
    assert.deepEqual([post.trace, post.parent, post.kind], [traceId, spanId, 'SERVER'])
    const publish = await collector.span('publish', { 'polyport.event': 'pushed' })
    hangsOn(publish, post)
    hangsOn(await collector.span('deliver', {}, (it) => it.trace === traceId), publish)
  })

  test('what is malformed begins a trace of its own, and what is not kept there is not kept here', async () => {
    const body = { to: { room: 'lobby' }, event: 'odd', args: [] }
    for (const traceparent of ['nonsense', parentOf(CALLER).toUpperCase(), parentOf({ ...CALLER, span: '0'.repeat(16) })]) {
      await api(gateway, 'publish', { ...body, event: traceparent.slice(0, 20) }, { traceparent })
      const publish = await collector.span('publish', { 'polyport.event': traceparent.slice(0, 20) })
      assert.notEqual(publish.trace, CALLER.trace)
    }
    const unkept = { ...CALLER, trace: '3'.repeat(32) }
    await api(gateway, 'publish', { ...body, event: 'unkept' }, { traceparent: parentOf(unkept, '00') })
    const client = await RpcClient.open({ port: gateway.ports.rpc, headers: { traceparent: parentOf(unkept, '00') } })
    await client.call('shout', 'x')
    const told = service.asked.filter((it) => it.headers.traceparent.includes(unkept.trace))
    assert.deepEqual(told.map((it) => it.headers.traceparent.slice(-2)), ['00', '00'], 'the service hears so')
    await api(gateway, 'publish', { ...body, event: 'last' })
    await collector.span('publish', { 'polyport.event': 'last' })
    assert.ok(!collector.spans.some((span) => span.trace === unkept.trace))
    client.close()
  })

  test('what fails says why, and names that clients make up are no names of spans', async () => {
    const client = await RpcClient.open({ port: gateway.ports.rpc })
    await client.call('fail')
    const call = await collector.span('call fail', { 'polyport.outcome': 'internal' })
    assert.equal(call.error, 'internal')
    const post = await collector.span('POST', { 'http.response.status_code': 500 }, (span) => span.trace === call.trace)
    assert.equal(post.error, 'it answered with status 500 Internal Server Error')
    const line = JSON.parse(await gateway.logged(/"the service has failed"/))
    assert.deepEqual([line.trace_id, line.backend, line.level], [call.trace, 'app', 'WARN'])
    const telnet = await LineClient.open({ port: gateway.ports.tcp })
    await telnet.send('boom', 'no-such-action')
    const boom = await collector.span('call boom', { 'polyport.outcome': 'over_limit' })
    const ask = await collector.span('ask script', { 'polyport.outcome': 'time_limit' }, (span) => span.trace === boom.trace)
    assert.deepEqual([boom.error, ask.error], ['over_limit', 'time_limit'])
    const unknown = await collector.span('call', { 'polyport.action': 'no-such-action', 'polyport.outcome': 'unknown_action' })
    assert.equal(unknown.error, null, 'it is the caller to blame')
    telnet.close()
    client.close()
  })

  test('all spans that were made were sent', async () => {
    const { sum } = { sum: async (outcome) => (await gateway.metrics()).sum('polyport_trace_spans_total', { outcome }) }
    await until('all to be counted', async () => (await sum('sent')) === collector.spans.length)
    assert.deepEqual([await sum('dropped'), await sum('failed')], [0, 0])
  })
})

describe('what is believed of clients that say which trace they belong to', () => {
  const LISTENERS = ['ignore', 'ids', 'trust']
  let collector
  let service
  let gateway

  before(async () => {
    [collector, service] = [await Collector.start(), await startService()]
    const rpc = (more) => ({ protocol: 'ws-rpc', backends: ['app'], ...more })
    gateway = await Polyport.start({
      api: { keys: { some: { hash: HASH } } },
      tracing: { endpoint: collector.endpoint, interval: '20ms', ratio: 0 },
      backends: { app: { kind: 'http', url: service.url, hooks: ['open'] } },
      listeners: { ignore: rpc({ traceparent: 'ignore' }), ids: rpc(), trust: rpc({ traceparent: 'trust' }) },
    })
  })
  after(async () => {
    await gateway?.stop()
    await service?.stop()
    await collector?.stop()
  })

  const reload = async (more) => {
    const from = gateway.log.length
    gateway.configure({ ...gateway.config, ...more })
    gateway.signal('SIGHUP')
    await gateway.logged(/configuration reloaded/, { from })
  }

  /** A client of a listener, of a trace of its own: that trace, and what the service was asked for it: `open`, then the call. */
  async function come(listener, { flags = '01', state = 'vendor=1' } = {}) {
    const mine = randomBytes(16).toString('hex')
    const from = service.asked.length
    const client = await RpcClient.open({
      port: gateway.ports[listener],
      headers: { traceparent: parentOf({ ...CALLER, trace: mine }, flags), tracestate: state },
    })
    assert.deepEqual(await client.call('shout', listener), { ok: true, value: 'done' })
    client.close()
    const asked = service.asked.slice(from)
    assert.equal(asked.length, 2)
    const told = asked.map(({ headers }) => [headers.traceparent.split('-')[1] === mine, headers.traceparent.slice(-2), headers.tracestate])
    const shown = Object.fromEntries(Object.entries(asked[0].question.open.headers).map(([name, values]) => [name, String(values)]))
    return { mine, told, shown: [shown.traceparent, shown.tracestate] }
  }
  const kept = (mine) => collector.spans.filter((span) => span.trace === mine).map(({ name }) => name)

  test('where nothing is kept, only those who are trusted have their traces kept', async () => {
    const [ignored, ids, trusted] = [await come('ignore'), await come('ids'), await come('trust')]
    assert.deepEqual(ignored.told, [[false, '00', undefined], [false, '00', undefined]])
    assert.deepEqual(ids.told, [[true, '00', undefined], [true, '00', undefined]])
    assert.deepEqual(trusted.told, [[true, '01', 'vendor=1'], [true, '01', 'vendor=1']])
    const call = await collector.span('call shout', { 'polyport.listener': 'trust' })
    assert.deepEqual([call.trace, call.parent, call.state], [trusted.mine, CALLER.span, 'vendor=1'])
    assert.deepEqual([kept(ignored.mine), kept(ids.mine)], [[], []])
    assert.ok(collector.spans.every((span) => span.trace === trusted.mine))
  })

  test('what backends see of the headers is what counts', async () => {
    const seen = {}
    for (const listener of LISTENERS) {
      const { mine, shown } = await come(listener)
      seen[listener] = [shown[0]?.replace(mine, 'MINE'), shown[1]]
    }
    assert.deepEqual(seen, {
      ignore: [undefined, undefined],
      ids: [`00-MINE-${CALLER.span}-00`, undefined],
      trust: [`00-MINE-${CALLER.span}-01`, 'vendor=1'],
    })
  })

  test('where all is kept, ids are joined; what their client does not keep is not', async () => {
    await reload({ tracing: { ...gateway.config.tracing, ratio: 1 } })
    const ids = await come('ids')
    assert.deepEqual(ids.told, [[true, '01', undefined], [true, '01', undefined]])
    const call = await collector.span('call shout', { 'polyport.listener': 'ids' })
    assert.deepEqual([call.trace, call.parent, call.state], [ids.mine, CALLER.span, ''])
    const unkept = await come('ids', { flags: '00' })
    assert.deepEqual(unkept.told, [[true, '00', undefined], [true, '00', undefined]])
    const ignored = await come('ignore')
    assert.deepEqual(ignored.told.map(([isMine, flags]) => [isMine, flags]), [[false, '01'], [false, '01']])
    const own = await collector.span('call shout', { 'polyport.listener': 'ignore' })
    assert.deepEqual([own.parent, kept(ignored.mine), kept(unkept.mine)], ['', [], []])
  })

  test('a reload changes it for who comes then, on the same socket; without traces headers stay as they came', async () => {
    const open = await RpcClient.open({ port: gateway.ports.ids })
    const { listeners } = gateway.config
    await reload({ listeners: { ...listeners, ids: { ...listeners.ids, traceparent: 'ignore' } } })
    assert.deepEqual((await come('ids')).told.map(([isMine]) => isMine), [false, false])
    assert.deepEqual(await open.call('shout', 'still here'), { ok: true, value: 'done' })
    open.close()
    await reload({ tracing: {} })
    const { mine, shown } = await come('ids')
    assert.deepEqual(shown, [parentOf({ ...CALLER, trace: mine }), 'vendor=1'])
  })
})

describe('collectors that do not do their part', () => {
  const start = (collector, more = {}, listeners = { tcp: verbsListener() }) =>
    Polyport.start({
      api: { keys: { some: { hash: HASH } } },
      tracing: { endpoint: typeof collector === 'string' ? collector : collector.endpoint, interval: '20ms', timeout: '1s', ...more },
      listeners,
    })
  const publish = (gateway, event = 'e') => api(gateway, 'publish', { to: { everyone: true }, event, args: [] })
  const spans = (gateway, outcome, test) => gateway.counted('polyport_trace_spans_total', { outcome }, test)

  test('one that is not there: the gateway goes on, and what does not fit is counted', async () => {
    const gateway = await start(`http://127.0.0.1:${await freePort()}/`, { queue: 10, batch: 5 })
    for (let count = 0; count < 30; count += 1) assert.equal((await publish(gateway)).status, 200)
    await spans(gateway, 'dropped', (dropped) => dropped > 30)
    const before = Date.now()
    assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
    assert.ok(Date.now() - before < 5_000)
  })

  test('one that never answers does not keep the gateway from stopping', async () => {
    const collector = await Collector.start()
    collector.answer = () => null
    const gateway = await start(collector, { timeout: '1m' })
    await publish(gateway)
    await until('a request', () => collector.requests.length > 0)
    const before = Date.now()
    assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
    assert.ok(Date.now() - before < 10_000)
    assert.match(gateway.log, /the last spans have not been sent/)
    await collector.stop()
  })

  test('one that has no time gets them again, and what it refuses is counted', async () => {
    const collector = await Collector.start()
    collector.answer = (index) => (index === 0 ? { status: 503, headers: { 'retry-after': '0' } } : { status: 200 })
    const gateway = await start(collector)
    await publish(gateway, 'again')
    await collector.span('publish', { 'polyport.event': 'again' })
    await spans(gateway, 'sent', (sent) => sent === 3)
    collector.answer = () => ({ status: 200, rejected: 2 })
    await publish(gateway, 'rejected')
    await spans(gateway, 'failed', (failed) => failed === 2)
    assert.match(await gateway.logged(/the trace collector has not taken spans/), /too old/)
    collector.answer = () => ({ status: 400 })
    await publish(gateway, 'refused')
    await spans(gateway, 'failed', (failed) => failed === 5)
    await gateway.stop()
    await collector.stop()
  })

  test('the last spans leave when the gateway stops', async () => {
    const collector = await Collector.start()
    const gateway = await start(collector, { interval: '1h' })
    await publish(gateway, 'last')
    assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
    await collector.span('deliver')
    await collector.stop()
  })

  test('a reload turns it on, elsewhere, down and off', async () => {
    const [first, second] = [await Collector.start(), await Collector.start()]
    const gateway = await Polyport.start({ api: { keys: { some: { hash: HASH } } }, listeners: { tcp: verbsListener() } })
    const reload = async (tracing) => {
      const from = gateway.log.length
      gateway.configure({ ...gateway.config, tracing })
      gateway.signal('SIGHUP')
      await gateway.logged(/configuration (not )?reloaded/, { from })
      return gateway.log.slice(from)
    }
    await publish(gateway, 'before')
    assert.equal((await gateway.metrics()).sum('polyport_trace_spans_total'), 0)
    await reload({ endpoint: first.endpoint, interval: '10ms' })
    await publish(gateway, 'one')
    await first.span('publish', { 'polyport.event': 'one' })
    await reload({ endpoint: `${second.endpoint}/own/path?x=1`, interval: '10ms' })
    await publish(gateway, 'two')
    await second.span('publish', { 'polyport.event': 'two' })
    assert.equal(second.requests[0].url, '/own/path?x=1')
    assert.match(await reload({ endpoint: 'localhost', ratio: 2 }), /tracing\.ratio.*0 to 1/s)
    await publish(gateway, 'three')
    await second.span('publish', { 'polyport.event': 'three' })
    await reload({ endpoint: second.endpoint, interval: '10ms', ratio: 0 })
    await publish(gateway, 'none')
    await api(gateway, 'publish', { to: { everyone: true }, event: 'kept', args: [] }, { traceparent: parentOf(CALLER) })
    await second.span('publish', { 'polyport.event': 'kept' })
    await reload({})
    await publish(gateway, 'off')
    await gateway.stop()
    const seen = [...first.spans, ...second.spans].map((span) => span.attributes['polyport.event'])
    assert.deepEqual(seen.filter(Boolean), ['one', 'two', 'three', 'kept'])
    await first.stop()
    await second.stop()
  })
})

describe('gateways that meet over Redis', () => {
  for (const engine of ['redis', 'redis-streams']) {
    test(`${engine}: what one publishes is delivered by both in one trace`, async () => {
      const [redis, collector] = [await RedisServer.start(), await Collector.start()]
      const node = (service) =>
        startNode(redis, { backplane: { engine }, config: { tracing: { endpoint: collector.endpoint, service, interval: '20ms' } } })
      const [one, other] = [await node('one'), await node('other')]
      try {
        const [here, there] = await Promise.all([one, other].map((it) => LineClient.open({ port: it.gateway.ports.tcp })))
        await until('the subscriptions', async () => {
          await here.send('say lobby ready')
          return (await there.before()).some((line) => /ready/.test(line))
        })
        const client = await RpcClient.open({ port: one.gateway.ports.rpc })
        assert.equal((await client.call('tell', 'lobby', 'news', 1)).ok, true)
        const of = (service) => (span) => span.resource['service.name'] === service
        const publish = await collector.span('publish', { 'polyport.event': 'news', 'polyport.cluster': 'sent' })
        assert.ok(of('one')(publish))
        const mine = await collector.span('deliver', {}, (span) => of('one')(span) && span.parent === publish.id)
        const theirs = await collector.span('deliver', {}, (span) => of('other')(span) && span.parent === publish.id)
        assert.deepEqual([mine.trace, theirs.trace], [publish.trace, publish.trace])
        assert.ok(mine.attributes['polyport.sessions'] >= 2 && theirs.attributes['polyport.sessions'] >= 1)
        for (const it of [client, here, there]) it.close()
      } finally {
        await Promise.all([one.stop(), other.stop()])
        await redis.stop()
        await collector.stop()
      }
    })
  }
})
