'use strict'
// What the console computes of what the gateway says: rates, quantiles, and how numbers are written.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { before, describe, test } = require('node:test')
const { ROOT } = require('./lib/polyport')

/** A module of the page that imports nothing. */
function moduleOf(name) {
  const source = fs.readFileSync(path.join(ROOT, 'crates/admin/console', name), 'utf8')
  return import(`data:text/javascript,${encodeURIComponent(source)}`)
}

const BOUNDS = [0.001, 0.01, 0.1, 1]
/** A histogram of which so many fell into each bucket, and the rest above. */
const durations = (each, above = 0) => {
  let all = 0
  const buckets = each.map((many, at) => [BOUNDS[at], (all += many)])
  return { count: all + above, seconds: 1, buckets }
}

describe('figures', () => {
  let figures
  before(async () => {
    figures = await moduleOf('figures.js')
  })

  test('a quantile lies inside its bucket', () => {
    const { quantile } = figures
    for (const [histogram, part, expected] of [
      [durations([0, 0, 0, 0]), 0.5, null],
      [durations([100, 0, 0, 0]), 0.5, 0.0005],
      [durations([0, 100, 0, 0]), 0.5, 0.0055],
      [durations([50, 49, 1, 0]), 0.99, 0.01],
      [durations([0, 0, 0, 0], 5), 0.5, 1],
    ]) {
      const seen = quantile(histogram, part)
      assert.ok(seen === expected || Math.abs(seen - expected) < 1e-9, `${JSON.stringify(histogram)}: ${seen}`)
    }
  })

  test('what came since is the difference, and all after a restart', () => {
    const { quantile, since } = figures
    const [before, after] = [durations([100, 0, 0, 0]), durations([100, 0, 10, 0])]
    assert.equal(since(before, after).count, 10)
    assert.ok(quantile(since(before, after), 0.5) > 0.01)
    assert.deepEqual(since(after, before), before)
    assert.deepEqual(since(undefined, after), after)
  })

  test('histograms are added up', () => {
    const all = figures.joined([durations([1, 2, 3, 4]), durations([1, 0, 0, 0], 1)])
    assert.deepEqual([all.count, all.buckets.map(([, many]) => many)], [12, [2, 4, 7, 11]])
    assert.equal(figures.joined([]).count, 0)
  })

  test('growth is for each second, and a counter that begins anew has grown by what it is', () => {
    const grown = (from, to, seconds) => figures.growth({ at: 0, n: from }, { at: 1000 * seconds, n: to }, (seen) => seen.n)
    assert.equal(grown(10, 30, 2), 10)
    assert.equal(grown(30, 10, 2), 5)
    assert.equal(grown(10, 10, 2), 0)
    assert.equal(grown(10, 30, 0), null)
    assert.equal(figures.growth(null, { at: 1 }, () => 1), null)
  })
})

describe('numbers', () => {
  test('are written for people', async () => {
    const format = await moduleOf('format.js')
    for (const [seen, expected] of [
      [format.count(12345), '12,345'],
      [format.count(null), '–'],
      [format.rate(0.123456), '0.123'],
      [format.rate(12345.6), '12,346'],
      [format.bytes(0), '0 B'],
      [format.bytes(1536), '1.5 KiB'],
      [format.bytes(3 * 1024 ** 4 * 1024), '3,070 TiB'],
      [format.took(0.0000215), '21.5 µs'],
      [format.took(0.25), '250 ms'],
      [format.took(30), '30 s'],
      [format.age(59.9), '59s'],
      [format.age(3_661), '1h 1m'],
      [format.age(90_000), '1d 1h'],
      [format.many(1, 'session'), '1 session'],
      [format.many(2, 'event waits', 'events wait'), '2 events wait'],
    ]) {
      assert.equal(seen, expected)
    }
  })
})
