'use strict'
// The walk's application on an npm server: socket-io-app.js VERSION OPTIONS
// Prints its port, then obeys lines of JSON on its standard input: {"publish":{"room","event","args"}}, {"close":true}.
//
// OPTIONS is JSON: `port`; `server`, options of the server; `parser: "msgpack"`; `jwt`, options of socketio-jwt.

const http = require('node:http')
const readline = require('node:readline')

const [VERSION, OPTIONS] = [process.argv[2], JSON.parse(process.argv[3] ?? '{}')]
const MODERN = VERSION.startsWith('4.')
const LOAD = 1000

const listener = http.createServer((request, response) => {
  response.statusCode = 404
  response.end()
})

function serve() {
  const options = { ...OPTIONS.server }
  if (OPTIONS.parser === 'msgpack') options.parser = require('socket.io-msgpack-parser')
  const made = require(`socket.io-${VERSION}`)
  return MODERN ? new made.Server(listener, options) : made(listener, options)
}

const io = serve()

/** The parameters of the connection's address, and in generation 3 of the namespace. */
const query = (socket) => socket.handshake.query

const roomsOf = (socket) => (MODERN ? [...socket.rooms] : Object.keys(socket.rooms))

/** The callback of an event that wants an answer, else one that does nothing. */
const answering = (args) => (typeof args.at(-1) === 'function' ? args.pop() : () => {})

function walk(socket) {
  const emit = (...args) => socket.emit(...args)
  const on = (name, handler) =>
    socket.on(name, (...args) => {
      const answer = answering(args)
      handler(answer, ...args)
    })

  on('echo', (answer, ...args) => emit('echo', ...args))
  on('ack', (answer, ...args) => answer(...args))
  on('ackbin', (answer) => answer(Buffer.from([1, 2, 3]), { x: Buffer.from([4]) }))
  on('askme', () => emit('question', 'how?', (...args) => emit('got-answer', ...args)))
  on('sendbin', () => emit('bin', Buffer.from([0, 1, 2, 0xfd, 0xfe, 0xff]), { nested: [Buffer.from('hi')] }))
  on('uni', () => emit('uni', 'é€😀\u2028'))
  on('burst', () => [0, 1, 2].forEach((index) => emit('burst', index)))
  on('big', (answer, length) => emit('big', 'x'.repeat(length)))
  on('rooms', (answer) => answer(roomsOf(socket)))
  on('token', (answer) => answer(query(socket).token ?? null))
  on('credentials', (answer) => answer(socket.handshake.auth ?? null))
  on('join', (answer, room) => {
    socket.join(room)
    answer(true)
  })
  on('kick', () => socket.disconnect())
  on('kick-close', () => socket.disconnect(true))

  if (query(socket).load) {
    // Part at once, part while the client goes from one transport to the other.
    let next = 0
    const more = () => {
      for (let count = 0; count < 10 && next < LOAD; count += 1) emit('load', next++)
      if (next < LOAD) setTimeout(more, 1)
    }
    more()
  }
}

const refusing = (message, data) => (socket, next) => next(Object.assign(new Error(message), data && { data }))

if (OPTIONS.jwt) {
  const socketioJwt = require('socketio-jwt')
  const identify = (socket) => {
    const id = socket.decoded_token.id
    for (const room of roomsOf(socket)) if (room.startsWith('user(')) socket.leave(room)
    socket.join(`user(${id})`)
  }
  if (OPTIONS.jwt.handshake) {
    io.use(socketioJwt.authorize(OPTIONS.jwt))
    io.on('connection', (socket) => {
      identify(socket)
      walk(socket)
    })
  } else {
    io.on('connection', socketioJwt.authorize(OPTIONS.jwt))
    io.on('authenticated', (socket) => {
      identify(socket)
      if (!socket.walking) walk(socket)
      socket.walking = true
    })
  }
} else {
  io.on('connection', walk)
}
io.of('/admin').on('connection', walk)
io.of('/private').use(refusing('not authorized', { content: 'Please retry later' })).on('connection', walk)
io.of('/plainerr').use(refusing('boom')).on('connection', walk)

const commands = {
  publish: ({ room, event, args }) => io.to(room).emit(event, ...args),
  // As a process that is asked to end: clients are told, the port is free, and nothing is left.
  close: () => io.close(() => process.exit(0)),
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  for (const [name, value] of Object.entries(JSON.parse(line))) commands[name](value)
}).on('close', () => process.exit(0))

listener.listen(OPTIONS.port ?? 0, '127.0.0.1', () => console.log(listener.address().port))
