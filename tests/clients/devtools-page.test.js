'use strict'
// What a browser sees at the address of the relay: the gateway's own page, and the real page of the Redux DevTools.

const assert = require('node:assert/strict')
const { execFileSync, spawn } = require('node:child_process')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { gunzipSync } = require('node:zlib')
const { Browser } = require('./lib/browser')
const { App, Monitor } = require('./lib/devtools')
const { send } = require('./lib/engine-io')
const { Polyport, temporaryFolder, toToml, BINARY, ROOT } = require('./lib/polyport')
const { until } = require('./lib/wait')

const IMAGES = path.join(ROOT, 'docs', 'images')
const VIEW = { width: 1000, height: 640 }
// An app that finds nobody tries again after twenty seconds at most.
const RECONNECT_LIMIT = 30_000
const listener = (devtools = {}, more = {}) => ({ protocol: 'devtools-relay', devtools: { relay: true, grace: '300ms', ...devtools }, ...more })

// The page is compressed when it is first asked for, and a build for development is slow at that.
const SLOWLY = { limits: { handshake: '60s' } }

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

/** Runs a command to its end beside what the test itself serves. */
function runLong(args, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(BINARY, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    const said = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr']) {
      child[name].setEncoding('utf8').on('data', (text) => {
        said[name] += text
      })
    }
    child.once('error', reject)
    child.once('close', (status) => resolve({ status, ...said }))
  })
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
    const shop = await appOf('1.0.0', relay, 'Shop')
    await shows(page, '#apps', /Shop/)
    const cart = await appOf('remote-redux-devtools', relay, 'Cart <b>')
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

  test('travels in an app that is replayed', async () => {
    const { relay } = gateway.ports
    const file = path.join(gateway.folder, 'replayed.jsonl')
    const message = (n) => (n === 0 ? { type: 'INIT', name: 'Replayed', payload: '{"n":0}' } : { type: 'ACTION', payload: `{"n":${n}}`, action: JSON.stringify({ timestamp: n, action: { type: `STEP${n}` } }) })
    fs.writeFileSync(file, [0, 1, 2, 3].map((n) => `${JSON.stringify({ at: n, message: message(n) })}\n`).join(''))
    const page = await open(relay)
    await shows(page, '#status', /^connected/)
    const replay = spawn(BINARY, ['devtools', 'replay', file, '--url', `ws://127.0.0.1:${relay}/socketcluster/`], { stdio: 'ignore' })
    running.push(replay)
    await click(page, '#apps li', /Replayed/)
    await shows(page, '#actions', /@@INIT[^]*STEP1[^]*STEP2[^]*STEP3/)
    await shows(page, '#state', /n: 3/)
    await page.$$eval('#actions button', (buttons) => buttons[1].click())
    await shows(page, '#state', /n: 1/)
    const late = await open(relay)
    await click(late, '#apps li', /Replayed/)
    await shows(late, '#state', /n: 3/)
    replay.kill()
    await until('it to be shown as gone', () => late.$eval('#apps', (list) => [...list.querySelectorAll('.gone')].some((one) => /Replayed/.test(one.innerText))))
    assert.deepEqual([page.faults, late.faults], [[], []])
    for (const one of [page, late]) await one.close()
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
    const connection = () => page.$$eval('#apps li.on', (lines) => lines.find((line) => line.innerText.includes('Stayer'))?.querySelector('small').innerText)
    const before = await connection()
    await restart(gateway, { EVE: 'sesame' })
    await until('the app to be back', async () => ![undefined, before].includes(await connection()), RECONNECT_LIMIT)
    await shows(page, '#status', /^connected/)
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

describe('the real page', () => {
  const folder = path.join(temporaryFolder('polyport-page-'), 'page')
  const registry = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim()
  const install = (to, address = registry) => runLong(['devtools', 'install-page', '--to', to], { npm_config_registry: address })

  let gateway
  let page
  const apps = {}
  before(async () => {
    const { status, stdout, stderr } = await install(folder)
    assert.equal(status, 0, stderr)
    assert.ok(stdout.endsWith(`page = ${JSON.stringify(folder)}\n`), stdout)
    gateway = await gatewayWith({ relay: listener({ page: folder }, SLOWLY) })
    apps.new = await appOf('1.0.0', gateway.ports.relay, 'Shop')
    apps.old = await appOf('remote-redux-devtools', gateway.ports.relay, 'Cart')
  })

  /** Opens the list of instances, and chooses one. */
  async function choose(name) {
    await until(`the instance ${name}`, async () => {
      const listed = await page.$$eval('[role=option]', (options) => options.map((option) => option.innerText))
      if (listed.length === 0) await (await page.$('input[role=combobox]'))?.click()
      if (!listed.includes(name)) return false
      await page.$$eval('[role=option]', (options, wanted) => options.find((option) => option.innerText === wanted).click(), name)
      return listed
    }, RECONNECT_LIMIT)
  }

  const actions = () => page.$$eval('div[role=button]', (rows) => rows.map((row) => row.innerText.split('\n')[0]))
  const showsActions = (wanted, limit) => {
    let seen
    return until(() => `the actions ${wanted}; it shows ${seen}, faults ${page.faults}`, async () => `${(seen = await actions())}` === `${wanted}`, limit)
  }

  /** The buttons of a line want the mouse to go down on their very text. */
  const press = (row, text) =>
    page.$$eval(
      'div[role=button]',
      (rows, index, wanted) => {
        const label = [...rows[index].querySelectorAll('*')].findLast((one) => one.innerText === wanted)
        for (const type of ['mousedown', 'mouseup', 'click']) label.dispatchEvent(new MouseEvent(type, { bubbles: true }))
      },
      row,
      text,
    )

  test('opens connected, lists apps of both generations and travels in time', async () => {
    page = await open(gateway.ports.relay)
    await choose('Cart')
    await showsActions(['@@INIT'])
    for (const by of [1, 20]) apps.old.dispatch({ type: 'ADD', by })
    await showsActions(['@@INIT', 'ADD', 'ADD'])
    await choose('Shop')
    apps.new.dispatch({ type: 'INC' })
    apps.new.dispatch({ type: 'ADD', by: 6 })
    await showsActions(['@@INIT', 'INC', 'ADD'])
    await screenshot(page, 'devtools-real-page.png')
    await press(1, 'Jump')
    await apps.new.holds(1)
    assert.equal((await apps.old.state()).n, 21, 'only the one that is looked at')
    await choose('Cart')
    await press(1, 'Skip')
    await apps.old.holds(20)
    assert.deepEqual(page.faults, [])
  })

  test('a reload of the page keeps working, and its own choice of a connection stands', async () => {
    await page.reload()
    await choose('Cart')
    await showsActions(['@@INIT', 'ADD', 'ADD'])
    const kept = () =>
      page.evaluate(
        () =>
          new Promise((resolve, reject) => {
            const opening = indexedDB.open('localforage')
            opening.onerror = () => reject(opening.error)
            opening.onsuccess = () => {
              const asked = opening.result.transaction('keyvaluepairs').objectStore('keyvaluepairs').get('persist:redux-devtools')
              asked.onsuccess = () => resolve(asked.result)
            }
          }),
      )
    const connection = JSON.parse(JSON.parse(await kept()).connection)
    assert.deepEqual(connection, { options: { hostname: '127.0.0.1', port: gateway.ports.relay, secure: false }, type: 'custom' })
  })

  test('shows the apps again after a restart of the gateway', async () => {
    await restart(gateway, {})
    for (const [name, app] of [['Shop', apps.new], ['Cart', apps.old]]) {
      await choose(name)
      const { length } = await actions()
      app.dispatch({ type: 'LAST' })
      await until(`an action of ${name} behind ${length}`, async () => (await actions()).at(-1) === 'LAST')
    }
    assert.deepEqual(page.faults, [])
    await page.close()
  })

  describe('its buttons', () => {
    let port
    let watching
    let shop
    let cart
    before(async () => {
      port = (await gatewayWith({ relay: listener({ page: folder }, SLOWLY) })).ports.relay
      watching = await Monitor.open('20.0.2', port)
      cart = await appOf('remote-redux-devtools', port, 'Cart')
      shop = await appOf('1.0.0', port, 'Shop')
      page = await open(port)
      await choose('Shop')
    })
    after(() => watching?.close())

    const button = (label) => click(page, `[aria-label="${label}"]`, /^/)

    /** Presses a button, and waits until both apps have said in a state of theirs that it works. */
    async function has(label, test) {
      const from = watching.log.length
      await button(label)
      await until(`both apps to say so after ${label}`, () => {
        const states = watching.log.slice(from).filter(({ type }) => type === 'STATE')
        return ['Shop', 'Cart'].every((name) => states.some((one) => one.name === name && test(JSON.parse(one.payload))))
      })
    }

    test('pause, and go on', async () => {
      shop.dispatch({ type: 'INC' })
      await showsActions(['@@INIT', 'INC'])
      await has('Pause recording', ({ isPaused }) => isPaused)
      shop.dispatch({ type: 'ADD', by: 10 })
      await shop.holds(11)
      await has('Start recording', ({ isPaused }) => !isPaused)
      shop.dispatch({ type: 'AFTER' })
      await until('what comes then', async () => (await actions()).at(-1) === 'AFTER')
      assert.ok(!(await actions()).includes('ADD'), 'nothing was recorded meanwhile')
    })

    test('lock, and unlock', async () => {
      const held = async () => [await shop.state(), await cart.state()]
      const before = await held()
      await has('Lock changes', ({ isLocked }) => isLocked)
      for (const app of [shop, cart]) app.dispatch({ type: 'INC' })
      assert.deepEqual(await held(), before)
      await has('Unlock changes', ({ isLocked }) => !isLocked)
      shop.dispatch({ type: 'INC' })
      await shop.holds(12)
    })

    test('commit, and roll back to that', async () => {
      await click(page, 'button', /^Commit$/)
      await showsActions(['@@INIT'])
      shop.dispatch({ type: 'ADD', by: 7 })
      await shop.holds(19)
      await showsActions(['@@INIT', 'ADD'])
      await click(page, 'button', /^Revert$/)
      await shop.holds(12)
      await showsActions(['@@INIT'])
    })

    test('show MobX, which does not know its id, under its name', async () => {
      const store = await appOf('mobx', port, 'Store')
      await choose('Store')
      store.dispatch({})
      await until('its action', async () => `${await actions()}` === '@@INIT,inc')
      store.kill()
      await choose('Shop')
    })

    test('export to a file, and import from one', async () => {
      const downloads = temporaryFolder()
      const devtools = await page.createCDPSession()
      await devtools.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: downloads })
      for (const by of [3, 4]) shop.dispatch({ type: 'ADD', by })
      await showsActions(['@@INIT', 'ADD', 'ADD'])
      await button('Export to a file')
      const name = await until('the file', () => fs.readdirSync(downloads).find((file) => file.endsWith('.json')))
      const file = path.join(downloads, name)
      const exported = JSON.parse(fs.readFileSync(file, 'utf8'))
      assert.deepEqual(exported.computedStates.map(({ state }) => state.n), [12, 15, 19])

      const imports = async (which) => (await page.$('input[type=file]')).uploadFile(which)
      shop.dispatch({ type: 'ADD', by: 100 })
      await shop.holds(119)
      await imports(file)
      await shop.holds(19)
      await showsActions(['@@INIT', 'ADD', 'ADD'])
      const written = path.join(downloads, 'actions.json')
      fs.writeFileSync(written, JSON.stringify([{ type: 'INC' }, { type: 'ADD', by: 40 }, { type: 'INC' }]))
      await imports(written)
      await shop.holds(42)
      await showsActions(['@@INIT', 'INC', 'ADD', 'INC'])
      assert.equal((await cart.state()).n, 0, 'only the one that is looked at')
      assert.deepEqual(page.faults, [])
      await page.close()
    })
  })

  test('its files are compressed, known again, and all that is there', async () => {
    const { relay } = gateway.ports
    const script = fs.readFileSync(path.join(folder, 'js', 'common.js'))
    const plain = await send(relay, { path: '/js/common.js' })
    assert.equal(plain.headers['content-type'], 'text/javascript; charset=utf-8')
    assert.ok(plain.body.equals(script))
    const packed = await send(relay, { path: '/js/common.js', headers: { 'accept-encoding': 'gzip, br' } })
    assert.deepEqual([packed.headers['content-encoding'], packed.headers.vary], ['gzip', 'Accept-Encoding'])
    assert.ok(packed.body.length < script.length / 3)
    assert.ok(gunzipSync(packed.body).equals(script))
    const again = await send(relay, { path: '/js/common.js', headers: { 'if-none-match': packed.headers.etag } })
    assert.deepEqual([again.status, again.text], [304, ''])
    const font = fs.readdirSync(folder).find((name) => name.endsWith('.woff2'))
    assert.equal((await send(relay, { path: `/${font}` })).headers['content-type'], 'font/woff2')
    for (const target of ['/js/app.map', '/package.json', '/js/../../x.js', '/..%2f..%2fetc/passwd.js', '//etc/host.conf']) {
      assert.equal((await send(relay, { path: target })).status, 404, target)
    }
    assert.match((await send(relay, { path: '/deep/link' })).text, /<base href="\/">[^]*<div id="root">/)
  })

  test('another folder is refused, and says what to do', async () => {
    const empty = temporaryFolder()
    const config = path.join(empty, 'gateway.toml')
    fs.writeFileSync(config, toToml({ listeners: { relay: { ...listener({ page: empty }), bind: '127.0.0.1:0' } } }))
    const { status, stderr } = await runLong(['run', '--config', config])
    assert.equal(status, 1)
    assert.match(stderr, /listener `relay`: devtools\.page: .*index\.html cannot be read \(`polyport devtools install-page`/)
  })

  test('nothing is installed but the very package', async () => {
    const registry = http.createServer((request, response) => {
      if (request.url.startsWith('/moved/')) response.writeHead(302, { location: `http://127.0.0.1:${registry.address().port}${request.url.slice(6)}` })
      else if (request.url.startsWith('/none/')) response.statusCode = 404
      response.end('another package')
    })
    await new Promise((resolve) => registry.listen(0, '127.0.0.1', resolve))
    const address = `http://127.0.0.1:${registry.address().port}`
    const to = path.join(temporaryFolder(), 'page')
    try {
      for (const [base, problem] of [
        [`${address}/`, /hash is sha512-.* and that of @redux-devtools\/app 8\.0\.0 is/],
        [`${address}/moved`, /hash is sha512-/],
        [`${address}/none`, /answers 404.*/],
        ['http://127.0.0.1:1', /npm pack @redux-devtools\/app@8\.0\.0.*cannot connect/],
      ]) {
        const { status, stderr } = await install(to, base)
        assert.equal(status, 1)
        assert.match(stderr, problem)
        assert.equal(fs.existsSync(to), false)
      }
      const { status, stderr } = await install(folder)
      assert.equal(status, 1)
      assert.match(stderr, /is there already/)
    } finally {
      registry.close()
    }
  })
})
