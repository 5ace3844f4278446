'use strict'
// Plays the clients' side of a recorded WebSocket conversation to a listener and compares, frame by frame and connection
// by connection, what comes back. Ports and times are masked; nothing else may differ, save for the named deviations.

const fs = require('node:fs')
const path = require('node:path')
const { FrameClient, closing } = require('./frame-client')
const { maskPocket } = require('./mask')

const TRACES = path.resolve(__dirname, '..', '..', 'traces')

const payloadOf = (entry) => Buffer.from(entry.data, entry.enc === 'base64' ? 'base64' : 'utf8')

/** Frames and what is not a frame, as one list in the order of the recording. */
function load(name, folder = 'pocketsocket') {
  const read = (ending) => fs.readFileSync(path.join(TRACES, folder, name + ending), 'utf8')
  const hasFrames = fs.existsSync(path.join(TRACES, folder, `${name}.jsonl`))
  const frames = (hasFrames ? read('.jsonl') : '').split('\n').filter(Boolean).map((line) => JSON.parse(line))
  const others = JSON.parse(read('.http.json'))
  // Within one millisecond an end comes before what it causes, but behind the last frame of its own connection.
  const isEnd = (entry) => entry.kind === 'eof' || entry.kind === 'reset'
  const spoke = (end) => frames.some((frame) => frame.dir === 'c2s' && frame.conn === end.conn && frame.t_ms === end.t_ms)
  const rank = (entry) => (isEnd(entry) && spoke(entry) ? 1 : 0)
  return [...others, ...frames].sort((a, b) => a.t_ms - b.t_ms || rank(a) - rank(b))
}

/** One frame as a line that can be compared and read. */
function shown(frame) {
  if (frame.kind === 'close') return `close ${frame.code ?? 'empty'}`
  if (frame.kind === 'text') return `text ${maskPocket(frame.text)}`
  return `${frame.kind} ${Buffer.from(frame.payload).toString('latin1')}`
}

const recorded = (entry) =>
  entry.kind === 'close'
    ? shown({ kind: 'close', code: entry.data?.code })
    : shown({ kind: entry.kind, text: payloadOf(entry).toString(), payload: payloadOf(entry) })

/** An answer to an opening as text; names of headers know no case. */
function answered(head, body = '') {
  const [status, ...headers] = head.trimEnd().split('\r\n')
  return [status, ...headers.map((line) => line.replace(/^[^:]*/, (name) => name.toLowerCase())), '', body].join('\n')
}

/** What refused openings were answered with in the recording, by connection. */
function refusals(entries) {
  const from = entries.filter((entry) => entry.dir === 's2c')
  const heads = from.filter((entry) => entry.kind === 'http' && !entry.head.startsWith('HTTP/1.1 101 '))
  const body = (conn) => from.find((entry) => entry.kind === 'http-body' && entry.conn === conn)?.data
  return new Map(heads.map(({ conn, head }) => [conn, answered(head, body(conn))]))
}

class FrameReplay {
  /** `ends`: where the recorded server ended the connection, the gateway must too, with nothing more to say. */
  constructor({ port, deviations, ends = false }) {
    this.port = port
    this.deviations = deviations
    this.ends = ends
    this.clients = new Map()
    this.expected = new Map()
    this.differences = []
  }

  async run(entries) {
    this.refusals = refusals(entries)
    try {
      let step = { what: 'the beginning' }
      for (const entry of entries) {
        if (entry.dir === 'c2s') {
          await this.settle(step)
          step = { what: entry.kind === 'http' ? 'open' : `${entry.kind} ${JSON.stringify(entry.data ?? '')}`, conn: entry.conn }
          await this.act(entry)
        } else if (!['http', 'http-body', 'eof'].includes(entry.kind)) {
          const waiting = this.expected.get(entry.conn) ?? []
          this.expected.set(entry.conn, [...waiting, recorded(entry)])
        }
      }
      await this.settle(step)
      const ended = this.ends ? entries.filter((entry) => entry.dir === 's2c' && entry.kind === 'eof') : []
      for (const { conn } of ended) await this.over(conn)
    } catch (error) {
      this.differences.push(`the replay stopped: ${error.message}`)
    } finally {
      for (const client of this.clients.values()) client.close()
    }
    return this.differences
  }

  async act(entry) {
    const client = this.clients.get(entry.conn)
    switch (entry.kind) {
      case 'http': {
        const target = entry.head.split(' ')[1]
        if (this.refusals.has(entry.conn)) {
          await this.refused(entry)
          return
        }
        this.clients.set(entry.conn, await FrameClient.open({ port: this.port, path: target, name: `connection ${entry.conn}` }))
        return
      }
      case 'eof':
        client.socket.end()
        return
      case 'reset':
        client.socket.resetAndDestroy()
        return
      case 'close':
        await client.send('close', entry.data ? closing(entry.data.code, entry.data.reason) : '')
        return
      default:
        await client.send(entry.cont ? 'continuation' : entry.kind, payloadOf(entry), {
          fin: entry.fin ?? true,
          rsv: entry.rsv ?? 0,
          ...(entry.opcode ? { opcode: entry.opcode } : {}),
          ...(entry.unmasked ? { mask: null } : {}),
        })
    }
  }

  async refused({ head, conn }) {
    const client = await FrameClient.connect({ port: this.port, name: `connection ${conn}` })
    this.clients.set(conn, client)
    const answer = await client.request(head)
    this.compare(`the opening of connection ${conn}`, [this.refusals.get(conn)], [answered(answer.head, answer.body)])
  }

  /** The gateway has ended the connection, and all that it said before is known. */
  async over(conn) {
    const client = this.clients.get(conn)
    await client.ended()
    const rest = client.parse()
    if (rest) this.differences.push(`connection ${conn} ended with ${shown(rest)}`)
  }

  compare(what, wanted, got) {
    if (JSON.stringify(got) === JSON.stringify(wanted)) return
    this.differences.push(`${what}\n  recorded: ${wanted.join('\n            ')}\n      live: ${got.join('\n            ')}`)
  }

  /** Everything recorded since the last thing a page did must arrive before the next one is done. */
  async settle(step) {
    const conns = new Set([...this.expected.keys(), ...this.deviations.keys(step)])
    for (const conn of conns) {
      const wanted = this.deviations.apply(step, conn, this.expected.get(conn) ?? [])
      const client = this.clients.get(conn)
      if (!client) continue
      const got = []
      for (const _ of wanted) got.push(shown(await client.next()))
      const what = `after ${step.what} of connection ${step.conn}, connection ${conn}`
      const sorted = (frames) => (this.deviations.isUnordered(step, conn) ? [...frames].sort() : frames)
      this.compare(what, sorted(wanted), sorted(got))
    }
    this.expected.clear()
  }
}

module.exports = { FrameReplay, load }
