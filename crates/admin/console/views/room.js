// One room: who is in it, and publishing to it.

import { AskingView, NotAllowed, Problem, Table, html } from '../parts.js'
import { PublishForm } from '../forms.js'
import { age, many } from '../format.js'
import { link } from '../route.js'
import { Forms } from './record.js'
import { whyNot } from './tap.js'

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

  componentWillUnmount() {
    super.componentWillUnmount()
    this.watching?.abort()
  }

  /** Publishes while the tap of the room is open, so that it can be shown what each protocol got. */
  watch = async (publish, event) => {
    const { store } = this.props
    this.watching?.abort()
    this.setState({ forms: null, noForms: null })
    if (!store.may('tap')) return publish()
    const stop = new AbortController()
    this.watching = stop
    const limit = setTimeout(() => stop.abort(), WATCH_LIMIT)
    const records = await store.api.open('/api/tap', this.target, stop.signal).catch((error) => {
      this.setState({ noForms: whyNot(error) })
      return null
    })
    try {
      const done = await publish()
      if (records !== null) this.showForms(records, event, stop, limit)
      return done
    } catch (error) {
      stop.abort()
      throw error
    }
  }

  /** What others publish meanwhile is not what is looked for. */
  async showForms(records, event, stop, limit) {
    let found = null
    try {
      for await (const record of records) {
        if (record.kind !== 'publish' || record.session !== undefined || record.event !== event) continue
        found = record.forms ?? {}
        break
      }
    } catch (error) {
      this.props.store.complain(error)
    } finally {
      clearTimeout(limit)
      stop.abort()
    }
    if (this.watching !== stop) return
    if (found === null) this.setState({ noForms: 'the tap has not shown it' })
    else if (Object.keys(found).length === 0) this.setState({ noForms: 'it is too long for that' })
    else this.setState({ forms: found })
  }

  render({ store }, { answer, error, forms, noForms }) {
    const { realm, room } = this.target
    return html`
      <h1 tabindex="-1">${room}</h1>
      <p>A room of the realm <a href=${link('rooms', [], { realm })}>${realm}</a>.</p>
      <p class="buttons">
        <a class="button" href=${link('sessions', [], { room, realm })}>Its sessions</a>
        ${store.may('tap') && html`<a class="button" href=${link('tap', [], { room, realm })}>Tap it</a>`}
      </p>
      <h2>Members</h2>
      ${store.may(this.verb) ? html`<${Problem} error=${error} />${answer && members(answer)}` : html`<${NotAllowed} verb=${this.verb} />`}
      <h2>Publish to it</h2>
      ${store.may('publish')
        ? html`<${PublishForm} id="to-room" store=${store} to=${{ room, realm }} watch=${this.watch} />`
        : html`<${NotAllowed} verb="publish" />`}
      ${forms && html`<h3>As each protocol got it</h3><${Forms} forms=${forms} />`}
      ${noForms && html`<p class="hint" role="status">What each protocol got cannot be shown: ${noForms}.</p>`}
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
