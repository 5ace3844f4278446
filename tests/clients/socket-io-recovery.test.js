'use strict'
// A client whose connection is lost comes back as who it was, and has missed nothing.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const jwt = require('jsonwebtoken')
const { connectedSocket, openSocket, Polling } = require('./lib/engine-io')
const { connect } = require('./lib/socket-io')
const { GatewayServer, NpmServer, runs } = require('./lib/socket-io-servers')
const { until } = require('./lib/wait')
const { Wire } = require('./lib/wire')

process.on('unhandledRejection', () => {})

const SERVERS = {
  npm: () => NpmServer.start('4.8.4', { server: { connectionStateRecovery: {}, allowEIO3: true } }),
  gateway: (recovery = '2m') => GatewayServer.start({ socketIo: { recovery } }),
}
const SECRET = 'secret-of-the-socket-io-suites-0123456789'
const ID = '[A-Za-z0-9_-]{20}'
const WELCOME = new RegExp(`^40\\{"sid":"(${ID})","pid":"(${ID})"\\}$`)

const welcomed = (text) => {
  const [, sid, pid] = WELCOME.exec(text) ?? assert.fail(`no CONNECT with sid and pid: ${text}`)
  return { sid, pid }
}

/** An event's arguments and its offset. */
const offset = (text) => {
  const all = JSON.parse(text.slice(2))
  return { args: all.slice(0, -1), offset: all.at(-1) }
}

for (const kind of Object.keys(SERVERS).filter(runs)) {
  const isNpm = kind === 'npm'

  describe(`recovery (${kind})`, () => {
    let server
    before(async () => {
      server = await SERVERS[kind]()
    })
    after(() => server?.stop())

    for (const version of ['4.6.0', '4.8.4']) {
      for (const transports of ['polling', 'websocket', 'upgrade']) {
        test(`lost, and back with everything: ${version}, ${transports}`, async () => {
          const wire = await Wire.lay(server.port)
          const room = `room of ${version} on ${transports}`
          const client = connect(version, wire.url, { transports, reconnection: true, options: { timeout: 3_000 } })
          await client.connected()
          await client.ask('join', room)
          if (transports === 'upgrade') await until('the upgrade', () => client.transport === 'websocket')
          await server.publish(room, 'news', 'before')
          await client.event('news')
          const { id } = client
          assert.equal(client.socket.recovered, false)
          wire.cut()
          await client.disconnected()
          for (let number = 0; number < 20; number += 1) await server.publish(room, 'news', number)
          wire.mend()
          await client.connected(2)
          await until('what was missed', () => client.entries('event', 'news').length >= 21)
          assert.equal(client.id, id)
          assert.equal(client.socket.recovered, true)
          await server.publish(room, 'news', 'after')
          await client.saw(['event', 'news', 'after'])
          const events = client.entries('event', 'news').map(([, , ...args]) => args)
          assert.deepEqual(events.map(([value]) => value), ['before', ...Array.from({ length: 20 }, (_, number) => number), 'after'])
          // The client leaves the offset where it finds it: the application sees it.
          for (const args of events) assert.deepEqual([args.length, typeof args[1]], [2, 'string'])
          assert.equal((await client.exchange('echo', ['still']))[0], 'still')
          client.close()
          wire.close()
        })
      }
    }

    test('a client that leaves by itself comes back as another', async () => {
      const client = connect('4.8.4', server.url, { transports: 'websocket' })
      await client.connected()
      const { id } = client
      client.leave()
      client.socket.connect()
      await client.connected(2)
      assert.notEqual(client.id, id)
      // The npm server forgets nobody, not even those who said good-bye: it is the client that gives its pid away.
      if (!isNpm) assert.equal(client.socket.recovered, false)
      client.close()
    })

    test('the bytes: pid, offsets, and what comes after the return', async () => {
      const socket = await connectedSocket(server.port)
      const { sid, pid } = welcomed(socket.welcome)
      await socket.text('420["join","wire"]')
      assert.equal(await socket.nextText(), '430[true]')
      await server.publish('wire', 'news', 'a', 1)
      const first = offset(await socket.nextText())
      assert.deepEqual(first.args, ['news', 'a', 1])
      assert.equal(typeof first.offset, 'string')
      socket.close()
      const back = await until('the loss to be noticed', async () => {
        const again = await openSocket(server.port)
        await server.publish('wire', 'news', 'b')
        await again.text(`40${JSON.stringify({ pid, offset: first.offset })}`)
        const texts = [await again.nextText()]
        if (texts[0].includes('"pid"') && !texts[0].includes(sid)) {
          again.close()
          return null
        }
        // Npm's server sends what was missed before its CONNECT; a client takes it in either order.
        texts.push(await again.nextText())
        return { again, welcome: texts.find((text) => text.startsWith('40')), event: texts.find((text) => text.startsWith('42')) }
      })
      assert.deepEqual(welcomed(back.welcome), { sid, pid })
      const missed = offset(back.event)
      assert.deepEqual(missed.args, ['news', 'b'])
      assert.notEqual(missed.offset, first.offset)
      back.again.close()
    })

    test('a pid that nobody has, and an offset that nobody had', async () => {
      const socket = await openSocket(server.port)
      await socket.text('40{"pid":"AAAAAAAAAAAAAAAAAAAA","offset":"xyz"}')
      const { pid } = welcomed(await socket.nextText())
      assert.notEqual(pid, 'AAAAAAAAAAAAAAAAAAAA')
      socket.close()
    })

    if (!isNpm) {
      // Of their own, since they count its sessions: a polling client that was cut off between two polls is missed only later.
      let counting
      before(async () => {
        counting = await SERVERS.gateway()
      })
      after(() => counting?.stop())

      /** A session that has one event and is lost; what it needs to come back. */
      const lost = async (port) => {
        const socket = await connectedSocket(port)
        const known = welcomed(socket.welcome)
        await socket.text('42["echo",1]')
        const { offset: seen } = offset(await socket.nextText())
        return { socket, ...known, offset: seen }
      }
      const comeBack = async (port, { pid, offset: seen }) => {
        const socket = await openSocket(port)
        await socket.text(`40${JSON.stringify({ pid, offset: seen })}`)
        return { socket, ...welcomed(await socket.nextText()) }
      }
      const gone = () =>
        until('it to be gone', async () => (await counting.gateway.metrics()).sum('polyport_sessions', { listener: 'messaging' }) === 0)

      test('a pid is good once', async () => {
        const one = await lost(counting.port)
        one.socket.close()
        await gone()
        const second = await comeBack(counting.port, one)
        assert.equal(second.sid, one.sid)
        const third = await comeBack(counting.port, one)
        assert.notEqual(third.sid, one.sid)
        for (const { socket } of [second, third]) socket.close()
      })

      test('after good-bye, or a broken packet, there is no return', async () => {
        for (const last of ['41', '4abc', '42["kick"]']) {
          const one = await lost(counting.port)
          await one.socket.text(last)
          if (last === '42["kick"]') assert.equal(await one.socket.nextText(), '41')
          if (last === '4abc') await one.socket.next()
          one.socket.close()
          await gone()
          const back = await comeBack(counting.port, one)
          assert.notEqual(back.sid, one.sid, last)
          back.socket.close()
          await gone()
        }
      })

      /** A figure of the listener, once it is `value`. */
      const counted = (of, name, labels, value) =>
        until(`${value} of ${name}`, async () => (await of.gateway.metrics()).sum(name, { listener: 'messaging', ...labels }) === value)

      test('every namespace of a connection comes back on its own', async () => {
        const fresh = await SERVERS.gateway()
        const one = await lost(fresh.port)
        await one.socket.text('40/admin,')
        const admin = await one.socket.nextText()
        const { pid } = JSON.parse(admin.slice('40/admin,'.length))
        one.socket.close()
        await counted(fresh, 'polyport_sessions_parked', {}, 2)
        const back = await comeBack(fresh.port, one)
        assert.equal(back.sid, one.sid)
        await counted(fresh, 'polyport_sessions_parked', {}, 1)
        await back.socket.text(`40/admin,${JSON.stringify({ pid })}`)
        assert.equal(await back.socket.nextText(), admin)
        await counted(fresh, 'polyport_sessions', {}, 2)
        await counted(fresh, 'polyport_recoveries_total', { result: 'recovered' }, 2)
        await fresh.stop()
      })

      test('a polling client that is lost between two polls need not wait until that is noticed', async () => {
        const fresh = await SERVERS.gateway()
        const polling = await Polling.open(fresh.port)
        await polling.send('40')
        const known = welcomed((await polling.poll())[0])
        const { offset: seen } = offset(await polling.echo('seen'))
        await polling.send('42["echo","missed"]')
        const back = await comeBack(fresh.port, { ...known, offset: seen })
        assert.equal(back.sid, known.sid)
        assert.deepEqual(offset(await back.socket.nextText()).args, ['echo', 'missed'])
        assert.equal((await polling.get()).text, '{"code":1,"message":"Session ID unknown"}')
        back.socket.close()
        polling.close()
        await fresh.stop()
      })

      test('a session that waits is in its rooms, and can be ended', async () => {
        const fresh = await SERVERS.gateway()
        const one = await lost(fresh.port)
        await one.socket.text('420["join","waiting"]')
        assert.equal(await one.socket.nextText(), '430[true]')
        one.socket.close()
        await counted(fresh, 'polyport_sessions_parked', {}, 1)
        assert.equal(await fresh.publish('waiting', 'news'), 1)
        await fresh.api('disconnect', { to: { room: 'waiting' } })
        await counted(fresh, 'polyport_sessions_closed_total', { reason: 'disconnected' }, 1)
        assert.equal(await fresh.publish('waiting', 'news'), 0)
        const back = await comeBack(fresh.port, one)
        assert.notEqual(back.sid, one.sid)
        await counted(fresh, 'polyport_recoveries_total', { result: 'unknown' }, 1)
        await fresh.stop()
      })

      test('a session does not outlive its token, nor hold up the end of the gateway', async () => {
        const keys = [{ algorithm: 'HS256', secret: 'env:TEST_JWT_SECRET' }]
        const guarded = await GatewayServer.start({
          socketIo: { recovery: '2m' },
          listener: { auth: { tokens: 'main', required: true, from: ['bearer'] } },
          config: { tokens: { main: { keys, leeway: '0s' } }, shutdown: { deadline: '60s' } },
          run: { env: { TEST_JWT_SECRET: SECRET } },
        })
        const enter = async (expiresIn) => {
          const socket = await openSocket(guarded.port)
          const token = jwt.sign({ id: 1 }, SECRET, { expiresIn })
          await socket.text(`40${JSON.stringify({ token })}`)
          const known = welcomed(await socket.nextText())
          socket.close()
          return { ...known, token }
        }
        const brief = await enter(1)
        await counted(guarded, 'polyport_sessions_closed_total', { reason: 'identity_expired' }, 1)
        const back = await openSocket(guarded.port)
        await back.text(`40${JSON.stringify(brief)}`)
        assert.match(await back.nextText(), /^44\{"message":"jwt expired"/)
        back.close()
        await enter(300)
        await counted(guarded, 'polyport_sessions_parked', {}, 1)
        const begun = Date.now()
        await guarded.stop()
        assert.ok(Date.now() - begun < 20_000, 'it waited for nobody')
      })

      test('generation 3 sees no offsets', async () => {
        const socket = await connectedSocket(server.port, { eio: 3 })
        assert.equal(socket.welcome, '40')
        await socket.text('42["echo","a"]')
        assert.equal(await socket.nextText(), '42["echo","a"]')
        socket.close()
        const polling = await Polling.connected(server.port, { eio: 3, query: '&b64=1' })
        assert.equal(await polling.echo('b'), '42["echo","b"]')
        polling.close()
      })

      test('who stays away too long is another', async () => {
        const brief = await GatewayServer.start({ socketIo: { recovery: '300ms' } })
        const one = await lost(brief.port)
        one.socket.close()
        const end = Date.now() + 1_000
        await until('a second', () => Date.now() > end)
        const back = await comeBack(brief.port, one)
        assert.notEqual(back.sid, one.sid)
        back.socket.close()
        await brief.stop()
      })
    }
  })
}
