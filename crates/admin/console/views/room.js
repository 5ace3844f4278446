// One room: who is in it, and publishing to it.

import { AskingView, NotAllowed, Problem, Table, html } from '../parts.js'
import { PublishForm } from '../forms.js'
import { age, many } from '../format.js'
import { link } from '../route.js'
import { Forms } from './tap.js'

/** Members that are shown. */
const SHOWN = 100

/** Time in which the tap shows what was published. */
const WATCH_LIMIT = 3_000

export class RoomView extends AskingView {
  verb = 'presence'
  get target() {
    const [realm, room] = this.props.state.route.parts
    return { realm, room }
  }

  ask() {
    return this.props.store.api.get('/api/presence', { ...this.target, limit: SHOWN })
  }

  /** Publishes while the tap of the room is open, so that it can be shown what each protocol got. */
  watch = async (publish) => {
    this.setState({ forms: null })
    const stop = new AbortController()
    const limit = setTimeout(() => stop.abort(), WATCH_LIMIT)
    const events = await this.props.store.api.open('/api/tap', this.target, stop.signal).catch(() => null)
    try {
      const done = await publish()
      if (events !== null) this.showForms(events, stop, limit)
      return done
    } catch (error) {
      stop.abort()
      throw error
    }
  }

  async showForms(events, stop, limit) {
    try {
      for await (const event of events) {
        if (event.kind !== 'publish' || !event.forms) continue
        this.setState({ forms: event.forms })
        break
      }
    } catch (error) {
      this.props.store.complain(error)
    } finally {
      clearTimeout(limit)
      stop.abort()
    }
  }

  render({ store, state }, { answer, error, forms }) {
    const { realm, room } = this.target
    return html`
      <h1 tabindex="-1">${room}</h1>
      <p>A room of the realm <a href=${link('rooms', [], { realm })}>${realm}</a>.</p>
      <p class="buttons">
        <a class="button" href=${link('sessions', [], { room, realm })}>Its sessions</a>
        <a class="button" href=${link('tap', [], { room, realm })}>Tap it</a>
      </p>
      <h2>Members</h2>
      ${store.may(this.verb) ? html`<${Problem} error=${error} />${answer && members(answer)}` : html`<${NotAllowed} verb=${this.verb} />`}
      <h2>Publish to it</h2>
      ${store.may('publish')
        ? html`<${PublishForm} id="to-room" store=${store} to=${{ room, realm }} watch=${this.watch} />`
        : html`<${NotAllowed} verb="publish" />`}
      ${forms && html`<h3>As each protocol got it</h3><${Forms} forms=${forms} />`}
    `
  }
}

function members({ members: list, count: all, next, complete, seenAt }) {
  const columns = [
    { title: 'Session', isHead: true, cell: ({ session }) => html`<a href=${link('sessions', [session])}><code>${session}</code></a>` },
    { title: 'User', cell: ({ user }) => user ?? '–' },
    { title: 'In it for', isNumber: true, cell: ({ since }) => age((seenAt - since) / 1000) },
    { title: 'Node', cell: ({ node }) => (node === undefined ? 'this one' : html`<code>${node}</code>`) },
  ]
  return html`
    <p class="summary" role="status">
      ${many(all, 'session')}${next && `, of which the first ${list.length} are shown`}.
      ${complete === false && ' Not all other nodes have answered.'}
    </p>
    <${Table} caption="Members" rows=${list} keyOf=${({ session }) => session} empty="" columns=${columns} />
  `
}
