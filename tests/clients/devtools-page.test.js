'use strict'
// What a browser sees at the address of the relay: the gateway's own page, and the real page of the Redux DevTools.

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { Browser } = require('./lib/browser')
const { App } = require('./lib/devtools')
const { send } = require('./lib/engine-io')
const { Polyport, run, temporaryFolder, ROOT } = require('./lib/polyport')
const { until } = require('./lib/wait')

const IMAGES = path.join(ROOT, 'docs', 'images')
const VIEW = { width: 1000, height: 640 }
// An app that finds nobody tries again after twenty seconds at most.
const RECONNECT_LIMIT = 30_000
const listener = (devtools = {}, more = {}) => ({ protocol: 'devtools-relay', devtools: { relay: true, grace: '300ms', ...devtools }, ...more })

let browser
const running = []
before(async () => {
  browser = await Browser.start('')
})
after(async () => {
  for (const one of running) await one.kill()
  await browser?.stop()
})

async function gatewayWith(listeners, more) {
  const gateway = await Polyport.start({ listeners }, more)
  running.push(gateway)
  return gateway
}

async function appOf(kind, port, name, settings) {
  const app = await App.start(kind, port, name, settings)
  running.push(app)
  return app
}

async function restart(gateway, env) {
  await gateway.stop()
  gateway.exit = null
  gateway.spawn([], env)
}

/** Opens a page; what goes wrong in it is kept. */
async function open(port, credentials) {
  const page = await browser.browser.newPage()
  page.faults = []
  page.on('pageerror', (error) => page.faults.push(String(error)))
  await page.setViewport(VIEW)
  if (credentials) await page.authenticate(credentials)
  await page.goto(`http://127.0.0.1:${port}/`)
  return page
}

const textOf = (page, selector) => page.$eval(selector, (element) => element.innerText)

function shows(page, selector, pattern) {
  let seen
  return until(
    () => `${pattern} in ${selector}; it shows ${JSON.stringify(seen)}, faults ${page.faults}`,
    async () => {
      seen = await textOf(page, selector).catch(() => '')
      return pattern.test(seen)
    },
  )
}

/** Clicks on the first element of that kind whose text matches. */
function click(page, selector, pattern) {
  const act = (found, source) => {
    const element = found.find((one) => new RegExp(source).test(one.innerText))
    element?.click()
    return element !== undefined
  }
  return until(`${selector} with ${pattern} to click on`, () => page.$$eval(selector, act, pattern.source))
}

async function screenshot(page, name) {
  if (process.env.UPDATE_SCREENSHOTS !== '1') return
  fs.mkdirSync(IMAGES, { recursive: true })
  await page.screenshot({ path: path.join(IMAGES, name) })
}

describe('the page of the gateway', () => {
  let gateway
  before(async () => {
    gateway = await gatewayWith(
      {
        relay: listener(),
        old: listener({ protocol_version: 1, path: '/else&where/' }, { realm: 'old' }),
        closed: listener({ users: [{ name: 'eve', secret: 'env:EVE' }, { name: 'app', secret: 'env:EVE', rights: ['app'] }], anybody: ['app'] }, { realm: 'closed' }),
      },
      { env: { EVE: 'sesame' } },
    )
  })

  test('lists apps, shows actions and states, jumps and dispatches', async () => {
    const { relay } = gateway.ports
    const page = await open(relay)
    await shows(page, '#hint', new RegExp(`hostname: '127.0.0.1', port: ${relay}`))
    await shows(page, '#status', /^connected/)
    const [shop, cart] = [await appOf('1.0.0', relay, 'Shop'), await appOf('remote-redux-devtools', relay, 'Cart <b>')]
    await shows(page, '#apps', /Shop[^]*Cart <b>/)
    for (let n = 1; n <= 3; n += 1) shop.dispatch({ type: 'INC' })
    shop.dispatch({ type: 'ADD', by: 4 })
    await shows(page, '#actions', /@@INIT[^]*INC[^]*INC[^]*INC[^]*ADD/)
    await shows(page, '#state', /n: 7/)
    await shows(page, '#action', /type: "ADD"\s+by: 4/)
    await screenshot(page, 'devtools-page.png')

    await click(page, '#actions li', /INC/)
    await shows(page, '#state', /n: 1/)
    assert.equal((await shop.state()).n, 7, 'looking changes nothing')
    await page.$$eval('#actions button', (buttons) => buttons[2].click())
    await shop.holds(2)
    await shows(page, '#state', /n: 2/)
    await click(page, '#apps li', /Cart/)
    await shows(page, '#state', /n: 0/)
    await page.type('#text', "{ type: 'ADD', by: 30 }")
    await click(page, '#send', /Dispatch/)
    await cart.holds(30)
    await shows(page, '#state', /n: 30/)
    assert.equal((await shop.state()).n, 2, 'only one app is told')

    await page.$eval('#text', (input) => (input.value = 'nonsense('))
    await click(page, '#send', /Dispatch/)
    await shows(page, '#notice', /\w/)
    await click(page, '#pause', /Pause/)
    await shows(page, '#pause', /Resume/)
    cart.kill()
    await until('the app to be shown as gone', () => page.$eval('#apps', (list) => list.querySelectorAll('.gone').length === 1))
    assert.deepEqual(page.faults, [])
    await page.close()
  })

  test('shows reports as they come and go', async () => {
    const { relay } = gateway.ports
    const page = await open(relay)
    await shows(page, '#status', /^connected/)
    const post = async (body) => JSON.parse((await send(relay, { method: 'POST', path: '/', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })).text)
    const { id } = await post({ type: 'STATE', title: 'Broken <i>cart</i>', payload: '{"nextActionId":41}' })
    await shows(page, '#reports', /Broken <i>cart<\/i>/)
    await click(page, '#reports li', /Broken/)
    await shows(page, '#state', /nextActionId: 41/)
    await post({ op: 'remove', id })
    await until('the report to go', () => page.$eval('#reports-part', (part) => part.hidden))
    await page.close()
  })

  test('shows everything again after a restart of the gateway', async () => {
    const { relay } = gateway.ports
    const page = await open(relay)
    const app = await appOf('1.0.0', relay, 'Stayer')
    app.dispatch({ type: 'ADD', by: 5 })
    await click(page, '#apps li', /Stayer/)
    await shows(page, '#state', /n: 5/)
    await restart(gateway, { EVE: 'sesame' })
    await shows(page, '#status', /^connected/)
    const isBack = () => page.$$eval('#apps li.on', (lines) => lines.some((line) => line.innerText.includes('Stayer')))
    await until('the app to be back', isBack, RECONNECT_LIMIT)
    app.dispatch({ type: 'INC' })
    await shows(page, '#state', /n: 6/)
    await page.close()
  })

  test('works where the listener is pinned to generation 1 and another path', async () => {
    const { old } = gateway.ports
    const page = await open(old)
    await shows(page, '#status', /^connected/)
    assert.equal(await page.$eval('meta[name=socket-path]', (meta) => meta.content), '/else&where/')
    await page.close()
  })

  test('asks for a name where watching needs one', async () => {
    const { closed } = gateway.ports
    const asked = await send(closed, { path: '/' })
    assert.equal(asked.status, 401)
    assert.match(asked.headers['www-authenticate'], /^Basic /)
    const basic = (text) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` })
    assert.equal((await send(closed, { path: '/', headers: basic('app:sesame') })).status, 401, 'who may not watch')
    const shown = await send(closed, { path: '/', headers: basic('eve:sesame') })
    assert.equal(shown.status, 200)
    const cookie = `polyport_access=${Buffer.from('eve:sesame').toString('base64')}; Path=/socketcluster/; HttpOnly; SameSite=Strict`
    assert.deepEqual([shown.headers['set-cookie']].flat(), [cookie])
    const page = await open(closed, { username: 'eve', password: 'sesame' })
    await shows(page, '#status', /^connected/)
    await page.close()
  })

  test('is there at every path that names no file', async () => {
    const { relay } = gateway.ports
    for (const target of ['/', '/a/b', '/index.html', '/graphql']) {
      const answer = await send(relay, { path: target })
      assert.equal(answer.status, 200, target)
      assert.match(answer.text, /<title>Redux DevTools relay<\/title>/)
      assert.match(answer.headers['content-security-policy'], /script-src 'sha256-/)
      const again = await send(relay, { path: target, headers: { 'if-none-match': answer.headers.etag } })
      assert.deepEqual([again.status, again.text], [304, ''])
      const head = await send(relay, { method: 'HEAD', path: target })
      assert.deepEqual([head.status, head.text], [200, ''])
    }
    for (const target of ['/port.js', '/js/common.js', '/../Cargo.toml', '/..%2fCargo.toml']) {
      assert.equal((await send(relay, { path: target })).status, 404, target)
    }
  })
})
