'use strict'
// Free loopback ports from below the kernel's ephemeral range, so that an outgoing connection of a test that
// makes thousands of them cannot take a port between the moment it is found and the moment it is bound.

const net = require('node:net')

const FIRST = 10_240
const SPAN = 20_000

let next = FIRST + ((process.pid * 37) % SPAN)

function isFree(port) {
  return new Promise((resolve) => {
    const probe = net.createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ port, host: '127.0.0.1' }, () => probe.close(() => resolve(true)))
  })
}

async function freePort() {
  for (let tries = 0; tries < SPAN; tries += 1) {
    const port = next
    next = FIRST + ((next - FIRST + 1) % SPAN)
    if (await isFree(port)) return port
  }
  throw new Error('no free port on 127.0.0.1')
}

module.exports = { freePort }
