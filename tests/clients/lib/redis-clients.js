'use strict'
// The npm clients of Redis that peers of each age want, connected, with one face for what programs need of them.

const { once } = require('node:events')
const fs = require('node:fs')
const { promisify } = require('node:util')

const PAUSE = 100
const MARK = 'polyport:settled'

const trusting = (ca) => ca && { ca: fs.readFileSync(ca) }

/** npm `redis` before version 4, which has callbacks; `make` gives a client that is on its way. */
const callbacks = (make) => ({
  async connect(address, options) {
    const client = make(address, options)
    // Also rejects if there is an error first.
    await once(client, 'ready')
    return client
  },
  command: (client, command, ...args) => promisify(client.send_command).call(client, command, args),
  async settle(client) {
    await promisify(client.subscribe).call(client, MARK)
    await promisify(client.unsubscribe).call(client, MARK)
  },
})

const classic = (name) =>
  callbacks(({ host, port, path, ca, user, password }, { buffers }) => {
    const tls = trusting(ca)
    const options = { host, port, path, tls, user, password, return_buffers: buffers, retry_strategy: () => PAUSE }
    return require(name).createClient(options)
  })

const clusterOf = (Redis, nodes, sharded) =>
  new Redis.Cluster(nodes, { clusterRetryStrategy: () => PAUSE, shardedSubscribers: sharded })

const FAMILIES = {
  'redis-0': callbacks(({ host, port }) => require('redis-0').createClient(port, host, { detect_buffers: true })),
  'redis-2': classic('redis-2'),
  'redis-3': classic('redis-3'),

  'redis-4': {
    async connect({ host, port, path, ca, user, password }, { label, noted }) {
      const where = path ? { path } : { host, port, ...(ca && { tls: true, ...trusting(ca) }) }
      const socket = { ...where, reconnectStrategy: PAUSE }
      const client = require('redis-4').createClient({ socket, username: user, password, name: label })
      client.on('error', noted)
      await client.connect()
      return client
    },
    command: (client, ...args) => client.sendCommand(args),
    async settle(client) {
      await client.subscribe(MARK, () => {})
      await client.unsubscribe(MARK)
    },
  },

  ioredis: {
    async connect({ cluster, sentinels, name, host, port, path, ca, user, password }, { sharded }) {
      const Redis = require('ioredis')
      const where = sentinels ? { sentinels, name, sentinelRetryStrategy: () => PAUSE } : path ? { path } : { host, port }
      const patience = { retryStrategy: () => PAUSE, maxRetriesPerRequest: null }
      const options = { ...where, ...patience, username: user, password, tls: trusting(ca) }
      const client = cluster ? clusterOf(Redis, cluster, sharded) : new Redis(options)
      await once(client, 'ready')
      return client
    },
    command: (client, command, ...args) => client.call(command, ...args),
    async settle(client) {
      await client.subscribe(MARK)
      await client.unsubscribe(MARK)
    },
  },
}

/** What each can be told of an address beside a host and a port. */
const KNOWN = {
  'redis-0': [],
  'redis-2': ['path', 'ca', 'password'],
  'redis-3': ['path', 'ca', 'user', 'password'],
  'redis-4': ['path', 'ca', 'user', 'password'],
  ioredis: ['path', 'ca', 'user', 'password', 'sentinels', 'name', 'cluster'],
}

class RedisClient {
  /**
   * `kind` is one of npm's clients and `address` one of `lib/redis.js`. With `buffers` subscriptions give bytes and nothing
   * else, which adapters 1.x and 2.x want; `label` is what Redis lists the connection as, where the client can say it; with
   * `sharded` a client of a Cluster subscribes to sharded channels where they are.
   * `noted` hears of every error after the connection is made; the client goes on by itself.
   */
  static async connect(kind, address, { buffers = false, label, sharded = false, noted = () => {} } = {}) {
    const unknown = Object.keys(address).filter((key) => !['host', 'port', ...KNOWN[kind]].includes(key))
    if (unknown.length > 0) throw new Error(`${kind} does not know what ${unknown} of an address is`)
    const raw = await FAMILIES[kind].connect(address, { buffers, label, sharded, noted })
    if (kind !== 'redis-4') raw.on('error', noted)
    return new RedisClient(FAMILIES[kind], raw)
  }

  constructor(family, raw) {
    this.family = family
    /** The client as npm made it. */
    this.raw = raw
  }

  command(...args) {
    return this.family.command(this.raw, ...args)
  }

  /** Waits until all that was asked of this connection before is done; for connections that subscribe. */
  settle() {
    return this.family.settle(this.raw)
  }
}

module.exports = { RedisClient }
