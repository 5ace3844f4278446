// Starts the console: what it knows, what it shows, and the key that the address may have brought.

import { App } from './app.js'
import { html, render } from './parts.js'
import { Store } from './store.js'

const KEY = 'polyport-key'

/** The key behind `#key=`, which is taken out of the address at once, or the one that this tab had before. */
function keyOfTab() {
  const brought = /^#key=(.+)$/.exec(location.hash)?.[1]
  if (brought !== undefined) {
    history.replaceState(null, '', location.pathname)
    sessionStorage.setItem(KEY, decodeURIComponent(brought))
  }
  return sessionStorage.getItem(KEY)
}

const store = new Store({
  key: keyOfTab(),
  keepKey: (key) => (key === null ? sessionStorage.removeItem(KEY) : sessionStorage.setItem(KEY, key)),
})
const root = document.getElementById('app')
root.replaceChildren()
const show = () => render(html`<${App} store=${store} state=${store.state} />`, root)
store.subscribe(show)
show()
store.start()
