// What goes wrong: readiness, clients that read too slowly, connections that were turned away, limits.

import { NotAllowed, Table, html } from '../parts.js'
import { bytes, count, date, percent, words } from '../format.js'
import { link } from '../route.js'

/** What reasons mean, for those who have not read the documentation. */
const REASONS = {
  sessions: 'the gateway holds as many sessions as it may (limits.sessions)',
  listener_sessions: 'the listener holds as many sessions as it may',
  address_sessions: 'the address has as many sessions as it may',
  listener_connections: 'the listener has as many connections without a session as it may',
  address_connections: 'the address has as many connections without a session as it may',
  handshake_timeout: 'the opening took too long',
  tls: 'the TLS handshake failed',
  proxy_header: 'the PROXY header was missing or malformed',
  http_request: 'the request was no opening of this protocol',
  token: 'the token was missing or no good',
  nobody: 'a backend knows no such client',
  backend_failed: 'a backend refused with an error',
  backend_unavailable: 'a backend that must be asked could not be',
  cut_off: 'other nodes are out of reach',
}

export function TroubleView({ state: { overview } }) {
  if (overview === null) return html`<h1 tabindex="-1">Trouble</h1><p class="empty">Waiting for the first figures.</p>`
  const { reasons, slow, refusals } = overview
  return html`
    <h1 tabindex="-1">Trouble</h1>
    <h2>Readiness</h2>
    ${reasons.length === 0 ? html`<p class="empty">The gateway is ready.</p>` : html`<ul>${reasons.map((reason) => html`<li key=${reason}>${reason}</li>`)}</ul>`}
    <h2>Slow consumers</h2>
    ${slow === null ? html`<${NotAllowed} verb="sessions" />` : html`<${Slow} slow=${slow} />`}
    <h2>Recent refusals</h2>
    ${refusals === null ? html`<${NotAllowed} verb="sessions" />` : html`
      <${Table} caption="Recent refusals" rows=${refusals.map((refusal, at) => ({ ...refusal, key: refusals.length - at }))} keyOf=${({ key }) => key} empty="Nobody was turned away lately." columns=${REFUSALS} />
    `}
    <h2>Limits and ends</h2>
    <${Table} caption="Limits and ends" rows=${ends(overview)} keyOf=${({ name, kind, label }) => `${name} ${kind} ${label}`} empty="No limit was hit, and no session has ended." columns=${ENDS} />
  `
}

function Slow({ slow: { waiting, closed } }) {
  return html`
    <${Table} caption="Sessions for which most waits" rows=${waiting} keyOf=${({ session }) => session} empty="Nothing waits for any session." columns=${WAITING} />
    ${closed.length > 0 && html`
      <h3>Ended, because too much waited</h3>
      <${Table} caption="Sessions ended because too much waited" rows=${closed} keyOf=${({ session }) => session} empty="" columns=${CLOSED} />
    `}
  `
}

const LISTENER = { title: 'Listener', cell: ({ listener }) => listener }
const PEER = { title: 'Address', cell: ({ peer }) => (peer === null ? 'not known' : html`<code>${peer}</code>`) }
const TIME = { title: 'Time', isHead: true, cell: ({ at }) => date(at) }

const WAITING = [
  { title: 'Session', isHead: true, cell: ({ session }) => html`<a href=${link('sessions', [session])}><code>${session}</code></a>` },
  LISTENER,
  PEER,
  { title: 'Waiting', isNumber: true, cell: ({ bytes: waiting }) => bytes(waiting) },
  { title: 'Of its outbox', isNumber: true, cell: ({ bytes: waiting, limit }) => percent((100 * waiting) / limit) },
]

const CLOSED = [TIME, { title: 'Session', cell: ({ session }) => html`<code>${session}</code>` }, LISTENER, PEER]

const REFUSALS = [TIME, LISTENER, PEER, { title: 'Reason', cell: ({ reason }) => html`<code>${reason}</code>: ${REASONS[reason] ?? words(reason)}` }]

const ENDS = [
  { title: 'Listener', isHead: true, cell: ({ name }) => name },
  { title: 'What', cell: ({ kind }) => kind },
  { title: 'Reason', cell: ({ label }) => words(label) },
  { title: 'Times', isNumber: true, cell: ({ times }) => count(times) },
]

function ends({ listeners }) {
  const kinds = [['limit hit', 'limit_hits'], ['connection refused', 'refused'], ['session ended', 'closed']]
  return listeners.flatMap((listener) =>
    kinds.flatMap(([kind, field]) => Object.entries(listener[field]).map(([label, times]) => ({ name: listener.name, kind, label, times }))),
  )
}
