'use strict'
// Applications with the real libraries, a process each, and monitors that behave as the real ones do.

const { spawn } = require('node:child_process')
const path = require('node:path')
const readline = require('node:readline')
const { connect, isOld } = require('./socketcluster')
const { until } = require('./wait')

const PROGRAM = path.resolve(__dirname, '..', 'programs', 'devtools-app.js')
const NEW_APPS = ['1.0.0', '0.9.5']
const OLD_APPS = ['remote-redux-devtools']
const APPS = [...NEW_APPS, ...OLD_APPS]

class App {
  /** Starts an app of that kind; `settings` are options of the library, and `host`. */
  static async start(kind, port, name, settings = {}) {
    const app = new App(kind, port, name, settings)
    await until(() => `${kind} to start; it printed ${app.errors}`, () => app.said.some(({ ready }) => ready))
    return app
  }

  constructor(kind, port, name, settings) {
    this.kind = kind
    this.name = name
    this.said = []
    this.errors = ''
    this.child = spawn(process.execPath, [PROGRAM, kind, String(port), name, JSON.stringify(settings)], { stdio: ['pipe', 'pipe', 'pipe'] })
    this.child.stderr.setEncoding('utf8').on('data', (text) => {
      this.errors += text
    })
    this.child.stdin.on('error', () => {})
    this.ended = new Promise((resolve) => this.child.once('close', resolve))
    const kill = () => this.child.kill('SIGKILL')
    process.once('exit', kill)
    this.child.once('close', () => process.removeListener('exit', kill))
    readline.createInterface({ input: this.child.stdout }).on('line', (line) => {
      if (line.startsWith('{')) this.said.push(JSON.parse(line))
    })
  }

  does(order) {
    this.child.stdin.write(`${JSON.stringify(order)}\n`)
  }

  dispatch(action) {
    this.does({ dispatch: action })
  }

  /** What its store holds now. */
  async state() {
    const { length } = this.said
    this.does({ state: true })
    await until(() => `the state of ${this.name}; it printed ${this.errors}`, () => this.said.slice(length).some(({ state }) => state))
    return this.said.findLast(({ state }) => state).state
  }

  /** Waits until its store holds this. */
  async holds(n) {
    await until(
      () => `${this.name} to hold ${n}; it said ${JSON.stringify(this.said.slice(-3))}`,
      async () => (await this.state()).n === n,
    )
  }

  kill(signal = 'SIGKILL') {
    this.child.kill(signal)
  }
}

/** A monitor without a page: it logs in, watches `log` and `report`, and answers every START with one. */
class Monitor {
  static async open(version, port, more = {}) {
    const client = await connect(version, port, more)
    const monitor = new Monitor(client)
    if (isOld(version)) client.listens('report')
    const channel = await client.invoke('login', {})
    client.hears('login', channel)
    const heard = client.hears.bind(client)
    client.hears = (what, value) => {
      heard(what, value)
      if (what === '#log' && value?.type === 'START') client.transmit(`sc-${value.id}`, { type: 'START' })
    }
    await client.subscribe(channel)
    await client.subscribe('report')
    client.transmit('respond', { type: 'START' })
    return monitor
  }

  constructor(client) {
    this.client = client
  }

  get id() {
    return this.client.id
  }

  /** Messages of apps, unpacked where they came without an id of their own. */
  get log() {
    return this.client.all('#log').map((message) => (message?.data ? { ...message.data, id: message.id } : message))
  }

  of(name) {
    return this.log.filter((message) => message?.name === name)
  }

  /** Waits for a message of an app that is as wanted, behind the first `from` messages; gives it. */
  sees(name, wanted, from = 0) {
    const fits = (message) => (name === null || message?.name === name) && Object.entries(wanted).every(([key, value]) => message?.[key] === value)
    return until(
      () => `${JSON.stringify(wanted)} of ${name} at a monitor ${this.client.version}; it saw ${JSON.stringify(this.log.slice(-8)).slice(0, 2000)}`,
      () => this.log.slice(from).find(fits),
    )
  }

  /** Tells one app to do something. */
  tells(message, more) {
    this.client.transmit(`sc-${message.id}`, { instanceId: message.instanceId ?? message.id, ...more })
  }

  dispatches(message, action, state) {
    this.tells(message, { type: 'DISPATCH', action, ...(state === undefined ? {} : { state }) })
  }

  tellsAll(message) {
    this.client.transmit('respond', message)
  }

  close() {
    return this.client.close()
  }
}

module.exports = { App, Monitor, APPS, NEW_APPS, OLD_APPS }
