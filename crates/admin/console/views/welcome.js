// Asking for the key.

import { Component, Field, html } from '../parts.js'

export class WelcomeView extends Component {
  state = { key: '' }

  submit = (event) => {
    event.preventDefault()
    this.props.store.signIn(this.state.key.trim())
  }

  render({ state: { link } }, { key }) {
    return html`
      <section class="welcome">
        <h1 tabindex="-1">Polyport console</h1>
        <p>What this gateway does, live. The console shows and does what your API key may.</p>
        ${link.text && html`<p class="problem" role="alert">${link.text}</p>`}
        <form class="stacked" onSubmit=${this.submit}>
          <${Field} id="key" label="API key" hint=${html`One of <code>[api.keys]</code>, or <code>POLYPORT_API_KEY</code>. It stays in this tab, and goes to this gateway alone.`}>
            <input id="key" type="password" value=${key} required autocomplete="off" aria-describedby="key-hint" onInput=${({ target }) => this.setState({ key: target.value })} />
          <//>
          <div class="buttons"><button>Open the console</button></div>
        </form>
      </section>
    `
  }
}
