// The small parts that views are made of.

import htm from './vendor/htm.mjs'
import { Component, createRef, h, render } from './vendor/preact.mjs'
import { Poll } from './poll.js'

export const html = htm.bind(h)
export { Component, createRef, render }

/**
 * A table. A column has a `title`, a `cell` that makes its content of a row, and perhaps `isNumber`, or `isHead` for what
 * the row is called by. Wide tables scroll by themselves, by keyboard too.
 */
export function Table({ caption, columns, rows, keyOf, empty }) {
  if (rows.length === 0) return html`<p class="empty">${empty}</p>`
  const cell = (column, row) => {
    const kind = column.isNumber ? 'number' : ''
    if (column.isHead) return html`<th scope="row" class=${kind}>${column.cell(row)}</th>`
    return html`<td class=${kind}>${column.cell(row)}</td>`
  }
  return html`
    <div class="scroll" role="region" aria-label=${caption} tabindex="0">
      <table>
        <caption class="unseen">${caption}</caption>
        <thead>
          <tr>${columns.map((column) => html`<th scope="col" class=${column.isNumber ? 'number' : ''}>${column.title}</th>`)}</tr>
        </thead>
        <tbody>
          ${rows.map((row) => html`<tr key=${keyOf(row)}>${columns.map((column) => cell(column, row))}</tr>`)}
        </tbody>
      </table>
    </div>
  `
}

/** Names and values. */
export function Facts({ facts }) {
  return html`
    <dl class="facts">
      ${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
    </dl>
  `
}

/** A labelled input, select or textarea, as `children`. */
export function Field({ id, label, hint, problem, children }) {
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      ${children}
      ${hint && html`<p class="hint" id="${id}-hint">${hint}</p>`}
      ${problem && html`<p class="problem" id="${id}-problem" role="alert">${problem}</p>`}
    </div>
  `
}

export function Options({ values, any }) {
  return html`
    ${any && html`<option value="">${any}</option>`}
    ${values.map((value) => html`<option key=${value} value=${value}>${value}</option>`)}
  `
}

/** How something stands, in a word whose colour only underlines it. */
export const Badge = ({ kind, children }) => html`<span class="badge ${kind}">${children}</span>`

/** What could not be shown, and why. */
export const Problem = ({ error }) => (error ? html`<p class="problem" role="alert">${error.message}</p>` : null)

/** What the key may not do. */
export const NotAllowed = ({ verb }) => html`<p class="empty">This key does not have the verb <code>${verb}</code>.</p>`

/**
 * A view that asks for something of its own again and again, if the key has its `verb`. `ask` gives a promise of what becomes
 * `state.answer`; what comes after `askNow` to an earlier question is thrown away.
 */
export class AskingView extends Component {
  state = { answer: null, before: null, error: null }
  interval = 2_000

  componentDidMount() {
    this.poll = new Poll(() => this.#look(), this.interval)
    this.poll.start()
  }

  componentWillUnmount() {
    this.poll.stop()
  }

  /** Asks anew, for something else perhaps. */
  askNow() {
    this.round = {}
    this.poll.stop()
    this.poll = new Poll(() => this.#look(), this.interval)
    return this.poll.start()
  }

  async #look() {
    if (!this.props.store.may(this.verb)) return
    const round = this.round
    try {
      const answer = await this.ask()
      if (this.round === round) this.setState(({ answer: before }) => ({ answer: { ...answer, seenAt: this.props.store.now() }, before, error: null }))
    } catch (error) {
      if (this.round === round) this.setState({ error })
      throw error
    }
  }
}
