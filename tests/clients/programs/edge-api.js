// The application behind the recordings of odd messages and odd openings: the tour's, and functions that misbehave.
const startServer = require('socket.red')

const after = (ms, value) => new Promise((resolve) => setTimeout(resolve, ms, value))

class ServerApi {
  constructor(session) {
    this.session = session
  }

  clap(numberOfHands) {
    if (!numberOfHands) throw new Error('Cannot clap without any hands')
    return `Clap Clap Clap with ${numberOfHands}`
  }

  sum(a, b) {
    return a + b
  }

  slow(ms, value) {
    return after(ms, value)
  }

  echo(...values) {
    return values
  }

  act(payload) {
    this.session.dispatch({ type: 'ACT', payload })
  }

  undef() {}

  nan() {
    return NaN
  }

  big() {
    return 1n
  }

  date() {
    return new Date(0)
  }

  err(message) {
    throw new Error(message)
  }

  throwString(text) {
    throw text
  }

  throwNull() {
    throw null
  }

  rejectLater() {
    return after(5).then(() => {
      throw new Error('nobody listens')
    })
  }
}

startServer(8080, (url) => {
  if (url === '/undef') return undefined
  if (url === '/async-reject') return Promise.reject(new Error('async says no'))
  if (url === '/boom-empty') throw new Error('')
  const session = {
    url,
    onStart() {
      if (url === '/badstart') throw new Error('the start failed')
      session.emit('hi', 'A new session has started')
      session.dispatch({ type: 'ACTION_TYPE', payload: 'Your action data' })
      return url === '/promiseapi' ? after(1, session.api) : undefined
    },
  }
  session.api = new ServerApi(session)
  return session
})
