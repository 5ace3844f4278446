// The walk's application for the gateway: the same as `socket-io-app.js` on an npm server.
const startServer = require('socket.red')
const polyport = require('polyport')

const LOAD = 1000

const bytes = (...values) => new Uint8Array(values)

/** A parameter of the connection's address, or of the namespace. */
function parameter(url, name) {
  const found = new RegExp(`[?&]${name}=([^&]*)`).exec(url)
  return found ? decodeURIComponent(found[1]) : null
}

function refuse(message, data) {
  throw Object.assign(new Error(message), data && { data })
}

class Walk {
  constructor(session, url, request) {
    Object.assign(this, { session, url, request })
  }

  echo(...args) {
    this.session.emit('echo', ...args)
  }

  ack(...args) {
    return polyport.args(...args)
  }

  ackbin() {
    return polyport.args(bytes(1, 2, 3), { x: bytes(4) })
  }

  askme() {
    this.session.ask('question', 'how?').then((args) => this.session.emit('got-answer', ...args))
  }

  sendbin() {
    this.session.emit('bin', bytes(0, 1, 2, 0xfd, 0xfe, 0xff), { nested: [bytes(0x68, 0x69)] })
  }

  uni() {
    this.session.emit('uni', 'é€😀\u2028')
  }

  burst() {
    for (const index of [0, 1, 2]) this.session.emit('burst', index)
  }

  big(length) {
    this.session.emit('big', 'x'.repeat(length))
  }

  rooms() {
    return polyport.sessions({}).find(({ id }) => id === this.session.id)?.rooms ?? []
  }

  token() {
    return parameter(this.url, 'token')
  }

  credentials() {
    return this.request.auth ?? {}
  }

  join(room) {
    polyport.join({ session: this.session.id }, room)
    return true
  }

  kick() {
    this.session.leave()
  }

  'kick-close'() {
    this.session.close()
  }
}

startServer(0, (url, headers, origin, isTls, request) => {
  if (request.namespace === '/private') refuse('not authorized', { content: 'Please retry later' })
  if (request.namespace === '/plainerr') refuse('boom')
  const session = {
    onStart() {
      if (!parameter(url, 'load')) return
      // Part at once, part while the client goes from one transport to the other.
      let next = 0
      const more = () => {
        for (let count = 0; count < 10 && next < LOAD; count += 1) session.emit('load', next++)
        if (next < LOAD) setTimeout(more, 1)
      }
      more()
    },
  }
  session.api = new Walk(session, url, request)
  return session
})
