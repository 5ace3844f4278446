'use strict'
// Headless Chromium with pages of its own, served on loopback.

const { spawnSync } = require('node:child_process')
const http = require('node:http')
const esbuild = require('esbuild')
const puppeteer = require('puppeteer-core')
const { temporaryFolder } = require('./polyport')

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
]

function chromium() {
  const found = spawnSync('sh', ['-c', 'command -v chromium || command -v chromium-browser'], { encoding: 'utf8' })
  const file = process.env.CHROMIUM ?? found.stdout.trim()
  if (!file) throw new Error('there is no chromium: install the package chromium, or name the program in CHROMIUM')
  return file
}

/** What `source`, a module that may import npm packages, is to a browser. */
function bundled(source) {
  const built = esbuild.buildSync({
    stdin: { contents: source, resolveDir: __dirname },
    bundle: true,
    write: false,
    format: 'iife',
    logLevel: 'silent',
  })
  return built.outputFiles[0].text
}

class Browser {
  /** A browser whose pages run `source`. */
  static async start(source) {
    const script = bundled(source)
    const server = http.createServer((request, response) => {
      const isScript = request.url === '/page.js'
      response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
      response.end(isScript ? script : '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script src="/page.js"></script>')
    })
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      const browser = await puppeteer.launch({
        executablePath: chromium(),
        headless: true,
        args: FLAGS,
        userDataDir: temporaryFolder('polyport-browser-'),
      })
      return new Browser(browser, server)
    } catch (error) {
      server.close()
      throw error
    }
  }

  constructor(browser, server) {
    this.browser = browser
    this.server = server
    this.origin = `http://127.0.0.1:${server.address().port}`
  }

  async page() {
    const page = await this.browser.newPage()
    await page.goto(this.origin)
    return page
  }

  async stop() {
    await this.browser.close()
    this.server.closeAllConnections()
    this.server.close()
  }
}

module.exports = { Browser }
