'use strict'
// Every original client, on every transport, against the npm server of its age and against the gateway: what its
// application sees must be the same.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { connect, TRANSPORTS, VERSIONS } = require('./lib/socket-io')
const { expected } = require('./lib/socket-io-deviations')
const { play, SCENARIOS } = require('./lib/socket-io-scenarios')
const { GatewayServer, NpmServer, runs, SERVER_OF } = require('./lib/socket-io-servers')

const NPM = { '1.7.4': {}, '2.5.1': {}, '4.8.4': {} }
const LIMITS = { server: { maxHttpBufferSize: 1_000_000 } }

/** The versions that this run is about: all, or those in SOCKET_IO_CLIENTS. */
const CLIENTS = process.env.SOCKET_IO_CLIENTS?.split(',') ?? VERSIONS

/** Version 1.7.4 of the server knows no limit on WebSocket. */
const originalOf = (scenario, client) =>
  scenario === 'a message above the limit' && SERVER_OF(client) === '1.7.4' ? '2.5.1' : SERVER_OF(client)

// The older clients leave promises and sockets behind when they are closed under way.
process.on('unhandledRejection', () => {})

describe('Socket.IO clients', () => {
  let gateway

  before(async () => {
    if (runs('gateway')) gateway = await GatewayServer.start()
    for (const version of Object.keys(NPM)) NPM[version] = await NpmServer.start(version, LIMITS)
  })
  after(async () => {
    for (const server of Object.values(NPM)) await server.stop?.()
    await gateway?.stop()
  })

  for (const version of CLIENTS) {
    for (const transports of Object.keys(TRANSPORTS)) {
      describe(`${version}, ${transports}`, () => {
        for (const name of Object.keys(SCENARIOS)) {
          test(name, async () => {
            const context = { version, transports }
            const on = (server) =>
              play(name, { ...context, connect: (options) => connect(version, server.url, { transports, ...options }) })
            const original = await on(NPM[originalOf(name, version)])
            if (gateway) assert.deepEqual(await on(gateway), expected(name, context, original))
          })
        }
      })
    }
  }
})

describe('a restart under clients of all ages', () => {
  const servers = []
  if (runs('npm')) servers.push(...Object.keys(NPM).map((version) => [`socket.io ${version}`, () => NpmServer.start(version)]))
  if (runs('gateway')) servers.push(['the gateway', () => GatewayServer.start()])

  for (const [name, start] of servers) {
    test(`${name}: each is told why, and is back within five seconds`, async () => {
      const server = await start()
      const versions = CLIENTS.filter((version) => server.kind === 'gateway' || SERVER_OF(version) === server.version)
      const clients = versions.flatMap((version) =>
        Object.keys(TRANSPORTS).map((transports) => connect(version, server.url, { transports, reconnection: true })),
      )
      try {
        for (const client of clients) await client.connected()
        // An answer shows that nothing of the opening is under way any more.
        for (const client of clients) await client.exchange('echo', ['before'])
        const stopped = Date.now()
        await server.restart()
        for (const client of clients) await client.connected(2)
        assert.ok(Date.now() - stopped < 5_000, `after ${Date.now() - stopped} ms`)
        for (const client of clients) {
          assert.equal(await client.disconnected(), 'transport close', client.describe())
          assert.deepEqual(await client.exchange('echo', ['after']), ['after'])
        }
      } finally {
        for (const client of clients) client.close()
        await server.stop()
      }
    })
  }
})
