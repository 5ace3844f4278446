'use strict'
// An application with one of the libraries that speak to the relay: it does what it is told on standard input, a JSON object a
// line, and says its state on standard output.

const readline = require('node:readline')

const [kind, port, name, settings = '{}'] = process.argv.slice(2)
const { host = '127.0.0.1', size = 0, ...more } = JSON.parse(settings)
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`)

const initial = size > 0 ? { n: 0, filler: 'x'.repeat(size) } : { n: 0 }
const reducer = (state = initial, action) => {
  if (action.type === 'INC') return { ...state, n: state.n + 1 }
  if (action.type === 'ADD') return { ...state, n: state.n + action.by }
  return state
}
const actionCreators = { inc: () => ({ type: 'INC' }), add: (by) => ({ type: 'ADD', by }) }
const options = { name, realtime: true, hostname: host, port: Number(port), maxAge: 30, actionCreators, ...more }

async function reduxStore() {
  if (kind === 'remote-redux-devtools') {
    const { createStore } = require('redux-4')
    const enhancer = require('remote-redux-devtools').default
    return createStore(reducer, enhancer(options))
  }
  const { createStore } = await import('redux-5')
  const { devToolsEnhancer } = await import(`redux-devtools-remote-${kind}`)
  return createStore(reducer, devToolsEnhancer(options))
}

async function redux() {
  const store = await reduxStore()
  const sayState = () => say({ state: { n: store.getState().n } })
  store.subscribe(sayState)
  return {
    dispatch: (action) => store.dispatch(action),
    many: (count) => {
      for (let done = 0; done < count; done += 1) store.dispatch({ type: 'INC' })
    },
    state: sayState,
  }
}

/** Without Redux: it says what it likes. */
function plain() {
  const devtools = require('remotedev').connectViaExtension({ ...options, remote: true })
  devtools.subscribe((message) => say({ heard: message }))
  devtools.init({ n: 0 })
  return {
    dispatch: (action) => devtools.send(action, { n: action.n }),
    error: (text) => devtools.error(text),
  }
}

function mobx() {
  const { extendObservable, action } = require('mobx')
  const remotedev = require('mobx-remotedev/lib/dev').default
  function Counter() {
    extendObservable(this, { n: 0 })
    this.inc = action('inc', () => {
      this.n += 1
    })
  }
  const Watched = remotedev(Counter, { name, remote: true, hostname: host, port: Number(port), onlyActions: true })
  const store = new Watched()
  return { dispatch: () => store.inc(), state: () => say({ state: { n: store.n } }) }
}

;(async () => {
  const app = await ({ remotedev: plain, mobx }[kind] ?? redux)()
  say({ ready: true })
  readline.createInterface({ input: process.stdin }).on('line', (line) => {
    for (const [order, value] of Object.entries(JSON.parse(line))) app[order](value)
  })
  process.stdin.on('end', () => process.exit())
})()
