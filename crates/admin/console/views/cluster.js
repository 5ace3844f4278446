// What the gateway leans on: other nodes, and the backends that answer calls.

import { Badge, Facts, Table, html } from '../parts.js'
import { growth, quantile, since, sumOf } from '../figures.js'
import { count, perSecond, took, words } from '../format.js'

export function ClusterView({ state: { overview, previous } }) {
  if (overview === null) return html`<h1 tabindex="-1">Cluster</h1><p class="empty">Waiting for the first figures.</p>`
  return html`
    <h1 tabindex="-1">Cluster</h1>
    <h2>Backplane</h2>
    ${overview.backplane === null
      ? html`<p class="empty">This gateway is alone: there is no backplane in its configuration.</p>`
      : html`<${Backplane} overview=${overview} previous=${previous} />`}
    <h2>Backends</h2>
    <${Table} caption="Backends" rows=${overview.backends} keyOf=${({ name }) => name} empty="There are no scripts and no services in its configuration." columns=${columnsOf(previous, overview)} />
  `
}

function Backplane({ overview, previous }) {
  const { up, links, subscriptions, published, received } = overview.backplane
  const grown = (read) => perSecond(growth(previous, overview, (seen) => (seen.backplane === null ? 0 : sumOf(read(seen.backplane)))))
  return html`
    <p class="standing"><${Badge} kind=${up ? 'good' : 'bad'}>${up ? 'Up' : 'Out of reach'}<//></p>
    <${Facts} facts=${[
      ['Node', html`<code>${overview.node ?? '–'}</code>`],
      ['Connected', `${count(links)} ×`],
      ['Subscriptions', count(subscriptions)],
      ['Published', `${outcomes(published)} (${grown((it) => it.published)})`],
      ['Received', `${outcomes(received)} (${grown((it) => it.received)})`],
    ]} />
  `
}

const outcomes = (counts) =>
  Object.keys(counts).length === 0 ? 'nothing' : Object.entries(counts).map(([outcome, number]) => `${count(number)} ${words(outcome)}`).join(', ')

function columnsOf(previous, overview) {
  const number = (title, cell) => ({ title, cell, isNumber: true })
  const before = (name) => previous?.backends.find((backend) => backend.name === name)
  const answered = ({ name }) => growth(previous, overview, (seen) => {
    const backend = seen.backends.find((one) => one.name === name)
    return backend === undefined ? 0 : sumOf(backend.outcomes)
  })
  return [
    { title: 'Backend', isHead: true, cell: ({ name }) => name },
    { title: 'Kind', cell: ({ kind }) => kind },
    {
      title: 'State',
      cell: ({ available }) => (available ? html`<${Badge} kind="good">Available<//>` : html`<${Badge} kind="bad">Circuit open<//>`),
    },
    number('In flight', ({ in_flight: inFlight }) => count(inFlight)),
    number('Waiting', ({ waiting }) => count(waiting)),
    number('Answers/s', (backend) => perSecond(answered(backend))),
    number('99 % took', ({ durations }) => took(quantile(durations, 0.99))),
    number('99 % took just now', ({ name, durations }) => took(quantile(since(before(name)?.durations, durations), 0.99))),
    number('Restarts', ({ restarts }) => count(restarts)),
    { title: 'Outcomes', cell: ({ outcomes: counts }) => outcomes(counts) },
  ]
}
