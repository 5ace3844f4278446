'use strict'
// Verbs protocol, scenarios 12 and 13: rooms, who hears what, who is in.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { LineClient } = require('./lib/line-client')
const { mask } = require('./lib/mask')
const { Polyport } = require('./lib/polyport')
const { verbsListener } = require('./lib/verbs')
const { until } = require('./lib/wait')

describe('rooms of the verbs protocol', () => {
  let gateway
  let open

  before(async () => {
    gateway = await Polyport.start({
      listeners: { tcp: verbsListener(), joined: verbsListener({ realm: 'joined', verbs: { auto_join: true } }) },
    })
    open = (name = 'tcp') => LineClient.open({ port: gateway.ports[name] })
  })
  after(() => gateway?.stop())

  test('12: room errors', async () => {
    const client = await open()
    const conversation = [
      ['roomView defaultRoom', '{"status":"not member of room defaultRoom","context":"response","messageCount":1}'],
      ['say defaultRoom x', '{"status":"connection not in this room","context":"response","messageCount":2}'],
      ['roomAdd nope', '{"status":"room does not exist","context":"response","data":false,"messageCount":3}'],
      ['say', '{"status":"both room and message are required","context":"response","messageCount":4}'],
      ['say defaultRoom', '{"status":"both room and message are required","context":"response","messageCount":5}'],
      ['roomAdd defaultRoom', '{"status":"OK","context":"response","data":true,"messageCount":6}'],
      ['roomAdd defaultRoom', '{"status":"connection already in this room","context":"response","data":false,"messageCount":7}'],
      ['roomLeave otherRoom', '{"status":"connection not in this room","context":"response","data":false,"messageCount":8}'],
      ['roomView', '{"status":"not member of room undefined","context":"response","messageCount":9}'],
      ['roomAdd', '{"status":"room does not exist","context":"response","data":false,"messageCount":10}'],
      ['roomAdd   otherRoom', '{"status":"room does not exist","context":"response","data":false,"messageCount":11}'],
      ['roomLeave defaultRoom', '{"status":"OK","context":"response","data":true,"messageCount":12}'],
      ['say defaultRoom gone', '{"status":"connection not in this room","context":"response","messageCount":13}'],
    ]
    for (const [line, reply] of conversation) {
      await client.send(line)
      assert.equal(await client.next(), reply, `reply to ${line}`)
    }
    client.close()
  })

  test('13: two in a room and an outsider', async () => {
    const [a, b, x] = [await open(), await open(), await open()]
    const id = await b.id()
    await a.ask('roomAdd defaultRoom')
    await b.ask('roomAdd defaultRoom')
    await x.ask('roomAdd otherRoom')

    await b.send('say defaultRoom ünïcödé ☃ 😀')
    assert.equal(await b.next(), '{"status":"OK","context":"response","data":null,"messageCount":3}', 'the OK comes first')
    const heard = await b.next()
    assert.equal(
      heard.replace(/\d{13}/, '<ms>'),
      `{"message":"ünïcödé ☃ 😀","room":"defaultRoom","from":"${id}","context":"user","sentAt":<ms>}`,
    )
    assert.equal(await a.next(), heard, 'every member gets the very same bytes')
    assert.deepEqual(await x.before(), [], 'who is not in the room hears nothing')

    const view = await a.ask('roomView defaultRoom')
    assert.equal(view.messageCount, 2, 'a broadcast does not disturb the numbering')
    assert.equal(view.data.membersCount, 2)
    assert.deepEqual(Object.keys(view.data.members[id]), ['id', 'joinedAt'])

    await b.send('quit')
    await b.ended()
    await until('the leaver to be gone within 100 ms', async () => (await a.ask('roomView defaultRoom')).data.membersCount === 1, 100)
    for (const client of [a, x]) client.close()
  })

  test('13: text is passed on as it is', async () => {
    const client = await open()
    await client.ask('roomAdd defaultRoom')
    for (const [said, shown] of [
      ['hi there  two spaces', '"hi there  two spaces"'],
      ['{"json":["msg",1]}', '"{\\"json\\":[\\"msg\\",1]}"'],
      ['tab\there \\ "quoted"', '"tab\\there \\\\ \\"quoted\\""'],
    ]) {
      await client.send(`say defaultRoom ${said}`)
      await client.next()
      assert.ok((await client.next()).startsWith(`{"message":${shown},"room":"defaultRoom",`), said)
    }
    client.close()
  })

  test('a hundred lines of one speaker arrive in order at everybody', async () => {
    const [speaker, listener] = [await open(), await open()]
    await speaker.ask('roomAdd otherRoom')
    await listener.ask('roomAdd otherRoom')
    await speaker.send(...Array.from({ length: 100 }, (_, index) => `say otherRoom ${index}`))
    const expected = Array.from({ length: 100 }, (_, index) => String(index))
    const heard = (await listener.nextLines(100)).map((line) => JSON.parse(line).message)
    assert.deepEqual(heard, expected)
    const own = (await speaker.nextLines(200)).map((line) => JSON.parse(line)).filter((line) => line.context === 'user')
    assert.deepEqual(own.map((line) => line.message), expected)
    for (const client of [speaker, listener]) client.close()
  })

  test('auto_join puts a connection into the default room, and its first roomAdd succeeds', async () => {
    const client = await open('joined')
    assert.equal((await client.ask('roomView defaultRoom')).data.membersCount, 1)
    await client.send('roomAdd defaultRoom')
    assert.equal(await client.next(), '{"status":"OK","context":"response","data":true,"messageCount":2}')
    await client.send('roomAdd defaultRoom')
    assert.equal(
      await client.next(),
      '{"status":"connection already in this room","context":"response","data":false,"messageCount":3}',
    )
    client.close()
  })

  test('two words after roomAdd join only what they spell together', async () => {
    const client = await open()
    await client.send('roomAdd other Room')
    assert.equal(await client.next(), '{"status":"OK"}')
    await client.send('roomAdd no room')
    assert.equal(await client.next(), '{"status":"room does not exist","context":"response","data":false,"messageCount":1}')
    await client.send('roomAdd defaultRoom extra')
    assert.equal(await client.next(), '{"status":"OK","context":"response","data":true,"messageCount":2}')
    assert.deepEqual((await client.ask('detailsView')).data.rooms, ['otherRoom', 'defaultRoom'])
    client.close()
  })

  test('a created room can be joined', async () => {
    const client = await open()
    const created = await client.ask('{"action":"createChatRoom","params":{"name":"fresh"}}')
    assert.equal(created.error, undefined, mask(JSON.stringify(created)))
    await client.send('roomAdd fresh')
    assert.equal(await client.next(), '{"status":"OK","context":"response","data":true,"messageCount":2}')
    client.close()
  })
})
