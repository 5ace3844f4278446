'use strict'
// Does what a page tells its reader to do, block by block, and compares what the page promises.

const assert = require('node:assert/strict')
const { execFileSync, spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const readline = require('node:readline')
const { likeness } = require('./likeness')
const { LineClient } = require('./line-client')
const { blocks } = require('./pages')
const { Polyport, ROOT, environment, temporaryFolder } = require('./polyport')
const { freePort } = require('./ports')
const { RedisServer } = require('./redis')
const { until } = require('./patience')

const SUITES = path.join(ROOT, 'tests', 'clients')
const DEPENDENCIES = Object.entries(JSON.parse(fs.readFileSync(path.join(SUITES, 'package.json'), 'utf8')).devDependencies)
/** Where the listeners of the shipped configuration are. */
const SHIPPED = { tcp: 5000, rpc: 8080, pocket: 8001, messaging: 3000, devtools: 8000 }
const ADMIN = 9900
const ADDRESS = /(127\.0\.0\.1[: ]|\bport: |new Server\()(\d{4,5})\b/g

/** What one terminal has printed, and how far the page has got with it. */
class Terminal {
  constructor(name) {
    this.name = name
    this.lines = []
    this.seen = 0
  }

  /** Waits for a line behind what the page has shown before; others may stand between. */
  async shows(line, { limit, varying } = {}) {
    const isLike = likeness(line, varying)
    const place = () => this.lines.findIndex((shown, index) => index >= this.seen && isLike(shown))
    await until(() => `${this.name} to show ${line}; it shows\n${this.lines.slice(this.seen).join('\n')}`, () => place() >= 0, limit)
    const found = this.lines[place()]
    this.seen = place() + 1
    return found
  }
}

/**
 * What blocks are: `console`, commands; `js`, a program that is run; `javascript`, a file that is kept; `toml`, the gateway's
 * configuration; `json`, what the last command has printed; any other, what a terminal shows.
 */
class Walkthrough {
  constructor(page) {
    this.steps = blocks(page)
    this.folder = temporaryFolder('polyport-walkthrough-')
    this.terminals = new Map()
    this.ports = new Map()
    this.env = {}
    this.ends = []
  }

  terminal(name) {
    const terminal = this.terminals.get(name)
    assert.ok(terminal, `${name} is not there yet`)
    return terminal
  }

  /** The free port that stands for one of the page's; one that stands for another stays. */
  async port(shown) {
    if ([...this.ports.values()].includes(shown)) return shown
    if (!this.ports.has(shown)) this.ports.set(shown, await freePort())
    return this.ports.get(shown)
  }

  /** The page's addresses, replaced by those of this run. */
  async moved(text) {
    const real = new Map()
    for (const [, , shown] of text.matchAll(ADDRESS)) real.set(shown, await this.port(Number(shown)))
    return text.replace(ADDRESS, (_, before, shown) => `${before}${real.get(shown)}`)
  }

  /** Who a block belongs to: the file that is named last before it, or telnet. */
  owner({ lead }) {
    const named = [...lead.matchAll(/`(?:node )?([\w-]+\.(?:js|toml))`|\btelnet\b/gi)].at(-1)
    assert.ok(named, `no file and no terminal is named: ${lead}`)
    return named[1] ?? 'telnet'
  }

  async take(step) {
    if (step.language === 'console') {
      for (const line of step.text.split('\n').map((shown) => shown.replace(/^\$ /, ''))) await this.command(line)
    } else if (step.language === 'js') {
      await this.start(this.owner(step), step.text)
    } else if (step.language === 'javascript' || step.language === 'toml') {
      await this.keep(this.owner(step), step.text)
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
      await this.run(words.filter((given) => given !== 'run'))
    } else if (word === 'cargo') {
      assert.equal(line, 'cargo build --release', 'the binary that the suites run is built so')
    } else if (word === 'npm') {
      for (const wanted of words.slice(1)) this.install(wanted)
    } else if (word === 'telnet') {
      await this.telnet(words)
    } else if (word === 'redis-server') {
      const redis = await RedisServer.start()
      this.ports.set(Number(words[words.indexOf('--port') + 1]), redis.port)
      this.ends.push(() => redis.stop())
    } else {
      this.answer = this.shell(await this.moved(line))
    }
  }

  shell(line) {
    return execFileSync('bash', ['-c', line], { encoding: 'utf8', env: environment(this.env), timeout: 10_000 })
  }

  async keep(name, text) {
    const file = path.join(this.folder, name)
    fs.writeFileSync(file, `${await this.moved(text)}\n`)
    return file
  }

  /** Starts the gateway with the page's `gateway.toml`, or with the shipped one, whose addresses are replaced. */
  async run(words) {
    const own = fs.existsSync(path.join(this.folder, 'gateway.toml'))
    const admin = await this.port(ADMIN)
    const args = [...words, '--set', `admin.bind=127.0.0.1:${admin}`]
    for (const [name, shown] of own ? [] : Object.entries(SHIPPED)) {
      args.push('--set', `listeners.${name}.bind=127.0.0.1:${await this.port(shown)}`)
    }
    const gateway = new Polyport(own ? this.folder : ROOT, { admin })
    gateway.spawn(args, this.env)
    this.ends.push(() => gateway.stop())
    await gateway.ready(until)
  }

  /** Links the newest package of that version that the suites have, under the name that the page's programs ask for. */
  install(wanted) {
    const [, name, version] = /^(@?[^@]+)(?:@(.+))?$/.exec(wanted)
    const [found] = DEPENDENCIES
      .map(([alias, value]) => [alias, ...(/^npm:(.+)@(.+)$/.exec(value)?.slice(1) ?? [alias, value])])
      .filter(([, real, own]) => real === name && (version === undefined || own === version || own.startsWith(`${version}.`)))
      .sort(([, , one], [, , other]) => other.localeCompare(one, 'en', { numeric: true }))
    assert.ok(found, `the suites have no ${wanted}`)
    const link = path.join(this.folder, 'node_modules', name)
    fs.mkdirSync(path.dirname(link), { recursive: true })
    if (!fs.existsSync(link)) fs.symlinkSync(fs.realpathSync(path.join(SUITES, 'node_modules', found[0])), link)
  }

  async telnet(words) {
    const [host, port] = (await this.moved(words.join(' '))).split(' ')
    const client = await LineClient.connect({ host, port: Number(port) })
    const terminal = new Terminal('telnet')
    terminal.send = (line) => client.send(line)
    readline.createInterface({ input: client.socket }).on('line', (line) => terminal.lines.push(line))
    this.terminals.set('telnet', terminal)
    this.ends.push(() => client.close())
  }

  /** A program of the page in a process of its own. A script for pages finds the library of Pocketsocket there. */
  async start(name, code) {
    const file = await this.keep(name, code)
    const page = code.includes('pocket.socket') ? ['--require', path.join(SUITES, 'programs', 'pocket-page.js')] : []
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
      else await terminal.shows(line, { limit })
    }
  }

  async end() {
    for (const end of this.ends.reverse()) await end()
  }
}

module.exports = { Terminal, Walkthrough, ADMIN }
