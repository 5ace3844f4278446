'use strict'
// The pages about the server API, taps and the console.

const assert = require('node:assert/strict')
const { alike } = require('../../likeness')
const { RpcClient } = require('../../rpc-client')
const { FrameClient } = require('../../frame-client')
const { until, within } = require('../../patience')
const { shipped } = require('../shipped')
const { commands } = require('../stage')
const { PAGES, story } = require('../story')

const KEY = 'key-of-the-snippets-0123456789abcdef'
const API = 'docs/server-api.md'
/** What the `…` of a request stands for. */
const HEADERS = '-H "Authorization: Bearer $POLYPORT_API_KEY" -H \'Content-Type: application/json\''
const LEFT_OUT = { 'curl -s …': `curl -s ${HEADERS}` }
const LEFT_OUT_WITH_ADDRESS = { 'curl -s … /api/': `curl -s ${HEADERS} 127.0.0.1:9900/api/` }
const ID = '7e57d004-2b97-4e7a-b45f-5387367791cd'

/** A telnet client that is the user 7. */
async function user(stage) {
  const telnet = await stage.telnet(['127.0.0.1', '5000'])
  const token = (await stage.do('polyport token make --user 7')).stdout.trim()
  await telnet.send(`{"action":"authenticate","params":{"token":"${token}"}}`)
  await telnet.shows('{"user":"7",…}')
  return telnet
}

/** What a page's table says that a client gets. */
const cell = (name) => new RegExp(`^\\| ${name} \\| \`(.*)\` \\|$`, 'm').exec(PAGES.get(API))[1]

const curl = story(API, 'with curl', {
  begin: async (stage) => {
    stage.env.POLYPORT_JWT_SECRET = 'a secret that is long enough for HS256'
    await stage.ship()
  },
  steps: [
    ["$ export POLYPORT_API_KEY=$(head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d =)", async (stage, block) => {
      const [key, start] = commands(block)
      await stage.command(key.command)
      await stage.start(start.command)
    }],
    ['$ curl -s 127.0.0.1:9900/api/publish -H "Authorization: Bearer $POLYPORT_API_KEY" \\', async (stage, block) => {
      const telnet = await user(stage)
      const page = await FrameClient.open({ port: await stage.port(8001) })
      const rpc = await RpcClient.open({ port: await stage.port(8080), path: '/' })
      stage.ends.push(() => page.close(), () => rpc.close())
      await stage.commands(block)
      await telnet.shows(cell('telnet'))
      assert.equal(await page.nextText(), cell('Pocketsocket'))
      await until('the event', () => rpc.received.some((event) => JSON.stringify(event) === cell('socket.red')))
    }],
    [`$ curl -s … 127.0.0.1:9900/api/publish -d '{"to":{"user":7},"event":"news","data":"only for you"}'`, async (stage, block) => {
      const [answer] = await stage.commands(block, { table: LEFT_OUT })
      assert.equal(answer, '{"sessions":1}')
      await stage.terminal('telnet').shows('{"message":"only for you",…,"event":"news"}')
    }],
    ["$ curl -s … '127.0.0.1:9900/api/sessions?room=lobby'", async (stage, block) => {
      const [listed, ended] = await stage.commands(block, { table: LEFT_OUT })
      assert.equal(JSON.parse(listed).sessions.length, 3)
      assert.equal(ended, '{"sessions":1}')
      await stage.terminal('telnet').shows('{"status":"Bye!","context":"api"}')
    }],
    ['$ polyport sessions --protocol tcp-verbs --room lobby', async (stage, block) => {
      await user(stage)
      // Who it is and since when differs.
      await stage.commands(block, { table: { '127.0.0.1:52114': '127.0.0.1:…', ' 2m 10s ': ' … ', '    0  7': '    …  7' } })
      await stage.terminal('telnet').shows('{"message":{"n":1},"room":"lobby",…,"event":"news"}')
      await stage.terminal('telnet').shows('{"status":"Bye!","context":"api"}')
    }],
    [`$ curl -s … /api/join -d '{"to":{"user":7},"room":"news"}'`, async (stage, block) => {
      const both = [await user(stage), await user(stage)]
      await stage.commands(block, { table: LEFT_OUT_WITH_ADDRESS })
      for (const telnet of both) await telnet.shows('{"message":null,"room":"news",…,"event":"bye"}')
    }],
    ['{', async (stage, { text }) => {
      const { sessions } = await stage.api('/api/sessions?user=7')
      const printed = JSON.stringify(sessions[0])
      const shown = JSON.stringify(JSON.parse(text)).replace('127.0.0.1:52114', '127.0.0.1:…')
      assert.ok(alike([shown], [printed]), `${printed}\nand the page shows\n${shown}`)
    }],
    ['$ polyport api-key', async (stage, block) => {
      const [made] = await stage.commands(block)
      assert.match(made, /\bpp_\S+/)
      assert.match(made, /sha256:[0-9a-f]{64}/)
    }],
  ],
})

const TAPPED = `[admin]
bind = "127.0.0.1:9900"

[api]

[listeners.tcp]
protocol = "tcp-verbs"
bind = "127.0.0.1:5000"
join = ["lobby"]

[listeners.messaging]
protocol = "socket-io"
bind = "127.0.0.1:3000"
join = ["lobby"]
`

/** Says the same in telnet until a condition is met. */
async function sayUntil(stage, condition, output) {
  await stage.until(async () => {
    await stage.terminal('telnet').send('say lobby hi')
    return condition()
  }, output)
}

const tap = story('docs/tap.md', 'taps', {
  begin: async (stage) => {
    Object.assign(stage.env, { POLYPORT_API_KEY: KEY })
    await stage.keep('gateway.toml', TAPPED)
    await stage.start()
    await stage.telnet(['127.0.0.1', '5000'])
    const [session] = (await stage.api('/api/sessions')).sessions
    stage.session = session.id
  },
  steps: [
    ['polyport tap --room lobby                       # until Ctrl-C', async (stage, block) => {
      // Whose session it is, and not for so long.
      const real = [[ID, stage.session], ['--for 10s', '--for 1s'], ['--count 100', '--count 3']]
      const lines = commands(block).map(({ command }) => real.reduce((line, [shown, own]) => line.replace(shown, own), command))
      assert.equal(lines.filter((line, index) => line !== commands(block)[index].command).length, 3, 'what differs is there')
      const [room, listener, session, json] = lines.map((line) => stage.begin(line))
      await sayUntil(stage, () => room.stdout.includes('"hi"') && listener.stdout.includes('"hi"'), room)
      await sayUntil(stage, () => /^ +socket-io {2}/m.test(session.stdout), session)
      await sayUntil(stage, () => json.stdout.split('\n').length > 3, json)
      for (const ending of [room, session]) ending.child.kill('SIGINT')
      for (const output of [room, listener, session, json]) assert.equal(await within(output.ended, () => output.stdout), 0, output.stderr)
      for (const line of json.stdout.trim().split('\n')) assert.equal(JSON.parse(line).room, 'lobby')
      stage.printed = session.stdout.trimEnd().split('\n')
    }],
    [`12:04:11.482Z  publish  tcp-verbs ${ID}  lobby  message  "hi"`, async (stage, { text }) => {
      const shown = text.split('\n')
      const from = stage.printed.findIndex((line) => line.includes('  publish  '))
      assert.ok(alike(shown, stage.printed.slice(from, from + shown.length)), stage.printed.join('\n'))
    }],
    [`$ curl -sN -H "Authorization: Bearer $POLYPORT_API_KEY" 'http://127.0.0.1:9900/api/tap?room=lobby'`, async (stage, block) => {
      const [{ command, shown }] = commands(block)
      const output = stage.begin(await stage.moved(command))
      const lines = () => output.stdout.split('\n').slice(0, -1)
      await sayUntil(stage, () => lines().some((line) => line.includes('"publish"')), output)
      const [published] = lines().filter((line) => line.includes('"publish"'))
      assert.ok(alike(shown, [published]), published)
      output.child.kill('SIGINT')
    }],
  ],
})

const console = story('docs/console.md', 'the link', {
  begin: (stage) => shipped(stage),
  steps: [
    ['  the console, with that key: http://127.0.0.1:9900/#key=pp_…', async (stage, { text }) => {
      const shown = await stage.moved(text)
      const printed = stage.gateway.log.split('\n').find((line) => alike([shown], [line]))
      assert.ok(printed, stage.gateway.log)
      const page = await stage.console(/http:\S+/.exec(printed)[0])
      await page.holds("document.body.innerText.includes('messaging')")
    }],
  ],
})

module.exports = [curl, tap, console]
