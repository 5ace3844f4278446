'use strict'
// Reads a tap of the server API: every line as it comes.

const http = require('node:http')
const { until, within, LIMIT } = require('./wait')

class Tap {
  /** Resolves when the tap is open; one that is refused is an error with `status` and `body`. */
  static open(port, parameters, key) {
    const query = new URLSearchParams(parameters)
    const headers = { authorization: `Bearer ${key}` }
    const opened = new Promise((resolve, reject) => {
      const request = http.get({ host: '127.0.0.1', port, path: `/api/tap?${query}`, headers, agent: false }, (response) => {
        if (response.statusCode === 200) return resolve(new Tap(request, response))
        let body = ''
        response.setEncoding('utf8').on('data', (text) => {
          body += text
        })
        response.on('end', () => reject(Object.assign(new Error(body), { status: response.statusCode, body: JSON.parse(body) })))
      })
      request.on('error', reject)
    })
    return within(opened, LIMIT, () => `no tap of ${query} on ${port}`)
  }

  constructor(request, response) {
    this.request = request
    this.response = response
    this.type = response.headers['content-type']
    this.records = []
    /** All that came, for what must not be in it. */
    this.text = ''
    let rest = ''
    response.setEncoding('utf8').on('data', (text) => {
      this.text += text
      const lines = (rest + text).split('\n')
      rest = lines.pop()
      this.records.push(...lines.filter((line) => line !== '').map((line) => JSON.parse(line)))
    })
    this.ended = new Promise((resolve) => {
      response.once('end', () => resolve('in order'))
      response.once('error', () => resolve('cut'))
    })
  }

  all(kind) {
    return this.records.filter((record) => record.kind === kind)
  }

  /** Waits for the first record that has all of these fields, or that a function picks; gives it. */
  saw(wanted, limit) {
    const means = typeof wanted === 'function' ? wanted : (record) => Object.entries(wanted).every(([name, value]) => record[name] === value)
    const shown = () => JSON.stringify(this.records.slice(-20)).slice(0, 4000)
    return until(() => `a record like ${typeof wanted === 'function' ? wanted : JSON.stringify(wanted)}; seen are ${shown()}`, () => this.records.find(means), limit)
  }

  close() {
    this.request.destroy()
  }
}

module.exports = { Tap }
