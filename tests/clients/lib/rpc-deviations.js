'use strict'
// Where the gateway deliberately does not do what npm socket.red 0.1.11 did in the recordings. The form of the table:
// frame-deviations.js. The reasons are those of docs/socket-red.md.

const unknown = (name, id = 2) => `text [${id},false,"Unknown api '${name}'"]`

const INTERNALS = "JavaScript's internals are no APIs"
const BROKEN = 'RFC 6455 has a close frame with a code for it; the original cut the connection, or took the frame'
const NO_ORDER = 'between two calls no order is promised, nor between a call and the answer to a ping'
const ANSWERED = 'what cannot be an answer is a failure that says so, instead of a client that waits in vain'

/** What a message of the recording of odd messages is answered with. */
const odd = (message, was, now, why) => ({
  file: 'edge-messages', after: `text ${JSON.stringify(message)}`, by: 1, at: 1,
  was: was.map((text) => `text ${text}`), now, why,
})

const internal = (name, was, args = '[]') => odd(`[2,"${name}",${args}]`, [was], [unknown(name)], INTERNALS)

const RPC_DEVIATIONS = [
  odd('[1,["sum"],[4,5]]', ['[1,true,9]'], [unknown('sum', 1)], 'only a string is a name'),
  odd(
    '[1,"echo",{"length":2,"0":"x","1":"y"}]', ['[1,true,["x","y"]]'], ['text [1,true,[]]'],
    'an object is no list of arguments, whatever its properties are called',
  ),
  odd('[true,"sum",[4,5]]', ['[true,true,9]'], [], 'only numbers, and strings that hold one, are ids'),
  odd('[[3],"sum",[4,5]]', ['[[3],true,9]'], [], 'only numbers, and strings that hold one, are ids'),
  odd('[1e999,"sum",[4,5]]', ['[null,true,9]'], ['text [1e999,true,9]'], 'ids come back as they came'),
  odd(
    '[9007199254740993,"sum",[1,1]]', ['[9007199254740992,true,2]'], ['text [9007199254740993,true,2]'],
    'ids come back as they came',
  ),
  internal('constructor', `[2,false,"Class constructor ServerApi cannot be invoked without 'new'"]`),
  internal('toString', '[2,true,"[object Object]"]'),
  internal('__proto__', '[2,false,"fn.apply is not a function"]'),
  internal('hasOwnProperty', '[2,true,true]', '["session"]'),
  internal('session', '[2,false,"fn.apply is not a function"]'),
  internal('valueOf', '[2,true,{"session":{"url":"/edge"}}]'),
  odd('[3,"throwString",["boom"]]', ['[3,false,null]'], ['text [3,false,"boom"]'], 'a thrown string is the message'),
  odd('[3,"throwNull",[]]', [], ['text [3,false,"the script threw null, or ran out of memory"]'], ANSWERED),
  odd(
    '[3,"big",[]]', [], ['text [3,false,"the result cannot be written as JSON: BigInt are forbidden in JSON.stringify"]'],
    ANSWERED,
  ),
  {
    ...odd(',5]]', ['[1,true,9]', '[1,true,9]'], undefined, NO_ORDER),
    was: ['text [1,true,9]', 'pong mid', 'text [1,true,9]'], unordered: true,
  },
  {
    ...odd('[15,"sum",[2,2]]', [], undefined, NO_ORDER), unordered: true,
    was: [
      `text [12,false,"Unknown api 'nosuch'"]`, 'text [13,false,"Cannot clap without any hands"]', 'text [11,true,2]',
      'text [15,true,4]', 'text [14,true,"z"]',
    ],
  },
  ...[
    ['close-code-1005', 'close {"code":1005,"reason":""}', [], 'close 1002'],
    ['opcode3', 'binary "x"', [], 'close 1002'],
    ['rsv1', 'text "[1,\\"sum\\",[4,5]]"', [], 'close 1002'],
    ['unmasked', 'text "[1,\\"sum\\",[4,5]]"', ['text [1,true,9]'], 'close 1002'],
    ['invalid-utf8', 'text "wyg="', [], 'close 1007'],
  ].map(([name, after, was, close]) => ({ file: `bad-frame-${name}`, after, by: 1, at: 1, was, now: [close], why: BROKEN })),
]

module.exports = { RPC_DEVIATIONS }
