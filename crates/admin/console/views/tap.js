// Live events of a room, a session or a listener, as the gateway reads them and as each protocol writes them.

import { Component, Field, NotAllowed, Options, html } from '../parts.js'
import { count, many } from '../format.js'
import { link } from '../route.js'
import { Row } from './record.js'

/** Rows that are kept. */
const KEPT = 500

/** Time in which events are gathered before they are shown. */
const GATHERING = 100

const KINDS = ['room', 'session', 'listener']

/** What there is before a tap has begun. */
const NOTHING = { rows: [], problem: null, ending: null, missed: 0, forgotten: 0, isPaused: false, isQuiet: false }

/** Why there is no tap, and what can be done about it. */
export function whyNot({ code, message }) {
  return code === 'too_many_taps' ? `${message}: stop one of them, or raise api.tap.taps in the configuration` : message
}

/** What the address asks for. */
function targetOf({ parameters }) {
  const kind = KINDS.find((name) => parameters[name]) ?? 'room'
  return { kind, name: parameters[kind] ?? '', realm: parameters.realm ?? 'default' }
}

export class TapView extends Component {
  /** Rows that came while the view is paused; they are shown when it goes on. */
  held = []
  /** Rows that came just now. */
  fresh = []
  number = 0
  timer = null

  constructor(props) {
    super(props)
    this.state = { ...NOTHING, target: targetOf(props.state.route), filter: '', status: 'stopped' }
  }

  componentDidMount() {
    if (this.state.target.name !== '') this.start()
  }

  componentDidUpdate(before) {
    if (before.state.route === this.props.state.route) return
    this.stop()
    this.setState({ target: targetOf(this.props.state.route) }, () => this.state.target.name !== '' && this.start())
  }

  componentWillUnmount() {
    this.stopping?.abort()
    clearTimeout(this.timer)
  }

  submit = (event) => {
    event.preventDefault()
    const { kind, name, realm } = this.state.target
    const wanted = link('tap', [], { [kind]: name, realm: kind === 'room' ? realm : '' })
    if (location.hash === wanted) this.start()
    else location.hash = wanted
  }

  async start() {
    this.stopping?.abort()
    const stopping = new AbortController()
    this.stopping = stopping
    this.held = []
    this.fresh = []
    this.setState({ ...NOTHING, status: 'opening' })
    const { kind, name, realm } = this.state.target
    try {
      const records = await this.props.store.api.open('/api/tap', { [kind]: name, realm: kind === 'room' ? realm : undefined }, stopping.signal)
      this.setState({ status: 'running' })
      let reason = null
      for await (const record of records) {
        if (record.kind === 'end') reason = record.reason
        else this.got(record)
      }
      if (this.stopping === stopping && !stopping.signal.aborted) this.setState({ status: 'stopped', ...endOf(kind, reason) })
    } catch (error) {
      if (this.stopping === stopping && !stopping.signal.aborted) this.setState({ status: 'stopped', problem: whyNot(error) })
    }
  }

  stop = () => {
    this.stopping?.abort()
    this.setState({ status: 'stopped' })
  }

  pause = () => {
    const { isPaused } = this.state
    if (isPaused) {
      this.add(this.held)
      this.held = []
    }
    this.setState({ isPaused: !isPaused })
  }

  got(record) {
    const isQuiet = record.kind === 'alive'
    this.setState((state) => (state.isQuiet === isQuiet ? null : { isQuiet }))
    if (isQuiet) return
    if (record.kind === 'dropped') {
      this.setState(({ missed }) => ({ missed: missed + record.count }))
      return
    }
    this.number += 1
    this.fresh.unshift({ ...record, number: this.number })
    // Many events are one change of the page.
    this.timer ??= setTimeout(this.show, GATHERING)
  }

  show = () => {
    this.timer = null
    const fresh = this.fresh.splice(0)
    if (!this.state.isPaused) {
      this.add(fresh)
      return
    }
    this.held = [...fresh, ...this.held].slice(0, KEPT)
    this.forceUpdate()
  }

  /** The newest is on top. */
  add(rows) {
    this.setState((state) => {
      const all = [...rows, ...state.rows]
      return { rows: all.slice(0, KEPT), forgotten: state.forgotten + Math.max(all.length - KEPT, 0) }
    })
  }

  render({ store }, state) {
    if (!store.may('tap')) return html`<h1 tabindex="-1">Tap</h1><${NotAllowed} verb="tap" />`
    const { status, rows, filter, isPaused, problem } = state
    const wanted = filter.toLowerCase()
    const shown = wanted === '' ? rows : rows.filter((row) => JSON.stringify(row).toLowerCase().includes(wanted))
    return html`
      <h1 tabindex="-1">Tap</h1>
      <p>What passes, as the gateway reads it and as each protocol sees it. It costs the gateway a little while it runs.</p>
      ${this.form(state)}
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
      <div class="buttons">
        <button type="button" disabled=${status !== 'running' && !isPaused} onClick=${this.pause}>${isPaused ? 'Go on' : 'Pause'}</button>
        <button type="button" disabled=${status === 'stopped'} onClick=${this.stop}>Stop</button>
        <button type="button" disabled=${rows.length === 0} onClick=${() => this.setState({ rows: [], forgotten: 0 })}>Clear</button>
      </div>
      <${Field} id="tap-filter" label="Show only rows with this text">
        <input id="tap-filter" value=${filter} autocomplete="off" onInput=${({ target }) => this.setState({ filter: target.value })} />
      <//>
      <p class="summary" role="status">${summaryOf(state, shown.length, this.held.length)}</p>
      <ol class="tap" aria-label="Events, the newest first">
        ${shown.map((row) => html`<${Row} key=${row.number} row=${row} />`)}
      </ol>
    `
  }

  form({ target: { kind, name, realm } }) {
    const { overview } = this.props.state
    const set = (field) => ({ target }) => this.setState((state) => ({ target: { ...state.target, [field]: target.value } }))
    const listeners = (overview?.listeners ?? []).map((listener) => listener.name)
    const realms = [...new Set([...(overview?.realms ?? []).map((one) => one.name), realm])]
    return html`
      <form class="filters" aria-label="What to tap" onSubmit=${this.submit}>
        <${Field} id="tap-kind" label="Tap">
          <select id="tap-kind" value=${kind} onChange=${set('kind')}><${Options} values=${KINDS} /></select>
        <//>
        <${Field} id="tap-name" label=${kind === 'session' ? 'Its id' : 'Its name'}>
          <input id="tap-name" value=${name} required autocomplete="off" list=${kind === 'listener' ? 'tap-listeners' : undefined} onInput=${set('name')} />
        <//>
        <datalist id="tap-listeners">${listeners.map((listener) => html`<option key=${listener} value=${listener}></option>`)}</datalist>
        ${kind === 'room' && html`
          <${Field} id="tap-realm" label="Realm">
            <select id="tap-realm" value=${realm} onChange=${set('realm')}><${Options} values=${realms} /></select>
          <//>
        `}
        <div class="buttons"><button>Start</button></div>
      </form>
    `
  }
}

/** How a tap has ended: with the session that it was about, or because the gateway wants so. */
function endOf(kind, reason) {
  if (reason === null && kind === 'session') return { ending: 'The session has ended.' }
  return { problem: reason === null ? 'The gateway has ended the tap.' : `The gateway has ended the tap: ${reason}.` }
}

function summaryOf({ status, rows, ending, missed, forgotten, isPaused, isQuiet }, shown, held) {
  const waiting = many(held, 'event waits', 'events wait')
  const running = isPaused ? `Paused; ${waiting}.` : isQuiet ? 'Live. Nothing happens at the moment.' : 'Live.'
  const parts = [{ opening: 'Opening the tap.', running, stopped: 'Not running.' }[status]]
  if (ending !== null) parts.push(ending)
  if (isPaused && status === 'stopped') parts.push(`${waiting}.`)
  if (rows.length > 0) parts.push(`${count(shown)} of ${many(rows.length, 'event')} shown.`)
  if (forgotten > 0) parts.push(`${many(forgotten, 'older one is', 'older ones are')} no longer kept.`)
  if (missed > 0) parts.push(`The gateway has left out ${many(missed, 'event')}, since there were too many.`)
  return parts.join(' ')
}
