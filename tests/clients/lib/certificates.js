'use strict'
// A certificate authority and server certificates, made by openssl for one test run.

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { temporaryFolder } = require('./polyport')

const openssl = (folder, ...args) => execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

class Authority {
  constructor(folder = temporaryFolder('polyport-tls-')) {
    this.folder = folder
    this.file = path.join(folder, 'ca.pem')
    openssl(folder, 'req', '-x509', ...KEY, '-days', '2', '-subj', '/CN=polyport test authority', '-keyout', 'ca.key',
      '-out', 'ca.pem', '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign')
    this.certificate = fs.readFileSync(this.file)
  }

  /** Signs a certificate for `names` (host names) and 127.0.0.1, which ends in so many days. Gives the paths of both files. */
  issue(label, names = ['localhost'], days = 2) {
    const alternative = [...names.map((name) => `DNS:${name}`), 'IP:127.0.0.1'].join(',')
    openssl(this.folder, 'req', '-new', ...KEY, '-subj', `/CN=${label}`, '-keyout', `${label}.key`, '-out', `${label}.csr`)
    fs.writeFileSync(path.join(this.folder, `${label}.ext`), `subjectAltName=${alternative}\nextendedKeyUsage=serverAuth\n`)
    openssl(this.folder, 'x509', '-req', '-in', `${label}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial',
      '-days', String(days), '-extfile', `${label}.ext`, '-out', `${label}.pem`)
    return { cert: path.join(this.folder, `${label}.pem`), key: path.join(this.folder, `${label}.key`) }
  }
}

module.exports = { Authority }
