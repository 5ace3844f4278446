'use strict'
// A gateway that is followed through upgrades: its later processes are nobody's children.

const fs = require('node:fs')
const { until } = require('./wait')

const isAlive = (pid) => {
  try {
    // A process that has ended and that nobody has asked about yet is none.
    return !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** The processes of a gateway, the first one and those that took over from one another. */
class Line {
  constructor(gateway) {
    this.gateway = gateway
    this.pids = [gateway.pid]
    this.kill = () => this.pids.filter(isAlive).forEach((pid) => process.kill(pid, 'SIGKILL'))
    process.once('exit', this.kill)
  }

  /** The process that serves. */
  get pid() {
    return this.pids.at(-1)
  }

  signal(name, pid = this.pid) {
    process.kill(pid, name)
  }

  /** Waits until a new process has taken over, and gives its id. */
  async next() {
    const { gateway, pid } = this
    const pattern = new RegExp(`"taken over from the process before",.*"old_pid":${pid},"new_pid":(\\d+)`)
    const line = await gateway.logged(pattern, { limit: 30_000 })
    this.pids.push(Number(pattern.exec(line)[1]))
    return this.pid
  }

  async ended(pid, limit = 30_000) {
    await until(() => `process ${pid} to end; the log:\n${this.gateway.log}`, () => !isAlive(pid), limit)
  }

  /** Stops the process that serves, and waits for all. */
  async stop() {
    if (isAlive(this.pid)) this.signal('SIGTERM')
    for (const pid of this.pids) await this.ended(pid)
    process.removeListener('exit', this.kill)
  }
}

module.exports = { Line, isAlive }
