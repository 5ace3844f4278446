'use strict'
// Recorded conversations of the original relays with real apps and monitors, played to strict relays that are pinned to their
// generation.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { Polyport } = require('./lib/polyport')
const { ClusterReplay } = require('./lib/socketcluster-replay')

// Where the relay differs, and why.
const ACKNOWLEDGED = { text: '{"event":"log","data":{"n":1},"cid":5}', why: 'a call of `log` is relayed and answered' }
const NO_REPORT = (text, rid) => ({ text, now: [`{"rid":${rid},"error":{"message":"No such report","name":"NotFoundError"}}`], why: 'monitors fail on a report that is nothing' })
const TO_ONE = { text: '"event":"sc-', why: 'reaches the app here, which this server had forgotten' }
const ANSWERS_NOTHING = NO_REPORT('{"event":"getReport","data":{"a":1},"cid":4}', 4)
const RECORDED = {
  'v1-relay-raw-edges': { listener: 'v1', skips: [ACKNOWLEDGED], instead: [ANSWERS_NOTHING] },
  'v2-relay-raw-edges': {
    listener: 'v2', skips: [{ text: '{"event":{"type":"ERROR"}', why: 'an event whose name is an object is relayed' }, ACKNOWLEDGED], instead: [ANSWERS_NOTHING],
  },
  'v1-remote-redux-devtools-two-monitors': { listener: 'v1', skips: [], instead: [NO_REPORT('"getReport","data":"nope"', 5)] },
  'v1-reducer-error-startOn-stopOn': { listener: 'v1', skips: [], instead: [] },
  'v1-remotedev-plain-lognoid': { listener: 'v1', skips: [], instead: [] },
  'v1-mobx-remotedev': { listener: 'v1', skips: [], instead: [] },
  'v1-python-socketclusterclient-1.3.4': { listener: 'v1', skips: [], instead: [] },
  'v2-devtools-remote-app-first-two-monitors': { listener: 'v2', skips: [TO_ONE], instead: [NO_REPORT('"getReport","data":"nope"', 5)] },
  'v2-python-socketclusterclient-1.3.6': { listener: 'v2', skips: [], instead: [] },
  'v2-sync-import-two-apps': { listener: 'v2', skips: [], instead: [{ text: '{"event":"log","data":{"type":"STATE"', unordered: true, why: 'two apps speak at the same time' }] },
}

// When the list of reports comes, and to whom, is tested with the reports.
const LISTS = /"type":"list"/

describe('replay of conversations with the relays', () => {
  let gateway
  before(async () => {
    const listener = (version, timeout) => ({
      protocol: 'devtools-relay', realm: `v${version}`,
      devtools: { relay: true, strict: true, protocol_version: version, ping_interval: timeout - 1 + 's', ping_timeout: timeout + 's' },
    })
    gateway = await Polyport.start({ listeners: { v1: listener(1, 20), v2: listener(2, 30) } })
  })
  after(() => gateway?.stop())

  for (const [name, { listener, ...rules }] of Object.entries(RECORDED)) {
    test(name, async () => {
      const replay = new ClusterReplay(name, gateway.ports[listener], '', { ...rules, folder: 'devtools', ignores: LISTS, compacts: true })
      const differences = await replay.run()
      assert.deepEqual(differences, [], differences.join('\n'))
      assert.deepEqual(replay.unmet(), [], 'every rule of the table is met')
    })
  }
})
