'use strict'
// Using the console in Chromium: the tap, by keyboard, on a phone, in the dark, and while the gateway is away.

const assert = require('node:assert/strict')
const { after, afterEach, before, describe, test } = require('node:test')
const { ConsoleRig, KEYS } = require('./lib/console-rig')
const { Tapped } = require('./lib/tapped')
const { until } = require('./lib/wait')

const VIEWS = ['overview', 'sessions', 'rooms', 'calls', 'cluster', 'trouble', 'tap']

let rig
before(async () => {
  rig = await ConsoleRig.start()
})
afterEach(() => rig.tidy())
after(() => rig?.stop())

describe('the tap', () => {
  const EVENTS = [
    { at: 1_795_250_060_817, kind: 'publish', listener: 'tcp', protocol: 'tcp-verbs', session: 'abc', room: 'lobby', event: 'news', args: [{ n: 1 }], forms: { 'socket-io': '2["news",{"n":1}]', 'ws-rpc': '[-1,"news",{"n":1}]' } },
    { at: 1_795_250_060_818, kind: 'join', session: 'abc', room: 'lobby' },
  ]
  let tapped
  before(async () => {
    tapped = await Tapped.start(rig.gateway.ports.admin)
  })
  after(() => tapped?.stop())

  async function tapOpen(page, count) {
    await page.fill('tap-name', 'lobby')
    await page.click('Start')
    await until('the tap', () => tapped.taps.length === count)
    await page.shows(/Live/, '.summary')
    return tapped.taps[count - 1]
  }

  test('shows events and their forms, filters, pauses, stops', async () => {
    const page = await rig.open({ origin: tapped.origin })
    await page.go('#/tap')
    const tap = await tapOpen(page, 1)
    assert.deepEqual([tap.query, tap.key], [{ room: 'lobby', realm: 'default' }, `Bearer ${KEYS.root}`])
    tapped.tell(...EVENTS)
    await page.shows(/join[^]*publish\s+news\s+\[\{"n":1\}\]/, '.tap')
    await (await page.page.$('.tap li:nth-child(2) summary')).click()
    await page.shows(/socket-io\s+2\["news",\{"n":1\}\]\s+ws-rpc\s+\[-1,"news",\{"n":1\}\]/, '.tap')
    assert.deepEqual(await page.accessibility(), [])
    await page.screenshot('tap')
    await page.fill('tap-filter', 'ws-rpc')
    await page.shows(/1 of 2 events shown/, '.summary')
    await page.fill('tap-filter', '')
    await page.click('Pause')
    tapped.tell({ kind: 'leave', room: 'lobby' })
    await page.shows(/Paused; 1 event waits/, '.summary')
    assert.doesNotMatch(await page.text('.tap'), /leave/)
    await page.click('Go on')
    await page.shows(/leave/, '.tap')
    tapped.tell({ kind: 'dropped', count: 41 })
    await page.shows(/left out 41 events/, '.summary')
    await page.click('Stop')
    await until('the end of the tap', () => tap.isOver)
    await page.shows(/Not running/, '.summary')
    await page.checkFaults()
  })

  test('keeps 500 rows', async () => {
    const page = await rig.open({ origin: tapped.origin })
    await page.go('#/tap')
    const tap = await tapOpen(page, 2)
    for (let n = 0; n < 700; n += 100) tapped.tell(...Array.from({ length: 100 }, (_, at) => ({ kind: 'publish', event: `e${n + at}` })))
    await page.shows(/500 of 500 events shown. 200 older ones are no longer kept/, '.summary')
    const events = await page.page.$$eval('.tap .event', (all) => all.map((one) => one.innerText))
    assert.deepEqual([events.length, events[0], events.at(-1)], [500, 'e699', 'e200'])
    await page.go('#/overview')
    await until('the end of the tap', () => tap.isOver)
    await page.checkFaults()
  })

  test('shows in a room what became of a publish', async () => {
    const page = await rig.open({ origin: tapped.origin })
    await page.go('#/rooms/default/lobby')
    await page.fill('to-room-event', 'news')
    const taps = tapped.taps.length
    await page.click('Publish')
    await until('the tap', () => tapped.taps.length > taps)
    await page.shows(/5 sessions get it/, '.notices')
    tapped.tell(EVENTS[0])
    await page.shows(/As each protocol got it\s+socket-io\s+2\["news",\{"n":1\}\]/)
    await until('the end of the tap', () => tapped.taps.at(-1).isOver)
    await page.checkFaults()
  })
})

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
    const tapped = await Tapped.start(rig.gateway.ports.admin)
    const page = await rig.open({ origin: tapped.origin })
    await page.shows(/Live/, '.top')
    const port = tapped.server.address().port
    tapped.stop()
    await page.shows(/Gateway away\s+The gateway does not answer. It is tried again and again/, '.top')
    await page.shows(/Listeners/)
    await new Promise((resolve) => tapped.server.listen(port, '127.0.0.1', resolve))
    await page.shows(/Live/, '.top')
    await page.checkFaults()
    tapped.stop()
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
