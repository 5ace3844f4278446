'use strict'
// Reports of DevTools: over HTTP as the originals answer, over the channel, by GraphQL, and what is kept.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { App, Monitor } = require('./lib/devtools')
const { FrameClient } = require('./lib/frame-client')
const { Polyport, temporaryFolder } = require('./lib/polyport')
const { until } = require('./lib/wait')

const TRACES = path.resolve(__dirname, '..', 'traces', 'devtools')
const PATH = '/socketcluster/'
const relay = (devtools = {}, more = {}) => ({ protocol: 'devtools-relay', devtools: { relay: true, protocol_version: 2, ...devtools }, ...more })
const folder = temporaryFolder()

let gateway
before(async () => {
  gateway = await Polyport.start(
    {
      listeners: {
        recorded: relay({ origins: ['*:*'] }, { realm: 'recorded' }),
        earlier: relay({ origins: ['*:*'] }, { realm: 'earlier' }),
        near: relay({ protocol_version: 'auto' }, { realm: 'near' }),
        few: relay({ max_reports: 2 }, { realm: 'few' }),
        team: relay({ teams: true, users: ['a', 'b'].map((name) => ({ name, secret: 'env:TEAM_SECRET' })), anybody: ['app'] }, { realm: 'team' }),
      },
    },
    { env: { TEAM_SECRET: 'sesame-of-the-team' } },
  )
})
after(() => gateway?.stop())

function request(where, { method = 'POST', target = '/', headers = {}, body }) {
  const port = typeof where === 'number' ? where : gateway.ports[where]
  return new Promise((resolve, reject) => {
    const sent = http.request({ host: '127.0.0.1', port, method, path: target, headers, agent: false }, (response) => {
      const parts = []
      response.on('data', (part) => parts.push(part))
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts).toString() }))
    })
    sent.on('error', reject)
    sent.end(body ?? undefined)
  })
}

async function post(where, body, { headers = {}, target } = {}) {
  const answer = await request(where, { target, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) })
  return answer.status === 200 || answer.headers['content-type']?.includes('json') ? JSON.parse(answer.body) : answer
}

const load = (name) => fs.readFileSync(path.join(TRACES, `${name}.jsonl`), 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line))

// Where the gateway answers otherwise than the recording, by the number of the request, and why.
const BOTH = {
  1: 'the page is another one', 2: 'the page', 3: 'the page', 4: 'the page', 42: 'the page', 43: 'the page', 44: 'the page',
  24: 'the text of the page for an error', 30: 'the text of the page for an error',
  32: { why: 'the name of an app is kept as the title', body: (text) => text.replace('"title":"nm"', '"title":null') },
  36: { why: 'the same', body: (text) => text.replace('"title":"nm"', '"title":null') },
  39: 'another library words it', 40: 'another library words it', 41: 'no stack trace',
  46: 'another library lists its types in another order',
}
const RECORDED = {
  'http-redux-devtools-cli-5.0.0': { where: 'recorded', differs: { ...BOTH, 5: { why: 'the page knows its own port', status: 404 }, 6: { why: 'a file of another page', status: 404 }, 7: { why: 'a missing file is missing', status: 404 }, 45: 'the page' } },
  'http-remotedev-server-0.3.1': {
    where: 'earlier',
    differs: {
      ...BOTH, 5: { why: 'a missing file is missing', status: 404 }, 6: { why: 'a missing file', status: 404 }, 7: { why: 'a missing file', status: 404 },
      10: { why: 'a user that is an object is kept', body: (text) => text.replace(/"user":"\{.*?\}"/, '"user":"[object Object]"') },
      26: { why: 'no report in another type of body', status: 404 },
      37: { why: 'a user that is an object is kept', body: (text) => text.replace(/"user":"\{.*?\}"/, '"user":"[object Object]"') },
      41: { why: 'no query is a bad request', status: 400 }, 45: 'GraphiQL comes from elsewhere',
    },
  },
}

const COMPARED = ['content-type', 'access-control-allow-origin', 'access-control-allow-methods', 'access-control-allow-headers', 'vary', 'cache-control']
const masked = (text) => text.replace(/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g, '<id>').replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<when>').trim()

describe('the recorded requests', () => {
  for (const [name, { where, differs }] of Object.entries(RECORDED)) {
    test(name, async () => {
      const entries = load(name)
      const ids = new Map()
      const met = new Set()
      for (let index = 0; index < entries.length; index += 2) {
        const [{ conn, data: asked }, { data: expected }] = [entries[index], entries[index + 1]]
        let body = asked.body
        const cut = /…\((\d+) chars\)$/.exec(body ?? '')
        if (cut) body = `${body.slice(0, body.indexOf('xxx'))}${'x'.repeat(Number(cut[1]) - body.indexOf('xxx') - 2)}"}`
        for (const [recorded, ours] of ids) body = body?.replaceAll(recorded, ours)
        const answer = await request(where, { method: asked.method, target: asked.path, headers: asked.headers, body })
        const rule = differs[conn]
        if (rule) met.add(String(conn))
        const isLoose = typeof rule === 'string' || rule?.status !== undefined
        const about = `${name} ${conn}: ${asked.method} ${asked.path} ${String(body).slice(0, 100)}`
        assert.equal(answer.status, rule?.status ?? expected.status, about)
        if (rule?.status !== undefined && rule.status !== expected.status) continue
        for (const header of COMPARED.slice(0, where === 'earlier' ? 5 : 6)) {
          // The page may come compressed.
          const isPage = ['cache-control', 'vary'].includes(header) && ['GET', 'HEAD'].includes(asked.method)
          const isOfLibrary = conn >= 36 && where === 'earlier' && header === 'content-type'
          const isUncached = header === 'cache-control' && conn === 41
          if (!isPage && !isOfLibrary && !isUncached) assert.equal(answer.headers[header], expected.headers[header], `${about}: ${header}`)
        }
        if (!isLoose) assert.equal(masked(rule?.body?.(answer.body) ?? answer.body), masked(expected.body), about)
        const [recorded, ours] = [expected.body, answer.body].map((text) => /^\{"id":"([\w-]{36})"\}$/.exec(text)?.[1])
        if (recorded && ours) ids.set(recorded, ours)
      }
      assert.deepEqual(Object.keys(differs).filter((conn) => !met.has(conn)), [], 'every rule is met')
    })
  }
})

describe('GraphQL', () => {
  test('reads reports, with variables, and says what is wrong', async () => {
    const { id } = await post('near', { type: 'STATE', payload: '{}', title: 'for a query' })
    const found = await post('near', { query: 'query($i:ID!){ report(id:$i){ id type title payload } }', variables: { i: id } }, { target: '/graphql' })
    assert.deepEqual(found, { data: { report: { id, type: 'STATE', title: 'for a query', payload: '{}' } } })
    const { data } = await post('near', { query: '{ reports { id title } }' }, { target: '/graphql' })
    assert.ok(data.reports.some((report) => report.id === id))
    const wrong = await post('near', { query: '{ nope }' }, { target: '/graphql' })
    assert.match(wrong.errors[0].message, /nope/)
    assert.deepEqual(wrong.errors[0].locations, [{ line: 1, column: 3 }])
    const types = await post('near', { query: '{ __schema { types { name } } }' }, { target: '/graphql' })
    for (const name of ['Query', 'Report', 'ReportType', 'ID', 'String']) assert.ok(types.data.__schema.types.some((type) => type.name === name), name)
  })

  test('what would cost too much is refused', async () => {
    const deep = await post('near', { query: `{ ${'a {'.repeat(5_000)}` }, { target: '/graphql' })
    assert.match(deep.errors[0].message, /too deep/)
  })
})

describe('over the channel', () => {
  for (const version of ['14.3.2', '20.0.2']) {
    test(`monitor ${version}: an app sends a report, everybody hears of it, newcomers get the list`, async () => {
      const name = `reporter ${version}`
      const watching = await Monitor.open(version, gateway.ports.near)
      const reports = (monitor) => [...monitor.client.all('report'), ...monitor.client.all('#report')]
      await until('the list', () => reports(watching).some(({ type }) => type === 'list'))
      const running = await App.start(version === '20.0.2' ? '1.0.0' : 'remote-redux-devtools', gateway.ports.near, name, { realtime: false, sendOn: 'INC' })
      running.dispatch({ type: 'INC' })
      const added = await until('the report', () => reports(watching).find(({ type, data }) => type === 'add' && data.title === name))
      const report = await watching.client.invoke('getReport', added.data.id)
      assert.deepEqual(Object.keys(report).slice(0, 6), ['id', 'type', 'title', 'description', 'action', 'payload'])
      assert.deepEqual(JSON.parse(report.payload).computedStates.at(-1).state, { n: 1 })
      await assert.rejects(watching.client.invoke('getReport', 'nope'), { name: 'NotFoundError', message: 'No such report' })
      const before = reports(watching).length
      const late = await Monitor.open(version, gateway.ports.near)
      const list = await until('its list', () => reports(late).find(({ type }) => type === 'list'))
      assert.ok(list.data.some(({ id }) => id === added.data.id))
      assert.equal(reports(watching).length, before, 'the others get no list again')
      await post('near', { op: 'remove', id: added.data.id })
      await until('its end', () => reports(late).some(({ type, id }) => type === 'remove' && id === added.data.id))
      running.kill()
      await watching.close()
      await late.close()
    })
  }
})

describe('what is kept', () => {
  test('no more than may be, the newest', async () => {
    for (const title of ['one', 'two', 'three']) await post('few', { type: 'STATE', payload: '{}', title })
    assert.deepEqual((await post('few', { op: 'list' })).map(({ title }) => title), ['two', 'three'])
  })

  test('in a file, for the next time', async () => {
    const config = { listeners: { relay: relay({ reports: path.join(folder, 'reports.sqlite') }) } }
    const own = await Polyport.start(config)
    const { id } = await post(own.ports.relay, { type: 'STATE', payload: '{}' })
    await own.stop()
    const again = await Polyport.start(config)
    assert.equal((await post(again.ports.relay, { op: 'get', id })).id, id)
    await again.stop()
  })

  test('a file that cannot be opened is said at once', async () => {
    await assert.rejects(Polyport.start({ listeners: { relay: relay({ reports: path.join(folder, 'missing', 'x.sqlite') }) } }), /the store of reports cannot be opened/)
  })

  test('each team has its own, and who shows no name may only send', async () => {
    const as = (user) => ({ headers: { authorization: `Basic ${Buffer.from(`${user}:sesame-of-the-team`).toString('base64')}` } })
    const { id } = await post('team', { type: 'STATE', payload: '{}' }, as('a'))
    assert.equal((await post('team', { op: 'get', id }, as('a'))).id, id)
    assert.deepEqual(await post('team', { op: 'get', id }, as('b')), {})
    assert.equal(typeof (await post('team', { type: 'STATE', payload: '{}' })).id, 'string')
    assert.equal((await post('team', { op: 'list' })).status, 403)
    assert.equal((await post('team', { op: 'list' }, { headers: { authorization: 'Basic eDp5' } })).status, 401)
  })

  test('pages from elsewhere send reports and read none', async () => {
    const headers = { origin: 'http://evil.example' }
    assert.equal(typeof (await post('near', { type: 'STATE', payload: '{}' }, { headers })).id, 'string')
    for (const [body, target] of [[{ op: 'list' }, '/'], [{ op: 'snapshot', instanceId: 'x' }, '/'], [{ query: '{ reports { id } }' }, '/graphql']]) {
      assert.equal((await post('near', body, { headers, target })).status, 403, JSON.stringify(body))
    }
  })
})

describe('snapshots and recordings', () => {
  test('an instance as it is now, as a report that an app imports, and message by message', async () => {
    const watching = await Monitor.open('20.0.2', gateway.ports.near)
    const running = await App.start('1.0.0', gateway.ports.near, 'shown')
    const state = await watching.sees('shown', { type: 'STATE' })
    running.dispatch({ type: 'INC' })
    running.dispatch({ type: 'ADD', by: 4 })
    await watching.sees('shown', { type: 'ACTION', nextActionId: 3 })
    const { instanceId } = state
    const { id } = await post('near', { op: 'snapshot', instanceId })
    const report = await post('near', { op: 'get', id })
    assert.deepEqual([report.type, report.title, report.instanceId], ['STATE', 'shown', instanceId])
    const lifted = JSON.parse(report.payload)
    assert.deepEqual(lifted.computedStates.map(({ state }) => state), [{ n: 0 }, { n: 1 }, { n: 5 }])
    assert.deepEqual(lifted.stagedActionIds, [0, 1, 2])
    running.kill()
    await running.ended
    const heir = await App.start('1.0.0', gateway.ports.near, 'heir')
    const ready = await watching.sees('heir', { type: 'STATE' })
    watching.tells(ready, { type: 'IMPORT', state: report.payload })
    await heir.holds(5)
    const recording = await request('near', { headers: { 'content-type': 'application/json' }, body: JSON.stringify({ op: 'recording', instanceId }) })
    const messages = recording.body.trim().split('\n').map((line) => JSON.parse(line))
    assert.deepEqual(messages.map(({ type }) => type), ['STATE', 'ACTION', 'ACTION'])
    assert.deepEqual(await post('near', { op: 'snapshot', instanceId: 'nobody' }), { error: 'No such instance.' })
    heir.kill()
    await watching.close()
  })
})

describe('the relay, as it was recorded', () => {
  test('a subscriber of report gets a list alone, in the form of its generation', async () => {
    const client = await FrameClient.open({ port: gateway.ports.few, path: PATH })
    await client.text('{"event":"#handshake","data":{"authToken":null},"cid":1}')
    await client.nextText()
    await client.text('{"event":"#subscribe","data":{"channel":"report"},"cid":2}')
    assert.equal(await client.nextText(), '{"rid":2}')
    assert.match(await client.nextText(), /^\{"event":"#publish","data":\{"channel":"report","data":\{"type":"list","data":\[/)
    client.close()
  })
})
