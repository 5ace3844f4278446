'use strict'
// The console's tap in Chromium: what clients of five protocols do, as the page shows it, and what it says when it cannot.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const { after, afterEach, before, describe, test } = require('node:test')
const { ConsoleRig, KEYS } = require('./lib/console-rig')
const { LineClient } = require('./lib/line-client')
const { Polyport } = require('./lib/polyport')
const { connect } = require('./lib/socket-io')
const { verbsListener } = require('./lib/verbs')
const { until } = require('./lib/wait')

let rig
before(async () => {
  rig = await ConsoleRig.start()
})
afterEach(async () => {
  await rig.tidy()
  await rig.taps(0)
})
after(() => rig?.stop())

/** A tab whose tap runs. */
async function tapped(parameters, options) {
  const page = await rig.open(options)
  await page.shows(/Ready/)
  await page.go(`#/tap?${new URLSearchParams(parameters)}`)
  await page.shows(/Live/, '.summary')
  return page
}

/** Opens the row whose text matches, and gives all that it shows then. */
async function whole(page, pattern) {
  const row = await until(`a row like ${pattern}`, async () => {
    for (const one of await page.page.$$('.tap li')) if (pattern.test(await one.evaluate((element) => element.innerText))) return one
    return null
  })
  await row.evaluate((element) => {
    element.querySelector('details').open = true
  })
  return until('the whole of it', () => row.evaluate((element) => element.querySelector('dl.facts') && element.innerText))
}

describe('the tap', () => {
  test('shows what is said in a room, and the form in which each protocol gets it', async () => {
    const page = await tapped({ room: 'lobby' })
    const heard = rig.clients.rpc.received.length
    const speaker = await rig.telnet()
    const id = await speaker.id()
    await page.shows(new RegExp(`join\\s+lobby · ${id}`), '.tap')
    await speaker.send('say lobby {"n":1}')
    const shown = await whole(page, /publish\s+message/)
    assert.match(shown, new RegExp(`listener\\s+tcp\\s+protocol\\s+tcp-verbs\\s+session\\s+${id}\\s+realm\\s+default\\s+room\\s+lobby`))
    const forms = await page.page.$$eval('.forms > div', (all) => all.map((one) => [one.querySelector('dt').innerText, one.querySelector('pre').innerText]))
    assert.deepEqual(forms.map(([name]) => name).sort(), ['devtools-relay', 'socket-io', 'tcp-verbs', 'ws-channels', 'ws-rpc'])
    const real = await until('what socket.red gets', () => rig.clients.rpc.received.slice(heard).find((message) => message[1] === 'message'))
    assert.deepEqual(JSON.parse(Object.fromEntries(forms)['ws-rpc']), real)
    await page.screenshot('tap')
    await page.checkFaults()
  })

  test('filters, pauses, clears, stops', async () => {
    const page = await rig.open()
    await page.go('#/tap')
    await page.fill('tap-name', 'lobby')
    await page.click('Start')
    await page.shows(/Live/, '.summary')
    const speaker = await rig.telnet()
    await speaker.send('say lobby one')
    await page.shows(/"one"/, '.tap')
    await page.fill('tap-filter', '"ONE"')
    await page.shows(/1 of 2 events shown/, '.summary')
    await page.fill('tap-filter', '')
    await page.click('Pause')
    await speaker.send('say lobby two')
    await page.shows(/Paused; 1 event waits/, '.summary')
    assert.doesNotMatch(await page.text('.tap'), /two/)
    await page.click('Go on')
    await page.shows(/"two"[^]*"one"/, '.tap')
    await page.click('Clear')
    await page.shows(/^Live\.$/, '.summary')
    await page.click('Stop')
    await rig.taps(0)
    await page.shows(/Not running/, '.summary')
    await page.checkFaults()
  })

  test('numbers stay digit by digit', async () => {
    const page = await tapped({ room: 'lobby' })
    await rig.publish('{"to":{"room":"lobby"},"event":"digits","args":[{"n":12345678901234567890,"price":1.50}]}')
    await page.shows(/digits\s+\[\{"n":12345678901234567890,"price":1\.50\}\]/, '.tap')
    assert.match(await whole(page, /digits/), /Arguments\s+\[\s+\{\s+"n": 12345678901234567890,\s+"price": 1\.50/)
    await page.checkFaults()
  })

  test('binary and the forms of two generations of Socket.IO', async () => {
    const old = connect('2.5.0', `http://127.0.0.1:${rig.gateway.ports.io}`, { transports: 'websocket' })
    rig.opened.push(old)
    await old.connected()
    const page = await tapped({ room: 'lobby' })
    rig.clients.io.emit('chat', Buffer.from([0, 255, 7, 9]))
    const shown = await whole(page, /publish\s+chat/)
    assert.match(shown, /socket-io\s+451-\["chat",\{"_placeholder":true,"num":0\}\]\nbinary, 4 B AP8HCQ==/)
    assert.match(shown, /socket-io, form 2\s+451-\["chat",\{"_placeholder":true,"num":0\}\]\nbinary, 5 B BAD\/Bwk=/)
    await page.checkFaults()
  })

  test('a listener: openings with addresses, calls, answers, ends with reasons', async () => {
    const page = await tapped({ listener: 'tcp' })
    const client = await rig.telnet()
    const id = await client.id()
    await page.shows(new RegExp(`open\\s+127\\.0\\.0\\.1:\\d+ ${id}`), '.tap')
    await client.send('randomNumber', 'noSuchAction')
    await page.shows(/call\s+randomNumber/, '.tap')
    await page.shows(/answer\s+randomNumber\s+ok, [\d.]+ (µs|ms|s)\s/, '.tap')
    const failed = await whole(page, /answer\s+noSuchAction/)
    assert.match(failed, /outcome\s+unknown action\s+error\s+\S[^]*took\s+[\d.]+ (µs|ms|s)/)
    await client.send('quit')
    await page.shows(new RegExp(`close\\s+client left ${id}`), '.tap')
    assert.match(await whole(page, /open\s/), /peer\s+127\.0\.0\.1:\d+/)
    await page.checkFaults()
  })

  test('a message that is passed on as it is, and one that is too long to be shown', async () => {
    const page = await tapped({ listener: 'pocket' })
    await rig.clients.page.text('free text, password=hunter2hunter2')
    await page.shows(/publish\s+free text, password=\[redacted\]/, '.tap')
    assert.match(await whole(page, /free text/), /The message as it came\s+free text, password=\[redacted\]/)
    const speaker = await rig.telnet()
    const room = await tapped({ room: 'lobby' })
    await speaker.send(`say lobby ${'long '.repeat(1500)}`)
    assert.match(await whole(room, /long long/), /They have 7\.\d+ KiB; here is the beginning of their text\.\s+\["long long[^]*… \[cut: \d+ bytes\]/)
    for (const one of [page, room]) await one.checkFaults()
  })

  test('says when nothing happens, and when something does again', async () => {
    const page = await tapped({ room: 'otherRoom' })
    await page.shows(/Live\. Nothing happens at the moment\./, '.summary', 20_000)
    const client = await rig.telnet()
    await client.send('roomAdd otherRoom')
    await page.shows(/join\s+otherRoom/, '.tap')
    await page.shows(/^Live\. 1 of 1 event shown\.$/, '.summary')
    await page.checkFaults()
  })

  test('keeps 500 rows', async () => {
    const page = await tapped({ room: 'lobby' })
    const speaker = await rig.telnet()
    await speaker.send(...Array.from({ length: 700 }, (_, n) => `say lobby e${n}`))
    // Its own coming is a row too.
    await page.shows(/500 of 500 events shown. 201 older ones are no longer kept/, '.summary')
    const said = await page.page.$$eval('.tap summary code', (all) => all.map((one) => one.innerText))
    assert.deepEqual([said.length, said[0], said.at(-1)], [500, '["e699"]', '["e200"]'])
    await page.go('#/overview')
    await rig.taps(0)
    await page.checkFaults()
  })

  test('has no flaw that axe finds, light and dark, and fits a phone', async () => {
    for (const dark of [false, true]) {
      for (const width of [1200, 360]) {
        const page = await tapped({ listener: 'io' }, { dark, width })
        rig.clients.io.emit('chat', { some: ['thing', 'long'.repeat(40)] }, Buffer.from('binary'))
        await whole(page, /publish\s+chat/)
        assert.deepEqual(await page.accessibility(), [], `${dark ? 'dark' : 'light'}, ${width} wide`)
        assert.equal(await page.overflow(), 0, `${width} wide`)
        await page.screenshot(`tap-open-${dark ? 'dark' : 'light'}-${width}`)
        await page.checkFaults()
      }
    }
  })
})

describe('how a tap ends', () => {
  test('with the session that it is about', async () => {
    const client = await rig.telnet()
    const page = await tapped({ session: await client.id() })
    await rig.clients.telnet.send('say lobby to you')
    await page.shows(/deliver\s+message\s+\["to you"\]/, '.tap')
    await page.click('Pause')
    await client.send('quit')
    await page.shows(/^Not running\. The session has ended\. [1-9]\d* events? waits?\./, '.summary')
    assert.doesNotMatch(await page.text('.tap'), /client left/)
    await page.click('Go on')
    await page.shows(/close\s+client left/, '.tap')
    await page.checkFaults()
  })

  test('with the key, with the gateway, and with the connection', async () => {
    const key = crypto.randomBytes(32).toString('base64url')
    const hashed = { hash: `sha256:${crypto.createHash('sha256').update(key).digest('hex')}` }
    const other = { hash: `sha256:${'0'.repeat(64)}` }
    for (const [end, pattern] of [
      [async (own) => {
        own.configure({ ...own.config, api: { keys: { watcher: { ...hashed, verbs: ['info'] }, other } } })
        own.signal('SIGHUP')
      }, /The gateway has ended the tap: the key may no longer do this\./],
      [(own) => own.stop(), /The gateway has ended the tap: the gateway stops\./],
      [(own) => own.kill(), /The connection to the gateway has ended\./],
    ]) {
      const own = await Polyport.start({ api: { keys: { watcher: hashed, other } }, listeners: { tcp: verbsListener() } })
      try {
        const page = await tapped({ room: 'lobby' }, { origin: `http://127.0.0.1:${own.ports.admin}`, key })
        // It may be shown for a moment only: the next overview can take the view away.
        const shown = page.page.waitForFunction(() => document.querySelector('main .problem')?.innerText)
        await end(own)
        assert.match(await (await shown).jsonValue(), pattern)
        await page.checkFaults()
      } finally {
        await own.kill()
      }
    }
  })

  test('when the gateway is silent', async () => {
    const own = await Polyport.start({ api: {}, listeners: { tcp: verbsListener() } }, { env: { POLYPORT_API_KEY: KEYS.root } })
    try {
      const page = await tapped({ room: 'lobby' }, { origin: `http://127.0.0.1:${own.ports.admin}` })
      own.signal('SIGSTOP')
      await page.shows(/The gateway is silent\./, 'main .problem', 60_000)
      await page.shows(/Not running/, '.summary')
      await page.checkFaults()
    } finally {
      await own.kill()
    }
  })
})

describe('a tap that is not to be had', () => {
  test('what is not there, and what the key may not watch', async () => {
    const page = await rig.open()
    await page.shows(/Ready/)
    const missing = crypto.randomUUID()
    for (const [target, pattern] of [
      ['listener=none', /there is no listener `none`/],
      [`session=${missing}`, new RegExp(`there is no session \`${missing}\``)],
      ['session=7', /no session id/],
      ['room=lobby&realm=nowhere', /realm `nowhere`/],
    ]) {
      await page.go(`#/tap?${target}`)
      await page.shows(pattern, 'main .problem')
      await page.shows(/Not running/, '.summary')
    }
    const news = await rig.open({ key: KEYS.news })
    await news.go('#/tap?listener=tcp')
    await news.shows(/key `news`/, 'main .problem')
    await news.go('#/tap?room=news-1')
    await news.shows(/Live/, '.summary')
    const looker = await rig.open({ key: KEYS.looker })
    await looker.shows(/Ready/)
    await looker.go('#/tap?room=lobby')
    await looker.shows(/This key does not have the verb tap/)
    for (const view of [`#/sessions/${await rig.sessionOf('tcp-verbs')}`, '#/rooms/default/lobby']) {
      await looker.go(view)
      await looker.shows(/lobby/)
      assert.doesNotMatch(await looker.text('main'), /Tap it/)
    }
    for (const one of [page, news, looker]) await one.checkFaults()
  })

  test('more than there may be, and more than is shown', async () => {
    const env = { POLYPORT_API_KEY: KEYS.root }
    const own = await Polyport.start({ api: { tap: { taps: 1, rate: 50 } }, listeners: { tcp: verbsListener({ join: ['lobby'] }) } }, { env })
    try {
      const origin = `http://127.0.0.1:${own.ports.admin}`
      const first = await tapped({ room: 'lobby' }, { origin })
      const second = await rig.open({ origin })
      await second.go('#/tap?room=lobby')
      await second.shows(/there are 1 taps, as many as there may be: stop one of them, or raise api\.tap\.taps/, 'main .problem')
      await second.go('#/rooms/default/lobby')
      await second.fill('to-room-event', 'news')
      await second.click('Publish')
      await second.shows(/What each protocol got cannot be shown: there are 1 taps/)
      await first.shows(/publish\s+news/, '.tap')
      const speaker = await LineClient.open({ port: own.ports.tcp })
      await speaker.send(...Array.from({ length: 1000 }, (_, n) => `say lobby ${n}`))
      await speaker.nextLines(1000)
      await first.shows(/The gateway has left out \d+ events, since there were too many/, '.summary')
      speaker.close()
      await first.click('Stop')
      await own.counted('polyport_taps', {}, (open) => open === 0)
      await second.go('#/tap?room=lobby')
      await second.shows(/Live/, '.summary')
      for (const one of [first, second]) await one.checkFaults()
    } finally {
      await own.kill()
    }
  })
})

describe('what each protocol got of what is published to a room', () => {
  test('is shown, whatever else is said there', async () => {
    const speaker = await rig.telnet()
    const page = await rig.open()
    await page.go('#/rooms/default/lobby')
    const speaking = setInterval(() => speaker.send('say lobby chatter'), 5)
    try {
      for (const [form, fields, expected] of [
        ['args', { event: 'news' }, /^\[-1,"news",\{"n":\s?1\}\]$/],
        ['message', { text: '"mine"' }, /^\[-1,"message","mine"\]$/],
        ['action', { text: '{"type":"ADD"}' }, /^\[0,\{"type":"ADD"\}\]$/],
      ]) {
        await page.fill('to-room-form', form)
        for (const [field, text] of Object.entries(fields)) await page.fill(`to-room-${field}`, text)
        await page.click('Publish')
        await page.shows(/sessions get it/, '.notices')
        await until(
          () => `what socket.red gets of ${form}`,
          async () => {
            const forms = await page.page.$$eval('.forms > div', (all) => all.map((one) => [one.querySelector('dt').innerText, one.querySelector('pre').innerText]))
            return forms.length === 5 && expected.test(Object.fromEntries(forms)['ws-rpc'])
          },
        )
      }
    } finally {
      clearInterval(speaking)
    }
    await page.shows(/As each protocol got it/)
    await rig.taps(0)
    assert.deepEqual(await page.accessibility(), [])
    await page.checkFaults()
  })

  test('is not asked for by a key that may not', async () => {
    const hashed = { hash: `sha256:${crypto.createHash('sha256').update(KEYS.root).digest('hex')}` }
    const own = await Polyport.start({ api: { keys: { speaker: { ...hashed, verbs: ['info', 'publish'] } } }, listeners: { tcp: verbsListener({ join: ['lobby'] }) } })
    try {
      const page = await rig.open({ origin: `http://127.0.0.1:${own.ports.admin}` })
      await page.shows(/Ready/)
      const asked = []
      page.page.on('request', (request) => asked.push(new URL(request.url()).pathname))
      await page.go('#/rooms/default/lobby')
      await page.fill('to-room-event', 'news')
      await page.click('Publish')
      await page.shows(/0 sessions get it/, '.notices')
      assert.ok(asked.includes('/api/publish') && !asked.includes('/api/tap'), asked.join(' '))
      assert.doesNotMatch(await page.text('main'), /each protocol got/)
      await page.checkFaults()
    } finally {
      await own.kill()
    }
  })
})
