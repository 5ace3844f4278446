'use strict'
// python-socketio with the face of the other clients: a process that says what its application sees.

const { execFileSync, spawn } = require('node:child_process')
const path = require('node:path')
const readline = require('node:readline')
const { ROOT } = require('./polyport')
const { plain, TRANSPORTS, Witness } = require('./socket-io')

const PROGRAM = path.resolve(__dirname, '..', 'programs', 'socket-io-client.py')
const VERSIONS = { 3: '4.6.1', 4: '5.18.1' }

/** Makes sure that the clients are there; what cannot be installed is an error. */
function installPython() {
  execFileSync(path.resolve(__dirname, '..', 'python', 'install'), { stdio: ['ignore', 'inherit', 'inherit'] })
}

class PythonClient extends Witness {
  /** `eio` is the generation; options as of `connect` of the other clients, and `namespaces`, `asynchronous`. */
  constructor(eio, url, { transports = 'upgrade', namespaces = ['/'], auth, reconnection, asynchronous, answer } = {}) {
    super(VERSIONS[eio])
    this.generation = eio
    this.transport = null
    // Its application may hear in another order of what happens at almost the same time.
    this.isThreaded = !asynchronous
    this.others = {}
    for (const name of namespaces) if (name !== '/') this.others[name] = new PythonNamespace(this, name)
    const options = {
      url, transports: TRANSPORTS[transports], namespaces, auth, reconnection, asynchronous,
      answer: plain(answer?.() ?? ['fine', { n: 1 }]),
    }
    const python = path.join(ROOT, 'target', `python-socketio-${eio}`, 'bin', 'python')
    this.child = spawn(python, [PROGRAM, JSON.stringify(options)], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, PYTHON_SOCKETIO: VERSIONS[eio] },
    })
    this.errors = ''
    this.child.stderr.setEncoding('utf8').on('data', (text) => {
      this.errors += text
    })
    this.child.stdin.on('error', () => {})
    const kill = () => this.child.kill('SIGKILL')
    process.once('exit', kill)
    this.child.once('close', () => process.removeListener('exit', kill))
    readline.createInterface({ input: this.child.stdout }).on('line', (line) => {
      const { namespace, transport, entry } = JSON.parse(line)
      this.transport = transport ?? this.transport
      const witness = namespace === '/' ? this : this.others[namespace]
      witness.transcript.push(entry)
    })
  }

  get isReturning() {
    return this.entries('connect').length > 1
  }

  command(value) {
    this.child.stdin.write(`${JSON.stringify(value)}\n`)
  }

  emit(name, ...args) {
    this.command({ emit: [name, ...args.map(plain)] })
  }

  request(name, ...args) {
    this.command({ emit: [name, ...args.map(plain)], ask: true })
  }

  leave() {
    this.command({ disconnect: true })
  }

  close() {
    this.child.kill('SIGKILL')
  }

  describe() {
    return `${super.describe()}${this.errors}`
  }
}

/** Another namespace of a client, which has asked for it at the beginning. */
class PythonNamespace extends Witness {
  constructor(client, name) {
    super(client.version)
    this.client = client
    this.name = name
  }

  emit(name, ...args) {
    this.client.command({ namespace: this.name, emit: [name, ...args.map(plain)] })
  }

  request(name, ...args) {
    this.client.command({ namespace: this.name, emit: [name, ...args.map(plain)], ask: true })
  }

  describe() {
    return `${super.describe()}${this.client.errors}`
  }
}

module.exports = { PythonClient, installPython, VERSIONS }
