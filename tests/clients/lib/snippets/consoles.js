'use strict'
// Consoles that a reader types a page's lines into: what they print comes into a terminal.

const assert = require('node:assert/strict')
const { inspect } = require('node:util')
const original = require('../pocket-original')
const standIn = require('../pocket-stand-in')
const { Terminal } = require('../walkthrough')
const { until } = require('../patience')

/** What a console makes of the arguments of `console.log`. */
const printed = (values) => values.map((value) => (typeof value === 'string' ? value : inspect(value))).join(' ')

/** The console of a page in headless Chromium: one scope for all that is typed. */
class BrowserConsole extends Terminal {
  static async open(browser, address, moved) {
    const console = new BrowserConsole('the console')
    console.moved = moved
    console.page = await browser.browser.newPage()
    console.page.on('console', (message) => console.lines.push(message.text()))
    await console.page.goto(address)
    console.session = await console.page.createCDPSession()
    return console
  }

  async type(code) {
    const { exceptionDetails } = await this.session.send('Runtime.evaluate', { expression: await this.moved(code), replMode: true })
    assert.equal(exceptionDetails, undefined, JSON.stringify(exceptionDetails))
  }

  /** Waits for an expression to be true in the page. */
  holds(expression) {
    return until(expression, () => this.page.evaluate(expression))
  }
}

/** The same for a page with the library of Pocketsocket: the original script if POCKETSOCKET_JS names it. */
class PocketConsole extends Terminal {
  constructor(moved) {
    super('the page')
    this.moved = moved
    const { pocket, unload } = (original.given ? original : standIn).load()
    this.unload = unload
    this.opened = 0
    this.pocket = pocket
    this.console = { log: (...values) => this.lines.push(printed(values)) }
  }

  async type(code) {
    // The library takes functions of its own realm only.
    new Function('pocket', 'console', await this.moved(code))(this.pocket, this.console)
  }

  /** Types a call that connects, and waits until it is done. */
  async connects(code) {
    this.pocket.socket.on('socket', (name) => {
      if (name === 'open') this.opened += 1
    })
    await this.type(code)
    await until('the page to be connected', () => this.opened > 0)
  }

  close() {
    this.unload()
  }
}

module.exports = { BrowserConsole, PocketConsole }
