'use strict'
// An emitter of npm: redis-emitter.js PACKAGE OPTIONS
// Prints {"ready":true}, then obeys calls, one line of JSON each, and answers when Redis has what they publish:
// {"number","call":[METHOD, …ARGUMENTS], "of","to","except","flags","compress"}.
//
// PACKAGE is an alias of package.json; OPTIONS is JSON: `redis`, an address of lib/redis.js; `client`, which of npm's clients
// of Redis; `key`.

const readline = require('node:readline')
const { addressed, answer } = require('../lib/peer-calls')
const { RedisClient } = require('../lib/redis-clients')

const [PACKAGE, OPTIONS] = [process.argv[2], JSON.parse(process.argv[3])]

const say = (line) => console.log(JSON.stringify(line))

function emitterOn(client) {
  const made = require(PACKAGE)
  const options = OPTIONS.key ? { key: OPTIONS.key } : {}
  return made.Emitter ? new made.Emitter(client.raw, options) : made(client.raw, options)
}

async function main() {
  const client = await RedisClient.connect(OPTIONS.client, OPTIONS.redis)
  const emitter = emitterOn(client)
  const act = async ({ call: [method, ...args], ...where }) => {
    addressed(emitter, where)[method](...args)
    // No emitter says when it is done, but Redis answers in order.
    await client.command('PING')
  }
  readline.createInterface({ input: process.stdin })
    .on('line', async (line) => say(await answer(JSON.parse(line), act)))
    .on('close', () => process.exit(0))
  say({ ready: true })
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
