// Who is connected: search, filters, pages.

import { AskingView, Field, NotAllowed, Options, Problem, Table, html } from '../parts.js'
import { age, count, many } from '../format.js'
import { link } from '../route.js'

const FILTERS = ['search', 'protocol', 'listener', 'room', 'user', 'realm']
const PAGE = 50

/** The filters that the address has. */
const filtersOf = ({ parameters }) => Object.fromEntries(FILTERS.map((name) => [name, parameters[name] ?? '']))

export class SessionsView extends AskingView {
  verb = 'sessions'
  interval = 4_000
  /** Where the pages began that lead here. */
  cursors = []

  constructor(props) {
    super(props)
    this.state = { ...this.state, filters: filtersOf(props.state.route) }
  }

  componentDidUpdate(before) {
    if (before.state.route === this.props.state.route) return
    this.cursors = []
    this.setState({ filters: filtersOf(this.props.state.route), answer: null, error: null })
    this.askNow()
  }

  ask() {
    const filters = filtersOf(this.props.state.route)
    return this.props.store.api.get('/api/sessions', { ...filters, limit: PAGE, cursor: this.cursors.at(-1) })
  }

  submit = (event) => {
    event.preventDefault()
    location.hash = link('sessions', [], this.state.filters)
    this.askNow()
  }

  turn(cursors) {
    this.cursors = cursors
    this.askNow()
  }

  render({ store, state }, { filters, answer, error }) {
    if (!store.may(this.verb)) return html`<h1 tabindex="-1">Sessions</h1><${NotAllowed} verb=${this.verb} />`
    return html`
      <h1 tabindex="-1">Sessions</h1>
      ${this.form(state, filters)}
      <${Problem} error=${error} />
      ${answer && this.page(answer)}
    `
  }

  form({ overview }, filters) {
    const listeners = overview?.listeners ?? []
    const kinds = (read) => [...new Set(listeners.map(read))].sort()
    const set = (name) => ({ target }) => this.setState((state) => ({ filters: { ...state.filters, [name]: target.value } }))
    const text = (name, label) => html`
      <${Field} id="filter-${name}" label=${label}>
        <input id="filter-${name}" value=${filters[name]} autocomplete="off" onInput=${set(name)} />
      <//>
    `
    const choice = (name, label, values) => html`
      <${Field} id="filter-${name}" label=${label}>
        <select id="filter-${name}" value=${filters[name]} onChange=${set(name)}><${Options} any="any" values=${values} /></select>
      <//>
    `
    return html`
      <form class="filters" role="search" aria-label="Sessions" onSubmit=${this.submit}>
        ${text('search', 'Id, user or address')}
        ${choice('protocol', 'Protocol', kinds((listener) => listener.protocol))}
        ${choice('listener', 'Listener', kinds((listener) => listener.name))}
        ${text('room', 'In the room')}
        ${text('user', 'Of the user')}
        ${text('realm', 'Realm')}
        <div class="buttons">
          <button>Find</button>
          <a class="button" href=${link('sessions')}>Clear</a>
        </div>
      </form>
    `
  }

  page({ sessions, next, complete, seenAt }) {
    const { cursors } = this
    const from = cursors.length * PAGE
    return html`
      <p class="summary" role="status">
        ${sessions.length === 0 ? 'No session is like that.' : `${count(from + 1)} to ${count(from + sessions.length)}${next ? ', and more' : ''}`}
        ${complete === false && ' Not all other nodes have answered.'}
      </p>
      <${Table} caption="Sessions" rows=${sessions} keyOf=${({ id }) => id} empty="" columns=${columnsOf(seenAt)} />
      <nav class="buttons" aria-label="Pages">
        <button type="button" disabled=${cursors.length === 0} onClick=${() => this.turn(cursors.slice(0, -1))}>Previous</button>
        <button type="button" disabled=${!next} onClick=${() => this.turn([...cursors, next])}>Next</button>
      </nav>
    `
  }
}

function columnsOf(seenAt) {
  return [
    { title: 'Session', isHead: true, cell: ({ id }) => html`<a href=${link('sessions', [id])}><code>${id}</code></a>` },
    { title: 'Listener', cell: ({ listener }) => listener },
    { title: 'Protocol', cell: ({ protocol }) => protocol },
    { title: 'Address', cell: ({ peer }) => html`<code>${peer}</code>` },
    { title: 'User', cell: ({ user }) => user ?? '–' },
    { title: 'Open for', isNumber: true, cell: ({ opened_at: at }) => age((seenAt - at) / 1000) },
    { title: 'Rooms', cell: ({ realm, rooms }) => roomLinks(realm, rooms) },
  ]
}

const SHOWN_ROOMS = 4

export function roomLinks(realm, rooms) {
  const shown = rooms.slice(0, SHOWN_ROOMS)
  return html`
    ${shown.map((room, at) => html`${at > 0 && ', '}<a key=${room} href=${link('rooms', [realm, room])}>${room}</a>`)}
    ${rooms.length > shown.length && ` and ${many(rooms.length - shown.length, 'more', 'more')}`}
  `
}
