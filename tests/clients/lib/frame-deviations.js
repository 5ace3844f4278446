'use strict'
// Where the gateway deliberately does not do what a recorded server did. Everything else is compared exactly. Here are the
// rules of such tables, and the table of the Pocketsocket server of 2013.
//
// `after` is what the page with number `by` did, `at` the connection that it is observed on, `was` the frames recorded
// there, `now` the ones that the gateway sends instead. `unordered` says that their order is nobody's promise.

const gone = 'text {"socket": "disconnected", "port": <port>, "address": "127.0.0.1"}'
const receipt = (id, attr) => `text {"time": "<time>", "messageId": ${id}, "socket": "sent", "attr": "${attr}"}`

const NOT_JSON = 'text that is not JSON is relayed and its sender stays, as the author himself mended it in June 2014'
const ILLEGAL = 'RFC 6455 demands that such a frame ends the connection; the server of 2013 took it'

const notJson = (file, data, bytes, kind = 'text') => [
  { file, after: `${kind} ${data}`, by: 2, at: 1, was: [gone], now: [`${kind} ${kind === 'binary' ? Buffer.from(JSON.parse(data), 'base64').toString('latin1') : JSON.parse(data)}`], why: NOT_JSON },
  { file, after: `${kind} ${data}`, by: 2, at: 2, was: [], now: [receipt(bytes, 'string')], why: NOT_JSON },
]

const DEVIATIONS = [
  ...notJson('drop-plain-text', '"Flerburry (42)!"', 15),
  ...notJson('drop-empty-text', '""', 0),
  ...notJson('drop-truncated-json', '"{\\"id\\":"', 6),
  ...notJson('drop-binary-not-utf8', '"AP/+AQ=="', 4, 'binary'),
  {
    file: 'readme-tour', after: 'text "What are you looking at?"', by: 1, at: 2, was: [gone],
    now: ['text What are you looking at?'], why: NOT_JSON,
  },
  {
    file: 'readme-tour', after: 'text "What are you looking at?"', by: 1, at: 1, was: [],
    now: [receipt(24, 'string')], why: NOT_JSON,
  },
  {
    file: 'relay-three-clients', after: 'text "{\\"id\\":[1,1]}"', by: 1, at: 1, was: [receipt('[1, 1, ]', 'json')],
    now: [receipt('[1, 1]', 'json')], why: 'the serialiser of 2013 wrote lists that no browser can parse',
  },
  {
    file: 'relay-three-clients', after: 'text "{\\"id\\":NaN}"', by: 1, at: 1, was: [receipt('NaN', 'json')],
    now: [receipt(10, 'string')], why: 'NaN is JSON to Python only; its receipt could not be parsed by any browser',
  },
  ...[2, 3].map((at) => ({
    file: 'relay-three-clients', after: 'text "{\\"id\\":"', by: 1, at, was: [gone], now: [],
    why: 'fragments are put together before they are looked at; the first one alone used to drop its sender',
  })),
  {
    file: 'ignored-ping', after: 'ping "hi"', by: 2, at: 2, was: [], now: ['pong hi'],
    why: 'a ping is answered, as proxies and libraries need it',
  },
  {
    file: 'ignored-opcode3', after: 'binary "hi"', by: 2, at: 2, was: [], now: ['close 1002'], why: ILLEGAL,
  },
  {
    file: 'ignored-opcode3', after: 'binary "hi"', by: 2, at: 1, was: [], now: [gone], why: ILLEGAL,
  },
  { file: 'ignored-opcode3', after: 'eof ""', by: 2, at: 1, was: [gone], now: [], why: ILLEGAL },
  ...[
    ['accepted-rsv1', 'text "{\\"id\\":1}"', '{"id":1}', '1'],
    ['accepted-unmasked', 'text "{\\"id\\":\\"unmasked\\"}"', '{"id":"unmasked"}', '"unmasked"'],
  ].flatMap(([file, after, text, id]) => [
    { file, after, by: 2, at: 2, was: [receipt(id, 'json')], now: ['close 1002'], why: ILLEGAL },
    { file, after, by: 2, at: 1, was: [`text ${text}`], now: [gone], why: ILLEGAL },
    { file, after: 'eof ""', by: 2, at: 1, was: [gone], now: [], why: ILLEGAL },
  ]),
  ...[2, 3].flatMap((at) => [
    {
      file: 'other-wire-pypi-0.4.1-echo', after: 'text "he"', by: 1, at, was: ['text he'], now: [],
      why: 'fragments are put together before they are relayed',
    },
    {
      file: 'other-wire-pypi-0.4.1-echo', after: 'text "llo"', by: 1, at, was: [], now: ['text hello'],
      why: 'fragments are put together before they are relayed',
    },
  ]),
  {
    file: 'other-wire-pypi-0.4.1-echo', after: 'ping "hi"', by: 1, at: 1, was: [], now: ['pong hi'],
    why: 'a ping is answered, as proxies and libraries need it',
  },
]

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b)

/** The deviations of one recording, and which of them were met. */
class Deviations {
  constructor(file, table = DEVIATIONS) {
    this.list = table.filter((entry) => entry.file === file).map((entry) => ({ ...entry, met: false }))
  }

  at(step) {
    return this.list.filter((entry) => entry.after === step.what && entry.by === step.conn)
  }

  /** The connections that something else is expected on after this step. */
  keys(step) {
    return this.at(step).map((entry) => entry.at)
  }

  apply(step, conn, wanted) {
    const entry = this.at(step).find((one) => one.at === conn && same(one.was, wanted))
    if (!entry) return wanted
    entry.met = true
    return entry.now ?? wanted
  }

  isUnordered(step, conn) {
    return this.at(step).some((one) => one.at === conn && one.unordered)
  }

  unmet() {
    return this.list.filter((entry) => !entry.met)
  }
}

module.exports = { Deviations, DEVIATIONS }
