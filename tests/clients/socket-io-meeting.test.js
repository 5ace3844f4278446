'use strict'
// Socket.IO clients of every age in one room with telnet, Pocketsocket pages and socket.red.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { connectedSocket, Polling } = require('./lib/engine-io')
const { FrameClient } = require('./lib/frame-client')
const { LineClient } = require('./lib/line-client')
const { connect, TRANSPORTS, VERSIONS } = require('./lib/socket-io')
const { GatewayServer } = require('./lib/socket-io-servers')
const { verbsListener } = require('./lib/verbs')
const { until } = require('./lib/wait')

process.on('unhandledRejection', () => {})

describe('the lobby', () => {
  let server
  let telnet
  let page
  let rpc
  let clients

  before(async () => {
    server = await GatewayServer.start({
      socketIo: { publish: [{ event: 'chat', rooms: ['lobby'] }] },
      listener: { join: ['lobby'] },
      listeners: {
        tcp: verbsListener({ join: ['lobby'] }),
        pocket: { protocol: 'ws-channels', join: ['lobby'] },
        rpc: { protocol: 'ws-rpc', backends: ['builtin'], join: ['lobby'] },
      },
    })
    const { ports } = server.gateway
    telnet = await LineClient.open({ port: ports.tcp })
    page = await FrameClient.open({ port: ports.pocket })
    rpc = await FrameClient.open({ port: ports.rpc })
    await page.before()
    clients = VERSIONS.flatMap((version) => Object.keys(TRANSPORTS).map((transports) => connect(version, server.url, { transports })))
    for (const client of clients) await client.connected()
  })
  after(async () => {
    for (const client of clients ?? []) client.close()
    await server?.stop()
  })

  /** What every Socket.IO client has got of an event, once each has answered something later. */
  const heard = async (name, count) => {
    for (const client of clients) await client.event(name, count)
    for (const client of clients) await client.exchange('echo', ['barrier'])
    return clients.map((client) => client.entries('event', name).map((entry) => entry.slice(2)))
  }

  test('one publish reaches all of them, once, each in its own form', async () => {
    assert.equal(await server.publish('lobby', 'news', { n: 1 }, 'é'), clients.length + 3)
    for (const one of await heard('news', 1)) assert.deepEqual(one, [[{ n: 1 }, 'é']])
    assert.match(
      await telnet.next(),
      /^\{"message":\[\{"n":1\},"é"\],"room":"lobby","from":0,"context":"api","sentAt":\d{13},"event":"news"\}$/,
    )
    assert.equal(await page.nextText(), '{"id":null,"message":"lobby.news","data":[{"n":1},"é"]}')
    assert.equal(await rpc.nextText(), '[-1,"news",[{"n":1},"é"]]')
    assert.deepEqual([await telnet.before(), await page.before()], [[], []])
  })

  test('what telnet and a page say arrives as events', async () => {
    await telnet.ask('say lobby hi')
    await telnet.next()
    await page.text('{"id":"1","message":"lobby.message","data":{"n":2}}')
    for (const one of await heard('message', 2)) assert.deepEqual(one, [['hi'], [{ n: 2 }]])
  })

  test('what a Socket.IO client says goes to the lobby, binary kept where it can be', async () => {
    await telnet.before()
    await page.before()
    for (const speaker of [clients[0], clients.at(-1)]) speaker.emit('chat', 'bytes', Buffer.from([0, 255]))
    for (const one of await heard('chat', 2)) {
      assert.deepEqual(one, [['bytes', { binary: '00ff' }], ['bytes', { binary: '00ff' }]])
    }
    const line = JSON.parse(await telnet.next())
    assert.deepEqual([line.event, line.message], ['chat', ['bytes', { base64: true, data: 'AP8=' }]])
    assert.equal(await page.nextText(), '{"id":null,"message":"lobby.chat","data":["bytes",{"base64":true,"data":"AP8="}]}')
  })

  test("a client's id is a room with nobody else in it", async () => {
    for (const client of clients) {
      assert.equal(await server.publish(client.id, 'bin', client.version), 1, client.version)
      assert.deepEqual(await client.event('bin'), ['event', 'bin', client.version])
    }
    for (const client of clients) assert.equal(client.entries('event', 'bin').length, 1)
    const [spared] = clients
    const to = { rooms: ['lobby'], except: [spared.id] }
    assert.equal((await server.api('publish', { to, event: 'uni', args: [] })).sessions, clients.length + 2)
    assert.deepEqual(await spared.exchange('echo', ['barrier']), ['barrier'])
    assert.deepEqual(spared.entries('event', 'uni'), [])
    await telnet.before()
    await page.before()
  })

  test('an event that nobody knows and that goes nowhere is nothing', async () => {
    clients[0].emit('no such event', 1)
    assert.deepEqual(await clients[0].exchange('echo', ['alive']), ['alive'])
    assert.deepEqual(await telnet.before().then((lines) => lines.filter((line) => line.includes('no such'))), [])
  })
})

test('what is volatile is for those who can hear it at once', async () => {
  const server = await GatewayServer.start({ listener: { join: ['lobby'] } })
  try {
    const publish = async (n) => (await server.api('publish', { to: { room: 'lobby' }, event: 'position', args: [n], volatile: true })).sessions
    const polling = await Polling.connected(server.port)
    const socket = await connectedSocket(server.port)
    assert.equal(await publish(0), 1, 'the one that polls is between two polls')
    const poll = polling.poll()
    let last = 0
    await until('its poll to wait', async () => {
      last += 1
      return (await publish(last)) === 2
    })
    assert.deepEqual(await poll, [`42["position",${last}]`])
    for (let n = 0; n <= last; n += 1) assert.equal(await socket.nextText(), `42["position",${n}]`)
    assert.equal(await publish(last + 1), 1)
    await server.publish('lobby', 'news', 1)
    assert.deepEqual(await polling.poll(), ['42["news",1]'])
    polling.close()
    socket.close()
  } finally {
    await server.stop()
  }
})
