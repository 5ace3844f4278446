'use strict'
// Pocketsocket, scenarios 1 to 11: what the hub says to whom, frame by frame.

const assert = require('node:assert/strict')
const net = require('node:net')
const { after, before, beforeEach, describe, test } = require('node:test')
const { ByteStream } = require('./lib/byte-stream')
const { FrameClient, closing, frame } = require('./lib/frame-client')
const { maskPocket } = require('./lib/mask')
const { Polyport } = require('./lib/polyport')

const arrival = (client) => `{"socket": "connected", "port": ${client.localPort}, "address": "127.0.0.1"}`
const departure = (port) => `{"socket": "disconnected", "port": ${port}, "address": "127.0.0.1"}`
const receipt = (id, attr = 'json') => `{"time": "<time>", "messageId": ${id}, "socket": "sent", "attr": "${attr}"}`

describe('the Pocketsocket hub', () => {
  let gateway
  let port
  let round = 0

  before(async () => {
    const listener = { protocol: 'ws-channels' }
    gateway = await Polyport.start({
      listeners: {
        // Hubs of their own, so that no test hears another one leave.
        ...Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`hub${index}`, listener])),
        echo: { ...listener, channels: { echo: true } },
        plain: { ...listener, channels: { relay: 'plain' } },
        guarded: { ...listener, channels: { refuse_forgeries: true } },
        pinging: { ...listener, channels: { ping: '200ms' } },
        small: { ...listener, limits: { message: '64KiB' } },
        talkative: { ...listener, channels: { verbose: true } },
      },
    })
  })
  beforeEach(() => {
    port = gateway.ports[`hub${round}`]
    round += 1
  })
  after(() => gateway?.stop())

  const open = (options = {}) => FrameClient.open({ port, ...options })

  /** Clients in the order of their arrival, all arrivals heard. */
  async function party(size, options = {}) {
    const clients = []
    for (let count = 0; count < size; count += 1) {
      const newcomer = await open(options)
      for (const other of clients) assert.equal(await other.nextText(), arrival(newcomer))
      clients.push(newcomer)
    }
    return clients
  }

  test('1: arrivals and departures', async () => {
    const [a, b, c] = await party(3)
    const gone = c.localPort
    c.close()
    assert.deepEqual([await a.nextText(), await b.nextText()], [departure(gone), departure(gone)])
    assert.deepEqual(await a.before('a'), [])
    assert.deepEqual(await b.before('b'), ['{"id":"a"}'], 'one departure, not two')
  })

  test('2: a message gives a receipt to its sender and itself to the others', async () => {
    const [a, b, c] = await party(3)
    const text = '{"id":"0.lchkqdo","message":"Art can be very abstract.","data":{}}'
    await a.text(text)
    assert.equal(maskPocket(await a.nextText()), receipt('"0.lchkqdo"'))
    assert.deepEqual([await b.nextText(), await c.nextText()], [text, text])
    assert.deepEqual(await a.before(), [])
  })

  test('2: the time of a receipt is local time with six digits', async () => {
    const [a] = await party(1)
    await a.text('{"id":1}')
    const { time } = JSON.parse(await a.nextText())
    assert.match(time, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?$/)
    const distance = Math.abs(new Date(time.replace(' ', 'T')) - Date.now())
    assert.ok(distance < 5000, `${time} is ${distance} ms away`)
  })

  test('3: white space, key order and non-ASCII are relayed unchanged', async () => {
    const [a, b] = await party(2)
    for (const text of ['{ "id" : "sp" ,\n "message":"a.b" }', '{"id":"u","message":"é😀","data":{}}', '{"data":1,"message":"a.b","id":"k"}']) {
      await a.text(text)
      assert.equal(await b.nextText(), text)
    }
  })

  test('4: receipts', async () => {
    const [a, b] = await party(2)
    const cases = [
      ['{"message":"x.y"}', receipt('null')],
      ['{"id":12}', receipt('12')],
      ['{"id":0.5}', receipt('0.5')],
      ['{"id":"hé"}', receipt('"h\\u00e9"')],
      ['{"id":"hé\\n\\"q"}', receipt('"h\\u00e9\\n\\"q"')],
      ['{"id":"😀"}', receipt('"\\ud83d\\ude00"')],
      ['{"id":null}', receipt('null')],
      ['{"id":true}', receipt('true')],
      ['{"id":{"a":1,"b":[1,2]}}', receipt('{"a": 1, "b": [1, 2]}')],
      ['{"id":[1,1]}', receipt('[1, 1]')],
      ['{"id":1,"id":2}', receipt('2')],
      ['5', receipt('1', 'string')],
      ['"hello"', receipt('7', 'string')],
      ['null', receipt('4', 'string')],
      ['true', receipt('4', 'string')],
      ['[1,2,3]', receipt('7', 'string')],
      ['{"id":NaN}', receipt('10', 'string')],
    ]
    for (const [text, wanted] of cases) {
      await a.text(text)
      assert.equal(maskPocket(await a.nextText()), wanted, `receipt of ${text}`)
      assert.equal(await b.nextText(), text)
    }
  })

  test('5: text that is not JSON', async () => {
    const [a, b] = await party(2)
    for (const [text, bytes] of [['Flerburry (42)!', 15], ['héllo', 6], ['', 0], ['{"id":', 6]]) {
      await a.text(text)
      assert.equal(maskPocket(await a.nextText()), receipt(String(bytes), 'string'), `receipt of ${text}`)
      assert.equal(await b.nextText(), text)
    }
    assert.deepEqual(await a.before(), [], 'the sender stays connected')
  })

  test('6: bursts keep their order, and all see one order', async () => {
    const [a, b, c, d] = await party(4)
    const burst = (name) => Array.from({ length: 200 }, (_, index) => `{"id":"${name}${index}"}`)
    await a.write(Buffer.concat(burst('a').map((text) => frame('text', text))))
    assert.deepEqual((await a.nextTexts(200)).map(maskPocket), burst('a').map((text) => receipt(JSON.stringify(JSON.parse(text).id))))
    for (const client of [b, c, d]) assert.deepEqual(await client.nextTexts(200), burst('a'))

    await Promise.all([
      a.write(Buffer.concat(burst('x').map((text) => frame('text', text)))),
      b.write(Buffer.concat(burst('y').map((text) => frame('text', text)))),
    ])
    const common = await c.nextTexts(400)
    assert.deepEqual(await d.nextTexts(400), common)
    assert.deepEqual(common.filter((text) => text.includes('"x')), burst('x'))
    assert.deepEqual(common.filter((text) => text.includes('"y')), burst('y'))
    const relayed = (await a.nextTexts(400)).filter((text) => !text.includes('"socket"'))
    assert.deepEqual(relayed, burst('y'))
  })

  test('7: a binary frame with JSON counts as text', async () => {
    const [a, b] = await party(2)
    await a.send('binary', '{"id":"bin"}')
    assert.equal(maskPocket(await a.nextText()), receipt('"bin"'))
    assert.equal(await b.nextText(), '{"id":"bin"}')
  })

  test('7: binary that is not UTF-8 stays binary', async () => {
    const [a, b] = await party(2)
    const payload = Buffer.from([0x00, 0xff, 0xfe, 0x01])
    await a.send('binary', payload)
    assert.equal(maskPocket(await a.nextText()), receipt('4', 'string'))
    const relayed = await b.next()
    assert.equal(relayed.kind, 'binary')
    assert.ok(relayed.payload.equals(payload))
  })

  test('8: a fragmented message with a ping inside', async () => {
    const [a, b] = await party(2)
    await a.text('{"id":', { fin: false })
    await a.send('ping', 'between')
    const pong = await a.next()
    assert.deepEqual([pong.kind, pong.payload.toString()], ['pong', 'between'])
    await a.send('continuation', '"fr', { fin: false })
    await a.send('continuation', 'ag"}')
    assert.equal(maskPocket(await a.nextText()), receipt('"frag"'))
    assert.equal(await b.nextText(), '{"id":"frag"}')
    assert.deepEqual(await a.before(), [])
  })

  for (const [label, payload] of [['1000 "bye"', closing(1000, 'bye')], ['1001', closing(1001)], ['nothing', Buffer.alloc(0)]]) {
    test(`9: a close frame with ${label} is answered, and the others hear it once`, async () => {
      const [a, b] = await party(2)
      const gone = a.localPort
      await a.send('close', payload)
      const answer = await a.next()
      assert.equal(answer.kind, 'close')
      assert.ok(answer.payload.length === 0 || answer.payload.subarray(0, 2).equals(payload.subarray(0, 2)), 'empty or mirrored')
      await a.ended()
      assert.equal(await b.nextText(), departure(gone))
      assert.deepEqual(await b.before(), [])
    })
  }

  test('9: TCP that ends or breaks is a departure too', async () => {
    const [a, b, c] = await party(3)
    const ports = [b.localPort, c.localPort]
    b.socket.end()
    assert.equal(await a.nextText(), departure(ports[0]))
    c.socket.resetAndDestroy()
    assert.equal(await a.nextText(), departure(ports[1]))
    assert.deepEqual(await a.before(), [])
  })

  test('10: echo gives receipt, then the text itself', async () => {
    const [a, b] = await party(2, { port: gateway.ports.echo })
    await a.text('{"id":"e"}')
    assert.deepEqual((await a.nextTexts(2)).map(maskPocket), [receipt('"e"'), '{"id":"e"}'])
    assert.equal(await b.nextText(), '{"id":"e"}')
  })

  test('plain relay: no receipts, no presence, frame kinds kept', async () => {
    const [a, b] = [await open({ port: gateway.ports.plain }), await open({ port: gateway.ports.plain })]
    await b.text('{"id":"from b"}')
    assert.equal(await a.nextText(), '{"id":"from b"}')
    await a.send('binary', 'plain text')
    const relayed = await b.next()
    assert.deepEqual([relayed.kind, relayed.payload.toString()], ['binary', 'plain text'])
    await a.text('last')
    assert.equal(await b.nextText(), 'last')
    b.close()
    await open({ port: gateway.ports.plain }).then((c) => c.text('after'))
    assert.equal(await a.nextText(), 'after', 'neither departure nor arrival came before')
  })

  test('11: who makes no handshake is not there', async () => {
    const [a] = await party(1)
    const silent = await FrameClient.connect({ port })
    const plain = await FrameClient.connect({ port })
    const answer = await plain.request('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    assert.equal(answer.status, 426)
    await plain.ended()
    await a.text('{"id":1}')
    assert.equal(maskPocket(await a.nextText()), receipt('1'))
    silent.close()
    assert.deepEqual(await a.before(), [], 'no arrival, no departure')
    assert.equal(silent.stream.pending.length, 0, 'and nothing was sent to it')
  })

  test('openings that are no proper WebSocket handshake get 400', async () => {
    for (const wrong of [{ 'Sec-WebSocket-Key': '' }, { 'Sec-WebSocket-Version': '7' }]) {
      const client = await FrameClient.connect({ port })
      await assert.rejects(client.upgrade({ headers: wrong }), /was refused: HTTP\/1\.1 4(00|26)/)
      client.close()
    }
  })

  test('any path, origin, subprotocol and extension is accepted, none is taken up', async () => {
    const client = await open({
      path: '/chat?x=1',
      headers: { Origin: 'null', 'Sec-WebSocket-Protocol': 'chat', 'Sec-WebSocket-Extensions': 'permessage-deflate' },
    })
    assert.match(client.answer, /^upgrade: websocket\r$/im)
    assert.doesNotMatch(client.answer, /sec-websocket-(protocol|extensions)/i)
    assert.deepEqual(await client.before(), [], 'there is no welcome')
  })

  for (const [label, bytes, code] of [
    ['an unmasked frame', frame('text', '{"id":1}', { mask: null }), 1002],
    ['a reserved bit', frame('text', '{"id":1}', { rsv: 4 }), 1002],
    ['an unknown opcode', frame('text', 'hi', { opcode: 3 }), 1002],
    ['a continuation of nothing', frame('continuation', 'x'), 1002],
    ['a fragmented ping', frame('ping', 'x', { fin: false }), 1002],
    ['text that is not UTF-8', frame('text', Buffer.from([0xff, 0xfe])), 1007],
  ]) {
    test(`${label} closes with ${code} and is a departure`, async () => {
      port = gateway.ports.hub39
      const [a, b] = await party(2)
      const gone = a.localPort
      await a.write(bytes)
      const answer = await a.next()
      assert.deepEqual([answer.kind, answer.code], ['close', code])
      await a.ended()
      assert.equal(await b.nextText(), departure(gone))
      b.close()
      // The next round must find this hub empty.
      await gateway.counted('polyport_sessions', { listener: 'hub39' }, (sessions) => sessions === 0)
    })
  }

  test('a message above the limit closes with 1009', async () => {
    const [a, b] = await party(2, { port: gateway.ports.small })
    const gone = a.localPort
    await a.text(`{"id":"${'x'.repeat(70_000)}"}`)
    const answer = await a.next()
    assert.deepEqual([answer.kind, answer.code], ['close', 1009])
    assert.equal(await b.nextText(), departure(gone))
  })

  test('forgeries of hub messages are relayed, unless they are refused', async () => {
    const forged = '{"socket":"connected","port":1,"address":"10.0.0.1"}'
    const [a, b] = await party(2)
    await a.text(forged)
    assert.equal(await b.nextText(), forged)

    const [c, d] = await party(2, { port: gateway.ports.guarded })
    await c.text(forged)
    await c.text('{"id":"honest"}')
    assert.equal(await d.nextText(), '{"id":"honest"}')
  })

  test('pings come when asked for and need no answer from the library', async () => {
    const client = await open({ port: gateway.ports.pinging })
    const ping = await client.next()
    assert.equal(ping.kind, 'ping')
    await client.send('pong', ping.payload)
    assert.equal((await client.next()).kind, 'ping')
    client.close()
  })

  test('verbose prints that it is ready, and what it hears and says', async () => {
    await gateway.logged(new RegExp(`Ready 127\\.0\\.0\\.1 ${gateway.ports.talkative}`))
    const client = await open({ port: gateway.ports.talkative })
    await client.text('{"id":"a word to be found in the log"}')
    await client.next()
    await gateway.logged(/a word to be found in the log/)
    client.close()
  })

  test('a frame that comes byte by byte', async () => {
    const [a, b] = await party(2)
    for (const byte of frame('text', '{"id":"slow"}')) await a.write(Buffer.from([byte]))
    assert.equal(maskPocket(await a.nextText()), receipt('"slow"'))
    assert.equal(await b.nextText(), '{"id":"slow"}')
  })

  test('the handshake and the first frame in one write', async () => {
    const [b] = await party(1)
    const socket = net.connect({ port, host: '127.0.0.1' })
    const stream = new ByteStream(socket, 'hasty page')
    const head =
      'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
    socket.write(Buffer.concat([Buffer.from(head), frame('text', '{"id":"hasty"}')]))
    await stream.wait('the 101', () => (stream.pending.includes('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=') ? true : undefined))
    assert.match(await b.nextText(), /"connected"/)
    assert.equal(await b.nextText(), '{"id":"hasty"}')
    socket.destroy()
  })
})
