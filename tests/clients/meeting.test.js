'use strict'
// Two protocols in one room: telnet talks to Pocketsocket pages and they answer, each in its own form.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { FrameClient } = require('./lib/frame-client')
const { LineClient } = require('./lib/line-client')
const { UUID } = require('./lib/mask')
const { Polyport, temporaryFolder } = require('./lib/polyport')
const { verbsListener } = require('./lib/verbs')

const FORM = /^\{"message":\{"n":1\},"room":"lobby","from":"([^"]+)","context":"user","sentAt":(\d{13}),"event":"hello"\}$/

describe('telnet and Pocketsocket pages in one lobby', () => {
  let gateway
  let telnet
  let page

  before(async () => {
    gateway = await Polyport.start({
      listeners: {
        tcp: verbsListener({ join: ['lobby'] }),
        pocket: { protocol: 'ws-channels', join: ['lobby'] },
        other: { protocol: 'ws-channels', join: ['lobby'] },
        mute: { protocol: 'ws-channels', join: ['lobby'], permissions: { publish: [] } },
        elsewhere: verbsListener({ join: ['lobby'], realm: 'elsewhere' }),
      },
    })
    telnet = (name = 'tcp') => LineClient.open({ port: gateway.ports[name] })
    page = (name = 'pocket') => FrameClient.open({ port: gateway.ports[name] })
  })
  after(() => gateway?.stop())

  test('what telnet says reaches the pages of every hub', async () => {
    const speaker = await telnet()
    const pages = [await page(), await page('other')]
    await speaker.send('say lobby hi')
    assert.equal(await speaker.next(), '{"status":"OK","context":"response","data":null,"messageCount":1}')
    assert.match(await speaker.next(), /^\{"message":"hi","room":"lobby","from":"[0-9a-f-]{36}","context":"user","sentAt":\d{13}\}$/)
    for (const one of pages) {
      assert.equal(await one.nextText(), '{"id":null,"message":"lobby.message","data":"hi"}')
      assert.deepEqual(await one.before(), [])
      one.close()
    }
    speaker.close()
  })

  test("what a page signals reaches telnet once, and the page's own hub as it is", async () => {
    const listener = await telnet()
    const [speaker, neighbour, stranger] = [await page(), await page(), await page('other')]
    await speaker.nextText()
    const start = Date.now()
    const text = '{"id":"0.x","message":"lobby.hello","data":{"n":1}}'
    await speaker.text(text)
    const [, from, sentAt] = FORM.exec(await listener.next()) ?? []
    assert.match(from, new RegExp(`^${UUID.source}$`))
    assert.ok(Number(sentAt) >= start - 1000 && Number(sentAt) <= Date.now() + 1000, `sent at ${sentAt}`)
    assert.deepEqual(await listener.before(), [], 'once')

    assert.match(await speaker.nextText(), /"messageId": "0\.x", "socket": "sent"/)
    assert.deepEqual(await speaker.before('s'), [], 'the speaker gets nothing of its own')
    assert.deepEqual(await neighbour.nextTexts(2), [text, '{"id":"s"}'], 'pages of the hub get the text, once')
    const abroad = JSON.parse(await stranger.nextText())
    assert.deepEqual([abroad.message, abroad.data], ['lobby.hello', { n: 1 }], 'pages of another hub in the room hear it too')
    assert.deepEqual(await stranger.before('t'), [])

    await speaker.text('{"id":"0.y","message":"lobby.hello","data":{"n":2}}')
    assert.equal(JSON.parse(await listener.next()).from, from, 'the same sender under the same id')
    for (const client of [listener, speaker, neighbour, stranger]) client.close()
  })

  test('an event named message has no event field', async () => {
    const [listener, speaker] = [await telnet(), await page()]
    await speaker.text('{"id":"0.z","message":"lobby.message","data":"plain"}')
    assert.match(await listener.next(), /^\{"message":"plain","room":"lobby","from":"[0-9a-f-]{36}","context":"user","sentAt":\d{13}\}$/)
    for (const client of [listener, speaker]) client.close()
  })

  test('a room view counts the members of both protocols', async () => {
    const [listener, one] = [await telnet(), await page()]
    await one.before()
    const view = await listener.ask('roomView lobby')
    assert.equal(view.data.membersCount, 2)
    for (const client of [listener, one]) client.close()
  })

  test('other rooms, other realms and the mute hear or say nothing', async () => {
    const [listener, stranger] = [await telnet(), await telnet('elsewhere')]
    const [speaker, mute] = [await page(), await page('mute')]
    await mute.text('{"id":"0.m","message":"lobby.hello","data":1}')
    await mute.before()
    await speaker.text('{"id":"0.n","message":"nowhere.hello","data":1}')
    await speaker.before()
    assert.deepEqual(await listener.before(), [], 'no permission, no room')
    await speaker.text('{"id":"0.o","message":"lobby.hello","data":{"n":1}}')
    assert.match(await listener.next(), FORM)
    assert.deepEqual(await stranger.before(), [], 'a realm of its own')
    for (const client of [listener, stranger, speaker, mute]) client.close()
  })

  test('hub chatter stays in the hub', async () => {
    const listener = await telnet()
    const [a, b] = [await page(), await page()]
    await a.nextText()
    await a.text('no JSON at all')
    await a.text('{"id":1,"message":"no dot"}')
    await a.text('{"id":2}')
    await b.nextTexts(3)
    b.close()
    await a.before()
    assert.deepEqual(await listener.before(), [], 'neither presence nor what names no room')
    for (const client of [listener, a]) client.close()
  })

  test('one encoding per protocol, whatever the number of members', async () => {
    const members = await Promise.all(Array.from({ length: 20 }, () => telnet()))
    const pages = await Promise.all(Array.from({ length: 20 }, () => page('other')))
    for (const one of pages) await one.before(`ready ${one.name}`)
    const counted = async () => {
      const metrics = await gateway.metrics()
      return ['tcp-verbs', 'ws-channels'].map((protocol) => metrics.sum('polyport_encodes_total', { protocol }))
    }
    const start = await counted()
    await members[0].send('say lobby once')
    for (const member of members) {
      for (;;) if ((await member.next()).includes('"message":"once"')) break
    }
    for (const one of pages) {
      for (;;) if ((await one.nextText()).includes('"data":"once"')) break
    }
    const end = await counted()
    assert.deepEqual(end.map((count, index) => count - start[index]), [1, 1])
    for (const client of [...members, ...pages]) client.close()
  })
})

describe('socket.red in the lobby', () => {
  let gateway

  before(async () => {
    const folder = temporaryFolder()
    const file = path.join(folder, 'desk.js')
    fs.writeFileSync(
      file,
      `const polyport = require('polyport')
       require('socket.red')(0, (url) => ({
         user: url.slice(1),
         api: {
           tell: (to, name, data) => { polyport.publish(to, name, data) },
           dispatch: (to, action) => { polyport.dispatch(to, action) },
         },
       }))`,
    )
    gateway = await Polyport.start({
      backends: { desk: { kind: 'script', file } },
      listeners: {
        tcp: verbsListener({ join: ['lobby'] }),
        pocket: { protocol: 'ws-channels', join: ['lobby'] },
        rpc: { protocol: 'ws-rpc', backends: ['desk'], join: ['lobby'] },
      },
    })
  })
  after(() => gateway?.stop())

  const open = async () => ({
    telnet: await LineClient.open({ port: gateway.ports.tcp }),
    page: await FrameClient.open({ port: gateway.ports.pocket }),
    rpc: await FrameClient.open({ port: gateway.ports.rpc, path: '/7' }),
  })

  test('what telnet and a page say arrives as events', async () => {
    const { telnet, page, rpc } = await open()
    await telnet.send('say lobby hi')
    assert.equal(await rpc.nextText(), '[-1,"message","hi"]')
    assert.equal(await page.nextText(), '{"id":null,"message":"lobby.message","data":"hi"}')
    await page.text('{"id":"1","message":"lobby.action","data":{"type":"WAVE"}}')
    assert.equal(await rpc.nextText(), '[0,{"type":"WAVE"}]')
  })

  test('one publish of a script reaches all three, before its own answer', async () => {
    const { telnet, page, rpc } = await open()
    await rpc.text('[1,"tell",[{"room":"lobby"},"news",{"n":1}]]')
    assert.deepEqual(await rpc.nextTexts(2), ['[-1,"news",{"n":1}]', '[1,true,null]'])
    assert.equal(await page.nextText(), '{"id":null,"message":"lobby.news","data":{"n":1}}')
    assert.match(
      await telnet.next(),
      /^\{"message":\{"n":1\},"room":"lobby","from":0,"context":"api","sentAt":\d{13},"event":"news"\}$/,
    )
    await rpc.text('[2,"dispatch",[{"everyone":true},{"type":"ALL"}]]')
    assert.deepEqual(await rpc.nextTexts(2), ['[0,{"type":"ALL"}]', '[2,true,null]'])
  })

  test('a user whom the script names is reached by name', async () => {
    const { rpc, page } = await open()
    await rpc.text('[1,"tell",[{"user":"7"},"mail",1]]')
    const texts = []
    while (!texts.includes('[1,true,null]')) texts.push(await rpc.nextText())
    assert.ok(texts.includes('[-1,"mail",1]'), texts.join('\n'))
    assert.deepEqual(await page.before(), [], 'nobody else hears of it')
  })
})

describe('SocketCluster in the lobby', () => {
  let gateway

  before(async () => {
    const file = path.join(temporaryFolder(), 'desk.js')
    fs.writeFileSync(
      file,
      `const polyport = require('polyport')
       require('socket.red')(0, () => ({ api: { tell: (to, name, ...data) => { polyport.publish(to, name, ...data) } } }))`,
    )
    gateway = await Polyport.start({
      backends: { desk: { kind: 'script', file } },
      listeners: {
        tcp: verbsListener({ join: ['lobby'] }),
        pocket: { protocol: 'ws-channels', join: ['lobby'] },
        rpc: { protocol: 'ws-rpc', backends: ['desk'], join: ['lobby'] },
        cluster: { protocol: 'devtools-relay', devtools: { protocol_version: 2 } },
        old: { protocol: 'devtools-relay', join: ['lobby'], devtools: { protocol_version: 1 } },
      },
    })
  })
  after(() => gateway?.stop())

  /** A client that has shaken hands and, if it is to, has subscribed. */
  const cluster = async (name, channel) => {
    const client = await FrameClient.open({ port: gateway.ports[name], path: '/socketcluster/' })
    await client.text('{"event":"#handshake","cid":1}')
    await client.nextText()
    if (channel) {
      await client.text(JSON.stringify({ event: '#subscribe', data: { channel }, cid: 2 }))
      assert.equal(await client.nextText(), '{"rid":2}')
    }
    return client
  }

  /** A page that is in its hub: the opening is answered a moment before. */
  const hub = async () => {
    const page = await FrameClient.open({ port: gateway.ports.pocket })
    await page.before()
    return page
  }

  const open = async () => ({
    telnet: await LineClient.open({ port: gateway.ports.tcp }),
    page: await hub(),
    rpc: await FrameClient.open({ port: gateway.ports.rpc }),
    sc: await cluster('cluster', 'lobby'),
    old: await cluster('old'),
  })

  const published = (data) => `{"event":"#publish","data":{"channel":"lobby","data":${data}}}`

  test('what the others say arrives in the channel, subscribed or joined', async () => {
    const { telnet, page, rpc, sc, old } = await open()
    await telnet.send('say lobby hi')
    for (const client of [sc, old]) assert.equal(await client.nextText(), published('"hi"'))
    await page.text('{"id":"1","message":"lobby.hello","data":{"n":1}}')
    for (const client of [sc, old]) assert.equal(await client.nextText(), published('{"event":"hello","data":{"n":1}}'))
    await rpc.text('[1,"tell",["lobby","news",1,[2]]]')
    for (const client of [sc, old]) assert.equal(await client.nextText(), published('{"event":"news","data":[1,[2]]}'))
    await rpc.text('[2,"tell",["lobby","bare"]]')
    for (const client of [sc, old]) assert.equal(await client.nextText(), published('{"event":"bare"}'))
    for (const client of [telnet, page, rpc, sc, old]) client.close()
  })

  test('what is published there reaches everybody in his own form', async () => {
    const { telnet, page, rpc, sc, old } = await open()
    await sc.text('{"event":"#publish","data":{"channel":"lobby","data":{"n":1}},"cid":3}')
    assert.deepEqual(await sc.nextTexts(2), ['{"rid":3}', published('{"n":1}')])
    assert.equal(await old.nextText(), published('{"n":1}'))
    assert.equal(await rpc.nextText(), '[-1,"message",{"n":1}]')
    assert.match(await telnet.next(), /^\{"message":\{"n":1\},"room":"lobby","from":"[0-9a-f-]{36}","context":"user","sentAt":\d{13}\}$/)
    assert.equal(await page.nextText(), '{"id":null,"message":"lobby.message","data":{"n":1}}')
    for (const client of [telnet, page, rpc, sc, old]) client.close()
  })
})
