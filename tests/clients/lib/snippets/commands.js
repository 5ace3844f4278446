'use strict'
// Whether commands that are not run could be: a shell can read them, the programs are there, and a measurement has the cases and options.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { program } = require('../deployment')
const { ROOT } = require('../polyport')
const { joined } = require('./stage')

/** Programs that are not of this repository. */
const PROGRAMS = new Set(['apt', 'cargo', 'cd', 'docker', 'kubectl', 'ssh', 'systemctl'])

const LOADTEST = path.join(ROOT, 'crates', 'loadtest', 'src')
const CASES = fs.readdirSync(LOADTEST, { recursive: true })
  .filter((name) => name.endsWith('.rs'))
  .map((name) => fs.readFileSync(path.join(LOADTEST, name), 'utf8'))
  .join('\n')

/** The first word that is no variable, without the place of a build. */
const programOf = (command) => /^(?:[A-Z_]+=\S* )*(\S+)/.exec(command)?.[1].replace(/^target\/release\//, '') ?? ''

function isCommand(line) {
  const name = programOf(line)
  return PROGRAMS.has(name) || name === 'polyport-loadtest' || fs.existsSync(path.join(ROOT, name))
}

function checkMeasurement(line) {
  const [, ...words] = line.replace(/#.*$/, '').replace(/"[^"]*"/g, '').trim().split(/\s+/)
  const named = words.slice(0, Math.max(words.findIndex((word) => word.startsWith('-')), 0) || words.length)
  for (const word of named) assert.ok(CASES.includes(`"${word}"`) || new RegExp(`\\b${word}\\b`, 'i').test(CASES), `${word} of ${line}`)
  for (const [, option] of words.join(' ').matchAll(/--([a-z-]+)/g)) {
    assert.match(CASES, new RegExp(`\\b${option.replaceAll('-', '_')}: |long = "${option}"`), `--${option} of ${line}`)
  }
}

/** Checks commands without running them. */
function checkCommands(text) {
  program('bash', ['-n'], { input: text })
  for (const line of joined(text)) {
    assert.ok(isCommand(line), `no program: ${line}`)
    const name = programOf(line)
    if (name.includes('/')) fs.accessSync(path.join(ROOT, name), fs.constants.X_OK)
    if (name === 'polyport-loadtest') checkMeasurement(line)
  }
}

module.exports = { checkCommands }
