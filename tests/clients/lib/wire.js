'use strict'
// A wire between clients and a server that can be cut and mended.

const net = require('node:net')

/** Passes TCP on to `port`, until it is cut. */
class Wire {
  static async lay(port) {
    const wire = new Wire(port)
    await new Promise((resolve) => wire.server.listen(0, '127.0.0.1', resolve))
    return wire
  }

  constructor(port) {
    this.port = port
    this.sockets = new Set()
    this.isCut = false
    this.server = net.createServer((near) => {
      if (this.isCut) {
        near.destroy()
        return
      }
      const far = net.connect(this.port, '127.0.0.1')
      for (const [one, other] of [[near, far], [far, near]]) {
        this.sockets.add(one)
        one.pipe(other)
        one.on('error', () => {})
        one.on('close', () => {
          this.sockets.delete(one)
          other.destroy()
        })
      }
    })
  }

  get url() {
    return `http://127.0.0.1:${this.server.address().port}`
  }

  cut() {
    this.isCut = true
    for (const socket of this.sockets) socket.destroy()
  }

  mend() {
    this.isCut = false
  }

  /** From now on it leads to another server. */
  lead(port) {
    this.port = port
  }

  close() {
    this.cut()
    this.server.close()
  }
}

module.exports = { Wire }
