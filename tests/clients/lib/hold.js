'use strict'
// Holding a process of one's own.

const fs = require('node:fs')
const { until } = require('./wait')

/**
 * Holds a child process, and waits until all of its threads stand still: until one of them has seen the signal the others
 * go on, and where there is much to do that takes a while. Gives what lets it go on.
 */
async function hold(child) {
  const threads = `/proc/${child.pid}/task`
  const isStill = (thread) => /^State:\s+T/m.test(fs.readFileSync(`${threads}/${thread}/status`, 'utf8'))
  child.kill('SIGSTOP')
  await until('a process to stand still', () => fs.readdirSync(threads).every(isStill))
  return () => child.kill('SIGCONT')
}

module.exports = { hold }
