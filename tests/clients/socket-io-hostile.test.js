'use strict'
// Socket.IO clients that mean no good, or do none. Each gets the documented answer, is counted, and disturbs nobody.

const assert = require('node:assert/strict')
const http = require('node:http')
const { after, before, describe, test } = require('node:test')
const { connectedSocket, opening, Polling, send, sendHead, upgrading, PATH } = require('./lib/engine-io')
const { FrameClient } = require('./lib/frame-client')
const { GatewayServer, messaging } = require('./lib/socket-io-servers')
const { until } = require('./lib/wait')

const MIB = 1024 * 1024
const ROUND_TRIP = 100
const LIMIT = 1_000_000
const PLACEHOLDER = (num) => `{"_placeholder":true,"num":${num}}`

describe('hostile Socket.IO clients', () => {
  let server
  let gateway
  let witness
  let ports

  before(async () => {
    server = await GatewayServer.start({
      listener: { join: ['lobby'] },
      listeners: {
        small: messaging({ join: ['lobby'], limits: { outbox: '256KiB' } }),
        hurried: messaging({ socketIo: { upgrade_timeout: '500ms' } }),
        many: messaging({ limits: { sessions: 0, sessions_per_address: 0 }, socketIo: { ping_interval: '2s', ping_timeout: '1s' } }),
        churn: messaging(),
        few: messaging({ limits: { sessions_per_address: 2 } }),
        single: messaging({ limits: { sessions: 1 } }),
        crowded: messaging({ join: ['lobby'], limits: { sessions: 1 } }),
        brief: messaging({ limits: { handshake: '300ms' } }),
      },
    })
    ;({ gateway } = server)
    ;({ ports } = gateway)
    // Of generation 3, where every packet shows life.
    witness = await connectedSocket(ports.messaging, { eio: 3 })
  })
  after(() => server?.stop())

  const count = async (name, labels) => (await gateway.metrics()).sum(name, labels)

  /** The time that one event of the witness takes, there and back. */
  async function roundTrip() {
    const start = performance.now()
    await witness.text('42["echo","witness"]')
    while ((await witness.nextText()) !== '42["echo","witness"]');
    return performance.now() - start
  }
  async function isUndisturbed() {
    const took = await roundTrip()
    assert.ok(took < ROUND_TRIP, `the witness waited ${took} ms`)
  }
  const isAlive = async (client) => {
    await client.text('42["echo","alive"]')
    assert.equal(await client.nextText(), '42["echo","alive"]')
  }
  const isClosed = async (client) => {
    let found
    do found = await client.next()
    while (found.kind !== 'close')
    assert.equal(found.code, null)
  }
  /** A session that the server has ended may say so to one more poll. */
  const isOver = async (polling) => {
    let answer = await polling.get()
    if (answer.status === 200) {
      assert.match(answer.text, /^(6\x1e)?1$/)
      answer = await polling.get()
    }
    assert.deepEqual([answer.status, answer.text], [400, '{"code":1,"message":"Session ID unknown"}'])
  }

  test('a polling client that never polls is cut when its outbox is full', async () => {
    const labels = { listener: 'small', reason: 'outbox_full' }
    const start = await count('polyport_sessions_closed_total', labels)
    const stuck = await Polling.connected(ports.small)
    const reader = await connectedSocket(ports.small)
    const before = gateway.memory()
    for (let sent = 0; sent < 64; sent += 1) {
      await server.publish('lobby', 'news', sent, 'x'.repeat(32_000))
      assert.match(await reader.nextText(), new RegExp(`^42\\["news",${sent},`))
      await witness.nextText()
    }
    await gateway.counted('polyport_sessions_closed_total', labels, (now) => now === start + 1)
    assert.ok(gateway.memory() - before < 16 * MIB, 'memory is flat')
    await isOver(stuck)
    await isUndisturbed()
    reader.close()
  })

  test('a polling client that does not take its response is cut when its outbox is full', async () => {
    const labels = { listener: 'small', reason: 'outbox_full' }
    const start = await count('polyport_sessions_closed_total', labels)
    const stuck = await Polling.connected(ports.small)
    const request = http.get({ host: '127.0.0.1', port: ports.small, path: stuck.path(), agent: false })
    request.on('response', (response) => response.pause())
    request.on('error', () => {})
    await until('the poll to be on its way', () => request.socket?.bytesWritten > 0)
    for (let sent = 0; sent < 400 && (await count('polyport_sessions_closed_total', labels)) === start; sent += 1) {
      await server.publish('lobby', 'news', 'x'.repeat(64_000))
      await witness.nextText()
    }
    assert.equal(await count('polyport_sessions_closed_total', labels), start + 1)
    request.destroy()
    await isUndisturbed()
  })

  test('upgrades that are never finished: the sockets are closed, the sessions go on', async () => {
    const sessions = []
    const sockets = []
    for (let index = 0; index < 100; index += 1) {
      const polling = await Polling.connected(ports.hurried)
      const socket = await upgrading(polling)
      if (index % 2 === 0) await socket.text('2probe')
      sessions.push(polling)
      sockets.push(socket)
    }
    for (const socket of sockets) await isClosed(socket)
    await isUndisturbed()
    for (const polling of sessions) {
      assert.equal(await polling.echo('alive'), '42["echo","alive"]')
      await polling.send('1')
      polling.close()
    }
  })

  test('ten thousand handshakes of clients that never come back', async () => {
    const size = 10_000
    const agent = new http.Agent({ keepAlive: true, maxSockets: 50 })
    const before = gateway.memory()
    const shake = async () => {
      const answer = await send(ports.many, { path: `${PATH}?EIO=${Math.random() < 0.5 ? 3 : 4}&transport=polling`, agent })
      assert.equal(answer.status, 200)
    }
    for (let batch = 0; batch < size; batch += 500) {
      await Promise.all(Array.from({ length: 500 }, shake))
      const took = await roundTrip()
      assert.ok(took < 10 * ROUND_TRIP, `the witness waited ${took} ms`)
    }
    agent.destroy()
    const grown = gateway.memory() - before
    assert.ok(grown < size * 8192, `${grown} bytes for ${size} sessions`)
    // Nobody polls and nobody pings: all are gone as if the connection had been lost.
    await gateway.counted('polyport_sessions', { listener: 'many' }, (sessions) => sessions === 0, 20_000)
    await isUndisturbed()
    assert.ok(gateway.memory() - before < 96 * MIB, 'and nothing of them is left')
  })

  const handshake = { path: `${PATH}?EIO=4&transport=polling` }
  /** Whether it was refused for want of a place, in the form of a poll. */
  const isFull = (answer) => {
    assert.equal(answer.status, 403)
    assert.equal(answer.headers['content-type'], 'application/json')
    assert.deepEqual(JSON.parse(answer.text), { code: 4, message: 'Forbidden' })
    assert.equal(answer.headers.connection, 'close')
  }

  test('more sessions than an address may have', async () => {
    const sessions = [await Polling.open(ports.few), await Polling.open(ports.few)]
    // On a connection that is there already, and on a new one: it is sessions that are counted.
    const again = () => sessions[0].request(handshake)
    isFull(await again())
    isFull(await send(ports.few, handshake))
    const socket = await sendHead(ports.few, opening(`${PATH}?EIO=4&transport=websocket`))
    assert.equal(socket.status, 503)
    assert.equal(await count('polyport_connections_refused_total', { listener: 'few', reason: 'address_sessions' }), 3)
    await sessions[1].send('1')
    await until('a place', async () => (await again()).status === 200)
    sessions.forEach((session) => session.close())
  })

  test('a full listener serves those who are there, on new connections too', async () => {
    const session = await Polling.connected(ports.single)
    isFull(await send(ports.single, handshake))
    for (let round = 0; round < 3; round += 1) {
      // The next request needs a new connection.
      session.agent.destroy()
      assert.equal(await session.echo('here'), '42["echo","here"]')
    }
    const socket = await upgrading(session)
    await socket.text('2probe')
    assert.equal(await socket.nextText(), '3probe')
    isFull(await send(ports.single, handshake))
    await socket.text('5')
    await isAlive(socket)
    isFull(await send(ports.single, handshake))
    assert.equal(await count('polyport_sessions', { listener: 'single' }), 1)
    socket.close()
    await until('a place', async () => (await send(ports.single, handshake)).status === 200)
    session.close()
  })

  test('connections that say nothing are bounded, and leave the session its own', async () => {
    const labels = { listener: 'crowded', reason: 'listener_connections' }
    const session = await Polling.connected(ports.crowded)
    const waiting = session.poll()
    const silent = []
    try {
      // Of 66 places the session's idle connection has one at most.
      for (let count = 0; count < 67; count += 1) silent.push(await FrameClient.connect({ port: ports.crowded }))
      await gateway.counted('polyport_connections_refused_total', labels, (refused) => refused > 0)
      await server.publish('lobby', 'news', 'for all')
      assert.deepEqual(await waiting, ['42["news","for all"]'])
    } finally {
      silent.forEach((client) => client.close())
      session.close()
    }
  })

  test('idle connections of a session are closed, and are no refusals', async () => {
    const session = await Polling.connected(ports.brief)
    const idle = () => Object.values(session.agent.freeSockets).flat()
    const sockets = await until('an idle connection', () => idle().length > 0 && idle())
    await until('its end', () => sockets.every((socket) => socket.destroyed))
    assert.equal(await session.echo('alive'), '42["echo","alive"]')
    assert.equal(await count('polyport_connections_refused_total', { listener: 'brief' }), 0)
    session.close()
  })

  for (const eio of [4, 3]) {
    const binary = (client, bytes) => client.send('binary', eio === 3 ? Buffer.concat([Buffer.from([4]), bytes]) : bytes)
    const open = () => connectedSocket(ports.messaging, { eio })

    test(`attachments that are too much together, generation ${eio}`, async () => {
      const before = gateway.memory()
      const client = await open()
      await client.text(`4510-["echo",${Array.from({ length: 10 }, (_, num) => PLACEHOLDER(num)).join()}]`)
      // Twice the limit of a message is what may wait for the rest.
      for (let sent = 0; sent < 4; sent += 1) await binary(client, Buffer.alloc(600_000))
      await isClosed(client)
      assert.ok(gateway.memory() - before < 16 * MIB)
      await isUndisturbed()
    })

    test(`an attachment that is too big, generation ${eio}`, async () => {
      const client = await open()
      await client.text(`451-["echo",${PLACEHOLDER(0)}]`)
      await binary(client, Buffer.alloc(LIMIT + 1))
      const found = await client.next()
      assert.deepEqual([found.kind, found.code], ['close', 1009])
      await isUndisturbed()
    })

    for (const num of ['1', '-1', '0.5', '1e9', '99999999999999999999', '"0"', 'null', '{}']) {
      test(`a placeholder with the number ${num}, generation ${eio}`, async () => {
        const client = await open()
        await client.text(`451-["echo",${PLACEHOLDER(num)}]`)
        await binary(client, Buffer.from([1]))
        await isClosed(client)
        await isUndisturbed()
      })
    }

    test(`what looks like a placeholder where none is meant, generation ${eio}`, async () => {
      const client = await open()
      const event = `42["echo",${PLACEHOLDER(0)},{"a":[${PLACEHOLDER(7)}]}]`
      await client.text(event)
      assert.equal(await client.nextText(), event)
      client.close()
    })

    test(`names that every object has, generation ${eio}`, async () => {
      const client = await open()
      for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf', 'emit', 'session']) {
        await client.text(`42["${name}",{"__proto__":{"polluted":true}}]`)
      }
      await isAlive(client)
      client.close()
    })

    test(`JSON that is deep, generation ${eio}`, async () => {
      for (const levels of [129, 100_000]) {
        const client = await open()
        await client.text(`42["echo",${'['.repeat(levels)}${']'.repeat(levels)}]`)
        await client.text('42["echo","alive"]')
        // It is refused with the session or alone, or passes through unread.
        const found = await client.next()
        assert.ok(found.kind === 'close' || /^42\["echo",(\[\[|"alive")/.test(found.text), found.text)
        client.close()
        await isUndisturbed()
      }
    })

    test(`namespaces that are not there, generation ${eio}`, async () => {
      const client = await open()
      for (let index = 0; index < 500; index += 1) {
        await client.text(`40/none-${index},`)
        const expected = eio === 4 ? '{"message":"Invalid namespace"}' : '"Invalid namespace"'
        assert.equal(await client.nextText(), `44/none-${index},${expected}`)
      }
      await isAlive(client)
      client.close()
      await isUndisturbed()
    })

    test(`more namespaces than a connection may have, generation ${eio}`, async () => {
      const client = await open()
      const answers = []
      for (let index = 0; index < 40; index += 1) {
        await client.text(`40/room-${index},`)
        answers.push((await client.nextText()).slice(0, 2))
      }
      // `/` is one of the sixteen.
      assert.deepEqual(answers, [...Array(15).fill('40'), ...Array(25).fill('44')])
      await isAlive(client)
      client.close()
    })

    test(`packets for namespaces never joined, generation ${eio}`, async () => {
      for (const packet of ['42/admin,["echo",1]', '43/admin,1["x"]', '41/admin,', `451-/admin,["echo",${PLACEHOLDER(0)}]`]) {
        const client = await open()
        await client.text(packet)
        if (packet.includes('451-')) await binary(client, Buffer.from([1])).catch(() => {})
        if (eio === 4) await isClosed(client)
        else await isAlive(client)
        client.close()
      }
      await isUndisturbed()
    })
  }

  test('a session that is opened and shut all the time leaves nothing behind', async () => {
    for (let round = 0; round < 10; round += 1) {
      const clients = await Promise.all(Array.from({ length: 50 }, () => connectedSocket(ports.churn, { eio: 3 + (round % 2) })))
      for (const client of clients) {
        await client.text(`451-["echo",${PLACEHOLDER(0)}]`)
        client.close()
      }
    }
    await gateway.counted('polyport_sessions', { listener: 'churn' }, (sessions) => sessions === 0)
    await isUndisturbed()
  })
})
