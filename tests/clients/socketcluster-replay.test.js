'use strict'
// Recorded conversations of the original servers of both generations, played to listeners that are pinned to theirs.

const assert = require('node:assert/strict')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { Polyport, ROOT } = require('./lib/polyport')
const { ClusterReplay } = require('./lib/socketcluster-replay')

const KEY = 'polyport-test-key'

// What is not played, and why.
const TIMED = [29, 30].map((conn) => ({ conn, why: 'waits for 10 and 20 s; the raw suite does with shorter times' }))
const EMPTY = [{ conn: 25, why: 'the name of a channel may not be empty' }]
const NO_COUNTERPART = [
  ['"blockedProc"', 'middleware that blocks calls by name: `permissions.call`, tested in the raw suite'],
  ['"rawme"', 'servers here send packets only'],
  ['"transform"', 'publishes are not rewritten'],
  ['"filtered"', 'receivers are not left out one by one'],
  ['"whoami"', 'scripts know another id, and the user instead of the token'],
  ['denyws', 'backends are asked at the handshake here: `ask_backends` can have it otherwise, but not both'],
].map(([text, why]) => ({ text, why }))
const USERS = [
  ['ImJhbm5lZCI', 'applications do not judge tokens: a banned user'],
  ['InN1c3BlbmRlZCI', 'a suspended user'],
].map(([text, why]) => ({ text, why }))
const EXPIRED = { text: '"data":"hey"', expired: true, why: 'the recorded client had waited' }
const SENT_FIRST = ['"greetme"', '"event":"auth"', '"event":"deauth"'].map((text) => ({
  text, unordered: true, why: 'what a call sends leaves before its answer here, in one write with it',
}))
const RACE = { text: '{"channel":"news"},"cid":4', unordered: true, why: 'two clients publish at almost the same time' }
const BIG = { text: '9007199254740993', now: ['{"rid":9007199254740993,"data":1}'], why: 'a number comes back as it came' }

const RECORDED = {
  'v1-raw-edge-server14': { listener: 'v1', skips: [...TIMED, ...EMPTY, { conn: 26, why: 'a ping of WebSocket, which the recorder has answered' }, { conn: 20, why: 'a foreign origin is not let in' }], instead: [BIG] },
  'v2-raw-edge-server20': {
    listener: 'v2', skips: [...TIMED, ...EMPTY, { conn: 20, why: 'a foreign origin is not let in' }, { conn: 7, why: 'the recorded middleware hung' }], instead: [BIG],
  },
  'v1-generic-client14-server14': {
    listener: 'v1',
    skips: [...NO_COUNTERPART, ...USERS, { text: '"failData"', why: 'no data beside errors' }, { text: '"ackdata"', why: 'no data in answers to publishes' }],
    instead: [EXPIRED],
  },
  'v2-generic-client20-server20': {
    listener: 'v2',
    skips: [...NO_COUNTERPART, ...USERS, { text: '"batchon"', why: 'lists are not sent to clients' }],
    instead: [EXPIRED, RACE, ...SENT_FIRST],
  },
  'v1-minbin-codec-client14-server14': { listener: 'bin1', skips: [], instead: [] },
  'v2-minbin-codec-client20-server20': { listener: 'bin2', skips: [], instead: [] },
}

describe('replay of SocketCluster conversations', () => {
  let gateway
  before(async () => {
    const file = path.join(ROOT, 'tests', 'clients', 'programs', 'socketcluster-script.js')
    const listener = (version, timeout, codec = 'json') => ({
      protocol: 'devtools-relay', backends: ['application'], auth: { tokens: 'main', on_expiry: 'downgrade' },
      devtools: { codec, protocol_version: version, ping_interval: timeout - 1 + 's', ping_timeout: timeout + 's', ack_timeout: '700ms' },
    })
    const keys = ['HS256', 'HS512'].map((algorithm) => ({ algorithm, secret: 'env:POLYPORT_JWT_SECRET' }))
    gateway = await Polyport.start(
      {
        tokens: { main: { leeway: '0s', require_expiry: false, user_claim: 'username', keys } },
        backends: { application: { kind: 'script', file } },
        listeners: { v1: listener(1, 20), v2: listener(2, 30), bin1: listener(1, 20, 'min-bin'), bin2: listener(2, 30, 'min-bin') },
      },
      { env: { POLYPORT_JWT_SECRET: KEY } },
    )
  })
  after(() => gateway?.stop())

  for (const [name, { listener, ...rules }] of Object.entries(RECORDED)) {
    test(name, async () => {
      const replay = new ClusterReplay(name, gateway.ports[listener], KEY, rules)
      const differences = await replay.run()
      assert.deepEqual(differences, [], differences.join('\n'))
      assert.deepEqual(replay.unmet(), [], 'every rule of the table is met')
    })
  }
})
