'use strict'
// Starts the real binary with a configuration made for the test, and takes it down again.

const { spawn, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const http = require('node:http')
const os = require('node:os')
const path = require('node:path')
const { freePort } = require('./ports')
const { Metrics } = require('./metrics')
const { toToml } = require('./toml')
const { until, within } = require('./wait')

const ROOT = path.resolve(__dirname, '..', '..', '..')
const BINARY = process.env.POLYPORT_BINARY ?? path.join(ROOT, 'target', 'release', 'polyport')
const STOP_LIMIT = 20_000

// Every gateway and every temporary folder is taken down at the latest when the process ends.
process.setMaxListeners(0)

/** A fresh folder that is gone when the process ends, though a server may still write into it then. */
function temporaryFolder(prefix = 'polyport-') {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), prefix))
  process.once('exit', () => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

/** The environment of a run: nothing of the caller's POLYPORT_ variables may change a test's configuration. */
function environment(extra = {}) {
  const own = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('POLYPORT_')))
  return { ...own, ...extra }
}

/** Runs the binary to its end, for the commands that print and leave. */
function run(args, options = {}) {
  const done = spawnSync(BINARY, args, {
    encoding: 'utf8',
    timeout: 10_000,
    ...options,
    env: environment(options.env),
  })
  if (done.error) throw done.error
  return done
}

const get = (port, target) =>
  new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, path: target, agent: false, timeout: 5_000 }, (response) => {
      const parts = []
      response.on('data', (part) => parts.push(part))
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts).toString() }),
      )
    })
    request.on('timeout', () => request.destroy(new Error(`no answer to GET ${target} on ${port}`)))
    request.on('error', reject)
  })

/** Fills in what a test leaves open: a free port for every listener without `bind`, and an admin listener. */
async function complete(config) {
  const listeners = {}
  const ports = {}
  for (const [name, listener] of Object.entries(config.listeners ?? {})) {
    const bind = listener.bind ?? `127.0.0.1:${await freePort()}`
    ports[name] = Number(/:(\d+)$/.exec(bind)?.[1] ?? 0)
    listeners[name] = { ...listener, bind }
  }
  const admin = config.admin ?? { bind: `127.0.0.1:${await freePort()}` }
  ports.admin = Number(/:(\d+)$/.exec(admin.bind)[1])
  return { config: { ...config, admin, listeners }, ports }
}

class Polyport {
  /**
   * Starts a gateway with `config`, an object of the shape of `gateway.toml`. Listeners without `bind` get a free
   * loopback port, found under their name in `ports`. Resolves when the gateway says that it is ready.
   */
  static async start(config, { folder = temporaryFolder(), args = [], env = {}, binary = BINARY } = {}) {
    const { config: whole, ports } = await complete(config)
    const gateway = new Polyport(folder, ports)
    gateway.configure(whole)
    gateway.spawn(args, env, binary)
    try {
      await gateway.ready()
    } catch (error) {
      gateway.child.kill('SIGKILL')
      throw error
    }
    return gateway
  }

  constructor(folder, ports) {
    this.folder = folder
    this.ports = ports
    this.file = path.join(folder, 'gateway.toml')
    this.log = ''
    this.exit = null
  }

  get pid() {
    return this.child.pid
  }

  /** Writes the configuration file anew; a running gateway takes notice only on `reload`. */
  configure(config) {
    this.config = config
    fs.writeFileSync(this.file, toToml(config))
  }

  /** Waits until it is ready, as patiently as `wait`. */
  ready(wait = until) {
    return wait(
      () => `readiness of the gateway; its log:\n${this.log}`,
      async () => {
        if (this.exit) throw new Error(`the gateway ended with ${JSON.stringify(this.exit)}:\n${this.log}`)
        const answer = await this.get('/readyz').catch(() => null)
        return answer?.status === 200
      },
    )
  }

  spawn(args, env, binary = BINARY) {
    this.exit = null
    this.child = spawn(binary, ['run', '--config', this.file, ...args], {
      cwd: this.folder,
      env: environment(env),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const keep = (text) => {
      this.log += text
    }
    this.child.stdout.setEncoding('utf8').on('data', keep)
    this.child.stderr.setEncoding('utf8').on('data', keep)
    const kill = () => this.child.kill('SIGKILL')
    process.once('exit', kill)
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject)
      this.child.once('close', (code, signal) => {
        process.removeListener('exit', kill)
        this.exit = { code, signal }
        resolve(this.exit)
      })
    })
  }

  signal(name) {
    this.child.kill(name)
  }

  /** Waits until the log holds a line that matches, beginning at `from` characters into it. */
  logged(pattern, { from = 0, limit } = {}) {
    return until(
      () => `a log line like ${pattern}; the log:\n${this.log.slice(from)}`,
      () => this.log.slice(from).split('\n').find((line) => pattern.test(line)),
      limit,
    )
  }

  async metrics() {
    const answer = await get(this.ports.admin, '/metrics')
    if (answer.status !== 200) throw new Error(`/metrics answered ${answer.status}`)
    return new Metrics(answer.body)
  }

  /** Waits until the sum of a metric's samples satisfies `test`; gives the sum. */
  async counted(name, labels, test, limit) {
    let seen
    await until(
      () => `metric ${name}${JSON.stringify(labels)} to satisfy ${test}, it is ${seen}`,
      async () => {
        seen = (await this.metrics()).sum(name, labels)
        return test(seen)
      },
      limit,
    )
    return seen
  }

  get(target) {
    return get(this.ports.admin, target)
  }

  /** Resident memory in bytes, as the kernel counts it. */
  memory() {
    const status = fs.readFileSync(`/proc/${this.pid}/status`, 'utf8')
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)[1]) * 1024
  }

  /** Asks the gateway to drain and waits for its end; one that does not go in time is killed, and that is an error. */
  async stop() {
    if (this.exit) return this.exit
    this.signal('SIGTERM')
    try {
      return await within(this.ended, STOP_LIMIT, () => `the gateway has not stopped; its log:\n${this.log}`)
    } catch (error) {
      this.signal('SIGKILL')
      await this.ended
      throw error
    }
  }

  /** Takes the gateway down at once, for tests that are not about stopping. */
  async kill() {
    if (this.exit) return
    this.signal('SIGKILL')
    await this.ended
  }
}

module.exports = { Polyport, environment, run, temporaryFolder, toToml, BINARY, ROOT }
