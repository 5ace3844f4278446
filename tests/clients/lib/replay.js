'use strict'
// Plays the client's side of a recorded conversation to a server and compares what comes back with the recording.
//
// Variable values are masked; uuids must moreover correspond one to one, so that an id that appears twice in the
// recording appears twice here. Lines that carry a number may come in any order within a step (actions run
// concurrently), all others keep theirs. Nothing else may differ, save for what the table of deviations names.

const { LineClient } = require('./line-client')
const { mask, uuids } = require('./mask')
const { BIG } = require('./verbs')
const { until, LIMIT } = require('./wait')

const PATIENCE = 3_000
const SEGMENT_GAP = 20
const NUMBER = /,"(?:messageCount|messageId)":(?:"(?:[^"\\]|\\.)*"|\d+)\}$/

/** Keeps a write apart from the next one on the wire where the recording has no reply between them. */
const apart = () => new Promise((resolve) => setTimeout(resolve, SEGMENT_GAP))

const isNumbered = (line) => NUMBER.test(line)

/** An item as the table of deviations writes it: masked, its number as `<n>`. */
const shown = (item) => (item.raw ? `raw ${item.length} bytes` : mask(item.line).replace(NUMBER, ',<n>}'))

/** `roomView` lists its members in the order of a hash table, so any order is the same. */
const memberPermutations = (line) => {
  const found = /"members":\{(.*)\},"membersCount"/.exec(line)
  if (!found) return [line]
  const members = found[1].match(/"[^"]+":\{[^{}]*\}/g) ?? []
  return permutations(members).map((order) => line.replace(found[1], order.join(',')))
}

function permutations(list) {
  if (list.length < 2) return [list]
  return list.flatMap((item, index) =>
    permutations([...list.slice(0, index), ...list.slice(index + 1)]).map((rest) => [item, ...rest]),
  )
}

/** A one-to-one correspondence of recorded and live uuids, or null if the pairs contradict it. */
function extended(known, recorded, live) {
  const left = uuids(recorded)
  const right = uuids(live)
  if (left.length !== right.length) return null
  const forth = new Map(known.forth)
  const back = new Map(known.back)
  for (const [index, id] of left.entries()) {
    const other = right[index]
    if ((forth.get(id) ?? other) !== other || (back.get(other) ?? id) !== id) return null
    forth.set(id, other)
    back.set(other, id)
  }
  return { forth, back }
}

/** Which live uuid stands for which recorded one. As long as a list of members leaves it open, all ways are kept. */
class Correspondence {
  constructor() {
    this.ways = [{ forth: new Map(), back: new Map() }]
  }

  /**
   * True if `live` is the recorded line under the masks and the correspondence, for some order of members. A line of a
   * deviation is masked already, and stands for itself.
   */
  matches({ line, masked }, live) {
    if (masked) return line === mask(live)
    if (mask(line) !== mask(live)) return false
    const orders = memberPermutations(live)
    const ways = this.ways.flatMap((way) => orders.map((order) => extended(way, line, order))).filter(Boolean)
    if (ways.length === 0) return false
    this.ways = ways
    return true
  }
}

/** Reads as much as `wanted` asks for, in the order that `wanted` has where raw bytes are in it. */
async function collect(client, wanted, limit) {
  const got = []
  for (const item of wanted) {
    if (item.end) continue
    if (item.raw) got.push({ raw: await client.bytes(item.length, limit), length: item.length })
    else got.push({ line: await client.next(limit) })
  }
  return got
}

const rawOf = (item) => (item.length === BIG.length ? BIG : item.raw)

function compareRaw(wanted, got) {
  const differences = []
  for (const [index, item] of wanted.entries()) {
    if (!item.raw) continue
    const live = got[index].raw
    if (!live?.equals(rawOf(item))) {
      differences.push(`${item.length} raw bytes differ, they begin with ${JSON.stringify(live?.toString().slice(0, 80))}`)
    }
  }
  return differences
}

/** Pairs recorded and live lines; what is left over on either side is a difference. */
function compareLines(wanted, got, same) {
  const open = got.filter(isNumbered)
  const missing = []
  for (const item of wanted.filter(({ line }) => isNumbered(line))) {
    const index = open.findIndex((live) => same.matches(item, live))
    if (index < 0) missing.push(item.line)
    else open.splice(index, 1)
  }
  const plain = got.filter((line) => !isNumbered(line))
  for (const [index, item] of wanted.filter(({ line }) => !isNumbered(line)).entries()) {
    if (plain[index] !== undefined && same.matches(item, plain[index])) plain[index] = null
    else missing.push(item.line)
  }
  const surplus = [...open, ...plain.filter((line) => line !== null)]
  return missing.length + surplus.length === 0
    ? []
    : [`recorded: ${missing.map(mask).join('\n            ')}\n      live: ${surplus.map(mask).join('\n            ')}`]
}

class Replay {
  /**
   * `connect` gives connection options; `deviate(step, conn, replies)` may rewrite what is expected; `terminate`
   * sends the server SIGTERM, for the recordings of a shutdown.
   */
  constructor({ connect, deviate = (_step, _conn, replies) => replies, terminate }) {
    this.connectOptions = connect
    this.deviate = deviate
    this.terminate = terminate
    this.clients = new Map()
    this.states = new Map()
    this.same = new Correspondence()
    this.differences = []
  }

  /** Plays all steps; gives the list of differences, empty if the server did as recorded. */
  async run(steps) {
    try {
      for (const [index, step] of steps.entries()) {
        await this.act(step)
        if (step.refused) await this.refused()
        const limit = PATIENCE + (step.end - step.start)
        for (const [conn, recorded] of step.replies) {
          if (!this.clients.has(conn)) continue
          await this.expect(step, index, conn, this.deviate(step, conn, recorded, this.states.get(conn)), limit)
        }
      }
      await this.settle()
    } catch (error) {
      this.differences.push(`the replay stopped: ${error.message}`)
    } finally {
      for (const client of this.clients.values()) client.close()
    }
    return this.differences
  }

  async act(step) {
    const client = this.clients.get(step.conn)
    switch (step.action) {
      case 'connect':
        this.clients.set(step.conn, await LineClient.connect({ ...this.connectOptions, name: `connection ${step.conn}` }))
        this.states.set(step.conn, { previous: '', sent: '', written: '', closing: false })
        return
      case 'half-close':
      case 'eof':
        this.states.get(step.conn).closing = true
        client?.halfClose()
        return
      case 'server-receives-SIGTERM':
        this.terminate()
        return
      case 'data': {
        const state = this.states.get(step.conn)
        state.previous = state.sent
        state.sent = step.data.toString().replace(/[\r\n]+$/, '')
        state.written += step.data
        await client.write(step.data)
        if (step.replies.size === 0) await apart()
        return
      }
      default:
        throw new Error(`the recording holds an action ${step.action} that the replay does not know`)
    }
  }

  async expect(step, index, conn, wanted, limit) {
    const client = this.clients.get(conn)
    const where = `step ${index} (${step.scenario}), after ${JSON.stringify(step.data?.toString().slice(0, 120) ?? step.action)}, connection ${conn}`
    let got
    try {
      got = await collect(client, wanted, limit)
    } catch (error) {
      throw new Error(`${where}: ${error.message}; wanted ${wanted.filter((item) => !item.end).map(shown).join(' | ')}`)
    }
    const lines = (list) => list.filter((item) => item.line !== undefined)
    const live = lines(got).map((item) => item.line)
    const found = [...compareRaw(wanted.filter((item) => !item.end), got), ...compareLines(lines(wanted), live, this.same)]
    for (const difference of found) this.differences.push(`${where}\n  ${difference}`)
    if (wanted.some((item) => item.end)) await this.end(where, conn, wanted)
  }

  /** The stream is over. Only after a goodbye or our own half-close is that the server's doing. */
  async end(where, conn, wanted) {
    const client = this.clients.get(conn)
    const state = this.states.get(conn)
    const farewell = wanted.some((item) => /^\{"status":"Bye/.test(item.line ?? ''))
    if (!farewell && !state.closing) client.halfClose()
    const rest = await client.rest()
    if (rest !== '') this.differences.push(`${where}: unexpected before the end: ${JSON.stringify(mask(rest))}`)
    this.clients.delete(conn)
    client.close()
  }

  async refused() {
    await until('new connections to be refused', async () => {
      try {
        const client = await LineClient.connect(this.connectOptions)
        client.close()
        return false
      } catch {
        return true
      }
    }, LIMIT)
  }

  /** Connections that the recording leaves open: nothing may have arrived that was not recorded. */
  async settle() {
    for (const [conn, client] of this.clients) {
      const { pending } = client.stream
      if (pending.length > 0) this.differences.push(`connection ${conn}: unexpected at the end: ${mask(pending.toString())}`)
    }
  }
}

module.exports = { Replay, NUMBER, shown }
