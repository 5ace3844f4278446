'use strict'
// Clients that mean no good, or do none. Each gets the documented answer, is counted, and disturbs nobody.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const { after, before, describe, test } = require('node:test')
const { FrameClient, frame } = require('./lib/frame-client')
const { LineClient } = require('./lib/line-client')
const { Polyport } = require('./lib/polyport')
const { UNKNOWN } = require('./lib/seed-session')
const { verbsListener } = require('./lib/verbs')
const { until } = require('./lib/wait')

const MIB = 1024 * 1024
const ROUND_TRIP = 100
const ROOMS = Array.from({ length: 1000 }, (_, index) => `room${index}`)

/** How many files a process may have open here. */
const openFiles = () => Number(/^Max open files\s+(\d+)/m.exec(fs.readFileSync('/proc/self/limits', 'utf8'))[1])

/** The time that one request of `client` takes. */
async function roundTrip(client) {
  const start = performance.now()
  await client.before('paramView key')
  return performance.now() - start
}

describe('hostile clients', () => {
  let gateway
  let witness

  before(async () => {
    const lines = (options = {}) => verbsListener(options)
    const pages = (options = {}) => ({ protocol: 'ws-channels', ...options })
    gateway = await Polyport.start({
      listeners: {
        tcp: lines(),
        pocket: pages({ limits: { message: '1MiB' } }),
        many: lines({ limits: { sessions_per_address: 0 } }),
        rooms: lines({ verbs: { rooms: ROOMS }, limits: { rooms_per_session: 100 } }),
        params: lines({ limits: { params_per_session: 20, params_bytes: '1KiB' } }),
        few: lines({ limits: { sessions_per_address: 3 } }),
        capped: lines({ limits: { sessions: 2 } }),
        hurried: pages({ limits: { handshake: '1s' } }),
        idle: lines({ limits: { idle: '1s' } }),
        patient: lines({ limits: { outbox: '64MiB', write: '1s' } }),
        roomy: pages({ limits: { message: '4MiB' } }),
      },
    })
    witness = await LineClient.open({ port: gateway.ports.tcp, name: 'the witness' })
  })
  after(() => gateway?.stop())

  const lines = (name = 'tcp', options = {}) => LineClient.open({ port: gateway.ports[name], ...options })
  const pages = (name = 'pocket') => FrameClient.open({ port: gateway.ports[name] })
  const count = async (name, labels) => (await gateway.metrics()).sum(name, labels)

  /** Runs `attack` and checks that the metric rises by `by`, and that the witness never waits long meanwhile. */
  async function counted(name, labels, by, attack) {
    const start = await count(name, labels)
    await attack()
    await gateway.counted(name, labels, (now) => now === start + by)
    const took = await roundTrip(witness)
    assert.ok(took < ROUND_TRIP, `the witness waited ${took} ms`)
  }

  test('a telnet user who stops reading is cut when the outbox is full', async () => {
    const labels = { listener: 'tcp', reason: 'outbox_full' }
    await counted('polyport_sessions_closed_total', labels, 1, async () => {
      const [stuck, speaker] = [await lines(), await lines()]
      for (const client of [stuck, speaker]) await client.ask('roomAdd otherRoom')
      stuck.socket.pause()
      const line = `say otherRoom ${'x'.repeat(32_000)}`
      const before = await count('polyport_sessions_closed_total', labels)
      let slowest = 0
      for (let said = 0; said < 1000 && (await count('polyport_sessions_closed_total', labels)) === before; said += 1) {
        await speaker.send(line)
        await speaker.nextLines(2)
        if (said % 20 === 0) slowest = Math.max(slowest, await roundTrip(witness))
      }
      assert.ok(slowest < ROUND_TRIP, `the witness waited ${slowest} ms`)
      await until('the stuck one to have left the room', async () => {
        await speaker.send('roomView otherRoom')
        return JSON.parse(await speaker.next()).data.membersCount === 1
      })
      for (const client of [stuck, speaker]) client.close()
    })
  })

  test('Pocketsocket 12: a page that stops reading is cut, the others hear it once and wait for nothing', async () => {
    await counted('polyport_sessions_closed_total', { listener: 'pocket', reason: 'outbox_full' }, 1, async () => {
      const [a, b] = [await pages(), await pages()]
      const stuck = await pages()
      const gone = stuck.localPort
      await a.nextTexts(2)
      await b.nextText()
      stuck.socket.pause()
      const text = JSON.stringify({ id: 'bulk', data: 'x'.repeat(65_000) })
      const departures = []
      const sort = (received) => (received.includes('"disconnected"') ? departures.push(received) : undefined)
      let slowest = 0
      // 8 MB at least, and as much more as the kernel holds for a page that does not read.
      for (let sent = 0; sent < 128 || (departures.length === 0 && sent < 1000); sent += 1) {
        await a.text(text)
        while (!(await a.nextText()).includes('"messageId": "bulk"'));
        let received
        while ((received = await b.nextText()) !== text) sort(received)
        const start = performance.now()
        for (const early of await b.before(`b${sent}`)) sort(early)
        slowest = Math.max(slowest, performance.now() - start)
      }
      assert.ok(slowest < ROUND_TRIP, `B waited ${slowest} ms`)
      for (const early of await b.before('last')) sort(early)
      assert.deepEqual(departures, [`{"socket": "disconnected", "port": ${gone}, "address": "127.0.0.1"}`])
      for (const client of [a, b, stuck]) client.close()
    })
  })

  test('a peer that takes nothing for the write time is cut', async () => {
    await counted('polyport_sessions_closed_total', { listener: 'patient', reason: 'write_timeout' }, 1, async () => {
      const [stuck, speaker] = [await lines('patient'), await lines('patient')]
      for (const client of [stuck, speaker]) await client.ask('roomAdd defaultRoom')
      stuck.socket.pause()
      const line = `say defaultRoom ${'x'.repeat(60_000)}`
      for (let said = 0; said < 200; said += 1) {
        await speaker.send(line)
        await speaker.nextLines(2)
      }
      await until('the stuck one to be gone', async () => {
        await speaker.send('roomView defaultRoom')
        return JSON.parse(await speaker.next()).data.membersCount === 1
      })
      for (const client of [stuck, speaker]) client.close()
    })
  })

  test('one byte at a time is served like any other', async () => {
    const slow = await lines()
    for (const byte of 'paramAdd key=☃\r\n'.split('')) {
      await slow.write(byte)
      const took = await roundTrip(witness)
      assert.ok(took < ROUND_TRIP, `the witness waited ${took} ms`)
    }
    assert.equal(await slow.next(), '{"status":"OK","context":"response","data":null,"messageCount":1}')
    slow.close()
  })

  test('a handshake that never ends is cut after its time', async () => {
    await counted('polyport_connections_refused_total', { listener: 'hurried', reason: 'handshake_timeout' }, 2, async () => {
      const silent = await FrameClient.connect({ port: gateway.ports.hurried })
      const slow = await FrameClient.connect({ port: gateway.ports.hurried })
      const head = 'GET / HTTP/1.1\r\nHost: x\r\nX-Slow: '.split('')
      const start = Date.now()
      const drip = setInterval(() => slow.write(head.shift() ?? 'x').catch(() => clearInterval(drip)), 100)
      try {
        await Promise.all([silent.ended(), slow.ended()])
      } finally {
        clearInterval(drip)
      }
      const took = Date.now() - start
      assert.ok(took > 500 && took < 3000, `cut after ${took} ms`)
    })
  })

  test('a session that is silent for the idle time is closed, one that speaks is not', async () => {
    await counted('polyport_sessions_closed_total', { listener: 'idle', reason: 'idle_timeout' }, 1, async () => {
      const [silent, talking] = [await lines('idle'), await lines('idle')]
      let over = false
      const ended = silent.ended().then(() => {
        over = true
      })
      await until('the silent one to be closed', async () => {
        await talking.ask('paramView key')
        return over
      })
      await ended
      assert.equal((await talking.ask('randomNumber')).error, undefined)
      talking.close()
    })
  })

  test('ten thousand connections that never say anything', async () => {
    const size = Math.min(10_000, openFiles() - 1000)
    assert.ok(size >= 1000, `only ${openFiles()} open files are allowed here: ulimit -n`)
    const clients = []
    const before = gateway.memory()
    for (let batch = 0; batch < size; batch += 200) {
      clients.push(...(await Promise.all(Array.from({ length: 200 }, () => lines('many')))))
      const took = await roundTrip(witness)
      assert.ok(took < 10 * ROUND_TRIP, `the witness waited ${took} ms while they connect`)
    }
    assert.equal(await count('polyport_sessions', { listener: 'many' }), size)
    const each = (gateway.memory() - before) / size
    assert.ok(each < 4096, `${each} bytes per silent session`)
    const took = await roundTrip(witness)
    assert.ok(took < ROUND_TRIP, `the witness waited ${took} ms`)
    assert.equal((await clients[size - 1].ask('randomNumber')).messageCount, 1)
    for (const client of clients) client.close()
    await gateway.counted('polyport_sessions', { listener: 'many' }, (sessions) => sessions === 0)
  })

  test('a line without end gets one error, and its bytes are let go', async () => {
    await counted('polyport_limit_hits_total', { listener: 'tcp', limit: 'message' }, 1, async () => {
      const client = await lines()
      const before = gateway.memory()
      for (let sent = 0; sent < 20; sent += 1) await client.write(Buffer.alloc(MIB, 'q'))
      assert.match(
        await client.next(),
        /^\{"status":"error","error":"data length is too big \(1048576 received\/\d+ max\)","context":"response","messageCount":1\}$/,
      )
      assert.ok(gateway.memory() - before < 8 * MIB, 'memory is flat')
      await client.send('', 'randomNumber')
      assert.equal(JSON.parse(await client.next()).messageCount, 2)
      client.close()
    })
  })

  test('an HTTP head without end is cut off', async () => {
    await counted('polyport_connections_refused_total', { listener: 'pocket', reason: 'http_request' }, 1, async () => {
      const client = await FrameClient.connect({ port: gateway.ports.pocket })
      await client.write(`GET / HTTP/1.1\r\nHost: x\r\n`)
      for (let sent = 0; sent < 64; sent += 1) {
        const written = await client.write(`X-${sent}: ${'y'.repeat(16_000)}\r\n`).then(() => true, () => false)
        if (!written || client.stream.over) break
      }
      await client.ended()
    })
  })

  test('a WebSocket message without end closes with 1009', async () => {
    await counted('polyport_sessions_closed_total', { listener: 'pocket', reason: 'message_too_big' }, 1, async () => {
      const client = await pages()
      await client.text('x'.repeat(60_000), { fin: false })
      for (let sent = 0; sent < 32; sent += 1) {
        const written = await client.send('continuation', 'x'.repeat(60_000), { fin: false }).then(() => true, () => false)
        if (!written || client.stream.over) break
      }
      const answer = await client.next()
      assert.deepEqual([answer.kind, answer.code], ['close', 1009])
    })
  })

  test('a frame that announces an exabyte costs nothing', async () => {
    const client = await pages()
    const before = gateway.memory()
    await client.write(Buffer.from([0x81, 0xff, 0x0f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]))
    const answer = await client.next()
    assert.equal(answer.kind, 'close')
    assert.ok([1002, 1009].includes(answer.code), `closed with ${answer.code}`)
    assert.ok(gateway.memory() - before < MIB)
  })

  test('invalid UTF-8: a line is read with U+FFFD, a WebSocket text closes with 1007', async () => {
    const client = await lines()
    await client.write(Buffer.from([0xc3, 0x28, 0xe2, 0x82, 0xff, 0x0a]))
    assert.equal(await client.next(), UNKNOWN(1))
    assert.match((await client.ask('detailsView')).data.params.action, /\ufffd/)
    client.close()
    await counted('polyport_invalid_messages_total', { listener: 'pocket' }, 1, async () => {
      const page = await pages()
      await page.write(frame('text', Buffer.from([0xc3, 0x28])))
      const answer = await page.next()
      assert.deepEqual([answer.kind, answer.code], ['close', 1007])
    })
  })

  test('JSON a hundred thousand levels deep', async () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000)
    const client = await lines()
    for (const [line, error] of [
      [deep, 'unknown action or invalid apiVersion'],
      [`{"action":${deep}}`, 'unknown action or invalid apiVersion'],
      [`{"action":"randomNumber","params":{"key":${deep}}}`, 'too many params'],
    ]) {
      await client.send(line)
      assert.equal(JSON.parse(await client.next()).error, error)
    }
    assert.equal((await client.ask('detailsView')).status, 'OK')
    client.close()

    const a = await pages('roomy')
    // Its opening is answered before it is in the hub; its first receipt says that it is.
    await a.text('alone')
    await a.nextText()
    const b = await pages('roomy')
    await a.nextText()
    for (const text of [deep, `{"id":${deep}}`, `{"id":"deep","message":"lobby.hello","data":${deep}}`]) {
      await a.text(text)
      const receipt = JSON.parse(await a.nextText())
      assert.equal(receipt.socket, 'sent')
      assert.ok((await b.nextText()) === text, 'relayed verbatim')
    }
    for (const one of [a, b]) one.close()
  })

  test('a thousand rooms: the hundred and first is refused with an error', async () => {
    await counted('polyport_limit_hits_total', { listener: 'rooms', limit: 'rooms_per_session' }, 900, async () => {
      const client = await lines('rooms')
      await client.send(...ROOMS.map((room) => `roomAdd ${room}`))
      const replies = (await client.nextLines(1000)).map((line) => JSON.parse(line))
      assert.equal(replies.filter((reply) => reply.status === 'OK').length, 100)
      assert.deepEqual(
        new Set(replies.slice(100).map((reply) => reply.status)),
        new Set(['too many rooms']),
      )
      await client.ask('roomLeave room0')
      assert.equal((await client.ask('roomAdd room999')).status, 'OK', 'leaving one makes place for another')
      client.close()
    })
  })

  test('more params than a session may keep', async () => {
    const client = await lines('params')
    const params = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`param${index}`, index]))
    const start = await count('polyport_limit_hits_total', { listener: 'params', limit: 'params_per_session' })
    const refused = await client.ask(JSON.stringify({ action: 'randomNumber', params }))
    assert.equal(typeof refused.error, 'string')
    const big = await client.ask(`paramAdd key=${'x'.repeat(5000)}`)
    assert.notEqual(big.status, 'OK')
    assert.equal(await count('polyport_limit_hits_total', { listener: 'params', limit: 'params_per_session' }), start + 2)
    assert.ok(JSON.stringify((await client.ask('paramsView')).data).length < 2048)
    assert.equal((await client.ask('randomNumber')).error, undefined)
    client.close()
  })

  test('one address may not take all places', async () => {
    const three = await Promise.all(Array.from({ length: 3 }, () => lines('few')))
    await counted('polyport_connections_refused_total', { listener: 'few', reason: 'address_sessions' }, 1, async () => {
      const fourth = await LineClient.connect({ port: gateway.ports.few })
      await assert.rejects(fourth.next())
    })
    const elsewhere = await lines('few', { localAddress: '127.0.0.2' })
    assert.equal((await elsewhere.ask('randomNumber')).messageCount, 1, 'another address is served')
    three[0].close()
    const again = await until('a place that was left to be given away', () => lines('few').catch(() => null))
    for (const client of [...three, elsewhere, again]) client.close()
  })

  test('a full listener refuses, and says so in the metrics', async () => {
    await counted('polyport_connections_refused_total', { listener: 'capped', reason: 'listener_sessions' }, 1, async () => {
      const two = await Promise.all([lines('capped'), lines('capped')])
      const third = await LineClient.connect({ port: gateway.ports.capped })
      await assert.rejects(third.next())
      assert.equal((await two[0].ask('randomNumber')).messageCount, 1)
      for (const client of two) client.close()
    })
  })

  test('a thousand connections that come and go leave nothing behind', async () => {
    for (let batch = 0; batch < 10; batch += 1) {
      const clients = await Promise.all(Array.from({ length: 100 }, () => lines()))
      await Promise.all(clients.map((client) => client.ask('roomAdd defaultRoom')))
      for (const [index, client] of clients.entries()) (index % 2 === 0 ? client.close() : client.reset())
    }
    await gateway.counted('polyport_sessions', { listener: 'tcp' }, (sessions) => sessions === 1)
    await witness.ask('roomAdd defaultRoom')
    assert.equal((await witness.ask('roomView defaultRoom')).data.membersCount, 1)
    await witness.ask('roomLeave defaultRoom')
  })
})
