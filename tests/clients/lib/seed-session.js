'use strict'
// The session that the Actionhero document prints, line by line, with its variable values masked.

const WELCOME = '{"welcome":"Hello! Welcome to the actionhero api","room":"defaultRoom","context":"api"}'

const SEED = [
  [
    'detailsView',
    '{"status":"OK","context":"response","data":{"id":"<uuid>","remoteIP":"127.0.0.1","remotePort":<port>,"params":{},' +
      '"connectedAt":<ms>,"room":"defaultRoom","totalActions":0,"pendingActions":0,"fingerprint":null,"rooms":[]},"messageCount":1}',
  ],
  ['randomNumber', '{"randomNumber":<rnd>,"context":"response","messageCount":2}'],
  ['cacheTest', '{"error":"Error: key is a required parameter for this action","context":"response","messageCount":3}'],
  ['paramAdd key=myKey', '{"status":"OK","context":"response","data":null,"messageCount":4}'],
  ['paramAdd value=myValue', '{"status":"OK","context":"response","data":null,"messageCount":5}'],
  [
    'paramsView',
    '{"status":"OK","context":"response","data":{"action":"cacheTest","key":"myKey","value":"myValue"},"messageCount":6}',
  ],
  [
    'cacheTest',
    '{"cacheTestResults":{"saveResp":true,"sizeResp":1,"loadResp":{"key":"cacheTest_myKey","value":"myValue",' +
      '"expireTimestamp":<ms>,"createdAt":<ms>,"readAt":<ms>},"deleteResp":true},"context":"response","messageCount":7}',
  ],
  ['roomAdd default Room', '{"status":"OK"}'],
  ['say defaultRoom hooray!', '{"status":"OK","context":"response","data":null,"messageCount":8}'],
]

/** The answer to the n-th line if its first word is no action. */
const UNKNOWN = (count) => `{"error":"unknown action or invalid apiVersion","context":"response","messageCount":${count}}`

module.exports = { SEED, WELCOME, UNKNOWN }
