'use strict'
// What a Socket.IO client must experience, whoever serves it. Each scenario checks what it can by itself and gives a
// transcript of what the client's application saw, which must be the same on every server.

const assert = require('node:assert/strict')
const { generation } = require('./socket-io')
const { until } = require('./wait')

const HELLO = ['hello', 1, { a: [true, null] }]
const SIGNS = 'é€😀'
const LIMIT = 1_000_000

/** What is too long for a transcript. */
const shortened = (value) => (typeof value === 'string' && value.length > 100 ? `${value[0]} × ${value.length}` : value)
const brief = (transcript) => transcript.map((entry) => entry.map(shortened))

/**
 * Each gets `connect(options)`, which gives a client that is under way, and the client's `version` and `transports`; `most`
 * is how long a text it sends at most.
 */
const SCENARIOS = {
  async 'connecting, and an echo'({ connect, transports }) {
    const client = connect()
    await client.connected()
    assert.deepEqual(await client.exchange('echo', HELLO), HELLO)
    if (transports === 'upgrade') await until('the upgrade', () => client.transport === 'websocket')
    assert.equal(client.transport, transports === 'polling' ? 'polling' : 'websocket')
    assert.deepEqual(await client.exchange('echo', [transports]), [transports])
    client.leave()
    assert.equal(await client.disconnected(), 'io client disconnect')
    return client.transcript
  },

  async 'text beyond ASCII, both ways'({ connect }) {
    const client = connect()
    await client.connected()
    assert.deepEqual(await client.exchange('uni', []), [`${SIGNS}\u2028`])
    assert.deepEqual(await client.exchange('echo', [SIGNS]), [SIGNS])
    // Each alone, and first and last of what one byte of UTF-8 can begin with.
    for (const sign of ['é', 'ÿ', '\u0080', '€', '\u07ff', '\uffff', '😀']) {
      assert.deepEqual(await client.exchange('echo', [sign, { [sign]: sign }]), [sign, { [sign]: sign }])
    }
    return client.transcript
  },

  async 'answers to either side'({ connect }) {
    const client = connect()
    await client.connected()
    assert.deepEqual(await client.ask('ack', 'x', 2), ['x', 2])
    assert.deepEqual(await client.exchange('askme', [], 'got-answer'), ['fine', { n: 1 }])
    assert.deepEqual(client.entries('event', 'question'), [['event', 'question', 'how?', '<callback>']])
    const answers = await Promise.all([1, 2, 3].map((value) => client.ask('ack', value)))
    assert.deepEqual(answers, [[1], [2], [3]])
    return client.transcript
  },

  async 'binary, both ways and in answers'({ connect }) {
    const client = connect({ answer: () => ['as bytes', Buffer.from([9, 8])] })
    await client.connected()
    assert.deepEqual(await client.exchange('sendbin', [], 'bin'), [{ binary: '000102fdfeff' }, { nested: [{ binary: '6869' }] }])
    const up = [Buffer.from([9, 8, 7]), 't', { deep: [Buffer.from([6])] }]
    assert.deepEqual(await client.exchange('echo', up), [{ binary: '090807' }, 't', { deep: [{ binary: '06' }] }])
    assert.deepEqual(await client.ask('ackbin'), [{ binary: '010203' }, { x: { binary: '04' } }])
    assert.deepEqual(await client.ask('ack', Buffer.from([1]), 2), [{ binary: '01' }, 2])
    assert.deepEqual(await client.exchange('askme', [], 'got-answer'), ['as bytes', { binary: '0908' }])
    return client.transcript
  },

  async 'much at once, and much in one'({ connect, most = 900_000 }) {
    const client = connect()
    await client.connected()
    client.emit('burst')
    await client.event('burst', 3)
    assert.deepEqual(client.entries('event', 'burst').map(([, , index]) => index), [0, 1, 2])
    for (const length of [3_000, most]) {
      assert.deepEqual(await client.exchange('big', [length]), ['x'.repeat(length)])
      assert.deepEqual(await client.exchange('echo', ['y'.repeat(length)]), ['y'.repeat(length)])
    }
    const numbers = Array.from({ length: 50 }, (_, index) => index)
    for (const number of numbers) client.emit('echo', 'number', number)
    await until('all numbers', () => client.entries('event', 'echo', 'number').length === numbers.length)
    assert.deepEqual(client.entries('event', 'echo', 'number').map((entry) => entry.at(-1)), numbers)
    return client.transcript
  },

  async 'a message above the limit'({ connect, transports }) {
    const client = connect()
    await client.connected()
    await client.exchange('echo', ['before'])
    if (transports === 'upgrade') await until('the upgrade', () => client.transport === 'websocket')
    client.emit('echo', 'z'.repeat(LIMIT + 1))
    await client.disconnected()
    return client.transcript
  },

  async 'namespaces, and their refusals'({ connect, version }) {
    const client = connect()
    await client.connected()
    const old = generation(version) === 3
    const admin = client.namespace('/admin', old ? { query: 'token=abc' } : { auth: { token: 'abc' } })
    await admin.connected()
    assert.deepEqual(await admin.exchange('echo', ['adm']), ['adm'])
    // Clients before 1.5 cannot give a namespace parameters of its own.
    if (old && version !== '1.4.8') assert.deepEqual(await admin.ask('token'), ['abc'])
    if (!old) assert.deepEqual(await admin.ask('credentials'), [{ token: 'abc' }])
    const refused = {}
    for (const name of ['/private', '/plainerr', '/unknown']) {
      const other = client.namespace(name)
      const [, reason] = await other.saw([old ? 'error' : 'connect_error'])
      refused[name] = reason
      assert.equal(other.isConnected, false)
    }
    assert.deepEqual(refused, old
      ? { '/private': { content: 'Please retry later' }, '/plainerr': 'boom', '/unknown': 'Invalid namespace' }
      : {
          '/private': { message: 'not authorized', data: { content: 'Please retry later' } },
          '/plainerr': { message: 'boom' },
          '/unknown': { message: 'Invalid namespace' },
        })
    assert.deepEqual(await client.exchange('echo', ['still here']), ['still here'])
    return [...client.transcript, ...admin.transcript, ['refused', refused]]
  },

  async 'leaving one namespace of two'({ connect }) {
    const client = connect()
    await client.connected()
    const admin = client.namespace('/admin')
    await admin.connected()
    admin.leave()
    assert.equal(await admin.disconnected(), 'io client disconnect')
    assert.deepEqual(await client.exchange('echo', ['one']), ['one'])
    const again = client.namespace('/admin')
    await again.saw(['connect'])
    assert.deepEqual(await again.exchange('echo', ['two']), ['two'])
    client.leave()
    await client.disconnected()
    assert.deepEqual(await again.exchange('echo', ['three']), ['three'])
    return [...client.transcript, ...admin.transcript, ...again.transcript]
  },

  async 'sent away'({ connect }) {
    const transcripts = []
    for (const event of ['kick', 'kick-close']) {
      const client = connect({ reconnection: true, options: { reconnectionDelay: 1, reconnectionDelayMax: 1 } })
      const witness = connect()
      await Promise.all([client.connected(), witness.connected()])
      client.emit(event)
      const reason = await client.disconnected()
      // A client with threads may see first that the transport has closed behind DISCONNECT.
      assert.ok(reason === 'io server disconnect' || (client.isThreaded && reason === 'transport close'), reason)
      // It would be back sooner.
      for (let count = 0; count < 10; count += 1) await witness.exchange('echo', [count])
      assert.equal(client.isReturning, false)
      assert.equal(client.entries('connect').length, 1)
      transcripts.push(...client.transcript)
    }
    return transcripts
  },

  async 'one namespace of two is ended by the server'({ connect }) {
    const client = connect()
    await client.connected()
    const admin = client.namespace('/admin')
    await admin.connected()
    admin.emit('kick')
    assert.equal(await admin.disconnected(), 'io server disconnect')
    assert.deepEqual(await client.exchange('echo', ['root']), ['root'])
    return [...client.transcript, ...admin.transcript]
  },

  async 'a thousand events during the upgrade'({ connect, transports }) {
    const client = connect({ query: { load: 1 } })
    await client.event('load', 1000)
    const numbers = client.entries('event', 'load').map((entry) => entry[2])
    assert.deepEqual(numbers, Array.from({ length: 1000 }, (_, index) => index))
    if (transports === 'upgrade') await until('the upgrade', () => client.transport === 'websocket')
    return [client.transcript[0], ['loads', numbers.length]]
  },
}

/** Runs a scenario and closes what it has opened. */
async function play(name, { connect, ...context }) {
  const clients = []
  try {
    const transcript = await SCENARIOS[name]({
      ...context,
      connect: (options) => {
        const client = connect(options)
        clients.push(client)
        return client
      },
    })
    return brief(transcript)
  } catch (error) {
    error.message += clients.map((client) => `\n${client.describe()}`).join('')
    throw error
  } finally {
    for (const client of clients) client.close()
  }
}

module.exports = { play, SCENARIOS }
