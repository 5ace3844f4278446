'use strict'
// What an operator has in hand: commands, errors, the start-up summary, health and metrics.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { FrameClient } = require('./lib/frame-client')
const { LineClient } = require('./lib/line-client')
const { Polyport, ROOT, run, temporaryFolder } = require('./lib/polyport')
const { freePort } = require('./lib/ports')
const { verbsListener } = require('./lib/verbs')

const WRONG_CONFIGURATION = 78

/** A folder with this `gateway.toml`. */
function written(text) {
  const folder = temporaryFolder()
  fs.writeFileSync(path.join(folder, 'gateway.toml'), text)
  return folder
}

const GOOD = `[listeners.tcp]
protocol = "tcp-verbs"
bind = "127.0.0.1:0"

[listeners.tcp.limits]
message = "64KiB"
`

describe('the commands', () => {
  test('--version and --help', () => {
    const version = run(['--version'])
    assert.equal(version.status, 0)
    assert.match(version.stdout, /^polyport \d+\.\d+\.\d+\n$/)
    const help = run(['--help'])
    assert.equal(help.status, 0)
    for (const word of ['run', 'check', 'config', 'schema', '--config', '--version', '--help']) {
      assert.ok(help.stdout.includes(word), `--help does not mention ${word}`)
    }
  })

  test('an unknown command or option is refused', () => {
    for (const args of [['ruin'], ['--konfig', 'x']]) {
      const done = run(args)
      assert.equal(done.status, 2)
      assert.notEqual(done.stderr, '')
    }
  })

  test('check accepts a good file without starting', () => {
    const cwd = written(GOOD)
    const done = run(['check', '--config', 'gateway.toml'], { cwd })
    assert.equal(done.status, 0, done.stderr)
    assert.match(done.stdout, /gateway\.toml: ok/)
  })

  test('check accepts the shipped gateway.toml', () => {
    const done = run(['check', '--config', path.join(ROOT, 'gateway.toml')])
    assert.equal(done.status, 0, done.stderr)
  })

  test('config names the source of each value', () => {
    const cwd = written(GOOD)
    const done = run(['config', '--set', 'log.level=debug'], { cwd, env: { POLYPORT_SHUTDOWN__DEADLINE: '3s' } })
    assert.equal(done.status, 0, done.stderr)
    for (const wanted of [
      /^message = "64KiB"\s+# gateway\.toml:6$/m,
      /^protocol = "tcp-verbs"\s+# gateway\.toml:2$/m,
      /^deadline = "3s"\s+# environment POLYPORT_SHUTDOWN__DEADLINE$/m,
      /^level = "debug"\s+# --set log\.level$/m,
      /^realm = "default"\s+# default$/m,
    ]) {
      assert.match(done.stdout, wanted)
    }
  })

  test('what config prints is a configuration again', () => {
    const cwd = written(GOOD)
    const printed = written(run(['config'], { cwd }).stdout)
    fs.mkdirSync(path.join(printed, 'public'))
    const again = run(['check'], { cwd: printed })
    assert.equal(again.status, 0, again.stderr)
  })

  test('schema is a JSON Schema of the file', () => {
    const done = run(['schema'])
    assert.equal(done.status, 0, done.stderr)
    const schema = JSON.parse(done.stdout)
    assert.match(schema.$schema, /json-schema\.org/)
    assert.deepEqual(Object.keys(schema.properties).sort(), ['admin', 'api', 'backends', 'backplane', 'limits', 'listeners', 'log', 'shutdown', 'tokens', 'tracing'])
  })
})

describe('wrong configurations', () => {
  const cases = [
    ['a misspelt key', `${GOOD}mesage = 1\n`, [/gateway\.toml:7:1/, /mesage/, /did you mean `message`/]],
    ['a misspelt table', `${GOOD}\n[listeners.tcp.limit]\nidle = "1s"\n`, [/gateway\.toml:8/, /did you mean `limits`/]],
    ['a wrong type', `${GOOD}sessions = "many"\n`, [/gateway\.toml:7/, /listeners\.tcp\.limits\.sessions/, /expected a whole number/, /"many"/]],
    ['a wrong unit', `${GOOD}idle = "5 parsecs"\n`, [/gateway\.toml:7/, /listeners\.tcp\.limits\.idle/, /5 parsecs/]],
    ['an unknown protocol', GOOD.replace('tcp-verbs', 'tcp-verb'), [/gateway\.toml:2/, /did you mean `tcp-verbs`/]],
    ['a missing bind', GOOD.replace('bind = "127.0.0.1:0"\n', ''), [/gateway\.toml/, /listeners\.tcp/, /bind/]],
    ['a missing protocol', GOOD.replace('protocol = "tcp-verbs"\n', ''), [/gateway\.toml/, /listeners\.tcp/, /protocol/]],
    ['no TOML at all', 'listeners = {\n[[[', [/gateway\.toml:\d+:\d+/, /not valid TOML/]],
    ['a certificate that is not there', GOOD.replace('[listeners.tcp.limits]', 'tls = { cert = "no.pem", key = "no.key" }\n[listeners.tcp.limits]'), [/gateway\.toml:5/, /listeners\.tcp\.tls/, /no\.pem/]],
    ['options of the other protocol', `${GOOD}\n[listeners.tcp.channels]\necho = true\n`, [/gateway\.toml:8/, /channels/]],
    ['a delimiter that never comes', `${GOOD}\n[listeners.tcp.verbs]\ndelimiter = "\\r|"\n`, [/gateway\.toml:9/, /listeners\.tcp\.verbs\.delimiter/]],
    ['one address twice', `${GOOD.replace(':0', ':4711')}\n[listeners.two]\nprotocol = "tcp-verbs"\nbind = "127.0.0.1:4711"\n`, [/listeners\.two\.bind/, /listeners\.tcp\.bind/, /4711/]],
  ]
  for (const [label, text, patterns] of cases) {
    test(`${label}: file, line, key and what was expected`, () => {
      const cwd = written(text)
      for (const command of ['check', 'run']) {
        const done = run([command, '--config', 'gateway.toml'], { cwd })
        assert.equal(done.status, WRONG_CONFIGURATION, `${command}: ${done.stdout}${done.stderr}`)
        for (const pattern of patterns) assert.match(done.stderr, pattern)
      }
    })
  }

  test('all problems are named at once', () => {
    const done = run(['check'], { cwd: written(`${GOOD}mesage = 1\nsessions = "many"\n`) })
    assert.match(done.stderr, /mesage/)
    assert.match(done.stderr, /many/)
  })

  test('a file that is not there', () => {
    const done = run(['run', '--config', 'nowhere.toml'], { cwd: temporaryFolder() })
    assert.equal(done.status, WRONG_CONFIGURATION)
    assert.match(done.stderr, /nowhere\.toml: cannot be read/)
  })
})

describe('a running gateway', () => {
  let gateway

  before(async () => {
    gateway = await Polyport.start({
      listeners: { tcp: verbsListener(), pocket: { protocol: 'ws-channels' }, free: verbsListener({ bind: '127.0.0.1:0' }) },
    })
  })
  after(() => gateway?.stop())

  test('the summary has a line per listener: protocol, address, how to try it', () => {
    const { ports, log } = gateway
    for (const wanted of [
      `tcp\\s+tcp-verbs\\s+127\\.0\\.0\\.1:${ports.tcp}\\s+telnet 127\\.0\\.0\\.1 ${ports.tcp}`,
      `pocket\\s+ws-channels\\s+127\\.0\\.0\\.1:${ports.pocket}\\s+pocket\\.socket\\.setup\\('127\\.0\\.0\\.1:${ports.pocket}'\\)`,
      `admin\\s+http\\s+127\\.0\\.0\\.1:${ports.admin}\\s+curl http://127\\.0\\.0\\.1:${ports.admin}/metrics`,
    ]) {
      assert.match(log, new RegExp(wanted))
    }
  })

  test('port 0 is any free port, told by the summary', async () => {
    const port = Number(/free\s+tcp-verbs\s+127\.0\.0\.1:(\d+)/.exec(gateway.log)[1])
    const client = await LineClient.open({ port })
    assert.equal((await client.ask('randomNumber')).messageCount, 1)
    client.close()
  })

  test('health, readiness, the console and nothing else', async () => {
    for (const [target, status] of [['/healthz', 200], ['/readyz', 200], ['/metrics', 200], ['/', 200], ['/nope', 404], ['/console/nope', 404]]) {
      assert.equal((await gateway.get(target)).status, status, target)
    }
    assert.match((await gateway.get('/metrics')).headers['content-type'], /^text\/plain; ?version=0\.0\.4/)
  })

  test('polyport health says what /readyz says', async () => {
    const asked = run(['health', '--config', gateway.file])
    assert.deepEqual([asked.status, asked.stdout], [0, (await gateway.get('/readyz')).body])
    const other = written(`[admin]\nbind = "127.0.0.1:${await freePort()}"\n${GOOD}`)
    const alone = run(['health'], { cwd: other })
    assert.equal(alone.status, 1)
    assert.match(alone.stderr, /does not answer/)
  })

  test('metrics count what clients do', async () => {
    const value = async (name, labels) => (await gateway.metrics()).sum(name, labels)
    const tcp = { listener: 'tcp', protocol: 'tcp-verbs' }
    const start = await gateway.metrics()
    const [a, b] = [await LineClient.open({ port: gateway.ports.tcp }), await LineClient.open({ port: gateway.ports.tcp })]
    for (const client of [a, b]) await client.ask('roomAdd defaultRoom')
    assert.equal(await value('polyport_sessions', tcp), start.sum('polyport_sessions', tcp) + 2)
    assert.equal(await value('polyport_sessions_opened_total', tcp), start.sum('polyport_sessions_opened_total', tcp) + 2)
    await a.ask('randomNumber')
    await a.ask('noSuchAction')
    await a.ask('cacheTest')
    for (const [outcome, count] of [['ok', 1], ['unknown_action', 1], ['missing_param', 1]]) {
      const labels = { ...tcp, outcome }
      assert.equal(await value('polyport_calls_total', labels), start.sum('polyport_calls_total', labels) + count, outcome)
    }
    assert.equal(
      await value('polyport_call_duration_seconds_count', tcp),
      start.sum('polyport_call_duration_seconds_count', tcp) + 3,
    )
    await a.send('say defaultRoom counted')
    await b.next()
    assert.equal(await value('polyport_events_published_total', tcp), start.sum('polyport_events_published_total', tcp) + 1)
    assert.equal(
      await value('polyport_events_delivered_total', { protocol: 'tcp-verbs' }),
      start.sum('polyport_events_delivered_total', { protocol: 'tcp-verbs' }) + 2,
    )
    assert.ok((await value('polyport_received_bytes_total', tcp)) > start.sum('polyport_received_bytes_total', tcp))
    assert.ok((await value('polyport_sent_bytes_total', tcp)) > start.sum('polyport_sent_bytes_total', tcp))
    await a.send('quit')
    await a.ended()
    b.close()
    const reasons = (reason) => ({ ...tcp, reason })
    for (const reason of ['client_left', 'peer_gone']) {
      const before = start.sum('polyport_sessions_closed_total', reasons(reason))
      await gateway.counted('polyport_sessions_closed_total', reasons(reason), (count) => count === before + 1)
    }
    await gateway.counted('polyport_sessions', tcp, (count) => count === start.sum('polyport_sessions', tcp))
  })

  test('metrics have one prefix and labels of bounded cardinality', async () => {
    const client = await LineClient.open({ port: gateway.ports.tcp })
    const id = await client.id()
    await client.ask('roomAdd otherRoom')
    const metrics = await gateway.metrics()
    for (const name of metrics.names()) assert.match(name, /^polyport_/)
    for (const name of ['polyport_rooms', 'polyport_process_resident_memory_bytes', 'polyport_process_open_fds']) {
      assert.ok(metrics.names().has(name), name)
    }
    assert.ok(!metrics.text.includes(id), 'no session in a label')
    assert.ok(!metrics.text.includes('otherRoom'), 'no room in a label')
    client.close()
  })

  test('a unix socket works like a port', async () => {
    const folder = temporaryFolder()
    const socket = path.join(folder, 'verbs.sock')
    const other = await Polyport.start({ listeners: { unix: verbsListener({ bind: `unix:${socket}` }) } })
    try {
      const client = await LineClient.open({ path: socket })
      assert.equal((await client.ask('randomNumber')).messageCount, 1)
      client.close()
    } finally {
      await other.stop()
    }
    assert.ok(!fs.existsSync(socket), 'the socket file is gone after the stop')
  })

  test('an address that is taken is an error that names it', async () => {
    const cwd = written(GOOD.replace(':0', `:${gateway.ports.tcp}`))
    const done = run(['run'], { cwd })
    assert.notEqual(done.status, 0)
    assert.match(done.stderr, new RegExp(`127\\.0\\.0\\.1:${gateway.ports.tcp}`))
    assert.match(done.stderr, /tcp/)
  })

  test('logs are JSON where there is no terminal, at the level that is asked for', async () => {
    const other = await Polyport.start({ log: { level: 'debug' }, listeners: { tcp: verbsListener() } })
    const client = await LineClient.open({ port: other.ports.tcp })
    client.close()
    await other.logged(/"level":"DEBUG"/i)
    const lines = other.log.split('\n').filter((line) => line.startsWith('{'))
    assert.ok(lines.length > 0)
    for (const line of lines) JSON.parse(line)
    await other.stop()
  })

  test('pages and lines are served by one process at once', async () => {
    const [client, page] = [await LineClient.open({ port: gateway.ports.tcp }), await FrameClient.open({ port: gateway.ports.pocket })]
    assert.equal((await client.ask('randomNumber')).messageCount, 1)
    assert.deepEqual(await page.before(), [])
    for (const one of [client, page]) one.close()
  })
})
