'use strict'
// Pocketsocket, scenarios 13 to 15: pages. Always with the stand-in for the library, and with the original script as
// well when POCKETSOCKET_JS gives its path.

const assert = require('node:assert/strict')
const { after, afterEach, before, describe, test } = require('node:test')
const original = require('./lib/pocket-original')
const standIn = require('./lib/pocket-stand-in')
const { Polyport } = require('./lib/polyport')
const { until } = require('./lib/wait')

const LIBRARIES = [['the stand-in', standIn], ...(original.given ? [['the original script', original]] : [])]
const HOST = '127.0.0.1'

for (const [label, library] of LIBRARIES) {
  describe(`Pocketsocket pages with ${label}`, () => {
    let gateway
    let pages = []

    before(async () => {
      gateway = await Polyport.start({
        listeners: {
          one: { protocol: 'ws-channels' },
          two: { protocol: 'ws-channels' },
        },
      })
    })
    afterEach(() => {
      for (const page of pages) page.unload()
      pages = []
    })
    after(() => gateway?.stop())

    /** A page whose calls of every listener are kept in `seen`. */
    const page = () => {
      const loaded = library.load()
      pages.push(loaded)
      const seen = []
      const { socket } = loaded.pocket
      const listen = (name) => socket.on(name, (event, data) => seen.push({ listener: name, event, data }))
      return { socket, seen, listen }
    }
    const events = (seen, listener) => seen.filter((call) => call.listener === listener).map((call) => call.event)

    test('13: the tour of two pages', async () => {
      const [a, b] = [page(), page()]
      a.listen('socket')
      a.socket.setup(`${HOST}:${gateway.ports.one}`).connect()
      await until('A to be open', () => events(a.seen, 'socket').includes('open'))
      b.listen('socket')
      b.listen('room')
      b.listen('room.hello')
      b.socket.setup(HOST, gateway.ports.one).connect()
      await until('A to hear that B has come', () => events(a.seen, 'socket').includes('connected'))
      await until('B to be open', () => events(b.seen, 'socket').includes('open'))
      assert.deepEqual(events(b.seen, 'socket'), ['connecting', 'open'], 'nobody hears its own arrival')

      a.socket.signal('room', 'hello', { n: 1 })
      await until('the receipt', () => events(a.seen, 'socket').includes('sent'))
      await until('the signal', () => b.seen.length >= 4)
      assert.deepEqual(events(a.seen, 'socket'), ['connecting', 'open', 'connected', 'sent'])
      const [channel] = b.seen.filter((call) => call.listener === 'room')
      assert.equal(channel.event, 'hello')
      assert.deepEqual(channel.data.data, { n: 1 })
      const [whole] = b.seen.filter((call) => call.listener === 'room.hello')
      assert.equal(whole.event, 'room.hello')
      assert.deepEqual(whole.data.data, { n: 1 })
      assert.equal(b.seen.length, 4)
    })

    test('14: a listener for the id of a message hears its receipt once', async () => {
      const [a, b] = [page(), page()]
      for (const one of [a, b]) {
        one.listen('socket')
        one.socket.setup(HOST, gateway.ports.one).connect()
        await until('the page to be open', () => events(one.seen, 'socket').includes('open'))
      }
      const [id] = a.socket.send('room.x', 'y')
      let calls = 0
      a.socket.on(id, (_nothing, receipt) => {
        calls += 1
        assert.equal(receipt.messageId, id)
      })
      await until('the receipt', () => calls > 0)
      const [second] = a.socket.send('room.x', 'y')
      let answered = false
      a.socket.on(second, () => {
        answered = true
      })
      await until('the second receipt', () => answered)
      assert.equal(calls, 1)
    })

    test('15: pages on two servers', async () => {
      const [a, b] = [page(), page()]
      const both = [gateway.ports.one, gateway.ports.two]
      a.listen('socket')
      a.listen('room')
      a.socket.setup([HOST], both, 'mix', 'broadcast').connect()
      await until('A to be open twice', () => events(a.seen, 'socket').filter((name) => name === 'open').length === 2)
      await until('the receipt of what A says by itself', () => events(a.seen, 'socket').includes('sent'))
      b.listen('socket')
      b.listen('room')
      b.socket.setup([HOST], both, 'mix', 'broadcast').connect()
      await until('B to be open twice', () => events(b.seen, 'socket').filter((name) => name === 'open').length === 2)
      await until('B to be announced on both', () => events(a.seen, 'socket').filter((name) => name === 'connected').length === 2)
      const heard = await until('what B says by itself', () =>
        a.seen.filter((call) => call.event === 'broadcast-all-connected'))
      await until('its receipt', () => events(b.seen, 'socket').includes('sent'))
      assert.equal(heard.length, 1, 'it goes to the sockets open at that moment, which is one')
      assert.equal(heard[0].data.data.port, gateway.ports.two)

      const ids = b.socket.send('room.hi', { n: 1 })
      assert.equal(new Set(ids).size, 2, 'an id per socket')
      await until('the message to come twice', () => events(a.seen, 'room').length === 2)
      assert.deepEqual(a.seen.filter((call) => call.listener === 'room').map((call) => call.data.id).sort(), [...ids].sort())
      const receipts = () => b.seen.filter((call) => call.event === 'sent').map((call) => call.data.messageId)
      await until('both receipts', () => ids.every((id) => receipts().includes(id)))
    })

    test('the first of two servers is gone: the survivor relays what the page says about it', async () => {
      const doomed = await Polyport.start({ listeners: { first: { protocol: 'ws-channels' } } })
      const witness = page()
      witness.listen('socket')
      witness.socket.setup(HOST, gateway.ports.two).connect()
      await until('the witness to be open', () => events(witness.seen, 'socket').includes('open'))
      const a = page()
      a.listen('socket')
      a.socket.setup([HOST], [doomed.ports.first, gateway.ports.two], 'mix', 'broadcast').connect()
      await until('A to be open twice', () => events(a.seen, 'socket').filter((name) => name === 'open').length === 2)
      await doomed.kill()
      const signals = await until('two reconnect signals', () => {
        const found = witness.seen.filter((call) => call.event === 'reconnect')
        return found.length >= 2 && found
      })
      assert.deepEqual(signals.slice(0, 2).map((call) => call.data.data._connectAttempts), [1, 2])
    })
  })
}
