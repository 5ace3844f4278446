'use strict'
// Where the blocks of a page are done: a scratch folder, with the gateway, programs, terminals and consoles that the page speaks of. What a
// page calls 127.0.0.1:8080 is a free port here; everything else that is replaced stands in a table beside the block.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { pathToFileURL } = require('node:url')
const { Browser } = require('../browser')
const { PATH } = require('../deployment')
const { alike } = require('../likeness')
const { BINARY, Polyport, ROOT, environment } = require('../polyport')
const { RedisServer } = require('../redis')
const { Walkthrough, ADMIN } = require('../walkthrough')
const { BrowserConsole, PocketConsole } = require('./consoles')
const { until, within } = require('../patience')

/** The lines of a shell without what is continued, commented or empty. */
const joined = (text) => text.replace(/\\\n\s*/g, '').split('\n').filter((line) => line !== '')

/**
 * The commands of a block, each with the lines that it is shown to print. Where `$ ` stands before commands all other lines are printed; else
 * every line is a command.
 */
function commands({ language, text }) {
  if (language !== 'console') return joined(text).map((command) => ({ command, shown: [] }))
  const found = []
  for (const line of joined(text)) {
    if (line.startsWith('$ ')) found.push({ command: line.slice(2), shown: [] })
    else found.at(-1).shown.push(line)
  }
  return found
}

/** Replaces what the table names. All of it must be there, so that a table does not outlive its block. */
function swapped(text, table = {}) {
  return Object.entries(table).reduce((whole, [shown, real]) => {
    assert.ok(whole.includes(shown), `the page does not say any more: ${shown}`)
    return whole.replaceAll(shown, () => real)
  }, text)
}

/** What a page says after `//` at the end of its lines, in order. */
const comments = (text) => [...text.matchAll(/\/\/ (.*)$/gm)].map(([, comment]) => comment)

class Stage extends Walkthrough {
  constructor() {
    super('')
    this.gateways = []
    this.env = { PATH: `${path.join(this.folder, 'bin')}:${PATH}` }
    for (const place of ['bin/polyport', 'target/release/polyport']) {
      const link = path.join(this.folder, place)
      fs.mkdirSync(path.dirname(link), { recursive: true })
      fs.symlinkSync(BINARY, link)
    }
  }

  file(name) {
    return path.join(this.folder, name)
  }

  /** The configuration of the repository, with what it names. */
  async ship() {
    fs.cpSync(path.join(ROOT, 'docs', 'examples'), this.file('docs/examples'), { recursive: true })
    await this.keep('gateway.toml', fs.readFileSync(path.join(ROOT, 'gateway.toml'), 'utf8'))
  }

  /** Starts a gateway as a line of the page says, and waits until it is ready. */
  async start(line = 'polyport run', { table } = {}) {
    const moved = (await this.moved(swapped(line, table))).replace(/\s*(#.*|&)$/, '')
    const [, given = ''] = /^(?:cargo run --release(?: --)?|(?:target\/release\/)?polyport)(?: run)?\b(.*)$/.exec(moved) ?? assert.fail(`it starts no gateway: ${line}`)
    const words = given.split(/\s+/).filter((word) => word !== '')
    const place = words.indexOf('--config')
    const [, config] = place < 0 ? [] : words.splice(place, 2)
    const bound = words.findLast((word) => word.startsWith('admin.bind='))
    const admin = bound === undefined ? await this.port(ADMIN) : Number(bound.split(':')[1])
    if (bound === undefined) words.push('--set', `admin.bind=127.0.0.1:${admin}`)
    const gateway = new Polyport(this.folder, { admin })
    gateway.file = config ?? this.file('gateway.toml')
    // By the name that the page has for it, which is also that of the process.
    gateway.spawn(words, this.env, this.file('bin/polyport'))
    this.ends.push(() => gateway.stop())
    await gateway.ready(until)
    this.gateways.push(gateway)
    return gateway
  }

  get gateway() {
    return this.gateways[0]
  }

  /** The key of the server API that the start-up lines show. */
  get key() {
    return /#key=(pp_\S+)/.exec(this.gateway.log)[1]
  }

  /** The token of the user 7 that the start-up lines show. */
  get token() {
    return /\beyJ[\w-]+\.[\w-]+\.[\w-]+/.exec(this.gateway.log)[0]
  }

  /** Begins a command in a shell; gives its process, both kinds of its output, and `ended`, its exit status or signal. */
  begin(command, { input = 'ignore' } = {}) {
    const [, variables, program] = /^((?:[A-Z_]+=\S* )*)(.*)$/s.exec(command)
    const child = spawn('bash', ['-c', `${variables}exec ${program}`], { cwd: this.folder, env: environment(this.env), stdio: [input, 'pipe', 'pipe'] })
    const output = { child, stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr']) {
      child[name].setEncoding('utf8').on('data', (text) => {
        output[name] += text
      })
    }
    const kill = () => child.kill('SIGKILL')
    process.once('exit', kill)
    this.ends.push(kill)
    output.ended = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => {
        process.removeListener('exit', kill)
        resolve(code ?? signal)
      })
    })
    return output
  }

  /** Waits until what a command has printed satisfies a condition. */
  until(condition, output) {
    return until(() => `what is promised of a command that has printed\n${output.stdout}${output.stderr}`, condition)
  }

  /** Runs a command of the page to its end, which must be a good one; gives what it has printed. */
  async do(command, { table, status = 0 } = {}) {
    const real = await this.moved(swapped(command, table))
    const child = spawn('bash', ['-c', real], { cwd: this.folder, env: environment(this.env), stdio: ['ignore', 'pipe', 'pipe'] })
    const [stdout, stderr] = [child.stdout, child.stderr].map(async (stream) => Buffer.concat(await stream.toArray()).toString())
    const kill = () => child.kill('SIGKILL')
    this.ends.push(kill)
    const code = await within(new Promise((resolve) => child.once('close', resolve)), () => `it does not end: ${real}`)
    assert.equal(code, status, `${real}\n${await stdout}${await stderr}`)
    return { stdout: await stdout, stderr: await stderr }
  }

  /** Does all commands of a block, and compares what they print where the page shows it. Gives their outputs. */
  async commands(block, { table = {}, varying } = {}) {
    const text = swapped(block.text, table)
    const outputs = []
    for (const { command, shown } of commands({ ...block, text })) {
      const { stdout } = await this.do(command)
      const printed = stdout.split('\n').filter((line) => line !== '')
      const expected = await Promise.all(shown.map((line) => this.moved(line)))
      if (shown.length > 0) assert.ok(alike(expected, printed, varying), `${command}\nprints\n${stdout}and the page shows\n${shown.join('\n')}`)
      outputs.push(stdout)
    }
    return outputs
  }

  /** A file of the reader's, and `node` with it, after what the text says about `npm install`. */
  async node(name, code, packages = []) {
    for (const wanted of packages) this.install(wanted)
    await super.start(name, code)
    return this.terminal(name)
  }

  /** The packages that the text before a block has installed. */
  packages({ lead }) {
    const [, names] = /`npm install ([^`]+)`/.exec(lead) ?? assert.fail(`nothing is installed: ${lead}`)
    return names.split(' ')
  }

  /** A new telnet, as a line of the page starts it, that has been welcomed. */
  async telnet(words) {
    await super.telnet(words)
    const telnet = this.terminal('telnet')
    await until('a welcome', () => telnet.lines.length > 0)
    return telnet
  }

  /** In telnet, `typed` says which lines are typed; the others are shown. */
  async conversation(block, { typed = (line) => !line.startsWith('{'), varying } = {}) {
    const terminal = this.terminal('telnet')
    for (const line of block.text.split('\n')) {
      if (typed(line)) await terminal.send(line)
      else await terminal.shows(line, { varying })
    }
  }

  /** The console of the page at an address. That of the lobby is on this machine, as the pages ask for. */
  async console(address) {
    if (!this.browser) {
      this.browser = await Browser.start('')
      this.ends.push(() => this.browser.stop())
    }
    const lobby = `${pathToFileURL(this.file('docs/examples/lobby.html'))}?${await this.moved('ws://127.0.0.1:8001')}`
    return BrowserConsole.open(this.browser, address ?? lobby, (text) => this.moved(text))
  }

  /** The console of a page that has loaded the library of Pocketsocket. */
  pocket() {
    const page = new PocketConsole((text) => this.moved(text))
    this.ends.push(() => page.close())
    return page
  }

  async redis(shown) {
    const redis = await RedisServer.start()
    this.ports.set(shown, redis.port)
    this.ends.push(() => redis.stop())
    return redis
  }

  /** One request to the server API, with the key of the start-up lines or the reader's own. */
  async api(target, body) {
    const answer = await fetch(`http://127.0.0.1:${this.gateway.ports.admin}${target}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${this.env.POLYPORT_API_KEY ?? this.key}`, 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
    })
    assert.equal(answer.status, 200, target)
    return answer.json()
  }
}

module.exports = { Stage, commands, comments, joined, swapped }
