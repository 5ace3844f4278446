'use strict'
// Verbs protocol, scenario 21: how a listener goes down while clients are at work.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { LineClient } = require('./lib/line-client')
const { mask } = require('./lib/mask')
const { Polyport } = require('./lib/polyport')
const { verbsListener } = require('./lib/verbs')
const { until } = require('./lib/wait')

const BYE = '{"status":"Bye!","context":"api"}'
const sleep = (duration) => JSON.stringify({ action: 'sleepTest', params: { sleepDuration: duration } })

describe('shutdown of the verbs protocol', () => {
  let gateway

  before(async () => {
    gateway = await Polyport.start({ shutdown: { deadline: '5s' }, listeners: { tcp: verbsListener() } })
  })
  after(() => gateway?.kill())

  test('21: idle, busy and too busy', async () => {
    const address = { port: gateway.ports.tcp }
    const [idle, busy, slow] = [await LineClient.open(address), await LineClient.open(address), await LineClient.open(address)]
    await busy.send(sleep(1500))
    await slow.send(sleep(9000))
    for (const client of [busy, slow]) assert.equal((await client.ask('detailsView')).data.pendingActions, 1)

    const start = Date.now()
    const since = () => Date.now() - start
    gateway.signal('SIGTERM')

    assert.equal(await idle.rest(), `${BYE}\r\n`)
    assert.ok(since() < 500, `the idle client was let go after ${since()} ms`)
    await until('new connections to be refused', async () => {
      const late = await LineClient.connect(address).catch(() => null)
      late?.close()
      return late === null
    })

    await busy.send('randomNumber')
    assert.equal(await busy.next(), '{"error":"the server is shutting down","context":"response","messageCount":3}')
    await busy.send('paramView key')
    assert.equal(await busy.next(), '{"status":"OK","context":"response","messageCount":4}', 'verbs still work')
    assert.equal(
      mask(await busy.next()),
      '{"sleepStarted":<ms>,"sleepEnded":<ms>,"sleepDelta":<delta>,"sleepDuration":1500,"context":"response","messageCount":1}',
    )
    assert.equal(await busy.rest(), `${BYE}\r\n`)
    assert.ok(since() < 3_500, `the busy client was let go after ${since()} ms`)

    assert.equal(await slow.rest(), `${BYE}\r\n`)
    assert.ok(since() > 4_500 && since() < 6_500, `the slow client was let go after ${since()} ms`)
    assert.deepEqual(await gateway.ended, { code: 0, signal: null })
  })
})
