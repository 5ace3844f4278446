// The client of the Messaging document, run with socket.io-client 2.5.0. PORT and TOKEN are in the environment.
// Prints one line of JSON per event: authenticated, message, and the end.
const client = require('socket.io-client-2.5.0')

const print = (...entry) => console.log(JSON.stringify(entry))

// What the document calls `io` is a global of its page. It keeps the socket to itself, so this is where we get at it.
const io = {
  connect(...args) {
    const socket = client.connect(...args)
    socket.on('authenticated', (...rest) => print('authenticated', ...rest))
    socket.on('unauthorized', (error) => print('unauthorized', error))
    socket.on('message', (...rest) => print('message', ...rest))
    socket.on('disconnect', (reason) => print('disconnect', reason))
    return socket
  },
}

// socket.io required
function connect (port, jwt) {
  var socket = io.connect('http://localhost:' + port);
  socket
    .on('authenticated', function () {
      // Do as you may
    })
    .emit('authenticate', {token: jwt}); //send the jwt
}

connect(process.env.PORT, process.env.TOKEN)
