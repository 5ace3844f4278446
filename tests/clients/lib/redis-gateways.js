'use strict'
// Gateways that meet over Redis, and a client of every protocol on each.

const fs = require('node:fs')
const path = require('node:path')
const { FrameClient } = require('./frame-client')
const { LineClient } = require('./line-client')
const { temporaryFolder } = require('./polyport')
const { RpcClient } = require('./rpc-client')
const { connect } = require('./socket-io')
const cluster = require('./socketcluster')
const { GatewayServer } = require('./socket-io-servers')
const { verbsListener } = require('./verbs')
const { within, LIMIT } = require('./wait')

const DESK = `const polyport = require('polyport')
require('socket.red')(0, () => ({ api: { tell: (room, name, data) => { polyport.publish({ room }, name, data) } } }))`

/** The backplane of a gateway that meets others in `redis`, which is anything of `lib/redis.js`. */
function backplaneOf(redis, more = {}) {
  const { address } = redis
  const urls = (nodes) => nodes.map(({ host, port }) => `redis://${host}:${port}`)
  if (address.sentinels) {
    return { engine: 'redis', deployment: 'sentinel', primary: address.name, url: urls(address.sentinels), ...more }
  }
  if (address.cluster) return { engine: 'redis', deployment: 'cluster', url: urls(address.cluster), ...more }
  const scheme = address.ca ? 'rediss' : 'redis'
  const url = address.path ? `redis+unix://${address.path}` : `${scheme}://${address.host}:${address.port}`
  return {
    engine: 'redis',
    url,
    ...(address.ca && { tls: { ca: address.ca } }),
    ...(address.user && { user: address.user }),
    ...(address.password && { password: 'env:REDIS_PASSWORD' }),
    ...more,
  }
}

/** A gateway with a listener for every protocol, all in the lobby. */
async function startNode(redis, { backplane = {}, config = {}, ...more } = {}) {
  const file = path.join(temporaryFolder(), 'desk.js')
  fs.writeFileSync(file, DESK)
  const password = redis.address.password
  return GatewayServer.start({
    socketIo: { publish: [{ event: 'chat', rooms: ['lobby'], as: 'message' }] },
    listener: { join: ['lobby'] },
    listeners: {
      tcp: verbsListener({ join: ['lobby'] }),
      pocket: { protocol: 'ws-channels', join: ['lobby'] },
      rpc: { protocol: 'ws-rpc', backends: ['desk'], join: ['lobby'] },
      cluster: { protocol: 'devtools-relay' },
    },
    config: { backends: { desk: { kind: 'script', file } }, backplane: backplaneOf(redis, backplane), ...config },
    run: password ? { env: { REDIS_PASSWORD: password } } : {},
    ...more,
  })
}

/** How a client of each protocol says a text to the lobby, and what texts it has heard there, in order. */
const PROTOCOLS = {
  async 'tcp-verbs'(server) {
    const client = await LineClient.open({ port: server.gateway.ports.tcp })
    const heard = []
    read(() => client.next(HOUR), (line) => {
      const { message, room } = JSON.parse(line)
      if (room === 'lobby') heard.push(message)
    })
    return { heard, say: (text) => client.send(`say lobby ${text}`), close: () => client.close(), hearsItself: true }
  },

  async 'ws-channels'(server) {
    const client = await FrameClient.open({ port: server.gateway.ports.pocket })
    const heard = []
    read(() => client.nextText(HOUR), (text) => {
      const { message, data } = JSON.parse(text)
      if (message === 'lobby.message') heard.push(data)
    })
    const say = (text) => client.text(JSON.stringify({ id: text, message: 'lobby.message', data: text }))
    return { heard, say, close: () => client.close(), hearsItself: false }
  },

  async 'ws-rpc'(server) {
    const client = await RpcClient.open({ port: server.gateway.ports.rpc })
    return {
      get heard() {
        return client.received.filter(([id, name]) => id === -1 && name === 'message').map(([, , text]) => text)
      },
      say: (text) => client.call('tell', 'lobby', 'message', text),
      close: () => client.close(),
      hearsItself: true,
    }
  },

  async 'socket-io'(server) {
    const client = connect('4.8.4', server.url, { transports: 'websocket' })
    await client.connected()
    return {
      client,
      get heard() {
        return client.entries('event', 'message').map(([, , text]) => text)
      },
      say: async (text) => client.emit('chat', text),
      close: () => client.close(),
      hearsItself: true,
    }
  },

  async 'devtools-relay'(server) {
    const client = await cluster.connect('20.0.2', server.gateway.ports.cluster)
    await client.subscribe('lobby')
    return {
      get heard() {
        return client.all('#lobby')
      },
      say: (text) => client.publish('lobby', text),
      close: () => client.close(),
      hearsItself: true,
    }
  },
}

const HOUR = 3_600_000

/** Takes what comes until nothing more does. */
async function read(next, take) {
  try {
    for (;;) take(await next())
  } catch {
    // The client is closed.
  }
}

/** A client of each protocol on a node, by `name`. */
async function clientsOf(server, name) {
  const made = Object.entries(PROTOCOLS).map(async ([protocol, open]) => {
    const client = await within(open(server), LIMIT, () => `a client of ${protocol}`)
    return Object.defineProperty(client, 'name', { value: `${name}/${protocol}` })
  })
  return Promise.all(made)
}

module.exports = { backplaneOf, clientsOf, startNode, PROTOCOLS }
