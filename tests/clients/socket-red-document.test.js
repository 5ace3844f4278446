'use strict'
// The example of socket.red's documentation, with the one line repaired that no engine runs.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const WebSocket = require('ws-4')
const { FrameClient } = require('./lib/frame-client')
const { Polyport, ROOT, temporaryFolder } = require('./lib/polyport')
const { until } = require('./lib/wait')

const connectClient = require('socket.red-client-0.1.14').default
const EXAMPLE = path.join(ROOT, 'docs', 'examples', 'socket-red.js')

describe("the documentation's example", () => {
  let gateway
  before(async () => {
    gateway = await Polyport.start({
      backends: { example: { kind: 'script', file: EXAMPLE } },
      listeners: { rpc: { protocol: 'ws-rpc', backends: ['example'] } },
    })
  })
  after(() => gateway?.stop())

  const open = async (id) => {
    const seen = { actions: [], events: [], connected: false }
    const client = connectClient((action) => seen.actions.push(action), {}, WebSocket)
    client.on('event', (name, data) => seen.events.push([name, data]))
    client.on('connect', () => (seen.connected = true))
    client.open(`ws://127.0.0.1:${gateway.ports.rpc}/${id}`)
    await until('a connection', () => seen.connected)
    return { client, seen }
  }
  const failure = (promise) => promise.then(() => assert.fail('it worked'), (error) => error.message)

  test('the events of onStart, and clap in all its branches', async () => {
    const { client, seen } = await open(1)
    assert.equal(await client.rpc('clap', [2]), 'Clap Clap Clap with 2')
    assert.deepEqual(seen.events, [['hi', 'A new session has started']])
    assert.deepEqual(seen.actions, [{ type: 'ACTION_TYPE', payload: 'Your action data' }])
    assert.equal(await failure(client.rpc('clap')), 'Cannot clap without any hands')
    assert.equal(await client.rpc('clap', [3]), 'its difficult to clap with so many hands')
    assert.equal(await failure(client.rpc('clap', [11])), 'What kind of a monster are you?')
    client.close()
  })

  test('createRecord reaches every session, and none that has left', async () => {
    const [caller, other, leaver] = [await open(2), await open(3), await open(4)]
    leaver.client.close()
    await gateway.counted('polyport_sessions', { listener: 'rpc' }, (count) => count === 2)
    await caller.client.rpc('createRecord', ['users', { name: 'Ada' }])
    const action = caller.seen.actions.at(-1)
    assert.equal(action.type, 'schema.insert')
    await until('the other to have it', () => other.seen.actions.length === 2)
    assert.deepEqual(other.seen.actions.at(-1), action)
    caller.client.close()
    other.client.close()
  })
})

describe('a script that changes', () => {
  test('new calls run the new code, sessions stay', async () => {
    const folder = temporaryFolder()
    const file = path.join(folder, 'api.js')
    const code = (answer) => `require('socket.red')(0, () => ({ api: { version: () => '${answer}' } }))\n`
    fs.writeFileSync(file, code('one'))
    const gateway = await Polyport.start(
      { backends: { api: { kind: 'script', file } }, listeners: { rpc: { protocol: 'ws-rpc', backends: ['api'] } } },
      { folder },
    )
    const page = await FrameClient.open({ port: gateway.ports.rpc })
    const version = async (id) => {
      await page.text(`[${id},"version",[]]`)
      return JSON.parse(await page.nextText())[2]
    }
    assert.equal(await version(1), 'one')
    fs.writeFileSync(file, code('two'))
    let id = 1
    await until('the new code', async () => (await version((id += 1))) === 'two')
    fs.writeFileSync(file, 'this is no JavaScript')
    await gateway.logged(/api\.js:1:/)
    assert.equal(await version((id += 1)), 'two')
    fs.writeFileSync(file, code('three'))
    gateway.signal('SIGHUP')
    await until('the code after a reload', async () => (await version((id += 1))) === 'three')
    page.close()
    await gateway.stop()
  })
})
