'use strict'
// What the original Actionhero clients must experience, over plain TCP and over TLS alike.

const assert = require('node:assert/strict')
const { runProgram } = require('./program')

/** The example program of the document prints what its reader expects. */
async function checkDocumentExample(address) {
  const { code, output, errors } = await runProgram('document-example.js', [], address)
  assert.equal(code, 0, output + errors)
  assert.doesNotMatch(output, /ERROR|timed out/)
  for (const wanted of [
    /^WELCOME: Hello! Welcome to the actionhero api$/m,
    /^ {2}id: '[0-9a-f-]{36}',$/m,
    /^ {2}remoteIP: '127\.0\.0\.1',$/m,
    /^ {2}room: 'defaultRoom',$/m,
    /^cacheTest action response: true$/m,
    /^ ~ request duration: \d+ms$/m,
    /^ > SAY: Hello from the actionheroClient \| from: [0-9a-f-]{36}$/m,
    /^all done!$/m,
    /^Connection Ended$/m,
  ]) {
    assert.match(output, wanted)
  }
}

/** What every call of `programs/drive-client.js` resolves with: `[method, first argument, error, data]`. */
const EXPECTATIONS = [
  ['paramAdd', 'key', null, { status: 'OK', context: 'response', data: null }],
  ['paramAdd', 'value', null, { status: 'OK', context: 'response', data: null }],
  ['paramView', 'key', null, { status: 'OK', context: 'response', data: 'aKey' }],
  ['paramsView', undefined, null, { status: 'OK', context: 'response' }],
  ['action', 'cacheTest', null, { context: 'response' }],
  ['actionWithParams', 'cacheTest', null, { context: 'response' }],
  ['paramDelete', 'key', null, { status: 'OK' }],
  ['paramsDelete', undefined, null, { status: 'OK' }],
  ['action', 'cacheTest', 'Error: Error: key is a required parameter for this action', { context: 'response' }],
  ['action', 'randomNumber', null, { context: 'response' }],
  ['action', 'noSuchAction', 'Error: unknown action or invalid apiVersion', { context: 'response' }],
  ['detailsView', undefined, null, { status: 'OK' }],
  ['roomAdd', 'defaultRoom', null, { status: 'OK', data: true }],
  ['roomView', 'defaultRoom', null, { status: 'OK' }],
  ['say', 'defaultRoom', null, { status: 'OK' }],
  ['roomLeave', 'defaultRoom', null, { status: 'OK', data: true }],
  ['roomLeave', 'defaultRoom', 'Error: connection not in this room', { data: false }],
  ['roomAdd', 'noSuchRoom', 'Error: room does not exist', { data: false }],
].map(([method, argument, error, data]) => ({ method, argument, error, data }))

/** Client `version` (4, 6 or 8) resolves every call as it should. */
async function checkClient(version, address) {
  const { code, output, errors } = await runProgram('drive-client.js', [version], address)
  const lines = output.split('\n').filter(Boolean).map((line) => JSON.parse(line))
  const all = (what) => lines.filter((line) => line.what === what)
  assert.equal(code, 0, output + errors)
  assert.deepEqual([...all('client error'), ...all('timeout'), ...all('failed')], [])
  assert.equal(all('welcome')[0].welcome, 'Hello! Welcome to the actionhero api')
  const details = all('details')[0].details.data ?? all('details')[0].details
  assert.match(details.id, /^[0-9a-f-]{36}$/)
  const calls = all('call')
  for (const [index, wanted] of EXPECTATIONS.entries()) {
    const call = calls[index]
    const shown = JSON.stringify(call)
    assert.equal(call.method, wanted.method, shown)
    assert.equal(call.args[0], wanted.argument, shown)
    assert.equal(call.error, wanted.error, shown)
    for (const [key, value] of Object.entries(wanted.data)) assert.deepEqual(call.data[key], value, shown)
  }
  const answer = (method, skip = 0) => calls.filter((call) => call.method === method)[skip].data
  // Client 8 numbers by a sticky param, which is then one of the params.
  const { messageId, ...params } = answer('paramsView').data
  assert.equal(typeof messageId, version === '8' ? 'string' : 'undefined')
  assert.deepEqual(params, { key: 'aKey', value: 'aValue' })
  assert.equal(answer('action').cacheTestResults.loadResp.key, 'cacheTest_aKey')
  assert.equal(answer('actionWithParams').cacheTestResults.loadResp.value, 'otherValue')
  assert.equal(typeof answer('action', 2).randomNumber, 'number')
  const room = answer('roomView').data
  assert.deepEqual([room.room, room.membersCount, room.members[details.id].id], ['defaultRoom', 1, details.id])
  assert.equal(all('say')[0].message, 'hello from the client')
  if (version !== '8') assert.deepEqual(all('order')[0].answered, [10, 400], 'the fast action is answered first')
  assert.equal(all('ended').length, 1)
}

module.exports = { checkDocumentExample, checkClient }
