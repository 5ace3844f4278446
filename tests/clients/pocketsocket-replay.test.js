'use strict'
// Replays the recorded conversations of the original Pocketsocket servers.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { Deviations } = require('./lib/frame-deviations')
const { FrameReplay, load } = require('./lib/frame-replay')
const { Polyport } = require('./lib/polyport')

const RECORDINGS = [
  'accepted-rsv1', 'accepted-unmasked', 'close-1000', 'close-empty', 'disconnect-tcp-fin', 'disconnect-tcp-reset',
  'drop-binary-not-utf8', 'drop-empty-text', 'drop-plain-text', 'drop-truncated-json', 'ignored-opcode3', 'ignored-ping',
  'ignored-pong', 'june-2014-server-plain-text', 'length-16-bit', 'length-64-bit', 'other-wire-pypi-0.4.1-echo',
  'readme-tour', 'relay-three-clients', 'two-frames-one-packet',
]
const PLAIN = new Set(['other-wire-pypi-0.4.1-echo'])

/** What recordings do not hold: that the frame of `accepted-unmasked` came without a mask. */
const complete = (name, entries) =>
  entries.map((entry) => (name === 'accepted-unmasked' && entry.dir === 'c2s' ? { ...entry, unmasked: true } : entry))

describe('recorded Pocketsocket conversations', () => {
  let gateway

  before(async () => {
    const hub = (name) => ({ protocol: 'ws-channels', channels: { relay: PLAIN.has(name) ? 'plain' : 'hub' } })
    gateway = await Polyport.start({
      listeners: Object.fromEntries(RECORDINGS.map((name, index) => [`hub${index}`, hub(name)])),
    })
  })
  after(() => gateway?.stop())

  for (const [index, name] of RECORDINGS.entries()) {
    test(name, async () => {
      const deviations = new Deviations(name)
      const replay = new FrameReplay({ port: gateway.ports[`hub${index}`], deviations })
      const differences = await replay.run(complete(name, load(name)))
      assert.deepEqual(differences, [], differences.join('\n'))
      assert.deepEqual(deviations.unmet(), [], 'every deviation of the table is met')
    })
  }
})
