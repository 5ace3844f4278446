'use strict'
// Verbs protocol, scenarios 1 to 7 and 15 to 17: lines, words, params, long lines, garbage, leaving.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { LineClient } = require('./lib/line-client')
const { byNumber, mask } = require('./lib/mask')
const { Polyport } = require('./lib/polyport')
const { SEED, UNKNOWN, WELCOME } = require('./lib/seed-session')
const { verbsListener } = require('./lib/verbs')

const MIB = 1024 * 1024

describe('lines of the verbs protocol', () => {
  let gateway
  let open

  before(async () => {
    gateway = await Polyport.start({
      listeners: {
        tcp: verbsListener(),
        short: verbsListener({ verbs: { max_data_length: 64 } }),
        piped: verbsListener({ verbs: { delimiter: '|' } }),
        crlf: verbsListener({ verbs: { delimiter: '\r\n' } }),
        worded: verbsListener({ verbs: { welcome: 'Hi there', default_room: 'otherRoom', goodbye: 'So long' } }),
      },
    })
    open = (name = 'tcp') => LineClient.open({ port: gateway.ports[name] })
  })
  after(() => gateway?.stop())

  for (const [label, ending] of [['LF', '\n'], ['CR LF', '\r\n'], ['CR', '\r']]) {
    test(`1: the printed session, one line at a time, ended by ${label}`, async () => {
      const client = await open()
      assert.equal(client.welcome, WELCOME)
      for (const [line, reply] of SEED) {
        await client.write(line + ending)
        assert.equal(mask(await client.next()), reply, `reply to ${line}`)
      }
      const echo = mask(await client.next())
      assert.equal(echo, '{"message":"hooray!","room":"defaultRoom","from":"<uuid>","context":"user","sentAt":<ms>}')
      client.close()
    })
  }

  test('1: the times of the printed cacheTest fit together', async () => {
    const client = await open()
    await client.send('paramAdd key=myKey', 'paramAdd value=myValue')
    await client.nextLines(2)
    const { loadResp } = (await client.ask('cacheTest')).cacheTestResults
    assert.equal(loadResp.expireTimestamp - loadResp.createdAt, 5000)
    assert.ok(loadResp.readAt >= loadResp.createdAt && loadResp.readAt < loadResp.createdAt + 1000, 'read after it was made')
    client.close()
  })

  test('2: the printed session in one write', async () => {
    const client = await open()
    await client.write(SEED.map(([line]) => `${line}\n`).join(''))
    const replies = (await client.nextLines(SEED.length + 1)).map(mask).filter((line) => !line.includes('"context":"user"'))
    assert.deepEqual(replies.sort(), SEED.map(([, reply]) => reply).sort())
    client.close()
  })

  test('3: CR, LF and CR LF mixed, empty lines ignored', async () => {
    const client = await open()
    await client.write('paramAdd key=one\rparamView key\nrandomNumber\r\n\r\n\n')
    assert.deepEqual(byNumber((await client.nextLines(3)).map(mask)), [
      '{"status":"OK","context":"response","data":null,"messageCount":1}',
      '{"status":"OK","context":"response","data":"one","messageCount":2}',
      '{"randomNumber":<rnd>,"context":"response","messageCount":3}',
    ])
    assert.equal((await client.ask('paramView key')).messageCount, 4, 'nothing else was counted or answered')
    client.close()
  })

  test('4: lines and characters split over writes', async () => {
    const client = await open()
    await client.write('deta')
    await client.write('ilsView\r')
    await client.write('\n')
    assert.equal(JSON.parse(await client.next()).messageCount, 1)
    client.close()

    const other = await open()
    const snowman = Buffer.from('☃')
    await other.write(Buffer.concat([Buffer.from('paramAdd key='), snowman.subarray(0, 1)]))
    await other.write(Buffer.concat([snowman.subarray(1), Buffer.from('\r\n')]))
    assert.equal(await other.next(), '{"status":"OK","context":"response","data":null,"messageCount":1}')
    await other.send('paramView key')
    assert.equal(await other.next(), '{"status":"OK","context":"response","data":"☃","messageCount":2}')
    other.close()
  })

  test('5: unknown actions', async () => {
    const client = await open()
    const lines = ['hello', 'RandomNumber', ' randomNumber', '{bad json', '   ', '\trandomNumber', 'PARAMADD key=1']
    for (const [index, line] of lines.entries()) {
      await client.send(line)
      assert.equal(await client.next(), UNKNOWN(index + 1), `reply to ${JSON.stringify(line)}`)
    }
    await client.send('randomNumber ')
    assert.equal(mask(await client.next()), `{"randomNumber":<rnd>,"context":"response","messageCount":${lines.length + 1}}`)
    client.close()
  })

  test('6: param verbs', async () => {
    const client = await open()
    const conversation = [
      ['paramAdd key value', '{"status":"OK","context":"response","data":null,"messageCount":1}'],
      ['paramView key', '{"status":"OK","context":"response","data":"value","messageCount":2}'],
      ['paramAdd notAllowed=1', '{"status":"OK","context":"response","data":null,"messageCount":3}'],
      ['paramsView', '{"status":"OK","context":"response","data":{"key":"value"},"messageCount":4}'],
      ['paramDelete key', '{"status":"OK","context":"response","data":null,"messageCount":5}'],
      ['paramView key', '{"status":"OK","context":"response","messageCount":6}'],
      ['paramsDelete', '{"status":"OK","context":"response","data":null,"messageCount":7}'],
      ['paramsView', '{"status":"OK","context":"response","data":{},"messageCount":8}'],
      ['paramAdd', '{"status":"OK","context":"response","data":null,"messageCount":9}'],
      ['paramDelete', '{"status":"OK","context":"response","data":null,"messageCount":10}'],
      ['paramView', '{"status":"OK","context":"response","messageCount":11}'],
      ['paramAdd key=a=b', '{"status":"OK","context":"response","data":null,"messageCount":12}'],
      ['paramView key', '{"status":"OK","context":"response","data":"a=b","messageCount":13}'],
      ['paramAdd key=a b c', '{"status":"OK","context":"response","data":null,"messageCount":14}'],
      ['paramView key', '{"status":"OK","context":"response","data":"a b c","messageCount":15}'],
      ['paramAdd key=', '{"status":"OK","context":"response","data":null,"messageCount":16}'],
      ['paramView key', '{"status":"OK","context":"response","data":"","messageCount":17}'],
    ]
    for (const [line, reply] of conversation) {
      await client.send(line)
      assert.equal(await client.next(), reply, `reply to ${line}`)
    }
    client.close()
  })

  test('7: a JSON line replaces the params', async () => {
    const client = await open()
    await client.send('paramAdd key=a12', 'paramAdd value=b12')
    await client.nextLines(2)
    await client.send('{"action":"cacheTest","params":{"key":"someOtherValue"}}')
    assert.equal(
      await client.next(),
      '{"error":"Error: value is a required parameter for this action","context":"response","messageCount":3}',
    )
    await client.send('paramsView')
    assert.equal(
      await client.next(),
      '{"status":"OK","context":"response","data":{"key":"someOtherValue","action":"cacheTest"},"messageCount":4}',
    )
    client.close()
  })

  test('15: lines above max_data_length', async () => {
    const client = await open('short')
    await client.send('z'.repeat(65))
    assert.equal(
      await client.next(),
      '{"status":"error","error":"data length is too big (64 received/65 max)","context":"response","messageCount":1}',
    )
    await client.send('z'.repeat(64))
    assert.equal(await client.next(), UNKNOWN(2))
    await client.send('randomNumber')
    assert.equal(mask(await client.next()), '{"randomNumber":<rnd>,"context":"response","messageCount":3}')
    await client.send(`paramAdd key=${'☃'.repeat(18)}`)
    assert.match(await client.next(), /\(64 received\/67 max\)/, 'bytes count, not characters')
    client.close()
  })

  test('15: ten megabytes without an end cost one error and no memory', async () => {
    const client = await open('short')
    const idle = gateway.memory()
    for (let sent = 0; sent < 10; sent += 1) await client.write(Buffer.alloc(MIB, 'q'))
    const error = await client.next()
    assert.match(error, /^\{"status":"error","error":"data length is too big \(64 received\/\d+ max\)","context":"response","messageCount":1\}$/)
    const grown = gateway.memory() - idle
    assert.ok(grown < 4 * MIB, `memory grew by ${grown} bytes`)
    await client.write('\r\nrandomNumber\r\n')
    assert.equal(mask(await client.next()), '{"randomNumber":<rnd>,"context":"response","messageCount":2}')
    client.close()
  })

  test('16: bytes that are no text', async () => {
    const client = await open()
    await client.write(Buffer.from([...Array.from({ length: 128 }, (_, index) => 0x80 + index), 0x0d, 0x0a]))
    assert.equal(await client.next(), UNKNOWN(1))
    await client.write(Buffer.from([0, 0, 0, 0, 0x0d, 0x0a]))
    assert.equal(await client.next(), UNKNOWN(2))
    const details = await client.ask('detailsView')
    assert.equal(details.data.params.action, '\u0000\u0000\u0000\u0000')
    await client.write(Buffer.from([0x04, 0x0d, 0x0a]))
    assert.equal(await client.next(), UNKNOWN(4), '04 with a line end is just input')
    client.close()
  })

  for (const [label, bytes] of [['telnet interrupt', [0xff, 0xf4, 0xff, 0xfd, 0x06]], ['control-D', [0x04]]]) {
    test(`16: ${label} alone says goodbye`, async () => {
      const client = await open()
      await client.write(Buffer.from(bytes))
      assert.equal(await client.rest(), '{"status":"Bye!","context":"api"}\r\n')
    })
  }

  test('16: a TLS hello on the plain port harms nobody', async () => {
    const witness = await open()
    const client = await open()
    const hello = Buffer.concat([Buffer.from([0x16, 0x03, 0x01, 0x00, 0xf8, 0x01, 0x00, 0x00, 0xf4, 0x03, 0x03]), Buffer.alloc(240)])
    await client.write(hello)
    await client.send('')
    assert.equal(await client.next(), UNKNOWN(1))
    client.close()
    assert.deepEqual(await witness.before(), [])
    witness.close()
  })

  for (const verb of ['quit', 'exit']) {
    test(`17: ${verb} and a line behind it`, async () => {
      const client = await open()
      await client.write(`${verb}\r\nrandomNumber\r\n`)
      assert.equal(await client.rest(), '{"status":"Bye!","context":"api"}\r\n')
    })
  }

  test('a client that only half-closes is let go at once, without a goodbye', async () => {
    const client = await open()
    await client.send('{"action":"sleepTest","params":{"sleepDuration":9000}}')
    client.halfClose()
    assert.equal(await client.rest(1000), '')
  })

  test('another delimiter: line ends are then part of a line', async () => {
    const client = await open('piped')
    await client.write('\r\nrandomNumber|')
    assert.equal(await client.next(), UNKNOWN(1))
    await client.write('paramAdd key=one|paramView key|')
    assert.deepEqual((await client.nextLines(2)).map((line) => JSON.parse(line).data), [null, 'one'])
    client.close()
  })

  test('a delimiter of CR LF means LF', async () => {
    const client = await open('crlf')
    await client.write('paramAdd key=one\r\nparamView key\n')
    assert.deepEqual((await client.nextLines(2)).map((line) => JSON.parse(line).data), [null, 'one'])
    client.close()
  })

  test('welcome, default room and goodbye as configured', async () => {
    const client = await open('worded')
    assert.equal(client.welcome, '{"welcome":"Hi there","room":"otherRoom","context":"api"}')
    assert.equal((await client.ask('detailsView')).data.room, 'otherRoom')
    await client.send('quit')
    assert.equal(await client.rest(), '{"status":"So long","context":"api"}\r\n')
  })

  test('the aliases that the document mentions in passing', async () => {
    const client = await open()
    await client.send('addParam key=aliased')
    assert.equal(await client.next(), '{"status":"OK","context":"response","data":null,"messageCount":1}')
    await client.send('viewParam key')
    assert.equal(await client.next(), '{"status":"OK","context":"response","data":"aliased","messageCount":2}')
    await client.send('deleteParam key')
    assert.equal(await client.next(), '{"status":"OK","context":"response","data":null,"messageCount":3}')
    await client.send('paramView key')
    assert.equal(await client.next(), '{"status":"OK","context":"response","messageCount":4}')
    client.close()
  })

  test('the welcome comes first even for those who speak at once', async () => {
    const client = await LineClient.connect({ port: gateway.ports.tcp })
    await client.send('randomNumber')
    assert.equal(await client.next(), WELCOME)
    assert.equal(mask(await client.next()), '{"randomNumber":<rnd>,"context":"response","messageCount":1}')
    client.close()
  })
})
