// One session: what it is, and what can be done to it.

import { AskingView, Facts, NotAllowed, Problem, createRef, html } from '../parts.js'
import { age, count, date } from '../format.js'
import { NameForm, PublishForm, outcome } from '../forms.js'
import { link } from '../route.js'

export class SessionView extends AskingView {
  verb = 'sessions'
  heading = createRef()
  get id() {
    return this.props.state.route.parts[0]
  }

  componentDidUpdate() {
    // What had the focus may be gone with the session.
    if (document.activeElement === document.body) this.heading.current?.focus()
  }

  ask() {
    return this.props.store.api.get(`/api/sessions/${encodeURIComponent(this.id)}`)
  }

  /** Does something to this session, says what, and looks how it is then. */
  act(verb, more, text) {
    const { store } = this.props
    return store.run(async () => {
      const { sessions, cluster } = await store.api.post(`/api/${verb}`, JSON.stringify({ to: { session: this.id }, ...more }))
      this.askNow()
      if (sessions > 0) return text
      if (cluster === 'sent') return 'The node that has it is told.'
      return 'Nothing has changed: the session is not there, or was like that already.'
    })
  }

  join = (room) => this.act('join', { room }, `It is in the room ${room} now.`)

  leave = (room) => this.act('leave', { room }, `It has left the room ${room}.`)

  disconnect = () => {
    const { store } = this.props
    store.ask('Disconnect this session?', `The client of ${this.id} is told goodbye in its protocol's way. It may come back by itself.`, 'Disconnect', async () => {
      const answer = await store.api.post('/api/disconnect', JSON.stringify({ to: { session: this.id } }))
      this.askNow()
      return outcome(answer, 'is ending', 'are ending')
    })
  }

  render({ store }, { answer, error }) {
    const title = html`<h1 tabindex="-1" ref=${this.heading}>Session</h1><p><code>${this.id}</code></p>`
    if (!store.may(this.verb)) return html`${title}<${NotAllowed} verb=${this.verb} />`
    if (error?.code === 'unknown_session') return html`${title}<p class="empty" role="status">It has ended.</p>`
    if (answer === null) return html`${title}<${Problem} error=${error} />`
    return html`
      ${title}
      <${Problem} error=${error} />
      <${Facts} facts=${factsOf(answer)} />
      <p class="buttons">
        ${store.may('disconnect') && html`<button type="button" class="danger" onClick=${this.disconnect}>Disconnect</button>`}
        ${store.may('tap') && html`<a class="button" href=${link('tap', [], { session: answer.id })}>Tap it</a>`}
      </p>
      <h2>Rooms</h2>
      ${this.rooms(answer)}
      ${store.may('publish') && html`
        <h2>Publish to it</h2>
        <${PublishForm} id="to-session" store=${store} to=${{ session: answer.id }} />
      `}
    `
  }

  rooms({ realm, rooms }) {
    const { store } = this.props
    return html`
      ${rooms.length === 0 && html`<p class="empty">It is in no room.</p>`}
      <ul class="rooms">
        ${rooms.map((room) => html`
          <li key=${room}>
            <a href=${link('rooms', [realm, room])}>${room}</a>
            ${store.may('leave') && !isOfIdentity(room) && html`
              <button type="button" class="plain" onClick=${() => this.leave(room)}>Leave<span class="unseen"> ${room}</span></button>
            `}
          </li>
        `)}
      </ul>
      ${store.may('join') && html`<${NameForm} id="join-room" label="Put it into the room" verb="Join" act=${this.join} />`}
    `
  }
}

/** Rooms that say who somebody is; nobody is put into them or taken out. */
const isOfIdentity = (room) => /^(user|site)\(.*\)$/.test(room)

function factsOf(session) {
  const facts = [
    ['Listener', session.listener],
    ['Protocol', session.protocol],
    ['Realm', session.realm],
    ['Address', html`<code>${session.peer}</code>`],
    ['Opened', `${date(session.opened_at)}, ${age((session.seenAt - session.opened_at) / 1000)} ago`],
    ['User', session.user ?? '–'],
    ['Site', session.site ?? '–'],
    ['Calls in flight', count(session.calls_in_flight)],
  ]
  return session.node === undefined ? facts : [...facts, ['Node', html`<code>${session.node}</code>`]]
}
