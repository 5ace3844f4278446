'use strict'
// The pages of whoever writes an API: scripts, services, tokens.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const net = require('node:net')
const { blocks, isConfiguration } = require('../../pages')
const { RpcClient } = require('../../rpc-client')
const { until } = require('../../patience')
const { shipped } = require('../shipped')
const { commands, swapped } = require('../stage')
const { service } = require('../service')
const { PAGES, story } = require('../story')

const SECRET = 'a secret that is long enough for HS256'

/** A client of socket.red, closed at the end. */
async function rpc(stage, options) {
  const client = await RpcClient.open({ port: await stage.port(8080), ...options })
  stage.ends.push(() => client.close())
  return client
}

const WITH_ACTIONS = (backplane) => `[backends.shop]
kind = "script"
file = "shop.js"

[listeners.rpc]
protocol = "ws-rpc"
bind = "127.0.0.1:8080"
backends = ["shop"]

[listeners.messaging]
protocol = "socket-io"
bind = "127.0.0.1:3000"
backends = ["shop"]

[listeners.tcp]
protocol = "tcp-verbs"
bind = "127.0.0.1:5000"
backends = ["shop"]
${backplane}`

const actions = story('docs/scripts.md', 'actions', {
  steps: [
    ['exports.addition = {', async (stage, { text }) => {
      await stage.keep('shop.js', text)
      await stage.keep('gateway.toml', WITH_ACTIONS(''))
      await stage.start()
      const [, sum] = /outputExample: (\{.*?\})/.exec(text)
      const client = await rpc(stage)
      assert.deepEqual(await client.call('addition', '2'), { ok: true, value: { sum: 3 } })
      assert.equal(sum, '{ sum: 3 }')
      assert.deepEqual(await client.call('addition', -2), { ok: false, value: 'a is too small' })
      const telnet = await stage.telnet(['127.0.0.1', '5000'])
      await telnet.send('{"action":"addition","params":{"a":2,"b":5}}')
      await telnet.shows('{"sum":7,"context":"response","messageCount":1}')
    }],
  ],
})

/** A server of Socket.IO that says what the page says, and prints what it is answered. */
const SERVER = `const { Server } = require('socket.io');
const { createAdapter } = require('@socket.io/redis-adapter');
const { createClient } = require('redis');
(async () => {
  const publisher = createClient({ url: 'redis://127.0.0.1:6379' });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  const io = new Server();
  io.adapter(createAdapter(publisher, subscriber));
  await io.of('/').adapter.serverCount();
  const done = (error, answers) => console.log(String(error), JSON.stringify(answers));
  SAID;
})();`

const stock = story('docs/scripts.md', 'calls of servers', {
  steps: [
    ['exports.stock = {', async (stage, { text, lead }) => {
      const [, said] = /`(io\.serverSideEmit\([^`]*\))`/.exec(lead)
      await stage.redis(6379)
      await stage.keep('shop.js', text)
      await stage.keep('gateway.toml', WITH_ACTIONS('\n[backplane]\nengine = "redis"\nurl = "redis://127.0.0.1:6379"\n'))
      await stage.start()
      const server = await stage.node('server.js', SERVER.replace('SAID', said), ['socket.io@4.8.4', '@socket.io/redis-adapter@8.3.0', 'redis@4.7.0'])
      await server.shows('null [{"article":7,"left":3}]')
    }],
  ],
})

/** Whether somebody listens at a port. */
function isOpen(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

const HTTP = 'docs/http-backend.md'

const firstService = story(HTTP, 'a first service', {
  steps: [
    ["const http = require('node:http');", async (stage, block) => {
      const all = blocks(PAGES.get(HTTP))
      const config = all.find((other) => other.line > block.line && isConfiguration(other))
      const port = await stage.port(7000)
      await stage.node('service.js', swapped(block.text, { 'listen(7000': `listen(${port}` }))
      await until('the service', () => isOpen(port))
      await stage.keep('gateway.toml', config.text)
      await stage.start()
      // What the page says below that a client sends and is answered.
      const [, sent, answered] = /sends `([^`]+)` is answered with `([^`]+)`/.exec(PAGES.get(HTTP))
      const client = await rpc(stage)
      const [id, name, args] = JSON.parse(sent)
      const { ok, value } = await client.call(name, ...args)
      assert.deepEqual([id, ok, value], JSON.parse(answered))
      assert.deepEqual(await client.call('nosuch', 1), { ok: false, value: 'there is no action nosuch' })
    }],
  ],
})

const SIGNED = `[admin]
bind = "127.0.0.1:9900"

[api]

[tokens.main]
keys = [{ algorithm = "HS256", secret = "env:POLYPORT_JWT_SECRET" }]
require_expiry = false

[backends.app]
kind = "http"
url = "http://127.0.0.1:7000/"
secrets = ["env:NEW", "env:OLD"]

[listeners.rpc]
protocol = "ws-rpc"
bind = "127.0.0.1:8080"
backends = ["app"]
join = ["lobby"]
auth = { tokens = "main" }
`

/** What differs from one request to the next. */
const CHANGING = { id: /^[0-9a-f-]{36}$/, deadline: /^\d{13}$/, peer: /^127\.0\.0\.1:\d+$/ }

/** Puts the same in the place of what may differ, in the page's request and in a real one. */
function steady(value, name) {
  if (CHANGING[name]) return name
  if (Array.isArray(value)) return value.map((one) => steady(one))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, steady(one, key)]))
}

const requests = story(HTTP, 'requests, answers and signatures', {
  begin: async (stage) => {
    Object.assign(stage.env, { POLYPORT_JWT_SECRET: SECRET, POLYPORT_API_KEY: 'key-of-the-snippets-0123456789abcdef', NEW: 'new secret', OLD: 'old secret' })
    await stage.keep('gateway.toml', SIGNED)
    await stage.start()
    const token = (await stage.do('polyport token make --user 7 --claim vip=true --expires 0s')).stdout.trim()
    stage.client = await rpc(stage, { path: `/?jwt=${token}`, headers: { origin: 'https://www.example.com' } })
    stage.pushes = []
    const answer = ({ call }) => (call.action === 'keep' ? '{"data":{"cart":3}}' : `{"push":[${stage.pushes.join(',')}],"result":"done"}`)
    stage.asked = await service(stage, 7000, answer)
  },
  steps: [
    ['{', async (stage, { text }) => {
      await stage.client.call('keep')
      const shown = JSON.parse(text)
      await stage.client.call(shown.call.action, ...shown.call.args)
      const { asked } = stage.asked.at(-1)
      const claims = { ...asked.session.identity.claims }
      delete claims.sub
      delete claims.iat
      assert.deepEqual(steady({ ...asked, session: { ...asked.session, identity: { ...asked.session.identity, claims } } }), steady(shown))
      for (const [value, name] of [[asked.id, 'id'], [asked.deadline, 'deadline'], [asked.session.id, 'id'], [asked.session.peer, 'peer']]) assert.match(String(value), CHANGING[name])
      assert.deepEqual(Object.keys(asked), Object.keys(shown))
    }],
    ['{ "publish": { "to": { "room": "lobby" }, "event": "news", "data": { "n": 1 } } }', async (stage, { text }) => {
      // Another session, which the last command ends.
      const other = await rpc(stage, { path: '/other' })
      const { sessions } = await stage.api('/api/sessions')
      const session = sessions.find(({ user }) => user !== '7').id
      stage.pushes = swapped(text, { '5f0f3c8e-5a39-4a5e-8a52-6f1f0f0f7a11': session }).split('\n')
      const { leave } = stage.pushes.map((push) => JSON.parse(push)).find((push) => push.leave)
      await stage.api('/api/join', { to: leave.to, room: leave.room })
      const [publish] = stage.pushes.splice(3, 1)
      assert.deepEqual(await stage.client.call('push'), { ok: true, value: 'done' })
      assert.deepEqual(stage.client.received, [[-1, 'news', { n: 1 }], [0, { type: 'ADD' }]])
      await other.closed
      const rooms = async () => (await stage.api('/api/sessions?user=7')).sessions[0].rooms.includes('news')
      assert.equal(await rooms(), true)
      stage.pushes = [publish]
      await stage.client.call('push')
      assert.equal(await rooms(), false)
    }],
    ["const { createHmac, timingSafeEqual } = require('node:crypto');", async (stage, { text }) => {
      const { headers, body } = stage.asked.at(-1)
      const isSigned = new Function('require', `${text}\nreturn isSigned`)(require)
      const header = headers['polyport-signature']
      assert.ok(isSigned(header, body, stage.env.NEW))
      assert.ok(isSigned(header, body, stage.env.OLD))
      assert.ok(!isSigned(header, body, 'another secret'))
      assert.ok(!isSigned(header, Buffer.from('another body'), stage.env.NEW))
      assert.ok(!isSigned(header.replace(/t=\d+/, 't=1764066000'), body, stage.env.NEW))
    }],
    ['import hashlib, hmac, time', async (stage, { text }) => {
      const { headers, body } = stage.asked.at(-1)
      const header = headers['polyport-signature']
      const cases = [
        [header, body, stage.env.NEW], [header, body, stage.env.OLD], [header, body, 'another secret'], [header, 'another body', stage.env.NEW],
        [header.replace(/t=\d+/, 't=1764066000'), body, stage.env.NEW],
      ]
      const calls = cases.map((args) => `print(is_signed(${args.map((arg, index) => `${JSON.stringify(String(arg))}${index === 1 ? '.encode()' : ''}`).join(', ')}))`)
      fs.writeFileSync(stage.file('signed.py'), `${text}\n\n${calls.join('\n')}\n`)
      const { stdout } = await stage.do('python3 signed.py')
      assert.deepEqual(stdout.trim().split('\n'), ['True', 'True', 'False', 'False', 'False'])
    }],
  ],
})

const identity = story('docs/identity.md', 'tokens', {
  begin: async (stage) => {
    stage.env.POLYPORT_JWT_SECRET = SECRET
    await shipped(stage)
  },
  steps: [
    ["$ polyport token make --user 7 --claim roles='[\"editor\"]' --expires 12h", async (stage, block) => {
      const [make, inspect] = commands(block)
      const made = await stage.do(make.command)
      assert.match(made.stdout, /^eyJ[\w-]+\.[\w-]+\.[\w-]+\n$/)
      fs.writeFileSync(stage.file('token.txt'), made.stdout)
      const { stdout } = await stage.do(inspect.command)
      assert.match(stdout, /"roles": *\[\s*"editor"\s*\]/)
      assert.match(stdout, /accepts it|accepted/)
    }],
    ['{"action":"authenticate","params":{"token":"eyJhbGciOiJIUzI1NiIs…"}}    telnet, or `paramAdd token=…` and then `authenticate`', async (stage, { text }) => {
      const token = fs.readFileSync(stage.file('token.txt'), 'utf8').trim()
      const [telnetForm, rpcForm, answer] = text.split('\n').map((line) => line.split(/ {4,}/)[0].replace('eyJhbGciOiJIUzI1NiIs…', token))
      const shown = JSON.parse(answer.replace('→ ', ''))
      const agrees = (given, site) => {
        assert.deepEqual(Object.keys(given), Object.keys(shown))
        assert.deepEqual({ ...given, expires: 0 }, { ...shown, site, expires: 0 })
        assert.ok(given.expires > Date.now(), 'milliseconds')
      }
      const telnet = await stage.telnet(['127.0.0.1', '5000'])
      const [, set, call] = /telnet, or `(\S+ token=)…` and then `(\w+)`/.exec(text)
      for (const lines of [[telnetForm], [`${set}${token}`, call]]) {
        for (const line of lines) await telnet.send(line)
        const { context, messageCount, ...given } = JSON.parse(await telnet.shows('{"user":…}'))
        agrees(given, null)
        assert.equal(context, 'response')
        assert.ok(messageCount > 0)
      }
      const client = await rpc(stage, { headers: { origin: 'https://www.example.com' } })
      const [, name, args] = JSON.parse(rpcForm)
      const { ok, value } = await client.call(name, ...args)
      assert.ok(ok, value)
      agrees(value, shown.site)
    }],
  ],
})

module.exports = [actions, stock, firstService, requests, identity]
