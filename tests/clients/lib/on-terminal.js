'use strict'
// The gateway's program on a pseudo terminal.

const { spawn } = require('node:child_process')
const { BINARY, environment } = require('./polyport')
const { until } = require('./wait')

/** A command on a terminal of its own, which keys are pressed at. */
class OnTerminal {
  constructor(args, { env = {}, cwd } = {}) {
    const terminal = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))'
    this.child = spawn('python3', ['-c', terminal, BINARY, ...args], { cwd, env: environment(env), stdio: ['pipe', 'pipe', 'inherit'] })
    this.seen = ''
    this.child.stdout.setEncoding('utf8').on('data', (text) => {
      this.seen += text
    })
    const kill = () => this.child.kill('SIGKILL')
    process.once('exit', kill)
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject)
      this.child.once('close', (code) => {
        process.removeListener('exit', kill)
        resolve(code)
      })
    })
  }

  press(keys) {
    this.child.stdin.write(keys)
  }

  shows(pattern) {
    return until(() => `${pattern} in\n${JSON.stringify(this.seen)}`, () => pattern.test(this.seen))
  }
}

module.exports = { OnTerminal }
