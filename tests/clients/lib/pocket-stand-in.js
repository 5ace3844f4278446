'use strict'
// A stand-in for the Pocketsocket browser library, written from what that library puts on the wire and does with what
// it receives. Each `load()` is one page: a `pocket.socket` with listeners and sockets of its own.

const WebSocket = require('ws')

const RECONNECT_EVERY = 1000

/** What `setup` makes of its arguments: a list of `{ ip, port, name }`, every address with every port. */
function addresses(address, ports) {
  if (typeof address === 'string' && address.includes(':')) {
    const [ip, port] = address.split(':')
    return [{ ip, port, name: '' }]
  }
  const list = (value) => (Array.isArray(value) ? value : [value])
  return list(address).flatMap((ip) => list(ports).map((port) => ({ ip, port, name: '' })))
}

class Page {
  constructor() {
    this.hooks = new Map()
    this.sockets = []
    this.timers = []
    this.unloaded = false
  }

  setup(address, ports) {
    this.list = addresses(address, ports)
    return this
  }

  /** `channel`: every event of it; `channel.event`: that event; the id of a message sent: its receipt, once. */
  on(name, listener) {
    this.hooks.set(name, [...(this.hooks.get(name) ?? []), listener])
    return this
  }

  connect() {
    for (const [index, address] of this.list.entries()) this.makeSocket(address, index)
  }

  makeSocket(address, index) {
    const uri = `ws://${address.ip}:${address.port}`
    this.call('socket', 'connecting', [address, uri])
    const socket = new WebSocket(uri)
    socket.uri = uri
    socket.connected = false
    this.sockets.push(socket)
    socket.onopen = (event) => {
      socket.connected = true
      this.call('socket', 'open', { socket, data: event })
      // The library means "all are open" but counts the first opening once per address.
      if (this.list.length > 1 && this.sockets.filter((one) => one.connected).length === 1) {
        this.sendToAll('socket.broadcast-all-connected', this.list[1])
      }
    }
    socket.onclose = (event) => {
      socket.connected = false
      this.call('socket', 'close', event)
      if (index === 0 && this.list.length > 1) this.complain(address)
    }
    socket.onmessage = (event) => this.receive(event)
    socket.onerror = (event) => this.call('socket', 'error', event)
  }

  /** The library never reconnects: it only tells the surviving servers, every second and for ever. */
  complain() {
    if (this.unloaded) return
    let attempts = 0
    const survivor = this.sockets.find((socket) => socket.connected)
    this.timers.push(
      setInterval(() => {
        attempts += 1
        const socket = { uri: survivor?.uri, connected: true }
        this.sendToAll('socket.reconnect', { socket, timer: 1, _connectAttempts: attempts })
      }, RECONNECT_EVERY),
    )
  }

  receive(event) {
    let message = false
    try {
      message = JSON.parse(event.data)
    } catch {
      // Text that is not JSON is handed on as the event that brought it.
    }
    if (!message) return this.call('socket', 'message', event)
    if (Object.hasOwn(message, 'socket')) return this.call('socket', message.socket, message)
    if (Object.hasOwn(message, 'message')) {
      const [channel, name] = message.message.split('.')
      return this.call(channel, name, message)
    }
    return this.call('socket', 'message', event)
  }

  call(channel, name, data) {
    for (const listener of this.hooks.get(channel) ?? []) listener(name, data)
    for (const listener of this.hooks.get(data.message) ?? []) listener(data.message, data)
    const once = this.hooks.get(data.messageId) ?? []
    this.hooks.delete(data.messageId)
    for (const listener of once) listener(data.data, data)
  }

  sendTo(socket, message, data) {
    if (!socket.connected) return undefined
    const id = Math.random().toString(32)
    socket.send(JSON.stringify({ id, message, data: data || {} }))
    return id
  }

  /** One message per socket, each with an id of its own; gives the ids. */
  sendToAll(message, data) {
    return this.sockets.map((socket) => this.sendTo(socket, message, data))
  }

  send(message, data) {
    return this.sendToAll(message, data)
  }

  signal(channel, event, data) {
    this.sendToAll(`${channel}.${event}`, data)
  }
}

function load() {
  const page = new Page()
  const unload = () => {
    page.unloaded = true
    for (const timer of page.timers) clearInterval(timer)
    for (const socket of page.sockets) socket.terminate()
  }
  return { pocket: { socket: page }, unload }
}

module.exports = { load }
