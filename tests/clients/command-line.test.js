'use strict'
// The commands about a gateway that runs, against one that does.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const crypto = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { FrameClient } = require('./lib/frame-client')
const { LineClient } = require('./lib/line-client')
const { OnTerminal } = require('./lib/on-terminal')
const { BINARY, Polyport, environment, run, temporaryFolder } = require('./lib/polyport')
const { freePort } = require('./lib/ports')
const { verbsListener } = require('./lib/verbs')
const { until, within, LIMIT } = require('./lib/wait')

const KEY = crypto.randomBytes(32).toString('base64url')
const NEWS_KEY = crypto.randomBytes(32).toString('base64url')
const hash = (key) => `sha256:${crypto.createHash('sha256').update(key).digest('hex')}`

/** The columns of each line, which are parted by two spaces at least. */
const rows = (text) => text.trimEnd().split('\n').map((line) => line.trim().split(/ {2,}/))

describe('commands about a gateway that runs', () => {
  let gateway
  let telnet
  let page
  let ids

  /** What a command prints that must succeed. */
  const done = (args, options) => {
    const ended = ask(args, options)
    assert.equal(ended.status, 0, ended.stderr)
    assert.equal(ended.stderr, '')
    return ended.stdout
  }

  const ask = ([command, ...args], { env = { POLYPORT_API_KEY: KEY } } = {}) =>
    run([command, '--config', gateway.file, ...args], { env, cwd: gateway.folder })

  before(async () => {
    gateway = await Polyport.start(
      {
        api: { keys: { news: { hash: hash(NEWS_KEY), verbs: ['publish', 'sessions'], rooms: ['news*'] } } },
        listeners: { tcp: verbsListener({ join: ['lobby'] }), pocket: { protocol: 'ws-channels', join: ['lobby'] } },
      },
      { env: { POLYPORT_API_KEY: KEY } },
    )
    telnet = await LineClient.open({ port: gateway.ports.tcp })
    page = await FrameClient.open({ port: gateway.ports.pocket })
    await page.before()
    ids = { telnet: await telnet.id(), sessions: JSON.parse(done(['sessions', '--json'])).sessions }
  })
  after(async () => {
    for (const client of [telnet, page]) client?.close()
    await gateway?.stop()
  })

  test('sessions are a table, and filters pick from it', () => {
    const [head, ...all] = rows(done(['sessions']))
    assert.deepEqual(head, ['ID', 'LISTENER', 'PROTOCOL', 'PEER', 'OPEN FOR', 'CALLS', 'USER', 'ROOMS'])
    assert.deepEqual(all.map((row) => row[1]).sort(), ['pocket', 'tcp'])
    for (const row of all) {
      assert.match(row[3], /^127\.0\.0\.1:\d+$/)
      assert.match(row[4], /^\d+s$/)
      assert.match(row[7], /lobby/)
    }
    for (const filter of [['--protocol', 'tcp-verbs'], ['--listener', 'tcp', '--room', 'lobby']]) {
      assert.deepEqual(rows(done(['sessions', ...filter])).map((row) => row[1]), ['LISTENER', 'tcp'])
    }
    assert.equal(done(['sessions', '--user', '7 & 8']), 'no such session is open\n')
  })

  test('a limit cuts the list, and says so', () => {
    const text = done(['sessions', '--limit', '1'])
    assert.equal(rows(text).length, 3)
    assert.match(text, /there are more: --limit/)
    const list = JSON.parse(done(['sessions', '--limit', '1', '--json']))
    assert.equal(list.sessions.length, 1)
    assert.notEqual(list.next, null)
    assert.equal(JSON.parse(done(['sessions', '--json'])).next, null)
  })

  test('rooms', () => {
    assert.deepEqual(rows(done(['rooms', '--prefix', 'lob'])), [['MEMBERS', 'ROOM'], ['2', 'lobby']])
    assert.deepEqual(JSON.parse(done(['rooms', '--prefix', 'lob', '--json'])).rooms, [{ name: 'lobby', members: 2, events: 0 }])
    assert.equal(done(['rooms', '--prefix', 'nobody']), 'there is no such room\n')
  })

  test('more entries than a page has are one list', async () => {
    const names = Array.from({ length: 1_203 }, (_, index) => `many-${index}`)
    const crowd = await Polyport.start(
      { api: {}, listeners: { pocket: { protocol: 'ws-channels', join: names, limits: { rooms_per_session: 2_000 } } } },
      { env: { POLYPORT_API_KEY: KEY } },
    )
    const client = await FrameClient.open({ port: crowd.ports.pocket })
    try {
      await client.before()
      const listed = (limit) =>
        JSON.parse(run(['rooms', '--config', crowd.file, '--prefix', 'many-', '--limit', limit, '--json'], { env: { POLYPORT_API_KEY: KEY } }).stdout)
      const all = listed('5000')
      assert.equal(all.next, null)
      assert.deepEqual(all.rooms.map((room) => room.name), [...names].sort())
      const part = listed('1100')
      assert.equal(part.rooms.length, 1_100)
      assert.notEqual(part.next, null)
    } finally {
      client.close()
      await crowd.stop()
    }
  })

  test('publish reaches clients of every protocol, digit by digit', async () => {
    assert.equal(done(['publish', '--room', 'lobby', 'news', '{"n":1.50}']), '2 sessions get it\n')
    assert.match(await telnet.next(), /"message":\{"n":1\.50\}.*"event":"news"/)
    assert.match(await page.nextText(), /"lobby\.news".*\{"n":1\.50\}/)
    assert.equal(done(['publish', '--session', ids.telnet, 'only', '-1']), '1 session gets it\n')
    assert.match(await telnet.next(), /"message":-1.*"event":"only"/)
    assert.deepEqual(JSON.parse(done(['publish', '--everyone', '--json', 'all'])), { sessions: 2 })
    assert.match(await telnet.next(), /"event":"all"/)
    assert.match(await page.nextText(), /all/)
    assert.equal(done(['publish', '--user', '7', 'news']), 'nobody is there to get it\n')
  })

  test('disconnect ends a session in its protocol\'s way', async () => {
    const client = await LineClient.open({ port: gateway.ports.tcp })
    const id = await client.id()
    assert.equal(done(['disconnect', '--session', id]), '1 session is ending\n')
    assert.match(await client.next(), /Bye/)
    await client.ended()
    assert.equal(done(['disconnect', '--user', '7']), 'no such session is open\n')
  })

  test('a key may come from a file, and a gateway be named by its address', () => {
    const folder = temporaryFolder()
    const file = path.join(folder, 'key')
    fs.writeFileSync(file, `${NEWS_KEY}\n`)
    const url = `http://127.0.0.1:${gateway.ports.admin}/`
    const named = run(['publish', '--url', url, '--key-file', file, '--room', 'news', 'x'], { cwd: folder })
    assert.deepEqual([named.status, named.stdout], [0, 'nobody is there to get it\n'], named.stderr)
    const other = run(['publish', '--url', url, '--key-file', file, '--room', 'lobby', 'x'], { cwd: folder })
    assert.equal(other.status, 1)
    assert.match(other.stderr, /\[api\.keys\.NAME\].*\(forbidden\)/)
    assert.ok(!other.stderr.includes(NEWS_KEY))
  })

  test('errors say what to do', async () => {
    const nobody = `http://127.0.0.1:${await freePort()}`
    for (const [args, env, patterns] of [
      [['sessions'], {}, [/POLYPORT_API_KEY/, /--key-file/]],
      [['sessions', '--key-file', 'nowhere'], {}, [/--key-file/, /nowhere/]],
      [['sessions'], { POLYPORT_API_KEY: 'x'.repeat(43) }, [/unauthorized/, /\[api\.keys\]/]],
      [['sessions', '--url', nobody], { POLYPORT_API_KEY: KEY }, [/does not answer/, /admin\.bind/]],
      [['sessions', '--url', '127.0.0.1:1'], { POLYPORT_API_KEY: KEY }, [/--url 127\.0\.0\.1:1/, /http:\/\//]],
      [['sessions', '--realm', 'none'], { POLYPORT_API_KEY: KEY }, [/none/, /unknown_realm/]],
      [['disconnect', '--session', crypto.randomUUID()], { POLYPORT_API_KEY: KEY }, [/unknown_session/]],
    ]) {
      const ended = ask(args, { env })
      assert.equal(ended.status, 1, `${args}: ${ended.stdout}`)
      for (const pattern of patterns) assert.match(ended.stderr, pattern)
    }
    for (const [args, pattern] of [
      [['publish', 'news'], /--room <ROOM>\|--user <ID>\|--session <ID>\|--everyone/],
      [['publish', '--room', 'lobby', 'news', 'hello'], /'"hello"'/],
      [['disconnect'], /--everyone/],
    ]) {
      const ended = ask(args)
      assert.equal(ended.status, 2)
      assert.match(ended.stderr, pattern)
    }
  })

  test('a gateway without the server API, and one without an admin listener', async () => {
    const bare = await Polyport.start({ listeners: { tcp: verbsListener() } })
    try {
      const ended = run(['rooms', '--config', bare.file], { env: { POLYPORT_API_KEY: KEY } })
      assert.equal(ended.status, 1)
      assert.match(ended.stderr, /add the table \[api\]/)
    } finally {
      await bare.stop()
    }
    const cwd = temporaryFolder()
    fs.writeFileSync(path.join(cwd, 'gateway.toml'), '[listeners.tcp]\nprotocol = "tcp-verbs"\nbind = "127.0.0.1:0"\n')
    const ended = run(['rooms'], { cwd, env: { POLYPORT_API_KEY: KEY } })
    assert.equal(ended.status, 1)
    assert.match(ended.stderr, /\[admin\].*--url/)
  })
})

describe('polyport drain', () => {
  const start = (more) =>
    Polyport.start({ api: { keys: { some: { hash: hash(NEWS_KEY), verbs: ['disconnect'] } } }, listeners: { tcp: verbsListener() }, ...more }, { env: { POLYPORT_API_KEY: KEY } })
  const drain = (gateway, args = [], key = KEY) => run(['drain', '--config', gateway.file, ...args], { env: { POLYPORT_API_KEY: key } })

  test('it stops in order, as SIGTERM does', async () => {
    const gateway = await start()
    const client = await LineClient.open({ port: gateway.ports.tcp })
    const ended = drain(gateway)
    assert.deepEqual([ended.status, ended.stdout], [0, 'it stops; 1 session is to leave\n'], ended.stderr)
    assert.match(await client.rest(), /Bye/)
    assert.deepEqual(await gateway.ended, { code: 0, signal: null })
    assert.match(gateway.log, /told by the server API to stop/)
  })

  test('a window of its own, in which it is alive and not ready', async () => {
    const gateway = await start({ shutdown: { window: '0s' } })
    const clients = await Promise.all(Array.from({ length: 40 }, () => LineClient.open({ port: gateway.ports.tcp })))
    const begin = Date.now()
    assert.equal(drain(gateway, ['--window', '2s', '--json']).stdout, '{"sessions":40}\n')
    const leaving = Promise.all(clients.map(async (client) => {
      assert.match(await client.rest(), /Bye/)
      return Date.now() - begin
    }))
    await until('/readyz to say that it drains', async () => (await gateway.get('/readyz')).status === 503)
    assert.equal((await gateway.get('/healthz')).status, 200)
    const times = await leaving
    const late = times.filter((time) => time > 1_000).length
    assert.ok(late > 5 && late < 35, `${late} of 40 left in the second half`)
    assert.deepEqual(await gateway.ended, { code: 0, signal: null })
  })

  test('whoever asks gets the answer also where nobody is there', async () => {
    for (let round = 0; round < 5; round += 1) {
      const gateway = await start()
      const before = Date.now()
      const ended = drain(gateway)
      assert.deepEqual([ended.status, ended.stdout], [0, 'it stops; nobody is there\n'], ended.stderr)
      assert.deepEqual(await gateway.ended, { code: 0, signal: null })
      assert.ok(Date.now() - before < 3_000)
    }
  })

  test('it takes a right of its own', async () => {
    const gateway = await start()
    try {
      const ended = drain(gateway, [], NEWS_KEY)
      assert.equal(ended.status, 1)
      assert.match(ended.stderr, /does not have the verb `drain`.*\[api\.keys\.NAME\]/)
      assert.equal(drain(gateway, ['--window', 'soon']).status, 2)
      assert.equal((await gateway.get('/readyz')).status, 200)
    } finally {
      await gateway.stop()
    }
  })
})

describe('polyport top', () => {
  const start = (admin) => Polyport.start({ admin, listeners: { tcp: verbsListener(), pocket: { protocol: 'ws-channels' } } })

  test('once is one table, with what happens in a second', async () => {
    const gateway = await start()
    const client = await LineClient.open({ port: gateway.ports.tcp })
    try {
      const child = spawn(BINARY, ['top', '--once', '--config', gateway.file], { env: environment(), stdio: ['ignore', 'pipe', 'inherit'] })
      let text = ''
      child.stdout.setEncoding('utf8').on('data', (part) => {
        text += part
      })
      let code
      child.once('close', (status) => {
        code = status
      })
      // Something is called all the time, whichever second it looks at.
      await until('the overview', async () => {
        await client.ask('randomNumber')
        return code !== undefined
      })
      assert.equal(code, 0)
      assert.ok(!text.includes('\x1b'), 'nothing but text')
      const table = rows(text)
      assert.match(text, new RegExp(`^polyport \\d+\\.\\d+\\.\\d+ at http://127\\.0\\.0\\.1:${gateway.ports.admin}, ready\n`))
      assert.match(text, /^up .*CPU \d+ % of a core {3}memory [\d.]+ MiB {3}files \d+ of \d+/m)
      assert.match(text, /^configuration 1 {3}failed reloads 0$/m)
      const head = table.find((row) => row[0] === 'LISTENER')
      const cell = (name, column) => table.find((row) => row[0] === name && row.length === head.length - (name === 'all'))[head.indexOf(column) - (name === 'all')]
      assert.equal(cell('tcp', 'PROTOCOL'), 'tcp-verbs')
      assert.deepEqual(['tcp', 'pocket', 'all'].map((name) => cell(name, 'SESSIONS')), ['1', '0', '1'])
      assert.ok(Number(cell('tcp', 'CALLS/s')) > 1, text)
      assert.match(cell('tcp', 'P99'), /^[\d.]+ (µs|ms)$/)
      assert.equal(cell('pocket', 'P99'), '-')
      assert.ok(Number(table.find((row) => row[0] === 'ok')[2]) > 1, text)
      assert.ok(table.some((row) => row[0] === 'PROTOCOL' && row.includes('DELIVERED/s')))
    } finally {
      client.close()
      await gateway.stop()
    }
  })

  test('it goes on until Ctrl-C, through a restart, and leaves the terminal as it was', async () => {
    const admin = { bind: `127.0.0.1:${await freePort()}` }
    let gateway = await start(admin)
    const top = new OnTerminal(['top', '--url', `http://${admin.bind}`])
    try {
      await top.shows(/, ready/)
      await gateway.stop()
      await top.shows(/does not answer/)
      const seen = top.seen.length
      gateway = await start(admin)
      await until('an overview of the new process', () => /\x1b\[1;1Hpolyport /.test(top.seen.slice(seen)))
      top.press('\x03')
      assert.equal(await within(top.ended, LIMIT, () => JSON.stringify(top.seen)), 0)
      for (const [on, off] of [['\x1b[?1049h', '\x1b[?1049l'], ['\x1b[?25l', '\x1b[?25h'], ['\x1b[?7l', '\x1b[?7h']]) {
        assert.equal(top.seen.split(on).length, 2, 'once on')
        assert.ok(top.seen.lastIndexOf(off) > top.seen.lastIndexOf('\x1b[J'), 'off at the end')
      }
      assert.ok(!/\n/.test(top.seen.slice(0, top.seen.lastIndexOf('\x1b[J'))), 'nothing scrolls')
    } finally {
      top.child.kill('SIGKILL')
      await gateway.stop()
    }
  })

  test('without a terminal, a gateway or its metrics it says what to do', async () => {
    const gateway = await start()
    try {
      const admin = `http://127.0.0.1:${gateway.ports.admin}`
      for (const [args, pattern] of [
        [['--url', admin], /--once/],
        [['--once', '--url', `http://127.0.0.1:${await freePort()}`], /does not answer.*--url/],
        [['--once', '--url', `http://127.0.0.1:${gateway.ports.pocket}`], /no metrics of a gateway/],
      ]) {
        const ended = run(['top', ...args])
        assert.equal(ended.status, 1, ended.stdout)
        assert.match(ended.stderr, pattern)
      }
    } finally {
      await gateway.stop()
    }
  })
})
