// What the page knows, and all that changes it.

import { Api } from './api.js'
import { pointBetween } from './figures.js'
import { Poll } from './poll.js'
import { readRoute } from './route.js'

/** Points that charts go back: ten minutes. */
const HISTORY = 300

const THEME = 'polyport-theme'

export class Store {
  #watchers = new Set()
  /** How far the gateway's clock is ahead of this one, in milliseconds. */
  #ahead = 0
  #keepKey
  #poll = new Poll(() => this.#look())

  constructor({ key, keepKey }) {
    this.#keepKey = keepKey
    this.api = new Api(key)
    this.state = {
      key,
      route: readRoute(location.hash),
      theme: localStorage.getItem(THEME) ?? 'system',
      /** The last overview, the one before it, and what charts show. */
      overview: null,
      previous: null,
      history: [],
      /** What became of the last look: `waiting`, `live`, `away`, or `refused`, with a text. */
      link: { status: 'waiting', text: '' },
      notice: null,
      question: null,
    }
  }

  subscribe(watcher) {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  set(changes) {
    this.state = { ...this.state, ...changes }
    for (const watcher of this.#watchers) watcher()
  }

  start() {
    this.setTheme(this.state.theme)
    addEventListener('hashchange', () => this.set({ route: readRoute(location.hash), notice: null, question: null }))
    if (this.state.key !== null) this.#poll.start()
  }

  /** The time that the gateway has. */
  now() {
    return Date.now() + this.#ahead
  }

  // --- the key --------------------------------------------------------------------------------------------------------

  signIn(key) {
    this.#keepKey(key)
    this.api = new Api(key)
    this.set({ key, link: { status: 'waiting', text: '' }, notice: null })
    this.#poll.start()
  }

  signOut(text = '') {
    this.#poll.stop()
    this.#keepKey(null)
    this.api = new Api(null)
    this.set({ key: null, overview: null, previous: null, history: [], link: { status: 'waiting', text } })
  }

  /** Whether the key may do that, as far as that is known; the gateway decides. */
  may(verb) {
    const { overview } = this.state
    return overview === null || overview.key.verbs.includes(verb)
  }

  /** Whether the key may address certain rooms only, and so nothing that concerns everybody. */
  isConfined() {
    return this.state.overview?.key.bounded === true
  }

  // --- looking --------------------------------------------------------------------------------------------------------

  async #look() {
    const { api } = this
    try {
      const overview = await api.get('/api/overview')
      if (api === this.api) this.#saw(overview)
    } catch (error) {
      if (api === this.api) this.#failed(error)
      throw error
    }
  }

  #saw(overview) {
    this.#ahead = overview.at - Date.now()
    const { overview: previous, history } = this.state
    const isSameRun = previous !== null && previous.uptime_seconds <= overview.uptime_seconds
    const point = isSameRun ? pointBetween(previous, overview, history.at(-1)) : null
    this.set({
      overview,
      previous: isSameRun ? previous : null,
      history: point === null ? history : [...history.slice(1 - HISTORY), point],
      link: { status: 'live', text: '' },
    })
  }

  #failed(error) {
    if (error.status === 401) {
      this.signOut('The gateway does not know this key.')
    } else if (error.code === 'no_api' && error.status === 404) {
      this.signOut('This gateway has no server API, and the console shows what that says. Add an [api] table to its configuration and start it again.')
    } else if (error.status === 0) {
      this.set({ link: { status: 'away', text: error.message } })
    } else {
      this.set({ link: { status: 'refused', text: error.message } })
    }
  }

  // --- telling and asking ---------------------------------------------------------------------------------------------

  tell(text) {
    this.set({ notice: { kind: 'good', text } })
  }

  complain(error) {
    this.set({ notice: { kind: 'bad', text: error.message } })
  }

  dismiss() {
    this.set({ notice: null })
  }

  /** Asks before `action` is done, which returns a promise. */
  ask(title, text, verb, action) {
    this.set({ question: { title, text, verb, action } })
  }

  async answer(isYes) {
    const { question } = this.state
    this.set({ question: null })
    if (isYes) await this.run(question.action)
  }

  /** Does something that can fail, and shows how it went: `action` gives the text. */
  async run(action) {
    try {
      this.tell(await action())
      return true
    } catch (error) {
      this.complain(error)
      return false
    }
  }

  // --- how it looks ---------------------------------------------------------------------------------------------------

  setTheme(theme) {
    localStorage.setItem(THEME, theme)
    if (theme === 'system') document.documentElement.removeAttribute('data-theme')
    else document.documentElement.dataset.theme = theme
    this.set({ theme })
  }
}
