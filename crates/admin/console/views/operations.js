// What whoever runs the gateway does to it: its files read again, and another log level for a while.

import { AskingView, Facts, Field, NotAllowed, Problem, Table, html } from '../parts.js'
import { LastError, configurationFacts } from '../configuration.js'
import { age, count } from '../format.js'
import { link } from '../route.js'

/** Reading everything again takes its time: scripts are loaded, addresses bound. */
const RELOAD_LIMIT = 60_000

const TAKES_EFFECT = { live: 'at once', 'new-connections': 'for new connections', restart: 'at the next start' }

const LEVELS = ['off', 'error', 'warn', 'info', 'debug', 'trace']

const MODULES = [
  'polyport', 'polyport_admin', 'polyport_backends', 'polyport_core', 'polyport_devtools_relay', 'polyport_identity', 'polyport_net',
  'polyport_redis_rooms', 'polyport_socket_io', 'polyport_tcp_verbs', 'polyport_ws_channels', 'polyport_ws_rpc',
]

/** For how long a level is set. */
const TIMES = [['10m', '10 minutes'], ['1h', 'an hour'], ['1d', 'a day'], ['', 'until the next reload']]

const QUESTIONS = {
  all: {
    title: 'Reload the configuration?',
    text: 'The gateway reads its file anew, and the certificates, and puts all of it in force, or nothing if anything is wrong. Sessions stay, but those of listeners that are gone from it.',
    verb: 'Reload it',
  },
  certificates: {
    title: 'Reload the certificates?',
    text: 'The gateway reads the files of all certificates anew, and uses them for new connections, or none of them if one is wrong. Sessions stay.',
    verb: 'Reload them',
  },
}

export const OperationsView = ({ store }) => html`
  <h1 tabindex="-1">Operations</h1>
  <h2>Configuration</h2>
  <${Configuration} store=${store} />
  <h2>Log</h2>
  <${Log} store=${store} />
`

/** What a key that is confined to rooms cannot do, whatever its verbs. */
const OnlyRooms = () => html`<p class="empty">This key may address rooms only.</p>`

class Configuration extends AskingView {
  verb = 'info'
  interval = 4_000

  ask() {
    return this.props.store.api.get('/api/info')
  }

  /** Asks whether it is meant, then reads anew; what comes of it is kept, whole. */
  reload(what) {
    const { store } = this.props
    const { title, text, verb } = QUESTIONS[what]
    store.ask(title, text, verb, async () => {
      this.setState({ outcome: { what, isGoingOn: true } })
      try {
        const body = JSON.stringify({ certificates: what === 'certificates' })
        const done = await store.api.post('/api/reload', body, RELOAD_LIMIT)
        this.setState({ outcome: { what, done } })
        return what === 'all' ? `Generation ${count(done.generation)} is in force.` : 'The certificates have been read.'
      } catch (problem) {
        this.setState({ outcome: { what, problem } })
        throw problem
      } finally {
        this.askNow()
      }
    })
  }

  render({ store }, { answer, error, outcome }) {
    const isRefused = outcome?.what === 'all' && outcome.problem !== undefined
    return html`
      ${!store.may('info') && html`<${NotAllowed} verb="info" />`}
      <${Problem} error=${error} />
      ${answer && html`<${Facts} facts=${configurationFacts(answer.configuration)} />`}
      ${answer && !isRefused && html`<${LastError} configuration=${answer.configuration} />`}
      ${this.buttons(store)}
      <div aria-live="polite">${outcome && html`<${Outcome} ...${outcome} />`}</div>
    `
  }

  buttons(store) {
    if (!store.may('reload')) return html`<${NotAllowed} verb="reload" />`
    if (store.isConfined()) return html`<${OnlyRooms} />`
    return html`
      <p class="buttons">
        <button type="button" onClick=${() => this.reload('all')}>Reload</button>
        <button type="button" onClick=${() => this.reload('certificates')}>Reload certificates</button>
      </p>
    `
  }
}

/** What a reload that was asked for here has come to. */
function Outcome({ what, isGoingOn, done, problem }) {
  if (isGoingOn) return html`<p class="summary">The gateway is reading.</p>`
  if (problem !== undefined) {
    return html`
      <div class="problem">
        <p>${problem.message}</p>
        ${problem.problems.length > 0 && html`<pre tabindex="0">${problem.problems.join('\n')}</pre>`}
      </div>
    `
  }
  if (what === 'all') return html`<${Table} caption="What has changed" rows=${done.changes} keyOf=${({ setting }) => setting} empty="Nothing in it is different." columns=${CHANGES} />`
  if (done.certificates.length === 0) return html`<p class="empty">No listener has got another certificate.</p>`
  return html`<p>New certificates: ${done.certificates.map((name, at) => html`${at > 0 && ', '}<a key=${name} href=${link('sessions', [], { listener: name })}>${name}</a>`)}</p>`
}

const code = (text) => (text === undefined ? '–' : html`<code>${text}</code>`)

const CHANGES = [
  { title: 'Setting', isHead: true, cell: ({ setting }) => code(setting) },
  { title: 'Takes effect', cell: ({ takes_effect: when }) => TAKES_EFFECT[when] ?? when },
  { title: 'Before', cell: ({ before }) => code(before) },
  { title: 'Now', cell: ({ after }) => code(after) },
]

/** The levels of `filter` with another one for `module`; without a module, for all that have none of their own. */
function withLevel(filter, module, level) {
  const moduleOf = (part) => (part.includes('=') ? part.slice(0, part.indexOf('=')) : '')
  const others = filter.split(',').filter((part) => part !== '' && moduleOf(part) !== module)
  return [...others, module === '' ? level : `${module}=${level}`].join(',')
}

class Log extends AskingView {
  verb = 'log'
  interval = 4_000
  state = { ...this.state, module: '', level: 'debug', lasts: '10m' }

  ask() {
    return this.props.store.api.get('/api/log')
  }

  /** Sets what `wanted` makes of what is logged now, for a time if one is said. */
  set(wanted, lasts, text) {
    const { store } = this.props
    return store.run(async () => {
      // What somebody else has set in the meantime stays.
      const level = wanted(await store.api.get('/api/log'))
      await store.api.post('/api/log', JSON.stringify({ level, ...(lasts !== '' && { for: lasts }) }))
      this.askNow()
      return text
    })
  }

  submit = (event) => {
    event.preventDefault()
    const { module, level, lasts } = this.state
    const text = module === '' ? `Of all others ${level} is logged.` : `Of ${module} ${level} is logged.`
    this.set((now) => withLevel(now.level, module, level), lasts, text)
  }

  restore = () => this.set(({ configured }) => configured, '', 'What the configuration says is logged again.')

  render({ store }, { answer, error }) {
    if (!store.may(this.verb)) return html`<${NotAllowed} verb=${this.verb} />`
    if (answer === null) return html`<${Problem} error=${error} />`
    const { level, configured, remaining } = answer
    const isOther = level !== configured || remaining !== undefined
    const until = remaining === undefined ? 'until the next reload' : `for ${age(remaining / 1000)} more`
    const facts = [
      ['Logged', html`<code>${level}</code>${isOther && `, ${until}`}`],
      ['The configuration says', html`<code>${configured}</code>`],
    ]
    return html`
      <${Problem} error=${error} />
      <${Facts} facts=${facts} />
      ${store.isConfined() ? html`<${OnlyRooms} />` : this.form(isOther)}
    `
  }

  form(isOther) {
    const { module, level, lasts } = this.state
    const set = (name) => ({ target }) => this.setState({ [name]: target.value })
    return html`
      <form class="filters" aria-label="Log level" onSubmit=${this.submit}>
        <${Field} id="log-module" label="Module (empty: others)">
          <input id="log-module" value=${module} list="log-modules" maxlength="200" pattern="[A-Za-z0-9_:]*" title="the name of a module, such as polyport_net" autocomplete="off" onInput=${set('module')} />
          <datalist id="log-modules">${MODULES.map((name) => html`<option key=${name} value=${name} />`)}</datalist>
        <//>
        <${Field} id="log-level" label="Level">
          <select id="log-level" value=${level} onChange=${set('level')}>${LEVELS.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select>
        <//>
        <${Field} id="log-for" label="For">
          <select id="log-for" value=${lasts} onChange=${set('lasts')}>${TIMES.map(([time, text]) => html`<option key=${time} value=${time}>${text}</option>`)}</select>
        <//>
        <div class="buttons"><button>Set the level</button></div>
      </form>
      ${isOther && html`<p class="buttons"><button type="button" onClick=${this.restore}>As configured</button></p>`}
    `
  }
}
