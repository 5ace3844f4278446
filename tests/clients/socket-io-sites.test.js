'use strict'
// site(HOST): where the page of a client lives decides in which room it is.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { connectedSocket, Polling } = require('./lib/engine-io')
const { connect } = require('./lib/socket-io')
const { GatewayServer } = require('./lib/socket-io-servers')
const { until } = require('./lib/wait')

process.on('unhandledRejection', () => {})

/** The origin of a page, and its site. */
const SITES = {
  'https://www.example.com': 'example.com',
  'https://example.com': 'example.com',
  'http://example.com.': 'example.com',
  'https://WWW.EXAMPLE.COM:8443': 'example.com',
  'https://a.b.example.co.uk': 'example.co.uk',
  'https://foo.github.io': 'foo.github.io',
  'https://a.foo.github.io': 'foo.github.io',
  'https://github.io': 'github.io',
  'https://co.uk': 'co.uk',
  'https://com': 'com',
  'https://a.city.kobe.jp': 'city.kobe.jp',
  'https://a.b.c.kobe.jp': 'b.c.kobe.jp',
  'https://www.ck': 'www.ck',
  'https://a.b.ck': 'a.b.ck',
  'https://bucket.s3.amazonaws.com': 'bucket.s3.amazonaws.com',
  'https://www.xn--85x722f.xn--55qx5d.cn': 'xn--85x722f.xn--55qx5d.cn',
  'http://app.internal': 'app.internal',
  'http://x.app.internal:3000': 'app.internal',
  'http://localhost:3000': 'localhost',
  'http://127.0.0.1': '127.0.0.1',
  'http://[::1]:80': '::1',
}

// No npm server does this: the document calls it "not implemented".
describe('site(HOST)', () => {
  let server
  before(async () => {
    server = await GatewayServer.start({ socketIo: { cors: { origins: ['*'] } } })
  })
  after(() => server?.stop())

  for (const version of ['2.5.0', '4.8.4']) {
    for (const transports of ['polling', 'websocket']) {
      test(`a site is reached on all its pages, another is not: ${version}, ${transports}`, async () => {
        const open = (origin) => connect(version, server.url, { transports, headers: { Origin: origin } })
        const [www, shop, other] = ['https://www.example.com', 'https://shop.example.com:8443', 'https://example.org'].map(open)
        for (const client of [www, shop, other]) await client.connected()
        assert.equal(await server.publish('site(example.com)', 'news', 'for example.com'), 2)
        assert.equal(await server.publish('site(example.org)', 'news', 'for example.org'), 1)
        for (const client of [www, shop, other]) await client.event('news')
        assert.deepEqual(
          [www, shop, other].map((client) => client.entries('event', 'news').map((entry) => entry[2])),
          [['for example.com'], ['for example.com'], ['for example.org']],
        )
        for (const client of [www, shop, other]) client.close()
        await until('all to be gone', async () => (await server.publish('site(example.com)', 'news')) === 0)
      })
    }
  }

  for (const [origin, site] of Object.entries(SITES)) {
    test(`${origin} is on ${site}`, async () => {
      const socket = await connectedSocket(server.port, { headers: { Origin: origin } })
      assert.equal(await server.publish(`site(${site})`, 'news', 1), 1)
      assert.equal(await socket.nextText(), '42["news",1]')
      socket.close()
      await until('it to be gone', async () => (await server.publish(`site(${site})`, 'news', 1)) === 0)
    })
  }

  test('Referer, and then Host, where there is no origin of a page', async () => {
    for (const [headers, site] of [
      [{ Referer: 'https://www.referred.example.net/page?x=1' }, 'example.net'],
      [{ Origin: 'null', Referer: 'https://www.second.example.edu/' }, 'example.edu'],
      [{ Host: 'chat.example.info:3000' }, 'example.info'],
      [{ Origin: 'file://', Host: 'chat.example.biz' }, 'example.biz'],
    ]) {
      const polling = await Polling.connected(server.port, { headers })
      assert.equal(await server.publish(`site(${site})`, 'news', site), 1, site)
      assert.deepEqual(await polling.poll(), [`42["news","${site}"]`])
      polling.close()
    }
  })
})
