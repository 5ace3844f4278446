'use strict'
// The npm clients of both generations of SocketCluster behind one face, and what such clients hear.

const { until, within, LIMIT } = require('./wait')

const V1 = ['5.5.2', '8.0.2', '11.2.2', '13.0.1', '14.3.2']
const V2 = ['15.1.0', '17.2.2', '19.2.7', '20.0.2']

const library = (version) => require(`socketcluster-client-${version}`)

/** What is the same for both: what was heard, in order, and waiting for it. */
class Witness {
  constructor(version) {
    this.version = version
    this.heard = []
    this.raw = []
  }

  hears(what, value) {
    this.heard.push([what, value])
  }

  all(what) {
    return this.heard.filter(([name]) => name === what).map(([, value]) => value)
  }

  /** Waits until so much of one kind was heard; gives all of it. */
  async until(what, count = 1) {
    await until(() => `${count} × ${what} at ${this.version}; heard ${JSON.stringify(this.heard)}`, () => this.all(what).length >= count)
    return this.all(what)
  }

  /** Waits until nothing more can come that was sent before. */
  barrier() {
    return this.invoke('echo', 'barrier')
  }
}

/** A client that keeps its token where the test can see it. */
const engine = (client, isOld) => {
  const keep = (value, callback) => {
    if (isOld) callback?.(null, value)
    return Promise.resolve(value)
  }
  return {
    loadToken: (name, callback) => keep(client.token, callback),
    saveToken: (name, token, options, callback) => {
      client.token = token
      return keep(token, typeof options === 'function' ? options : callback)
    },
    removeToken: (name, callback) => {
      const old = client.token
      client.token = null
      return keep(old, callback)
    },
  }
}

const options = (client, port, { query, autoReconnect = false, token = null, ...more }, isOld) => {
  client.token = token
  return { hostname: '127.0.0.1', port, autoReconnect, query, authEngine: engine(client, isOld), ...more }
}

class OldClient extends Witness {
  static async connect(version, port, more = {}) {
    const client = new OldClient(version)
    const Library = library(version)
    client.socket = (Library.create ?? Library.connect)({ ...options(client, port, more, true), multiplex: false })
    const { socket } = client
    for (const name of ['error', 'disconnect', 'connectAbort', 'kickOut', 'subscribeFail', 'authenticate', 'deauthenticate']) {
      socket.on(name, (a, b) => client.hears(name, b === undefined ? a : [a, b]))
    }
    socket.on('connect', (status) => client.hears('connect', status))
    socket.on('raw', (text) => client.raw.push(text))
    if (more.waits !== false) await client.until('connect')
    return client
  }

  get id() {
    return this.socket.id
  }

  invoke(name, data) {
    const answered = new Promise((resolve, reject) => {
      this.socket.emit(name, data, (error, value) => (error ? reject(error) : resolve(value)))
    })
    return within(answered, LIMIT, () => `${name} was not answered to ${this.version}`)
  }

  transmit(name, data) {
    this.socket.emit(name, data)
  }

  answers(name, answer) {
    this.socket.on(name, (data, respond) => {
      const { error, value } = answer(data)
      if (respond) respond(error, value)
    })
  }

  listens(name) {
    this.socket.on(name, (data) => this.hears(name, data))
  }

  async subscribe(channel, more) {
    const failures = this.all('subscribeFail').length
    const wanted = this.socket.subscribe(channel, more)
    wanted.watch((data) => this.hears(`#${channel}`, data))
    if (more?.waits === false) return
    await until(`${this.version} to be in ${channel}`, () => wanted.state === 'subscribed' || this.all('subscribeFail').length > failures)
  }

  unsubscribe(channel) {
    this.socket.unsubscribe(channel)
  }

  publish(channel, data) {
    const done = new Promise((resolve, reject) => {
      this.socket.publish(channel, data, (error, value) => (error ? reject(error) : resolve(value)))
    })
    return within(done, LIMIT, () => `a publish was not answered to ${this.version}`)
  }

  async close() {
    this.socket.disconnect()
  }
}

class NewClient extends Witness {
  static async connect(version, port, more = {}) {
    const client = new NewClient(version)
    client.socket = library(version).create(options(client, port, more, false))
    const { socket } = client
    const watch = async (name, shown = (value) => value) => {
      for await (const value of socket.listener(name)) client.hears(name, shown(value))
    }
    for (const name of ['disconnect', 'connectAbort', 'kickOut', 'subscribeFail', 'authenticate', 'deauthenticate']) watch(name)
    watch('error', ({ error }) => error)
    watch('connect', (status) => ({ ...status }))
    ;(async () => {
      for await (const { message } of socket.listener('raw')) client.raw.push(message)
    })()
    if (more.waits !== false) await client.until('connect')
    return client
  }

  get id() {
    return this.socket.id
  }

  invoke(name, data) {
    return within(this.socket.invoke(name, data), LIMIT, () => `${name} was not answered to ${this.version}`)
  }

  transmit(name, data) {
    this.socket.transmit(name, data)
  }

  async answers(name, answer) {
    for await (const request of this.socket.procedure(name)) {
      const { error, value } = answer(request.data)
      if (error) request.error(error)
      else request.end(value)
    }
  }

  async listens(name) {
    for await (const data of this.socket.receiver(name)) this.hears(name, data)
  }

  async subscribe(channel, more) {
    const failures = this.all('subscribeFail').length
    const wanted = this.socket.subscribe(channel, more)
    ;(async () => {
      for await (const data of wanted) this.hears(`#${channel}`, data)
    })()
    if (more?.waits === false) return
    await until(`${this.version} to be in ${channel}`, () => wanted.state === 'subscribed' || this.all('subscribeFail').length > failures)
  }

  unsubscribe(channel) {
    this.socket.unsubscribe(channel)
  }

  publish(channel, data) {
    return within(this.socket.invokePublish(channel, data), LIMIT, () => `a publish was not answered to ${this.version}`)
  }

  async close() {
    this.socket.disconnect()
  }
}

const isOld = (version) => V1.includes(version)

const connect = (version, port, more) => (isOld(version) ? OldClient : NewClient).connect(version, port, more)

module.exports = { connect, isOld, V1, V2 }
