'use strict'
// What is large, often or long at the relay of the Redux DevTools: states, comings and goings, silence.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { App, Monitor, NEW_APPS, OLD_APPS } = require('./lib/devtools')
const { FrameClient } = require('./lib/frame-client')
const { Polyport } = require('./lib/polyport')
const { connect, isOld } = require('./lib/socketcluster')
const { PythonCluster, installClusterPython, PYTHON } = require('./lib/socketcluster-python')
const { until } = require('./lib/wait')

const PATH = '/socketcluster/'
const HANDSHAKE = '{"event":"#handshake","data":{"authToken":null},"cid":1}'
const MIB = 1 << 20
// An app that has lost its relay tries again after a while of its own choice.
const RECONNECT_LIMIT = 60_000
// Twenty megabytes go through five processes on what may be a busy machine.
const SLOW = 30_000

const listener = (devtools = {}, more = {}) => ({ protocol: 'devtools-relay', devtools: { relay: true, grace: '500ms', ...devtools }, ...more })
const BEATING = { ping_interval: '300ms', ping_timeout: '2s' }

let gateway
const opened = []
before(async () => {
  gateway = await Polyport.start({
    listeners: {
      usual: listener({}, { realm: 'usual' }),
      large: listener({ history: '128MiB' }, { realm: 'large', limits: { message: '64MiB', outbox: '128MiB' } }),
      restless: listener({ grace: '300ms' }, { realm: 'restless' }),
      beating: listener(BEATING, { realm: 'beating' }),
      patient: listener({ ...BEATING, grace: '30s' }, { realm: 'patient' }),
      brief: listener({ ...BEATING, grace: '700ms' }, { realm: 'brief' }),
    },
  })
})
after(async () => {
  for (const one of opened) one.close ? await one.close() : one.kill()
  await gateway?.kill()
})

const app = async (kind, where, name, settings) => {
  const started = await App.start(kind, gateway.ports[where], name, settings)
  opened.push(started)
  return started
}
const monitor = async (where, version = '20.0.2') => {
  const started = await Monitor.open(version, gateway.ports[where])
  opened.push(started)
  return started
}

/** Waits until a connection that is opened now has been pinged so often. */
async function pings(where, count) {
  const client = await FrameClient.open({ port: gateway.ports[where], path: PATH })
  await client.text(HANDSHAKE)
  await client.nextText()
  for (let seen = 0; seen < count; ) {
    const { kind, text } = await client.next()
    assert.equal(kind, 'text')
    if (text !== '' && text !== '#1') continue
    await client.text(text === '' ? '' : '#2')
    seen += 1
  }
  client.close()
}

describe('a state of twenty megabytes', () => {
  for (const kind of [...NEW_APPS.slice(0, 1), ...OLD_APPS]) {
    test(`${kind}: passes where the limits let it, and a small app beside it is as quick as ever`, async () => {
      const [watching, small] = [await monitor('large'), await app('1.0.0', 'large', `small ${kind}`)]
      await watching.sees(small.name, { type: 'STATE' })
      const big = await app(kind, 'large', `big ${kind}`, { size: 20 * MIB, maxAge: 2 })
      const state = await until('the state', () => watching.of(big.name).find(({ type }) => type === 'STATE'), SLOW)
      assert.ok(state.payload.length > 20 * MIB)
      assert.equal(JSON.parse(state.payload).computedStates[0].state.filler.length, 20 * MIB)
      big.dispatch({ type: 'INC' })
      const began = Date.now()
      small.dispatch({ type: 'INC' })
      await watching.sees(small.name, { type: 'ACTION' })
      const took = Date.now() - began
      const action = await until('the action', () => watching.of(big.name).find(({ type }) => type === 'ACTION'), SLOW)
      assert.equal(JSON.parse(action.payload).n, 1)
      watching.tells(state, { type: 'ACTION', action: "{ type: 'ADD', by: 5 }" })
      await big.holds(6)
      assert.ok(took < 5_000, `the small app took ${took} ms`)
      for (const one of [big, small]) one.kill()
      await watching.close()
    })
  }

  test('is refused by the default, which says so; a small app beside it hears nothing of that', async () => {
    const watching = await monitor('usual')
    const small = await app('1.0.0', 'usual', 'small')
    await watching.sees('small', { type: 'STATE' })
    for (const version of ['14.3.2', '20.0.2']) {
      const client = await connect(version, gateway.ports.usual)
      client.transmit('log', { type: 'STATE', payload: 'x'.repeat(20 * MIB) })
      const [end] = await client.until('disconnect')
      assert.equal(isOld(version) ? [end].flat()[0] : end.code, 1009, version)
    }
    assert.equal((await gateway.metrics()).sum('polyport_limit_hits_total', { listener: 'usual', limit: 'message' }), 2)

    const big = await app('1.0.0', 'usual', 'big', { size: 20 * MIB, maxAge: 2 })
    const start = await watching.sees('big', { type: 'START' })
    await gateway.counted('polyport_sessions_closed_total', { listener: 'usual', reason: 'message_too_big' }, (count) => count > 2, SLOW)
    big.kill()
    await watching.sees(null, { type: 'DISCONNECTED', id: start.id })
    small.dispatch({ type: 'INC' })
    await watching.sees('small', { type: 'ACTION', nextActionId: 2 })
    assert.equal(watching.of('small').filter(({ type }) => type === 'START').length, 1, 'it was there all the time')
    small.kill()
    await watching.close()
  })
})

describe('an app that comes back a thousand times', () => {
  test('leaves no ghosts and no memory behind', async () => {
    const watching = await monitor('restless')
    const comeAndGo = async (turn) => {
      const client = await connect(turn % 2 ? '14.3.2' : '20.0.2', gateway.ports.restless)
      client.listens('respond')
      await client.invoke('login', 'master')
      // Two of three are known again; one of four is cut off.
      const instance = turn % 3 ? { instanceId: 'constant' } : {}
      client.transmit('log', { type: 'START', id: client.id, name: 'restless', ...instance })
      client.transmit('log', { type: 'INIT', id: client.id, name: 'restless', payload: JSON.stringify({ turn, text: 'x'.repeat(2_000) }), ...instance })
      await client.subscribe('respond')
      await until('the answer of the monitor', () => client.all('respond').length + client.all('#respond').length > 0)
      if (turn % 4 === 0) client.socket.transport.socket.terminate()
      else await client.close()
    }
    const left = () => gateway.counted('polyport_sessions', { listener: 'restless' }, (count) => count === 1)
    const several = async (from, to) => {
      for (let turn = from; turn < to; turn += 4) await Promise.all([0, 1, 2, 3].map((more) => comeAndGo(turn + more)))
      await left()
    }
    await several(0, 300)
    const before = gateway.memory()
    await several(300, 1_000)
    const grown = gateway.memory() - before
    const started = () => watching.log.filter(({ type }) => type === 'START').map(({ id }) => id)
    const gone = () => watching.log.filter(({ type }) => type === 'DISCONNECTED').map(({ id }) => id)
    await until(() => `all to be gone; ${gone().length} of ${started().length} are`, () => gone().length >= 1_000)
    assert.equal(new Set(started()).size, 1_000)
    assert.deepEqual(new Set(gone()), new Set(started()))
    assert.equal(gone().length, 1_000, 'each once')
    assert.ok(grown < 8 * MIB, `seven hundred times took ${(grown / MIB).toFixed(1)} MiB`)
    const late = await app('1.0.0', 'restless', 'late')
    await watching.sees('late', { type: 'STATE' })
    late.kill()
    await watching.close()
  })
})

describe('a long stay', () => {
  before(() => installClusterPython())

  test('Python of both generations is there after many pings, and hears what is for it once', async () => {
    const speaker = await monitor('beating')
    const stays = await Promise.all(
      PYTHON.map(async (version) => {
        const python = await PythonCluster.start(version, gateway.ports.beating)
        const { id } = await python.hears('connected')
        python.says({ emit: ['login', 'master'] })
        assert.equal((await python.hears('answer')).data, 'respond')
        python.says({ listen: 'respond' })
        python.says({ subscribe: 'respond' })
        await python.hears('subscribed')
        return { python, id }
      }),
    )
    // Three times the time that a client may be silent, and three times that it waits for a ping.
    await pings('beating', 20)
    const closed = await gateway.metrics()
    assert.equal(closed.sum('polyport_sessions_closed_total', { listener: 'beating', reason: 'idle_timeout' }), 0)
    for (const { python, id } of stays) {
      python.heard = python.heard.filter((entry) => 'disconnected' in entry)
      speaker.tells({ id }, { type: 'DISPATCH', action: { type: 'RESET' } })
      speaker.tellsAll({ type: 'UPDATE' })
      const types = () => python.heard.map((entry) => (entry.message ?? entry.event)?.data.type)
      await until(() => `the last word at Python ${python.version}, which heard ${JSON.stringify(python.heard)}`, () => types().includes('UPDATE'))
      assert.deepEqual(types(), ['DISPATCH', 'UPDATE'], 'each once, and no end in between')
      python.says({ emit: ['log', { type: 'ACTION', id, name: `python ${python.version}`, action: 'said' }] })
      await speaker.sees(`python ${python.version}`, { type: 'ACTION' })
      python.stop()
    }
    await speaker.close()
  })
})

describe('an app that is stopped for longer than it may be silent', { concurrency: true }, () => {
  /** Stops the process and waits until the gateway has let go of the connection. */
  async function stop(running, where) {
    const ended = async () => (await gateway.metrics()).sum('polyport_sessions_closed_total', { listener: where, reason: 'idle_timeout' })
    const before = await ended()
    running.kill('SIGSTOP')
    await until('the connection to be given up', async () => (await ended()) > before)
  }

  test('comes back, and was never gone to those who watch', async () => {
    const watching = await monitor('patient')
    const running = await app('1.0.0', 'patient', 'sleeper')
    const { id } = await watching.sees('sleeper', { type: 'STATE' })
    running.dispatch({ type: 'INC' })
    await watching.sees('sleeper', { type: 'ACTION' })
    await stop(running, 'patient')
    const before = watching.log.length
    running.kill('SIGCONT')
    const again = await until('the app to be back', () => watching.of('sleeper').find((one) => one.type === 'STATE' && one.id !== id), RECONNECT_LIMIT)
    assert.equal(JSON.parse(again.payload).computedStates.at(-1).state.n, 1, 'its history is what it was')
    assert.equal(again.instanceId, watching.of('sleeper')[0].instanceId)
    watching.tells({ ...again, id }, { type: 'ACTION', action: "{ type: 'ADD', by: 7 }" })
    await running.holds(8)
    await watching.sees('sleeper', { type: 'ACTION', nextActionId: 3 }, before)
    assert.deepEqual(watching.log.filter(({ type }) => type === 'DISCONNECTED'), [])
    running.kill()
    await watching.close()
  })

  test('is forgotten when its time is over, and shown anew when it comes back then', async () => {
    const watching = await monitor('brief')
    const running = await app('1.0.0', 'brief', 'late sleeper')
    const { id } = await watching.sees('late sleeper', { type: 'STATE' })
    await stop(running, 'brief')
    const began = Date.now()
    assert.ok(!watching.log.some(({ type }) => type === 'DISCONNECTED'), 'not yet')
    await watching.sees(null, { type: 'DISCONNECTED', id })
    assert.ok(Date.now() - began > 300, 'it was waited for')
    const { length } = watching.log
    running.kill('SIGCONT')
    await until('the app to be back', () => watching.log.slice(length).find(({ type }) => type === 'STATE'), RECONNECT_LIMIT)
    running.dispatch({ type: 'INC' })
    await watching.sees('late sleeper', { type: 'ACTION', nextActionId: 2 }, length)
    running.kill()
    await watching.close()
  })
})
