'use strict'
// Waiting as in wait.js, for longer: programs of pages load large packages, and a browser starts, perhaps on a busy machine.

const wait = require('./wait')

const LIMIT = 30_000

const until = (what, condition, limit = LIMIT) => wait.until(what, condition, limit)
const within = (promise, describe) => wait.within(promise, LIMIT, describe)

module.exports = { until, within }
