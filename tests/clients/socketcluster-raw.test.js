'use strict'
// SocketCluster's packets, frame by frame: both generations pinned, and the one listener that finds out which it speaks with.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const jwt = require('jsonwebtoken')
const { FrameClient, closing } = require('./lib/frame-client')
const { Polyport, ROOT, temporaryFolder } = require('./lib/polyport')
const { until } = require('./lib/wait')

const KEY = 'polyport-test-key'
const PATH = '/socketcluster/'
const SILENT = (verb) => [
  `{"message":"Action was silently blocked by ${verb} middleware","name":"SilentMiddlewareBlockedError","type":"${verb}"}`,
  `{"message":"The ${verb === 'emit' ? 'invoke' : verb} AGAction was blocked by inbound middleware","name":"SilentMiddlewareBlockedError","type":"inbound"}`,
]

const application = { kind: 'script', file: path.join(ROOT, 'tests', 'clients', 'programs', 'socketcluster-script.js') }
const TOKENS = { leeway: '0s', require_expiry: false, user_claim: 'username', keys: [{ algorithm: 'HS256', secret: 'env:POLYPORT_JWT_SECRET' }] }

const listener = (devtools, more = {}) => ({
  protocol: 'devtools-relay', backends: ['application'], auth: { tokens: 'main', on_expiry: 'downgrade' },
  devtools: { ping_interval: '1h', ping_timeout: '2h', ...devtools }, ...more,
})

let gateway
before(async () => {
  gateway = await Polyport.start(
    {
      api: {},
      tokens: { main: TOKENS },
      backends: { application },
      listeners: {
        auto: listener({}),
        v1: listener({ protocol_version: 1 }),
        v2: listener({ protocol_version: 2 }),
        hasty: listener({ ping_interval: '300ms', ping_timeout: '1s', handshake_timeout: '500ms' }),
        hasty1: listener({ protocol_version: 1, ping_interval: '300ms', ping_timeout: '1s', handshake_timeout: '500ms' }),
        bounded: {
          protocol: 'devtools-relay', backends: ['application'],
          limits: { rooms_per_session: 2, calls_in_flight: 2, message: '1KiB' },
          permissions: { join: ['open*'], publish_unjoined: ['open*'], call: ['echo', 'slow'] }, devtools: { protocol_version: 2 },
        },
        narrow: { protocol: 'devtools-relay', limits: { outbox: '256KiB' }, devtools: { protocol_version: 2 } },
        mute: { protocol: 'devtools-relay', devtools: { allow_publish: false } },
        required: listener({}, { auth: { tokens: 'main', required: true, from: ['query:token'] } }),
        plain: { protocol: 'devtools-relay', join: ['lobby'], devtools: { protocol_version: 2 } },
      },
    },
    { env: { POLYPORT_JWT_SECRET: KEY, POLYPORT_API_KEY: 'the-key-of-the-tests-1234' } },
  )
})
after(() => gateway?.stop())

const open = (name, more = {}) => FrameClient.open({ port: gateway.ports[name], path: PATH, ...more })

const HANDSHAKE = '{"event":"#handshake","data":{"authToken":null},"cid":1}'

/** Opens and shakes hands; gives the client, and its id. */
async function connect(name, more = {}) {
  const client = await open(name, more)
  await client.text(more.token === undefined ? HANDSHAKE : JSON.stringify({ event: '#handshake', data: { authToken: more.token }, cid: 1 }))
  client.greeting = JSON.parse(await client.nextText())
  client.id = client.greeting.data?.id
  if (name === 'auto' || name === 'hasty') assert.equal(await client.nextText(), '#1', 'it is asked which generation it is')
  return client
}

/** Sends a packet and gives the next text. */
async function ask(client, packet) {
  await client.text(typeof packet === 'string' ? packet : JSON.stringify(packet))
  return client.nextText()
}

/** Nothing else has come: the next text is the answer to this call. */
const quiet = async (client, why) => assert.equal(await ask(client, '{"event":"echo","data":"end","cid":99}'), '{"rid":99,"data":"end"}', why)

async function closed(client, code, reason = '') {
  const frame = await client.next()
  assert.deepEqual([frame.kind, frame.code, frame.reason], ['close', code, reason])
}

const GENERATIONS = [['v1', 0], ['v2', 1]]

describe('opening', () => {
  test('other paths are refused in the words of the original', async () => {
    for (const target of ['/other/', '/socketcluster']) {
      const client = await FrameClient.connect({ port: gateway.ports.auto })
      await assert.rejects(client.upgrade({ path: target }), /400 Bad Request[^]*Bad Request$/, target)
      client.close()
    }
    const client = await open('auto', { path: '/socketcluster/?x=1&t=2' })
    client.close()
  })

  test('pages from elsewhere are refused, those of this machine and programs are not', async () => {
    const refused = await FrameClient.connect({ port: gateway.ports.auto })
    await assert.rejects(
      refused.upgrade({ path: PATH, headers: { Origin: 'http://evil.example' } }),
      /403 Forbidden[^]*Failed to authorize socket handshake - Invalid origin: http:\/\/evil\.example$/,
    )
    refused.close()
    for (const origin of ['http://localhost:3000', 'chrome-extension://abc', `http://127.0.0.1:${gateway.ports.auto}`]) {
      const client = await open('auto', { headers: { Origin: origin } })
      client.close()
    }
  })

  test('the first subprotocol that is offered is taken', async () => {
    const client = await open('auto', { headers: { 'Sec-WebSocket-Protocol': 'foo, bar' } })
    assert.match(client.answer, /^sec-websocket-protocol: foo\r$/im)
    client.close()
  })

  test('a plain request gets a page or none', async () => {
    const client = await FrameClient.connect({ port: gateway.ports.auto })
    const answer = await client.request('GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n')
    assert.equal(answer.status, 404)
    client.close()
  })
})

describe('the handshake', () => {
  for (const packet of ['{"event":"echo","cid":1}', 'hello', '', '#2', '[]', '{}']) {
    test(`${JSON.stringify(packet)} before it ends the connection`, async () => {
      for (const name of ['auto', 'v1', 'v2']) {
        const client = await open(name)
        await client.text(packet)
        await closed(client, 4009)
        client.close()
      }
    })
  }

  test('without a number, in a list, twice', async () => {
    const silent = await open('v1')
    await silent.text('{"event":"#handshake"}')
    await quiet(silent, 'generation 1 takes it without a word')
    await silent.text(HANDSHAKE)
    await quiet(silent, 'and ignores the second')
    for (const name of ['v2', 'auto']) {
      const client = await open(name)
      await client.text('{"event":"#handshake","data":{"authToken":null}}')
      await closed(client, 4008)
    }
    const list = `[${HANDSHAKE},{"event":"echo","data":5,"cid":2}]`
    const old = await open('v1')
    await old.text(list)
    await closed(old, 4009)
    const fresh = await open('v2')
    await fresh.text(list)
    const [greeting, echo] = await fresh.nextTexts(2)
    assert.match(greeting, /^\{"rid":1,"data":\{"id":"[\w-]{20}","pingTimeout":7200000,"isAuthenticated":false\}\}$/)
    assert.equal(echo, '{"rid":2,"data":5}')
    assert.equal((await ask(fresh, HANDSHAKE)), greeting)
    for (const client of [silent, old, fresh]) client.close()
  })

  test('what comes right behind it waits for its turn', async () => {
    const client = await open('v2')
    await client.text(HANDSHAKE)
    await client.text('{"event":"echo","data":1,"cid":2}')
    await client.text('{"event":"#subscribe","data":{"channel":"news"},"cid":3}')
    const texts = await client.nextTexts(3)
    assert.deepEqual(texts.slice(1), ['{"rid":2,"data":1}', '{"rid":3}'])
    client.close()
  })

  test('a backend refuses it, in the form of the generation', async () => {
    const refusal = async (name) => {
      const client = await open(name, { path: `${PATH}?denysc=4501` })
      await client.text(HANDSHAKE)
      return client
    }
    const old = await refusal('v1')
    assert.equal(await old.nextText(), '{"rid":1,"error":{"message":"SC handshake denied","name":"DenySC"},"data":{"code":4501}}')
    assert.equal(await old.nextText(), '{"event":"#disconnect","data":{"code":4501}}')
    await closed(old, 4501)
    const fresh = await refusal('v2')
    assert.equal(await fresh.nextText(), '{"rid":1,"error":{"message":"SC handshake denied","name":"DenySC","statusCode":4501}}')
    await closed(fresh, 4501)
    const unknown = await refusal('auto')
    assert.equal(
      await unknown.nextText(),
      '{"rid":1,"error":{"message":"SC handshake denied","name":"DenySC","statusCode":4501},"data":{"code":4501}}',
    )
    await closed(unknown, 4501)
    for (const client of [old, fresh, unknown]) client.close()
  })

  test('a token may be required, and stand in the address', async () => {
    const nobody = await open('required')
    assert.match(await ask(nobody, HANDSHAKE), /"error":\{"message":"a token is required","name":"AuthTokenError","statusCode":4008\}/)
    await closed(nobody, 4008)
    const token = jwt.sign({ username: 'ann' }, KEY)
    const somebody = await open('required', { path: `${PATH}?token=${token}` })
    assert.match(await ask(somebody, HANDSHAKE), /"isAuthenticated":true/)
    for (const client of [nobody, somebody]) client.close()
  })

  test('who never shakes hands is closed', async () => {
    const start = Date.now()
    const old = await open('hasty1')
    const texts = []
    for (let text = ''; !text.includes('#disconnect'); ) texts.push((text = await old.nextText()))
    assert.deepEqual(texts, ['#1', '{"event":"#disconnect","data":{"code":4005}}'])
    await closed(old, 4005)
    assert.ok(Date.now() - start >= 450, 'not too early')
    const unknown = await open('hasty')
    await closed(unknown, 4005)
    for (const client of [old, unknown]) client.close()
  })
})

describe('which generation', () => {
  test('who answers #1 is of the first and never hears an empty text', async () => {
    const client = await connect('hasty')
    await client.text('#2')
    for (let n = 0; n < 8; n += 1) {
      assert.equal(await client.nextText(), '#1')
      await client.text('#2')
    }
    assert.match(await ask(client, '{"event":"#unsubscribe","data":"x","cid":2}'), /channel - Socket [\w-]{20} tried/)
    client.close()
  })

  test('who does not hears an empty text, and is of the second when it answers that', async () => {
    const client = await connect('auto')
    assert.equal(await client.nextText(), '')
    await client.text('')
    assert.match(await ask(client, '{"event":"#unsubscribe","data":"x","cid":2}'), /InvalidActionError: Socket/)
    await client.text('#2')
    assert.match(await ask(client, '{"event":"#unsubscribe","data":"x","cid":3}'), /channel - Socket/, 'a late answer counts all the same')
    client.close()
  })

  test('a pinned generation hears its own ping alone', async () => {
    const client = await connect('hasty1')
    for (let n = 0; n < 3; n += 1) {
      assert.equal(await client.nextText(), '#1')
      await client.text('#2')
    }
    client.close()
  })

  test('silence ends the connection, any message is a sign of life', async () => {
    const client = await connect('hasty')
    const end = Date.now() + 2_500
    for (let cid = 2; Date.now() < end; cid += 1) {
      await client.text(`{"event":"echo","cid":${cid}}`)
      while ((await client.nextText()) !== `{"rid":${cid}}`);
    }
    for (;;) {
      const frame = await client.next()
      if (frame.kind === 'close') {
        assert.deepEqual([frame.code, frame.reason], [4001, ''])
        break
      }
    }
    client.close()
  })
})

describe('calls', () => {
  test('numbers of every form', async () => {
    const numbers = { auto: ['0', '-5', '1.5', '"s"', '9007199254740993', 'false'], v1: ['-5', '1.5', '"s"'], v2: ['0', '-5', '1.5'] }
    for (const [name, list] of Object.entries(numbers)) {
      const client = await connect(name)
      for (const cid of list) assert.equal(await ask(client, `{"event":"echo","data":1,"cid":${cid}}`), `{"rid":${cid},"data":1}`)
      client.close()
    }
    const old = await connect('v1')
    for (const cid of ['0', 'null', '""']) await old.text(`{"event":"echo","data":1,"cid":${cid}}`)
    await quiet(old)
    const fresh = await connect('v2')
    for (const cid of ['"s"', 'null']) await fresh.text(`{"event":"echo","data":1,"cid":${cid}}`)
    await quiet(fresh)
    for (const client of [old, fresh]) client.close()
  })

  test('absent is not null, errors keep their form', async () => {
    const client = await connect('v2')
    for (const [name, answer] of Object.entries({
      void: '{"rid":2}', nul: '{"rid":2,"data":null}', echo: '{"rid":2}',
      fail: '{"rid":2,"error":{"message":"it failed","name":"CustomError","detail":{"a":1}}}', failStr: '{"rid":2,"error":"plain string"}',
    })) assert.equal(await ask(client, `{"event":"${name}","cid":2}`), answer)
    assert.equal(await ask(client, '{ "cid": 3, "event": "echo",\n "data": {"b": 1e2, "a": "\\u00e9"} }'), '{"rid":3,"data":{"b":100,"a":"é"}}')
    client.close()
  })

  test('garbage is ignored, and so are unknown names, numbers and orders', async () => {
    for (const name of ['v1', 'v2', 'auto']) {
      const client = await connect(name)
      const garbage = ['garbage', '{"a":1}', '[]', '{bad json}', '123', 'null', '"str"', '#1', '{"event":"#foo","data":1,"cid":2}', '{"rid":77}', '{"event":"nobody","cid":2}', '{"event":{"type":"ERROR"},"data":1}', '[5,null,{"event":7}]']
      for (const text of garbage) await client.text(text)
      await quiet(client, name)
      client.close()
    }
    const unknown = await gateway.counted('polyport_calls_total', { outcome: 'unknown_action' }, (count) => count >= 3)
    assert.ok(unknown >= 3)
  })

  test('packets in binary messages and in lists', async () => {
    const client = await connect('v2')
    await client.send('binary', '{"event":"echo","data":3,"cid":2}')
    assert.equal(await client.nextText(), '{"rid":2,"data":3}')
    await client.send('binary', Buffer.from([0xff, 0xfe]))
    await client.text('[{"event":"tx","data":1},{"event":"tx","data":2},{"event":"echo","data":"inb","cid":9999}]')
    assert.deepEqual(await client.nextTexts(3), ['{"event":"tx-back","data":1}', '{"event":"tx-back","data":2}', '{"rid":9999,"data":"inb"}'])
    client.close()
  })

  for (const [name, index] of GENERATIONS) {
    test(`the server calls a client of ${name}`, async () => {
      const client = await connect(name)
      assert.equal(await ask(client, '{"event":"callme","data":5,"cid":2}'), ['{"event":"client-proc","data":5,"cid":1}', '{"event":"client-proc","cid":1,"data":5}'][index])
      assert.equal(await ask(client, '{"rid":1,"data":{"you":5}}'), '{"rid":2,"data":{"got":{"you":5}}}')
      await ask(client, '{"event":"callme","cid":3}')
      assert.equal(await ask(client, '{"rid":2,"error":"no"}'), '{"rid":3,"error":"no"}')
      client.close()
    })
  }

  test('the server API calls a client, sends it an event and takes it out of a channel', async () => {
    const client = await connect('plain')
    const api = async (verb, body) => {
      const answer = await fetch(`http://127.0.0.1:${gateway.ports.admin}/api/${verb}`, {
        method: 'POST', body: JSON.stringify(body), headers: { authorization: 'Bearer the-key-of-the-tests-1234', 'content-type': 'application/json' },
      })
      return [answer.status, await answer.json()]
    }
    const { sessions } = await (await fetch(`http://127.0.0.1:${gateway.ports.admin}/api/sessions?listener=plain`, { headers: { authorization: 'Bearer the-key-of-the-tests-1234' } })).json()
    const to = { session: sessions[0].id }
    const asked = api('call', { to, event: 'question', data: { n: 1 } })
    assert.equal(await client.nextText(), '{"event":"question","cid":1,"data":{"n":1}}')
    await client.text('{"rid":1,"data":"answer"}')
    assert.deepEqual((await asked)[1].args, ['answer'])
    const refused = api('call', { to, event: 'question' })
    await client.nextText()
    await client.text('{"rid":2,"error":{"message":"no"}}')
    const [status, { error }] = await refused
    assert.deepEqual([status, error.code, error.message], [409, 'client_error', '{"message":"no"}'])
    await api('publish', { to, event: 'greet', data: 1 })
    assert.equal(await client.nextText(), '{"event":"greet","data":1}')
    await api('publish', { to: { room: 'lobby' }, event: 'sold', data: 1 })
    assert.equal(await client.nextText(), '{"event":"#publish","data":{"channel":"lobby","data":{"event":"sold","data":1}}}')
    await api('leave', { to, room: 'lobby' })
    assert.equal(await client.nextText(), '{"event":"#kickOut","data":{"channel":"lobby"}}')
    await api('disconnect', { to })
    await closed(client, 1000)
    client.close()
  })
})

describe('channels', () => {
  for (const [name, index] of GENERATIONS) {
    test(`malformed packets of ${name}`, async () => {
      const client = await connect(name)
      const of = (packet, old, fresh) => [packet, [old, `{"message":"${fresh}","name":"InvalidActionError"}`][index]]
      const broker = (text) => JSON.stringify({ message: text.replace('ID', client.id), name: 'BrokerError' })
      for (const [packet, error] of [
        of('{"event":"#subscribe","data":{},"cid":2}', broker('Failed to subscribe socket to the undefined channel - Socket ID provided an invalid channel name'), 'Subscribe channel name was malformatted'),
        of('{"event":"#publish","data":{"data":1},"cid":2}', broker('Socket ID tried to publish to an invalid undefined channel'), 'Publish channel name was malformatted'),
        of('{"event":"#unsubscribe","data":{"a":1},"cid":2}', broker('Failed to unsubscribe socket from the [object Object] channel - Socket ID tried to unsubscribe from an invalid channel name'), 'Unsubscribe channel name was malformatted'),
      ]) assert.equal(await ask(client, packet), `{"rid":2,"error":${error}}`)
      const stranger = `Failed to unsubscribe socket from the never channel - ${['', 'InvalidActionError: '][index]}Socket ${client.id} tried to unsubscribe from a channel which it is not subscribed to`
      assert.equal(await ask(client, '{"event":"#unsubscribe","data":"never","cid":2}'), `{"rid":2,"error":{"message":"${stranger}","name":"BrokerError"}}`)
      await client.text('{"event":"#unsubscribe","data":"never"}')
      await client.text('{"event":"#publish","data":{"channel":"readonly","data":1}}')
      await quiet(client, 'without a number nothing is said')
      client.close()
    })

    test(`a publisher of ${name} hears itself ${index === 0 ? 'before' : 'after'} its answer`, async () => {
      const client = await connect(name)
      assert.equal(await ask(client, '{"event":"#subscribe","data":{"channel":"own"},"cid":2}'), '{"rid":2}')
      assert.equal(await ask(client, '{"event":"#subscribe","data":{"channel":"own"},"cid":3}'), '{"rid":3}')
      await client.text('{"event":"#publish","data":{"channel":"own","data":{"n":1}},"cid":4}')
      const both = ['{"event":"#publish","data":{"channel":"own","data":{"n":1}}}', '{"rid":4}']
      assert.deepEqual(await client.nextTexts(2), index === 0 ? both : both.reverse())
      await client.text('{"event":"#publish","data":{"channel":"own"}}')
      assert.equal(await client.nextText(), '{"event":"#publish","data":{"channel":"own"}}')
      await client.text('{"event":"#publish","data":{"channel":"own","data":{"base64":true,"data":"aGk="}}}')
      assert.equal(await client.nextText(), '{"event":"#publish","data":{"channel":"own","data":{"base64":true,"data":"aGk="}}}')
      assert.equal(await ask(client, '{"event":"#unsubscribe","data":"own","cid":5}'), '{"rid":5}')
      await client.text('{"event":"#publish","data":{"channel":"own","data":2}}')
      await quiet(client, 'it has left')
      client.close()
    })

    test(`refusals in the words of ${name}`, async () => {
      const client = await connect(name)
      for (const [channel, error] of Object.entries({
        forbidden: '{"message":"You may not subscribe","name":"ForbiddenError","why":{"x":1}}', silent: SILENT('subscribe')[index],
        members: '{"message":"auth needed","name":"NeedAuth"}',
      })) assert.equal(await ask(client, `{"event":"#subscribe","data":{"channel":"${channel}"},"cid":2}`), `{"rid":2,"error":${error}}`)
      assert.equal(await ask(client, '{"event":"#publish","data":{"channel":"readonly","data":1},"cid":3}'), '{"rid":3,"error":{"message":"read only","name":"ReadOnlyError"}}')
      client.close()
    })

    test(`a kick out of ${name}`, async () => {
      const client = await connect(name)
      await ask(client, '{"event":"#subscribe","data":{"channel":"news"},"cid":2}')
      await client.text('{"event":"kick","data":{"channel":"news","message":"out!"},"cid":3}')
      const [kick, answer] = await client.nextTexts(2)
      assert.equal(kick, ['{"event":"#kickOut","data":{"message":"out!","channel":"news"}}', '{"event":"#kickOut","data":{"channel":"news","message":"out!"}}'][index])
      assert.equal(answer, '{"rid":3}')
      await ask(client, '{"event":"#subscribe","data":{"channel":"news"},"cid":4}')
      await client.text('{"event":"takeOut","data":{"channel":"news"},"cid":5}')
      assert.deepEqual(await client.nextTexts(2), ['{"event":"#kickOut","data":{"channel":"news"}}', '{"rid":5}'])
      client.close()
    })
  }

  test('what only generation 1 has: bare names, no number, lists', async () => {
    const client = await connect('v1')
    assert.equal(await ask(client, '{"event":"#subscribe","data":"bare","cid":2}'), '{"rid":2}')
    await client.text('{"event":"#subscribe","data":{"channel":"quiet"}}')
    await client.text('{"event":"#publish","data":{"channel":"quiet","data":1}}')
    assert.equal(await client.nextText(), '{"event":"#publish","data":{"channel":"quiet","data":1}}')
    await client.close()
    const batch = await FrameClient.open({ port: gateway.ports.auto, path: PATH })
    await batch.text(HANDSHAKE)
    await batch.nextTexts(2)
    await batch.text('#2')
    const wanted = ['b1', 'b2'].map((channel, n) => `{"event":"#subscribe","data":{"channel":"${channel}","batch":true},"cid":${n + 5}}`)
    await batch.text(`[${wanted.join(',')}]`)
    const answers = []
    while (answers.flat().length < 2) answers.push(JSON.parse(await batch.nextText()))
    assert.ok(answers.every(Array.isArray))
    assert.deepEqual(answers.flat(), [{ rid: 5 }, { rid: 6 }])
    batch.close()
    const fresh = await connect('v2')
    await fresh.text('{"event":"#subscribe","data":{"channel":"quiet"}}')
    await fresh.text('{"event":"#publish","data":{"channel":"quiet","data":1}}')
    await quiet(fresh, 'generation 2 does nothing without a number')
    fresh.close()
  })

  test('who may not publish at all hears so', async () => {
    const client = await connect('mute')
    await client.nextText()
    const error = '{"rid":2,"error":{"message":"Client publish feature is disabled","name":"InvalidActionError"}}'
    assert.equal(await ask(client, '{"event":"#publish","data":{"channel":"x","data":1},"cid":2}'), error)
    client.close()
  })
})

describe('tokens', () => {
  const now = () => Math.floor(Date.now() / 1000)
  const iso = (seconds) => new Date(seconds * 1000).toISOString()
  const invalid = (message, moment = '', name = 'AuthTokenInvalidError', bad = true) => [
    `{"message":"${message}","name":"${name}"${moment}}`, `{"message":"${message}","name":"${name}"${moment},"isBadToken":${bad}}`,
  ]

  for (const [name, index] of GENERATIONS) {
    test(`every token shown to ${name}`, async () => {
      const removal = ['{"event":"#removeAuthToken","data":null}', '{"event":"#removeAuthToken"}'][index]
      const expired = now() - 10
      const sign = (claims, key = KEY, options) => jwt.sign({ username: 'z', ...claims }, key, options)
      const client = await connect(name)
      for (const [token, error] of [
        ['garbage', invalid('jwt malformed')],
        [sign({}, 'another key'), invalid('invalid signature')],
        [sign({ exp: expired }), invalid('jwt expired', `,"expiry":"${iso(expired)}"`, 'AuthTokenExpiredError')],
        [null, invalid('jwt must be provided')],
        ['', invalid('jwt must be provided')],
        [{ a: 1 }, invalid('Invalid token format - Token must be a string', '', 'AuthTokenError')],
        [sign({}, KEY).split('.').slice(0, 2).join('.') + '.', invalid('jwt signature is required')],
      ]) {
        await client.text(JSON.stringify({ event: '#authenticate', data: token, cid: 2 }))
        const answer = [`{"rid":2,"error":${error[0]},"data":{"isAuthenticated":false,"authError":${error[0]}}}`, `{"rid":2,"error":${error[1]}}`][index]
        assert.deepEqual(await client.nextTexts(2), index === 0 ? [removal, answer] : [answer, removal])
      }
      const early = invalid('jwt not active', ',"date":"2033-05-18T03:33:20.000Z"', 'AuthTokenNotBeforeError', false)[index]
      assert.equal(await ask(client, { event: '#authenticate', data: sign({ nbf: 2_000_000_000 }), cid: 3 }), `{"rid":3,"data":{"isAuthenticated":false,"authError":${early}}}`)
      assert.equal(await ask(client, { event: '#authenticate', data: sign({}), cid: 4 }), '{"rid":4,"data":{"isAuthenticated":true,"authError":null}}')
      assert.equal(await ask(client, '{"event":"whoami","cid":5}'), '{"rid":5,"data":{"user":"z","state":"authenticated"}}')
      await client.text('{"event":"#removeAuthToken"}')
      assert.equal(await ask(client, '{"event":"whoami","cid":6}'), '{"rid":6,"data":{"user":null,"state":"unauthenticated"}}')
      client.close()
    })

    test(`a bad token in the handshake of ${name}`, async () => {
      const client = await open(name)
      await client.text('{"event":"#handshake","data":{"authToken":"nope"},"cid":1}')
      const texts = await client.nextTexts(2)
      const [removal, answer] = index === 0 ? texts : texts.reverse()
      assert.match(removal, /^\{"event":"#removeAuthToken"/)
      assert.match(answer, index === 0 ? /"authError":\{"message":"jwt malformed","name":"AuthTokenInvalidError"\},"isAuthenticated":false\}\}$/ : /"isBadToken":true\},"isAuthenticated":false\}\}$/)
      await quiet(client)
      client.close()
    })
  }

  test('without a number: generation 1 acts, generation 2 closes', async () => {
    const old = await connect('v1')
    assert.equal(await ask(old, '{"event":"#authenticate","data":"x"}'), '{"event":"#removeAuthToken","data":null}')
    const fresh = await connect('v2')
    await fresh.text('{"event":"#authenticate","data":"x"}')
    await closed(fresh, 4008)
    for (const client of [old, fresh]) client.close()
  })

  test('a token that the server gives comes with the answer, and its end is told before the next one', async () => {
    const client = await connect('v2')
    await client.text('{"event":"auth","data":{"username":"alice","expiresIn":1},"cid":2}')
    const [given, answer] = await client.nextTexts(2)
    const { token } = JSON.parse(given).data
    const claims = jwt.verify(token, KEY)
    assert.deepEqual([Object.keys(claims), claims.username], [['username', 'iat', 'exp'], 'alice'])
    assert.equal(answer, '{"rid":2}')
    await until('the token to expire', () => Date.now() >= claims.exp * 1000)
    await client.text('{"event":"echo","data":"hey","cid":3}')
    assert.deepEqual(await client.nextTexts(2), ['{"event":"#removeAuthToken"}', '{"rid":3,"data":"hey"}'])
    client.close()
  })

  test('a subscription that has waited for a token fails with its expiry (generation 1)', async () => {
    const client = await connect('v1')
    const exp = now() + 1
    await ask(client, { event: '#authenticate', data: jwt.sign({ username: 'z', exp }, KEY), cid: 2 })
    await until('the token to expire', () => Date.now() >= exp * 1000)
    await client.text('{"event":"#subscribe","data":{"channel":"x","waitForAuth":true},"cid":3}')
    const texts = await client.nextTexts(2)
    assert.equal(texts[0], '{"event":"#removeAuthToken","data":null}')
    assert.match(texts[1], /^\{"rid":3(\}|,"error":\{"message":"jwt expired","name":"AuthTokenExpiredError","expiry":")/)
    client.close()
  })
})

describe('goodbyes', () => {
  test('of the server, by generation', async () => {
    const old = await connect('v1')
    await ask(old, '{"event":"bye","data":{"code":4321,"reason":"go away"},"cid":2}')
    assert.equal(await old.nextText(), '{"event":"#disconnect","data":{"code":4321,"data":"go away"}}')
    await closed(old, 4321)
    const fresh = await connect('v2')
    await ask(fresh, '{"event":"bye","data":{"code":4321,"reason":"go away"},"cid":2}')
    await closed(fresh, 4321, 'go away')
    const plain = await connect('v2')
    await ask(plain, '{"event":"bye","cid":2}')
    await closed(plain, 1000)
    for (const client of [old, fresh, plain]) client.close()
  })

  test('of a client: its packet in generation 1, its close frame comes back', async () => {
    const old = await connect('v1')
    await old.text('{"event":"#disconnect","data":{"code":4100,"data":"x"}}')
    await closed(old, 4100)
    const fresh = await connect('v2')
    await fresh.text('{"event":"#disconnect","data":{"code":4100,"data":"x"}}')
    await quiet(fresh, 'generation 2 ignores it')
    await fresh.send('close', closing(4999, 'bye'))
    await closed(fresh, 4999, 'bye')
    for (const client of [old, fresh]) client.close()
  })

  test('a drain closes without a code', async () => {
    const own = await Polyport.start({ listeners: { sc: { protocol: 'devtools-relay' } } })
    const client = await FrameClient.open({ port: own.ports.sc, path: PATH })
    const stranger = await FrameClient.open({ port: own.ports.sc, path: PATH })
    await client.text(HANDSHAKE)
    await client.nextTexts(2)
    const stopped = own.stop()
    for (const one of [client, stranger]) {
      const frame = await one.next()
      assert.deepEqual([frame.kind, frame.code], ['close', null])
      one.close()
    }
    await stopped
  })
})

describe('bounds', () => {
  test('calls in flight, channels, permissions', async () => {
    const client = await connect('bounded')
    for (const cid of [2, 3]) await client.text(`{"event":"slow","cid":${cid}}`)
    assert.equal(await ask(client, '{"event":"echo","cid":4}'), '{"rid":4,"error":{"message":"you have too many pending requests","name":"LimitError"}}')
    assert.equal(await ask(client, '{"event":"fail","cid":5}'), `{"rid":5,"error":${SILENT('emit')[1]}}`)
    for (const [n, answer] of [[6, '{"rid":6}'], [7, '{"rid":7}']]) assert.equal(await ask(client, `{"event":"#subscribe","data":{"channel":"open${n}"},"cid":${n}}`), answer)
    const limit = `Failed to subscribe socket to the open8 channel - InvalidActionError: Socket ${client.id} tried to exceed the channel subscription limit of 2`
    assert.equal(await ask(client, '{"event":"#subscribe","data":{"channel":"open8"},"cid":8}'), `{"rid":8,"error":{"message":"${limit}","name":"BrokerError"}}`)
    assert.equal(await ask(client, '{"event":"#subscribe","data":{"channel":"shut"},"cid":9}'), `{"rid":9,"error":${SILENT('subscribe')[1]}}`)
    assert.equal(await ask(client, '{"event":"#publish","data":{"channel":"shut","data":1},"cid":10}'), `{"rid":10,"error":${SILENT('publishIn')[1]}}`)
    client.close()
  })

  test('a message that is too large, a list that is too long', async () => {
    const big = await connect('bounded')
    await big.text(JSON.stringify({ event: 'echo', data: 'x'.repeat(2000), cid: 2 }))
    await closed(big, 1009)
    const long = await connect('v2')
    await long.text(`[${'{},'.repeat(10_000)}{}]`)
    await closed(long, 1008)
    for (const client of [big, long]) client.close()
  })

  test('who reads too slowly is closed and counted; the others hear everything', async () => {
    const slow = await connect('narrow')
    const [reader, speaker] = [await connect('narrow'), await connect('narrow')]
    for (const client of [slow, reader]) await ask(client, '{"event":"#subscribe","data":{"channel":"open"},"cid":2}')
    slow.socket.pause()
    const overflows = async () => (await gateway.metrics()).sum('polyport_limit_hits_total', { listener: 'narrow', limit: 'outbox' })
    const data = 'x'.repeat(32_000)
    for (let sent = 0; (await overflows()) === 0; sent += 4) {
      assert.ok(sent < 2_000, 'the system would have to hold very much')
      for (let n = 0; n < 4; n += 1) await speaker.text(JSON.stringify({ event: '#publish', data: { channel: 'open', data: { n: sent + n, data } } }))
      for (let n = 0; n < 4; n += 1) assert.equal(JSON.parse(await reader.nextText()).data.data.n, sent + n)
    }
    await gateway.counted('polyport_sessions_closed_total', { listener: 'narrow', reason: 'outbox_full' }, (count) => count === 1)
    for (const client of [slow, reader, speaker]) client.close()
  })
})

describe('an application that is told of openings and ends', () => {
  test('it hears how a session has ended', async () => {
    const folder = temporaryFolder()
    const file = path.join(folder, 'ends.js')
    fs.writeFileSync(file, `require('socket.red')(0, () => ({ api: {}, onClose(code, reason) { console.info('ended', code, reason) } }))`)
    const own = await Polyport.start({ backends: { ends: { kind: 'script', file } }, listeners: { sc: { protocol: 'devtools-relay', backends: ['ends'] } } })
    const client = await FrameClient.open({ port: own.ports.sc, path: PATH })
    await client.text(HANDSHAKE)
    await client.nextText()
    await client.send('close', closing(4999, 'bye'))
    await own.logged(/ended 4999 bye/)
    client.close()
    await own.stop()
  })
})
