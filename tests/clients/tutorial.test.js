'use strict'
// The pages that lead a newcomer by the hand, done as they say: every block in order, with the outputs that they promise.

const assert = require('node:assert/strict')
const { after, describe, test } = require('node:test')
const { pages, walked } = require('./lib/pages')
const { Walkthrough } = require('./lib/walkthrough')

const WALKS = walked(pages())

for (const [name, page] of WALKS) {
  describe(name, () => {
    const walk = new Walkthrough(page)
    after(() => walk.end())

    let broken = false
    for (const step of walk.steps) {
      test(`${step.language} ${step.text.split('\n')[0]}`, async () => {
        assert.ok(!broken, 'a step before it has failed')
        broken = true
        await walk.take(step)
        broken = false
      })
    }
  })
}

test('no walk is missing', () => assert.equal(WALKS.length, 8))

describe('a page that promises what does not happen', () => {
  const walk = new Walkthrough('```console\n$ target/release/polyport\n$ telnet 127.0.0.1 5000\n```\n\nIn telnet:\n\n```text\nsay lobby hi\n{"status":"no"}\n```\n')
  after(() => walk.end())

  test('fails', async () => {
    const [first, second] = walk.steps
    await walk.take(first)
    await walk.compare('telnet', ['say lobby hi', '{"message":"hi","room":"lobby","from":"…","context":"user","sentAt":1795250060158}'])
    await assert.rejects(walk.compare('telnet', second.text.split('\n'), 100), /telnet to show \{"status":"no"\}/)
  })
})
