'use strict'
// No original ever spoke the `classic` profile, so there is no recording of it. It is v18.1.4 with the switches of the
// profile's table thrown; this file throws them on a recording, reply by reply.

const { NUMBER } = require('./replay')

const ROOM_VERBS = new Set(['roomAdd', 'roomLeave', 'roomView', 'say'])
/** Verbs that return nothing, which v18 shows by no `data` and `classic` by `null`. */
const SILENT_VERBS = new Set(['paramAdd', 'paramDelete', 'paramsDelete', 'say'])

const parsed = (line) => {
  try {
    return JSON.parse(line)
  } catch {
    return null
  }
}

/** The `messageId` that the reply to the last of `lines` carries, if the client has set one. */
function messageId(lines) {
  let sticky
  let reply
  for (const line of lines) {
    reply = sticky
    const [verb, ...words] = line.split(' ')
    const set = /^messageId=(.*)$/.exec(words.join(' '))
    if (verb === 'paramAdd' && set) sticky = set[1]
    if (verb === 'paramsDelete' || (verb === 'paramDelete' && words[0] === 'messageId')) sticky = undefined
    const params = parsed(line)?.params
    if (params !== undefined) {
      sticky = params?.messageId
      reply = sticky ?? reply
    }
  }
  return reply
}

/** `roomAdd default Room` is answered by a bare line and not counted. */
const isBare = (line) => line === 'roomAdd default Room'

function classicDetails(line) {
  return line.replace(
    /"fingerprint":"[^"]+",(.*"connectedAt":\d+),"rooms":(\[[^\]]*\]),("totalActions":\d+,"pendingActions":\d+)\}/,
    '$1,"room":"defaultRoom",$3,"fingerprint":null,"rooms":$2}',
  )
}

/** The texts of v12 for the failures of room verbs, which v18 words and files differently. */
function classicRoomFailure(line, verb) {
  const found = /^\{"error":"([^"]*?)(?: \((.*)\))?","context":"response"/.exec(line)
  if (!found) return line
  const [whole, text, room] = found
  const name = room === '' ? 'undefined' : room
  const status = verb === 'roomView' && text === 'connection not in this room' ? `not member of room ${name}` : text
  const data = verb === 'roomAdd' || verb === 'roomLeave' ? ',"data":false' : ''
  return line.replace(whole, `{"status":"${status}","context":"response"${data}`)
}

/** One recorded line as `classic` says it; `lines` are the client's lines so far, in order. */
function classicLine(line, lines) {
  if (line.startsWith('{"welcome"')) return line.replace(',"context"', ',"room":"defaultRoom","context"')
  if (/^"That file is not found"$/.test(line)) {
    const count = lines.filter((one) => !isBare(one)).length
    return `{"error":"Sorry, that file is not found :(","context":"response","messageCount":${count}}`
  }
  const count = Number(/"messageCount":(\d+)\}$/.exec(line)?.[1])
  if (!count) return line
  const asked = lines.slice(0, count)
  const request = asked.at(-1)
  if (isBare(request)) return '{"status":"OK"}'
  const verb = request.split(' ')[0]
  let told = classicDetails(line)
  if (ROOM_VERBS.has(verb)) told = classicRoomFailure(told, verb)
  if (SILENT_VERBS.has(verb)) told = told.replace(/^(\{"status":"OK","context":"response")(,"messageCount")/, '$1,"data":null$2')
  told = told
    .replace(/^\{"error":"(\w+ is a required parameter)/, '{"error":"Error: $1')
    .replace(/,"stringRandomNumber":"[^"]*"/, '')
    .replace(/"createdAt":(\d{13}),"lastReadAt":null/, '"createdAt":$1,"readAt":$1')
  const id = messageId(asked)
  const tail = id === undefined ? '' : `,"messageId":${JSON.stringify(id)}`
  return told.replace(NUMBER, `,"messageCount":${count - asked.filter(isBare).length}${tail}}`)
}

const asClassic = (replies, lines) =>
  replies.map((item) => (item.line === undefined ? item : { ...item, line: classicLine(item.line, lines) }))

module.exports = { asClassic }
