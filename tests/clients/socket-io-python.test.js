'use strict'
// python-socketio of both generations, with threads and with asyncio, against the npm server of its age and the gateway.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { installPython, PythonClient, VERSIONS } = require('./lib/python-client')
const { TRANSPORTS } = require('./lib/socket-io')
const { play } = require('./lib/socket-io-scenarios')
const { GatewayServer, NpmServer, runs } = require('./lib/socket-io-servers')

const SCENARIOS = [
  'connecting, and an echo',
  'text beyond ASCII, both ways',
  'answers to either side',
  'binary, both ways and in answers',
]
// The older one comes back even when it was told not to.
const LATER = ['sent away']

const CLIENTS = [
  ['threads, generation 4', 4, {}],
  ['asyncio, generation 4', 4, { asynchronous: true }],
  ['threads, generation 3', 3, {}],
]
const NPM = { 3: '2.5.1', 4: '4.8.4' }

/** A transcript without what depends on the client's threads: it may tell of the transport too, or instead, which closes right behind DISCONNECT. */
const heard = (transcript) => transcript.filter((entry) => entry[0] !== 'disconnect')

describe('python-socketio', () => {
  const npm = {}
  let gateway
  before(async () => {
    installPython()
    for (const eio of Object.keys(NPM)) npm[eio] = await NpmServer.start(NPM[eio])
    if (runs('gateway')) gateway = await GatewayServer.start({ listener: { join: ['lobby'] } })
  })
  after(async () => {
    for (const server of [...Object.values(npm), gateway]) await server?.stop()
  })

  for (const [name, eio, options] of CLIENTS) {
    describe(`${VERSIONS[eio]}, ${name}`, () => {
      for (const transports of Object.keys(TRANSPORTS)) {
        for (const scenario of [...SCENARIOS, ...(eio === 4 ? LATER : [])]) {
          test(`${scenario}, ${transports}`, async () => {
            const on = (server) =>
              play(scenario, {
                version: VERSIONS[eio],
                transports,
                connect: (more) => new PythonClient(eio, server.url, { transports, ...options, ...more }),
              })
            const original = heard(await on(npm[eio]))
            if (gateway) assert.deepEqual(heard(await on(gateway)), original)
          })
        }
      }

      const servers = () => [...(runs('npm') ? [npm[eio]] : []), ...(gateway ? [gateway] : [])]

      test('two namespaces, and one that refuses', async () => {
        for (const server of servers()) {
          const client = new PythonClient(eio, server.url, {
            ...options, namespaces: ['/', '/admin'], auth: eio === 4 ? { token: 'abc' } : undefined,
          })
          const admin = client.others['/admin']
          await Promise.all([client.connected(), admin.connected()])
          assert.deepEqual(await admin.exchange('echo', ['adm']), ['adm'])
          if (eio === 4) assert.deepEqual(await admin.ask('credentials'), [{ token: 'abc' }])
          assert.deepEqual(await client.exchange('echo', ['root']), ['root'])
          admin.emit('kick')
          await admin.disconnected()
          assert.deepEqual(await client.exchange('echo', ['still']), ['still'])
          client.close()

          for (const [namespace, refusal] of [
            ['/private', eio === 4 ? { message: 'not authorized', data: { content: 'Please retry later' } } : { content: 'Please retry later' }],
            ['/plainerr', eio === 4 ? { message: 'boom' } : 'boom'],
          ]) {
            const refused = new PythonClient(eio, server.url, { ...options, namespaces: ['/', namespace] })
            assert.deepEqual(await refused.others[namespace].saw(['connect_error']), ['connect_error', refusal])
            refused.close()
          }
        }
      })

      if (runs('gateway')) {
        test('a publish reaches it', async () => {
          const client = new PythonClient(eio, gateway.url, options)
          await client.connected()
          assert.equal(await gateway.publish('lobby', 'news', { n: 1 }, 'é'), 1)
          assert.deepEqual(await client.event('news'), ['event', 'news', { n: 1 }, 'é'])
          client.close()
        })
      }
    })
  }
})
