'use strict'
// Drives one of the original Actionhero clients through everything it can do and prints one JSON line per result:
//   HOST=… PORT=… SECURE=yes|no node drive-client.js 4|6|8
// A process of its own, because a private authority is made known to these clients only by NODE_EXTRA_CA_CERTS.

const { promisify } = require('node:util')

const VERSION = process.argv[2]
const ADDRESS = { host: process.env.HOST, port: Number(process.env.PORT), secure: process.env.SECURE === 'yes' }

const print = (what, value) => process.stdout.write(`${JSON.stringify({ what, ...value })}\n`)

/** All three under one face: `call(method, …)` gives `{ error, data }`. */
const CLIENTS = {
  4: () => {
    const Client = require('actionhero-client-4')
    const client = new Client()
    const call = (method, ...args) =>
      new Promise((resolve) => client[method](...args, (error, data) => resolve({ error: error ? String(error) : null, data })))
    return { client, call, connect: () => promisify(client.connect.bind(client))(ADDRESS) }
  },
  6: () => promising(require('actionhero-client-6')),
  8: () => promising(require('actionhero-node-client').default),
}

function promising(Client) {
  const client = new Client()
  const call = async (method, ...args) => {
    const result = await client[method](...args)
    const { error, data } = method === 'detailsView' ? { error: null, data: result } : result
    return { error: error ? String(error) : null, data }
  }
  return { client, call, connect: () => client.connect(ADDRESS) }
}

const CALLS = [
  ['paramAdd', 'key', 'aKey'],
  ['paramAdd', 'value', 'aValue'],
  ['paramView', 'key'],
  ['paramsView'],
  ['action', 'cacheTest'],
  ['actionWithParams', 'cacheTest', { key: 'other', value: 'otherValue' }],
  ['paramDelete', 'key'],
  ['paramsDelete'],
  ['action', 'cacheTest'],
  ['action', 'randomNumber'],
  ['action', 'noSuchAction'],
  ['detailsView'],
  ['roomAdd', 'defaultRoom'],
  ['roomView', 'defaultRoom'],
  ['say', 'defaultRoom', 'hello from the client'],
  ['roomLeave', 'defaultRoom'],
  ['roomLeave', 'defaultRoom'],
  ['roomAdd', 'noSuchRoom'],
]

async function main() {
  const { client, call, connect } = CLIENTS[VERSION]()
  const said = new Promise((resolve) => client.once('say', resolve))
  client.on('welcome', (welcome) => print('welcome', { welcome }))
  client.on('error', (error, line) => print('client error', { error: String(error), line }))
  client.on('timeout', (...args) => print('timeout', { args: args.map(String) }))
  const ended = new Promise((resolve) => client.once('end', resolve))

  await connect()
  print('details', { details: client.details })
  for (const [method, ...args] of CALLS) print('call', { method, args, ...(await call(method, ...args)) })
  print('say', { message: (await said).message })

  const answered = []
  const sleep = async (duration) => {
    await call('actionWithParams', 'sleepTest', { sleepDuration: duration })
    answered.push(duration)
  }
  if (VERSION !== '8') {
    await Promise.all([sleep(400), sleep(10)])
    print('order', { answered })
  }

  client.disconnect()
  await ended
  print('ended', {})
}

main().then(
  () => process.exit(0),
  (error) => {
    print('failed', { error: String(error?.stack ?? error) })
    process.exit(1)
  },
)
