// Which rooms there are, how many are in them, and how much goes through them.

import { AskingView, Field, NotAllowed, Options, Problem, Table, html } from '../parts.js'
import { count, rate } from '../format.js'
import { link } from '../route.js'

const PAGE = 100

const filtersOf = ({ parameters }) => ({ realm: parameters.realm ?? 'default', prefix: parameters.prefix ?? '' })

export class RoomsView extends AskingView {
  verb = 'rooms'
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
    return this.props.store.api.get('/api/rooms', { ...filtersOf(this.props.state.route), limit: PAGE, cursor: this.cursors.at(-1) })
  }

  submit = (event) => {
    event.preventDefault()
    location.hash = link('rooms', [], this.state.filters)
  }

  turn(cursors) {
    this.cursors = cursors
    this.askNow()
  }

  render({ store, state }, { filters, answer, before, error }) {
    if (!store.may(this.verb)) return html`<h1 tabindex="-1">Rooms</h1><${NotAllowed} verb=${this.verb} />`
    const realms = [...new Set([...(state.overview?.realms ?? []).map((realm) => realm.name), filters.realm])]
    const set = (name) => ({ target }) => this.setState({ filters: { ...this.state.filters, [name]: target.value } })
    return html`
      <h1 tabindex="-1">Rooms</h1>
      <form class="filters" role="search" aria-label="Rooms" onSubmit=${this.submit}>
        <${Field} id="rooms-realm" label="Realm">
          <select id="rooms-realm" value=${filters.realm} onChange=${set('realm')}><${Options} values=${realms} /></select>
        <//>
        <${Field} id="rooms-prefix" label="Name begins with">
          <input id="rooms-prefix" value=${filters.prefix} autocomplete="off" onInput=${set('prefix')} />
        <//>
        <div class="buttons"><button>Find</button></div>
      </form>
      <${Problem} error=${error} />
      ${answer && this.page(answer, before)}
    `
  }

  page(answer, before) {
    const { cursors } = this
    const known = new Map(before?.realm === answer.realm ? before.rooms.map((room) => [room.name, room.events]) : [])
    const seconds = before === null ? 0 : (answer.seenAt - before.seenAt) / 1000
    const events = ({ name, events: now }) => (known.has(name) && seconds > 0 ? Math.max(now - known.get(name), 0) / seconds : null)
    const columns = [
      { title: 'Room', isHead: true, cell: ({ name }) => html`<a href=${link('rooms', [answer.realm, name])}>${name}</a>` },
      { title: 'Members', isNumber: true, cell: ({ members }) => count(members) },
      { title: 'Events here', isNumber: true, cell: ({ events: all }) => count(all) },
      { title: 'Events/s', isNumber: true, cell: (room) => rate(events(room)) },
    ]
    return html`
      <p class="summary" role="status">
        ${answer.rooms.length === 0 ? 'There is no such room.' : `${count(cursors.length * PAGE + 1)} to ${count(cursors.length * PAGE + answer.rooms.length)}${answer.next ? ', and more' : ''}`}
        ${answer.complete === false && ' Not all other nodes have answered.'}
      </p>
      <${Table} caption="Rooms" rows=${answer.rooms} keyOf=${({ name }) => name} empty="" columns=${columns} />
      <nav class="buttons" aria-label="Pages">
        <button type="button" disabled=${cursors.length === 0} onClick=${() => this.turn(cursors.slice(0, -1))}>Previous</button>
        <button type="button" disabled=${!answer.next} onClick=${() => this.turn([...cursors, answer.next])}>Next</button>
      </nav>
    `
  }
}
