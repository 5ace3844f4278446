'use strict'
// Plays the clients' side of a recorded SocketCluster conversation and compares, connection by connection, what comes back.
// Ids, tokens and times are masked. Tokens that were good when they were recorded are signed anew, because time has passed.

const fs = require('node:fs')
const path = require('node:path')
const jwt = require('jsonwebtoken')
const { FrameClient, closing } = require('./frame-client')
const { until } = require('./wait')

const TRACES = path.resolve(__dirname, '..', '..', 'traces')
const JWT = /eyJ[\w-]+\.eyJ[\w-]+\.[\w-]*/g
// The last is `#1` in MessagePack.
const PINGS = { '#1': '#2', '': '', oiMx: 'oiMy' }

const load = (folder, name) =>
  fs.readFileSync(path.join(TRACES, folder, `${name}.jsonl`), 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line))

/** Without pings and their answers, which come when their time has come: the server's ping, then the client's next word. */
function withoutPings(entries) {
  const asked = new Map()
  return entries.filter((entry) => {
    if (entry.kind !== 'text' && entry.kind !== 'binary') return true
    if (entry.dir === 's2c') {
      if (entry.data in PINGS) asked.set(entry.conn, PINGS[entry.data])
      return !(entry.data in PINGS)
    }
    const isPong = asked.get(entry.conn) === entry.data
    if (isPong) asked.delete(entry.conn)
    return !isPong
  })
}

/** The same token as it would be now, if it was good then. */
function renewed(token, key, recordedAt) {
  let claims
  try {
    claims = jwt.verify(token, key, { ignoreExpiration: true, ignoreNotBefore: true })
  } catch {
    return token
  }
  if (!(claims.exp > claims.iat)) return token
  const by = Math.floor(Date.now() / 1000) - recordedAt
  const { alg } = jwt.decode(token, { complete: true }).header
  return jwt.sign({ ...claims, iat: claims.iat + by, exp: claims.exp + by }, key, { algorithm: alg })
}

const mask = (text) =>
  text
    .replace(JWT, '<token>')
    .replace(/("id":|Socket |"from":)"?[\w-]{20}"?/g, '$1<id>')
    .replace(/"(iat|exp)":\d+/g, '"$1":<s>')
    .replace(/"expiry":"[^"]+"/g, '"expiry":<when>')

/** Without white space between its parts: the originals write anew what they pass on. */
const compact = (text) => {
  try {
    return JSON.stringify(JSON.parse(text))
  } catch {
    return text
  }
}

/** Every byte of a binary message, but for the id in the answer to a handshake: a text of 20 bytes in MessagePack. */
const binary = (payload) => `binary ${Buffer.from(payload.toString('latin1').replace(/(\xa2id\xb4)[\w-]{20}/, '$1<id>'), 'latin1').toString('hex')}`

const shown = (frame) => {
  if (frame.kind === 'close') return `close ${frame.code ?? 'empty'} ${frame.reason}`.trim()
  return frame.kind === 'binary' ? binary(frame.payload) : mask(frame.text ?? `${frame.kind}`)
}

const recorded = ({ kind, data }) => {
  if (kind === 'close') return shown({ kind, ...data })
  return shown(kind === 'binary' ? { kind, payload: Buffer.from(data, 'base64') } : { kind, text: data })
}

class ClusterReplay {
  /**
   * `ignores` are frames of the server that may come or not. `skips` and `instead` say by the text that a client sends what is not played, and what differs: `now` is what comes instead,
   * with `unordered` the order is nobody's promise, with `expired` the client's token is to be over by then.
   */
  constructor(name, port, key, { skips, instead, folder = 'socketcluster', ignores = /^$/, compacts = false }) {
    Object.assign(this, { name, port, key, skips, instead, folder, ignores, compacts })
    // Ids that the original gave, and what they are now: clients name each other by them.
    this.ids = new Map()
    this.clients = new Map()
    this.differences = []
    this.met = new Set()
  }

  async run() {
    const isPlayed = ({ conn, dir, data }) => !(dir === 's2c' && data !== '' && this.ignores.test(data)) && !this.skips.some((rule) => rule.conn === conn && this.met.add(`skip ${this.skips.indexOf(rule)}`))
    const entries = withoutPings(load(this.folder, this.name)).filter(isPlayed)
    const signed = entries.flatMap(({ data }) => (typeof data === 'string' && data.match(JWT)) || [])
    this.recordedAt = Math.max(...signed.map((token) => jwt.decode(token)?.iat ?? 0), 0)
    try {
      for (const step of this.steps(entries)) await this.play(step)
      for (const [conn, client] of this.clients) {
        let rest = client.parse()
        while (rest?.text && this.ignores.test(rest.text)) rest = client.parse()
        if (rest && rest.text !== '') this.differences.push(`connection ${conn} ended with ${shown(rest)}`)
      }
    } catch (error) {
      this.differences.push(`the replay stopped: ${error.message}`)
    } finally {
      for (const client of this.clients.values()) client.close()
    }
    return this.differences
  }

  /** One thing that a client does, and what every connection hears before the next one is done. */
  steps(entries) {
    const steps = []
    for (const entry of entries) {
      if (entry.dir === 'c2s') steps.push({ entry, heard: new Map() })
      else {
        const { heard } = steps.at(-1)
        heard.set(entry.conn, [...(heard.get(entry.conn) ?? []), entry])
      }
    }
    return steps
  }

  async play({ entry, heard }) {
    const rule = this.rule(entry)
    if (rule?.skip) return
    const rejected = heard.get(entry.conn)?.find(({ kind }) => kind === 'http-reject')
    if (rejected) return this.refused(entry, rejected)
    if (rule?.expired) await until('the token to expire', () => Date.now() >= this.exp * 1000)
    await this.act(entry)
    for (const [conn, wanted] of heard) {
      const expected = rule?.now && conn === entry.conn ? rule.now : wanted.map(recorded)
      const client = this.clients.get(conn)
      const got = []
      for (const [index] of expected.entries()) {
        let frame = await client.next()
        while (frame.text && this.ignores.test(frame.text)) frame = await client.next()
        this.learn(wanted[index]?.data, frame.text)
        got.push(this.look(frame))
      }
      if (rule?.unordered) for (const list of [expected, got]) list.sort()
      if (JSON.stringify(got) !== JSON.stringify(expected)) {
        this.differences.push(`after ${entry.data} of ${entry.conn}, connection ${conn}\n  recorded: ${expected.join('\n            ')}\n      live: ${got.join('\n            ')}`)
      }
    }
  }

  /** Keeps in mind which id stands for a recorded one. */
  learn(recorded, live) {
    const [was, is] = [recorded, live].map((text) => typeof text === 'string' && /^\{"rid":1,"data":\{"id":"([\w-]{20})"/.exec(text)?.[1])
    if (was && is) this.ids.set(was, is)
  }

  /** What a client says, with the ids that there are now. */
  renamed(text) {
    let now = text
    for (const [was, is] of this.ids) now = now.replaceAll(was, is)
    return now
  }

  /** A frame as it is compared; the last token that was given is kept in mind. */
  look(frame) {
    const [token] = frame.text?.match(JWT) ?? []
    if (token) this.exp = jwt.decode(token).exp
    return shown(this.compacts ? { ...frame, text: frame.text && compact(frame.text) } : frame)
  }

  rule({ kind, data }) {
    const text = kind === 'text' ? data : `${kind} ${JSON.stringify(data)}`
    const skip = [...this.skips.entries()].find(([, rule]) => rule.text !== undefined && text.includes(rule.text))
    if (skip) {
      this.met.add(`skip ${skip[0]}`)
      return { skip: true }
    }
    const at = this.instead.findIndex((rule) => text.includes(rule.text))
    if (at >= 0) this.met.add(`instead ${at}`)
    return this.instead[at]
  }

  /** Rules that nothing in the recording met. */
  unmet() {
    const all = [...this.skips.map((_, at) => `skip ${at}`), ...this.instead.map((_, at) => `instead ${at}`)]
    return all.filter((rule) => !this.met.has(rule))
  }

  async act({ conn, kind, data }) {
    const client = this.clients.get(conn)
    if (kind === 'open') {
      const options = { port: this.port, path: data.path, name: `connection ${conn}` }
      this.clients.set(conn, await FrameClient.open(options))
    } else if (kind === 'close') {
      if (data.code === 1006) client.socket.destroy()
      else await client.send('close', data.code === 1005 ? '' : closing(data.code, data.reason)).catch(() => {})
      this.clients.delete(conn)
    } else if (kind === 'binary') {
      await client.send('binary', Buffer.from(data, 'base64'))
    } else if (kind === 'ping') {
      await client.send('ping', data)
    } else {
      await client.text(this.renamed(data).replace(JWT, (token) => renewed(token, this.key, this.recordedAt)))
    }
  }

  async refused({ conn, data }, { data: { status, body } }) {
    const client = await FrameClient.connect({ port: this.port, name: `connection ${conn}` })
    const answer = await client.upgrade({ path: data.path }).catch((error) => error.message)
    if (!answer.includes(` ${status} `) || !answer.endsWith(body)) this.differences.push(`connection ${conn} was refused with ${answer}`)
    client.close()
  }
}

module.exports = { ClusterReplay }
