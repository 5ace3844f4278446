'use strict'
// The Python client of SocketCluster: a process that does what it is told and says what it hears, a line each.

const { execFileSync, spawn } = require('node:child_process')
const path = require('node:path')
const readline = require('node:readline')
const { ROOT } = require('./polyport')
const { until } = require('./wait')

const PROGRAM = path.resolve(__dirname, '..', 'programs', 'socketcluster-client.py')
const PLACES = { '1.3.4': 1, '1.3.6': 2 }
const PYTHON = Object.keys(PLACES)

/** Makes sure that the clients are there; what cannot be installed is an error. */
function installClusterPython() {
  execFileSync(path.resolve(__dirname, '..', 'python', 'install'), { stdio: ['ignore', 'inherit', 'inherit'] })
}

class PythonCluster {
  static async start(version, port) {
    return new PythonCluster(version, port)
  }

  constructor(version, port) {
    this.version = version
    this.heard = []
    const python = path.join(ROOT, 'target', `python-socketcluster-${PLACES[version]}`, 'bin', 'python')
    this.child = spawn(python, [PROGRAM, `ws://127.0.0.1:${port}/socketcluster/`], { stdio: ['pipe', 'pipe', 'pipe'] })
    this.errors = ''
    this.child.stderr.setEncoding('utf8').on('data', (text) => {
      this.errors += text
    })
    this.child.stdin.on('error', () => {})
    const kill = () => this.child.kill('SIGKILL')
    process.once('exit', kill)
    this.child.once('close', () => process.removeListener('exit', kill))
    readline.createInterface({ input: this.child.stdout }).on('line', (line) => {
      if (line.startsWith('{')) this.heard.push(JSON.parse(line))
    })
  }

  says(command) {
    this.child.stdin.write(`${JSON.stringify(command)}\n`)
  }

  /** The next thing of that kind that was not asked for yet. */
  hears(kind) {
    return until(
      () => `${kind} at Python ${this.version}, which heard ${JSON.stringify(this.heard)}; ${this.errors}`,
      () => {
        const at = this.heard.findIndex((entry) => kind in entry)
        return at >= 0 && this.heard.splice(at, 1)[0][kind]
      },
    )
  }

  stop() {
    this.child.kill('SIGKILL')
  }
}

module.exports = { PythonCluster, installClusterPython, PYTHON }
