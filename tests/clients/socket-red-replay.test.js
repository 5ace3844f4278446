'use strict'
// Recorded conversations of the original server with its clients, played to the gateway, which runs the same application.

const assert = require('node:assert/strict')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { FrameReplay, load } = require('./lib/frame-replay')
const { Polyport, ROOT } = require('./lib/polyport')

const RECORDED = [
  'readme-tour',
  'two-clients-dispatch',
  'client-0.1.2',
  'close-self',
  'close-empty',
  'close-1001',
  'close-4000',
  'freeze-unfreeze',
  'pending-call-then-close',
  'server-close-reconnect',
  'slow-auth',
  'tcp-drop',
]

/** The gateway answers as the original did: there is nothing to be excused. */
const NOTHING = { keys: () => [], apply: (_, __, wanted) => wanted }

describe('replay of socket.red conversations', () => {
  let gateway
  before(async () => {
    gateway = await Polyport.start({
      backends: { tour: { kind: 'script', file: path.join(ROOT, 'docs', 'examples', 'tour.js') } },
      listeners: { rpc: { protocol: 'ws-rpc', backends: ['tour'] } },
    })
  })
  after(() => gateway?.stop())

  for (const name of RECORDED) {
    test(name, async () => {
      const replay = new FrameReplay({ port: gateway.ports.rpc, deviations: NOTHING })
      const differences = await replay.run(load(name, 'socket-red'))
      assert.equal(differences.join('\n'), '')
    })
  }
})
