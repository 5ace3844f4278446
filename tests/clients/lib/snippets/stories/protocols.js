'use strict'
// The pages of the protocols, and two nodes.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')
const { until, within } = require('../../patience')
const { service } = require('../service')
const { secured, shipped } = require('../shipped')
const { comments, joined, swapped } = require('../stage')
const { find, story } = require('../story')

const OPENSSL = 'openssl req -x509 -newkey rsa:2048 -nodes -days 30 -keyout key.pem -out cert.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1'

const actionhero = story('docs/actionhero.md', 'lines', {
  begin: (stage) => shipped(stage),
  steps: [
    ['telnet 127.0.0.1 5000', async (stage, { text }) => stage.command(text)],
    ['{"action":"sleepTest","params":{"sleepDuration":500}}', async (stage, block) => {
      await stage.terminal('telnet').shows('{"welcome":…}')
      await stage.conversation(block, { typed: (line) => line.startsWith('{"action"'), varying: ['"sleepDelta":12', '"sleepDelta":501'] })
    }],
    ['{"message":"hi","room":"lobby","from":"4cd5a84d-6ce9-45c6-96b4-382d5a8560a6","context":"user","sentAt":1795250060158}', async (stage, { text }) => {
      await stage.terminal('telnet').send('say lobby hi')
      await stage.terminal('telnet').shows(text)
    }],
    ['{"message":{"n":1},"room":"lobby","from":"efff21f6-7fb2-4470-8b95-087257601542","context":"user","sentAt":1795250060817,"event":"hello"}', async (stage, { text }) => {
      const page = stage.pocket()
      await page.connects("pocket.socket.setup('127.0.0.1:8001').connect()")
      await page.type("pocket.socket.signal('lobby', 'hello', { n: 1 })")
      await stage.terminal('telnet').shows(text)
    }],
  ],
})

const overTls = story('docs/actionhero.md', 'TLS', {
  steps: [
    [OPENSSL, secured],
    ['NODE_EXTRA_CA_CERTS=cert.pem node client.js', async (stage, { text }) => {
      // The reader's client is that of the README, with the setting that the page names.
      const client = find('README.md', "const ActionheroClient = require('actionhero-client')")
      for (const wanted of stage.packages(client)) stage.install(wanted)
      await stage.keep('client.js', swapped(client.text, { 'port: 5000': 'port: 5000, secure: true' }))
      const program = stage.begin(text)
      await stage.until(() => program.stdout.includes('hello from Node\n'), program)
    }],
  ],
})

const pocketsocket = story('docs/pocketsocket.md', 'pages', {
  begin: (stage) => shipped(stage),
  steps: [
    ["pocket.socket.setup('127.0.0.1:8001').on('lobby', function (event, message) {", async (stage, { text }) => {
      const [connect, signal] = text.split('\n\n')
      const [one, other] = [stage.pocket(), stage.pocket()]
      await one.connects(connect)
      await other.connects(connect)
      await one.type(signal)
      await other.shows('hello { n: 1 }')
    }],
    ["const hub = new WebSocket('ws://127.0.0.1:8001');", async (stage, { text }) => {
      await stage.telnet(['127.0.0.1', '5000'])
      const console = await stage.console()
      await console.type(text)
      await console.shows('{"time": "2026-11-20 13:15:57.985326", "messageId": "1", "socket": "sent", "attr": "json"}')
      await stage.terminal('telnet').shows('{"message":{"n":1},"room":"lobby",…,"event":"hello"}')
    }],
  ],
})

const socketRed = story('docs/socket-red.md', 'sessions', {
  begin: (stage) => shipped(stage),
  steps: [
    ["const api = new WebSocket('ws://127.0.0.1:8080/token-abc');", async (stage, { text }) => {
      const console = await stage.console()
      await console.type(text)
      const [greeting, sum] = comments(text)
      const [hi, action] = greeting.split(' and ')
      await console.shows(hi)
      assert.equal(action, 'an action')
      await console.shows('[0,…]')
      await console.shows(sum)
    }],
    ['HTTP/1.1 401 Unauthorized', async (stage, { text }) => {
      const socket = net.connect(await stage.port(8080), '127.0.0.1')
      const upgrade = ['GET /unauthorized HTTP/1.1', 'Host: 127.0.0.1', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']
      socket.write(`${upgrade.join('\r\n')}\r\n\r\n`)
      const answer = await within(socket.toArray(), () => 'no answer')
      assert.equal(Buffer.concat(answer).toString(), text.replaceAll('\n', '\r\n'))
    }],
  ],
})

const socketCluster = story('docs/devtools.md', 'SocketCluster', {
  begin: (stage) => shipped(stage, { 'devtools = { relay = true }': 'devtools = { relay = false }' }),
  steps: [
    ["const socket = require('socketcluster-client').create({ hostname: '127.0.0.1', port: 8000 });", async (stage, block) => {
      const client = await stage.node('client.js', block.text, stage.packages(block))
      await client.shows('{ randomNumber: 0.5766685193439476 }')
      for (const comment of comments(block.text)) await client.shows(comment)
    }],
  ],
})

const binary = story('docs/devtools.md', 'a binary codec', {
  begin: (stage) => shipped(stage, { 'devtools = { relay = true }': 'devtools = { relay = false, codec = "min-bin" }' }),
  steps: [
    ["const codecEngine = require('sc-codec-min-bin');", async (stage, { text }) => {
      const asked = "socket.invoke('randomNumber').then(console.log)"
      const client = await stage.node('client.js', `${text}\n${asked}`, ['sc-codec-min-bin@3', 'socketcluster-client'])
      await client.shows('{ randomNumber: 0.5766685193439476 }')
    }],
  ],
})

const RELAY = `[tokens.main]
keys = [{ algorithm = "HS256", secret = "env:POLYPORT_JWT_SECRET" }]

[backends.app]
kind = "http"
url = "http://127.0.0.1:7000/"

[listeners.devtools]
protocol = "devtools-relay"
bind = "127.0.0.1:8000"
backends = ["app"]
auth = { tokens = "main" }
devtools = { relay = false }
`

const logins = story('docs/devtools.md', 'who is logged in by a service', {
  begin: async (stage) => {
    stage.env.POLYPORT_JWT_SECRET = 'a secret that is long enough for HS256'
    await stage.keep('gateway.toml', RELAY)
    await stage.start()
  },
  steps: [
    ['{ "result": "welcome", "push": [{ "publish": { "event": "#setAuthToken", "data": { "token": "eyJ…" } } }] }', async (stage, { text }) => {
      const token = (await stage.do('polyport token make --user 7')).stdout.trim()
      const [login, logout] = swapped(text, { 'eyJ…': token }).split('\n')
      await service(stage, 7000, ({ call }) => (call.action === 'login' ? login : logout))
      const client = await stage.node('client.js', `const socket = require('socketcluster-client').create({ hostname: '127.0.0.1', port: 8000 });
(async () => {
  console.log(await socket.invoke('login'), socket.authToken.sub)
  console.log(await socket.invoke('logout'), socket.authToken)
})()`, ['socketcluster-client'])
      await client.shows('welcome 7')
      await client.shows('bye null')
    }],
  ],
})

const devtools = story('docs/devtools.md', 'the real page, and a recording', {
  begin: (stage) => shipped(stage, { 'devtools = { relay = true }': 'devtools = { relay = true, recordings = "recordings" }' }),
  steps: [
    ['polyport devtools install-page --to devtools-page', async (stage, { text }) => {
      stage.env.npm_config_registry = (await stage.do('npm config get registry')).stdout.trim()
      const { stdout } = await stage.do(text)
      assert.ok(stdout.includes(`page = ${JSON.stringify(stage.file('devtools-page'))}`), stdout)
      fs.accessSync(stage.file('devtools-page/index.html'))
    }],
    ['polyport devtools replay recordings/20261126T080905.123Z-1-Shop.jsonl', async (stage, { text }) => {
      // The app is that of the README, under the name of the page's.
      const app = find('README.md', "const { createStore } = require('redux')")
      await stage.node('shop.js', swapped(app.text, { counter: 'Shop' }), stage.packages(app))
      const folder = stage.file('recordings')
      const recording = await until('a recording', () => fs.existsSync(folder) && fs.readdirSync(folder).find((name) => name.endsWith('-1-Shop.jsonl')))
      const file = path.join(folder, recording)
      await until('an action in it', () => fs.readFileSync(file, 'utf8').includes('INC'))
      const page = await stage.console(await stage.moved('http://127.0.0.1:8000/'))
      await page.holds("document.body.innerText.includes('Shop')")
      const address = ` --url ${await stage.moved('ws://127.0.0.1:8000/socketcluster/')}`
      const replay = stage.begin(swapped(text, { '20261126T080905.123Z-1-Shop.jsonl': recording }) + address)
      await page.holds("document.body.innerText.split('Shop').length > 2")
      replay.child.kill('SIGINT')
      assert.equal(await within(replay.ended, () => replay.stderr), 'SIGINT', replay.stderr)
    }],
  ],
})

const redis = story('docs/redis.md', 'two nodes', {
  begin: (stage) => stage.ship(),
  steps: [
    ["$ redis-server --port 6379 --save '' &", async (stage, block) => {
      // That of a Redis where none is named.
      const table = { 'backplane.engine=redis': 'backplane.engine=redis --set backplane.url=redis://127.0.0.1:6379' }
      const [server, first, second, telnet, said] = joined(block.text).map((line) => line.replace(/^\$ /, ''))
      assert.match(server, /^redis-server --port 6379 /)
      await stage.redis(6379)
      for (const line of [first, second]) await stage.start(line, { table })
      const one = await stage.telnet(['127.0.0.1', '5000'])
      await stage.command(telnet)
      await stage.terminal('telnet').send(said)
      await one.shows('{"message":"hi","room":"lobby",…}')
    }],
  ],
})

module.exports = [actionhero, overTls, pocketsocket, socketRed, socketCluster, binary, logins, devtools, redis]
