'use strict'
// Using the console in Chromium: by keyboard, on a phone, in the dark, and while the gateway is away.

const assert = require('node:assert/strict')
const { after, afterEach, before, describe, test } = require('node:test')
const { ConsoleRig, KEYS } = require('./lib/console-rig')
const { Polyport } = require('./lib/polyport')
const { verbsListener } = require('./lib/verbs')
const { until } = require('./lib/wait')

const VIEWS = ['overview', 'sessions', 'rooms', 'calls', 'cluster', 'trouble', 'tap', 'operations']

let rig
before(async () => {
  rig = await ConsoleRig.start()
})
afterEach(() => rig.tidy())
after(() => rig?.stop())

describe('for everybody', () => {
  test('it has no flaw that axe finds, in every view, light and dark, and fits a phone', async () => {
    const session = await rig.sessionOf('tcp-verbs')
    const views = [...VIEWS.map((view) => `#/${view}`), `#/sessions/${session}`, '#/rooms/default/lobby']
    for (const dark of [false, true]) {
      const page = await rig.open({ dark })
      const phone = await rig.open({ dark, width: 360, height: 740 })
      await page.shows(/Ready/)
      for (const view of views) {
        for (const one of [page, phone]) {
          await one.go(view)
          await one.page.waitForFunction((wanted) => location.hash === wanted && document.querySelector('h1'), {}, view)
          await one.page.waitForNetworkIdle({ idleTime: 100 })
          assert.deepEqual(await one.accessibility(), [], `${view}, ${dark ? 'dark' : 'light'}`)
        }
        assert.equal(await phone.overflow(), 0, `${view} is wider than a phone`)
        const name = view.slice(2).replace(session, 'one').replaceAll('/', '-')
        await page.screenshot(`${name}-${dark ? 'dark' : 'light'}`)
        await phone.screenshot(`${name}-phone-${dark ? 'dark' : 'light'}`)
      }
      if (dark) await page.go('#/sessions')
      if (dark) await page.table('Sessions', (rows) => rows.length > 0)
      if (dark) await page.picture('console-sessions.png')
      for (const one of [page, phone]) await one.checkFaults()
    }
    const welcome = await rig.open({ key: null })
    await welcome.shows(/API key/)
    assert.deepEqual(await welcome.accessibility(), [])
  })

  test('the switch of colours stays', async () => {
    const page = await rig.open()
    await page.shows(/Ready/)
    const paper = () => page.page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    const light = await paper()
    await page.page.select('.theme select', 'dark')
    assert.notEqual(await paper(), light)
    await page.page.reload()
    await page.shows(/Ready/)
    assert.notEqual(await paper(), light)
    await page.page.select('.theme select', 'light')
    await page.page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'dark' }])
    assert.equal(await paper(), light)
    await page.checkFaults()
  })

  test('the keyboard alone does everything', async () => {
    const own = await rig.telnet()
    const id = await own.id()
    const page = await rig.open({ key: null })
    await page.shows(/API key/)
    await page.press('Tab')
    assert.equal(await page.focused(), 'key')
    await page.page.keyboard.type(KEYS.root)
    await page.press('Enter')
    await page.shows(/Ready/)
    assert.equal(await page.focused(), 'Overview', 'the heading')
    await page.page.reload()
    await page.shows(/Ready/)
    await page.press('Tab')
    assert.equal(await page.focused(), 'Skip to the content')
    await page.press('Enter')
    assert.equal(await page.focused(), 'main')
    await page.page.reload()
    await page.shows(/Ready/)
    await page.press('Tab', 4)
    assert.equal(await page.focused(), 'Sessions')
    await page.press('Enter')
    await page.shows(/In the room/)
    assert.equal(await page.focused(), 'Sessions', 'the heading')
    await page.press('Tab')
    assert.equal(await page.focused(), 'filter-search')
    await page.page.keyboard.type(id)
    await page.press('Enter')
    await page.table('Sessions', (rows) => rows.length === 1 && rows[0].Session === id)
    assert.equal(await page.focused(), 'filter-search', 'the focus stays over refreshes')
    // Five more fields, two buttons, the table itself, the session.
    await page.press('Tab', 9)
    assert.equal(await page.focused(), id)
    await page.press('Enter')
    await page.shows(/Calls in flight/)
    await page.press('Tab')
    assert.equal(await page.focused(), 'Disconnect')
    await page.press('Enter')
    await page.shows(/Disconnect this session\?/, 'dialog')
    await page.press('Tab')
    assert.equal(await page.focused(), 'Cancel')
    await page.press('Enter')
    assert.equal(await page.focused(), 'Disconnect', 'the focus is where it was')
    await page.press('Enter')
    await page.shows(/Disconnect this session\?/, 'dialog')
    await page.press('Enter')
    await own.ended()
    await page.shows(/It has ended/)
    assert.equal(await page.focused(), 'Session', 'the button is gone, the heading is not')
    await page.checkFaults()
  })

  test('it says when the gateway is away, and goes on when it is back', async () => {
    const env = { POLYPORT_API_KEY: KEYS.root }
    let own = await Polyport.start({ api: {}, listeners: { tcp: verbsListener() } }, { env })
    try {
      const page = await rig.open({ origin: `http://127.0.0.1:${own.ports.admin}` })
      await page.shows(/Live/, '.top')
      await own.kill()
      await page.shows(/Gateway away\s+The gateway does not answer. It is tried again and again/, '.top')
      await page.shows(/Listeners/)
      own = await Polyport.start(own.config, { env })
      await page.shows(/Live/, '.top')
      await page.checkFaults()
    } finally {
      await own.kill()
    }
  })

  test('it does not ask while nobody looks', async () => {
    const page = await rig.open()
    await page.shows(/Live/, '.top')
    let asked = 0
    page.page.on('request', () => (asked += 1))
    await page.page.evaluate(() => {
      Object.defineProperty(document, 'hidden', { value: true, configurable: true })
      document.dispatchEvent(new Event('visibilitychange'))
    })
    await page.page.waitForNetworkIdle({ idleTime: 100 })
    asked = 0
    // Two turns would have come in this time.
    await new Promise((resolve) => setTimeout(resolve, 5_000))
    assert.equal(asked, 0)
    await page.page.evaluate(() => {
      Object.defineProperty(document, 'hidden', { value: false, configurable: true })
      document.dispatchEvent(new Event('visibilitychange'))
    })
    await until('a question', () => asked > 0)
    await page.checkFaults()
  })
})
