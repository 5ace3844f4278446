'use strict'
// Reads a recorded conversation of the verbs protocol and cuts it into steps: one thing that the client does, and
// everything that the server said, per connection, before the client did the next thing.

const fs = require('node:fs')
const path = require('node:path')

const FOLDER = path.resolve(__dirname, '..', '..', 'traces', 'actionhero')
const CUT = /^([\s\S]*?) \.\.\.\[truncated in trace, (\d+) bytes in this (?:read|write)\]$/

const bytesOf = (entry) => Buffer.from(entry.data, entry.encoding === 'latin-1' ? 'latin1' : 'utf8')

/** Long writes are cut in the recordings; all of them are one line that goes on with its last character. */
function sent(entry) {
  const cut = CUT.exec(entry.data)
  if (!cut) return bytesOf(entry)
  const [, shown, length] = cut
  return Buffer.from(`${shown.padEnd(Number(length) - 2, shown.at(-1))}\r\n`)
}

const isJson = (text) => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Cuts what one read delivered into JSON lines and stretches of raw bytes. */
function items(entry) {
  const cut = CUT.exec(entry.data)
  if (cut) return [{ raw: Buffer.from(cut[1], 'latin1'), length: Number(cut[2]) }]
  const found = []
  let rest = bytesOf(entry)
  while (rest.length > 0) {
    const end = rest.indexOf('\r\n')
    const line = end < 0 ? null : rest.subarray(0, end).toString()
    if (line !== null && isJson(line)) {
      found.push({ line })
      rest = rest.subarray(end + 2)
      continue
    }
    found.push({ raw: rest, length: rest.length })
    break
  }
  return found
}

/** Stretches of a file that arrived in several reads become one. */
function joinRaw(list) {
  const joined = []
  for (const item of list) {
    const last = joined.at(-1)
    if (item.raw && last?.raw) {
      last.raw = Buffer.concat([last.raw, item.raw])
      last.length += item.length
    } else {
      joined.push({ ...item })
    }
  }
  return joined
}

/** The recording as a list of `{ conn, action, data, scenario, replies: Map conn → items, t }`. */
function load(name) {
  const steps = []
  const lines = fs.readFileSync(path.join(FOLDER, `${name}.jsonl`), 'utf8').split('\n').filter(Boolean)
  for (const entry of lines.map((line) => JSON.parse(line))) {
    if (entry.dir === 'c2s') {
      const action = entry.event ?? 'data'
      steps.push({
        conn: entry.conn,
        action,
        data: action === 'data' ? sent(entry) : null,
        scenario: entry.scenario,
        replies: new Map(),
        start: entry.t_ms,
        end: entry.t_ms,
      })
      continue
    }
    const step = steps.at(-1)
    step.end = entry.t_ms
    if (entry.event === 'connect-refused') {
      step.refused = true
      continue
    }
    const replies = step.replies.get(entry.conn) ?? []
    replies.push(...(entry.event ? [{ end: entry.event }] : items(entry)))
    step.replies.set(entry.conn, replies)
  }
  for (const step of steps) for (const [conn, replies] of step.replies) step.replies.set(conn, joinRaw(replies))
  return steps
}

module.exports = { load, FOLDER }
