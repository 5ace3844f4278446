'use strict'
// A wire between clients and a server that can be cut and mended, or hold what the server answers.

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
    this.release = () => {}
    this.server = net.createServer((near) => {
      if (this.isCut) {
        near.destroy()
        return
      }
      const far = net.connect(this.port, '127.0.0.1')
      near.on('data', (bytes) => this.heard(bytes, near, far))
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

  /**
   * Holds what the server answers on the next connection whose client says `text`, from then on and until `release` is
   * called. Gives a promise that an answer has come and is held.
   */
  hold(text) {
    return new Promise((resolve) => {
      this.awaited = { text, resolve }
    })
  }

  heard(bytes, near, far) {
    if (!this.awaited || !bytes.includes(this.awaited.text)) return
    const { resolve } = this.awaited
    this.awaited = undefined
    const answers = []
    const keep = (answer) => {
      answers.push(answer)
      resolve()
    }
    far.unpipe(near)
    far.on('data', keep).resume()
    this.release = () => {
      this.release = () => {}
      far.removeListener('data', keep)
      near.write(Buffer.concat(answers))
      far.pipe(near)
    }
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
