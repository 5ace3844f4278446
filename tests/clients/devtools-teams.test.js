'use strict'
// Teams that a host chooses, and rights that tokens give: what each of them allows, and what it does not.

const assert = require('node:assert/strict')
const http = require('node:http')
const { after, before, describe, test } = require('node:test')
const jwt = require('jsonwebtoken')
const { App, Monitor } = require('./lib/devtools')
const { FrameClient } = require('./lib/frame-client')
const { Polyport } = require('./lib/polyport')

const KEY = 'a key of this test'
const SECRET = 'sesame-of-the-team'
const PATH = '/socketcluster/'
const ALL = ['app', 'monitor', 'report']
const REFUSED = /SilentMiddlewareBlockedError/

const sign = (sub, rights, more = {}) => jwt.sign({ ...(sub === null ? {} : { sub }), ...(rights ? { devtools: rights } : {}), ...more }, KEY)

let gateway
before(async () => {
  const users = ['anna', 'bob'].map((name) => ({ name, secret: 'env:TEAM_SECRET' }))
  const auth = { tokens: 'main', from: ['query:token', 'bearer'], on_expiry: 'downgrade' }
  const relay = (realm, devtools, more) => ({ protocol: 'devtools-relay', realm, devtools: { relay: true, protocol_version: 2, grace: '100ms', ...devtools }, ...more })
  gateway = await Polyport.start(
    {
      tokens: { main: { leeway: '0s', require_expiry: false, keys: [{ algorithm: 'HS256', secret: 'env:POLYPORT_JWT_SECRET' }] } },
      listeners: {
        hosts: relay('hosts', { users, teams: true, team_hosts: '*.dev.example', anybody: ['app'] }),
        shut: relay('shut', { users, teams: true, team_hosts: '*.dev.example' }),
        tokens: relay('tokens', { rights_claim: 'devtools' }, { auth }),
        both: relay('both', { users, teams: true, team_hosts: '*.dev.example', rights_claim: 'devtools', anybody: ['app'] }, { auth }),
      },
    },
    { env: { TEAM_SECRET: SECRET, POLYPORT_JWT_SECRET: KEY } },
  )
})
after(() => gateway?.stop())

const host = (name, where) => ({ Host: `${name}:${gateway.ports[where]}` })
const basic = (user, secret = SECRET) => ({ Authorization: `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}` })

/** A connection that has shaken hands; gives it and its greeting. */
async function connect(where, { headers = {}, token = null, target = PATH } = {}) {
  const client = await FrameClient.open({ port: gateway.ports[where], path: target, headers })
  await client.text(JSON.stringify({ event: '#handshake', data: { authToken: token }, cid: 1 }))
  client.greeting = JSON.parse(await client.nextText())
  return client
}

/** The status of an upgrade that is refused. */
async function refusal(where, headers) {
  const client = await FrameClient.connect({ port: gateway.ports[where] })
  const error = await client.upgrade({ path: PATH, headers }).then(() => assert.fail('it was let in'), (refused) => refused)
  client.close()
  return error.message
}

async function ask(client, event, data, cid = 7) {
  await client.text(JSON.stringify({ event, data, cid }))
  return client.nextText()
}
const logsIn = async (client, data) => !REFUSED.test(await ask(client, 'login', data))
/** Which rights a client turns out to have. */
async function rights(client) {
  const found = []
  if (await logsIn(client, 'master')) found.push('app')
  if (await logsIn(client, {})) found.push('monitor')
  if (/NotFoundError/.test(await ask(client, 'getReport', 'none'))) found.push('report')
  return found
}

/** Opens one who watches, and says whether it hears what another says. */
async function watch(client) {
  assert.equal(await ask(client, '#subscribe', { channel: 'log' }), '{"rid":7}')
}
async function says(client, text) {
  assert.equal(await ask(client, 'log', { type: 'ERROR', payload: text }), '{"rid":7}')
}
const hears = async (client, text) => assert.match(await client.nextText(), new RegExp(`"#publish".*"log".*"${text}"`))

const post = (where, { headers = {}, target = '/', body = { op: 'list' } } = {}) =>
  new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port: gateway.ports[where], method: 'POST', path: target, agent: false, headers: { 'content-type': 'application/json', ...headers } }, (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode))
    })
    request.on('error', reject)
    request.end(JSON.stringify(body))
  })

const close = (...clients) => clients.forEach((client) => client.close())

describe('a host chooses a team', () => {
  test('for who shows no name, and gives no right', async () => {
    const [anna, bob] = [await connect('hosts', { headers: basic('anna') }), await connect('hosts', { headers: basic('bob') })]
    for (const client of [anna, bob]) await watch(client)
    const phone = await connect('hosts', { headers: host('Anna.dev.example', 'hosts') })
    assert.deepEqual(await rights(phone), ['app'], 'what anybody may')
    assert.match(await ask(phone, '#subscribe', { channel: 'log' }), REFUSED)
    assert.match(await ask(phone, 'respond', { type: 'START' }), REFUSED)
    await says(phone, 'of the phone')
    await hears(anna, 'of the phone')
    const stranger = await connect('hosts')
    await says(stranger, 'of a stranger')
    const other = await connect('hosts', { headers: basic('bob') })
    await says(other, 'of bob')
    await hears(bob, 'of bob')
    close(anna, bob, other, phone, stranger)
  })

  test('a forged one opens nothing to a name, to nobody, or to a page', async () => {
    assert.match(await refusal('hosts', { ...host('anna.dev.example', 'hosts'), ...basic('bob') }), /401/)
    assert.match(await refusal('hosts', { ...host('anna.dev.example', 'hosts'), ...basic('anna', 'wrong') }), /401/)
    assert.match(await refusal('hosts', host('carl.dev.example', 'hosts')), /401/)
    assert.match(await refusal('shut', host('anna.dev.example', 'shut')), /401/)
    assert.match(await refusal('hosts', { ...host('anna.dev.example', 'hosts'), Origin: 'http://evil.example' }), /403/)
    assert.match(await refusal('hosts', { ...host('anna.dev.example', 'hosts'), Origin: 'http://bob.dev.example' }), /403/)
    for (const name of ['x.anna.dev.example', 'anna.dev.example.evil.example', 'dev.example']) {
      const client = await connect('hosts', { headers: host(name, 'hosts') })
      const [anna, app] = [await connect('hosts', { headers: basic('anna') }), await connect('hosts', { headers: basic('anna') })]
      await watch(anna)
      await says(client, 'in no team')
      await says(app, 'of anna')
      await hears(anna, 'of anna')
      close(client, anna, app)
    }
  })

  test('is right for who has its name, and for its page', async () => {
    const own = host('anna.dev.example', 'hosts')
    const client = await connect('hosts', { headers: { ...own, ...basic('anna'), Origin: `http://${own.Host}` } })
    assert.deepEqual(await rights(client), ALL)
    close(client)
  })

  test('for reports too', async () => {
    const own = host('anna.dev.example', 'hosts')
    assert.equal(await post('hosts', { headers: own }), 403, 'anybody reads none')
    assert.equal(await post('hosts', { headers: { ...own, ...basic('bob') } }), 401)
    assert.equal(await post('hosts', { headers: { ...own, ...basic('anna') } }), 200)
    assert.equal(await post('hosts', { headers: host('carl.dev.example', 'hosts') }), 401)
  })
})

describe('a token gives rights', () => {
  test('those of its claim and no others', async () => {
    for (const [claim, expected] of [[ALL, ALL], [['app'], ['app']], ['openid monitor', ['monitor']], [['admin'], []], [undefined, []], [{ monitor: true }, []]]) {
      const client = await connect('tokens', { token: sign('anna', claim) })
      assert.deepEqual(await rights(client), expected, JSON.stringify(claim))
      close(client)
    }
    const [nobody, forged] = [await connect('tokens'), await connect('tokens', { token: jwt.sign({ devtools: ALL }, 'another key') })]
    for (const client of [nobody, forged]) {
      if (client === forged) assert.match(await client.nextText(), /#removeAuthToken/)
      assert.deepEqual(await rights(client), [])
      close(client)
    }
  })

  test('in the address, to HTTP, and only while it is good', async () => {
    const client = await connect('tokens', { target: `${PATH}?token=${sign('anna', ['monitor'])}` })
    assert.deepEqual(await rights(client), ['monitor'])
    close(client)
    assert.equal(await post('tokens'), 403)
    assert.equal(await post('tokens', { headers: { Authorization: `Bearer ${sign('anna', ['report'])}` } }), 200)
    assert.equal(await post('tokens', { headers: { Authorization: `Bearer ${sign('anna', ['app'])}` } }), 403)
    assert.equal(await post('tokens', { headers: { Authorization: `Bearer ${sign('anna', ['report'])}x` } }), 401)
    assert.equal(await post('tokens', { target: `/?token=${sign('anna', ['report'])}` }), 200)
  })

  test('later, until the client logs out: then it sees and may nothing any more', async () => {
    const [client, app] = [await connect('tokens'), await connect('tokens', { token: sign('app', ['app']) })]
    assert.match(await ask(client, '#subscribe', { channel: 'log' }), REFUSED)
    assert.match(await ask(client, '#authenticate', sign('anna', ['monitor'])), /"isAuthenticated":true/)
    assert.ok(await logsIn(client, {}))
    await watch(client)
    await says(app, 'while it may')
    await hears(client, 'while it may')
    await client.text('{"event":"#removeAuthToken"}')
    assert.equal(await client.nextText(), '{"event":"#kickOut","data":{"channel":"log"}}')
    await says(app, 'when it may not')
    assert.deepEqual(await rights(client), [])
    close(client, app)
  })

  test('until it expires', async () => {
    const exp = Math.floor(Date.now() / 1000) + 2
    const client = await connect('tokens', { token: sign('anna', ['monitor'], { exp }) })
    await watch(client)
    assert.equal(await client.nextText(), '{"event":"#kickOut","data":{"channel":"log"}}')
    assert.equal(await client.nextText(), '{"event":"#removeAuthToken"}')
    assert.ok(Date.now() >= exp * 1000)
    assert.deepEqual(await rights(client), [])
    close(client)
  })

  test('apps hear when the last monitor has lost its right, and monitors when an app has', async () => {
    const [app, monitor] = [await connect('tokens', { token: sign('x', ['app']) }), await connect('tokens', { token: sign('y', ALL) })]
    assert.ok(await logsIn(app, 'master'))
    await ask(app, '#subscribe', { channel: 'respond' })
    assert.ok(await logsIn(monitor, {}))
    await watch(monitor)
    const other = await connect('tokens', { token: sign('z', ['app']) })
    assert.ok(await logsIn(other, 'master'))
    await other.text('{"event":"#removeAuthToken"}')
    assert.match(await monitor.nextText(), /"channel":"log".*"type":"DISCONNECTED"/)
    await monitor.text('{"event":"#removeAuthToken"}')
    assert.match(await app.nextText(), /"channel":"respond".*"type":"DISCONNECTED"/)
    close(app, monitor, other)
  })
})

describe('tokens and teams', () => {
  test('a token has rights in the team of its user alone', async () => {
    const bob = sign('bob', ALL)
    const anna = await connect('both', { headers: basic('anna') })
    await watch(anna)
    const own = await connect('both', { token: bob })
    assert.deepEqual(await rights(own), ALL)
    const theirs = await connect('both', { headers: host('anna.dev.example', 'both'), token: bob })
    assert.deepEqual(await rights(theirs), ['app'], 'what anybody may at that host')
    assert.match(await ask(theirs, '#subscribe', { channel: 'log' }), REFUSED)
    const right = await connect('both', { headers: host('anna.dev.example', 'both'), token: sign('anna', ['monitor']) })
    assert.deepEqual(await rights(right), ['app', 'monitor'])
    await watch(right)
    await says(own, 'of bob')
    await says(theirs, 'of a guest')
    await hears(right, 'of a guest')
    await hears(anna, 'of a guest')
    close(anna, own, theirs, right)
  })

  test('a later token changes no team, and has no right in one that is not its own', async () => {
    const client = await connect('both')
    assert.match(await ask(client, '#authenticate', sign('bob', ALL)), /"isAuthenticated":true/)
    assert.deepEqual(await rights(client), ['app'])
    close(client)
    const named = await connect('both', { headers: basic('anna'), token: sign('bob', ALL) })
    await watch(named)
    const anna = await connect('both', { headers: basic('anna') })
    await says(anna, 'of anna')
    await hears(named, 'of anna')
    close(named, anna)
  })

  test('the team of somebody who is in no configuration needs its token', async () => {
    const at = host('carl.dev.example', 'both')
    for (const token of [null, sign('bob', ALL), sign(null, ALL)]) {
      const client = await connect('both', { headers: at, token })
      assert.match(JSON.stringify(client.greeting.error), REFUSED)
      close(client)
    }
    const carl = await connect('both', { headers: at, token: sign('carl', ALL) })
    assert.deepEqual(await rights(carl), ALL)
    close(carl)
    for (const nobody of [null, 'x'.repeat(2_000)]) {
      const client = await connect('both', { token: sign(nobody, ALL) })
      assert.deepEqual(await rights(client), ['app'], 'without a user it is of no team')
      close(client)
    }
    assert.equal(await post('both', { headers: { ...at, Authorization: `Bearer ${sign('bob', ALL)}` } }), 401)
    assert.equal(await post('both', { headers: { ...at, Authorization: `Bearer ${sign('carl', ALL)}` } }), 200)
  })

  test('with the real libraries', async () => {
    const monitors = {}
    for (const [name, version] of [['anna', '20.0.2'], ['bob', '19.2.7']]) monitors[name] = await Monitor.open(version, gateway.ports.both, { token: sign(name, ALL) })
    const app = await App.start('1.0.0', gateway.ports.both, 'ours', { host: `anna:${SECRET}@127.0.0.1` })
    const state = await monitors.anna.sees('ours', { type: 'STATE' })
    app.dispatch({ type: 'INC' })
    await monitors.anna.sees('ours', { type: 'ACTION' })
    monitors.anna.dispatches(state, { type: 'RESET', timestamp: 1 })
    await app.holds(0)
    assert.deepEqual(monitors.bob.log, [])
    app.kill()
    for (const one of Object.values(monitors)) await one.close()
  })
})
