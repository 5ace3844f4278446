'use strict'
// Does what a page tells its reader to do, block by block, and compares what the page promises.

const assert = require('node:assert/strict')
const { execFileSync, spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const readline = require('node:readline')
const { LineClient } = require('./line-client')
const { blocks } = require('./pages')
const { Polyport, ROOT, environment, temporaryFolder } = require('./polyport')
const { freePort } = require('./ports')
const { until } = require('./wait')

const PACKAGES = path.join(ROOT, 'tests', 'clients', 'node_modules')
/** The ports of the shipped configuration, which the test replaces by free ones. */
const SHIPPED = { tcp: 5000, rpc: 8080, pocket: 8001, messaging: 3000, devtools: 8000 }
const ADMIN = 9900

const masked = (line) =>
  line.replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'ID').replace(/"sentAt":\d{13}/g, '"sentAt":TIME')

/** What one terminal has printed, and how far the page has got with it. */
class Terminal {
  constructor(name) {
    this.name = name
    this.lines = []
    this.seen = 0
  }

  /** Waits for a line behind what the page has shown before; others may stand between. */
  async shows(line, limit) {
    const wanted = masked(line)
    const place = () => this.lines.findIndex((shown, index) => index >= this.seen && masked(shown) === wanted)
    await until(() => `${this.name} to show ${wanted}; it shows\n${this.lines.slice(this.seen).join('\n')}`, () => place() >= 0, limit)
    this.seen = place() + 1
  }
}

class Walkthrough {
  constructor(page) {
    this.steps = blocks(page)
    this.folder = temporaryFolder('polyport-walkthrough-')
    this.terminals = new Map()
    this.env = {}
    this.ends = []
  }

  terminal(name) {
    const terminal = this.terminals.get(name)
    assert.ok(terminal, `${name} is not there yet`)
    return terminal
  }

  /** The page's addresses, replaced by those of this run. */
  moved(text) {
    const ports = Object.entries({ ...SHIPPED, admin: ADMIN })
    return ports.reduce(
      (moved, [name, port]) => moved.replace(new RegExp(`(127\\.0\\.0\\.1[: ]|port: )${port}\\b`, 'g'), `$1${this.gateway?.ports[name]}`),
      text,
    )
  }

  /** Who a block belongs to: the last program that is named before it, or telnet. */
  owner({ lead }) {
    const named = [...lead.matchAll(/`(?:node )?(\w+\.js)`|\btelnet\b/gi)].at(-1)
    if (!named) return undefined
    return named[1] ?? 'telnet'
  }

  async take(step) {
    if (step.language === 'console') {
      for (const line of step.text.split('\n').map((shown) => shown.replace(/^\$ /, ''))) await this.command(line)
    } else if (step.language === 'js') {
      this.start(this.owner(step), step.text)
    } else if (step.language === 'json') {
      assert.equal(this.answer, step.text)
    } else {
      await this.compare(this.owner(step), step.text.split('\n'))
    }
  }

  async command(line) {
    const [word, ...words] = line.split(/\s+/)
    const variable = /^export (\w+)=/.exec(line)?.[1]
    if (variable) {
      this.env[variable] = this.shell(`${line}; printf %s "$${variable}"`)
    } else if (word.split('/').at(-1) === 'polyport') {
      await this.run(words)
    } else if (word === 'cargo') {
      assert.equal(line, 'cargo build --release', 'the binary that the suites run is built so')
    } else if (word === 'npm') {
      this.install(words.slice(1))
    } else if (word === 'telnet') {
      await this.telnet(words)
    } else {
      this.answer = this.shell(this.moved(line))
    }
  }

  shell(line) {
    return execFileSync('bash', ['-c', line], { encoding: 'utf8', env: environment(this.env), timeout: 10_000 })
  }

  /** Starts the gateway with the shipped configuration, on free ports. */
  async run(words) {
    const ports = { admin: await freePort() }
    const args = ['--set', `admin.bind=127.0.0.1:${ports.admin}`]
    for (const name of Object.keys(SHIPPED)) {
      ports[name] = await freePort()
      args.push('--set', `listeners.${name}.bind=127.0.0.1:${ports[name]}`)
    }
    this.gateway = new Polyport(ROOT, ports)
    this.gateway.spawn([...words.filter((given) => given !== 'run'), ...args], this.env)
    this.ends.push(() => this.gateway.stop())
    await until(() => `readiness; the log:\n${this.gateway.log}`, async () => (await this.gateway.get('/readyz').catch(() => null))?.status === 200)
  }

  /** The packages are those of the suites; the page names the same versions. */
  install(wanted) {
    for (const spec of wanted) {
      const [, name, version] = /^([^@]+)(?:@(.*))?$/.exec(spec)
      const folder = version && fs.existsSync(path.join(PACKAGES, `${name}-${version}`)) ? `${name}-${version}` : name
      const installed = JSON.parse(fs.readFileSync(path.join(PACKAGES, folder, 'package.json'), 'utf8'))
      if (version) assert.equal(installed.version, version, spec)
      fs.mkdirSync(path.join(this.folder, 'node_modules'), { recursive: true })
      fs.symlinkSync(fs.realpathSync(path.join(PACKAGES, folder)), path.join(this.folder, 'node_modules', name))
    }
  }

  async telnet(words) {
    const [host, port] = this.moved(words.join(' ')).split(' ')
    const client = await LineClient.connect({ host, port: Number(port) })
    const terminal = new Terminal('telnet')
    terminal.send = (line) => client.send(line)
    readline.createInterface({ input: client.socket }).on('line', (line) => terminal.lines.push(line))
    this.terminals.set('telnet', terminal)
    this.ends.push(() => client.close())
  }

  /** A program of the page in a process of its own. A script for pages finds the library of Pocketsocket there. */
  start(name, code) {
    assert.ok(name, 'a program has a name')
    const file = path.join(this.folder, name)
    fs.writeFileSync(file, this.moved(code))
    const page = code.includes('pocket.socket') ? ['--require', path.join(ROOT, 'tests', 'clients', 'programs', 'pocket-page.js')] : []
    const child = spawn(process.execPath, [...page, file], { cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'] })
    const terminal = new Terminal(name)
    for (const stream of [child.stdout, child.stderr]) readline.createInterface({ input: stream }).on('line', (line) => terminal.lines.push(line))
    const kill = () => child.kill('SIGKILL')
    process.once('exit', kill)
    child.once('close', () => process.removeListener('exit', kill))
    this.terminals.set(name, terminal)
    this.ends.push(kill)
  }

  /** In telnet, lines without a brace are typed; each waits for what the page shows before it. */
  async compare(name, lines, limit) {
    const terminal = this.terminal(name)
    for (const line of lines) {
      if (name === 'telnet' && !line.startsWith('{')) await terminal.send(line)
      else await terminal.shows(line, limit)
    }
  }

  async end() {
    for (const end of this.ends.reverse()) await end()
  }
}

module.exports = { Walkthrough }
