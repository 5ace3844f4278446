'use strict'
// Values that differ from run to run, as section "a replay must mask" of the traces' description lists them.

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/g

/** The name of a server is its address with some, a uuid with others. */
const SERVER = [/"id":"[^"]+","(actionheroVersion|uptime)"/g, '"id":"<server>","$1"']

const RULES = [
  SERVER,
  [/("description":"[^"]*","version":)"[^"]*"/g, '$1"<version>"'],
  [UUID, '<uuid>'],
  [/\b1\d{12}\b/g, '<ms>'],
  [/"remotePort":\d+/g, '"remotePort":<port>'],
  [/"randomNumber":0(?:\.\d+(?:e-\d+)?)?/g, '"randomNumber":<rnd>'],
  [/"randomNumber":\d(?:\.\d+)?e-\d+/g, '"randomNumber":<rnd>'],
  [/Your random number is [\d.e-]+/g, 'Your random number is <rnd>'],
  [/"sleepDelta":\d+/g, '"sleepDelta":<delta>'],
  [/"uptime":\d+/g, '"uptime":<uptime>'],
  [/"consumedMemoryMB":[\d.]+/g, '"consumedMemoryMB":<mb>'],
  [/"eventLoopDelay":[\d.]+/g, '"eventLoopDelay":<delay>'],
]

/** A line of the verbs protocol with every variable value replaced by its name. */
const mask = (line) => RULES.reduce((text, [pattern, name]) => text.replace(pattern, name), line)

/** The uuids of a line, in order, the server's own left out. */
const uuids = (line) => line.replace(...SERVER).match(UUID) ?? []

const numberOf = (line) => Number(/"messageCount":(\d+)/.exec(line)?.[1] ?? 0)

/** Lines in the order of the requests that they answer; concurrent actions may answer in any order. */
const byNumber = (lines) => [...lines].sort((a, b) => numberOf(a) - numberOf(b))

/** A Pocketsocket text with the clock and the port replaced. */
const maskPocket = (text) =>
  text
    .replace(/"time": "\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{6})?"/, '"time": "<time>"')
    .replace(/("socket": "(?:connected|disconnected)", "port": )\d+/, '$1<port>')

module.exports = { byNumber, mask, maskPocket, uuids, UUID }
