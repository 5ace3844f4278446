'use strict'
// The console as a person uses it, in a tab of its own, with everything kept that must not happen there.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const axe = require('axe-core')
const { ROOT } = require('./polyport')
const { until } = require('./wait')

const SCREENSHOTS = path.join(ROOT, 'target', 'console')
const IMAGES = path.join(ROOT, 'docs', 'images')

class ConsolePage {
  /** Opens the console of a gateway; `key` comes in the address, as the gateway prints it. */
  static async open(browser, origin, { key, width = 1200, height = 900, dark = false } = {}) {
    const context = await browser.browser.createBrowserContext()
    const page = await context.newPage()
    const opened = new ConsolePage(context, page, origin)
    await page.setViewport({ width, height })
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }])
    await page.evaluateOnNewDocument(() => {
      window.violations = []
      document.addEventListener('securitypolicyviolation', (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`))
    })
    await page.goto(`${origin}/${key ? `#key=${encodeURIComponent(key)}` : ''}`)
    return opened
  }

  constructor(context, page, origin) {
    this.context = context
    this.page = page
    this.origin = origin
    this.faults = []
    page.on('pageerror', (error) => this.faults.push(`error ${error}`))
    page.on('console', (message) => {
      // What the gateway refuses is told by the browser too.
      if (message.type() === 'error' && !/the server responded with a status of|net::ERR_/.test(message.text())) this.faults.push(message.text())
    })
    page.on('request', (request) => {
      const { origin: asked, protocol } = new URL(request.url())
      if (protocol !== 'data:' && asked !== origin) this.faults.push(`asked ${request.url()}`)
    })
  }

  async close() {
    await this.context.close()
  }

  /** Nothing happened that must not. */
  async checkFaults() {
    assert.deepEqual(this.faults, [])
    assert.deepEqual(await this.page.evaluate(() => window.violations), [], 'violations of the policy')
  }

  async go(view) {
    await this.page.evaluate((hash) => {
      location.hash = hash
    }, view)
  }

  text(selector = 'body') {
    return this.page.$eval(selector, (element) => element.innerText).catch(() => '')
  }

  /** Waits until an element shows a text. */
  async shows(pattern, selector = 'main', limit) {
    let seen
    await until(
      () => `${pattern} in ${selector}; it shows ${JSON.stringify(seen)}; faults ${this.faults}`,
      async () => {
        seen = await this.text(selector)
        return pattern.test(seen)
      },
      limit,
    )
  }

  /** The rows of a table, each as an object by the titles of its columns. */
  rows(caption) {
    return this.page.evaluate((wanted) => {
      const tables = [...document.querySelectorAll('table')]
      const table = tables.find((one) => one.caption.innerText === wanted)
      if (!table) return []
      const titles = [...table.tHead.rows[0].cells].map((cell) => cell.innerText)
      return [...table.tBodies[0].rows].map((row) => Object.fromEntries([...row.cells].map((cell, at) => [titles[at], cell.innerText])))
    }, caption)
  }

  /** Waits until the rows of a table satisfy `test`; gives them. */
  async table(caption, test) {
    let seen
    await until(
      () => `table ${caption} to satisfy ${test}; its rows ${JSON.stringify(seen, null, 1)}; faults ${this.faults}`,
      async () => {
        seen = await this.rows(caption)
        return test(seen)
      },
    )
    return seen
  }

  /** The button or link of that name, once it is there. */
  async named(name, selector = 'button, a, summary') {
    const handle = await until(`${selector} called ${name}`, async () => {
      const all = await this.page.$$(selector)
      for (const one of all) if ((await one.evaluate((element) => element.innerText.trim().replace(/\s+/g, ' '))) === name) return one
      return null
    })
    return handle
  }

  async click(name, selector) {
    const handle = await this.named(name, selector)
    // By script: an element may be redrawn between being found and being pointed at.
    await handle.evaluate((element) => element.click())
  }

  /** Writes into a field in place of what is there. */
  async fill(id, text) {
    const field = await this.page.waitForSelector(`#${id}`)
    const isSelect = await field.evaluate((element) => element.tagName === 'SELECT')
    if (isSelect) {
      await this.page.select(`#${id}`, text)
      return
    }
    await field.evaluate((element) => {
      element.value = ''
      element.dispatchEvent(new Event('input', { bubbles: true }))
      element.focus()
    })
    await field.type(text)
  }

  /** What has the focus, in words. */
  focused() {
    return this.page.evaluate(() => {
      const element = document.activeElement
      return element === document.body ? 'body' : element.id || element.innerText.trim() || element.getAttribute('aria-label') || element.tagName
    })
  }

  async press(key, times = 1) {
    for (let n = 0; n < times; n += 1) await this.page.keyboard.press(key)
  }

  async screenshot(name) {
    fs.mkdirSync(SCREENSHOTS, { recursive: true })
    await this.page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`), fullPage: true })
  }

  /** A picture for the documentation, made anew only when that is asked for. */
  async picture(name) {
    if (process.env.UPDATE_SCREENSHOTS !== '1') return
    fs.mkdirSync(IMAGES, { recursive: true })
    await this.page.screenshot({ path: path.join(IMAGES, name) })
  }

  /** What axe finds wrong with the page as it is. */
  async accessibility() {
    await this.page.evaluate(axe.source)
    const found = await this.page.evaluate(async () => {
      const { violations, passes } = await window.axe.run(document, { resultTypes: ['violations'] })
      if (passes.length < 10) return [`axe has checked ${passes.length} rules only`]
      return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html.slice(0, 120)} ${node.failureSummary}`).join(' | ')}`)
    })
    return found
  }

  /** How far the page can be scrolled sideways. */
  overflow() {
    return this.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  }
}

module.exports = { ConsolePage }
