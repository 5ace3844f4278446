'use strict'
// The page that came with npm remotedev-server, in Chromium: the oldest monitor with a face.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { Browser } = require('./lib/browser')
const { App, Monitor } = require('./lib/devtools')
const { OldPage } = require('./lib/old-page')
const { Polyport } = require('./lib/polyport')
const { until } = require('./lib/wait')

describe('the page of remotedev-server', () => {
  let gateway
  let served
  let browser
  let page
  let watching
  const apps = {}
  before(async () => {
    gateway = await Polyport.start({ listeners: { relay: { protocol: 'devtools-relay', devtools: { relay: true, grace: '300ms' } } } })
    const port = gateway.ports.relay
    served = await OldPage.serve(port)
    browser = await Browser.start('')
    page = await browser.browser.newPage()
    page.faults = []
    page.on('pageerror', (error) => page.faults.push(String(error)))
    await page.setViewport({ width: 1100, height: 700 })
    await page.goto(served.address)
    watching = await Monitor.open('20.0.2', port)
  })
  after(async () => {
    for (const app of Object.values(apps)) app.kill()
    await watching?.close()
    await browser?.stop()
    served?.close()
    await gateway?.kill()
  })

  const actions = () => page.$$eval('[data-id]', (rows) => rows.map((row) => row.firstChild.innerText))

  /** The page shows the instance that has come last. */
  const shows = (wanted) => {
    let seen
    return until(() => `the actions ${wanted}; it shows ${seen}, faults ${page.faults}`, async () => `${(seen = await actions())}` === `${wanted}`)
  }

  const act = (selector, text) =>
    until(`${text} to press`, () =>
      page.evaluate(
        (within, wanted) => {
          const found = [...document.querySelectorAll(within)].findLast((one) => one.textContent === wanted)
          for (const type of ['mousedown', 'mouseup', 'click']) found?.dispatchEvent(new MouseEvent(type, { bubbles: true }))
          return found !== undefined
        },
        selector,
        text,
      ),
    )
  const press = (id, text) => act(`[data-id="${id}"] div`, text)

  for (const [name, kind] of [['Cart', 'remote-redux-devtools'], ['Shop', '1.0.0']]) {
    test(`lists the actions of ${kind} and travels in time in it`, async () => {
      const before = apps.Cart && (await apps.Cart.state())
      const app = await App.start(kind, gateway.ports.relay, name)
      apps[name] = app
      await watching.sees(name, { type: 'STATE' })
      await shows(['@@INIT'])
      for (const by of [1, 20, 300]) app.dispatch({ type: 'ADD', by })
      await shows(['@@INIT', 'ADD', 'ADD', 'ADD'])
      await press(2, 'Jump')
      await app.holds(21)
      await press(1, 'Skip')
      await app.holds(20)
      await press(3, 'Jump')
      await app.holds(320)
      await act('div', 'Commit')
      await shows(['@@INIT'])
      app.dispatch({ type: 'INC' })
      await app.holds(321)
      await shows(['@@INIT', 'INC'])
      if (before) assert.deepEqual(await apps.Cart.state(), before, 'only the one that is shown')
    })
  }

  test('dispatches what was typed', async () => {
    await act('span', 'Dispatcher')
    const field = await page.waitForSelector('[contenteditable]')
    await field.evaluate((one) => {
      one.innerText = "{ type: 'ADD', by: 30 }"
      one.dispatchEvent(new InputEvent('input', { bubbles: true }))
    })
    await act('button', 'Dispatch')
    await apps.Shop.holds(351)
    assert.equal((await apps.Cart.state()).n, 321, 'only the one that is shown')
  })

  /** Presses a button, and waits until both apps have said in a state of theirs that it works. */
  async function has(label, test) {
    const from = watching.log.length
    await act('span', label)
    await until(`both apps to say so after ${label}`, () => {
      const states = watching.log.slice(from).filter(({ type }) => type === 'STATE')
      return ['Shop', 'Cart'].every((name) => states.some((one) => one.name === name && test(JSON.parse(one.payload))))
    })
  }

  test('locks and pauses all apps', async () => {
    await has('Lock changes', ({ isLocked }) => isLocked)
    for (const [name, n] of [['Cart', 321], ['Shop', 351]]) {
      apps[name].dispatch({ type: 'INC' })
      assert.equal((await apps[name].state()).n, n, 'while it is locked')
    }
    await has('Unlock changes', ({ isLocked }) => !isLocked)
    apps.Shop.dispatch({ type: 'INC' })
    await apps.Shop.holds(352)
    await until('the page to show it', async () => (await actions()).at(-1) === 'INC')
    const listed = await actions()
    await has('Pause recording', ({ isPaused }) => isPaused)
    apps.Shop.dispatch({ type: 'ADD', by: 5 })
    await apps.Shop.holds(357)
    await has('Start recording', ({ isPaused }) => !isPaused)
    apps.Shop.dispatch({ type: 'LAST' })
    await until('the next action', async () => (await actions()).at(-1) === 'LAST')
    assert.ok(!(await actions()).slice(listed.length).includes('ADD'), 'nothing was recorded meanwhile')
  })

  test('lists a report that an app has sent, and loads it', async () => {
    const reporter = await App.start('remote-redux-devtools', gateway.ports.relay, 'Reporter', { realtime: false, sendOn: 'INC' })
    reporter.dispatch({ type: 'ADD', by: 5 })
    reporter.dispatch({ type: 'INC' })
    await act('span', 'Slider')
    const report = await until('the report', () =>
      page.$$eval('select[name=select_report] option', (options) => options.find((one) => one.innerText === 'Reporter')?.value),
    )
    await page.select('select[name=select_report]', report)
    await apps.Shop.holds(6)
    await shows(['@@INIT', 'ADD', 'INC'])
    reporter.kill()
    assert.deepEqual(page.faults, [])
  })
})
