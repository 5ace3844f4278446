'use strict'
// Every block of every page is looked at by a test: done step by step (tutorial.test.js), checked as a configuration or calculated (documents.test.js),
// or here, by the reader of its language. What nothing can read is on a list, with the reason.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const { isBuiltin } = require('node:module')
const path = require('node:path')
const { describe, test } = require('node:test')
const vm = require('node:vm')
const { program } = require('./lib/deployment')
const { blocks, isConfiguration, pages, walked } = require('./lib/pages')
const { ROOT, temporaryFolder } = require('./lib/polyport')

const PAGES = pages()
const WALKED = new Set(walked(PAGES).flatMap(([, page]) => blocks(page)).map(({ text }) => text))

/** What is no language, by its page and its first line, and why it needs no test here. */
const OTHERS = new Map([
  ['README.md: polyport 0.1.0 is up', 'crates/polyport/tests/documents.rs compares it with what a start prints'],
  ['README.md: detailsView', 'a session in telnet, with times and chance in it; actionhero-replay.test.js has it from the original'],
  ['docs/architecture.md:             bytes            frames              calls, joins, publishes        work', 'a drawing'],
  ['docs/configuration.md: gateway.toml:12:3: listeners.tcp.limits.sesions: unknown key; did you mean `sessions`? (valid: sessions, …)', 'shortened; crates/polyport/tests/wrong has them whole'],
  ['docs/identity.md: {"action":"authenticate","params":{"token":"eyJhbGciOiJIUzI1NiIs…"}}    telnet, or `paramAdd token=…` and then `authenticate`', 'the forms of one call; identity.test.js sends them'],
  ['docs/operations.md: sources:', 'of Vector, which is in no registry of packages'],
  ['docs/operations.md: [PARSER]', 'of Fluent Bit, likewise; logs.test.js has the records that both read'],
  ['docs/tap.md: 12:04:11.482Z  publish  tcp-verbs 7e57d004-2b97-4e7a-b45f-5387367791cd  lobby  message  "hi"', 'what a terminal shows, with times in it; tap.test.js compares such lines'],
  ['docs/tracing.md: call shout                         a client\'s call (listener, protocol, action, outcome)', 'a drawing; tracing.test.js compares what hangs together'],
  ['docs/socket-red.md: HTTP/1.1 401 Unauthorized', 'the head of an answer; socket-red-replay.test.js has it from the original'],
])

/** The packages that suites use, several versions of one under names of their own. */
const PACKAGES = new Set(
  Object.entries(JSON.parse(fs.readFileSync(path.join(__dirname, 'package.json'), 'utf8')).devDependencies)
    .map(([name, version]) => /^npm:(.+)@/.exec(version)?.[1] ?? name),
)

/** Programs that are not of this repository. */
const PROGRAMS = new Set([
  'apt', 'cargo', 'cd', 'curl', 'docker', 'export', 'kubectl', 'node', 'npm', 'openssl', 'redis-server', 'ssh', 'systemctl', 'telnet',
])

const CASES = fs.readdirSync(path.join(ROOT, 'crates', 'loadtest', 'src'), { recursive: true })
  .filter((name) => name.endsWith('.rs'))
  .map((name) => fs.readFileSync(path.join(ROOT, 'crates', 'loadtest', 'src', name), 'utf8'))
  .join('\n')

/** The first word that is no variable, without the place of a build. */
const programOf = (command) => /^(?:[A-Z_]+=\S* )*(\S+)/.exec(command)?.[1].replace(/^target\/release\//, '') ?? ''

function isCommand(line) {
  const name = programOf(line)
  return PROGRAMS.has(name) || /^polyport(-loadtest)?$/.test(name) || fs.existsSync(path.join(ROOT, name))
}

const joined = (text) => text.replace(/\\\n\s*/g, ' ').split('\n').filter((line) => line !== '')

function checkShell(text) {
  program('bash', ['-n'], { input: text })
  for (const line of joined(text).filter((one) => !one.startsWith('#'))) {
    assert.ok(isCommand(line), `no program: ${line}`)
    const name = programOf(line)
    // Those of the repository can be started; documents.test.js asks the gateway for its own.
    if (name.includes('/')) fs.accessSync(path.join(ROOT, name), fs.constants.X_OK)
    if (name !== 'polyport-loadtest') continue
    const [, ...named] = line.replace(/#.*$/, '').split(' -')[0].trim().split(/\s+/)
    for (const word of named) assert.ok(CASES.includes(`"${word}"`) || new RegExp(`\\b${word}\\b`, 'i').test(CASES), `${word} of ${line}`)
  }
}

function checkScript(text) {
  const forms = [text, `(async () => {\n${text}\n})`, `(class {\n${text}\n})`]
  const errors = []
  for (const form of forms) {
    try {
      new vm.Script(form)
      break
    } catch (error) {
      errors.push(error.message)
    }
  }
  assert.ok(errors.length < forms.length, errors.join('\n'))
  // `polyport` is what the gateway gives its scripts.
  for (const [, name] of text.matchAll(/\brequire\('([^'.][^']*)'\)/g)) {
    assert.ok(name === 'polyport' || isBuiltin(name) || PACKAGES.has(name), `no suite uses the package ${name}`)
  }
}

function checkJson(text) {
  try {
    JSON.parse(text)
  } catch {
    for (const line of text.split('\n')) JSON.parse(line)
  }
}

/** Of YAML, pages show configurations of Prometheus, and what is excused above. */
function checkYaml(text) {
  const file = path.join(temporaryFolder(), 'prometheus.yml')
  fs.writeFileSync(file, text)
  program('promtool', ['check', 'config', file])
}

const checkPython = (text) => program('python3', ['-c', 'import ast, sys; ast.parse(sys.stdin.read())'], { input: text })

/** Commands behind `$ `, with what they print between them; a `…` stands for what is left out. */
function checkConsole(text) {
  const commands = text.replace(/\\\n\s*/g, ' ').split('\n').filter((line) => line.startsWith('$ ')).map((line) => line.slice(2))
  assert.notEqual(commands.length, 0)
  checkShell(commands.join('\n'))
}

const isJson = (text) => text.split('\n').every((line) => /^[[{].*[\]}]$/.test(line))

/** How a block is read, or `undefined`. */
function reader({ language, text }) {
  const byLanguage = {
    console: checkConsole, javascript: checkScript, js: checkScript, json: checkJson, python: checkPython, sh: checkShell, yaml: checkYaml,
  }
  if (byLanguage[language]) return byLanguage[language]
  if (language !== '') return undefined
  if (isJson(text)) return checkJson
  return isCommand(joined(text)[0]) ? checkShell : undefined
}

const isCalculated = (file, { language }) => file === 'docs/capacity.md' && language === 'text'

describe('every block of every page is looked at', () => {
  const used = new Set()

  for (const [file, page] of PAGES) {
    for (const block of blocks(page)) {
      if (WALKED.has(block.text) || isConfiguration(block) || isCalculated(file, block)) continue
      const name = `${file}: ${block.text.split('\n')[0]}`
      if (OTHERS.has(name)) {
        used.add(name)
        continue
      }
      test(`${file}:${block.line}`, () => {
        const check = reader(block)
        assert.ok(check, `nothing reads it: ${name}`)
        check(block.text)
      })
    }
  }

  test('what is excused is there', () => assert.deepEqual([...OTHERS.keys()].filter((name) => !used.has(name)), []))
})

describe('a block with a mistake does not pass', () => {
  for (const [language, text] of [
    ['js', 'const a = {'], ['js', "require('no-such-package')"], ['json', '{"a":1,}'], ['', '{"a":}'], ['sh', 'polyport check "'],
    ['sh', 'no-such-program'], ['sh', 'deploy/release/no-such-file'], ['console', 'polyport check'], ['python', 'def a('], ['yaml', 'scrape_config: []'],
    ['', 'target/release/polyport-loadtest bench no-such-case'],
  ]) {
    test(`${language} ${text}`, () => assert.throws(() => reader({ language, text })(text)))
  }

  test('nothing reads what is no language', () => assert.equal(reader({ language: '', text: 'Once upon a time' }), undefined))
})
