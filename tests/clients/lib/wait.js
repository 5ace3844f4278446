'use strict'
// Waiting for conditions, never for time to pass.

const LIMIT = 10_000
const PAUSE = 15

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Polls `condition` until it gives something truthy, and gives that back. `what` names it in the error. */
async function until(what, condition, limit = LIMIT) {
  const end = Date.now() + limit
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() > end) throw new Error(`waited ${limit} ms in vain for ${typeof what === 'function' ? what() : what}`)
    await pause(PAUSE)
  }
}

/** Races a promise against a limit whose error is made only when it strikes. */
function within(promise, limit, describe) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`after ${limit} ms: ${describe()}`)), limit)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** A one-shot latch: `open(value)` lets everybody through who waits on `passed`. */
function latch() {
  let open
  const passed = new Promise((resolve) => {
    open = resolve
  })
  return { open, passed }
}

module.exports = { until, within, latch, LIMIT }
