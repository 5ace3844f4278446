'use strict'
// Backends that fail: what the client is told, what is counted, and that nobody else notices.

const assert = require('node:assert/strict')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { Polyport } = require('./lib/polyport')
const { RpcClient } = require('./lib/rpc-client')

const SCRIPT = path.join(__dirname, 'programs', 'faulty-script.js')

const TOO_LATE = 'the action did not answer in time'

/** Every fault: the call, the text for the client, the outcome in the metrics. */
const FAULTS = [
  ['throws', [], 'it went wrong', 'rejected'],
  ['throwsNull', [], 'the script threw null, or ran out of memory', 'rejected'],
  ['never', [], TOO_LATE, 'timeout'],
  ['loops', [], 'the script ran longer than 200 ms', 'time_limit'],
  ['allocates', [], 'the script used more than 16 MiB of memory', 'memory_limit'],
  ['cycle', [], /circular/, 'failed'],
]

const percentile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
const median = (values) => percentile([...values].sort((a, b) => a - b), 0.5)

describe('backends that fail', () => {
  let gateway
  const open = (listener) => RpcClient.open({ port: gateway.ports[listener] })

  before(async () => {
    const listener = (...backends) => ({ protocol: 'ws-rpc', backends })
    gateway = await Polyport.start({
      backends: {
        script: { kind: 'script', file: SCRIPT, time: '200ms', timeout: '500ms', memory: '16MiB' },
        other: { kind: 'script', file: SCRIPT },
      },
      listeners: { script: listener('script', 'builtin'), other: listener('other'), builtin: listener('builtin') },
    })
  })
  after(() => gateway?.stop())

  const outcomes = async () => {
    const metrics = await gateway.metrics()
    const samples = metrics.matching('polyport_backend_requests_total', { backend: 'script', request: 'call' })
    return Object.fromEntries(samples.map((sample) => [sample.labels.outcome, sample.value]))
  }

  for (const [name, args, text, outcome] of FAULTS) {
    test(name, async () => {
      const before = await outcomes()
      const client = await open('script')
      const answer = await client.call(name, ...args)
      assert.equal(answer.ok, false)
      if (text instanceof RegExp) assert.match(answer.value, text)
      else assert.equal(answer.value, text)
      const after = await outcomes()
      assert.deepEqual(Object.keys(after).filter((label) => after[label] > (before[label] ?? 0)), [outcome])
      assert.deepEqual(await client.call('fine', 'still here'), { ok: true, value: 'still here' })
      client.close()
    })
  }

  /** 99th percentile of the times of many calls, one after the other on each of ten connections. */
  const quietCalls = async (listener, name) => {
    const times = []
    const one = async () => {
      const client = await open(listener)
      for (let call = 0; call < 200; call += 1) {
        const start = process.hrtime.bigint()
        const answer = await client.call(name, 1)
        assert.equal(answer.ok, true)
        times.push(Number(process.hrtime.bigint() - start) / 1e6)
      }
      client.close()
    }
    await Promise.all(Array.from({ length: 10 }, one))
    return percentile(times.sort((a, b) => a - b), 0.99)
  }

  /** Keeps `count` clients in calls that go wrong until it is told to stop. */
  const trouble = async (listener, name, count) => {
    let on = true
    const clients = await Promise.all(Array.from({ length: count }, () => open(listener)))
    const running = clients.map(async (client) => {
      while (on) await client.call(name)
      client.close()
    })
    return async () => {
      on = false
      await Promise.all(running)
    }
  }

  for (const [name, listener, call] of [
    ['never', 'builtin', 'randomNumber'],
    ['throws', 'builtin', 'randomNumber'],
    ['loops', 'builtin', 'randomNumber'],
    ['loops', 'other', 'fine'],
    ['allocates', 'other', 'fine'],
  ]) {
    test(`calls answered by ${listener} go on beside a script that ${name}`, async () => {
      const [quiet, beside] = [[], []]
      for (let round = 0; round < 3; round += 1) {
        quiet.push(await quietCalls(listener, call))
        const stop = await trouble('script', name, 2)
        beside.push(await quietCalls(listener, call))
        await stop()
      }
      // One of two processors may be busy with the script, and the other with this process: a few milliseconds are noise.
      assert.ok(median(beside) <= 2 * median(quiet) + 5, `quiet ${quiet} ms, beside it ${beside} ms`)
    })
  }
})
