'use strict'
// The original client with its own validator in a real browser: the only way to make it stop trying.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { Browser } = require('./lib/browser')
const { Polyport, ROOT, temporaryFolder } = require('./lib/polyport')
const { until } = require('./lib/wait')

const PAGE = `
  import createSocket, { XHRValidator, ValidationError } from 'socket.red-client-0.1.14'
  window.connect = (url) => {
    const seen = { connects: [], errors: [], actions: [], events: [], disconnects: 0 }
    const client = createSocket((action) => seen.actions.push(action), {}, WebSocket, undefined, XHRValidator)
    client.on('connect', (session) => seen.connects.push(session))
    client.on('disconnect', () => (seen.disconnects += 1))
    client.on('event', (name, data) => seen.events.push([name, data]))
    client.on('error', (error) => seen.errors.push({ isFinal: error instanceof ValidationError, text: error.message }))
    client.open(url)
    return { client, seen }
  }
`

const JANE = { id: 5, name: 'Jane', role: 'Cashier' }

describe('socket.red in Chromium, with its validator', () => {
  let gateway
  let browser

  before(async () => {
    browser = await Browser.start(PAGE)
    const file = path.join(temporaryFolder(), 'validated.js')
    fs.writeFileSync(
      file,
      `require('socket.red')(0, (url) => url === '/unauthorized' ? null : {
         public: ${JSON.stringify(JANE)},
         api: { sum: (a, b) => a + b },
       })`,
    )
    const rpc = (backend, settings = {}) => ({ protocol: 'ws-rpc', backends: [backend], rpc: settings })
    gateway = await Polyport.start({
      backends: {
        people: { kind: 'script', file },
        tour: { kind: 'script', file: path.join(ROOT, 'docs', 'examples', 'tour.js') },
      },
      listeners: {
        validated: rpc('people', { validators: true }),
        ours: rpc('people', { validators: true, allow_origins: [browser.origin], origins: [browser.origin] }),
        theirs: rpc('people', { validators: true, allow_origins: ['http://other.example'] }),
        tour: rpc('tour', { validators: true }),
        standalone: rpc('tour'),
      },
    })
  })
  after(async () => {
    await browser?.stop()
    await gateway?.stop()
  })

  /** A page with a client under way; `seen` gives what it has seen so far. */
  const open = async (listener, target) => {
    const page = await browser.page()
    await page.evaluate((url) => { window.one = window.connect(url) }, `ws://127.0.0.1:${gateway.ports[listener]}${target}`)
    return {
      seen: () => page.evaluate(() => window.one.seen),
      rpc: (name, ...args) => page.evaluate((...all) => window.one.client.rpc(all[0], all[1]), name, args),
      close: () => page.close(),
    }
  }
  const connected = (page) => until('a connection', async () => (await page.seen()).connects.length === 1)

  for (const listener of ['validated', 'ours']) {
    test(`a session that is good: the connect event carries its public data (${listener})`, async () => {
      const page = await open(listener, '/token-abc')
      await connected(page)
      const seen = await page.seen()
      assert.deepEqual(seen.connects, [JANE])
      assert.deepEqual(seen.errors, [])
      assert.equal(await page.rpc('sum', 4, 5), 9)
      await page.close()
    })
  }

  test('a session without public data: an empty object, events and actions as ever', async () => {
    const page = await open('tour', '/7')
    await connected(page)
    assert.equal(await page.rpc('sum', 1, 1), 2)
    const seen = await page.seen()
    assert.deepEqual(seen.connects, [{}])
    assert.deepEqual(seen.events, [['hi', 'A new session has started']])
    assert.deepEqual(seen.actions, [{ type: 'ACTION_TYPE', payload: 'Your action data' }])
    await page.close()
  })

  test('a dead session is tried once, everything else for ever', async () => {
    const dead = await open('validated', '/unauthorized')
    const others = [await open('standalone', '/7'), await open('theirs', '/7')]
    await until('the others to have come three times', async () => {
      for (const other of others) if ((await other.seen()).errors.length < 3) return false
      return true
    }, 20_000)
    const seen = await dead.seen()
    assert.deepEqual(seen.errors, [{ isFinal: true, text: 'Unauthorized access/Invalid session' }])
    assert.deepEqual(seen.connects, [])
    assert.equal(
      await gateway.counted('polyport_connections_refused_total', { listener: 'validated' }, () => true), 1,
      'and the gateway heard of it once',
    )
    const url = (listener) => `http://127.0.0.1:${gateway.ports[listener]}/7`
    // 426 without a permission for the page, and a 200 that the page may not read, are the same to the page.
    for (const [index, listener] of ['standalone', 'theirs'].entries()) {
      const { errors, connects } = await others[index].seen()
      assert.deepEqual(connects, [])
      for (const error of errors) assert.deepEqual(error, { isFinal: false, text: `Could not validate ${url(listener)}. Got 0-` })
    }
    for (const page of [dead, ...others]) await page.close()
  })
})
