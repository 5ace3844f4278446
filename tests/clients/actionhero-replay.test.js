'use strict'
// Replays the recorded conversations of original Actionhero servers against the profile of each version. What the
// gateway deliberately does otherwise is in lib/verbs-deviations.js, with the reason beside it.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const { after, before, describe, test } = require('node:test')
const { Authority } = require('./lib/certificates')
const { Deviations } = require('./lib/deviations')
const { Polyport } = require('./lib/polyport')
const { Replay } = require('./lib/replay')
const { load, FOLDER } = require('./lib/trace')
const { publicFolder, verbsListener } = require('./lib/verbs')

/** One recording keeps a param of 100 kB, which is more than the default. */
const LIMITS = { params_bytes: '1MiB' }
const FILES = { files: ['public'] }

/** The profile of each recorded version. v13 and v17 have none of their own: switches between v12 and v18 stand in. */
const PROFILES = {
  classic: { compat: 'classic' },
  '9.4.1': { compat: 'v9' },
  '12.5.0': { compat: 'v12' },
  '13.4.5': { compat: 'v12', room_errors: 'named', random_string: true },
  '17.1.3': { compat: 'v18', verb_error_key: 'status', null_data: true, sticky_scrub: true, cache_shape: 'read-at' },
  '18.1.4': { compat: 'v18' },
  '20.0.0': { compat: 'v20' },
  '29.3.5': { compat: 'v29', welcome: 'Welcome to the polytest api' },
}

/** Settings that a recording was made with. */
const SETTINGS = {
  maxDataLength64: { max_data_length: 64 },
  'delimiter-pipe': { delimiter: '|' },
}

/** What these versions' builtin actions answer is no switch. */
const UNPLAYED = new Set(['13.4.5 actions', '17.1.3 actions'])

/** What is played to the profile that no original has; the numbering of over-long lines is its own and tested elsewhere. */
const CLASSIC = ['seed', 'params', 'rooms', 'two', 'json', 'framing', 'garbage', 'exit', 'order', 'toomany', 'file', 'tls']

const SECURE = new Set(['tls', 'openssl-s_client'])

/** The recordings of a version: those of the bare server, and those of an original client that talked to it. */
function recordings(version) {
  if (version === 'classic') return CLASSIC.map((name) => [`v18.1.4-${name}`, name])
  const files = fs.readdirSync(FOLDER).map((file) => file.replace(/\.jsonl$/, ''))
  const server = files.filter((file) => file.startsWith(`v${version}-`)).map((file) => [file, file.slice(version.length + 2)])
  const clients = files.filter((file) => file.endsWith(`-vs-v${version}`)).map((file) => [file, file.split('-vs-')[0]])
  return [...server, ...clients].filter(
    ([, name]) => name !== 'shutdown' && !UNPLAYED.has(`${version} ${name}`),
  )
}

async function check(gateway, version, file, name, connect) {
  const deviations = new Deviations(version, name)
  const replay = new Replay({
    connect,
    deviate: deviations.apply.bind(deviations),
    terminate: () => gateway.signal('SIGTERM'),
  })
  const differences = await replay.run(load(file))
  assert.deepEqual(differences, [], `\n${differences.join('\n')}`)
  assert.deepEqual(deviations.unmet(), [], 'every deviation of the table is met')
}

for (const [version, profile] of Object.entries(PROFILES)) {
  describe(`recorded conversations: ${version}`, () => {
    let gateway
    let authority

    before(async () => {
      authority = new Authority()
      const verbs = { ...profile, ...FILES }
      const special = Object.entries(SETTINGS).map(([name, settings]) => [name, verbsListener({ verbs: { ...verbs, ...settings } })])
      gateway = await Polyport.start(
        {
          listeners: {
            plain: verbsListener({ verbs, limits: LIMITS }),
            secure: verbsListener({ verbs, tls: authority.issue('replay') }),
            ...Object.fromEntries(special),
          },
        },
        { folder: publicFolder() },
      )
    })
    after(() => gateway?.stop())

    for (const [file, name] of recordings(version)) {
      test(name, () => {
        const connect = SECURE.has(name)
          ? { port: gateway.ports.secure, tls: { ca: authority.certificate } }
          : { port: gateway.ports[name in SETTINGS ? name : 'plain'] }
        return check(gateway, version, file, name, connect)
      })
    }
  })
}

describe('recorded shutdowns', { concurrency: true }, () => {
  for (const version of ['9.4.1', '12.5.0', '18.1.4', '20.0.0', '29.3.5']) {
    test(version, async () => {
      const gateway = await Polyport.start({
        shutdown: { deadline: '5s' },
        listeners: { plain: verbsListener({ verbs: PROFILES[version] }) },
      })
      try {
        await check(gateway, version, `v${version}-shutdown`, 'shutdown', { port: gateway.ports.plain })
      } finally {
        await gateway.kill()
      }
    })
  }
})
