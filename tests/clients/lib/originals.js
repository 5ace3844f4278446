'use strict'
// One original client of each protocol, all with the same face: how often it was connected, and what it saw of each end.

const socketcluster = require('./socketcluster')
const standIn = require('./pocket-stand-in')
const { until, within } = require('./wait')

const LIMIT = 30_000

/** By protocol: connects a client that tells `seen` of openings and ends; gives how to ask it something, and how to end it. */
const OPEN = {
  'tcp-verbs'(port, seen) {
    const Client = require('actionhero-client-6')
    const client = new Client()
    client.on('connected', seen.open)
    client.on('end', () => seen.end('the end of the connection'))
    client.on('error', () => {})
    client.connect({ host: '127.0.0.1', port }).catch(() => {})
    return {
      ask: async () => {
        const { data } = await client.action('randomNumber')
        if (typeof data.randomNumber !== 'number') throw new Error(JSON.stringify(data))
      },
      close: () => client.disconnect(),
    }
  },
  'ws-channels'(port, seen) {
    const page = standIn.load()
    const { socket } = page.pocket
    let receipts = 0
    socket.on('socket', (event, data) => {
      if (event === 'open') seen.open()
      if (event === 'close') seen.end(`close ${data.code}`)
      if (event === 'sent') receipts += 1
    })
    socket.setup(`127.0.0.1:${port}`).connect()
    return {
      ask: async () => {
        const before = receipts
        socket.signal('room', 'hello', { n: 1 })
        await until('a receipt', () => receipts > before)
      },
      close: () => page.unload(),
    }
  },
  'ws-rpc'(port, seen) {
    const client = require('socket.red-client-0.1.14').default(() => {}, {}, require('ws-4'))
    client.on('connect', seen.open)
    client.on('disconnect', (event) => seen.end(`close ${event?.code ?? event}`))
    client.on('error', () => {})
    client.open(`ws://127.0.0.1:${port}`)
    return { ask: () => client.rpc('randomNumber', []), close: () => client.close?.() }
  },
  'socket-io'(port, seen) {
    const { io } = require('socket.io-client-4.8.4')
    const socket = io(`http://127.0.0.1:${port}`, { forceNew: true, transports: ['websocket'] })
    socket.on('connect', seen.open)
    socket.on('disconnect', seen.end)
    return { ask: () => socket.timeout(LIMIT).emitWithAck('randomNumber'), close: () => socket.disconnect() }
  },
  'devtools-relay'(port, seen, { patience }) {
    const opening = socketcluster.connect('20.0.2', port, { waits: false, autoReconnect: true, ...(patience && { autoReconnectOptions: { initialDelay: patience, randomness: patience } }) })
    opening.then((client) => {
      const watch = async (name, tell) => {
        for await (const value of client.socket.listener(name)) tell(value)
      }
      watch('connect', seen.open)
      watch('disconnect', ({ code }) => seen.end(`close ${code}`))
    })
    return {
      ask: async () => (await opening).invoke('randomNumber', {}),
      close: async () => (await opening).close(),
    }
  },
}

/** An original client of protocol `kind`. `patience` shortens the time after which SocketCluster's comes back. */
class Original {
  static async open(kind, port, options = {}) {
    const client = new Original(kind, port, options)
    await client.connected(1)
    return client
  }

  constructor(kind, port, options) {
    this.kind = kind
    this.opens = []
    this.ends = []
    const seen = {
      open: () => this.opens.push(Date.now()),
      end: (what) => this.ends.push({ at: Date.now(), what }),
    }
    this.client = OPEN[kind](port, seen, options)
  }

  connected(count, limit = LIMIT) {
    return until(() => `${this.kind} to be connected ${count} times, it was ${this.opens.length}`, () => this.opens.length >= count, limit)
  }

  ended(count = 1, limit = LIMIT) {
    return until(() => `${this.kind} to be told of an end`, () => this.ends.length >= count, limit)
  }

  ask() {
    return within(this.client.ask(), LIMIT, () => `an answer to ${this.kind}`)
  }

  close() {
    return this.client.close()
  }
}

module.exports = { Original }
