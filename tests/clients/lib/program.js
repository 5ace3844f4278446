'use strict'
// Runs one of the programs beside the suites to its end.

const { spawn } = require('node:child_process')
const path = require('node:path')
const { within } = require('./wait')

const FOLDER = path.resolve(__dirname, '..', 'programs')

async function runProgram(file, args, env, limit = 30_000) {
  const child = spawn(process.execPath, [path.join(FOLDER, file), ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors += text
  })
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code))
  })
  try {
    const code = await within(ended, limit, () => `${file} has not ended; it printed:\n${output}${errors}`)
    return { code, output, errors }
  } finally {
    child.kill('SIGKILL')
  }
}

module.exports = { runProgram }
