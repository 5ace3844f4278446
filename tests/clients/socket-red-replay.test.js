'use strict'
// Recorded conversations of the original server with its clients, played to the gateway, which runs the same application.
// Not played: the default heartbeat, which takes a minute and is tested in virtual time, and what a browser recorded.

const assert = require('node:assert/strict')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { FrameClient } = require('./lib/frame-client')
const { Deviations } = require('./lib/frame-deviations')
const { FrameReplay, load } = require('./lib/frame-replay')
const { Polyport, ROOT } = require('./lib/polyport')
const { RPC_DEVIATIONS } = require('./lib/rpc-deviations')

const RECORDED = {
  rpc: [
    'readme-tour', 'two-clients-dispatch', 'client-0.1.2', 'client-timeout', 'close-self', 'close-empty', 'close-1001', 'close-4000',
    'freeze-unfreeze', 'pending-call-then-close', 'server-close-reconnect', 'slow-auth', 'tcp-drop', 'refused-401', 'refused-500',
    'bad-frame-close-code-1005', 'bad-frame-invalid-utf8', 'bad-frame-opcode3', 'bad-frame-rsv1', 'bad-frame-unmasked',
  ],
  beating: ['heartbeat-pulse-1s'],
  edge: ['edge-messages', 'binary-and-fragments', 'refused-500-async', 'refused-500-empty'],
}

const NOT_UTF8 = 'WzMsImVjaG8iLFsiwygiXV0='

/** Openings that the original accepted and then closed, so that its clients came back at once, for ever. */
const NEVER_ACCEPTED = {
  'accepted-then-closed-no-session': '/undef',
  'accepted-then-closed-onstart-throws': '/badstart',
}

/** What recordings do not hold: that a frame came without a mask. A text that is not UTF-8 ends a session here, see bad-frame-invalid-utf8. */
const complete = (name, entries) =>
  entries
    .filter((entry) => !(name === 'binary-and-fragments' && (entry.data === NOT_UTF8 || entry.data?.startsWith?.('[3,'))))
    .map((entry) => (name === 'bad-frame-unmasked' && entry.dir === 'c2s' ? { ...entry, unmasked: true } : entry))

describe('replay of socket.red conversations', () => {
  let gateway
  before(async () => {
    const script = (...file) => ({ kind: 'script', file: path.join(ROOT, ...file) })
    gateway = await Polyport.start({
      backends: {
        tour: script('docs', 'examples', 'tour.js'),
        odd: script('tests', 'clients', 'programs', 'edge-api.js'),
      },
      listeners: {
        rpc: { protocol: 'ws-rpc', backends: ['tour'] },
        beating: { protocol: 'ws-rpc', backends: ['tour'], rpc: { heartbeat: '1s' } },
        edge: { protocol: 'ws-rpc', backends: ['odd'] },
      },
    })
  })
  after(() => gateway?.stop())

  for (const [listener, names] of Object.entries(RECORDED)) {
    for (const name of names) {
      test(name, async () => {
        const deviations = new Deviations(name, RPC_DEVIATIONS)
        const replay = new FrameReplay({ port: gateway.ports[listener], deviations, ends: true })
        const differences = await replay.run(complete(name, load(name, 'socket-red')))
        assert.deepEqual(differences, [], differences.join('\n'))
        assert.deepEqual(deviations.unmet(), [], 'every deviation of the table is met')
      })
    }
  }

  for (const [name, target] of Object.entries(NEVER_ACCEPTED)) {
    test(`${name}: refused with 500 instead`, async () => {
      const opening = load(name, 'socket-red').find((entry) => entry.kind === 'http' && entry.dir === 'c2s')
      assert.equal(opening.head.split(' ')[1], target)
      const client = await FrameClient.connect({ port: gateway.ports.edge })
      const answer = await client.request(opening.head)
      assert.equal(answer.status, 500)
      assert.notEqual(answer.body, '')
      await client.ended()
    })
  }
})
