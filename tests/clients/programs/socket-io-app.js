'use strict'
// The walk's application on an npm server: socket-io-app.js VERSION OPTIONS
// Prints its port, then obeys lines of JSON on its standard input: {"publish":{"room","event","args"}}, {"close":true}.
//
// OPTIONS is JSON: `port`; `server`, options of the server; `parser: "msgpack"`; `jwt`, options of socketio-jwt.

const { close, obey, serve } = require('../lib/walk')

const [VERSION, OPTIONS] = [process.argv[2], JSON.parse(process.argv[3] ?? '{}')]

const options = { ...OPTIONS.server }
if (OPTIONS.parser === 'msgpack') options.parser = require('socket.io-msgpack-parser')
const server = serve(VERSION, options, OPTIONS.jwt)

obey({
  publish: ({ room, event, args }) => server.io.to(room).emit(event, ...args),
  close: () => close(server),
})

server.listener.listen(OPTIONS.port ?? 0, '127.0.0.1', () => console.log(server.listener.address().port))
