// Calls: what became of them and how long they took.

import { Table, html } from '../parts.js'
import { growth, quantile, since, sumOf } from '../figures.js'
import { count, percent, perSecond, took, words } from '../format.js'

export function CallsView({ state: { overview, previous } }) {
  if (overview === null) return html`<h1 tabindex="-1">Calls</h1><p class="empty">Waiting for the first figures.</p>`
  const before = (name) => previous?.listeners.find((listener) => listener.name === name)?.calls.durations
  const number = (title, cell) => ({ title, cell, isNumber: true })
  const all = ({ calls }) => sumOf(calls.outcomes)
  const answered = ({ name }) => growth(previous, overview, (seen) => {
    const listener = seen.listeners.find((one) => one.name === name)
    return listener === undefined ? 0 : all(listener)
  })
  const recent = (listener, part) => quantile(since(before(listener.name), listener.calls.durations), part)
  const columns = [
    { title: 'Listener', isHead: true, cell: ({ name }) => name },
    { title: 'Protocol', cell: ({ protocol }) => protocol },
    number('Answered', (listener) => count(all(listener))),
    number('Answered/s', (listener) => perSecond(answered(listener))),
    number('Failed', (listener) => failed(listener.calls.outcomes)),
    number('Half took', (listener) => took(quantile(listener.calls.durations, 0.5))),
    number('99 % took', (listener) => took(quantile(listener.calls.durations, 0.99))),
    number('99 % took just now', (listener) => took(recent(listener, 0.99))),
  ]
  const outcomes = overview.listeners.flatMap(({ name, calls }) =>
    Object.entries(calls.outcomes).map(([outcome, number]) => ({ name, outcome, number })),
  )
  return html`
    <h1 tabindex="-1">Calls</h1>
    <p>Times are from buckets, so that they are near what they say. What is above the last bucket is shown as its bound, 30 s.</p>
    <h2>By listener</h2>
    <${Table} caption="Calls by listener" rows=${overview.listeners} keyOf=${({ name }) => name} empty="There are no listeners." columns=${columns} />
    <h2>By outcome</h2>
    <${Table} caption="Calls by outcome" rows=${outcomes} keyOf=${({ name, outcome }) => `${name} ${outcome}`} empty="Nothing was called yet." columns=${OUTCOMES} />
  `
}

const OUTCOMES = [
  { title: 'Listener', isHead: true, cell: ({ name }) => name },
  { title: 'Outcome', cell: ({ outcome }) => words(outcome) },
  { title: 'Calls', isNumber: true, cell: ({ number }) => count(number) },
]

function failed(outcomes) {
  const all = sumOf(outcomes)
  const bad = all - (outcomes.ok ?? 0)
  return all === 0 ? '–' : `${count(bad)} (${percent((100 * bad) / all)})`
}
