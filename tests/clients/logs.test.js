'use strict'
// The log as collectors read it: one JSON object per line, whatever happens; its level for a while; the same trouble not told each time.

const assert = require('node:assert/strict')
const { createHash } = require('node:crypto')
const { describe, test } = require('node:test')
const { Collector } = require('./lib/collector')
const { FrameClient } = require('./lib/frame-client')
const { LineClient } = require('./lib/line-client')
const { Polyport, run } = require('./lib/polyport')
const { verbsListener } = require('./lib/verbs')
const { until } = require('./lib/wait')

const KEY = 'a-key-of-the-tests-of-the-log-0123456789'
const FEW = 'another-key-of-the-tests-of-the-log-01234'
const hash = (key) => `sha256:${createHash('sha256').update(key).digest('hex')}`
const API = { keys: { all: { hash: hash(KEY) }, few: { hash: hash(FEW), verbs: ['publish'] } } }

/** The lines of a gateway's log, each of which must be a record, but for what is printed at the start. */
const records = (gateway) =>
  gateway.log
    .split('\n')
    .slice(0, -1)
    .filter((line) => !/^(polyport \d|  |Ready )/.test(line))
    .map((line) => {
      const record = JSON.parse(line)
      assert.match(record.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
      assert.ok(Math.abs(Date.parse(record.timestamp) - Date.now()) < 300_000)
      assert.match(record.level, /^(ERROR|WARN|INFO|DEBUG|TRACE)$/)
      for (const key of ['message', 'target']) assert.equal(typeof record[key], 'string', line)
      for (const [key, value] of Object.entries(record)) assert.ok(value === null || typeof value !== 'object', `${key} is flat`)
      return record
    })

const log = (gateway, args = [], key = KEY) => run(['log', '--config', gateway.file, ...args], { env: { POLYPORT_API_KEY: key } })

describe('records', () => {
  test('each is one flat object in one line, also at level trace and when a file is wrong', async () => {
    const gateway = await Polyport.start({ log: { level: 'trace' }, listeners: { tcp: verbsListener(), pocket: { protocol: 'ws-channels', channels: { verbose: true } } } })
    const client = await LineClient.open({ port: gateway.ports.tcp })
    await client.send('paramAdd key=a\u2028b\u001b[31m\u0000"\\', '{"a', 'say lobby x')
    await client.write(Buffer.from([0xff, 0xfe, 0x0d, 0x0a]))
    const page = await FrameClient.open({ port: gateway.ports.pocket })
    await page.text('a\nb\u001b[31m"\\\u0000{')
    await gateway.logged(/Receive: /)
    await gateway.logged(/session opened/)
    const from = gateway.log.length
    gateway.configure({ ...gateway.config, log: { level: 'l\u001bou\nd' } })
    gateway.signal('SIGHUP')
    await gateway.logged(/not reloaded/, { from })
    client.close()
    page.close()
    await gateway.stop()
    const all = records(gateway)
    assert.ok(all.some((record) => record.message.startsWith('Receive: a')))
    const opened = all.find((record) => record.message === 'session opened')
    assert.deepEqual([opened.level, opened.target, opened.listener], ['DEBUG', 'polyport_core::events', 'tcp'])
    const refused = all.find((record) => /not reloaded/.test(record.message))
    assert.equal(refused.level, 'ERROR')
    assert.match(refused.problems, /log\.level/)
  })
})

describe('polyport log', () => {
  test('says what is logged, changes it for a while, and a reload ends that', async () => {
    const gateway = await Polyport.start({ api: API, log: { level: 'info,polyport_net=warn' }, listeners: { tcp: verbsListener() } })
    const said = (args) => {
      const done = log(gateway, args)
      assert.equal(done.status, 0, done.stderr)
      return done.stdout
    }
    const configured = 'polyport_net=warn,info'
    try {
      assert.equal(said([]), `${configured}\n`)
      const opens = async () => {
        const from = gateway.log.length
        const client = await LineClient.open({ port: gateway.ports.tcp })
        client.close()
        return from
      }
      await opens()
      assert.equal(said(['debug']), `debug, until the configuration is reloaded; the configuration says ${configured}\n`)
      await gateway.logged(/session opened/, { from: await opens() })
      assert.equal(gateway.log.match(/session opened/g).length, 1, 'not before')
      assert.match(said(['info,polyport_core=trace', '--for', '2s']), new RegExp(`^polyport_core=trace,info, for [12]s more; the configuration says ${configured}\n$`))
      const { remaining, ...state } = JSON.parse(said(['--json']))
      assert.deepEqual(state, { level: 'polyport_core=trace,info', configured })
      assert.ok(remaining > 0 && remaining <= 2_000)
      await until('its time to be over', () => said([]) === `${configured}\n`)
      await gateway.logged(/the log level is that of the configuration again/)
      said(['warn', '--for', '1h'])
      const from = gateway.log.length
      gateway.configure({ ...gateway.config, log: { level: 'debug' } })
      gateway.signal('SIGHUP')
      await gateway.logged(/configuration reloaded/, { from })
      assert.equal(said([]), 'debug\n')
    } finally {
      await gateway.stop()
    }
    records(gateway)
  })

  test('what is no level and no time, and who may not', async () => {
    const gateway = await Polyport.start({ api: API, listeners: { tcp: verbsListener() } })
    try {
      for (const args of [['loud'], ['debug', '--for', 'soon'], ['--for', '10m']]) assert.equal(log(gateway, args).status, 2, args)
      const day = log(gateway, ['debug', '--for', '2d'])
      assert.deepEqual([day.status, /expected a time such as "10m", at most "1d"/.test(day.stderr)], [1, true], day.stderr)
      for (const args of [[], ['off']]) {
        const done = log(gateway, args, FEW)
        assert.equal(done.status, 1)
        assert.match(done.stderr, /does not have the verb `log`/)
      }
      assert.equal(log(gateway).stdout, 'info\n')
    } finally {
      await gateway.stop()
    }
  })
})

describe('the same trouble over and over', () => {
  test('some of it is written, the rest counted and told in one line', async () => {
    const collector = await Collector.start()
    collector.answer = () => ({ status: 400 })
    const gateway = await Polyport.start({
      api: API,
      log: { repeats: 3, period: '1s' },
      tracing: { endpoint: collector.endpoint, interval: '0s', batch: 1 },
      listeners: { tcp: verbsListener() },
    })
    const publish = () =>
      fetch(`http://127.0.0.1:${gateway.ports.admin}/api/publish`, {
        method: 'POST',
        headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
        body: '{"to":{"everyone":true},"event":"e"}',
      })
    for (let count = 0; count < 10; count += 1) assert.equal((await publish()).status, 200)
    await gateway.counted('polyport_trace_spans_total', { outcome: 'failed' }, (failed) => failed === 30)
    const trouble = 'the trace collector has not taken spans'
    await gateway.logged(/has come again and was not logged/)
    await gateway.counted('polyport_log_records_suppressed_total', {}, (suppressed) => suppressed > 0)
    await gateway.stop()
    await collector.stop()
    const all = records(gateway)
    const told = all.filter((record) => record.message === trouble).length
    const summaries = all.filter((record) => record.of === trouble)
    const left = summaries.reduce((sum, record) => sum + record.left_out, 0)
    assert.equal(told + left, 30, 'nothing is lost without a word')
    assert.ok(told < 30 && summaries.every((record) => record.level === 'WARN' && record.module === 'polyport::traces::exporter'))
  })
})
