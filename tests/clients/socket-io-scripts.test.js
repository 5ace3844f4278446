'use strict'
// What a script has to do with the namespaces of Socket.IO clients: how many there may be, what it is told of each, and how
// they end. The clients are raw, so that every packet shows.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const jwt = require('jsonwebtoken')
const { connectedSocket, openSocket, Polling } = require('./lib/engine-io')
const { LineClient } = require('./lib/line-client')
const { Polyport, temporaryFolder } = require('./lib/polyport')

const SECRET = 'a secret of these tests that is long enough'
const GENERATIONS = [3, 4]
const NAMESPACES = 16

const APPLICATION = path.join(temporaryFolder(), 'application.js')
fs.writeFileSync(
  APPLICATION,
  `const polyport = require('polyport')
   require('socket.red')(0, (url, headers, origin, isTls, { namespace }) => {
     const query = url.slice(url.indexOf('?'))
     const session = {
       api: {
         url: () => query,
         leave() {
           session.emit('going')
           session.leave()
           return 'gone'
         },
         leaveAll() {
           session.leave()
           session.close()
         },
         ask: (name) => session.ask(name).catch((error) => error.message),
         several: () => polyport.args({ first: 1 }, new Uint8Array([1])),
       },
       onClose: (code) => console.log('closed', namespace, /name=([^&]*)/.exec(query)?.[1], code),
     }
     return session
   })
   exports.several = { name: 'several', run: async () => polyport.args({ first: 1 }, new Uint8Array([1])) }`,
)

const MODERATOR = path.join(temporaryFolder(), 'moderator.js')
fs.writeFileSync(
  MODERATOR,
  `require('socket.red')(0, () => ({ api: {} }))
   exports.onPublish = (session, room, event, [text]) =>
     new Promise((resolve) => setTimeout(resolve, text === 'slow' ? 50 : 0, text === 'rude' ? 'not in here' : true))`,
)

test('a script is asked before an event is published, and the order is kept', async () => {
  const socket_io = { publish: [{ event: 'chat', rooms: ['lobby'], as: 'said' }] }
  const gateway = await Polyport.start({
    backends: { moderator: { kind: 'script', file: MODERATOR } },
    listeners: { io: { protocol: 'socket-io', backends: ['moderator'], join: ['lobby'], socket_io } },
  })
  try {
    const [speaker, hearer] = [await connectedSocket(gateway.ports.io), await connectedSocket(gateway.ports.io)]
    for (const [id, word] of ['slow', 'rude', 'quick'].entries()) await speaker.text(`42${id}["chat","${word}"]`)
    const said = (word) => `42["said","${word}"]`
    for (const expected of [said('slow'), '430[]', '431[{"error":"not in here"}]', said('quick'), '432[]']) {
      assert.equal(await speaker.nextText(), expected)
    }
    for (const expected of [said('slow'), said('quick')]) assert.equal(await hearer.nextText(), expected)
  } finally {
    await gateway.stop()
  }
})

test('of more events than may wait for a script each is answered, none is lost without a word', async () => {
  const socket_io = { publish: [{ event: 'chat', rooms: ['lobby'] }] }
  const gateway = await Polyport.start({
    backends: { moderator: { kind: 'script', file: MODERATOR } },
    listeners: { io: { protocol: 'socket-io', backends: ['moderator'], join: ['lobby'], socket_io } },
  })
  try {
    const COUNT = 400
    const [speaker, hearer] = [await connectedSocket(gateway.ports.io), await connectedSocket(gateway.ports.io)]
    // They are read faster than the script answers.
    await Promise.all(Array.from({ length: COUNT }, (_, id) => speaker.text(`42${id}["chat","slow"]`)))
    const answers = []
    let heard = 0
    while (answers.length < COUNT) {
      const text = await speaker.nextText()
      if (text.startsWith('43')) answers.push(/^43\d+(.*)$/.exec(text)[1])
      else heard += 1
    }
    const refused = answers.filter((answer) => answer !== '[]')
    assert.ok(refused.length > 0, 'the script kept up; more events are needed')
    assert.ok(refused.every((answer) => /^\[\{"error":"[^"]+"\}\]$/.test(answer)), refused[0])
    assert.equal(heard, COUNT - refused.length)
    for (let count = 0; count < heard; count += 1) await hearer.nextText()
  } finally {
    await gateway.stop()
  }
})

test('namespaces that nobody is in any more leave nothing behind', async () => {
  const gateway = await Polyport.start({
    listeners: { io: { protocol: 'socket-io', socket_io: { namespaces: ['/room-*'] } } },
  })
  try {
    const client = await connectedSocket(gateway.ports.io)
    for (let number = 0; number < 500; number += 1) {
      await client.text(`40/room-${number},`)
      await client.nextText()
      await client.text(`41/room-${number},`)
    }
    const series = [...(await gateway.metrics()).text.matchAll(/^polyport_rooms\{realm="[^"]*room-/gm)]
    assert.ok(series.length <= 1, `${series.length} realms are left`)
    client.close()
  } finally {
    await gateway.stop()
  }
})

describe('scripts and namespaces', () => {
  let gateway
  let ports

  before(async () => {
    const socket_io = { namespaces: ['/admin', '/room-*'] }
    gateway = await Polyport.start(
      {
        tokens: { main: { keys: [{ algorithm: 'HS256', secret: 'env:TEST_SECRET' }] } },
        backends: { application: { kind: 'script', file: APPLICATION } },
        listeners: {
          io: { protocol: 'socket-io', backends: ['application'], socket_io },
          login: { protocol: 'socket-io', backends: ['application'], auth: { tokens: 'main', required: true }, socket_io },
          tcp: { protocol: 'tcp-verbs', backends: ['application'] },
        },
      },
      { env: { TEST_SECRET: SECRET } },
    )
    ;({ ports } = gateway)
  })
  after(() => gateway?.stop())

  const joined = (eio, text, namespace) => {
    if (eio === 3) assert.equal(text, `40${namespace},`)
    else assert.match(text, new RegExp(`^40${namespace},\\{"sid":"[\\w-]{20}"\\}$`))
  }

  for (const eio of GENERATIONS) {
    describe(`generation ${eio}`, () => {
      test('a client has up to sixteen namespaces, `/` among them', async () => {
        const client = await connectedSocket(ports.io, { eio })
        for (let number = 1; number < NAMESPACES; number += 1) {
          await client.text(`40/room-${number},`)
          joined(eio, await client.nextText(), `/room-${number}`)
        }
        await client.text('40/room-more,')
        const refusal = eio === 3 ? '"Invalid namespace"' : '{"message":"Invalid namespace"}'
        assert.equal(await client.nextText(), `44/room-more,${refusal}`)
        await client.text('41/room-1,')
        await client.text('40/room-more,')
        joined(eio, await client.nextText(), '/room-more')
        client.close()
      })

      test('a namespace ends after what was said before; it may be joined again, and the others go on', async () => {
        const client = await connectedSocket(ports.io, { eio, query: `&name=end-${eio}` })
        await client.text('40/admin,')
        joined(eio, await client.nextText(), '/admin')
        await client.text('42/admin,7["leave"]')
        assert.deepEqual(
          [await client.nextText(), await client.nextText(), await client.nextText()],
          ['42/admin,["going"]', '43/admin,7["gone"]', '41/admin,'],
        )
        await gateway.logged(new RegExp(`closed /admin end-${eio} 1005`))
        await client.text('40/admin,')
        joined(eio, await client.nextText(), '/admin')
        await client.text('420["leave"]')
        assert.deepEqual([await client.nextText(), await client.nextText(), await client.nextText()], ['42["going"]', '430["gone"]', '41'])
        await client.text('42/admin,0["url"]')
        assert.match(await client.nextText(), /^43\/admin,0\["\?/)
        client.close()
      })

      test('the same by polling', async () => {
        const client = await Polling.connected(ports.io, { eio })
        await client.send('40/admin,')
        joined(eio, (await client.packets(1))[0], '/admin')
        await client.send('42/admin,7["leave"]')
        assert.deepEqual(await client.packets(3), ['42/admin,["going"]', '43/admin,7["gone"]', '41/admin,'])
        await client.send('420["url"]')
        assert.match((await client.packets(1))[0], /^430\["\?/)
        client.close()
      })

      test('a connection that is closed says so in each namespace once', async () => {
        const client = await connectedSocket(ports.io, { eio })
        await client.text('40/admin,')
        joined(eio, await client.nextText(), '/admin')
        await client.text('42/admin,["leaveAll"]')
        const farewells = []
        for (;;) {
          const { kind, text } = await client.next()
          if (kind === 'close') break
          farewells.push(text)
        }
        assert.deepEqual(farewells.sort(), ['41', '41/admin,'])
        client.close()
      })

      test('a question is answered with all arguments, or fails when its namespace is left', async () => {
        const client = await connectedSocket(ports.io, { eio })
        await client.text('420["ask","who"]')
        assert.equal(await client.nextText(), '420["who"]')
        await client.text('430["me",{"n":1}]')
        assert.equal(await client.nextText(), '430[["me",{"n":1}]]')
        await client.text('421["ask","disconnect"]')
        assert.equal(await client.nextText(), '431["the client went without an answer"]')
        client.close()
      })
    })
  }

  test('what stands behind the name of a namespace is in front of the connection\'s query', async () => {
    const client = await connectedSocket(ports.io, { eio: 3, query: '&name=whole' })
    await client.text('40/admin?token=abc&x=%20,')
    assert.equal(await client.nextText(), '40/admin,')
    await client.text('42/admin,0["url"]')
    assert.equal(await client.nextText(), '43/admin,0["?token=abc&x=%20&EIO=3&transport=websocket&name=whole"]')
    client.close()
  })

  test('it is still there after a login', async () => {
    const client = await openSocket(ports.login, { eio: 3 })
    assert.equal(await client.nextText(), '40')
    await client.text('40/admin?who=abc,')
    assert.equal(await client.nextText(), '40/admin,')
    const token = jwt.sign({ id: 7 }, SECRET, { expiresIn: '1h' })
    await client.text(`42/admin,["authenticate",{"token":"${token}"}]`)
    assert.equal(await client.nextText(), '42/admin,["authenticated"]')
    await client.text('42/admin,0["url"]')
    assert.equal(await client.nextText(), '43/admin,0["?who=abc&EIO=3&transport=websocket"]')
    client.close()
  })

  test('of an answer of several arguments telnet gets the first', async () => {
    const telnet = await LineClient.open({ port: ports.tcp })
    const { first, context } = await telnet.ask('several')
    assert.deepEqual([first, context], [1, 'response'])
    telnet.close()
  })
})
