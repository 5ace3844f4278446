'use strict'
// The page of npm remotedev-server, as its users have it: three files of npm packages, on a server of its own. The packages are
// fetched one by one and checked, because all that remotedev-app asks for, two hundred packages, is in its one file already.

const { execFileSync } = require('node:child_process')
const crypto = require('node:crypto')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { temporaryFolder, ROOT } = require('./polyport')

const KEPT = path.join(ROOT, 'target', 'devtools-old-page')
const SCRIPTS = [
  ['react@0.14.10', 'react.min.js', 'yxMw5aorZG4qsLVBfjae4wGFvd5708DhcxaXLJ3IOTgr1TCs8k9+ZheGgLGr5OfwWMhSahNbGvvoEDzrxVWouA=='],
  ['react-dom@0.14.10', 'react-dom.min.js', 'kDs8SWFb8Sry4NAplhpJbZEeAnTPir/m+s9s+lkdqA2a89BzmWGnEgGG/CfmhULjv1ogc4oHrjMfAvFNruT3jQ=='],
  ['remotedev-app@0.10.12', 'remotedev-app.min.js', 'hwgL0ik5La9Ct2Juwgej9xixuT1VBLEosWih68zzipatN4K6Pw5PEJ9cSCdrGzbHjETzejisRE615xtm337T4Q=='],
]

/** The script of a package, which is fetched once. */
function script([spec, file, sha512]) {
  const kept = path.join(KEPT, `${spec}.js`)
  if (!fs.existsSync(kept)) {
    const folder = temporaryFolder()
    const [{ filename }] = JSON.parse(execFileSync('npm', ['pack', spec, '--json', '--pack-destination', folder], { encoding: 'utf8' }))
    const packed = path.join(folder, filename)
    const found = crypto.createHash('sha512').update(fs.readFileSync(packed)).digest('base64')
    if (found !== sha512) throw new Error(`${spec} is another package: its hash is ${found}`)
    execFileSync('tar', ['-xzf', packed, '-C', folder, `package/dist/${file}`])
    fs.mkdirSync(KEPT, { recursive: true })
    fs.copyFileSync(path.join(folder, 'package', 'dist', file), kept)
  }
  return fs.readFileSync(kept)
}

class OldPage {
  /** Serves the page for a relay on this port. */
  static async serve(port) {
    const scripts = SCRIPTS.map(script)
    const options = JSON.stringify({ hostname: '127.0.0.1', port, autoReconnect: true })
    const page = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><style>html,body,#root{height:100%;margin:0}</style>
      <div id="root"></div>${scripts.map((_, index) => `<script src="/${index}.js"></script>`).join('')}
      <script>ReactDOM.render(React.createElement(RemoteDevApp, { socketOptions: ${options} }), document.getElementById('root'))</script>`
    const server = http.createServer(({ url }, response) => {
      const wanted = scripts[/^\/(\d)\.js$/.exec(url)?.[1]]
      response.setHeader('content-type', wanted ? 'text/javascript' : 'text/html')
      response.end(wanted ?? page)
    })
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
    return new OldPage(server)
  }

  constructor(server) {
    this.server = server
    this.address = `http://127.0.0.1:${server.address().port}/`
  }

  close() {
    this.server.closeAllConnections()
    this.server.close()
  }
}

module.exports = { OldPage }
