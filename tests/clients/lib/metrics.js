'use strict'
// Reads the Prometheus text format.

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g

/** One scrape. `sum` adds up the samples of a name whose labels include the given ones. */
class Metrics {
  constructor(text) {
    this.text = text
    this.samples = []
    for (const line of text.split('\n')) {
      if (line === '' || line.startsWith('#')) continue
      const found = SAMPLE.exec(line)
      if (!found) throw new Error(`not a metrics line: ${line}`)
      const labels = Object.fromEntries([...(found[2] ?? '').matchAll(LABEL)].map(([, key, value]) => [key, value]))
      this.samples.push({ name: found[1], labels, value: Number(found[3]) })
    }
  }

  matching(name, labels = {}) {
    return this.samples.filter(
      (sample) =>
        sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === String(value)),
    )
  }

  sum(name, labels = {}) {
    return this.matching(name, labels).reduce((total, sample) => total + sample.value, 0)
  }

  names() {
    return new Set(this.samples.map((sample) => sample.name))
  }
}

module.exports = { Metrics }
