// How the gateway does: readiness, charts, listeners.

import { AskingView, Badge, Facts, Table, html } from '../parts.js'
import { Chart } from '../chart.js'
import { LastError, configurationFacts } from '../configuration.js'
import { growth, sumOf, totals } from '../figures.js'
import { age, bytes, count, perSecond, percent, rate, took } from '../format.js'
import { link } from '../route.js'

const CHARTS = [
  { title: 'Sessions', least: 5, format: count, series: [{ name: 'sessions', label: 'open', ink: '--ink-1' }] },
  { title: 'Deliveries', least: 1, format: perSecond, series: [{ name: 'delivered', label: 'delivered', ink: '--ink-1' }] },
  { title: 'Calls', least: 1, format: perSecond, series: [{ name: 'calls', label: 'answered', ink: '--ink-1' }] },
  { title: 'Calls, p99', least: 0.001, format: took, series: [{ name: 'p99', label: 'p99', ink: '--ink-1' }] },
  {
    title: 'Traffic',
    least: 1024,
    format: (value) => (value === null ? bytes(value) : `${bytes(value)}/s`),
    series: [{ name: 'received', label: 'in', ink: '--ink-1' }, { name: 'sent', label: 'out', ink: '--ink-2' }],
  },
  { title: 'Processor', least: 1, format: percent, series: [{ name: 'cpu', label: 'of one processor', ink: '--ink-1' }] },
  { title: 'Memory', least: 1, format: bytes, series: [{ name: 'memory', label: 'resident', ink: '--ink-1' }] },
]

/** How a listener's counter grows. */
const growthOf = ({ previous, overview }, name, read) =>
  growth(previous, overview, (seen) => {
    const listener = seen.listeners.find((one) => one.name === name)
    return listener === undefined ? 0 : read(listener)
  })

export function OverviewView({ store, state }) {
  const { overview, history, theme, link: reached } = state
  if (overview === null) {
    return html`
      <h1 tabindex="-1">Overview</h1>
      <p class="empty">${reached.status === 'refused' ? 'This key may not see the overview; other views may still work.' : 'Waiting for the first figures.'}</p>
    `
  }
  const { process } = overview
  return html`
    <h1 tabindex="-1">Overview</h1>
    <p class="standing">
      <${Badge} kind=${overview.ready ? 'good' : 'bad'}>${overview.ready ? 'Ready' : 'Not ready'}<//>
      ${overview.reasons.map((reason) => html` <span key=${reason} class="reason">${reason}</span>`)}
    </p>
    <${Facts} facts=${factsOf(overview, process)} />
    <${Configuration} store=${store} />
    <div class="tiles">
      ${CHARTS.map((chart) => html`<${Chart} key=${chart.title} ...${chart} history=${history} theme=${theme} />`)}
    </div>
    <h2>Listeners</h2>
    <${Table} caption="Listeners" rows=${overview.listeners} keyOf=${({ name, protocol }) => `${name} ${protocol}`} empty="There are no listeners." columns=${columnsOf(state)} />
  `
}

/** Which configuration is in force, and why the last reload has not put another one in its place. */
class Configuration extends AskingView {
  verb = 'info'
  interval = 4_000

  ask() {
    return this.props.store.api.get('/api/info')
  }

  render(_, { answer }) {
    if (answer === null) return null
    return html`
      <${Facts} facts=${configurationFacts(answer.configuration)} />
      <${LastError} configuration=${answer.configuration} />
    `
  }
}

function factsOf(overview, process) {
  const all = totals(overview)
  const facts = [
    ['Sessions', count(all.sessions)],
    ['Rooms', count(all.rooms)],
    ['Up for', age(overview.uptime_seconds)],
    ['Version', overview.version],
  ]
  if (process !== null) {
    const most = process.max_open_files === null ? '' : ` of ${count(process.max_open_files)}`
    facts.push(['Open files', `${count(process.open_files)}${most}`])
  }
  if (overview.node !== null) facts.push(['Node', html`<code>${overview.node}</code>`])
  return facts
}

function columnsOf(state) {
  const grown = (read) => ({ name }) => growthOf(state, name, read)
  const number = (title, cell) => ({ title, cell, isNumber: true })
  const messages = grown((listener) => listener.received_messages)
  const received = grown((listener) => listener.received_bytes)
  const sent = grown((listener) => listener.sent_bytes)
  return [
    { title: 'Listener', isHead: true, cell: ({ name }) => html`<a href=${link('sessions', [], { listener: name })}>${name}</a>` },
    { title: 'Protocol', cell: ({ protocol }) => protocol },
    { title: 'Realm', cell: ({ realm }) => realm },
    { title: 'Address', cell: ({ address, tls }) => html`${address ?? '–'}${tls && ' (TLS)'}` },
    {
      title: 'State',
      cell: ({ draining, address }) =>
        draining || address === null ? html`<${Badge} kind="bad">Draining<//>` : html`<${Badge} kind="good">Open<//>`,
    },
    number('Sessions', ({ sessions, parked }) => html`${count(sessions)}${parked > 0 && html` <small>+ ${count(parked)} lost</small>`}`),
    number('Opened', ({ opened }) => count(opened)),
    number('Closed', ({ closed }) => count(sumOf(closed))),
    number('Refused', ({ refused }) => count(sumOf(refused))),
    number('Messages/s', (listener) => rate(messages(listener))),
    number('Received', (listener) => `${bytes(received(listener))}/s`),
    number('Sent', (listener) => `${bytes(sent(listener))}/s`),
    number('Limit hits', ({ limit_hits: hits }) => count(sumOf(hits))),
  ]
}
