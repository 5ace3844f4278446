'use strict'
// The PROXY protocol: believed from trusted addresses only, and demanded from them.

const assert = require('node:assert/strict')
const net = require('node:net')
const { after, before, describe, test } = require('node:test')
const { FrameClient } = require('./lib/frame-client')
const { LineClient } = require('./lib/line-client')
const { Polyport } = require('./lib/polyport')
const { UNKNOWN, WELCOME } = require('./lib/seed-session')
const { verbsListener } = require('./lib/verbs')

const TRUSTED = '127.0.0.9'
const SIGNATURE = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a])

/** A version 2 header; `command` 1 is PROXY, 0 is LOCAL. */
function version2(family, addresses, command = 1, extra = Buffer.alloc(0)) {
  const head = Buffer.from([0x20 | command, family, 0, 0])
  head.writeUInt16BE(addresses.length + extra.length, 2)
  return Buffer.concat([SIGNATURE, head, addresses, extra])
}

function ipv4(source, sourcePort) {
  const ports = Buffer.alloc(4)
  ports.writeUInt16BE(sourcePort, 0)
  ports.writeUInt16BE(5000, 2)
  return Buffer.concat([Buffer.from(source.split('.').map(Number)), Buffer.from([192, 0, 2, 1]), ports])
}

function ipv6(lastByte, sourcePort) {
  const address = Buffer.alloc(16)
  address.writeUInt32BE(0x20010db8, 0)
  address[15] = lastByte
  const ports = Buffer.alloc(4)
  ports.writeUInt16BE(sourcePort, 0)
  return Buffer.concat([address, address, ports])
}

describe('the PROXY protocol', () => {
  let gateway

  before(async () => {
    const proxy_protocol = [`${TRUSTED}/32`]
    gateway = await Polyport.start({
      listeners: {
        tcp: verbsListener({ proxy_protocol, limits: { sessions_per_address: 2 } }),
        pocket: { protocol: 'ws-channels', proxy_protocol },
        hurried: verbsListener({ proxy_protocol, limits: { handshake: '1s' } }),
      },
    })
  })
  after(() => gateway?.stop())

  const connect = (localAddress = TRUSTED, listener = 'tcp') =>
    LineClient.connect({ port: gateway.ports[listener], localAddress })

  async function seen(header) {
    const client = await connect()
    await client.write(header)
    assert.equal(await client.next(), WELCOME)
    const { remoteIP, remotePort } = (await client.ask('detailsView')).data
    const { localPort } = client.socket
    client.close()
    return [remoteIP, remotePort, localPort]
  }

  const cases = [
    ['v1, IPv4', 'PROXY TCP4 198.51.100.7 192.0.2.1 40001 5000\r\n', '198.51.100.7', 40001],
    ['v1, IPv6', 'PROXY TCP6 2001:db8::7 2001:db8::1 40002 5000\r\n', '2001:db8::7', 40002],
    ['v2, IPv4', version2(0x11, ipv4('198.51.100.8', 40003)), '198.51.100.8', 40003],
    ['v2, IPv6', version2(0x21, ipv6(9, 40004)), '2001:db8::9', 40004],
    ['v2 with a TLV behind', version2(0x11, ipv4('198.51.100.9', 40005), 1, Buffer.from([0x04, 0, 2, 0, 0])), '198.51.100.9', 40005],
  ]
  for (const [label, header, ip, port] of cases) {
    test(`${label} from a trusted address`, async () => {
      assert.deepEqual((await seen(header)).slice(0, 2), [ip, port])
    })
  }

  for (const [label, header] of [['v1 UNKNOWN', 'PROXY UNKNOWN\r\n'], ['v2 LOCAL', version2(0, Buffer.alloc(0), 0)]]) {
    test(`${label} leaves the address of the connection`, async () => {
      const [ip, port, local] = await seen(header)
      assert.deepEqual([ip, port], [TRUSTED, local])
    })
  }

  test('header and lines in one write, and a header in pieces', async () => {
    const client = await connect()
    await client.write('PROXY TCP4 198.51.100.20 192.0.2.1 1 5000\r\nrandomNumber\r\n')
    assert.equal(await client.next(), WELCOME)
    assert.equal(JSON.parse(await client.next()).messageCount, 1)
    client.close()
    const slow = await connect()
    for (const byte of version2(0x11, ipv4('198.51.100.21', 2))) await slow.write(Buffer.from([byte]))
    assert.equal(await slow.next(), WELCOME)
    assert.equal((await slow.ask('detailsView')).data.remoteIP, '198.51.100.21')
    slow.close()
  })

  test('from an untrusted address it is a line like any other', async () => {
    const client = await connect('127.0.0.1')
    assert.equal(await client.next(), WELCOME)
    await client.write('PROXY TCP4 198.51.100.7 192.0.2.1 40001 5000\r\n')
    assert.equal(await client.next(), UNKNOWN(1))
    assert.equal((await client.ask('detailsView')).data.remoteIP, '127.0.0.1')
    client.close()
  })

  for (const [label, bytes] of [
    ['no header', 'detailsView\r\n'],
    ['a malformed v1 header', 'PROXY TCP4 nonsense\r\n'],
    ['an endless v1 header', `PROXY TCP4 ${'1'.repeat(400)}`],
    ['a v2 header of a wrong version', Buffer.concat([SIGNATURE, Buffer.from([0x31, 0x11, 0, 12]), ipv4('198.51.100.1', 1)])],
  ]) {
    test(`${label} from a trusted address is refused`, async () => {
      const labels = { listener: 'tcp', reason: 'proxy_header' }
      const before = (await gateway.metrics()).sum('polyport_connections_refused_total', labels)
      const client = await connect()
      await client.write(bytes)
      assert.equal(await client.rest(), '')
      await gateway.counted('polyport_connections_refused_total', labels, (count) => count === before + 1)
    })
  }

  test('a header that never comes is cut after the handshake time', async () => {
    const client = await connect(TRUSTED, 'hurried')
    assert.equal(await client.rest(), '')
    await gateway.counted('polyport_connections_refused_total', { listener: 'hurried', reason: 'handshake_timeout' }, (count) => count === 1)
  })

  test('the limit per address counts the address in the header', async () => {
    const header = (ip) => `PROXY TCP4 ${ip} 192.0.2.1 40001 5000\r\n`
    const open = async (ip) => {
      const client = await connect()
      await client.write(header(ip))
      return client
    }
    const [first, second, other] = [await open('203.0.113.1'), await open('203.0.113.1'), await open('203.0.113.2')]
    for (const client of [first, second, other]) assert.equal(await client.next(), WELCOME)
    const third = await open('203.0.113.1')
    await assert.rejects(third.next())
    await gateway.counted('polyport_connections_refused_total', { listener: 'tcp', reason: 'address_sessions' }, (count) => count === 1)
    for (const client of [first, second, other]) client.close()
  })

  test('Pocketsocket announces the address in the header', async () => {
    const witness = await FrameClient.open({ port: gateway.ports.pocket })
    const socket = net.connect({ port: gateway.ports.pocket, host: '127.0.0.1', localAddress: TRUSTED })
    await new Promise((resolve) => socket.once('connect', resolve))
    socket.write('PROXY TCP4 198.51.100.7 192.0.2.1 40001 8001\r\n')
    const page = new FrameClient(socket, 'a page behind a proxy')
    await page.upgrade()
    assert.equal(await witness.nextText(), '{"socket": "connected", "port": 40001, "address": "198.51.100.7"}')
    page.close()
    assert.equal(await witness.nextText(), '{"socket": "disconnected", "port": 40001, "address": "198.51.100.7"}')
    witness.close()
  })
})
