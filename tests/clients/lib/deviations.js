'use strict'
// Applies the table of deliberate deviations to what a recording makes us expect, and knows which entries were met.

const { asClassic } = require('./classic')
const { mask } = require('./mask')
const { NUMBER, shown } = require('./replay')
const { BIG, PUBLIC } = require('./verbs')
const { DEVIATIONS, RENUMBERED } = require('./verbs-deviations')

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b)

/** What the `now` lines make us expect; `<n>` in the k-th numbered line is the k-th number of the recording. */
function expected(now, recorded) {
  const numbers = recorded.map((item) => item.line && NUMBER.exec(mask(item.line))?.[0]).filter(Boolean)
  return now.map((text) => {
    const file = /^file (\S+)$/.exec(text)?.[1]
    if (file) {
      const raw = Buffer.from(file === 'big.bin' ? BIG : PUBLIC[file])
      return { raw, length: raw.length }
    }
    return { line: text.includes(',<n>}') ? text.replace(',<n>}', numbers.shift()) : text, masked: true }
  })
}

const fits = (entry, conn, state) =>
  entry.send === state.sent && (entry.after ?? state.previous) === state.previous && (entry.at ?? conn) === conn

/** The told lines with every pair of `replace` applied, or null if one of the pieces is not in them. */
function replaced({ replace }, told) {
  let text = told.join('\n')
  for (const [recorded, instead] of replace) {
    if (!text.includes(recorded)) return null
    text = text.replace(recorded, () => instead)
  }
  return text.split('\n')
}

class Deviations {
  /** Those of one recording, `version` and `name` as in the name of its file; `classic` is played from v18.1.4. */
  constructor(version, name) {
    this.entries = DEVIATIONS.filter((entry) => entry.versions.includes(version) && entry.recording === name)
      .map((entry) => ({ ...entry, met: false }))
    this.renumbered = RENUMBERED.some((entry) => entry.versions.includes(version) && entry.recording === name)
    this.lines = new Map()
    this.classic = version === 'classic'
  }

  /** The `deviate` of a replay. */
  apply(step, conn, replies, state) {
    const ends = replies.filter((item) => item.end)
    const lines = state.written.split(/[\r\n]+/).filter(Boolean)
    const said = replies.filter((item) => !item.end)
    const recorded = this.classic ? asClassic(said, lines) : said
    const told = recorded.map(shown)
    const entry = this.entries.find((one) => fits(one, conn, state) && (one.replace ? replaced(one, told) : same(one.was, told)))
    if (entry) {
      entry.met = true
      return [...expected(entry.now ?? replaced(entry, told), recorded), ...ends]
    }
    return [...(this.renumbered ? this.renumber(conn, recorded) : recorded), ...ends]
  }

  /** Each reply carries the number of the line that it answers; these recordings ask one at a time. */
  renumber(conn, replies) {
    return replies.map((item) => {
      if (item.line === undefined || !NUMBER.test(item.line)) return item
      const count = (this.lines.get(conn) ?? 0) + 1
      this.lines.set(conn, count)
      return { ...item, line: item.line.replace(NUMBER, `,"messageCount":${count}}`) }
    })
  }

  unmet() {
    return this.entries.filter((entry) => !entry.met).map(({ recording, after, send }) => ({ recording, after, send }))
  }
}

module.exports = { Deviations }
