'use strict'
// Where the gateway deliberately does not do what a recorded Actionhero did. Everything that is not in this table is
// compared exactly.
//
// An entry stands for the replies to one write in one recording: `send` is what the client wrote (without the line end),
// `after`, where it is needed, what it wrote before that; `was` are the recorded replies, `now` those of the gateway.
// For long lines `replace` has pairs of a recorded piece and what stands in its place instead. Values are masked, `<n>` is
// the `messageCount` or `messageId` at the end of a line, `file NAME` the bytes of a file.

const ALL = ['9.4.1', '12.5.0', '13.4.5', '17.1.3', '18.1.4', '20.0.0', '29.3.5', 'classic']
const UP_TO_12 = ['9.4.1', '12.5.0']
const UP_TO_17 = ['9.4.1', '12.5.0', '13.4.5', '17.1.3']
const FROM_18 = ['18.1.4', '20.0.0', '29.3.5']

const OK = '{"status":"OK","context":"response",<n>}'
const UNKNOWN = '{"error":"unknown action or invalid apiVersion","context":"response",<n>}'
const unknown = (version) => (version === '9.4.1' ? UNKNOWN.replace('unknown', 'Error: unknown') : UNKNOWN)
const data = (json) => `{"status":"OK","context":"response","data":${json},<n>}`

// --- lines ----------------------------------------------------------------------------------------------------------

const BARE_ENDS = 'up to v13.3.2 pipelined lines that end in a single CR or LF lost the first character of the next line'

const bareEnds = UP_TO_12.flatMap((version) =>
  ['\n', '\r'].map((end) => ({
    versions: [version],
    recording: 'framing',
    send: ['paramAdd key=one', 'paramView key', 'randomNumber'].join(end),
    was: [data('null'), unknown(version), unknown(version)],
    now: [data('null'), data('"one"'), '{"randomNumber":<rnd>,"context":"response",<n>}'],
    why: BARE_ENDS,
  })),
)

const splitCharacter = {
  versions: ALL,
  recording: 'framing',
  send: 'paramView key',
  was: [data('"���"')],
  now: [data('"☃"')],
  why: 'a character whose bytes come in two segments is read whole',
}

// --- room verbs in one write ------------------------------------------------------------------------------------------

const PIPELINED = ['roomAdd defaultRoom', 'roomView defaultRoom', 'say defaultRoom pipelined', 'roomLeave defaultRoom', 'randomNumber']
const ECHO = '{"message":"pipelined","room":"defaultRoom","from":"<uuid>","context":"user","sentAt":<ms>}'
const STRING = ',"stringRandomNumber":"Your random number is <rnd>"'

/** What five room verbs in one write are answered with: each in its turn, with its own number. */
function pipelined(versions, was, { string = '', echo = ECHO, say = '', counted = true }) {
  const number = (count) => (counted ? `"messageCount":${count}` : '"messageId":"<uuid>"')
  return {
    versions,
    recording: 'framing',
    send: PIPELINED.join('\r\n'),
    was: was.map((line) => line.replace('<random>', `{"randomNumber":<rnd>${string},"context":"response",<n>}`)),
    now: [
      `{"status":"OK","context":"response","data":true,${number(22)}}`,
      `{"status":"OK","context":"response","data":{"room":"defaultRoom","members":{"<uuid>":{"id":"<uuid>","joinedAt":<ms>}},"membersCount":1},${number(23)}}`,
      `{"status":"OK","context":"response"${say},${number(24)}}`,
      `{"status":"OK","context":"response","data":true,${number(25)}}`,
      `{"randomNumber":<rnd>${string},"context":"response",${number(26)}}`,
      ...(echo ? [echo] : []),
    ],
    why: 'verbs that wait for Redis were overtaken by the next ones and numbered with the count of the moment',
  }
}

const notIn = (room) => `{"status":"connection not in this room${room}","context":"response",<n>}`
const notInFalse = (room) => `{"status":"connection not in this room${room}","context":"response","data":false,<n>}`
const NOT_MEMBER = '{"status":"not member of room defaultRoom","context":"response",<n>}'
const NAMED = '{"error":"connection not in this room (defaultRoom)","context":"response",<n>}'

const overtaken = [
  pipelined(['9.4.1'], [NOT_MEMBER, notInFalse(''), notIn(''), '<random>', data('true')], { echo: null }),
  pipelined(['12.5.0'], [NOT_MEMBER, notInFalse(''), notIn(''), '<random>', data('true')], {}),
  pipelined(
    ['13.4.5', '17.1.3'],
    [NOT_MEMBER, notInFalse(' (defaultRoom)'), notIn(' (defaultRoom)'), '<random>', data('true')],
    { string: STRING },
  ),
  pipelined(['18.1.4'], [NAMED, OK, NAMED, '<random>', data('true')], { string: STRING }),
  pipelined(['20.0.0', '29.3.5'], [NAMED, NAMED, NAMED, '<random>', data('true')], { string: STRING, counted: false }),
]

// --- params -----------------------------------------------------------------------------------------------------------

const WHOLE_VALUE = 'a value begins behind the first = and goes on to the end of the line, where the original cut it'
const FILE_PARAM = 'up to v17 an off-by-one in the list of allowed keys also refused `file`'

const values = [
  ['paramAdd key=a=b', '"a=b"'],
  ['paramAdd key=a b c', '"a b c"'],
].map(([after, value]) => ({
  versions: ALL, recording: 'params', after, send: 'paramView key', was: [data('"a"')], now: [data(value)], why: WHOLE_VALUE,
}))

const fileParam = [
  {
    versions: UP_TO_17, recording: 'params', send: 'paramView file', was: [OK], now: [data('"foo"')], why: FILE_PARAM,
  },
  {
    versions: UP_TO_17,
    recording: 'params',
    after: 'paramAdd action=randomNumber',
    send: 'paramsView',
    replace: [['{"apiVersion":"1",', '{"file":"foo","apiVersion":"1",']],
    why: FILE_PARAM,
  },
  {
    versions: UP_TO_17,
    recording: 'params',
    after: 'randomNumber',
    send: 'paramsView',
    replace: [['{"apiVersion":"1",', '{"file":"foo","apiVersion":"1",']],
    why: FILE_PARAM,
  },
]

// --- JSON lines -------------------------------------------------------------------------------------------------------

const loaded = (times) =>
  `{"cacheTestResults":{"saveResp":true,"sizeResp":1,"loadResp":{"key":"cacheTest_only","value":"params",${times}},"deleteResp":true},"context":"response",<n>}`

const LOADED = {
  '9.4.1': loaded('"expireTimestamp":<ms>,"createdAt":<ms>,"readAt":null'),
  '12.5.0': loaded('"expireTimestamp":<ms>,"createdAt":<ms>,"readAt":null'),
  '13.4.5': loaded('"expireTimestamp":<ms>,"createdAt":<ms>,"readAt":null'),
  '17.1.3': loaded('"expireTimestamp":<ms>,"createdAt":<ms>,"readAt":null'),
  '18.1.4': loaded('"expireTimestamp":<ms>,"createdAt":<ms>,"lastReadAt":null'),
  '20.0.0': loaded('"expireTimestamp":<ms>,"createdAt":<ms>,"lastReadAt":null'),
  '29.3.5': loaded('"createdAt":<ms>'),
  classic: loaded('"expireTimestamp":<ms>,"createdAt":<ms>,"readAt":<ms>'),
}

const actionless = ALL.flatMap((version) =>
  ['{}', '[]', '123'].map((send) => ({
    versions: [version],
    recording: 'json',
    send,
    was: [LOADED[version]],
    now: [unknown(version)],
    why: 'JSON that names no action ran the previous one again, which nobody means',
  })),
)

const prototype = {
  versions: [...FROM_18, 'classic'],
  recording: 'json',
  after: '{"action":"randomNumber","params":{"__proto__":{"a":1},"constructor":"x"}}',
  send: 'paramsView',
  replace: [['{"constructor":"x"', '{"__proto__":{"a":1},"constructor":"x"']],
  why: 'JavaScript swallows a key named __proto__; here it is a key like any other',
}

// --- rooms ------------------------------------------------------------------------------------------------------------

const SILENT_SAY = 'v18 answers OK to a say that was not sent'
const NO_NAME = 'a missing room name prints as nothing or as `undefined`, depending on the version; here always as the latter'

const failedSays = [
  ['say defaultRoom before joining', 'connection not in this room', ' (defaultRoom)'],
  ['say defaultRoom', 'both room and message are required', ''],
  ['say', 'both room and message are required', ''],
  ['say otherRoom x', 'connection not in this room', ' (otherRoom)'],
  ['say nope x', 'connection not in this room', ' (nope)'],
  ['say defaultRoom gone', 'connection not in this room', ' (defaultRoom)'],
].flatMap(([send, text, room]) => [
  {
    versions: ['18.1.4'], recording: 'rooms', send, was: [OK],
    now: [`{"error":"${text}${room}","context":"response",<n>}`], why: SILENT_SAY,
  },
  {
    versions: ['classic'], recording: 'rooms', send, was: [data('null')],
    now: [`{"status":"${text}","context":"response",<n>}`], why: SILENT_SAY,
  },
])

const missingName = ['roomView', 'roomLeave'].map((send) => ({
  versions: ['18.1.4', '20.0.0'],
  recording: 'rooms',
  send,
  was: ['{"error":"connection not in this room ()","context":"response",<n>}'],
  now: ['{"error":"connection not in this room (undefined)","context":"response",<n>}'],
  why: NO_NAME,
}))

/** v13 to v17 are played to a mixture of switches; these texts are no switch. */
const BETWEEN = 'v13 to v17 have no profile of their own, and this text belongs to none'

const between = [
  ...['defaultRoom', 'otherRoom', 'nope'].map((room) => ({
    versions: ['13.4.5', '17.1.3'],
    recording: 'rooms',
    send: `roomView ${room}`,
    was: [`{"status":"not member of room ${room}","context":"response",<n>}`],
    now: [`{"status":"connection not in this room (${room})","context":"response",<n>}`],
    why: BETWEEN,
  })),
  {
    versions: ['13.4.5', '17.1.3'],
    recording: 'rooms',
    send: 'roomView',
    was: ['{"status":"not member of room undefined","context":"response",<n>}'],
    now: ['{"status":"connection not in this room (undefined)","context":"response",<n>}'],
    why: BETWEEN,
  },
  {
    versions: ['17.1.3'],
    recording: 'rooms',
    send: 'roomLeave',
    was: ['{"status":"connection not in this room ()","context":"response","data":false,<n>}'],
    now: ['{"status":"connection not in this room (undefined)","context":"response","data":false,<n>}'],
    why: NO_NAME,
  },
  {
    versions: ['17.1.3'],
    recording: 'rooms',
    send: 'roomAdd',
    was: ['{"status":"fakeredis/lint: Argument #1 for sismember is not a String, Buffer or Number: undefined","context":"response",<n>}'],
    now: ['{"status":"room does not exist","context":"response","data":false,<n>}'],
    why: 'a complaint of the fake Redis that this recording was made with',
  },
  ...['file missing.txt', 'file ../outside.txt', 'file /outside.txt', 'file'].map((send) => ({
    versions: ['13.4.5'],
    recording: 'file',
    send,
    was: ['"That file is not found"'],
    now: ['"Sorry, that file is not found :("'],
    why: BETWEEN,
  })),
]

// --- files ------------------------------------------------------------------------------------------------------------

const random = (version) => `{"randomNumber":<rnd>${['9.4.1', '12.5.0', 'classic'].includes(version) ? '' : STRING},"context":"response",<n>}`

const wholeFiles = ALL.map((version) => ({
  versions: [version],
  recording: 'file',
  send: 'file big.bin\r\nrandomNumber',
  was: [random(version), 'raw 200000 bytes'],
  now: ['file big.bin', random(version)],
  why: 'a file goes out whole and in its turn; other replies wait, since nobody could tell them from its bytes',
}))

// --- the server about itself ------------------------------------------------------------------------------------------

const ITSELF = 'the gateway is another application than the one that was recorded, and says so'
const IDENTITY = [
  '"name":"polytest","description":"polytest","version":"<version>"',
  '"name":"polyport","description":"real-time gateway","version":"<version>"',
]
const DEBUG =
  '"debug":{"1":{"name":"debug","version":1,"description":"debug","inputs":{"required":[],"optional":["data","thing","stuff"]},"outputExample":{}}},'
const STATS =
  '{"actionhero:stats":{"actions:actionsCurrentlyProcessing":"0","actions:actionsNotFound":"9","actions:processedActions:cacheTest":"10",' +
  '"actions:processedActions:randomNumber":"5","actions:totalProcessedActions":"15","chatRoom:messagesReceived":"7","chatRoom:messagesSent":"7",' +
  '"chatRoom:messagesSent:defaultRoom":"5","chatRoom:messagesSent:otherRoom":"2","chatRoom:roomMembers:defaultRoom":"0",' +
  '"chatRoom:roomMembers:otherRoom":"0","connections:activeConnections:socket":"1","connections:connections:socket":"7",' +
  '"connections:totalActiveConnections":"1","connections:totalConnections":"7"}}'
const USED = 'the original mentions the functions of an input only when they have run once; the gateway always does'
const FUNCTIONS = [
  ['{"sleepDuration":{"required":true}},"outputExample"', '{"sleepDuration":{"required":true,"formatter":[null]}},"outputExample"'],
  ['{"string":{"required":true}}', '{"string":{"required":true,"validator":[null]}}'],
]

const itself = [
  ...[
    ['18.1.4', 'actions'], ['20.0.0', 'actions'], ['29.3.5', 'actions'], ['18.1.4', 'client-6.0.0'], ['20.0.0', 'client-8.0.1'],
    ['29.3.5', 'client-8.0.1'],
  ].map(([version, recording]) => ({ versions: [version], recording, send: 'status', replace: [IDENTITY], why: ITSELF })),
  {
    versions: ['9.4.1'], recording: 'actions', send: 'status', replace: [[STATS, '{}']],
    why: 'the counters of v9 were kept in Redis; those of the gateway are under /metrics',
  },
  {
    versions: ['29.3.5'],
    recording: 'actions',
    send: 'documentation',
    was: [`{"error":"Cannot read properties of undefined (reading 'documentation')","context":"response",<n>}`],
    now: [
      '{"status":"OK","context":"response","data":{"cacheTest":{"1":{"name":"cacheTest","version":1,"description":"I will test the internal cache functions of the API","inputs":{"key":{"required":true,"formatter":[null],"validator":[null]},"value":{"required":true,"formatter":[null],"validator":[null]}},"outputExample":{"cacheTestResults":{"saveResp":true,"sizeResp":1,"loadResp":{"key":"cacheTest_key","value":"value","expireTimestamp":<ms>,"createdAt":<ms>,"readAt":null},"deleteResp":true}}}},"createChatRoom":{"1":{"name":"createChatRoom","version":1,"description":"I will create a chatroom with the given name","inputs":{"name":{"required":true}},"outputExample":{}}},"randomNumber":{"1":{"name":"randomNumber","version":1,"description":"I am an API method which will generate a random number","inputs":{},"outputExample":{"randomNumber":<rnd>}}},"sleepTest":{"1":{"name":"sleepTest","version":1,"description":"I will sleep and then return","inputs":{"sleepDuration":{"required":true,"formatter":[null]}},"outputExample":{"sleepStarted":<ms>,"sleepEnded":<ms>,"sleepDelta":<delta>,"sleepDuration":1000}}},"status":{"1":{"name":"status","version":1,"description":"I will return some basic information about the API","inputs":{},"outputExample":{"id":"<server>","actionheroVersion":"9.4.1","uptime":<uptime>}}},"validationTest":{"1":{"name":"validationTest","version":1,"description":"I will test action input validators.","inputs":{"string":{"required":true,"validator":[null]}},"outputExample":{"string":"imAString!"}}}},<n>}',
    ],
    why: 'the verb is broken in the plug-in; it is served',
  },
  ...[['actions', 'showDocumentation'], ['actions', 'documentation'], ['client-4.0.1', 'documentation']].map(([recording, send]) => ({
    versions: ['9.4.1'], recording, send, replace: [[DEBUG, '']], why: ITSELF,
  })),
  ...['showDocumentation', 'documentation'].map((send) => ({
    versions: ['18.1.4', '20.0.0'], recording: 'actions', send, replace: FUNCTIONS, why: USED,
  })),
  { versions: ['18.1.4'], recording: 'client-6.0.0', send: 'documentation', replace: FUNCTIONS, why: USED },
  {
    versions: ['18.1.4'], recording: 'client-6.0.0', send: 'say defaultRoom nobody', was: [OK], now: [NAMED], why: SILENT_SAY,
  },
]

// --- shutdown ---------------------------------------------------------------------------------------------------------

const slept = '{"sleepStarted":<ms>,"sleepEnded":<ms>,"sleepDelta":<delta>,"sleepDuration":9000,"context":"response",<n>}'
const DRAINING = '{"error":"the server is shutting down","context":"response",<n>}'

const shutdown = [
  ...[['18.1.4', 'Bye!', DRAINING], ['20.0.0', 'Bye!', DRAINING], ['29.3.5', 'Bye', random('29.3.5')]].map(([version, bye, answer]) => ({
    versions: [version],
    recording: 'shutdown',
    at: 3,
    send: 'randomNumber',
    was: [answer, slept, `{"status":"${bye}","context":"api"}`],
    now: [DRAINING, `{"status":"${bye}","context":"api"}`],
    why: 'from v18 a bug disables the limit of the wait for pending actions; here it holds',
  })),
  {
    versions: ['29.3.5'],
    recording: 'shutdown',
    at: 1,
    send: 'randomNumber',
    replace: [[random('29.3.5'), DRAINING]],
    why: 'the plug-in still runs new actions while it drains, and so may never end',
  },
]

// --- the profile that no original has -------------------------------------------------------------------------------

const ALIASES = 'the document mentions addParam, viewParam and deleteParam; `classic` takes them for the verbs that are meant'
const ACCEPTED = '`classic` accepts messageId as a param, because the newest client numbers its requests with it'

const classic = [
  {
    versions: ['classic'], recording: 'framing', send: PIPELINED.join('\r\n'),
    was: [notIn(''), data('null'), NAMED, random('classic'), data('true')],
    now: pipelined([], [], { say: ',"data":null' }).now,
    why: 'verbs that wait for Redis were overtaken by the next ones and numbered with the count of the moment',
  },
  {
    versions: ['classic'], recording: 'params', send: 'addParam key=zz', was: [UNKNOWN], now: [data('null')], why: ALIASES,
  },
  { versions: ['classic'], recording: 'params', send: 'viewParam key', was: [UNKNOWN], now: [data('"zz"')], why: ALIASES },
  { versions: ['classic'], recording: 'params', send: 'deleteParam key', was: [UNKNOWN], now: [data('null')], why: ALIASES },
  {
    versions: ['classic'], recording: 'params', after: 'randomNumber', send: 'detailsView',
    replace: [['"params":{"action"', '"params":{"messageId":"abc-123","action"'], ['"totalActions":5', '"totalActions":2']],
    why: `${ACCEPTED}; the three aliases are no actions`,
  },
  {
    versions: ['classic'], recording: 'params', after: 'detailsView', send: 'paramsView',
    replace: [['{"action"', '{"messageId":"abc-123","action"']], why: ACCEPTED,
  },
  ...['seed', 'tls'].map((recording) => ({
    versions: ['classic'], recording, after: 'roomAdd default Room', send: 'roomAdd defaultRoom', was: [data('true')],
    now: ['{"status":"connection already in this room","context":"response","data":false,<n>}'],
    why: 'the line before, as the document prints it, has already joined the room',
  })),
]

const DEVIATIONS = [
  ...bareEnds, splitCharacter, ...overtaken, ...values, ...fileParam, ...actionless, prototype, ...failedSays, ...missingName,
  ...between, ...wholeFiles, ...itself, ...shutdown, ...classic,
]

const RENUMBERED = [
  {
    versions: ['13.4.5', '17.1.3', '18.1.4'],
    recording: 'maxDataLength64',
    why:
      'an over-long line is counted and answered with its own number; the original answered with the previous one, and ' +
      'every later callback of its clients timed out',
  },
]

module.exports = { DEVIATIONS, RENUMBERED }
