'use strict'
// `polyport doctor` where all is well, and where one thing is wrong each.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const net = require('node:net')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { Authority } = require('./lib/certificates')
const { Collector } = require('./lib/collector')
const { BINARY, Polyport, environment, temporaryFolder, toToml } = require('./lib/polyport')
const { freePort } = require('./lib/ports')
const { RedisServer } = require('./lib/redis')
const { verbsListener } = require('./lib/verbs')
const { within, LIMIT } = require('./lib/wait')

const SECRETS = {
  POLYPORT_API_KEY: crypto.randomBytes(32).toString('base64url'),
  POLYPORT_JWT_SECRET: crypto.randomBytes(32).toString('hex'),
}

/** A folder with a `timedatectl` that says so of the clock. */
function clockThatIs(synchronised) {
  const folder = temporaryFolder()
  fs.writeFileSync(path.join(folder, 'timedatectl'), `#!/bin/sh\necho ${synchronised}\n`, { mode: 0o755 })
  return folder
}

/** What the doctor says of a configuration. */
async function examined(config, { env = SECRETS, clock = 'yes', files, cwd = temporaryFolder() } = {}) {
  const file = path.join(cwd, 'examined.toml')
  fs.writeFileSync(file, typeof config === 'string' ? config : toToml(config))
  const limit = files ? `ulimit -n ${files};` : ''
  const child = spawn('/bin/sh', ['-c', `${limit} exec "$0" "$@"`, BINARY, 'doctor', '--config', file], {
    cwd,
    env: environment({ ...env, PATH: `${clockThatIs(clock)}:${process.env.PATH}` }),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const said = { out: '', err: '' }
  for (const [name, stream] of [['out', child.stdout], ['err', child.stderr]]) {
    stream.setEncoding('utf8').on('data', (text) => {
      said[name] += text
    })
  }
  const [code] = await within(once(child, 'close'), 3 * LIMIT, () => `the doctor does not end:\n${said.out}`)
  return { code, ...said }
}

describe('polyport doctor', () => {
  const services = []
  let collector
  let redis
  let port

  /** An HTTP service that answers everything so. */
  const serve = async (answer) => {
    const server = http.createServer(answer).listen(0, '127.0.0.1')
    services.push(server)
    await once(server, 'listening')
    return `http://127.0.0.1:${server.address().port}/`
  }

  const config = (more = {}) => ({
    limits: { sessions: 100 },
    listeners: { tcp: verbsListener({ bind: `127.0.0.1:${port}` }) },
    ...more,
  })

  /** One thing is wrong, and what the doctor says of it matches. */
  const isWrong = async (subject, patterns, given, options) => {
    const { code, out, err } = await examined(given, options)
    assert.equal(code, 1, out)
    assert.equal(err, '1 thing is wrong\n', out)
    const found = new RegExp(`^WRONG  ${subject}  [^]*?(?=^\\S|$(?![^]))`, 'm').exec(out)
    assert.ok(found, out)
    for (const pattern of patterns) assert.match(found[0], pattern)
  }

  before(async () => {
    redis = await RedisServer.start()
    collector = await Collector.start()
    port = await freePort()
  })
  after(async () => {
    for (const service of services) service.close()
    await collector?.stop()
    await redis?.stop()
  })

  test('all is well', async () => {
    const keys = await serve((_, response) => response.end('{"keys":[]}'))
    const app = await serve((_, response) => response.writeHead(405).end())
    const { cert, key } = new Authority().issue('web', ['localhost', 'a.example'])
    const given = config({
      admin: { bind: `127.0.0.1:${await freePort()}` },
      api: {},
      tokens: { main: { keys: [{ algorithm: 'HS256', secret: 'env:POLYPORT_JWT_SECRET' }], jwks: { url: keys, algorithms: ['RS256'] } } },
      backends: { app: { kind: 'http', url: app } },
      backplane: { engine: 'redis', url: redis.url },
      tracing: { endpoint: collector.endpoint, headers: { 'x-key': 'env:COLLECTOR_KEY' } },
      listeners: { tcp: verbsListener({ bind: `127.0.0.1:${port}`, tls: { cert, key, names: ['a.example'] } }) },
    })
    const env = { ...SECRETS, COLLECTOR_KEY: 'key-of-the-collector' }
    const { code, out, err } = await examined(given, { env })
    assert.deepEqual([code, err], [0, ''], out)
    const version = (await redis.info('server')).redis_version
    for (const pattern of [
      /^ok {5}configuration {2,}.*, 1 listeners$/m,
      /^note {3}gateway {2,}none runs/m,
      /^ok {5}open files {2,}.* 164 are needed$/m,
      new RegExp(`^ok {5}listeners\\.tcp\\.bind {2,}127\\.0\\.0\\.1:${port} is free$`, 'm'),
      /^ok {5}admin\.bind {2,}/m,
      /^ok {5}clock {2,}synchronised$/m,
      /^note {3}certificate of tcp {2,}.*web\.pem is valid for another \d days?: renew it$/m,
      new RegExp(`^ok {5}redis {2,}.* is Redis ${version.replaceAll('.', '\\.')}$`, 'm'),
      /^ok {5}backend app {2,}.* answers$/m,
      /^ok {5}tokens main {2,}.* has a key set$/m,
      new RegExp(`^ok {5}collector {2,}${collector.endpoint}/v1/traces takes traces$`, 'm'),
      /^ok {5}tokens main {2,}1 keys, and a key set$/m,
      /^ok {5}server API {2,}POLYPORT_API_KEY is set$/m,
      /^nothing is wrong$/m,
    ]) {
      assert.match(out, pattern)
    }
    assert.ok(!Object.values(env).some((secret) => out.includes(secret)))
    const [{ method, url, headers, spans }, ...others] = collector.requests
    assert.deepEqual([method, url, headers['content-type'], headers['x-key'], spans], ['POST', '/v1/traces', 'application/x-protobuf', 'key-of-the-collector', 0])
    assert.equal(others.length, 0, 'it is asked once')
  })

  test('a gateway that runs is fine, and its limit is the one that counts', async () => {
    const gateway = await Polyport.start({ listeners: { tcp: verbsListener() } })
    try {
      const limit = (await gateway.metrics()).sum('polyport_process_max_fds')
      const { code, out } = await examined({ ...gateway.config, limits: { sessions: 100 } }, { files: 50 })
      assert.equal(code, 0, out)
      assert.match(out, /^ok {5}gateway {2,}it runs and is ready$/m)
      assert.match(out, new RegExp(`^ok {5}open files {2,}the gateway that runs may have ${limit},`, 'm'))
      assert.match(out, new RegExp(`^ok {5}listeners\\.tcp\\.bind {2,}127\\.0\\.0\\.1:${gateway.ports.tcp} is held by polyport \\(process ${gateway.pid}\\)$`, 'm'))
      const listeners = { ...gateway.config.listeners, more: verbsListener({ bind: `127.0.0.1:${port}` }) }
      await isWrong('listeners.more.bind', [/another configuration in force/, /SIGHUP/], { ...gateway.config, limits: { sessions: 100 }, listeners })
    } finally {
      await gateway.stop()
    }
  })

  test('a gateway that is not ready', async () => {
    const backplane = { engine: 'redis', url: redis.url, on_outage: 'unready' }
    const lost = { ...backplane, url: `redis://127.0.0.1:${await freePort()}` }
    const starting = { admin: { bind: `127.0.0.1:${await freePort()}` }, backplane: lost, listeners: { tcp: verbsListener({ bind: `127.0.0.1:${port}` }) } }
    const folder = temporaryFolder()
    const gateway = new Polyport(folder, { admin: Number(starting.admin.bind.split(':')[1]) })
    gateway.configure(starting)
    gateway.spawn([], {})
    try {
      await gateway.logged(/polyport .* is up/, { limit: 3 * LIMIT })
      await isWrong('gateway', [/not ready: backplane: Redis is out of reach/, /see to what it names/], { ...starting, limits: { sessions: 100 }, backplane })
    } finally {
      await gateway.stop()
    }
  })

  test('a configuration that is wrong', async () => {
    await isWrong('configuration', [/examined\.toml:1:1: lisseners: unknown key/, /docs\/configuration\.md/], 'lisseners = 1\n')
    const given = config()
    given.listeners.tcp.verbs.files = ['nowhere']
    await isWrong('configuration', [/nowhere cannot be read/], given)
  })

  test('too few open files', () =>
    isWrong('open files', [/may have 150, and limits\.sessions = 100 needs 164/, /LimitNOFILE=.*limits\.sessions/], config(), { files: 150 }))

  test('an address that somebody else has', async () => {
    const server = net.createServer().listen(0, '127.0.0.1')
    services.push(server)
    await once(server, 'listening')
    const bind = `127.0.0.1:${server.address().port}`
    await isWrong('listeners.tcp.bind', [new RegExp(`${bind} is taken by .* \\(process ${process.pid}\\)`), /stop that process, or set/], config({ listeners: { tcp: verbsListener({ bind }) } }))
    await isWrong('admin.bind', [new RegExp(`process ${process.pid}`)], config({ admin: { bind } }))
  })

  test('a clock that nobody sets, and one that cannot be asked', async () => {
    await isWrong('clock', [/not synchronised/, /set-ntp true/], config(), { clock: 'no' })
    const { code, out } = await examined(config(), { clock: '' })
    assert.equal(code, 0, out)
    assert.match(out, /^note {3}clock {2,}.*cannot be told/m)
  })

  test('a clock that is not that of a service', async () => {
    const url = await serve((_, response) => {
      response.setHeader('Date', new Date(Date.now() - 600_000).toUTCString())
      response.end()
    })
    await isWrong('backend app', [/(599|600|601) s apart/, /set-ntp/], config({ backends: { app: { kind: 'http', url } } }))
  })

  test('a certificate with the key of another', async () => {
    const authority = new Authority()
    const [one, other] = [authority.issue('one'), authority.issue('other')]
    const tls = { cert: one.cert, key: other.key }
    const { code, out } = await examined(config({ listeners: { tcp: verbsListener({ bind: `127.0.0.1:${port}`, tls }) } }))
    assert.equal(code, 1)
    assert.match(out, /^WRONG {2}certificate of tcp {2,}.*other\.key: does not belong to the certificate in .*one\.pem/m)
  })

  test('a certificate for other names', async () => {
    const tls = { ...new Authority().issue('web'), names: ['b.example'] }
    await isWrong('certificate of tcp', [/not for b\.example, but for localhost/, /correct `names`/], config({ listeners: { tcp: verbsListener({ bind: `127.0.0.1:${port}`, tls }) } }))
  })

  test('Redis that does not run, and one that does not let in', async () => {
    await isWrong('redis', [/[Cc]onnection refused/, /backplane\.url/], config({ backplane: { engine: 'redis', url: `redis://127.0.0.1:${await freePort()}` } }))
    const closed = await RedisServer.start({ password: 'right' })
    try {
      const url = `redis://127.0.0.1:${closed.port}`
      const backplane = { engine: 'redis', url, password: 'env:REDIS_PASSWORD' }
      const env = { ...SECRETS, REDIS_PASSWORD: 'not-this-one' }
      await isWrong('redis', [/password|WRONGPASS|[Aa]uthentication/, /user, password and tls/], config({ backplane }), { env })
    } finally {
      await closed.stop()
    }
  })

  test('a service and a key set that are not there', async () => {
    const url = `http://127.0.0.1:${await freePort()}/`
    await isWrong('backend app', [/cannot connect/, /backends\.app\.url/], config({ backends: { app: { kind: 'http', url } } }))
    const jwks = (place) => config({ tokens: { main: { jwks: { url: place, algorithms: ['RS256'] } } } })
    const patterns = { [await serve((_, response) => response.writeHead(404).end())]: /404/, [await serve((_, response) => response.end('[]'))]: /no key set/ }
    for (const [place, pattern] of Object.entries(patterns)) {
      await isWrong('tokens main', [pattern, /tokens\.main\.jwks/], jwks(place))
    }
  })

  test('a collector that is not found, not there, or none', async () => {
    const tracing = (endpoint, more) => config({ tracing: { endpoint, ...more } })
    await isWrong('collector', [/collector\.invalid.*its name is not found/, /tracing\.endpoint.*name service/], tracing('http://collector.invalid:4318'))
    await isWrong('collector', [/cannot connect/, /start the collector.*tracing\.endpoint.*4318/], tracing(`http://127.0.0.1:${await freePort()}`))
    const silent = net.createServer((socket) => socket.resume()).listen(0, '127.0.0.1')
    services.push(silent)
    await once(silent, 'listening')
    await isWrong('collector', [/no answer in time/, /4317 is for gRPC/], tracing(`http://127.0.0.1:${silent.address().port}`, { timeout: '200ms' }))
    const page = await serve((_, response) => response.setHeader('content-type', 'text/html').end('<p>hello</p>'))
    await isWrong('collector', [/200 OK, but with text\/html, as no collector/, /most do at \/v1\/traces/], tracing(page))
  })

  test('a collector that does not take what it is sent', async () => {
    const answers = {
      401: [/answers 401/, /tracing\.headers/],
      404: [/answers 404/, /\/v1\/traces/],
      415: [/answers 415/, /application\/x-protobuf/],
      301: [/answers 301/, /does not follow/],
      503: [/answers 503/, /see to the collector/],
    }
    for (const [status, patterns] of Object.entries(answers)) {
      const endpoint = await serve((_, response) => response.writeHead(Number(status)).end())
      await isWrong('collector', patterns, config({ tracing: { endpoint } }))
    }
    const endpoint = await serve((_, response) => response.writeHead(400).end('no spans'))
    const { code, out } = await examined(config({ tracing: { endpoint } }))
    assert.equal(code, 0, out)
    assert.match(out, /^note {3}collector {2,}.* answers 400 .* to a request without spans; whether it takes others cannot be told$/m)
    const late = await serve((_, response) => {
      response.setHeader('Date', new Date(Date.now() - 600_000).toUTCString())
      response.end()
    })
    await isWrong('collector', [/(599|600|601) s apart/, /set-ntp/], config({ tracing: { endpoint: late } }))
    const folder = temporaryFolder()
    const key = path.join(folder, 'key')
    fs.writeFileSync(key, '')
    await isWrong('collector', [/tracing\.headers: x-key: .*key is empty/, /put the value there/], config({ tracing: { endpoint: late, headers: { 'x-key': `file:${key}` } } }))
  })

  test('keys that are made up at each start', async () => {
    const env = { ...SECRETS, POLYPORT_API_KEY: undefined }
    await isWrong('server API', [/no key/, /polyport api-key/], config({ admin: { bind: `127.0.0.1:${await freePort()}` }, api: {} }), { env })
    const tokens = { main: { keys: [{ algorithm: 'HS256', secret: 'env:POLYPORT_JWT_SECRET' }] } }
    await isWrong('tokens main', [/no secret is set/, /set POLYPORT_JWT_SECRET/], config({ tokens }), { env: {} })
  })
})
