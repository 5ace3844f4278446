'use strict'
// Verbs protocol, scenario 20: the same inside TLS, with openssl and with the original clients.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const { after, before, describe, test } = require('node:test')
const { ByteStream } = require('./lib/byte-stream')
const { Authority } = require('./lib/certificates')
const { checkClient, checkDocumentExample } = require('./lib/client-sessions')
const { LineClient } = require('./lib/line-client')
const { mask } = require('./lib/mask')
const { Polyport } = require('./lib/polyport')
const { SEED, WELCOME } = require('./lib/seed-session')
const { verbsListener } = require('./lib/verbs')

describe('the verbs protocol inside TLS', () => {
  let authority
  let gateway
  let address
  let open

  before(async () => {
    authority = new Authority()
    const first = { ...authority.issue('first', ['localhost', 'first.example']) }
    const second = { ...authority.issue('second', ['second.example']), names: ['second.example'] }
    gateway = await Polyport.start({
      listeners: { tls: verbsListener({ tls: first }), named: verbsListener({ tls: [first, second] }) },
    })
    address = { HOST: '127.0.0.1', PORT: String(gateway.ports.tls), SECURE: 'yes', NODE_EXTRA_CA_CERTS: authority.file }
    open = (options = {}, name = 'tls') =>
      LineClient.open({ port: gateway.ports[name], tls: { ca: authority.certificate, ...options } })
  })
  after(() => gateway?.stop())

  test('20: the printed session through openssl s_client', async () => {
    const child = spawn(
      'openssl',
      ['s_client', '-connect', `127.0.0.1:${gateway.ports.tls}`, '-quiet', '-verify_return_error', '-CAfile', authority.file],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    )
    let complaints = ''
    child.stderr.setEncoding('utf8').on('data', (text) => {
      complaints += text
    })
    const ended = new Promise((resolve) => child.once('close', resolve))
    const stream = new ByteStream(child.stdout, 'openssl s_client')
    const next = () =>
      stream.wait(`a line (openssl said ${complaints})`, () => {
        const end = stream.pending.indexOf('\r\n')
        return end < 0 ? undefined : stream.take(end + 2).subarray(0, end).toString()
      })
    try {
      assert.equal(await next(), WELCOME)
      for (const [line, reply] of SEED) {
        child.stdin.write(`${line}\n`)
        assert.equal(mask(await next()), reply, `reply to ${line}`)
      }
      assert.match(await next(), /"context":"user"/)
      child.stdin.write('quit\n')
      assert.equal(await next(), '{"status":"Bye!","context":"api"}')
      await ended
    } finally {
      child.kill('SIGKILL')
    }
  })

  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    test(`20: ${version}`, async () => {
      const client = await open({ minVersion: version, maxVersion: version })
      assert.equal(client.socket.getProtocol(), version)
      assert.equal(client.socket.authorized, true)
      assert.equal((await client.ask('randomNumber')).messageCount, 1)
      client.close()
    })
  }

  test("20: the document's example program with secure: true", () => checkDocumentExample(address))
  test('20: actionhero-client 4.0.1 with secure: true', () => checkClient('4', address))
  test('20: actionhero-client 6.0.0 with secure: true', () => checkClient('6', address))
  test('20: actionhero-node-client 8.0.1 with secure: true', () => checkClient('8', address))

  test('16: a plain client on the TLS port is cut without a word and harms nobody', async () => {
    const witness = await open()
    const plain = await LineClient.connect({ port: gateway.ports.tls })
    await plain.send('detailsView')
    const rest = await plain.rest()
    assert.doesNotMatch(rest, /welcome|Bye|status/)
    await gateway.counted('polyport_connections_refused_total', { listener: 'tls', reason: 'tls' }, (count) => count === 1)
    assert.deepEqual(await witness.before(), [])
    witness.close()
  })

  test('the certificate is chosen by server name', async () => {
    for (const [name, subject] of [['first.example', 'first'], ['second.example', 'second'], ['localhost', 'first']]) {
      const client = await open({ servername: name }, 'named')
      assert.equal(client.socket.getPeerCertificate().subject.CN, subject, `certificate for ${name}`)
      client.close()
    }
  })

  test('goodbye, close_notify, end', async () => {
    const client = await open()
    await client.send('quit')
    assert.equal(await client.rest(), '{"status":"Bye!","context":"api"}\r\n')
    assert.equal(client.stream.error, null)
  })
})
