'use strict'
// Gateways with the configuration of the repository, as it comes and with TLS.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const { within } = require('../patience')
const { joined, swapped } = require('./stage')

/** Starts one, with something in the place of something. */
async function shipped(stage, table = {}) {
  await stage.ship()
  const file = stage.file('gateway.toml')
  fs.writeFileSync(file, swapped(fs.readFileSync(file, 'utf8'), table))
  return stage.start()
}

const TLS = { '[listeners.tcp]\n': '[listeners.tcp]\ntls = { cert = "cert.pem", key = "key.pem" }\n' }

/** A block that makes a certificate and connects: the client sees the welcome, and ends in order. */
async function secured(stage, { text }) {
  const [make, connect] = joined(text)
  await stage.do(make)
  await shipped(stage, TLS)
  const client = stage.begin(await stage.moved(connect), { input: 'pipe' })
  await stage.until(() => client.stdout.includes('"welcome"'), client)
  client.child.stdin.write('quit\r\n')
  assert.equal(await within(client.ended, () => client.stderr), 0)
}

module.exports = { shipped, secured }
