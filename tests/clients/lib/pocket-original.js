'use strict'
// Loads the original Pocketsocket script, which lives on no package registry: POCKETSOCKET_JS gives its path.
// It is the file media/js/pocketsocket.js of GitHub Strangemother/pocketsocket at commit 11e0591b.

const fs = require('node:fs')
const WebSocket = require('ws')

const FILE = process.env.POCKETSOCKET_JS

/** One page: the script evaluated with globals of its own. */
function load() {
  const sockets = []
  const timers = []
  let unloaded = false

  /** The reconnect signal serialises its socket: nothing that `ws` adds to one may be enumerable. */
  class PageSocket extends WebSocket {
    constructor(uri) {
      super(uri)
      for (const key of Object.keys(this)) Object.defineProperty(this, key, { enumerable: false })
      sockets.push(this)
    }
  }

  const window = {
    setInterval: (callback, every) => {
      if (unloaded) return 0
      const timer = Number(setInterval(callback, every))
      timers.push(timer)
      return timer
    },
    clearInterval,
  }
  const silent = { log() {}, warn() {} }
  // The last parameters keep the script's implicit globals apart from those of the next page.
  const evaluate = new Function('window', 'WebSocket', 'console', 'name', 'methods', 'pocket', 'channels',
    `${fs.readFileSync(FILE, 'utf8')};return pocket;`)
  const pocket = evaluate(window, PageSocket, silent)
  const unload = () => {
    unloaded = true
    for (const timer of timers) clearInterval(timer)
    for (const socket of sockets) socket.terminate()
  }
  return { pocket, unload }
}

module.exports = { load, given: Boolean(FILE) }
