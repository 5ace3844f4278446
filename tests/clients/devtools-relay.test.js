'use strict'
// The relay of the Redux DevTools: apps with the real libraries of both generations, monitors of both, and raw frames.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const { after, before, describe, test } = require('node:test')
const { WebSocket } = require('ws')
const { App, Monitor, APPS } = require('./lib/devtools')
const { FrameClient } = require('./lib/frame-client')
const { freePort } = require('./lib/ports')
const { Polyport } = require('./lib/polyport')
const { RedisServer } = require('./lib/redis')
const { backplaneOf } = require('./lib/redis-gateways')
const { PythonCluster, installClusterPython, PYTHON } = require('./lib/socketcluster-python')
const { until } = require('./lib/wait')

const MONITORS = ['14.3.2', '20.0.2']
const PATH = '/socketcluster/'
const HANDSHAKE = '{"event":"#handshake","data":{"authToken":null},"cid":1}'

const listener = (devtools = {}, more = {}) => ({ protocol: 'devtools-relay', devtools: { relay: true, grace: '400ms', ...devtools }, ...more })

let gateway
const opened = []
before(async () => {
  gateway = await Polyport.start(
    {
      listeners: {
        auto: listener(),
        walk: listener({}, { realm: 'walk' }),
        strict: listener({ strict: true }, { realm: 'strict' }),
        raw: listener({ protocol_version: 2 }, { realm: 'raw' }),
        old: listener({ protocol_version: 1 }, { realm: 'old' }),
        few: listener({ max_apps: 1, max_monitors: 1, protocol_version: 2 }, { realm: 'few' }),
        patient: listener({ ping_interval: '300ms', ping_timeout: '5s' }, { realm: 'patient' }),
        load: listener({}, { realm: 'load', limits: { outbox: '32MiB' } }),
        big: listener({}, { realm: 'big' }),
        team: listener(
          {
            teams: true, protocol_version: 2, anybody: ['app'],
            users: ['a', 'b'].map((name) => ({ name: `team${name}`, secret: 'env:TEAM_SECRET' })).concat({ name: 'onlyapp', secret: 'env:TEAM_SECRET', rights: ['app'] }),
          },
          { realm: 'team' },
        ),
      },
    },
    { env: { TEAM_SECRET: 'sesame-of-the-team' } },
  )
})
after(async () => {
  for (const one of opened) one.close ? await one.close() : one.kill()
  await gateway?.stop()
})

const port = (name) => (typeof name === 'number' ? name : gateway.ports[name])
const app = async (kind, where, name, settings) => {
  const started = await App.start(kind, port(where), name, settings)
  opened.push(started)
  return started
}
const monitor = async (version, where) => {
  const started = await Monitor.open(version, port(where))
  opened.push(started)
  return started
}

/** A raw connection that has shaken hands. */
async function raw(where, more = {}) {
  const client = await FrameClient.open({ port: port(where), path: PATH, ...more })
  opened.push(client)
  await client.text(HANDSHAKE)
  client.id = JSON.parse(await client.nextText()).data.id
  return client
}

/** A connection that only watches a channel, and is quick at it. */
async function watch(where, channel = 'log') {
  const socket = new WebSocket(`ws://127.0.0.1:${port(where)}${PATH}`)
  await once(socket, 'open')
  const heard = []
  const keep = (bytes) => heard.push(bytes.toString())
  socket.on('message', keep)
  socket.send(HANDSHAKE)
  socket.send(JSON.stringify({ event: '#subscribe', data: { channel }, cid: 2 }))
  await until('the subscription', () => heard.includes('{"rid":2}'))
  socket.off('message', keep)
  return { socket }
}

async function ask(client, packet) {
  await client.text(JSON.stringify(packet))
  return client.nextText()
}

const published = (channel, data) => JSON.stringify({ event: '#publish', data: { channel, data } })

describe('logging in', () => {
  test('exactly master is an app, everything else a monitor, and the last word counts', async () => {
    for (const where of ['raw', 'old']) {
      const client = await raw(where)
      const says = async (data, cid, expected) => {
        const packet = data === undefined ? { event: 'login', cid } : { event: 'login', data, cid }
        assert.equal(await ask(client, packet), `{"rid":${cid},"data":"${expected}"}`)
      }
      await says('master', 2, 'respond')
      for (const [index, data] of [{}, '', null, undefined, 'Master'].entries()) await says(data, index + 3, 'log')
      await says('master', 9, 'respond')
      client.close()
    }
  })

  test('there may be so many apps and monitors', async () => {
    const [first, second] = [await raw('few'), await raw('few')]
    for (const [data, channel, kind] of [['master', 'respond', 'apps'], [{}, 'log', 'monitors']]) {
      assert.equal(await ask(first, { event: 'login', data, cid: 2 }), `{"rid":2,"data":"${channel}"}`)
      const error = { message: `there are 1 ${kind} already`, name: 'LimitError' }
      assert.equal(await ask(second, { event: 'login', data, cid: 2 }), JSON.stringify({ rid: 2, error }))
    }
    const metrics = await gateway.metrics()
    assert.equal(metrics.sum('polyport_limit_hits_total', { listener: 'few', limit: 'clients' }), 2)
  })
})

describe('what passes through', () => {
  test('goes as it stands to whoever is in the channel, with or without a number', async () => {
    const [watcher, speaker] = [await raw('raw'), await raw('raw')]
    for (const [index, channel] of ['log', 'respond', 'sc-zzz'].entries()) {
      assert.equal(await ask(watcher, { event: '#subscribe', data: { channel }, cid: index + 2 }), `{"rid":${index + 2}}`)
    }
    const hears = async (packet, expected) => {
      await speaker.text(packet)
      assert.equal(await watcher.nextText(), expected)
    }
    await hears('{"event":"log","data":{"n": 1e2 , "z":null}}', '{"event":"#publish","data":{"channel":"log","data":{"n": 1e2 , "z":null}}}')
    await hears('{"event":"log"}', '{"event":"#publish","data":{"channel":"log"}}')
    await hears('{"event":"log","data":null}', published('log', null))
    await hears('{"event":"log-noid","data":"str"}', published('log', { id: speaker.id, data: 'str' }))
    await hears('{"event":"log-noid"}', published('log', { id: speaker.id }))
    await hears('{"event":"respond","data":{"type":"START"}}', published('respond', { type: 'START' }))
    await hears('{"event":"sc-zzz","data":1}', published('sc-zzz', 1))
    await hears('{"event":{"type":"ERROR","payload":"boo"},"data":1}', published('log', { type: 'ERROR', payload: 'boo' }))
    await hears('{"event":"log","data":5,"cid":7}', published('log', 5))
    assert.equal(await speaker.nextText(), '{"rid":7}')
    watcher.close()
    speaker.close()
  })

  test('clients publish nothing by themselves', async () => {
    const client = await raw('raw')
    const refused = '{"rid":2,"error":{"message":"Client publish feature is disabled","name":"InvalidActionError"}}'
    assert.equal(await ask(client, { event: '#publish', data: { channel: 'log', data: 1 }, cid: 2 }), refused)
    client.close()
  })

  test('to one connection once, in the form that its generation listens to', async () => {
    for (const [where, expected] of [['old', '{"event":"respond","data":{"type":"START"}}'], ['raw', published('respond', { type: 'START' })]]) {
      const [one, other] = [await raw(where), await raw(where)]
      for (const cid of [2, 3]) await ask(one, { event: 'login', data: 'master', cid })
      await other.text(JSON.stringify({ event: `sc-${one.id}`, data: { type: 'START' }, cid: 2 }))
      assert.equal(await other.nextText(), '{"rid":2}')
      if (where === 'raw') assert.equal(await ask(one, { event: '#subscribe', data: { channel: 'respond' }, cid: 4 }), '{"rid":4}', 'it would have dropped it before')
      assert.equal(await one.nextText(), expected)
      assert.equal(await ask(one, { event: 'getReport', cid: 9 }), '{"rid":9,"data":{"error":"No id specified."}}', 'nothing came twice')
      one.close()
      other.close()
    }
  })

  test('nonsense harms nobody', async () => {
    const [good, bad] = [await raw('raw'), await raw('raw')]
    for (const data of [undefined, null, [], {}, 'x', 1e999, { id: {}, instanceId: [] }, { type: 'ACTION', payload: '{', action: [] }, '{'.repeat(5000)]) {
      for (const event of ['login', 'log', 'log-noid', 'sc-', `sc-${'x'.repeat(3000)}`, 'getReport', { type: 7 }, { type: 'x', id: 1 }]) {
        await bad.text(JSON.stringify({ event, data }))
      }
    }
    assert.match(await ask(good, { event: 'login', data: {}, cid: 2 }), /"log"/)
    good.close()
    bad.close()
  })
})

describe('real apps and monitors', () => {
  for (const kind of APPS) {
    for (const version of MONITORS) {
      test(`${kind} with a monitor ${version} that was there first`, async () => {
        const name = `first ${kind} ${version}`
        const watching = await monitor(version, 'auto')
        const running = await app(kind, 'auto', name)
        await watching.sees(name, { type: 'START' })
        const state = await watching.sees(name, { type: 'STATE' })
        assert.deepEqual(state.action.map(({ name }) => name), ['inc', 'add'])
        for (const n of [1, 2, 3]) {
          running.dispatch({ type: 'INC' })
          const action = await watching.sees(name, { type: 'ACTION', nextActionId: n + 1 })
          assert.deepEqual(JSON.parse(action.payload), { n })
        }
        watching.dispatches(state, { type: 'JUMP_TO_STATE', index: 1, actionId: 1 })
        await running.holds(1)
        watching.dispatches(state, { type: 'TOGGLE_ACTION', id: 2 })
        await watching.sees(name, { type: 'STATE' }, watching.log.length)
        watching.dispatches(state, { type: 'JUMP_TO_STATE', index: 3, actionId: 3 })
        await running.holds(2)
        watching.dispatches(state, { type: 'RESET', timestamp: 1 })
        await running.holds(0)
        watching.tells(state, { type: 'ACTION', action: "{ type: 'ADD', by: 7 }" })
        await running.holds(7)
        watching.tells(state, { type: 'ACTION', action: { name: 'add', selected: 1, args: ['3'], rest: '' } })
        await running.holds(10)
        watching.tells(state, { type: 'ACTION', action: 'nonsense(' })
        await watching.sees(null, { type: 'ERROR' })
        running.kill()
        const gone = await watching.sees(null, { type: 'DISCONNECTED', id: state.id })
        assert.deepEqual(Object.keys(gone), ['id', 'type'], 'in this order')
        await watching.close()
      })
    }
  }

  test('apps that were there first send nothing until they are watched, and go on when one of two monitors leaves', async () => {
    for (const [index, kind] of APPS.entries()) {
      const name = `walk ${kind}`
      const running = await app(kind, 'walk', name)
      running.dispatch({ type: 'INC' })
      await running.holds(1)
      const [first, second] = index % 2 ? MONITORS : [...MONITORS].reverse()
      const leaving = await monitor(first, 'walk')
      const state = await leaving.sees(name, { type: 'STATE' })
      assert.deepEqual(JSON.parse(state.payload).computedStates.at(-1).state, { n: 1 })
      const staying = await monitor(second, 'walk')
      await staying.sees(name, { type: 'STATE' })
      await leaving.close()
      await until('the gateway to have noticed', async () => (await gateway.metrics()).sum('polyport_sessions', { listener: 'walk' }) === 2)
      running.dispatch({ type: 'INC' })
      await staying.sees(name, { type: 'ACTION', nextActionId: 3 })
      assert.deepEqual(staying.of(name).filter(({ type }) => type === 'STOP'), [])
      const { id } = staying
      await staying.close()
      const late = await raw('walk')
      await late.text(JSON.stringify({ event: '#subscribe', data: { channel: 'log' }, cid: 2 }))
      running.dispatch({ type: 'INC' })
      await running.holds(3)
      running.kill()
      await running.ended
      assert.match(id, /^[\w-]{20}$/)
      late.close()
    }
  })

  test('in strict mode every monitor that leaves silences the apps, as with the original', async () => {
    const watcher = await raw('strict')
    for (const text of ['#1', null]) if (text) assert.equal(await watcher.nextText(), text)
    await ask(watcher, { event: 'login', data: 'master', cid: 2 })
    await ask(watcher, { event: '#subscribe', data: { channel: 'respond' }, cid: 3 })
    const [one, other] = [await monitor('20.0.2', 'strict'), await monitor('14.3.2', 'strict')]
    const { id } = one
    await one.close()
    await until('the farewell', async () => {
      const text = await watcher.nextText()
      return text === published('respond', { id, type: 'DISCONNECTED' })
    })
    await other.close()
  })

  test('pause, lock, sync and import reach the apps that are meant', async () => {
    const apps = await Promise.all(['1.0.0', '0.9.5', 'remote-redux-devtools'].map((kind) => app(kind, 'patient', `sync ${kind}`)))
    const watching = await monitor('20.0.2', 'patient')
    const states = await Promise.all(apps.map(({ name }) => watching.sees(name, { type: 'STATE' })))
    watching.tells(states[1], { type: 'IMPORT', state: JSON.stringify([{ type: 'INC' }, { type: 'INC' }]) })
    await apps[1].holds(2)
    assert.equal((await apps[0].state()).n, 0)
    apps[0].dispatch({ type: 'ADD', by: 5 })
    const before = watching.log.length
    watching.tellsAll({ type: 'UPDATE' })
    const source = await watching.sees(apps[0].name, { type: 'STATE' }, before)
    watching.tellsAll({ type: 'SYNC', state: source.payload, id: source.id, instanceId: source.instanceId ?? source.id })
    await apps[1].holds(5)
    await apps[2].holds(5)
    watching.tellsAll({ type: 'DISPATCH', action: { type: 'LOCK_CHANGES', status: true } })
    await until('the lock', () => apps.every(({ name }) => watching.of(name).some(({ type, payload }) => type === 'STATE' && JSON.parse(payload).isLocked)))
    for (const running of apps) {
      running.dispatch({ type: 'INC' })
      assert.equal((await running.state()).n, 5)
    }
  })
})

describe('plain JavaScript, MobX and Python', () => {
  test('remotedev, whose errors are events without a name', async () => {
    const watching = await monitor('20.0.2', 'big')
    const running = await app('remotedev', 'big', 'plain')
    await watching.sees('plain', { type: 'INIT' })
    running.dispatch({ type: 'said', n: 2 })
    const action = await watching.sees('plain', { type: 'ACTION' })
    assert.deepEqual(JSON.parse(action.payload), { n: 2 })
    running.does({ error: 'boo' })
    await watching.sees(null, { type: 'ERROR', payload: 'boo' })
    running.kill()
    await watching.close()
  })

  test('mobx-remotedev', async () => {
    const watching = await monitor('14.3.2', 'big')
    const running = await app('mobx', 'big', 'mobx')
    const init = await watching.sees('mobx', { type: 'INIT' })
    assert.match(init.id, /^[\w-]{20}$/)
    running.kill()
    await watching.close()
  })

  for (const version of PYTHON) {
    test(`Python ${version}: once by the channel, once by the name`, async () => {
      installClusterPython()
      const python = await PythonCluster.start(version, port('auto'))
      const { id } = await python.hears('connected')
      python.says({ emit: ['login', 'master'] })
      python.says({ listen: 'respond' })
      python.says({ subscribe: 'respond' })
      const speaker = await raw('auto')
      const heard = (type) => python.heard.map((entry) => (entry.message ?? entry.event)?.data).filter((data) => data?.type === type)
      await until('it to be in the channel', async () => {
        await speaker.text('{"event":"respond","data":{"type":"PROBE"}}')
        return heard('PROBE').length > 0
      })
      await speaker.text(JSON.stringify({ event: `sc-${id}`, data: { type: 'DISPATCH' } }))
      await speaker.text(JSON.stringify({ event: 'respond', data: { type: 'UPDATE' } }))
      await until('the last word', () => heard('UPDATE').length > 0)
      assert.equal(heard('DISPATCH').length, 1)
      python.stop()
      speaker.close()
    })
  }
})

describe('coming and going', () => {
  test('an app that comes back under its instance was never gone, and its old id reaches it', async () => {
    const watcher = await raw('raw')
    await ask(watcher, { event: '#subscribe', data: { channel: 'log' }, cid: 2 })
    const start = async () => {
      const client = await raw('raw')
      await ask(client, { event: 'login', data: 'master', cid: 2 })
      await ask(client, { event: '#subscribe', data: { channel: 'respond' }, cid: 3 })
      const data = { type: 'START', id: client.id, instanceId: 'constant' }
      await client.text(JSON.stringify({ event: 'log', data }))
      assert.equal(await watcher.nextText(), published('log', data))
      return client
    }
    const first = await start()
    first.socket.destroy()
    const second = await start()
    await watcher.text(JSON.stringify({ event: `sc-${first.id}`, data: 'for the first' }))
    assert.equal(await second.nextText(), published('respond', 'for the first'))
    const third = await start()
    second.socket.destroy()
    await until('the heir to be known', async () => {
      await watcher.text(JSON.stringify({ event: `sc-${second.id}`, data: 'for the second' }))
      const text = await third.nextText(300).catch(() => null)
      return text === published('respond', 'for the second')
    })
    third.close()
    for (const { id } of [first, second, third]) {
      assert.equal(await watcher.nextText(), published('log', { id, type: 'DISCONNECTED' }))
    }
    watcher.close()
  })

  test('an app that has become a monitor is said to have gone all the same, with those that it stood for', async () => {
    const watcher = await raw('raw')
    await ask(watcher, { event: '#subscribe', data: { channel: 'log' }, cid: 2 })
    const apps = []
    for (let count = 0; count < 2; count += 1) {
      const client = await raw('raw')
      await ask(client, { event: 'login', data: 'master', cid: 2 })
      const data = { type: 'START', id: client.id, instanceId: 'turncoat' }
      await client.text(JSON.stringify({ event: 'log', data }))
      assert.equal(await watcher.nextText(), published('log', data))
      apps.push(client)
      if (count === 0) client.socket.destroy()
    }
    const [first, second] = apps
    assert.equal(await ask(second, { event: 'login', data: {}, cid: 3 }), '{"rid":3,"data":"log"}')
    second.socket.destroy()
    for (const { id } of [first, second]) assert.equal(await watcher.nextText(), published('log', { id, type: 'DISCONNECTED' }))
    watcher.close()
  })

  test('an app that stands at a breakpoint keeps its connection', async () => {
    const watching = await monitor('20.0.2', 'patient')
    const running = await app('1.0.0', 'patient', 'sleeper')
    await watching.sees('sleeper', { type: 'STATE' })
    running.kill('SIGSTOP')
    const silent = await raw('patient')
    for (let pings = 0; pings < 6; pings += 1) assert.match(await silent.nextText(), /^(#1)?$/)
    silent.close()
    running.kill('SIGCONT')
    running.dispatch({ type: 'INC' })
    await watching.sees('sleeper', { type: 'ACTION', nextActionId: 2 })
    assert.equal(watching.of('sleeper').filter(({ type }) => type === 'START').length, 1)
    running.kill()
    await watching.close()
  })

  test('after a restart of the gateway everybody is back', async () => {
    const own = await Polyport.start({ listeners: { relay: listener() } })
    try {
      const apps = []
      for (const kind of ['1.0.0', 'remote-redux-devtools']) apps.push(await App.start(kind, own.ports.relay, kind))
      opened.push(...apps)
      await own.stop()
      own.spawn([], {})
      await until('the apps to be back', async () => (await own.metrics().catch(() => null))?.sum('polyport_sessions', { listener: 'relay' }) === 2, 60_000)
      const watching = await Monitor.open('20.0.2', own.ports.relay)
      opened.push(watching)
      for (const { name } of apps) await watching.sees(name, { type: 'STATE' })
    } finally {
      await own.stop()
    }
  })

  test('a reload that binds anew loses neither apps nor monitors', async () => {
    const own = await Polyport.start({ listeners: { relay: listener() } })
    try {
      const watching = await Monitor.open('20.0.2', own.ports.relay)
      opened.push(watching)
      own.configure({ ...own.config, listeners: { relay: { ...own.config.listeners.relay, devtools: { relay: true, grace: '500ms' } } } })
      const from = own.log.length
      own.signal('SIGHUP')
      await own.logged(/bound anew/, { from })
      const running = await App.start('1.0.0', own.ports.relay, 'late')
      opened.push(running)
      const state = await watching.sees('late', { type: 'STATE' })
      watching.tells(state, { type: 'ACTION', action: "{ type: 'INC' }" })
      await running.holds(1)
    } finally {
      await own.stop()
    }
  })
})

describe('who may what', () => {
  const basic = (user, secret = 'sesame-of-the-team') => ({ headers: { Authorization: `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}` } })

  test('an app of one team is seen by its own monitors alone', async () => {
    const [ours, theirs] = [await raw('team', basic('teama')), await raw('team', { path: `${PATH}?access=teamb:sesame-of-the-team` })]
    for (const client of [ours, theirs]) {
      await ask(client, { event: 'login', data: {}, cid: 2 })
      assert.equal(await ask(client, { event: '#subscribe', data: { channel: 'log' }, cid: 3 }), '{"rid":3}')
    }
    const running = await app('1.0.0', 'team', 'ours', { host: 'teama:sesame-of-the-team@127.0.0.1' })
    assert.match(await ours.nextText(), /"type":"START".*"name":"ours"/)
    assert.match(await ask(theirs, { event: 'getReport', cid: 4 }), /^\{"rid":4/, 'the other team has heard nothing')
    running.kill()
    ours.close()
    theirs.close()
  })

  test('a wrong secret is refused, and none of it is in the log', async () => {
    for (const headers of [basic('teama', 'wrong-secret').headers, basic('nobody').headers, { Authorization: 'Basic ???' }]) {
      const client = await FrameClient.connect({ port: port('team') })
      await assert.rejects(client.upgrade({ path: PATH, headers }), /401 Unauthorized[^]*WWW-Authenticate: Basic/i)
      client.close()
    }
    assert.doesNotMatch(gateway.log, /wrong-secret|sesame-of-the-team/)
  })

  test('who shows no name may be an app, no monitor', async () => {
    const [anybody, onlyApp] = [await raw('team'), await raw('team', basic('onlyapp'))]
    const refused = /SilentMiddlewareBlockedError/
    for (const client of [anybody, onlyApp]) {
      assert.equal(await ask(client, { event: 'login', data: 'master', cid: 2 }), '{"rid":2,"data":"respond"}')
      assert.match(await ask(client, { event: 'login', data: {}, cid: 3 }), refused)
      assert.match(await ask(client, { event: '#subscribe', data: { channel: 'log' }, cid: 4 }), refused)
      assert.match(await ask(client, { event: '#subscribe', data: { channel: 'report' }, cid: 5 }), refused)
      assert.match(await ask(client, { event: 'sc-x', data: 1, cid: 6 }), refused)
      client.close()
    }
  })

  test('pages from elsewhere may not connect, unless they are all let in', async () => {
    const client = await FrameClient.connect({ port: port('auto') })
    await assert.rejects(client.upgrade({ path: PATH, headers: { Origin: 'http://evil.example' } }), /403 Forbidden/)
    client.close()
    for (const origin of ['http://localhost:3000', 'chrome-extension://abc']) (await FrameClient.open({ port: port('auto'), path: PATH, headers: { Origin: origin } })).close()
  })

  test('an address that others reach is warned of', async () => {
    const own = await Polyport.start({ listeners: { open: { ...listener(), bind: `0.0.0.0:${await freePort()}` } } })
    assert.match(own.log, /WARN.*everybody who reaches this address/)
    await own.stop()
  })
})

describe('under load', () => {
  test('five thousand actions a second: two monitors get all of them in order, the third, who stalls, is closed', async () => {
    const TOTAL = 15_000
    const watchers = await Promise.all([watch('load'), watch('load'), watch('load')])
    const [first, second, stalled] = watchers
    for (const watcher of [first, second]) {
      watcher.next = 0
      watcher.socket.on('message', (bytes) => {
        const number = /"nextActionId":(\d+)/.exec(bytes.subarray(-40).toString())
        if (!number) return
        if (Number(number[1]) === watcher.next) watcher.next += 1
        else watcher.wrong ??= `${number[1]} instead of ${watcher.next}`
      })
    }
    stalled.socket.pause()
    const speaker = await watch('load', 'random')
    const payload = JSON.stringify({ list: 'x'.repeat(6_000) })
    const rest = gateway.memory()
    let most = rest
    const began = Date.now()
    for (let sent = 0; sent < TOTAL; ) {
      // Five in a millisecond.
      const due = Math.min(TOTAL, (Date.now() - began) * 5)
      for (; sent < due; sent += 1) {
        speaker.socket.send(JSON.stringify({ event: 'log', data: { type: 'ACTION', id: 'x', payload, action: '{}', nextActionId: sent } }))
      }
      most = Math.max(most, gateway.memory())
      await new Promise((resolve) => setImmediate(resolve))
    }
    for (const watcher of [first, second]) {
      await until(() => `all actions; ${watcher.next} have come, wrong was ${watcher.wrong}`, () => watcher.next === TOTAL || watcher.wrong, 30_000)
      assert.equal(watcher.wrong, undefined)
    }
    // What waits for the stalled one (32 MiB), a quarter of the history (16 MiB) and some room; the actions are 90 MB.
    assert.ok(most - rest < 64 << 20, `the gateway has grown by ${((most - rest) / (1 << 20)).toFixed(1)} MiB`)
    assert.equal(speaker.socket.readyState, 1, 'the app is still there')
    await until('the stalled monitor to be closed', async () => (await gateway.metrics()).sum('polyport_sessions_closed_total', { listener: 'load', reason: 'outbox_full' }) === 1)
    for (const { socket } of [...watchers, speaker]) socket.terminate()
  })

  test('ten megabytes of state are written once for twenty monitors, and one who does not read is closed', async () => {
    const own = await Polyport.start({ listeners: { big: listener() } })
    const encodes = async () => (await own.metrics()).sum('polyport_encodes_total', { protocol: 'devtools-relay' })
    const watchers = []
    for (let count = 0; count < 19; count += 1) {
      const client = await raw(own.ports.big)
      assert.equal(await client.nextText(), '#1')
      await client.text(JSON.stringify({ event: '#subscribe', data: { channel: 'log' }, cid: 2 }))
      assert.equal(await client.nextText(), '{"rid":2}')
      watchers.push(client)
    }
    const stalled = await raw(own.ports.big)
    await stalled.text(JSON.stringify({ event: '#subscribe', data: { channel: 'log' }, cid: 2 }))
    stalled.socket.pause()
    const speaker = await raw(own.ports.big)
    const state = JSON.stringify({ event: 'log', data: { type: 'STATE', payload: 'y'.repeat(10 << 20) } })
    // The system holds something for the stalled one too, so that it is not known which state is too much.
    const isClosed = async () => (await own.metrics()).sum('polyport_sessions_closed_total', { listener: 'big', reason: 'outbox_full' }) === 1
    for (let round = 0; round < 4 || (round < 8 && !(await isClosed())); round += 1) {
      const before = await encodes()
      await speaker.text(state)
      for (const client of watchers) {
        let text
        do text = await client.nextText(60_000)
        while (text.length < 10 << 20)
      }
      assert.equal((await encodes()) - before, 1)
    }
    await until('the stalled monitor to be closed', isClosed)
    stalled.socket.destroy()
    await own.kill()
  })
})

describe('over several nodes', () => {
  test('an app of one node is watched and told what to do from another, and hears when nobody is left', async () => {
    const redis = await RedisServer.start()
    const node = () => Polyport.start({ backplane: backplaneOf(redis), listeners: { relay: listener({ protocol_version: 2 }, { realm: 'devtools' }) } })
    const nodes = [await node(), await node()]
    try {
      const running = await App.start('1.0.0', nodes[0].ports.relay, 'far')
      opened.push(running)
      const watching = await Monitor.open('20.0.2', nodes[1].ports.relay)
      opened.push(watching)
      const state = await watching.sees('far', { type: 'STATE' })
      await until('the other node to find the app', async () => {
        watching.tells(state, { type: 'ACTION', action: "{ type: 'INC' }" })
        return (await running.state()).n > 0
      })
      const other = await Monitor.open('20.0.2', nodes[0].ports.relay)
      opened.push(other)
      await other.sees('far', { type: 'STATE' })
      await other.close()
      const { n } = await running.state()
      running.dispatch({ type: 'INC' })
      await until('the action', () => watching.of('far').some(({ type, payload }) => type === 'ACTION' && JSON.parse(payload).n > n))
      assert.deepEqual(watching.of('far').filter(({ type }) => type === 'STOP'), [])
    } finally {
      for (const one of nodes) await one.stop()
      await redis.stop()
    }
  })
})
