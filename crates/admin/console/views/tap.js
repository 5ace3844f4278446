// Live events of a room, a session or a listener, as the gateway reads them and as each protocol writes them.

import { Component, Field, Options, html } from '../parts.js'
import { count, many, time } from '../format.js'
import { link } from '../route.js'

/** Rows that are kept. */
const KEPT = 500

/** Time in which events are gathered before they are shown. */
const GATHERING = 100

const KINDS = ['room', 'session', 'listener']

const NO_TAP = 'This gateway has no tap.'

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
    const target = targetOf(props.state.route)
    this.state = { target, rows: [], filter: '', isPaused: false, status: 'stopped', problem: null, missed: 0, forgotten: 0 }
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
    this.setState({ rows: [], status: 'opening', problem: null, missed: 0, forgotten: 0, isPaused: false })
    const { kind, name, realm } = this.state.target
    try {
      const events = await this.props.store.api.open('/api/tap', { [kind]: name, realm: kind === 'room' ? realm : undefined }, stopping.signal)
      this.setState({ status: 'running' })
      for await (const event of events) this.got(event)
      if (this.stopping === stopping) this.setState({ status: 'stopped', problem: stopping.signal.aborted ? null : 'The gateway has ended the tap.' })
    } catch (error) {
      if (this.stopping !== stopping || stopping.signal.aborted) return
      const isMissing = error.status === 404 && (error.code === 'not_found' || error.code === 'no_api')
      this.setState({ status: 'stopped', problem: isMissing ? NO_TAP : error.message })
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

  got(event) {
    if (event.kind === 'dropped') {
      this.setState(({ missed }) => ({ missed: missed + (event.count ?? 1) }))
      return
    }
    this.number += 1
    this.fresh.unshift({ ...event, number: this.number })
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

  render(_, state) {
    const { status, rows, filter, isPaused, problem } = state
    const wanted = filter.toLowerCase()
    const shown = wanted === '' ? rows : rows.filter((row) => JSON.stringify(row).toLowerCase().includes(wanted))
    return html`
      <h1 tabindex="-1">Tap</h1>
      <p>What passes, as the gateway reads it and as each protocol sees it. It costs the gateway a little while it runs.</p>
      ${this.form(state)}
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
      <div class="buttons">
        <button type="button" disabled=${status !== 'running'} onClick=${this.pause}>${isPaused ? 'Go on' : 'Pause'}</button>
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

function summaryOf({ status, rows, missed, forgotten, isPaused }, shown, held) {
  const parts = [{ opening: 'Opening the tap.', running: isPaused ? `Paused; ${many(held, 'event waits', 'events wait')}.` : 'Live.', stopped: 'Not running.' }[status]]
  if (rows.length > 0) parts.push(`${count(shown)} of ${many(rows.length, 'event')} shown.`)
  if (forgotten > 0) parts.push(`${many(forgotten, 'older one is', 'older ones are')} no longer kept.`)
  if (missed > 0) parts.push(`The gateway has left out ${many(missed, 'event')}, since there were too many.`)
  return parts.join(' ')
}

/** What a row says of itself besides what it is about. */
const SHOWN_ELSEWHERE = ['number', 'at', 'kind', 'forms', 'args', 'event']

class Row extends Component {
  state = { isOpen: false }

  shouldComponentUpdate(_, { isOpen }) {
    return isOpen !== this.state.isOpen
  }

  render({ row }, { isOpen }) {
    const more = Object.entries(row).filter(([name, value]) => !SHOWN_ELSEWHERE.includes(name) && value !== null)
    const args = row.args === undefined ? '' : JSON.stringify(row.args)
    return html`
      <li>
        <details onToggle=${({ target }) => this.setState({ isOpen: target.open })}>
          <summary>
            <time>${row.at === undefined ? '' : time(row.at)}</time>${' '}
            <span class="kind ${row.kind}">${row.kind}</span>${' '}
            <span class="event">${row.event ?? ''}</span>${' '}
            <code>${args}</code>${' '}
            <span class="about">${[row.room, row.session].filter(Boolean).join(' · ')}</span>
          </summary>
          ${isOpen && html`
            <dl class="facts">
              ${more.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd><code>${typeof value === 'string' ? value : JSON.stringify(value)}</code></dd></div>`)}
            </dl>
            ${row.args !== undefined && html`<h2 class="small">Arguments</h2><pre tabindex="0">${JSON.stringify(row.args, null, 2)}</pre>`}
            ${row.forms && html`<h2 class="small">As each protocol sees it</h2><${Forms} forms=${row.forms} />`}
          `}
        </details>
      </li>
    `
  }
}

/** One event in the forms of several protocols. */
export function Forms({ forms }) {
  return html`
    <dl class="forms">
      ${Object.entries(forms).map(([protocol, form]) => html`
        <div key=${protocol}><dt>${protocol}</dt><dd><pre tabindex="0">${typeof form === 'string' ? form : JSON.stringify(form)}</pre></dd></div>
      `)}
    </dl>
  `
}
