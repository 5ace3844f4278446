'use strict'
// The walk's application on an npm server that shares its rooms over Redis: redis-server-app.js VERSION OPTIONS
// Prints its port, then a line of JSON for each thing: {"answer","result"|"error"} to a call, {"heard"} for what another
// server emits to servers, {"exception"} for what would have ended the process, {"redis"} for an error of a connection.
// Obeys lines of JSON on its standard input: {"call":{"number","name",…}}, {"close":true}.
//
// OPTIONS is JSON: `port`; `server`, options of the server; `redis`, an address of lib/redis.js; `client`, which of npm's
// clients of Redis; `adapter`, the alias of a package; `mode: "sharded"`; `options`, those of the adapter; `key`.

const { addressed, answer, pack } = require('../lib/peer-calls')
const { RedisClient } = require('../lib/redis-clients')
const { close, isModern, join, obey, serve } = require('../lib/walk')
const { until } = require('../lib/wait')

const [VERSION, OPTIONS] = [process.argv[2], JSON.parse(process.argv[3])]
const { adapter: ADAPTER, key: KEY = 'socket.io' } = OPTIONS
const STREAMS = ADAPTER.startsWith('redis-streams-adapter')
const LABEL = `node-${process.pid}`

const say = (line) => console.log(JSON.stringify(line))
const noted = (error) => say({ redis: error.message })

process.on('uncaughtException', (error) => say({ exception: error.message }))

function adapterOf(publisher, subscriber) {
  const made = require(ADAPTER)
  const [pubClient, subClient, options] = [publisher.raw, subscriber.raw, OPTIONS.options]
  if (STREAMS) return made.createAdapter(pubClient, { streamName: KEY, channelPrefix: KEY, ...options })
  if (OPTIONS.mode === 'sharded') return made.createShardedAdapter(pubClient, subClient, { channelPrefix: KEY, ...options })
  if (ADAPTER.startsWith('redis-adapter')) return made.createAdapter(pubClient, subClient, { key: KEY, ...options })
  return made({ pubClient, subClient, key: KEY, ...options })
}

/** The subscriptions of the streams adapter are on connections that it keeps to itself. */
async function streamsSettled(io, publisher) {
  const reads = (line) => line.includes(` name=${LABEL} `) && line.includes(' cmd=xread ')
  await until('the reader of the stream', async () => (await publisher.command('CLIENT', 'LIST')).split('\n').some(reads))
  for (const name of ['/', '/admin', '/private', '/plainerr']) {
    const channel = `${KEY}#${name}#${io.of(name).adapter.uid}#`
    await until(`a subscription to ${channel}`, async () => (await publisher.command('PUBSUB', 'NUMSUB', channel))[1] > 0)
  }
}

/** Calls a method of the adapter, whose older ones want a callback. */
function asked(adapter, method, ...args) {
  if (isModern(VERSION)) return adapter[method](...args)
  return new Promise((resolve, reject) => adapter[method](...args, (error, value) => (error ? reject(error) : resolve(value))))
}

const shown = ({ id, handshake, rooms, data }) => ({ id, handshake, rooms: [...rooms], data })

/** What a suite may call. Each takes what `addressed` takes, with `of` for the namespace, and what it names itself. */
function calls(io, settle) {
  const namespace = ({ of = '/' }) => io.of(of)
  const adapter = (call) => namespace(call).adapter
  const to = ({ of, ...call }) => addressed(namespace({ of }), call)

  const socketOf = (call) => {
    const found = isModern(VERSION) ? namespace(call).sockets.get(call.socket) : namespace(call).connected[call.socket]
    if (!found) throw new Error(`no socket ${call.socket}`)
    return found
  }

  const collected = (emit) =>
    new Promise((resolve) => emit((error, answers) => resolve({ error: error?.message ?? null, answers })))

  return {
    settle,
    emit: (call) => void to(call).emit(...call.event),
    // From one socket: to all others.
    broadcast: (call) => void addressed(socketOf(call).broadcast, { ...call, of: undefined }).emit(...call.event),
    // `timeout` says how long to wait for the answers of clients.
    ask: (call) => collected((done) => to(call).emit(...call.event, done)),
    join: (call) => join(VERSION, socketOf(call), call.room),
    leave: (call) => void socketOf(call).leave(call.room),
    setData: (call) => void Object.assign(socketOf(call).data, call.data),
    fetchSockets: async (call) => (await to(call).fetchSockets()).map(shown),
    socketsJoin: (call) => void to(call).socketsJoin(call.rooms),
    socketsLeave: (call) => void to(call).socketsLeave(call.rooms),
    disconnectSockets: (call) => void to(call).disconnectSockets(call.close),
    serverSideEmit: (call) => void namespace(call).serverSideEmit(...call.event),
    serverSideAsk: (call) => collected((done) => namespace(call).serverSideEmit(...call.event, done)),
    sockets: (call) => {
      const rooms = call.rooms ?? []
      return isModern(VERSION) ? adapter(call).sockets(new Set(rooms)) : asked(adapter(call), 'clients', rooms)
    },
    clientRooms: (call) => asked(adapter(call), 'clientRooms', call.socket),
    allRooms: (call) => asked(adapter(call), 'allRooms'),
    remoteJoin: (call) => asked(adapter(call), 'remoteJoin', call.socket, call.room),
    remoteLeave: (call) => asked(adapter(call), 'remoteLeave', call.socket, call.room),
    remoteDisconnect: (call) => asked(adapter(call), 'remoteDisconnect', call.socket, call.close),
    customRequest: (call) => asked(adapter(call), 'customRequest', call.data),
  }
}

/** Writes down what other servers emit to servers, and answers with the port. */
function listen(io, port) {
  for (const name of ['/', '/admin']) {
    io.of(name).on('hello', (...args) => {
      const done = typeof args.at(-1) === 'function' ? args.pop() : () => {}
      say({ heard: { namespace: name, args: pack(args) } })
      done({ port: port() })
    })
  }
}

async function main() {
  const sharded = OPTIONS.mode === 'sharded'
  const publisher = await RedisClient.connect(OPTIONS.client, OPTIONS.redis, { label: LABEL, noted })
  const buffers = /^socket\.io-redis-[12]\./.test(ADAPTER)
  const subscriber = await RedisClient.connect(OPTIONS.client, OPTIONS.redis, { buffers, sharded, noted })
  const server = serve(VERSION, { ...OPTIONS.server, adapter: adapterOf(publisher, subscriber) })
  const { io, listener } = server
  const settle = () => (STREAMS ? streamsSettled(io, publisher) : subscriber.settle())
  const port = () => listener.address().port
  const known = calls(io, settle)
  listen(io, port)
  obey({
    call: async (call) => say(await answer(call, ({ name, ...rest }) => known[name](rest))),
    close: () => close(server),
  })
  await settle()
  listener.listen(OPTIONS.port ?? 0, '127.0.0.1', () => console.log(port()))
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
