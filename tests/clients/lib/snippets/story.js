'use strict'
// Stories: the blocks of a page in the order in which a reader does them, each found by its first line.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { blocks, pages, walked } = require('../pages')
const { Stage } = require('./stage')

const PAGES = pages()
const WALKED = new Set(walked(PAGES).flatMap(([name, part]) => blocks(part).map(({ text }) => `${name.split(', ')[0]}: ${text}`)))

const firstLine = ({ text }) => text.split('\n')[0]
const nameOf = (page, block) => `${page}: ${firstLine(block)}`

/** The blocks of a page that tutorial.test.js does not do. */
const others = (page) => blocks(PAGES.get(page)).filter(({ text }) => !WALKED.has(`${page}: ${text}`))

function find(page, line) {
  const found = others(page).filter((block) => firstLine(block) === line)
  assert.equal(found.length, 1, `${page} has ${found.length} blocks that begin with: ${line}`)
  return found[0]
}

/** `steps` are pairs: the first line of a block, and what is done with it, `(stage, block) => …`. `begin` is what the reader has done before. */
const story = (page, title, { begin, steps }) => ({ page, title, begin, steps })

/** Makes a suite of stories. In each a step waits for those before it, and fails with them. */
function tell(stories) {
  for (const { page, title, begin, steps } of stories) {
    describe(`${page}, ${title}`, () => {
      const stage = new Stage()
      before(() => begin?.(stage))
      after(() => stage.end())

      let broken = false
      for (const [line, act] of steps) {
        test(line, async () => {
          assert.ok(!broken, 'a step before it has failed')
          broken = true
          await act(stage, find(page, line))
          broken = false
        })
      }
    })
  }
}

module.exports = { PAGES, find, nameOf, others, story, tell }
