'use strict'
// What suites say to peers in processes of their own, and hear from them: lines of JSON.

const { within, LIMIT } = require('./wait')

/** A value as a line can hold it: bytes, dates and undefined are JSON's no more than sets. */
function pack(value) {
  if (value === undefined) return { undefined: true }
  if (value instanceof Date) return { date: value.toISOString() }
  if (value instanceof ArrayBuffer) return { arrayBuffer: Buffer.from(value).toString('hex') }
  if (ArrayBuffer.isView(value)) return { binary: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex') }
  if (Array.isArray(value) || value instanceof Set) return [...value].map(pack)
  if (value === null || typeof value !== 'object') return value
  if (typeof value.toJSON === 'function') return { toJSON: pack(value.toJSON()) }
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, pack(inner)]))
}

function unpack(value) {
  if (Array.isArray(value)) return value.map(unpack)
  if (value === null || typeof value !== 'object') return value
  const keys = Object.keys(value)
  if (keys.length === 1) {
    if (keys[0] === 'undefined') return undefined
    if (keys[0] === 'date') return new Date(value.date)
    if (keys[0] === 'binary') return Buffer.from(value.binary, 'hex')
    if (keys[0] === 'arrayBuffer') return new Uint8Array(Buffer.from(value.arrayBuffer, 'hex')).buffer
    if (keys[0] === 'toJSON') return { toJSON: () => unpack(value.toJSON) }
  }
  return Object.fromEntries(keys.map((key) => [key, unpack(value[key])]))
}

/** What servers and emitters chain before the method: `to` and `except` are lists of rooms or of lists of rooms. */
function addressed(base, { of, to = [], except = [], flags = [], compress, timeout }) {
  let target = of === undefined ? base : base.of(of)
  for (const room of to) target = target.to(room)
  for (const room of except) target = target.except(room)
  for (const flag of flags) target = target[flag]
  if (compress !== undefined) target = target.compress(compress)
  if (timeout !== undefined) target = target.timeout(timeout)
  return target
}

/** Calls that are under way: each has a number, by which its answer comes back. */
class Calls {
  /** `send` writes one value as a line; `describe` tells what is known of the peer. */
  constructor(send, describe) {
    this.send = send
    this.describe = describe
    this.waiting = new Map()
    this.last = 0
  }

  /** Gives the result, or throws the error of the peer. */
  make(call) {
    this.last += 1
    const number = this.last
    const answer = new Promise((resolve, reject) => this.waiting.set(number, { resolve, reject }))
    this.send({ number, ...pack(call) })
    return within(answer, LIMIT, () => `no answer to ${JSON.stringify(call)}; ${this.describe()}`)
  }

  take({ answer, result, error }) {
    const { resolve, reject } = this.waiting.get(answer)
    this.waiting.delete(answer)
    if (error === undefined) resolve(unpack(result))
    else reject(new Error(error))
  }

  fail(reason) {
    for (const { reject } of this.waiting.values()) reject(new Error(reason))
    this.waiting.clear()
  }
}

/** On the other side: what `act` gives for a call, as the line that answers it. */
async function answer({ number, ...call }, act) {
  try {
    return { answer: number, result: pack(await act(unpack(call))) }
  } catch (error) {
    return { answer: number, error: error.message }
  }
}

module.exports = { addressed, answer, Calls, pack, unpack }
