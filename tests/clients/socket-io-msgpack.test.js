'use strict'
// The packets of npm socket.io-msgpack-parser, and clients with and without it on one listener.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const parser = require('socket.io-msgpack-parser')
const { openSocket } = require('./lib/engine-io')
const { connect, TRANSPORTS } = require('./lib/socket-io')
const { play, SCENARIOS } = require('./lib/socket-io-scenarios')
const { GatewayServer, NpmServer, runs } = require('./lib/socket-io-servers')

process.on('unhandledRejection', () => {})

const VERSION = '4.8.4'

/** What socket.io-msgpack-parser 2.2.1 does, which is of an age with clients 2.x. */
const OLD_PARSER = {
  Encoder: class {
    encode(packet, callback) {
      const isText = [0, 1, 4].includes(packet.type)
      callback([isText ? JSON.stringify(packet) : new parser.Encoder().encode(packet)[0]])
    }
  },
  Decoder: class extends parser.Decoder {
    add(message) {
      if (typeof message !== 'string') return super.add(message)
      const packet = JSON.parse(message)
      const isString = typeof packet.data === 'string'
      if (packet.type === 4 ? !isString : packet.data !== undefined) throw new Error('invalid payload')
      this.emit('decoded', packet)
    }
  },
}

describe('msgpack', () => {
  let npm
  const gateways = {}
  before(async () => {
    npm = await NpmServer.start(VERSION, { parser: 'msgpack' })
    if (!runs('gateway')) return
    for (const kind of ['msgpack', 'auto']) gateways[kind] = await GatewayServer.start({ socketIo: { parser: kind }, listener: { join: ['lobby'] } })
  })
  after(async () => {
    for (const server of [npm, ...Object.values(gateways)]) await server?.stop()
  })

  for (const transports of Object.keys(TRANSPORTS)) {
    for (const name of Object.keys(SCENARIOS)) {
      test(`${name}, ${transports}`, async () => {
        const on = (server) =>
          play(name, {
            version: VERSION,
            transports,
            // On polling a message is longer by a third: it is binary, in base64.
            most: 700_000,
            connect: (options) => connect(VERSION, server.url, { transports, parser, ...options }),
          })
        const original = await on(npm)
        for (const server of Object.values(gateways)) assert.deepEqual(await on(server), original)
      })
    }
  }

  const packet = (value) => new parser.Encoder().encode(value)[0]
  const read = (payload) => {
    let found
    const decoder = new parser.Decoder()
    decoder.on('decoded', (value) => {
      found = value
    })
    decoder.add(payload)
    return found
  }
  const servers = () => [...(runs('npm') ? [npm] : []), ...Object.values(gateways)]

  test('every packet is one binary message, attachments inside', async () => {
    for (const server of servers()) {
      const socket = await openSocket(server.port)
      const ask = async (value) => {
        await socket.send('binary', packet(value))
        const answer = await socket.next()
        assert.equal(answer.kind, 'binary', answer.text)
        return read(answer.payload)
      }
      const welcome = await ask({ type: 0, nsp: '/' })
      assert.deepEqual([welcome.type, welcome.nsp], [0, '/'])
      assert.match(welcome.data.sid, /^[A-Za-z0-9_-]{20}$/)
      const echo = await ask({ type: 2, nsp: '/', data: ['echo', 1, { a: 'b' }, Buffer.from([1, 2])], options: { compress: true } })
      assert.deepEqual([echo.type, echo.nsp], [2, '/'])
      assert.deepEqual(echo.data.slice(0, 3), ['echo', 1, { a: 'b' }])
      assert.deepEqual(Buffer.from(echo.data[3]), Buffer.from([1, 2]))
      const answer = await ask({ type: 2, nsp: '/', id: 7, data: ['ack', 'x'] })
      assert.deepEqual([answer.type, answer.id, answer.data], [3, 7, ['x']])
      const refusal = await ask({ type: 0, nsp: '/private' })
      assert.deepEqual([refusal.type, refusal.nsp, refusal.data], [
        4, '/private', { message: 'not authorized', data: { content: 'Please retry later' } },
      ])
      socket.close()
    }
  })

  test('what is no packet closes', async () => {
    for (const server of servers()) {
      for (const bad of [Buffer.from([0xc1]), Buffer.from([0x93, 1, 2]), packet({ type: 9, nsp: '/' }), packet({ type: 2, nsp: '/', data: {} })]) {
        const socket = await openSocket(server.port)
        await socket.send('binary', packet({ type: 0, nsp: '/' }))
        await socket.next()
        await socket.send('binary', bad)
        assert.equal((await socket.next()).kind, 'close')
        socket.close()
      }
    }
  })

  if (runs('gateway')) {
    test('generation 3: some packets are JSON text, the others binary', async () => {
      const server = gateways.msgpack
      const client = connect('2.5.0', server.url, { parser: OLD_PARSER })
      await client.connected()
      assert.deepEqual(await client.exchange('echo', ['é', 2 ** 40, { a: [true, null] }]), ['é', 2 ** 40, { a: [true, null] }])
      const admin = client.namespace('/admin', { query: { token: 'abc' } })
      await admin.connected()
      assert.deepEqual(await admin.exchange('echo', [-1.5]), [-1.5])
      const refused = client.namespace('/unknown')
      assert.deepEqual(await refused.saw(['error']), ['error', 'Invalid namespace'])
      client.close()

      const socket = await openSocket(server.port, { eio: 3 })
      assert.equal(await socket.nextText(), '4{"type":0,"nsp":"/"}')
      await socket.send('binary', Buffer.concat([Buffer.from([4]), packet({ type: 5, nsp: '/', data: ['echo', 'x'] })]))
      const answer = await socket.next()
      assert.deepEqual([answer.kind, answer.payload[0]], ['binary', 4])
      assert.deepEqual(read(answer.payload.subarray(1)), { type: 2, nsp: '/', data: ['echo', 'x'] })
      await socket.text('42["echo"]')
      assert.equal((await socket.next()).kind, 'close')
      socket.close()
    })

    test('clients with and without it meet in one room', async () => {
      const server = gateways.auto
      const clients = [
        connect(VERSION, server.url, { parser }),
        connect(VERSION, server.url, { parser, transports: 'polling' }),
        connect(VERSION, server.url),
        connect('2.5.0', server.url),
      ]
      for (const client of clients) await client.connected()
      assert.equal(await server.publish('lobby', 'news', { n: 1 }, 'é'), clients.length)
      for (const client of clients) {
        assert.deepEqual(await client.event('news'), ['event', 'news', { n: 1 }, 'é'])
        assert.deepEqual(await client.exchange('echo', [Buffer.from([1])]), [{ binary: '01' }])
        client.close()
      }
    })
  }
})
