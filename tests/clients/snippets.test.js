'use strict'
// Every block of every page is done by a test: step by step with its whole page (tutorial.test.js), checked as a configuration or calculated
// (documents.test.js), or in a story (snippets-*.test.js). What cannot be done here is on a list, with the reason.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { after, describe, test } = require('node:test')
const { isConfiguration } = require('./lib/pages')
const { ROOT } = require('./lib/polyport')
const { alike, likeness } = require('./lib/likeness')
const { checkCommands } = require('./lib/snippets/commands')
const { COMMANDS, OTHERS } = require('./lib/snippets/excused')
const { Stage, commands, swapped } = require('./lib/snippets/stage')
const { PAGES, find, nameOf, others } = require('./lib/snippets/story')

const STORIES = path.join(__dirname, 'lib', 'snippets', 'stories')
const NAMES = fs.readdirSync(STORIES).map((file) => path.basename(file, '.js'))
const TOLD = NAMES.flatMap((name) => require(path.join(STORIES, name)).flatMap(({ page, steps }) => steps.map(([line]) => `${page}: ${line}`)))

const isCalculated = (file, { language }) => file === 'docs/capacity.md' && language === 'text'

/** The blocks that stories do, or that are excused. */
const BLOCKS = [...PAGES.keys()].flatMap((file) =>
  others(file).filter((block) => !isConfiguration(block) && !isCalculated(file, block)).map((block) => ({ ...block, file, name: nameOf(file, block) })))

const ADVICE = 'add a step for it to a story in tests/clients/lib/snippets/stories; or to excused.js beside it, with the reason, if nothing here can run it'

describe('every block of every page is done', () => {
  const done = new Set([...TOLD, ...COMMANDS.keys(), ...OTHERS.keys()])

  test('by a story, or it is excused', () => {
    const left = BLOCKS.filter(({ name }) => !done.has(name)).map(({ file, line, name }) => `${file}:${line} is done by no test (${name}): ${ADVICE}`)
    assert.deepEqual(left, [])
  })

  test('once', () => {
    const all = [...TOLD, ...COMMANDS.keys(), ...OTHERS.keys()]
    assert.deepEqual(all.filter((name, index) => all.indexOf(name) !== index), [])
    const names = BLOCKS.map(({ name }) => name)
    assert.deepEqual(names.filter((name, index) => names.indexOf(name) !== index), [], 'blocks of a page are told apart by their first lines')
  })

  test('and nothing is done or excused that is not there', () => {
    const there = new Set(BLOCKS.map(({ name }) => name))
    assert.deepEqual([...done].filter((name) => !there.has(name)), [])
  })

  test('by suites that are run', () => {
    const suites = fs.readFileSync(path.join(ROOT, 'tests', 'run'), 'utf8')
    const [, listed] = /^node_suite documents .*\{(.*)\}\.test\.js$/m.exec(suites)
    for (const name of NAMES) {
      const suite = fs.readFileSync(path.join(__dirname, `snippets-${name}.test.js`), 'utf8')
      assert.ok(suite.includes(`tell(require('./lib/snippets/stories/${name}'))`), `snippets-${name}.test.js tells its stories`)
      assert.ok(listed.split(',').includes(`snippets-${name}`), `tests/run has snippets-${name}`)
    }
  })
})

describe('commands that are not run could be', () => {
  for (const { name, file, line, text } of BLOCKS.filter((block) => COMMANDS.has(block.name))) {
    test(`${file}:${line}, ${COMMANDS.get(name)}`, () => checkCommands(text))
  }
})

describe('a block with a mistake does not pass', () => {
  for (const text of [
    'cargo build "', 'no-such-program', 'deploy/release/no-such-file', 'target/release/polyport-loadtest bench no-such-case', 'polyport-loadtest bench --no-such-option',
  ]) {
    test(text, () => assert.throws(() => checkCommands(text)))
  }

  test('a line that is printed differently', () => {
    assert.ok(likeness('{"id":"7e57d004-…","at":1795250060158,"n":1}')('{"id":"c025487f-dc34-4cb9-9177-88a92738369d","at":1795706809268,"n":1}'))
    assert.ok(!likeness('{"id":"7e57d004-…","n":1}')('{"id":"c025487f-dc34-4cb9-9177-88a92738369d","n":2}'))
    assert.ok(!likeness('a.c')('abc'))
    assert.ok(likeness('it took 501 ms', ['took 501'])('it took 7 ms'))
    assert.ok(!likeness('it took 501 ms')('it took 7 ms'))
    assert.ok(alike(['a', '…', 'c'], ['a', 'b', 'b', 'c']))
    assert.ok(!alike(['a', 'c'], ['a', 'b', 'c']))
    assert.ok(!alike(['a', 'b'], ['a']))
    assert.ok(!alike(['a'], ['a', 'b']))
  })

  test('something to be replaced that is gone from the page', () => assert.throws(() => swapped('curl -s URL', { '…': 'x' }), /does not say any more/))

  test('a step whose block is gone', () => assert.throws(() => find('README.md', 'once upon a time'), /README\.md has 0 blocks/))

  const stage = new Stage()
  after(() => stage.end())

  for (const [what, text, message] of [
    ['a command that fails', '$ polyport chekc', /unrecognized subcommand/],
    ['a command that prints something else', '$ echo polyport 0.1.0\npolyport 0.1.1', /and the page shows/],
    ['a command that prints more', "$ printf 'a\\nb'\na", /and the page shows/],
    ['a program that is not there', '$ no-such-program', /127/],
  ]) {
    test(what, () => assert.rejects(stage.commands({ language: 'console', text }), message))
  }

  test('commands and what they print are told apart', () => {
    assert.deepEqual(commands({ language: 'console', text: '$ a \\\n    -b\nout\n$ c' }), [{ command: 'a -b', shown: ['out'] }, { command: 'c', shown: [] }])
    assert.deepEqual(commands({ language: '', text: 'a\nb' }), [{ command: 'a', shown: [] }, { command: 'b', shown: [] }])
  })
})
