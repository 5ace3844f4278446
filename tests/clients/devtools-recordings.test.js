'use strict'
// What apps say is recorded in files, and `polyport devtools replay` says it again to monitors of both generations.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { App, Monitor } = require('./lib/devtools')
const { Polyport, BINARY, environment, run, temporaryFolder } = require('./lib/polyport')
const { until, within, LIMIT } = require('./lib/wait')

const MONITORS = ['14.3.2', '20.0.2']
const PATH = '/socketcluster/'
const folder = temporaryFolder()
const RECORDINGS = path.join(folder, 'recordings')

const relay = (realm, devtools = {}) => ({ protocol: 'devtools-relay', realm, devtools: { relay: true, grace: '200ms', ...devtools } })

let gateway
const opened = []
before(async () => {
  const users = [{ name: 'anna', secret: 'env:TEAM_SECRET' }]
  gateway = await Polyport.start(
    {
      listeners: {
        recording: relay('recording', { recordings: RECORDINGS }),
        auto: relay('auto'),
        v1: relay('v1', { protocol_version: 1 }),
        v2: relay('v2', { protocol_version: 2 }),
        team: relay('team', { users, teams: true }),
      },
    },
    { env: { TEAM_SECRET: 'sesame-of-the-team' } },
  )
})
after(async () => {
  for (const one of opened) one.close ? await one.close() : one.kill()
  await gateway?.stop()
})

const keep = (one) => {
  opened.push(one)
  return one
}
const monitor = async (version, where, more) => keep(await Monitor.open(version, gateway.ports[where], more))
const url = (where, { user = '', target = PATH } = {}) => `ws://${user}127.0.0.1:${gateway.ports[where]}${target}`

/** The messages of a recording, with the moments at which they came. */
const lines = (file) => fs.readFileSync(file, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line))

/** The recording of an app of that name, once it has so many messages behind its title. */
function recorded(name, count) {
  const found = () => fs.readdirSync(RECORDINGS).filter((file) => file.endsWith(`-${name}.jsonl`)).map((file) => path.join(RECORDINGS, file))
  return until(
    () => `a recording of ${name} with ${count} messages; there are ${fs.readdirSync(RECORDINGS)}`,
    () => found().find((file) => fs.readFileSync(file, 'utf8').split('\n').length > count + 1),
  )
}

/** A replay that runs until it is killed. */
class Replayed {
  constructor(file, where, args = [], address) {
    this.output = ''
    this.child = spawn(BINARY, ['devtools', 'replay', file, '--url', url(where, address), ...args], { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] })
    const say = (text) => {
      this.output += text
    }
    this.child.stdout.setEncoding('utf8').on('data', say)
    this.child.stderr.setEncoding('utf8').on('data', say)
    const kill = () => this.child.kill('SIGKILL')
    process.once('exit', kill)
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code) => {
        process.removeListener('exit', kill)
        resolve(code)
      })
    })
    keep(this)
  }

  says(pattern) {
    return until(() => `the replay to say ${pattern}; it said ${this.output}`, () => pattern.test(this.output))
  }

  kill() {
    this.child.kill('SIGINT')
  }
}

const post = (where, body) =>
  new Promise((resolve, reject) => {
    const sent = http.request({ host: '127.0.0.1', port: gateway.ports[where], method: 'POST', path: '/', agent: false, headers: { 'content-type': 'application/json' } }, async (response) => {
      resolve(Buffer.concat(await response.toArray()).toString())
    })
    sent.on('error', reject)
    sent.end(JSON.stringify(body))
  })

/** A file as a recorder would have written it. */
function written(name, messages) {
  const file = path.join(folder, `${name}.jsonl`)
  const title = { recording: 1, realm: 'x', instanceId: 'i', name }
  fs.writeFileSync(file, [title, ...messages.map(([at, message]) => ({ at, message: { name, ...message } }))].map((line) => `${JSON.stringify(line)}\n`).join(''))
  return file
}
const init = (n) => ({ type: 'INIT', payload: JSON.stringify({ n }) })
const action = (n, type = 'INC') => ({ type: 'ACTION', payload: JSON.stringify({ n }), action: JSON.stringify({ timestamp: n, action: { type } }) })

/** What a monitor can tell of an instance's messages whoever said them. */
const essence = ({ type, payload, action: done, nextActionId, name }) => ({ type, payload, action: done, nextActionId, name })

describe('recording and replaying an app', () => {
  for (const kind of ['1.0.0', 'remote-redux-devtools']) {
    test(`whom nobody watched, ${kind}`, async () => {
      const name = `shop${kind.replace(/\W/g, '')}`
      const running = keep(await App.start(kind, gateway.ports.recording, name))
      const file = await recorded(name, 1)
      running.dispatch({ type: 'INC' })
      running.dispatch({ type: 'ADD', by: 4 })
      await recorded(name, 3)
      running.kill()
      await running.ended
      const [title, ...said] = lines(file)
      assert.deepEqual([title.recording, title.realm, title.name], [1, 'recording', name])
      assert.deepEqual(said.map(({ message }) => message.type), ['STATE', 'ACTION', 'ACTION'])
      assert.ok(said.every(({ at }, index) => index === 0 || at >= said[index - 1].at))
      assert.equal(fs.statSync(file).mode & 0o777, 0o600)

      const early = await Promise.all(MONITORS.map((version) => monitor(version, 'auto')))
      const replay = new Replayed(file, 'auto', ['--at-once'])
      await replay.says(/that was all/)
      const late = await Promise.all(MONITORS.map((version) => monitor(version, 'auto')))
      const expected = said.map(({ message }) => essence(message))
      for (const watching of [...early, ...late]) {
        await watching.sees(name, { type: 'ACTION', nextActionId: 3 })
        const seen = watching.of(name).filter(({ type }) => type !== 'START')
        assert.deepEqual(seen.slice(-3).map(essence), expected, watching.client.version)
        const others = new Set(seen.map(({ id, instanceId }) => `${id} ${instanceId}`))
        assert.equal(others.size, 1, 'one app, under an id of its own')
        assert.notEqual(seen[0].instanceId, said[0].message.instanceId)
      }

      // Its state is one that a real app takes over and travels in.
      const [watching] = late
      const { instanceId } = watching.log.findLast((message) => message.name === name)
      const { id } = JSON.parse(await post('auto', { op: 'snapshot', instanceId }))
      const report = JSON.parse(await post('auto', { op: 'get', id }))
      const heir = keep(await App.start('1.0.0', gateway.ports.auto, `heir${name}`))
      const ready = await watching.sees(`heir${name}`, { type: 'STATE' })
      watching.tells(ready, { type: 'IMPORT', state: report.payload })
      await heir.holds(5)
      watching.dispatches(ready, { type: 'JUMP_TO_STATE', index: 1, actionId: 1 })
      await heir.holds(1)
      watching.dispatches(ready, { type: 'JUMP_TO_ACTION', actionId: 2 })
      await heir.holds(5)

      // It leaves as an app does, and what monitors wanted of it meanwhile has not harmed it.
      watching.tellsAll({ type: 'DISPATCH', action: { type: 'PAUSE_RECORDING', status: true } })
      watching.tells({ id: watching.of(name)[0].id, instanceId }, { type: 'DISPATCH', action: { type: 'JUMP_TO_STATE', index: 0 } })
      await watching.client.invoke('login', {})
      assert.equal(replay.child.exitCode, null, replay.output)
      replay.kill()
      await watching.sees(null, { type: 'DISCONNECTED', id: watching.of(name)[0].id })
      heir.kill()
      for (const one of [...early, ...late]) await one.close()
    })
  }

  test('without Redux, whose messages come without an id', async () => {
    const running = keep(await App.start('remotedev', gateway.ports.recording, 'plain'))
    const file = await recorded('plain', 1)
    running.dispatch({ type: 'STEP', n: 7 })
    await recorded('plain', 2)
    running.kill()
    const watching = await monitor('20.0.2', 'auto')
    const replay = new Replayed(file, 'auto', ['--at-once'])
    await watching.sees('plain', { type: 'ACTION' })
    const seen = watching.of('plain').filter(({ type }) => type !== 'START')
    assert.deepEqual(seen.slice(-2).map(essence), lines(file).slice(1).map(({ message }) => essence(message)))
    replay.kill()
    await watching.close()
  })

  test('an app that is recorded goes on when the last monitor leaves', async () => {
    const watching = await monitor('20.0.2', 'recording')
    const running = keep(await App.start('1.0.0', gateway.ports.recording, 'steady'))
    const state = await watching.sees('steady', { type: 'STATE' })
    await watching.close()
    running.dispatch({ type: 'INC' })
    await until('the action to be recorded', async () => lines(await recorded('steady', 1)).some(({ message }) => message?.type === 'ACTION'))
    assert.match(await post('recording', { op: 'recording', instanceId: state.instanceId }), /"type":"ACTION"/)
    running.kill()
  })
})

describe('a replay', () => {
  test('keeps the pace, or is faster', async () => {
    const file = written('paced', [[1_000, init(0)], [4_000, action(1)]])
    // Wide bounds: the first of the two messages may be as late as the second.
    for (const [args, least, most] of [[[], 1_500, LIMIT], [['--speed', '1000'], 0, 1_500], [['--at-once'], 0, 1_500]]) {
      const watching = await monitor('20.0.2', 'v2')
      const times = {}
      const hears = watching.client.hears.bind(watching.client)
      watching.client.hears = (what, value) => {
        if (what === '#log') times[value.type] ??= performance.now()
        hears(what, value)
      }
      const replay = new Replayed(file, 'v2', args)
      await watching.sees('paced', { type: 'ACTION' })
      const took = times.ACTION - times.INIT
      assert.ok(took >= least && took <= most, `${args}: ${took} ms`)
      replay.kill()
      await replay.ended
      await watching.close()
    }
  })

  test('stays connected to relays of either generation, and begins anew for who asks', async () => {
    const file = written('either', [[0, init(0)], [1, action(1)], [2, init(10)], [3, action(11)]])
    for (const [where, version] of [['v1', '14.3.2'], ['v2', '20.0.2']]) {
      const replay = new Replayed(file, where)
      await replay.says(/either is there again, with 4 messages[^]*that was all/)
      const watching = await monitor(version, where)
      await watching.sees('either', { type: 'ACTION' })
      assert.deepEqual(watching.of('either').map(({ payload }) => payload && JSON.parse(payload).n), [10, 11], 'from the last whole state on')
      watching.tellsAll({ type: 'UPDATE' })
      await until('the state once more', () => watching.of('either').length === 4)
      replay.kill()
      await watching.close()
    }
  })

  test('of what POST / answers, from standard input', async () => {
    const watching = await monitor('20.0.2', 'auto')
    const running = keep(await App.start('0.9.5', gateway.ports.auto, 'posted'))
    const { instanceId } = await watching.sees('posted', { type: 'STATE' })
    running.dispatch({ type: 'INC' })
    await watching.sees('posted', { type: 'ACTION', nextActionId: 2 })
    const text = await post('auto', { op: 'recording', instanceId })
    running.kill()
    const file = path.join(folder, 'posted.jsonl')
    fs.writeFileSync(file, text)
    const again = await monitor('20.0.2', 'v2')
    const replay = spawn(BINARY, ['devtools', 'replay', '-', '--url', url('v2')], { env: environment(), stdio: [fs.openSync(file), 'ignore', 'inherit'] })
    keep({ close: () => replay.kill('SIGKILL') })
    await again.sees('posted', { type: 'ACTION', nextActionId: 2 })
    replay.kill()
    for (const one of [watching, again]) await one.close()
  })

  test('shows a name where one is asked for', async () => {
    const file = written('named', [[0, init(0)]])
    const watching = await monitor('20.0.2', 'team', { query: { access: 'anna:sesame-of-the-team' } })
    for (const address of [{ user: 'anna:sesame-of-the-team@' }, { target: `${PATH}?access=anna:sesame-of-the-team` }]) {
      const from = watching.log.length
      const replay = new Replayed(file, 'team', [], address)
      await watching.sees('named', { type: 'INIT' }, from)
      replay.kill()
      await replay.ended
    }
    const refused = new Replayed(file, 'team', [], { user: 'anna:wrong@' })
    assert.equal(await within(refused.ended, LIMIT, () => refused.output), 1)
    assert.match(refused.output, /the relay does not let an app in: it answers 401 Unauthorized/)
    assert.doesNotMatch(refused.output, /wrong/)
    await watching.close()
  })

  test('says what is wrong', () => {
    const bad = path.join(folder, 'bad.jsonl')
    fs.writeFileSync(bad, '{"at":1,"message":{"type":"INIT"}}\nnonsense\n')
    const says = (args, pattern) => {
      const done = run(['devtools', 'replay', ...args])
      assert.equal(done.status, 1, done.stderr)
      assert.match(done.stderr, pattern)
    }
    says([bad], /bad\.jsonl is no recording: line 2 is no message of an app/)
    says([path.join(folder, 'none.jsonl')], /none\.jsonl cannot be read: No such file/)
    const good = written('good', [[0, init(0)]])
    says([good, '--url', 'http://127.0.0.1:1/'], /expected an address that begins with ws:\/\//)
    says([good, '--url', 'ws://127.0.0.1:1/'], /it cannot be reached/)
    says([good, '--url', url('auto', { target: '/elsewhere' })], /it answers 400 Bad Request/)
  })
})

test('a folder that cannot be made is said at once', async () => {
  const config = { listeners: { devtools: relay('own', { recordings: path.join(folder, 'file', 'inside') }) } }
  fs.writeFileSync(path.join(folder, 'file'), '')
  await assert.rejects(Polyport.start(config), /devtools\.recordings[^]*inside/)
})
