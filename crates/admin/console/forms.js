// Forms that do something to sessions.

import { Component, Field, createRef, html } from './parts.js'
import { many } from './format.js'

/** In which form an event is written down; each protocol writes it in its own way to those who get it. */
const FORMS = {
  args: { label: 'Event with arguments (Socket.IO)', data: 'Arguments, a JSON list', sample: '[{"n": 1}]' },
  data: { label: 'Event with data (socket.red, Pocketsocket, SocketCluster)', data: 'Data, a JSON value', sample: '{"n": 1}' },
  message: { label: 'Message (what Actionhero says, what SocketCluster publishes)', data: 'Message, a JSON value', sample: '"hello"' },
  action: { label: 'Action (socket.red dispatches it)', data: 'Action, a JSON value', sample: '{"type": "ADD"}' },
}

/** What is wrong with a text that should be JSON; nothing if it is all right. */
function problemOf(form, text) {
  let value
  try {
    value = JSON.parse(text)
  } catch (error) {
    return `This is no JSON: ${error.message}`
  }
  return form === 'args' && !Array.isArray(value) ? 'Arguments are a list: put them into [ and ].' : null
}

/** The name that the event has for those who watch it. */
const eventOf = ({ form, event }) => (form === 'message' || form === 'action' ? form : event)

/** The body of a request, in which what was written stays as it was. */
function bodyOf(to, { form, event, text, isVolatile }) {
  const parts = [`"to":${JSON.stringify(to)}`]
  if (form === 'action') parts.push(`"action":${text}`)
  else parts.push(`"event":${JSON.stringify(eventOf({ form, event }))}`, `"${form === 'args' ? 'args' : 'data'}":${text}`)
  if (isVolatile) parts.push('"volatile":true')
  return `{${parts.join(',')}}`
}

/** What became of a command, in words: how many sessions of this node it reached, and what is to be expected of others. */
export function outcome({ sessions, cluster }, one, more) {
  const here = `${many(sessions, 'session')} ${sessions === 1 ? one : more}`
  if (cluster === undefined) return `${here}.`
  return cluster === 'sent' ? `${here} here, and other nodes are told.` : `${here} here; other nodes are out of reach.`
}

/** Publishes to the target `to`. `watch`, if it is there, hears of it before and after, to show what became of it. */
export class PublishForm extends Component {
  state = { form: 'args', event: '', text: FORMS.args.sample, isVolatile: false, problem: null, isBusy: false }

  submit = async (event) => {
    event.preventDefault()
    const { store, to, watch } = this.props
    const problem = problemOf(this.state.form, this.state.text)
    this.setState({ problem, isBusy: problem === null })
    if (problem !== null) return
    const body = bodyOf(to, this.state)
    await store.run(async () => {
      const publish = () => store.api.post('/api/publish', body)
      return outcome(watch ? await watch(publish, eventOf(this.state)) : await publish(), 'gets it', 'get it')
    })
    this.setState({ isBusy: false })
  }

  choose = ({ target }) => {
    this.setState(({ form, text }) => ({
      form: target.value,
      // What somebody has written stays.
      text: text === FORMS[form].sample ? FORMS[target.value].sample : text,
      problem: null,
    }))
  }

  render({ id }, { form, event, text, isVolatile, problem, isBusy }) {
    const { data } = FORMS[form]
    const describedBy = problem ? `${id}-text-problem` : undefined
    return html`
      <form class="stacked" onSubmit=${this.submit}>
        <${Field} id="${id}-form" label="Form">
          <select id="${id}-form" value=${form} onChange=${this.choose}>
            ${Object.entries(FORMS).map(([name, { label }]) => html`<option key=${name} value=${name}>${label}</option>`)}
          </select>
        <//>
        ${(form === 'args' || form === 'data') && html`
          <${Field} id="${id}-event" label="Event">
            <input id="${id}-event" value=${event} required maxlength="1024" autocomplete="off" onInput=${({ target }) => this.setState({ event: target.value })} />
          <//>
        `}
        <${Field} id="${id}-text" label=${data} problem=${problem}>
          <textarea id="${id}-text" rows="3" spellcheck="false" aria-invalid=${problem ? 'true' : undefined} aria-describedby=${describedBy}
            value=${text} onInput=${({ target }) => this.setState({ text: target.value })}></textarea>
        <//>
        <label class="check">
          <input type="checkbox" checked=${isVolatile} onChange=${({ target }) => this.setState({ isVolatile: target.checked })} />
          Only to those who can take it at once
        </label>
        <div class="buttons"><button disabled=${isBusy}>Publish</button></div>
      </form>
    `
  }
}

/** A single name, and a button that does something with it. */
export class NameForm extends Component {
  state = { name: '' }
  input = createRef()

  submit = async (event) => {
    event.preventDefault()
    if (await this.props.act(this.state.name)) {
      this.setState({ name: '' })
      this.input.current?.focus()
    }
  }

  render({ id, label, verb }, { name }) {
    return html`
      <form class="row" onSubmit=${this.submit}>
        <${Field} id=${id} label=${label}>
          <input id=${id} ref=${this.input} value=${name} required maxlength="1024" autocomplete="off" onInput=${({ target }) => this.setState({ name: target.value })} />
        <//>
        <button>${verb}</button>
      </form>
    `
  }
}
