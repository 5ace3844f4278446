'use strict'
// Redis servers of one's own, each on a free loopback port and in a folder that is gone at the end. Nothing is persisted.

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { Authority } = require('./certificates')
const { temporaryFolder } = require('./polyport')
const { freePort } = require('./ports')
const { RespClient, RedisError } = require('./resp-client')
const { until, within, LIMIT } = require('./wait')

const HOST = '127.0.0.1'
const GROUP = 'polyport'
// The periods, in milliseconds, by which Sentinels look after servers and each other. Of a replica whose primary is down they
// hear once a second, and what they have heard is good for five pings.
const HASTE = ['INFO-PERIOD', 100, 'PING-PERIOD', 300, 'ASK-PERIOD', 100, 'PUBLISH-PERIOD', 100]
const PRIMARIES = 3
const SLOTS = 16_384
/** So many keys of a slot are looked at in one go. */
const KEYS = 1_000

/** What Redis gives as a list of names and values. */
const fields = (list) => Object.fromEntries(list.flatMap((name, index) => (index % 2 === 0 ? [[name, list[index + 1]]] : [])))

class RedisServer {
  /**
   * `password` alone is that of everybody; with `user` it is that user's, whose rights are `rules`, and nobody else may come
   * in. `unix` listens on a socket file and `tls` on a port with TLS, both instead of the plain port. `lines` go into the
   * configuration as they are; `sentinel` makes it a Sentinel.
   */
  static async start(options = {}) {
    const server = new RedisServer(options)
    server.port = options.unix ? 0 : await freePort()
    await server.spawn()
    return server
  }

  constructor({ user, password, rules = '~* &* +@all', unix = false, tls = false, sentinel = false, lines = [] }) {
    this.folder = temporaryFolder('polyport-redis-')
    this.file = path.join(this.folder, 'redis.conf')
    this.user = user
    this.password = password
    this.rules = rules
    this.path = unix ? path.join(this.folder, 'redis.sock') : undefined
    this.authority = tls ? new Authority(this.folder) : undefined
    this.certificate = this.authority?.issue('redis')
    this.sentinel = sentinel
    this.lines = lines
  }

  /** How clients reach it: what is not needed is not there. */
  get address() {
    const { path: file, port, user, password, authority } = this
    const where = file ? { path: file } : { host: HOST, port }
    return { ...where, ...(authority && { ca: authority.file }), ...(user && { user }), ...(password && { password }) }
  }

  get url() {
    const credentials = this.password ? `${this.user ?? ''}:${this.password}@` : ''
    if (this.path) return `redis+unix://${credentials}${this.path}`
    return `${this.authority ? 'rediss' : 'redis'}://${credentials}${HOST}:${this.port}`
  }

  get isRunning() {
    return this.child?.pid !== undefined && this.child.exitCode === null && this.child.signalCode === null
  }

  configuration() {
    const lines = [`bind ${HOST}`, `dir ${this.folder}`]
    if (this.authority) {
      lines.push('port 0', `tls-port ${this.port}`, `tls-cert-file ${this.certificate.cert}`,
        `tls-key-file ${this.certificate.key}`, `tls-ca-cert-file ${this.authority.file}`, 'tls-auth-clients no')
    } else {
      lines.push(`port ${this.port}`)
    }
    if (this.path) lines.push(`unixsocket ${this.path}`)
    if (!this.sentinel) lines.push('save ""', 'appendonly no', 'shutdown-timeout 0', 'repl-diskless-sync-delay 0')
    if (this.user) lines.push('user default off', `user ${this.user} on >${this.password} ${this.rules}`)
    else if (this.password) lines.push(`requirepass ${this.password}`, `masterauth ${this.password}`)
    return [...lines, ...this.lines, ''].join('\n')
  }

  async spawn() {
    // A Sentinel writes into its file what it has learnt.
    if (!fs.existsSync(this.file)) fs.writeFileSync(this.file, this.configuration())
    const child = spawn('redis-server', [this.file, ...(this.sentinel ? ['--sentinel'] : [])], {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.child = child
    this.log = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        this.log += text
      })
    }
    const kill = () => child.kill('SIGKILL')
    process.once('exit', kill)
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => {
        this.log += error.message
        resolve()
      })
      child.once('close', () => {
        process.removeListener('exit', kill)
        resolve()
      })
    })
    await until(() => `Redis to start; it wrote:\n${this.log}`, () => this.answers())
  }

  async answers() {
    if (!this.isRunning) throw new Error(`Redis has ended at once; it wrote:\n${this.log}`)
    try {
      return await this.command('PING')
    } catch (error) {
      return error instanceof RedisError
    }
  }

  connect() {
    return RespClient.connect(this.address)
  }

  /** One command on a connection of its own. */
  async command(...args) {
    const client = await this.connect()
    try {
      return await within(client.command(...args), LIMIT, () => `no answer of Redis to ${args.join(' ')}`)
    } finally {
      client.close()
    }
  }

  /** The fields of one section of INFO. */
  async info(section) {
    const lines = (await this.command('INFO', section)).split('\r\n').filter((line) => line.includes(':'))
    return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]))
  }

  /** How many connections to this node are subscribed to a channel. */
  async subscribers(channel) {
    return (await this.command('PUBSUB', 'NUMSUB', channel))[1]
  }

  /** How many connections to this node are subscribed to a sharded channel. */
  async shardSubscribers(channel) {
    return (await this.command('PUBSUB', 'SHARDNUMSUB', channel))[1]
  }

  /** Holds it as it is: connections stay, and nothing is answered. */
  pause() {
    this.child.kill('SIGSTOP')
  }

  resume() {
    this.child.kill('SIGCONT')
  }

  async kill() {
    this.child.kill('SIGKILL')
    await this.ended
  }

  /** Ends it, as a crash would, if it still runs, and starts it on the same port, empty. */
  async restart() {
    await this.kill()
    await this.spawn()
  }

  async stop() {
    this.child.kill('SIGTERM')
    this.resume()
    await within(this.ended, LIMIT, () => `Redis has not ended; it wrote:\n${this.log}`)
  }
}

/** A primary, its replica and three Sentinels that agree, quickly, on which of both is which. */
class RedisSentinels {
  static async start() {
    const primary = await RedisServer.start()
    const replica = await RedisServer.start({ lines: [`replicaof ${HOST} ${primary.port}`] })
    const lines = [
      `sentinel monitor ${GROUP} ${HOST} ${primary.port} 2`,
      `sentinel down-after-milliseconds ${GROUP} 700`,
      `sentinel failover-timeout ${GROUP} 1000`,
    ]
    const sentinels = await Promise.all([1, 2, 3].map(() => RedisServer.start({ sentinel: true, lines })))
    const group = new RedisSentinels([primary, replica], sentinels)
    await Promise.all(sentinels.map((sentinel) => sentinel.command('SENTINEL', 'DEBUG', ...HASTE)))
    await group.settled()
    return group
  }

  constructor(servers, sentinels) {
    this.servers = servers
    this.sentinels = sentinels
  }

  get address() {
    return { name: GROUP, sentinels: this.sentinels.map(({ port }) => ({ host: HOST, port })) }
  }

  /** The server that all Sentinels which run name as the primary; undefined while they do not agree. */
  async primary() {
    const asked = this.sentinels.filter(({ isRunning }) => isRunning)
    const named = await Promise.all(asked.map((sentinel) => sentinel.command('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', GROUP)))
    const ports = new Set(named.map(([, port]) => Number(port)))
    return ports.size === 1 ? this.servers.find(({ port }) => ports.has(port)) : undefined
  }

  /** Waits until every Sentinel knows the others and sees a primary with a replica, both well. */
  async settled() {
    const knows = async (sentinel) => {
      const master = fields(await sentinel.command('SENTINEL', 'MASTER', GROUP))
      const replicas = (await sentinel.command('SENTINEL', 'REPLICAS', GROUP)).map(fields)
      return (
        master.flags === 'master' && master['num-other-sentinels'] === '2' && replicas.length === 1 &&
        replicas[0].flags === 'slave' && replicas[0]['master-link-status'] === 'ok'
      )
    }
    await until('Sentinels that agree', async () => (await Promise.all(this.sentinels.map(knows))).every(Boolean))
  }

  /** Kills the primary, and waits until the Sentinels have made the other one primary; gives that. */
  async failover() {
    const old = await this.primary()
    await old.kill()
    return until('another primary', async () => {
      const chosen = await this.primary()
      return chosen !== old && (await chosen?.info('replication'))?.role === 'master' && chosen
    })
  }

  async stop() {
    await Promise.all([...this.sentinels, ...this.servers].filter(({ isRunning }) => isRunning).map((server) => server.stop()))
  }
}

/** Three primaries that share the slots, and a replica of each. */
class RedisCluster {
  static async start() {
    const nodes = await Promise.all(Array.from({ length: 2 * PRIMARIES }, () => RedisCluster.node()))
    const cluster = new RedisCluster(nodes)
    await cluster.form()
    return cluster
  }

  static async node() {
    const bus = await freePort()
    const lines = ['cluster-enabled yes', `cluster-port ${bus}`, 'cluster-node-timeout 1000', 'cluster-config-file nodes.conf']
    const node = await RedisServer.start({ lines })
    node.bus = bus
    return node
  }

  constructor(nodes) {
    this.nodes = nodes
  }

  get address() {
    return { cluster: this.nodes.map(({ port }) => ({ host: HOST, port })) }
  }

  get running() {
    return this.nodes.filter(({ isRunning }) => isRunning)
  }

  async form() {
    const [first, ...others] = this.nodes
    const primaries = this.nodes.slice(0, PRIMARIES)
    const replicas = this.nodes.slice(PRIMARIES)
    const share = Math.ceil(SLOTS / PRIMARIES)
    for (const [index, node] of primaries.entries()) {
      await node.command('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)
      await node.command('CLUSTER', 'ADDSLOTSRANGE', index * share, Math.min(SLOTS, (index + 1) * share) - 1)
    }
    for (const { port, bus } of others) await first.command('CLUSTER', 'MEET', HOST, port, bus)
    const ids = await Promise.all(primaries.map((node) => node.command('CLUSTER', 'MYID')))
    for (const [index, replica] of replicas.entries()) {
      await until('a node that knows its primary', async () => (await replica.command('CLUSTER', 'NODES')).includes(ids[index]))
      await replica.command('CLUSTER', 'REPLICATE', ids[index])
    }
    await this.settled()
    await this.shown()
  }

  /** Nodes tell clients of a replica once something was written, as is soon the case everywhere but in tests. */
  async shown() {
    for (const key of ['a', 'b', 'c']) {
      const owner = await this.ownerOf(key)
      await owner.command('SET', key, '')
      await owner.command('DEL', key)
    }
    const shows = async (node) => (await node.command('CLUSTER', 'SLOTS')).every((range) => range.length > 3)
    await until('replicas that clients are told of', async () => (await Promise.all(this.nodes.map(shows))).every(Boolean))
  }

  /** Waits until all nodes that run find the cluster complete, and replicas follow their primaries. */
  async settled() {
    const well = async (node) => {
      const state = await node.command('CLUSTER', 'INFO')
      const { role, master_link_status: link } = await node.info('replication')
      const shown = (await node.command('CLUSTER', 'NODES')).split('\n')
      return (
        state.includes('cluster_state:ok') && state.includes(`cluster_known_nodes:${this.nodes.length}`) &&
        (role === 'master' || link === 'up') && shown.filter((line) => / (myself,)?slave /.test(line)).length === PRIMARIES
      )
    }
    await until('a cluster that is complete', async () => (await Promise.all(this.running.map(well))).every(Boolean))
  }

  /** The primary whose slot a key or a sharded channel is in. */
  async ownerOf(key) {
    const [some] = this.running
    const slot = await some.command('CLUSTER', 'KEYSLOT', key)
    const owned = await some.command('CLUSTER', 'SLOTS')
    const [, , [, port]] = owned.find(([from, to]) => from <= slot && slot <= to)
    return this.nodes.find((node) => node.port === port)
  }

  /**
   * Moves the slot of a key or a channel, with all that is in it, to another primary while it is used; gives that. The
   * keys that are `early` go first, and when they are there `midway` is done.
   */
  async move(key, early = () => false, midway = async () => {}) {
    const from = await this.ownerOf(key)
    const primaries = await this.primaries()
    const to = primaries[(primaries.indexOf(from) + 1) % primaries.length]
    const slot = await from.command('CLUSTER', 'KEYSLOT', key)
    const [source, destination] = await Promise.all([from, to].map((node) => node.command('CLUSTER', 'MYID')))
    await to.command('CLUSTER', 'SETSLOT', slot, 'IMPORTING', source)
    await from.command('CLUSTER', 'SETSLOT', slot, 'MIGRATING', destination)
    const rest = () => from.command('CLUSTER', 'GETKEYSINSLOT', slot, KEYS)
    const carry = (keys) => from.command('MIGRATE', HOST, to.port, '', 0, LIMIT, 'KEYS', ...keys)
    const first = (await rest()).filter(early)
    if (first.length > 0) await carry(first)
    await midway()
    for (let keys = await rest(); keys.length > 0; keys = await rest()) await carry(keys)
    for (const node of [to, from, ...primaries]) await node.command('CLUSTER', 'SETSLOT', slot, 'NODE', destination)
    await until('all to know the new owner', async () => {
      const owned = await Promise.all(this.running.map((node) => node.command('CLUSTER', 'SLOTS')))
      return owned.every((ranges) => ranges.find(([first, last]) => first <= slot && slot <= last)[2][1] === to.port)
    })
    return to
  }

  /** The nodes that own slots. */
  async primaries() {
    const [some] = this.running
    const ports = new Set((await some.command('CLUSTER', 'SLOTS')).map(([, , [, port]]) => port))
    return this.running.filter(({ port }) => ports.has(port))
  }

  /** Kills the owner of a key, and waits until its replica has taken over; gives that. */
  async failover(key) {
    const old = await this.ownerOf(key)
    await old.kill()
    return until('another owner', async () => {
      const owner = await this.ownerOf(key)
      const state = await owner.command('CLUSTER', 'INFO').catch(() => '')
      return owner !== old && state.includes('cluster_state:ok') && owner
    })
  }

  /** How many connections to all nodes are subscribed to a channel. */
  async subscribers(channel) {
    const counts = await Promise.all(this.running.map((node) => node.subscribers(channel)))
    return counts.reduce((sum, count) => sum + count, 0)
  }

  /** The same of a sharded channel, at its owner. */
  async shardSubscribers(channel) {
    return (await this.ownerOf(channel)).shardSubscribers(channel)
  }

  async stop() {
    await Promise.all(this.running.map((node) => node.stop()))
  }
}

module.exports = { RedisServer, RedisSentinels, RedisCluster, RespClient, RedisError, HOST }
