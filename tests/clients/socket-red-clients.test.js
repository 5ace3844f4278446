'use strict'
// The original clients of socket.red against the gateway that runs the tour.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const WebSocket = require('ws-4')
const { FrameClient, closing } = require('./lib/frame-client')
const { Polyport, ROOT, temporaryFolder } = require('./lib/polyport')
const { until } = require('./lib/wait')

const TOUR = path.join(ROOT, 'docs', 'examples', 'tour.js')
const HI = ['hi', 'A new session has started']
const ACTION = { type: 'ACTION_TYPE', payload: 'Your action data' }

// A call that an original client makes while it is not connected leaves a promise that nobody holds.
process.on('unhandledRejection', () => {})

const VERSIONS = {
  '0.1.14': require('socket.red-client-0.1.14').default,
  '0.1.2': require('socket.red-client-0.1.2'),
}

/** An original client that remembers what happened to it. */
function connect(version, url, options = {}) {
  const seen = { actions: [], events: [], connects: 0, disconnects: [], errors: [] }
  const client = VERSIONS[version]((action) => seen.actions.push(action), options, WebSocket)
  client.on('event', (name, data) => seen.events.push([name, data]))
  client.on('connect', () => (seen.connects += 1))
  client.on('disconnect', (event) => seen.disconnects.push(event?.code ?? event))
  client.on('error', (error) => seen.errors.push({ error, at: Date.now() }))
  client.open(url)
  return { client, seen, call: (name, ...args) => client.rpc(name, args) }
}

const failure = (promise) => promise.then(() => assert.fail('the call worked'), (error) => error.message ?? String(error))

/** Says in the log how its sessions begin and end. */
const DIARY = path.join(temporaryFolder(), 'diary.js')
fs.writeFileSync(
  DIARY,
  `require('socket.red')(0, (url) => {
     console.log('asked for', url)
     return { api: {}, onClose: (code, reason) => console.log('closed', url, code, '<' + reason + '>') }
   })`,
)

const rpc = (backends = ['tour'], more = {}) => ({ protocol: 'ws-rpc', backends, ...more })
const configuration = {
  backends: { tour: { kind: 'script', file: TOUR }, diary: { kind: 'script', file: DIARY } },
  listeners: {
    rpc: rpc(),
    beating: rpc(['diary'], { rpc: { heartbeat: '1s' } }),
    diary: rpc(['diary']),
    validated: rpc(['tour'], { rpc: { validators: true, allow_origins: ['http://page.example'] } }),
    picky: rpc(['tour'], { rpc: { origins: ['http://page.example'] } }),
  },
}

describe('socket.red', () => {
  let gateway
  const url = (target = '/', listener = 'rpc') => `ws://127.0.0.1:${gateway.ports[listener]}${target}`
  const raw = (target = '/', listener = 'rpc', headers = {}) =>
    FrameClient.open({ port: gateway.ports[listener], path: target, headers })

  before(async () => {
    gateway = await Polyport.start(configuration)
  })
  after(() => gateway?.stop())

  for (const version of Object.keys(VERSIONS)) {
    describe(`client ${version}`, () => {
      const open = async (target = '/', options = {}) => {
        const opened = connect(version, url(target), options)
        await until('the client to be connected', () => opened.seen.connects === 1)
        return opened
      }

      test('the start of a session precedes everything', async () => {
        const { client, seen, call } = await open('/token-abc?x=1')
        assert.equal(await call('sum', 1, 1), 2)
        assert.deepEqual(seen.events, [HI])
        assert.deepEqual(seen.actions, [ACTION])
        client.close()
      })

      test('the script is asked with the whole target, before the opening is answered', async () => {
        const { client, seen } = connect(version, url(`/${version}?x=1&y=%20`, 'diary'))
        await until('the client to be connected', () => seen.connects === 1)
        await gateway.logged(new RegExp(`asked for /${version}\\?x=1&y=%20`))
        client.close()
      })

      test('values, promises, errors', async () => {
        const { client, call } = await open()
        assert.equal(await call('clap', 1), 'Clap Clap Clap with 1')
        assert.equal(await call('clap', 6), 'its difficult to clap with so many hands')
        assert.equal(await failure(call('clap', 0)), 'Cannot clap without any hands')
        assert.equal(await failure(call('clap', 21)), 'What kind of a monster are you?')
        assert.equal(await call('sum', 4, 5), 9)
        assert.equal(await failure(call('nosuch', 1)), "Unknown api 'nosuch'")
        assert.deepEqual(await call('obj'), { a: 1, list: [1, 'two', null, true, 3.5] })
        client.close()
      })

      test('answers come when they are ready', async () => {
        const { client, call } = await open()
        const order = []
        const note = (name) => () => order.push(name)
        await Promise.all([
          call('slow', 300, 1).then(note('300')),
          call('slow', 50, 1).then(note('50')),
          call('sum', 1, 1).then(note('sum')),
        ])
        assert.deepEqual(order, ['sum', '50', '300'])
        client.close()
      })

      test('what a call sends precedes its answer', async () => {
        const { client, seen, call } = await open()
        await call('act', 21)
        assert.deepEqual(seen.actions.at(-1), { type: 'ACT', payload: 21 })
        await call('notify', 'bare')
        assert.deepEqual(seen.events.at(-1), ['bare', null])
        client.close()
      })

      test('an action for everybody', async () => {
        const [caller, other] = [await open(), await open()]
        assert.equal(await caller.call('createRecord', 'users', { name: 'Ada' }), 7)
        const expected = { type: 'schema.insert', schema: 'users', payload: { id: 7, name: 'Ada' } }
        assert.deepEqual(caller.seen.actions.at(-1), expected)
        await until('the other to have it', () => other.seen.actions.length === 2)
        assert.deepEqual(other.seen.actions.at(-1), expected)
        caller.client.close()
        other.client.close()
      })

      test('refused with 401, and tried again every three seconds', async () => {
        const { client, seen } = connect(version, url('/unauthorized'))
        await until('three tries', () => seen.errors.length === 3, 12_000)
        assert.equal(seen.connects, 0)
        const gap = seen.errors[2].at - seen.errors[1].at
        assert.ok(gap > 2_500 && gap < 4_000, `${gap} ms`)
        client.close()
      })

      test('closed by the server, and back at once', async () => {
        const { client, seen, call } = await open()
        const closed = Date.now()
        assert.equal(await call('closeSelf'), true)
        await until('a second connection', () => seen.connects === 2)
        assert.ok(Date.now() - closed < 1_000, 'without the pause that follows an error')
        // The older client does not tell the code.
        assert.deepEqual(seen.disconnects, [version === '0.1.14' ? 1005 : undefined])
        assert.equal(await call('sum', 2, 2), 4)
        client.close()
      })

      test('a call that takes longer than the client waits', async () => {
        const { client, seen, call } = await open('/', { responseTimeoutInterval: 300 })
        assert.equal(await failure(call('slow', 700)), 'Response timed out in 300 milliseconds[1]')
        await until('a second connection', () => seen.connects === 2)
        assert.equal(await call('sum', 2, 3), 5)
        client.close()
      })
    })
  }

  test('bad messages are met with silence', async () => {
    const page = await raw()
    await page.nextTexts(2)
    for (const bad of ['not json', '{"a":1}', '"str"', '5', 'null', 'true', '[]', '', '["abc","sum",[4,5]]', '[null,"sum",[]]',
      '[-1,"sum",[4,5]]', '["","sum",[4,5]]', '["0","act",["x"]]', '[0,"nosuch",[]]', '[0,"err",["x"]]']) {
      await page.text(bad)
    }
    await page.text('[9,"sum",[1,1]]')
    assert.equal(await page.nextText(), '[9,true,2]')
    await page.text('[0,"act",["ff"]]')
    assert.equal(await page.nextText(), '[0,{"type":"ACT","payload":"ff"}]')
    page.close()
  })

  test("JavaScript's internals are no APIs", async () => {
    const page = await raw()
    await page.nextTexts(2)
    for (const name of ['toString', 'constructor', '__proto__', 'hasOwnProperty', 'session', 'valueOf']) {
      await page.text(JSON.stringify([2, name, []]))
      assert.equal(await page.nextText(), `[2,false,"Unknown api '${name}'"]`)
    }
    await page.text('[1,"sum",5]')
    assert.equal(await page.nextText(), '[1,false,"CreateListFromArrayLike called on non-object"]')
    page.close()
  })

  test("a client's close frame comes back as it was, and the script is told", async () => {
    for (const [code, reason] of [[4000, 'hi'], [1000, 'bye'], [1001, '']]) {
      const page = await raw(`/close-${code}`, 'diary')
      await page.send('close', closing(code, reason))
      const answer = await page.next()
      assert.deepEqual([answer.kind, answer.code, answer.reason], ['close', code, reason])
      await gateway.logged(new RegExp(`closed /close-${code} ${code} <${reason}>`))
    }
    const page = await raw('/close-empty', 'diary')
    await page.send('close', '')
    assert.equal((await page.next()).payload.length, 0)
    await gateway.logged(/closed \/close-empty 1005 <>/)
    const lost = await raw('/close-lost', 'diary')
    lost.close()
    await gateway.logged(/closed \/close-lost 1006 <>/)
  })

  /** The status line, the content type and the body of an answer to a plain request. */
  const ask = (listener, options = {}) =>
    new Promise((resolve, reject) => {
      const request = http.request({ host: '127.0.0.1', port: gateway.ports[listener], agent: false, ...options }, (response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (part) => (body += part))
        response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }))
      })
      request.on('error', reject)
      request.end()
    })
  const UPGRADE = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  }

  for (const [target, status, body] of [['/unauthorized', 401, 'Unauthorized access'], ['/boom', 500, 'Session store is down']]) {
    test(`${target} is refused with ${status}`, async () => {
      const answer = await ask('rpc', { path: target, headers: UPGRADE })
      assert.equal(answer.status, status)
      assert.equal(answer.body, body)
      assert.equal(answer.headers['content-type'], 'text/html')
      assert.equal(answer.headers.connection, 'close')
      assert.equal(answer.headers['content-length'], String(body.length))
    })
  }

  test('what is no opening', async () => {
    const plain = await ask('rpc')
    assert.deepEqual([plain.status, plain.body, plain.headers['content-type']], [426, 'Upgrade Required', 'text/plain'])
    const { 'sec-websocket-key': _, ...keyless } = UPGRADE
    const malformed = await ask('rpc', { headers: keyless })
    assert.deepEqual([malformed.status, malformed.body], [400, 'Bad Request'])
  })

  test('the first subprotocol is echoed, extensions are not negotiated', async () => {
    const page = await raw('/', 'rpc', { 'Sec-WebSocket-Protocol': 'foo, bar', 'Sec-WebSocket-Extensions': 'permessage-deflate' })
    assert.match(page.answer, /^sec-websocket-protocol: foo\r$/im)
    assert.doesNotMatch(page.answer, /sec-websocket-extensions/i)
    page.close()
  })

  test('validators', async () => {
    const origin = { origin: 'http://page.example' }
    const good = await ask('validated', { path: '/7', headers: origin })
    assert.equal(good.status, 200)
    assert.equal(good.headers['content-type'], 'application/json')
    assert.equal(good.headers['access-control-allow-origin'], 'http://page.example')
    JSON.parse(good.body)
    const refused = await ask('validated', { path: '/unauthorized', headers: origin })
    assert.deepEqual([refused.status, refused.headers['access-control-allow-origin']], [401, 'http://page.example'])
    const foreign = await ask('validated', { path: '/7', headers: { origin: 'http://other.example' } })
    assert.equal(foreign.headers['access-control-allow-origin'], undefined)
  })

  test('openings from other origins than those allowed', async () => {
    assert.equal((await ask('picky', { headers: UPGRADE })).status, 403)
    const page = await raw('/', 'picky', { Origin: 'http://page.example' })
    assert.equal(await page.nextText(), JSON.stringify([-1, ...HI]))
    page.close()
  })

  test('a client that answers pings stays, one that does not is cut without a word', async () => {
    const lively = connect('0.1.14', url('/', 'beating'))
    await until('the client to be connected', () => lively.seen.connects === 1)
    const silent = await raw('/silent', 'beating')
    const ping = await silent.next()
    assert.equal(ping.kind, 'ping')
    await silent.ended()
    assert.equal(silent.parse(), undefined, 'no close frame')
    await gateway.logged(/closed \/silent 1006 <>/)
    assert.equal(lively.seen.connects, 1)
    assert.deepEqual(lively.seen.disconnects, [])
    lively.client.close()
  })
})

describe('a restart under fifty clients', () => {
  for (const version of Object.keys(VERSIONS)) {
    test(`all are back, each once (client ${version})`, async () => {
      const gateway = await Polyport.start(configuration)
      const clients = Array.from({ length: 50 }, () => connect(version, `ws://127.0.0.1:${gateway.ports.rpc}/`))
      await until('fifty connections', () => clients.every(({ seen }) => seen.connects === 1))
      const stopped = Date.now()
      await gateway.stop()
      gateway.exit = null
      gateway.spawn([], {})
      await until('all to be back', () => clients.every(({ seen }) => seen.connects === 2))
      // They come back at once, find nobody, and try again three seconds later.
      assert.ok(Date.now() - stopped < 4_500, `after ${Date.now() - stopped} ms`)
      for (const { client, seen, call } of clients) {
        assert.equal(await call('sum', 1, 1), 2)
        assert.equal(seen.connects, 2)
        client.close()
      }
      await gateway.stop()
    })
  }
})
