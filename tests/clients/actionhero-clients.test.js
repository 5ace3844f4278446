'use strict'
// Verbs protocol, scenario 19: the three original clients, unmodified, on one listener.

const { after, before, describe, test } = require('node:test')
const { checkClient, checkDocumentExample } = require('./lib/client-sessions')
const { Polyport } = require('./lib/polyport')
const { verbsListener } = require('./lib/verbs')

describe('original Actionhero clients', () => {
  let gateway
  let address

  before(async () => {
    gateway = await Polyport.start({ listeners: { tcp: verbsListener() } })
    address = { HOST: '127.0.0.1', PORT: String(gateway.ports.tcp), SECURE: 'no' }
  })
  after(() => gateway?.stop())

  test("19: the document's example program", () => checkDocumentExample(address))
  test('19: actionhero-client 4.0.1', () => checkClient('4', address))
  test('19: actionhero-client 6.0.0', () => checkClient('6', address))
  test('19: actionhero-node-client 8.0.1', () => checkClient('8', address))
})
