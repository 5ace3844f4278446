'use strict'
// The walk's application on an npm server, for the programs that run one.

const http = require('node:http')
const readline = require('node:readline')

const LOAD = 1000

/** Generations 3 and 4 of the server: rooms are sets, and joining may be waited for. */
const isModern = (version) => /^[34]\./.test(version)

/** The parameters of the connection's address, and in generation 3 of the namespace. */
const query = (socket) => socket.handshake.query

function roomsOf(socket) {
  const rooms = socket.rooms
  return Array.isArray(rooms) || rooms instanceof Set ? [...rooms] : Object.keys(rooms)
}

/** Joins, and waits until that is so wherever events for the room may come from. */
function join(version, socket, room) {
  if (isModern(version)) return socket.join(room)
  // The oldest says nothing of a room that the socket is already in.
  if (roomsOf(socket).includes(room)) return undefined
  return new Promise((resolve) => socket.join(room, resolve))
}

/** The callback of an event that wants an answer, else one that does nothing. */
const answering = (args) => (typeof args.at(-1) === 'function' ? args.pop() : () => {})

function walk(version, socket) {
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
  on('join', async (answer, room) => {
    await join(version, socket, room)
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

/** Walks with clients whom socketio-jwt has let in. */
function walkIdentified(version, io, jwt) {
  const socketioJwt = require('socketio-jwt')
  const identify = (socket) => {
    const id = socket.decoded_token.id
    for (const room of roomsOf(socket)) if (room.startsWith('user(')) socket.leave(room)
    socket.join(`user(${id})`)
  }
  if (jwt.handshake) {
    io.use(socketioJwt.authorize(jwt))
    io.on('connection', (socket) => {
      identify(socket)
      walk(version, socket)
    })
  } else {
    io.on('connection', socketioJwt.authorize(jwt))
    io.on('authenticated', (socket) => {
      identify(socket)
      if (!socket.walking) walk(version, socket)
      socket.walking = true
    })
  }
}

/** A server of npm `socket.io` that runs the application; `options` are the server's own, `jwt` those of socketio-jwt. */
function serve(version, options, jwt) {
  const listener = http.createServer((request, response) => {
    response.statusCode = 404
    response.end()
  })
  const made = require(`socket.io-${version}`)
  const io = isModern(version) ? new made.Server(listener, options) : made(listener, options)
  const walking = (socket) => walk(version, socket)
  if (jwt) walkIdentified(version, io, jwt)
  else io.on('connection', walking)
  io.of('/admin').on('connection', walking)
  io.of('/private').use(refusing('not authorized', { content: 'Please retry later' })).on('connection', walking)
  io.of('/plainerr').use(refusing('boom')).on('connection', walking)
  return { io, listener }
}

/** As a process that is asked to end: clients are told, the port is free, and nothing is left. */
function close({ io, listener }) {
  listener.once('close', () => process.exit(0))
  io.close()
}

/** Obeys lines of JSON on the standard input, whose keys name commands, and ends with it. */
function obey(commands) {
  readline.createInterface({ input: process.stdin }).on('line', (line) => {
    for (const [name, value] of Object.entries(JSON.parse(line))) commands[name](value)
  }).on('close', () => process.exit(0))
}

module.exports = { serve, close, obey, join, roomsOf, isModern }
