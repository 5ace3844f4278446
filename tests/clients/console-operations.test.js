'use strict'
// The console's view for whoever runs the gateway: reloads of configuration and certificates, log levels, and which keys may.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { after, afterEach, before, describe, test } = require('node:test')
const { Browser } = require('./lib/browser')
const { Authority } = require('./lib/certificates')
const { ConsolePage } = require('./lib/console-page')
const { LineClient } = require('./lib/line-client')
const { Polyport, temporaryFolder } = require('./lib/polyport')
const { verbsListener } = require('./lib/verbs')

const KEYS = Object.fromEntries(['all', 'looker', 'confined', 'only'].map((name) => [name, crypto.randomBytes(32).toString('base64url')]))
const hash = (key) => `sha256:${crypto.createHash('sha256').update(key).digest('hex')}`

describe('operations', () => {
  let browser
  let authority
  let tls
  let gateway
  let good
  const pages = []

  before(async () => {
    browser = await Browser.start('')
    authority = new Authority()
    const { cert, key } = authority.issue('first')
    const folder = temporaryFolder()
    tls = { cert: path.join(folder, 'tls.pem'), key: path.join(folder, 'tls.key') }
    fs.copyFileSync(cert, tls.cert)
    fs.copyFileSync(key, tls.key)
    gateway = await Polyport.start({
      api: {
        keys: {
          all: { hash: hash(KEYS.all) },
          looker: { hash: hash(KEYS.looker), verbs: ['info'] },
          confined: { hash: hash(KEYS.confined), verbs: ['info', 'reload', 'log'], rooms: ['news*'] },
          only: { hash: hash(KEYS.only), verbs: ['info', 'reload'] },
        },
      },
      listeners: { tcp: verbsListener(), secure: verbsListener({ tls }) },
    })
    good = gateway.config
  })
  afterEach(async () => {
    for (const page of pages.splice(0)) await page.close()
  })
  after(async () => {
    await browser?.stop()
    await gateway?.kill()
  })

  const open = async (key = KEYS.all, options = {}) => {
    const page = await ConsolePage.open(browser, `http://127.0.0.1:${gateway.ports.admin}`, { key, ...options })
    pages.push(page)
    await page.shows(/Ready/)
    await page.go('#/operations')
    await page.shows(/Configuration/)
    return page
  }
  const api = async (target) => (await fetch(`http://127.0.0.1:${gateway.ports.admin}/api/${target}`, { headers: { authorization: `Bearer ${KEYS.all}` } })).json()
  const confirm = async (page, button, question, answer) => {
    await page.click(button)
    await page.shows(question, 'dialog')
    await page.click(answer, 'dialog button')
  }
  const reload = (page) => confirm(page, 'Reload', /Reload the configuration\?[^]*all of it in force, or nothing/, 'Reload it')
  const reloadCertificates = (page) => confirm(page, 'Reload certificates', /Reload the certificates\?/, 'Reload them')

  test('a reload: asked for, done, and what has changed; no session is lost', async () => {
    const client = await LineClient.open({ port: gateway.ports.tcp })
    const page = await open()
    await page.shows(/Configuration\s+generation 1, since \S+ \d+, \d{4}[^\n]*\n\s*Reloads\s+0\s/)
    assert.doesNotMatch(await page.text('main'), /Last reload/)
    await page.click('Reload')
    await page.shows(/Reload the configuration\?/, 'dialog')
    await page.click('Cancel', 'dialog button')
    assert.equal(await page.page.$('dialog'), null)
    assert.equal((await api('info')).configuration.generation, 1, 'nothing has happened')

    const listeners = { ...good.listeners, tcp: { ...good.listeners.tcp, limits: { calls_in_flight: 7 } } }
    gateway.configure({ ...good, listeners })
    await reload(page)
    await page.shows(/Generation 2 is in force/, '.notices')
    const [change, ...others] = await page.table('What has changed', (rows) => rows.length > 0)
    assert.equal(others.length, 0, JSON.stringify(others))
    assert.match(change.Setting, /^listeners\.tcp\.limits/)
    assert.match(`${change.Before} ${change.Now}`, /7/)
    assert.match(change['Takes effect'], /^(at once|for new connections)$/)
    await page.shows(/generation 2, since [^\n]*\n\s*Reloads\s+1\s+Last reload\s+\S+ \d+, \d{4}[^\n]*, worked/)
    assert.deepEqual(await page.accessibility(), [])
    await page.screenshot('operations-reloaded')

    await reload(page)
    await page.shows(/Generation 3 is in force/, '.notices')
    await page.shows(/Nothing in it is different/)
    assert.equal(typeof (await client.ask('randomNumber')).randomNumber, 'number')
    client.close()
    await page.checkFaults()
  })

  test('a reload that is refused: everything that is wrong is shown, and stays to be seen', async () => {
    const page = await open()
    const { generation } = (await api('info')).configuration
    gateway.configure({ ...good, log: { level: 'loud' }, listeners: { ...good.listeners, more: { protocol: 'carrier-pigeon' } } })
    await reload(page)
    await page.shows(/the configuration cannot be used; nothing has changed/, '.notices')
    await page.shows(/the configuration cannot be used; nothing has changed\s[^]*gateway\.toml:\d+:\d+: listeners\.more\.protocol: [^\n]*carrier-pigeon[^\n]*\n[^]*gateway\.toml:\d+:\d+: log\.level: /)
    await page.shows(/Last reload\s+[^\n]*, failed/)
    assert.equal((await page.text('main')).match(/carrier-pigeon/g).length, 1, 'it is told once')
    assert.deepEqual(await page.accessibility(), [])
    await page.screenshot('operations-refused')
    assert.equal((await api('info')).configuration.generation, generation)
    const other = await open()
    await other.shows(new RegExp(`The last reload has failed; generation ${generation} stays in force:\\s[^]*carrier-pigeon[^]*log\\.level`))
    gateway.configure(good)
    await reload(page)
    await page.shows(new RegExp(`Generation ${generation + 1} is in force`), '.notices')
    await other.shows(/Last reload\s+[^\n]*, worked/)
    assert.doesNotMatch(await other.text('main'), /carrier-pigeon/)
    for (const one of [page, other]) await one.checkFaults()
  })

  test('certificates alone: none, others, and one that is no good', async () => {
    const page = await open()
    const { generation } = (await api('info')).configuration
    await reloadCertificates(page)
    await page.shows(/The certificates have been read/, '.notices')
    await page.shows(/No listener has got another certificate/)
    const fresh = authority.issue('second')
    fs.copyFileSync(fresh.cert, tls.cert)
    await reloadCertificates(page)
    await page.shows(/a certificate cannot be used; nothing has changed/, '.notices')
    await page.shows(/a certificate cannot be used; nothing has changed\s[^]*tls\.(pem|key)/)
    assert.deepEqual(await page.accessibility(), [])
    fs.copyFileSync(fresh.key, tls.key)
    await reloadCertificates(page)
    // The gateway looks at the files by itself too, and may have been first.
    await page.shows(/New certificates: secure|No listener has got another certificate/)
    const client = await LineClient.open({ port: gateway.ports.secure, tls: { ca: authority.certificate } })
    assert.equal(client.socket.getPeerCertificate().subject.CN, 'second')
    client.close()
    assert.equal((await api('info')).configuration.generation, generation, 'the configuration is the same')
    await page.checkFaults()
  })

  test('log levels: of a module, of all others, for a time, and back', async () => {
    const page = await open()
    await page.shows(/Logged\s+info\s+The configuration says\s+info\s/)
    await page.fill('log-module', 'polyport_net')
    await page.fill('log-level', 'debug')
    await page.fill('log-for', '1h')
    await page.click('Set the level')
    await page.shows(/Of polyport_net debug is logged/, '.notices')
    await page.shows(/Logged\s+polyport_net=debug,info, for (59m \d+s|1h 0m) more/)
    await page.fill('log-module', 'polyport_core')
    await page.fill('log-level', 'trace')
    await page.fill('log-for', '')
    await page.click('Set the level')
    await page.shows(/Logged\s+polyport_core=trace,polyport_net=debug,info, until the next reload|Logged\s+polyport_net=debug,polyport_core=trace,info, until the next reload/)
    const from = gateway.log.length
    const client = await LineClient.open({ port: gateway.ports.tcp })
    await gateway.logged(/"DEBUG","message":"session opened"/, { from })
    client.close()
    await page.fill('log-module', '')
    await page.fill('log-level', 'warn')
    await page.click('Set the level')
    await page.shows(/Of all others warn is logged/, '.notices')
    assert.deepEqual((await api('log')).level.split(',').sort(), ['polyport_core=trace', 'polyport_net=debug', 'warn'])
    await page.screenshot('operations-log')
    await page.click('As configured')
    await page.shows(/What the configuration says is logged again/, '.notices')
    await page.shows(/Logged\s+info\s+The configuration says\s+info\s/)
    assert.deepEqual(await api('log'), { level: 'info', configured: 'info' })
    assert.deepEqual(await page.accessibility(), [])
    await page.checkFaults()
  })

  test('by keyboard, on a phone', async () => {
    const page = await open(KEYS.all, { width: 360, height: 740, dark: true })
    const { generation } = (await api('info')).configuration
    await page.named('Reload')
    await page.page.$eval('h1', (heading) => heading.focus())
    await page.press('Tab')
    assert.equal(await page.focused(), 'Reload')
    await page.press('Enter')
    await page.shows(/Reload the configuration\?/, 'dialog')
    assert.equal(await page.overflow(), 0)
    assert.deepEqual(await page.accessibility(), [])
    await page.press('Enter')
    await page.shows(new RegExp(`Generation ${generation + 1} is in force`), '.notices')
    assert.equal(await page.focused(), 'Reload', 'the focus is where it was')
    await page.press('Tab', 2)
    assert.equal(await page.focused(), 'log-module')
    await page.page.keyboard.type('polyport_net')
    await page.press('Enter')
    await page.shows(/Logged\s+polyport_net=debug,info, for (9m \d+s|10m 0s) more/)
    assert.equal(await page.focused(), 'log-module', 'the focus stays over refreshes')
    assert.equal(await page.overflow(), 0)
    await page.screenshot('operations-phone-used-dark')
    await reload(page)
    await page.shows(/Logged\s+info\s/)
    await page.checkFaults()
  })

  test('the key decides what is offered', async () => {
    const looker = await open(KEYS.looker)
    await looker.shows(/generation \d+[^]*does not have the verb reload[^]*does not have the verb log/)
    const confined = await open(KEYS.confined)
    await confined.shows(/generation \d+[^]*may address rooms only[^]*Logged\s+info[^]*may address rooms only/)
    const only = await open(KEYS.only)
    await only.shows(/generation \d+[^]*Reload\s[^]*does not have the verb log/)
    for (const page of [looker, confined]) assert.equal(await page.page.$('main button'), null)
    for (const page of [looker, confined, only]) {
      assert.deepEqual(await page.accessibility(), [])
      await page.checkFaults()
    }
  })

  test('a key that is taken away meanwhile: the gateway refuses, and the page says so', async () => {
    const page = await open(KEYS.only)
    await page.named('Reload')
    const keys = { ...good.api.keys, only: { ...good.api.keys.only, verbs: ['info'] } }
    await page.page.setRequestInterception(true)
    // The page does not hear of it before it asks.
    page.page.on('request', (request) => (request.url().endsWith('/api/overview') ? request.abort() : request.continue()))
    const from = gateway.log.length
    gateway.configure({ ...good, api: { keys } })
    gateway.signal('SIGHUP')
    await gateway.logged(/configuration reloaded/, { from })
    await reload(page)
    await page.shows(/key `only` does not have the verb `reload`/)
    await page.shows(/key `only` does not have the verb `reload`/, '.notices')
  })
})
