'use strict'
// A Socket.IO listener whose settings change on SIGHUP is bound anew. Who is there notices nothing, and who is lost just then
// comes back.

const assert = require('node:assert/strict')
const { afterEach, describe, test } = require('node:test')
const { Polling, send, upgrading } = require('./lib/engine-io')
const { freePort } = require('./lib/ports')
const { connect } = require('./lib/socket-io')
const { GatewayServer, runs } = require('./lib/socket-io-servers')
const { until } = require('./lib/wait')
const { Wire } = require('./lib/wire')

process.on('unhandledRejection', () => {})

const UNKNOWN = '{"code":1,"message":"Session ID unknown"}'

if (runs('gateway')) {
  let server
  let rules = 0
  afterEach(() => server?.stop())

  const start = async (socketIo) => {
    server = await GatewayServer.start({ socketIo })
  }

  /** Changes the listener; resolves when it accepts under its new settings. */
  async function rebind(change) {
    const config = structuredClone(server.gateway.config)
    change(config.listeners.messaging)
    const from = server.gateway.log.length
    server.gateway.configure(config)
    server.gateway.signal('SIGHUP')
    await server.gateway.logged(/bound anew/, { from })
    const isAccepting = () => fetch(server.url).then(() => true, () => false)
    await until('the new binding', isAccepting)
  }

  /** Changes something that matters to nobody. */
  const rebindOnly = () =>
    rebind(({ socket_io: options }) => {
      options.publish = [...(options.publish ?? []), { event: `rule ${(rules += 1)}`, rooms: ['lobby'] }]
    })

  const counted = (name, labels, value) =>
    server.gateway.counted(name, { listener: 'messaging', ...labels }, (seen) => seen === value)

  describe('sessions that are open', () => {
    test('go on as they were, on every transport, however often it happens', async () => {
      await start({ publish: [{ event: 'old', rooms: ['lobby'] }] })
      const clients = ['1.7.4', '2.5.0', '4.8.4'].flatMap((version) =>
        ['polling', 'websocket'].map((transports) => connect(version, server.url, { transports })))
      for (const client of clients) {
        await client.connected()
        await client.ask('join', 'lobby')
      }
      const ids = clients.map(({ id }) => id)
      for (const round of [1, 2]) {
        await rebind(({ socket_io: options }) => {
          options.publish = [{ event: 'new', rooms: ['lobby'] }]
          options.ping_interval = `${20 + round}s`
        })
        assert.equal(await server.publish('lobby', 'news', round), clients.length)
        for (const client of clients) {
          assert.deepEqual((await client.event('news', round))[2], round)
          assert.deepEqual((await client.exchange('echo', [round]))[0], round)
        }
      }
      clients[0].emit('old')
      clients[0].emit('new')
      await clients[0].exchange('echo', ['behind both'])
      // Its rules are those with which it was opened.
      await counted('polyport_calls_total', { outcome: 'unknown_action' }, 1)
      assert.deepEqual(clients.map(({ id }) => id), ids)
      for (const client of clients) {
        assert.deepEqual(client.entries('disconnect'), [])
        client.close()
      }
    })

    for (const eio of [3, 4]) {
      test(`their polls, POSTs and upgrades come through new connections, generation ${eio}`, async () => {
        await start()
        const polling = await Polling.connected(server.port, { eio })
        await rebindOnly()
        await rebindOnly()
        polling.close()
        assert.equal(await polling.echo('by POST'), '42["echo","by POST"]')
        const waiting = polling.get()
        const socket = await upgrading(polling)
        await socket.text('2probe')
        assert.equal(await socket.nextText(), '3probe')
        assert.equal((await waiting).status, 200)
        await socket.text('5')
        await socket.text('42["echo","by WebSocket"]')
        assert.equal(await socket.nextText(), '42["echo","by WebSocket"]')
        socket.close()
        await counted('polyport_sessions', {}, 0)
        assert.equal((await polling.get()).text, UNKNOWN)
      })
    }

    test('keep path, transports, origins and times; new ones get the new', async () => {
      const origin = 'https://page.example'
      await start({ cors: { origins: [origin] } })
      const polling = await Polling.connected(server.port, { headers: { origin } })
      await rebind(({ socket_io: options }) => {
        Object.assign(options, { path: '/moved/', transports: ['websocket'], cors: { origins: ['https://other.example'] } })
      })
      polling.close()
      const answer = await polling.post('42["echo","still"]')
      assert.deepEqual([answer.status, answer.headers['access-control-allow-origin']], [200, origin])
      assert.deepEqual(await polling.poll(), ['42["echo","still"]'])
      const fresh = { method: 'GET', headers: { origin } }
      assert.equal((await send(server.port, { ...fresh, path: '/socket.io/?EIO=4&transport=polling' })).status, 404)
      const moved = await send(server.port, { ...fresh, path: '/moved/?EIO=4&transport=polling' })
      assert.deepEqual([moved.text, moved.headers['access-control-allow-origin']], ['{"code":0,"message":"Transport unknown"}', undefined])
      polling.close()
    })

    test('connections that were kept are closed behind the next answer', async () => {
      await start()
      const polling = await Polling.connected(server.port)
      assert.equal((await polling.post('42["echo",1]')).headers.connection, undefined)
      await rebindOnly()
      assert.equal((await polling.post('42["echo",2]')).headers.connection, 'close')
      assert.equal((await polling.post('42["echo",3]')).headers.connection, undefined)
      polling.close()
    })

    test('are found at the new address of their listener', async () => {
      await start()
      const polling = await Polling.connected(server.port)
      polling.port = await freePort()
      const config = structuredClone(server.gateway.config)
      config.listeners.messaging.bind = `127.0.0.1:${polling.port}`
      server.gateway.configure(config)
      server.gateway.signal('SIGHUP')
      await until('the new address', () => fetch(`http://127.0.0.1:${polling.port}`).then(() => true, () => false))
      polling.close()
      assert.equal(await polling.echo('moved'), '42["echo","moved"]')
      polling.close()
    })

    test('end when their listener is removed', async () => {
      await start()
      const polling = connect('4.8.4', server.url, { transports: 'polling' })
      const websocket = connect('2.5.0', server.url, { transports: 'websocket' })
      for (const client of [polling, websocket]) await client.connected()
      await rebindOnly()
      const config = structuredClone(server.gateway.config)
      config.listeners = { other: { protocol: 'ws-channels', bind: '127.0.0.1:0' } }
      server.gateway.configure(config)
      server.gateway.signal('SIGHUP')
      for (const client of [polling, websocket]) assert.match(await client.disconnected(), /^transport (close|error)$/)
    })
  })

  describe('clients that are lost', () => {
    /** A client in `lobby` that has seen one event, on a wire. */
    const enter = async (transports) => {
      const wire = await Wire.lay(server.port)
      const client = connect('4.8.4', wire.url, { transports, reconnection: true, options: { timeout: 3_000 } })
      await client.connected()
      await client.ask('join', 'lobby')
      await server.publish('lobby', 'news', 'before')
      await client.event('news')
      return { wire, client, id: client.id }
    }
    const cut = async ({ wire, client }, times = 1) => {
      wire.cut()
      await client.disconnected(times)
    }
    const end = ({ wire, client }) => {
      client.close()
      wire.close()
    }
    const news = (client) => client.entries('event', 'news').map(([, , value]) => value)

    for (const transports of ['websocket', 'polling']) {
      test(`before it, between and after it, come back with everything: ${transports}`, async () => {
        await start({ recovery: '2m' })
        const one = await enter(transports)
        const { wire, client, id } = one
        for (const round of [1, 2, 3]) {
          if (round === 3) await rebindOnly()
          await cut(one, round)
          if (round < 3) for (let times = 0; times < round; times += 1) await rebindOnly()
          assert.equal(await server.publish('lobby', 'news', round), 1)
          wire.mend()
          await client.connected(round + 1)
          await client.event('news', round + 1)
          assert.deepEqual([client.id, client.socket.recovered], [id, true], `round ${round}`)
        }
        assert.deepEqual(news(client), ['before', 1, 2, 3])
        assert.equal((await client.exchange('echo', ['still']))[0], 'still')
        await counted('polyport_recoveries_total', { result: 'recovered' }, 3)
        await counted('polyport_sessions_parked', {}, 0)
        end(one)
      })
    }

    test('are ended by others when they are lost again', async () => {
      await start({ recovery: '2m' })
      const one = await enter('websocket')
      await cut(one)
      await rebindOnly()
      one.wire.mend()
      await one.client.connected(2)
      await cut(one, 2)
      await counted('polyport_sessions_parked', {}, 1)
      await server.api('disconnect', { to: { room: 'lobby' } })
      await counted('polyport_sessions', {}, 0)
      await counted('polyport_sessions_parked', {}, 0)
      end(one)
    })

    const FORBIDDEN = {
      'recovery is off': (listener) => {
        delete listener.socket_io.recovery
      },
      'the realm is another': (listener) => {
        listener.realm = 'elsewhere'
      },
    }
    for (const [what, change] of Object.entries(FORBIDDEN)) {
      test(`get a new session where ${what}, and the old one ends`, async () => {
        await start({ recovery: '2m' })
        const one = await enter('websocket')
        await cut(one)
        await counted('polyport_sessions_parked', {}, 1)
        await rebind(change)
        one.wire.mend()
        await one.client.connected(2)
        assert.notEqual(one.client.id, one.id)
        assert.notEqual(one.client.socket.recovered, true)
        await counted('polyport_sessions_parked', {}, 0)
        await counted('polyport_sessions', {}, 1)
        assert.equal(await server.publish('lobby', 'news', 'nobody is there'), 0)
        end(one)
      })
    }
  })
}
