'use strict'
// README.md, from the start to the two minutes of users.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { alike } = require('../../likeness')
const { until } = require('../../patience')
const { ROOT } = require('../../polyport')
const { secured, shipped } = require('../shipped')
const { comments, joined } = require('../stage')
const { story } = require('../story')

const PAGE = 'README.md'

/** What is said in telnet, and what it shows then. */
async function said(stage, line, shown) {
  const telnet = stage.terminal('telnet')
  await telnet.send(line)
  for (const one of shown) await telnet.shows(one)
}

const SAY = [
  '{"status":"OK","context":"response",…}',
  '{"message":"hi","room":"lobby","from":"4cd5a84d-6ce9-45c6-96b4-382d5a8560a6","context":"user","sentAt":1795250060158}',
]

/** Lines of a block, each typed alone; what stands behind `//` is what the console prints then. */
async function typed(console, { text }) {
  for (const line of text.split('\n')) {
    await console.type(line)
    for (const comment of comments(line)) await console.shows(comment)
  }
}

/** Saves the script with one method more, as an editor does: nobody sees half of it. */
async function addMethod(stage, method) {
  const file = stage.file('docs/examples/tour.js')
  const from = stage.gateway.log.length
  fs.writeFileSync(`${file}.new`, fs.readFileSync(file, 'utf8').replace('class TourApi {\n', `class TourApi {\n${method}\n`))
  fs.renameSync(`${file}.new`, file)
  await stage.gateway.logged(/script loaded anew/, { from })
}

const connected = story(PAGE, 'telnet, browsers, an API, pushes and users', {
  begin: (stage) => stage.ship(),
  steps: [
    ['cargo run --release       # start; needs Rust 1.95 or newer and a C compiler', async (stage, { text }) => {
      const [start, tests] = joined(text)
      await stage.start(start)
      // The suites do not start themselves.
      fs.accessSync(path.join(ROOT, tests.split(' ')[0]), fs.constants.X_OK)
    }],
    ['polyport 0.1.0 is up', async (stage, { text }) => {
      const shown = (await stage.moved(text)).split('\n')
      const printed = stage.gateway.log.split('\n').filter((line) => line !== '')
      const from = printed.indexOf(shown[0])
      // The addresses of this run are not all of one width.
      assert.ok(alike(shown, printed.slice(from, from + shown.length)), stage.gateway.log)
    }],
    ['telnet 127.0.0.1 5000', async (stage, { text }) => {
      stage.lobby = await stage.console()
      await stage.lobby.holds("!document.querySelector('#text').disabled")
      await stage.command(text)
    }],
    ['{"welcome":"Hello! Welcome to the actionhero api","room":"defaultRoom","context":"api"}', async (stage, block) => {
      await stage.conversation(block)
      await stage.lobby.holds("[...document.querySelectorAll('#log .other')].some((line) => line.textContent === 'hi')")
      await stage.lobby.page.type('#text', 'hello back')
      await stage.lobby.page.keyboard.press('Enter')
      await stage.terminal('telnet').shows('{"message":"hello back","room":"lobby","from":"4cd5a84d-6ce9-45c6-96b4-382d5a8560a6","context":"user","sentAt":1795250060158}')
    }],
    ["const hub = new WebSocket('ws://127.0.0.1:8001')", async (stage, { text }) => {
      stage.hub = await stage.console()
      await stage.hub.type(text)
      await stage.hub.holds('hub.readyState === WebSocket.OPEN')
    }],
    ['{"id":null,"message":"lobby.message","data":"hi"}', async (stage, { text }) => {
      await said(stage, 'say lobby hi', SAY)
      await stage.hub.shows(text)
    }],
    [`hub.send('{"id":"1","message":"lobby.hello","data":{"n":1}}')`, async (stage, { text }) => stage.hub.type(text)],
    ['{"time": "2026-11-21 08:34:20.812803", "messageId": "1", "socket": "sent", "attr": "json"}', async (stage, { text }) => stage.hub.shows(text)],
    ['{"message":{"n":1},"room":"lobby","from":"efff21f6-7fb2-4470-8b95-087257601542","context":"user","sentAt":1795250060817,"event":"hello"}', async (stage, { text }) =>
      stage.terminal('telnet').shows(text)],
    ["pocket.socket.setup('127.0.0.1:8001').on('lobby', function (event, message) {", async (stage, { text }) => {
      const page = stage.pocket()
      const [connect, signal] = text.split('\n\n')
      await page.connects(connect)
      await said(stage, 'say lobby hi', SAY)
      for (const comment of comments(connect)) await page.shows(comment)
      await page.type(signal)
      await stage.terminal('telnet').shows('{"message":{"n":1},"room":"lobby",…,"event":"hello"}')
    }],
    ["const rpc = new WebSocket('ws://127.0.0.1:8080/7')", async (stage, { text }) => {
      stage.rpc = await stage.console()
      await stage.rpc.type(text)
    }],
    ['[-1,"hi","A new session has started"]', async (stage, { text }) => {
      for (const line of text.split('\n')) await stage.rpc.shows(line)
    }],
    [`rpc.send('[1,"clap",[2]]')       // [1,true,"Clap Clap Clap with 2"]`, async (stage, block) => typed(stage.rpc, block)],
    ['  greet(name) {', async (stage, { text }) => {
      await addMethod(stage, text)
    }],
    [`rpc.send('[4,"greet",["Ada"]]')  // [4,true,"Hello Ada!"]`, async (stage, { text }) => {
      // Once the session is the new script's.
      await until('the new method to answer', async () => {
        await stage.rpc.type(text)
        return (await stage.rpc.shows('[4,…]')) === comments(text)[0]
      })
    }],
    ["const connect = require('socket.red-client').default", async (stage, block) => {
      const client = await stage.node('client.js', block.text, stage.packages(block))
      await client.shows("{ type: 'ACTION_TYPE', payload: 'Your action data' }")
      await client.shows('Clap Clap Clap with 2')
    }],
    ['curl http://127.0.0.1:9900/api/publish -H "Authorization: Bearer $KEY" -H \'Content-Type: application/json\' \\', async (stage, block) => {
      stage.env.KEY = stage.key
      const [answer] = await stage.commands(block)
      assert.match(answer, /^\{"sessions":\d+\}$/)
    }],
    ['{"message":"hello from curl","room":"lobby","from":0,"context":"api","sentAt":1795250060158,"event":"news"}', async (stage, { text }) => {
      const [telnet, hub, rpc] = text.split('\n')
      await stage.terminal('telnet').shows(telnet)
      await stage.hub.shows(hub)
      await stage.rpc.shows(rpc)
    }],
    ['{"action":"authenticate","params":{"token":"eyJ…"}}', async (stage, { text }) => {
      await said(stage, text.replace('eyJ…', stage.token), ['{"user":"7",…}'])
    }],
    ["require('polyport').publish({ user: '7' }, 'news', 'for you alone')", async (stage, { text }) => {
      const pages = [await stage.console(), await stage.console()]
      for (const [index, address] of ['127.0.0.1:8001', '127.0.0.1:8080'].entries()) {
        await pages[index].type(`const own = new WebSocket('ws://${address}/?jwt=${stage.token}')\nown.onmessage = (event) => console.log(event.data)`)
        await pages[index].holds('own.readyState === WebSocket.OPEN')
      }
      await addMethod(stage, `  tell() {\n${text}\n}`)
      await until('the new method to answer', async () => {
        await stage.rpc.type(`rpc.send('[5,"tell",[]]')`)
        return (await stage.rpc.shows('[5,…]')).startsWith('[5,true,')
      })
      await stage.terminal('telnet').shows('{"message":"for you alone",…,"event":"news"}')
      await pages[0].shows('{"id":null,"message":"user(7).news","data":"for you alone"}')
      await pages[1].shows('[-1,"news","for you alone"]')
    }],
    ['curl -s http://127.0.0.1:9900/metrics', async (stage, block) => {
      const [metrics, ready] = await stage.commands(block)
      assert.match(metrics, /^polyport_build_info\{version=/m)
      assert.equal(ready, 'ready\n')
    }],
  ],
})

const originals = story(PAGE, 'the clients of Actionhero, Socket.IO, Pocketsocket and Redux DevTools', {
  begin: async (stage) => {
    await shipped(stage)
    await stage.telnet(['127.0.0.1', '5000'])
  },
  steps: [
    ['detailsView', async (stage, block) => {
      // Requests are typed though they are JSON, and what a file holds is not.
      const typed = (line) => line.startsWith('{"action"') || !(line.startsWith('{') || line.startsWith('Hello from a file.'))
      await stage.conversation(block, { typed, varying: ['"remotePort":48566', '"sleepDelta":101', 'expireTimestamp":1795250068313'] })
      await stage.command('telnet 127.0.0.1 5000')
    }],
    ["const ActionheroClient = require('actionhero-client')", async (stage, block) => {
      const client = await stage.node('actionhero.js', block.text, stage.packages(block))
      await client.shows('hello from Node')
      await stage.terminal('telnet').shows('{"message":"hello from Node","room":"lobby",…}')
    }],
    ["const { io } = require('socket.io-client')", async (stage, block) => {
      const client = await stage.node('socket-io.js', block.text, stage.packages(block))
      stage.socket = block.text
      const [hi, , ack] = comments(block.text)
      await client.shows(ack)
      await said(stage, 'say lobby hi', ['{"status":"OK",…}'])
      await client.shows(hi)
    }],
    ['{"message":"hello from Socket.IO","room":"lobby","from":"7c1a7d3e-…","context":"user","sentAt":1795250064581}', async (stage, { text }) => {
      // It was said before what has been asked for since.
      const telnet = stage.terminal('telnet')
      telnet.seen = 0
      await telnet.shows(text)
    }],
    ["io('http://127.0.0.1:3000', { auth: { token } })                          // 3.x, 4.x", async (stage, { text }) => {
      const before = (await stage.api('/api/sessions?user=7')).sessions.length
      const [client] = stage.socket.split("\nsocket.on('message'")
      const program = await stage.node('identified.js', `${client}\nconst token = '${stage.token}'\n${text}`)
      await program.shows('in the room user(7)')
      const { sessions } = await stage.api('/api/sessions?user=7')
      assert.equal(sessions.length - before, 2, 'by its handshake, and by the event')
    }],
    ["pocket.socket.setup('127.0.0.1:8001').on('socket', function (event, message) {", async (stage, { text }) => {
      const [connect, signal] = text.split('\n\n')
      const [one, other] = [stage.pocket(), stage.pocket()]
      await other.connects(connect)
      await one.connects(connect)
      await other.shows('connected …')
      await one.type(signal)
      await other.shows('{ milk: 2 }')
      await one.shows('sent …')
    }],
    ["const { createStore } = require('redux')", async (stage, block) => {
      await stage.node('counter.js', block.text, stage.packages(block))
      const page = await stage.console(await stage.moved('http://127.0.0.1:8000/'))
      await page.holds("document.body.innerText.includes('counter')")
      await page.holds("document.querySelector('#actions').innerText.includes('INC')")
      await page.holds("/\\bn\\b\\D*[1-9]/.test(document.querySelector('#state').innerText)")
    }],
  ],
})

const nodes = story(PAGE, 'two nodes', {
  begin: async (stage) => {
    await stage.ship()
    await stage.redis(6379)
  },
  steps: [
    ['cargo run --release -- run --set backplane.engine=redis', async (stage, { text }) => {
      // That of a Redis where none is named.
      const table = { 'backplane.engine=redis': 'backplane.engine=redis --set backplane.url=redis://127.0.0.1:6379' }
      for (const line of joined(text)) await stage.start(line, { table })
      const first = await stage.telnet(['127.0.0.1', '5000'])
      const second = await stage.telnet(['127.0.0.1', '5001'])
      await second.send('say lobby hi')
      await first.shows('{"message":"hi","room":"lobby",…}')
    }],
  ],
})

const secure = story(PAGE, 'TLS', {
  steps: [['openssl req -x509 -newkey rsa:2048 -nodes -days 30 -keyout key.pem -out cert.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1', secured]],
})

module.exports = [connected, originals, nodes, secure]
