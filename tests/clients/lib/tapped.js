'use strict'
// A way to a gateway that has a tap whose events a test decides; everything else is the gateway's own.

const http = require('node:http')

class Tapped {
  static async start(port) {
    const tapped = new Tapped(port)
    await new Promise((resolve) => tapped.server.listen(0, '127.0.0.1', resolve))
    tapped.origin = `http://127.0.0.1:${tapped.server.address().port}`
    return tapped
  }

  constructor(port) {
    this.taps = []
    this.server = http.createServer((request, response) => {
      if (request.url.startsWith('/api/tap?')) {
        response.writeHead(200, { 'content-type': 'application/x-ndjson' })
        response.flushHeaders()
        const tap = { query: Object.fromEntries(new URL(request.url, 'http://x').searchParams), key: request.headers.authorization, response, isOver: false }
        response.once('close', () => {
          tap.isOver = true
        })
        this.taps.push(tap)
        return
      }
      const { method, url: path, headers } = request
      const asked = http.request({ host: '127.0.0.1', port, method, path, headers: { ...headers, connection: 'close' } }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers)
        answer.pipe(response)
      })
      asked.on('error', () => response.destroy())
      request.pipe(asked)
    })
  }

  /** Writes events to those who tap now. */
  tell(...events) {
    for (const tap of this.taps) if (!tap.isOver) tap.response.write(events.map((event) => `${JSON.stringify(event)}\n`).join(''))
  }

  stop() {
    this.server.closeAllConnections()
    this.server.close()
  }
}

module.exports = { Tapped }
