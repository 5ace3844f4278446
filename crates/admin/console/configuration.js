// Which configuration is in force, as views show it.

import { html } from './parts.js'
import { count, date, many } from './format.js'

/** How often the configuration was put in force, and how that went the last time. */
export function configurationFacts({ generation, loaded_at: since, reloads, last_reload_at: last, last_error: problem }) {
  const failed = reloads.failed > 0 ? `, and ${many(reloads.failed, 'that has failed', 'that have failed')}` : ''
  const facts = [
    ['Configuration', `generation ${count(generation)}, since ${date(since)}`],
    ['Reloads', `${count(reloads.ok)}${failed}`],
  ]
  return last === undefined ? facts : [...facts, ['Last reload', `${date(last)}, ${problem === undefined ? 'worked' : 'failed'}`]]
}

/** Why the last reload has put nothing in force. */
export const LastError = ({ configuration: { generation, last_error: problem } }) =>
  problem && html`
    <div class="problem" role="alert">
      <p>The last reload has failed; generation ${count(generation)} stays in force:</p>
      <pre tabindex="0">${problem}</pre>
    </div>
  `
