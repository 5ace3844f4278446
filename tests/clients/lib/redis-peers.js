'use strict'
// Real peers of a cluster that meets over Redis: npm servers with an adapter, of each age, and the emitters.

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const readline = require('node:readline')
const { Calls, unpack } = require('./peer-calls')
const { ROOT } = require('./polyport')
const { NpmServer, PROGRAMS } = require('./socket-io-servers')
const { within, LIMIT } = require('./wait')

const RECORDINGS = path.join(ROOT, 'tests', 'traces', 'socket-io-redis')

/**
 * The pairs of server and adapter by the names that the recordings have for them. `redis` is the client that they want,
 * `client` the Socket.IO client of their age.
 */
const SERVERS = {
  '1.3.7 + socket.io-redis 0.1.4': { adapter: 'socket.io-redis-0.1.4', redis: 'redis-0', client: '1.4.8' },
  '1.7.4 + socket.io-redis 1.1.1': { adapter: 'socket.io-redis-1.1.1', redis: 'redis-2', client: '1.7.4' },
  '1.7.4 + socket.io-redis 2.0.1': { adapter: 'socket.io-redis-2.0.1', redis: 'redis-2', client: '1.7.4' },
  '1.7.4 + socket.io-redis 3.1.0': { adapter: 'socket.io-redis-3.1.0', redis: 'redis-2', client: '1.7.4' },
  '1.7.4 + socket.io-redis 4.0.1': { adapter: 'socket.io-redis-4.0.1', redis: 'redis-2', client: '1.7.4' },
  '2.5.1 + socket.io-redis 5.4.0': { adapter: 'socket.io-redis-5.4.0', redis: 'redis-2', client: '2.5.0' },
  '3.1.2 + socket.io-redis 6.1.1': { adapter: 'socket.io-redis-6.1.1', redis: 'redis-3', client: '4.8.4' },
  '4.4.1 + @socket.io/redis-adapter 7.2.0': { adapter: 'redis-adapter-7.2.0', redis: 'redis-3', client: '4.8.4' },
  '4.8.4 + @socket.io/redis-adapter 8.3.0': { adapter: 'redis-adapter-8.3.0', redis: 'redis-4', client: '4.8.4' },
  '4.8.4 + @socket.io/redis-adapter 8.3.0 specific response': {
    adapter: 'redis-adapter-8.3.0', redis: 'redis-4', client: '4.8.4', options: { publishOnSpecificResponseChannel: true },
  },
  '4.8.4 + @socket.io/redis-adapter 8.3.0 sharded': {
    adapter: 'redis-adapter-8.3.0', redis: 'redis-4', client: '4.8.4', mode: 'sharded',
  },
  '4.8.4 + @socket.io/redis-streams-adapter 0.3.1': {
    adapter: 'redis-streams-adapter-0.3.1', redis: 'redis-4', client: '4.8.4',
  },
}

// The later recordings have another kind of bytes inside than the earlier.
const BINARY = { to: ['user(1)'], call: ['emit', 'bin', Buffer.from([1, 2, 3, 4]), { deep: new Uint8Array([255, 0]).buffer }] }

/** The emitters by the names that the recordings have for them, with the client of Redis that they want. */
const EMITTERS = {
  'socket.io-emitter@0.1.0': { package: 'socket.io-emitter-0.1.0', redis: 'redis-2' },
  'socket.io-emitter@0.2.0': { package: 'socket.io-emitter-0.2.0', redis: 'redis-2' },
  'socket.io-emitter@1.1.0': { package: 'socket.io-emitter-1.1.0', redis: 'redis-2' },
  'socket.io-emitter@2.0.0': { package: 'socket.io-emitter-2.0.0', redis: 'redis-2' },
  'socket.io-emitter@3.2.0': { package: 'socket.io-emitter-3.2.0', redis: 'redis-2' },
  '@socket.io/redis-emitter@4.1.1': { package: 'redis-emitter-4.1.1', redis: 'redis-3', steps: { binary: BINARY } },
  '@socket.io/redis-emitter@5.1.0': { package: 'redis-emitter-5.1.0', redis: 'redis-4', steps: { binary: BINARY } },
  'python_socket.io-emitter@0.1.5.1': {},
}

const DATE = new Date('2014-06-07T12:34:56.789Z')
const LONG = 'x'.repeat(40)
const TYPES = [
  0, -1, 127, 128, 255, 256, -128, -129, 65535, 65536, 4294967295, 4294967296, -2147483649, 1.5, true, false, null, undefined, '',
  'é€😀', [], [1, [2]], {}, { n: null, u: undefined, s: LONG }, Number.MAX_SAFE_INTEGER,
]

/** The calls of the recordings by their steps. Each recording has those that its emitter can. */
const STEPS = {
  all: { call: ['emit', 'message', 'hello'] },
  'room user(1) with Date (the seed example)': { to: ['user(1)'], call: ['emit', 'message', DATE] },
  'one room': { to: ['user(1)'], call: ['emit', 'message', 'x'] },
  'two rooms': { to: ['user(1)', 'site(example.com)'], call: ['emit', 'news', { a: 1 }] },
  'array of rooms': { to: [['user(1)', 'user(2)']], call: ['emit', 'news', { a: 1 }] },
  namespace: { of: '/admin', to: ['ops'], call: ['emit', 'x', 1] },
  'namespace /admin, one room': { of: '/admin', to: ['ops'], call: ['emit', 'x', 1] },
  'namespace without slash': { of: 'admin', call: ['emit', 'x', 1] },
  binary: { to: ['user(1)'], call: ['emit', 'bin', Buffer.from([1, 2, 3, 4]), { deep: Buffer.from([255, 0]) }] },
  'bytes argument': { to: ['user(1)'], call: ['emit', 'bin', Buffer.from([1, 2, 3])] },
  'long string (40 bytes)': { call: ['emit', 's', LONG] },
  'flags json+volatile+broadcast': { to: ['user(1)'], flags: ['json', 'volatile', 'broadcast'], call: ['emit', 'f'] },
  except: { except: ['user(2)'], call: ['emit', 'e', 1] },
  'to+except': { to: ['site(example.com)'], except: [['user(2)', 'user(3)']], call: ['emit', 'e', 1] },
  volatile: { to: ['user(1)'], flags: ['volatile'], call: ['emit', 'v'] },
  'compress false': { compress: false, call: ['emit', 'c'] },
  types: { call: ['emit', 'types', ...TYPES] },
  'toJSON object': { call: ['emit', 'j', { toJSON: () => ({ k: 'v' }) }] },
  'socketsJoin all': { call: ['socketsJoin', 'r1'] },
  'socketsJoin in room except': { to: ['user(1)'], except: ['x'], call: ['socketsJoin', ['r1', 'r2']] },
  socketsLeave: { to: ['user(1)'], call: ['socketsLeave', 'r1'] },
  'disconnectSockets(true)': { to: ['user(1)'], call: ['disconnectSockets', true] },
  'disconnectSockets()': { call: ['disconnectSockets'] },
  serverSideEmit: { call: ['serverSideEmit', 'hello', { a: 1 }, 'b'] },
  'serverSideEmit /admin': { of: '/admin', call: ['serverSideEmit', 'hello'] },
}

/** The lines of a recording. */
function recording(name) {
  return fs.readFileSync(path.join(RECORDINGS, `${name}.jsonl`), 'utf8').trim().split('\n').map((line) => JSON.parse(line))
}

/** What an emitter publishes according to its recording: channels and payloads by steps, in order. */
function published(emitter) {
  const name = `emitter-${emitter.replace('@socket.io/', 'socket.io_').replace(/@(?=[^@]*$)/, '_')}`
  const steps = new Map()
  for (const { step, cmd, channel, payload_b64: payload } of recording(name)) {
    if (cmd !== 'PUBLISH') continue
    if (!steps.has(step)) steps.set(step, [])
    steps.get(step).push({ channel, payload: Buffer.from(payload, 'base64') })
  }
  return steps
}

/** A Node server in a cluster. */
class ServerPeer extends NpmServer {
  /**
   * `name` is one of SERVERS and `redis` anything of `lib/redis.js`. Of `options` are `key`; `client`, another client of
   * Redis; `options`, more for the adapter; `server`, more for the server.
   */
  static async start(name, redis, { key, client, options, server } = {}) {
    const made = SERVERS[name]
    const peer = new ServerPeer(name, {
      adapter: made.adapter,
      mode: made.mode,
      key,
      client: client ?? made.redis,
      redis: redis.address,
      options: { ...made.options, ...options },
      server,
    })
    await peer.spawn()
    return peer
  }

  constructor(name, options) {
    super(name.split(' ')[0], options, 'redis-server-app.js')
    this.name = name
    /** The messages of exceptions that nothing has caught. */
    this.exceptions = []
    /** The errors of the server's own connections to Redis. */
    this.redisErrors = []
    /** What other servers and emitters have said to servers: `namespace`, `args`. */
    this.heard = []
  }

  async spawn() {
    this.calls = new Calls((call) => this.command({ call }), () => this.describe())
    await super.spawn()
    this.ended.then(() => this.calls.fail(`${this.name} has ended`))
  }

  hear(line) {
    if ('answer' in line) this.calls.take(line)
    else if ('exception' in line) this.exceptions.push(line.exception)
    else if ('redis' in line) this.redisErrors.push(line.redis)
    else this.heard.push(unpack(line.heard))
  }

  /** Calls what `programs/redis-server-app.js` knows by this name, and gives its result. */
  call(name, options = {}) {
    return this.calls.make({ name, ...options })
  }

  async publish(room, event, ...args) {
    await this.call('emit', { to: [room], event: [event, ...args] })
  }

  describe() {
    return `${this.name}: exceptions ${JSON.stringify(this.exceptions)}, Redis ${JSON.stringify(this.redisErrors)}`
  }
}

/** A program that says when it is ready, and then obeys calls. */
class ProgramPeer {
  constructor(name, [program, ...args]) {
    this.name = name
    this.errors = ''
    this.child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    this.calls = new Calls((call) => this.child.stdin.write(`${JSON.stringify(call)}\n`), () => this.describe())
    this.child.stdin.on('error', () => {})
    this.child.stderr.setEncoding('utf8').on('data', (text) => {
      this.errors += text
    })
    const kill = () => this.child.kill('SIGKILL')
    process.once('exit', kill)
    this.ended = new Promise((resolve) => {
      this.child.once('error', (error) => {
        this.errors += error.message
        resolve()
      })
      this.child.once('close', () => {
        process.removeListener('exit', kill)
        this.calls.fail(`${this.describe()} has ended`)
        resolve()
      })
    })
    /** What it says when it is ready. */
    this.ready = new Promise((resolve, reject) => {
      readline.createInterface({ input: this.child.stdout }).on('line', (line) => {
        const said = JSON.parse(line)
        if ('answer' in said) this.calls.take(said)
        else resolve(said)
      })
      this.ended.then(() => reject(new Error(this.describe())))
    })
  }

  describe() {
    return `${this.name}: ${this.errors}`
  }

  async stop() {
    this.child.kill('SIGKILL')
    await this.ended
  }
}

/** An emitter in a process of its own. */
class EmitterPeer extends ProgramPeer {
  /** `name` is one of EMITTERS and `redis` anything of `lib/redis.js`; `client` is another client of Redis. */
  static async start(name, redis, { key, client } = {}) {
    const made = EMITTERS[name]
    const options = JSON.stringify({ redis: redis.address, key, client: client ?? made.redis })
    const command = made.package
      ? [process.execPath, path.join(PROGRAMS, 'redis-emitter.js'), made.package, options]
      : [path.join(ROOT, 'target', 'python-emitter', 'bin', 'python'), path.join(PROGRAMS, 'redis-emitter.py'), options]
    const emitter = new EmitterPeer(name, command)
    await within(emitter.ready, LIMIT, () => emitter.describe())
    return emitter
  }

  /** The steps that the recordings have of it. */
  get steps() {
    return [...published(this.name).keys()]
  }

  /** Does one of STEPS, or a call like them; Redis has what it publishes when this returns. */
  async do(step) {
    const call = typeof step === 'string' ? EMITTERS[this.name].steps?.[step] ?? STEPS[step] : step
    await this.calls.make(call)
  }
}

/** A server of python-socketio with its `RedisManager`. */
class PythonServerPeer extends ProgramPeer {
  static async start(redis) {
    const python = path.join(ROOT, 'target', 'python-socketio-4', 'bin', 'python')
    const server = new PythonServerPeer('python-socketio', [python, path.join(PROGRAMS, 'redis-server-app.py'), redis.url])
    const { port } = await within(server.ready, LIMIT, () => server.describe())
    server.url = `http://127.0.0.1:${port}`
    return server
  }

  publish(room, event, arg) {
    return this.calls.make({ room, event, arg })
  }
}

module.exports = { ServerPeer, EmitterPeer, PythonServerPeer, SERVERS, EMITTERS, STEPS, recording, published }
