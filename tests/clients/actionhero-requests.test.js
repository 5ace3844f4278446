'use strict'
// Verbs protocol, scenarios 8 to 11 and 18: many requests at once, their numbers and their limit.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { LineClient } = require('./lib/line-client')
const { byNumber, mask } = require('./lib/mask')
const { Polyport } = require('./lib/polyport')
const { verbsListener } = require('./lib/verbs')

const sleep = (duration) => JSON.stringify({ action: 'sleepTest', params: { sleepDuration: duration } })

describe('requests of the verbs protocol', () => {
  let gateway
  let open

  before(async () => {
    gateway = await Polyport.start({ listeners: { tcp: verbsListener() } })
    open = () => LineClient.open({ port: gateway.ports.tcp })
  })
  after(() => gateway?.stop())

  test('8: the faster of two pending requests is answered first', async () => {
    const client = await open()
    const start = Date.now()
    await client.send(sleep(500), sleep(10))
    const first = await client.next()
    const after = Date.now() - start
    assert.equal(
      mask(first),
      '{"sleepStarted":<ms>,"sleepEnded":<ms>,"sleepDelta":<delta>,"sleepDuration":10,"context":"response","messageCount":2}',
    )
    assert.ok(after < 100, `answered after ${after} ms`)
    const second = JSON.parse(await client.next())
    assert.deepEqual([second.messageCount, second.sleepDuration], [1, 500])
    assert.ok(second.sleepDelta >= 500 && second.sleepDelta < 700, `slept ${second.sleepDelta} ms`)
    assert.equal(second.sleepEnded - second.sleepStarted, second.sleepDelta)
    client.close()
  })

  test('9: a request works on the params that it was sent with', async () => {
    const client = await open()
    await client.send('paramAdd sleepDuration=400', 'sleepTest', 'paramAdd sleepDuration=20', 'sleepTest')
    const lines = (await client.nextLines(4)).map((line) => JSON.parse(line))
    const sleeps = lines.filter((line) => line.sleepDuration !== undefined)
    assert.deepEqual(
      sleeps.map((line) => [line.messageCount, line.sleepDuration]),
      [[4, 20], [2, 400]],
    )
    client.close()
  })

  test('10: the sixth pending action is refused at once, verbs are not', async () => {
    const client = await open()
    await client.send(...Array.from({ length: 8 }, () => sleep(300)))
    const refused = await client.nextLines(3)
    assert.deepEqual(refused.sort(), [6, 7, 8].map(
      (count) => `{"error":"you have too many pending requests","context":"response","messageCount":${count}}`,
    ))
    const details = await client.ask('detailsView')
    assert.equal(details.data.pendingActions, 5)
    assert.equal(details.data.totalActions, 8)
    await client.send('roomAdd defaultRoom')
    assert.equal(await client.next(), '{"status":"OK","context":"response","data":true,"messageCount":10}')
    const answered = (await client.nextLines(5)).map((line) => JSON.parse(line))
    assert.deepEqual(answered.map((line) => line.messageCount).sort(), [1, 2, 3, 4, 5])
    assert.equal((await client.ask('detailsView')).data.pendingActions, 0)
    client.close()
  })

  test('11: room verbs in one write take effect in their order', async () => {
    const client = await open()
    await client.send('roomAdd defaultRoom', 'roomView defaultRoom', 'say defaultRoom pipelined', 'roomLeave defaultRoom', 'randomNumber')
    const lines = (await client.nextLines(6)).map(mask)
    const [echo] = lines.splice(lines.findIndex((line) => line.includes('"context":"user"')), 1)
    assert.deepEqual(byNumber(lines), [
      '{"status":"OK","context":"response","data":true,"messageCount":1}',
      '{"status":"OK","context":"response","data":{"room":"defaultRoom","members":{"<uuid>":{"id":"<uuid>","joinedAt":<ms>}},"membersCount":1},"messageCount":2}',
      '{"status":"OK","context":"response","data":null,"messageCount":3}',
      '{"status":"OK","context":"response","data":true,"messageCount":4}',
      '{"randomNumber":<rnd>,"context":"response","messageCount":5}',
    ])
    assert.equal(echo, '{"message":"pipelined","room":"defaultRoom","from":"<uuid>","context":"user","sentAt":<ms>}')
    client.close()
  })

  test('18: messageId is echoed when the client has set it, as it was when the line was read', async () => {
    const client = await open()
    await client.send('paramAdd messageId=abc')
    assert.equal(await client.next(), '{"status":"OK","context":"response","data":null,"messageCount":1}')
    await client.send('randomNumber')
    assert.equal(mask(await client.next()), '{"randomNumber":<rnd>,"context":"response","messageCount":2,"messageId":"abc"}')
    client.close()

    const both = await open()
    await both.send('paramAdd messageId=abc', 'randomNumber')
    assert.deepEqual((await both.nextLines(2)).map(mask), [
      '{"status":"OK","context":"response","data":null,"messageCount":1}',
      '{"randomNumber":<rnd>,"context":"response","messageCount":2,"messageId":"abc"}',
    ])
    await both.send('{"action":"randomNumber","params":{"messageId":7}}')
    assert.equal(mask(await both.next()), '{"randomNumber":<rnd>,"context":"response","messageCount":3,"messageId":7}')
    await both.send('{"action":"randomNumber","messageId":"top-level"}')
    assert.equal(JSON.parse(await both.next()).messageId, 7, 'a messageId beside action is no param')
    await both.send('paramsDelete')
    assert.equal(await both.next(), '{"status":"OK","context":"response","data":null,"messageCount":5,"messageId":7}')
    await both.send('paramsView')
    assert.equal(await both.next(), '{"status":"OK","context":"response","data":{},"messageCount":6}')
    both.close()
  })

  test('18: new params without messageId keep the old one for this reply only', async () => {
    const client = await open()
    await client.send('paramAdd messageId=old')
    await client.next()
    await client.send('{"action":"randomNumber","params":{}}')
    assert.equal(JSON.parse(await client.next()).messageId, 'old')
    await client.send('randomNumber')
    assert.equal(JSON.parse(await client.next()).messageId, undefined)
    client.close()
  })

  test('a client that keeps five in flight is never refused', async () => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => open()))
    await Promise.all(clients.map(async (client) => {
      await client.send(...Array.from({ length: 5 }, () => sleep(1)))
      for (let answered = 0; answered < 1000; answered += 1) {
        const reply = JSON.parse(await client.next())
        assert.equal(reply.error, undefined, `after ${answered} answers`)
        await client.send(sleep(1))
      }
      await client.nextLines(5)
      assert.equal((await client.ask('detailsView')).data.pendingActions, 0)
      client.close()
    }))
  })

  test('a burst of a thousand lines is answered whole, numbered in order', async () => {
    const client = await open()
    await client.send(...Array.from({ length: 1000 }, () => 'paramView key'))
    const counts = (await client.nextLines(1000)).map((line) => JSON.parse(line).messageCount)
    assert.deepEqual(counts, Array.from({ length: 1000 }, (_, index) => index + 1))
    client.close()
  })
})
