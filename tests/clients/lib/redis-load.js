'use strict'
// Two gateways that meet over Redis, and a stream of numbers from one to the clients of both.

const assert = require('node:assert/strict')
const { clientsOf, startNode } = require('./redis-gateways')
const { until, LIMIT } = require('./wait')

/** Two nodes with a client of every protocol on each. */
async function nodesWithClients(redis, options = {}) {
  const nodes = await Promise.all([1, 2].map(() => startNode(redis, options)))
  const [here, there] = await Promise.all(nodes.map((node, index) => clientsOf(node, `node ${index + 1}`)))
  const stop = async () => {
    for (const client of [...here, ...there]) client.close()
    for (const node of nodes) await node.stop()
  }
  return { nodes, here, there, stop }
}

/** Publishes numbers to the lobby until it is told to stop, and checks who got them. */
class Load {
  constructor({ nodes: [node], here, there }) {
    Object.assign(this, { node, here, there, sent: 0, cluster: [], isOver: false })
    this.running = this.run()
  }

  async run() {
    while (!this.isOver) {
      const { sessions, cluster: word } = await this.node.api('publish', {
        to: { room: 'lobby' }, event: 'message', data: `n ${this.sent}`,
      })
      assert.equal(sessions, this.here.length, 'everybody here is told, whatever Redis does')
      this.cluster.push(word)
      this.sent += 1
    }
  }

  /** Waits until what is published now arrives at every client of the other node; gives how long that took. */
  async arrives(limit = LIMIT) {
    const start = Date.now()
    const from = this.sent
    const isNew = (text) => text.startsWith('n ') && Number(text.slice(2)) >= from
    for (const client of this.there) {
      await until(() => `anything new at ${client.name}; ${this.cluster.at(-1)}`, () => client.heard.some(isNew), limit)
    }
    return Date.now() - start
  }

  async stop() {
    this.isOver = true
    await this.running
    const last = `n ${this.sent - 1}`
    if (this.cluster.at(-1) === 'sent') for (const client of this.there) await until('the last one', () => client.heard.includes(last))
    for (const client of this.here) await until('the last one here', () => client.heard.includes(last))
    const all = Array.from({ length: this.sent }, (_, index) => index)
    const numbers = (client) => client.heard.filter((text) => text.startsWith('n ')).map((text) => Number(text.slice(2)))
    for (const client of this.here) assert.deepEqual(numbers(client), all, `${client.name} has heard all of them, once and in order`)
    for (const client of this.there) {
      const heard = numbers(client)
      const ordered = [...new Set(heard)].sort((a, b) => a - b)
      assert.deepEqual(heard, ordered, `${client.name} has heard none twice, and those that it has in order`)
    }
  }
}

module.exports = { Load, nodesWithClients }
