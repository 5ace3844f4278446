// One record of a tap: what it says at a glance, all of it, and how each protocol writes an event.

import { Component, html } from '../parts.js'
import { bytes, time, took, words } from '../format.js'

/** What is not said again among the rest of a record. */
const SHOWN_ELSEWHERE = ['number', 'at', 'kind', 'event', 'name', 'args', 'cut', 'raw', 'forms']

/** Values that people read otherwise than programs. A number may be there as it was written. */
const READ = {
  seconds: ['took', (value) => took(Number(JSON.stringify(value)))],
  outcome: ['outcome', words],
  reason: ['reason', words],
}

/** What a record is about, in short. */
function glance({ args, raw, outcome, seconds, reason, peer }) {
  const ends = [outcome && words(outcome), seconds !== undefined && READ.seconds[1](seconds), reason && words(reason), peer].filter(Boolean)
  const said = args === undefined ? raw : JSON.stringify(args)
  return html`
    ${ends.length > 0 && html`<span class="ends">${ends.join(', ')}</span>${' '}`}
    ${said !== undefined && html`<code>${said}</code>${' '}`}
  `
}

export class Row extends Component {
  state = { isOpen: false }

  shouldComponentUpdate(_, { isOpen }) {
    return isOpen !== this.state.isOpen
  }

  render({ row }, { isOpen }) {
    return html`
      <li>
        <details onToggle=${({ target }) => this.setState({ isOpen: target.open })}>
          <summary>
            <time>${time(row.at)}</time>${' '}
            <span class="kind ${row.kind}">${row.kind}</span>${' '}
            <span class="event">${row.event ?? row.name ?? ''}</span>${' '}
            ${glance(row)}
            <span class="about">${[row.room, row.session].filter(Boolean).join(' · ')}</span>
          </summary>
          ${isOpen && html`<${Whole} row=${row} />`}
        </details>
      </li>
    `
  }
}

function Whole({ row }) {
  const rest = Object.entries(row).filter(([name]) => !SHOWN_ELSEWHERE.includes(name))
  const facts = rest.map(([name, value]) => {
    const [title, read] = READ[name] ?? [name, (text) => text]
    return html`<div key=${name}><dt>${title}</dt><dd><code>${read(value)}</code></dd></div>`
  })
  return html`
    ${facts.length > 0 && html`<dl class="facts">${facts}</dl>`}
    ${row.args !== undefined && html`<h2 class="small">Arguments</h2>`}
    ${row.cut !== undefined && html`<p class="hint">They have ${bytes(row.cut)}; here is the beginning of their text.</p>`}
    ${row.args !== undefined && html`<pre tabindex="0">${row.cut === undefined ? JSON.stringify(row.args, null, 2) : row.args[0]}</pre>`}
    ${row.raw !== undefined && html`<h2 class="small">The message as it came</h2><pre tabindex="0">${row.raw}</pre>`}
    ${row.forms && html`<h2 class="small">As each protocol sees it</h2><${Forms} forms=${row.forms} />`}
  `
}

/** One event in the forms of several protocols. */
export function Forms({ forms }) {
  return html`
    <dl class="forms">
      ${Object.entries(forms).map(([name, form]) => html`
        <div key=${name}><dt>${titleOf(name)}</dt><dd><pre tabindex="0">${form.split('\n').map(message)}</pre></dd></div>
      `)}
    </dl>
  `
}

/** Generations and encodings of one protocol that write an event in different ways are numbered. */
function titleOf(name) {
  const [protocol, number] = name.split('#')
  return number === undefined ? protocol : `${protocol}, form ${number}`
}

/** One message of a form, in a line of its own. */
function message(text, at) {
  const start = at === 0 ? '' : '\n'
  const binary = /^base64:((?:[A-Za-z0-9+/]{4})*)([A-Za-z0-9+/]{2,3}={1,2})?$/.exec(text)
  if (binary === null) return start + text
  const [, whole, last = ''] = binary
  const size = (whole.length / 4) * 3 + last.replaceAll('=', '').length * 3 / 4
  return html`${start}<span class="binary">binary, ${bytes(Math.floor(size))}</span> ${whole}${last}`
}
