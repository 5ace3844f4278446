'use strict'
// Where the gateway deliberately differs from the npm server of a client's age, and why.

const { generation } = require('./socket-io')

/** `when` says to which clients an entry applies; in place of the entry `npm` of a transcript come those of `gateway`. */
const DEVIATIONS = [
  {
    scenario: 'a message above the limit',
    when: ({ version, transports }) => generation(version) === 3 && transports === 'polling',
    npm: ['disconnect', 'transport close'],
    gateway: [['error', { message: 'xhr post error' }], ['disconnect', 'transport error']],
    why: 'Servers 1.x and 2.x cut the connection and the session. 413 is what 4.x answers, and it costs only the one message.',
  },
]

/** What the gateway must give where the npm server gave `transcript`. */
function expected(scenario, context, transcript) {
  const entries = DEVIATIONS.filter((entry) => entry.scenario === scenario && entry.when(context))
  return transcript.flatMap((line) => {
    const text = JSON.stringify(line)
    return entries.find((entry) => JSON.stringify(entry.npm) === text)?.gateway ?? [line]
  })
}

module.exports = { expected, DEVIATIONS }
