// The frame around the views: menu, how the gateway is reached, what was done, and the question before something ends.

import { Component, Badge, createRef, html } from './parts.js'
import { Question } from './dialog.js'
import { VIEWS, link } from './route.js'
import { CallsView } from './views/calls.js'
import { ClusterView } from './views/cluster.js'
import { OperationsView } from './views/operations.js'
import { OverviewView } from './views/overview.js'
import { RoomView } from './views/room.js'
import { RoomsView } from './views/rooms.js'
import { SessionView } from './views/session.js'
import { SessionsView } from './views/sessions.js'
import { TapView } from './views/tap.js'
import { TroubleView } from './views/trouble.js'
import { WelcomeView } from './views/welcome.js'

const LINKS = {
  waiting: ['quiet', 'Connecting'],
  live: ['good', 'Live'],
  away: ['bad', 'Gateway away'],
  refused: ['bad', 'Not allowed'],
}

/** The view, what tells it from one that looks alike but is about something else, and its title. */
function viewOf({ route: { view, parts } }) {
  const key = JSON.stringify([view, parts])
  switch (view) {
    case 'sessions':
      return parts.length === 1 ? [SessionView, key, parts[0]] : [SessionsView, key, 'Sessions']
    case 'rooms':
      return parts.length === 2 ? [RoomView, key, parts[1]] : [RoomsView, key, 'Rooms']
    case 'calls':
      return [CallsView, key, 'Calls']
    case 'cluster':
      return [ClusterView, key, 'Cluster']
    case 'trouble':
      return [TroubleView, key, 'Trouble']
    case 'tap':
      return [TapView, key, 'Tap']
    case 'operations':
      return [OperationsView, key, 'Operations']
    default:
      return [OverviewView, key, 'Overview']
  }
}

export class App extends Component {
  main = createRef()

  componentDidUpdate(before) {
    const { state } = this.props
    const [, key, title] = viewOf(state)
    if (viewOf(before.state)[1] === key && (before.state.key === null) === (state.key === null)) return
    // Whoever reads with a screen reader hears where they are, and goes on from there.
    document.title = `${title} – Polyport console`
    this.main.current?.querySelector('h1')?.focus()
  }

  skip = (event) => {
    // The fragment of the address is the view's.
    event.preventDefault()
    this.main.current.focus()
  }

  render({ store, state }) {
    if (state.key === null) return html`<main ref=${this.main}><${WelcomeView} store=${store} state=${state} /></main>`
    const [View, key] = viewOf(state)
    return html`
      <a class="skip" href="#main" onClick=${this.skip}>Skip to the content</a>
      <header class="top">
        <a class="brand" href=${link('overview')}>Polyport</a>
        <nav aria-label="Views">
          <ul>
            ${Object.entries(VIEWS).map(([view, title]) => html`
              <li key=${view}><a href=${link(view)} aria-current=${state.route.view === view ? 'page' : undefined}>${title}</a></li>
            `)}
          </ul>
        </nav>
        <div class="tools">
          <${LinkState} link=${state.link} />
          <${Theme} store=${store} theme=${state.theme} />
          <button type="button" class="plain" onClick=${() => store.signOut()}>Forget the key</button>
        </div>
      </header>
      <${Notice} store=${store} notice=${state.notice} />
      <main id="main" ref=${this.main} tabindex="-1">
        <${View} key=${key} store=${store} state=${state} />
      </main>
      <footer>
        ${state.overview && html`Polyport ${state.overview.version} · key <code>${state.overview.key.name}</code> · `}
        built with <a href="/console/vendor/preact.LICENSE">Preact</a>, <a href="/console/vendor/htm.LICENSE">htm</a> and <a href="/console/vendor/uPlot.LICENSE">uPlot</a>
      </footer>
      ${state.question && html`<${Question} store=${store} question=${state.question} />`}
    `
  }
}

function LinkState({ link: { status, text } }) {
  const [kind, name] = LINKS[status]
  return html`
    <span class="link-state" role="status">
      <${Badge} kind=${kind}>${name}<//>
      ${text && html` <span class="link-text">${text}${status === 'away' ? ' It is tried again and again.' : ''}</span>`}
    </span>
  `
}

function Theme({ store, theme }) {
  return html`
    <label class="theme">
      <span class="unseen">Colours</span>
      <select value=${theme} onChange=${({ target }) => store.setTheme(target.value)}>
        <option value="system">System</option>
        <option value="light">Light</option>
        <option value="dark">Dark</option>
      </select>
    </label>
  `
}

/** The place is always there, so that what comes into it is read out. */
function Notice({ store, notice }) {
  return html`
    <div class="notices" aria-live="polite">
      ${notice && html`
        <div class="notice ${notice.kind}">
          <p>${notice.text}</p>
          <button type="button" class="plain" onClick=${() => store.dismiss()}>Dismiss</button>
        </div>
      `}
    </div>
  `
}
