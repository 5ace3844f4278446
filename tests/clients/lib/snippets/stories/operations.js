'use strict'
// The page for operators, and what a wrong configuration is told.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { Authority } = require('../../certificates')
const { program, read } = require('../../deployment')
const { alike, likeness } = require('../../likeness')
const { OnTerminal } = require('../../on-terminal')
const { ROOT } = require('../../polyport')
const { Line } = require('../../upgrading')
const { until, within } = require('../../patience')
const { commands } = require('../stage')
const { story } = require('../story')

const PAGE = 'docs/operations.md'
const SECRETS = { POLYPORT_API_KEY: 'key-of-the-snippets-0123456789abcdef', POLYPORT_JWT_SECRET: 'a secret that is long enough for HS256' }

const starting = story(PAGE, 'starting', {
  begin: async (stage) => {
    Object.assign(stage.env, SECRETS)
    // What the Debian package puts there, with a folder of ours, and as many sessions as any machine has files for.
    const packaged = fs.readFileSync(path.join(ROOT, 'deploy', 'debian', 'gateway.toml'), 'utf8')
    fs.mkdirSync(stage.file('state'))
    await stage.keep('etc.toml', `${packaged.replace('/var/lib/polyport', stage.file('state'))}\n[limits]\nsessions = 500\n`)
    fs.chmodSync(stage.file('etc.toml'), 0o644)
  },
  steps: [
    ['polyport check  --config /etc/polyport/gateway.toml     # says what is wrong, certificates included; binds nothing', async (stage, block) => {
      const own = { '/etc/polyport/gateway.toml': stage.file('etc.toml') }
      const [check, strict, config, doctor, health, run] = commands(block).map(({ command }) => command)
      for (const command of [check, strict]) assert.match((await stage.do(command, { table: own })).stdout, /ok, 5 listeners/)
      assert.match((await stage.do(config, { table: own })).stdout, /^sessions = 500 {2}# .*etc\.toml:\d+$/m)
      // Whether one runs makes a difference to both of these; nothing is wrong either way.
      assert.match((await stage.do(doctor, { table: own })).stdout, /none runs with this configuration/)
      await stage.do(health, { table: own, status: 1 })
      await stage.start(run, { table: own })
      assert.match((await stage.do(health, { table: own })).stdout, /ready/)
      assert.doesNotMatch((await stage.do(doctor, { table: own })).stdout, /WRONG|none runs/)
    }],
  ],
})

const DIFFERENT = `[admin]
bind = "127.0.0.1:9900"

[api]

[listeners.tcp]
protocol = "tcp-verbs"
bind = "127.0.0.1:5000"
REALM
[backplane]
engine = "redis"
url = "rediss://127.0.0.1:6379"
`
const MORE = `
[listeners.web]
protocol = "ws-channels"
bind = "127.0.0.1:8001"

[backplane.tls]
`

const changing = story(PAGE, 'reloading, logs and figures of one that runs', {
  begin: async (stage) => {
    Object.assign(stage.env, SECRETS)
    await stage.ship()
    stage.authority = new Authority(stage.folder)
    const { cert, key } = stage.authority.issue('localhost')
    const config = fs.readFileSync(stage.file('gateway.toml'), 'utf8')
    fs.writeFileSync(stage.file('gateway.toml'), config.replace('[listeners.tcp]\n', `[listeners.tcp]\ntls = { cert = "${cert}", key = "${key}" }\n`))
    await stage.start()
  },
  steps: [
    ['polyport reload                    # prints the generation that is in force now, and what has changed', async (stage, block) => {
      const [reload, certificates] = commands(block)
      const config = fs.readFileSync(stage.file('gateway.toml'), 'utf8')
      fs.writeFileSync(stage.file('gateway.toml'), config.replace('[api]', '[shutdown]\nwindow = "1s"\n\n[api]'))
      const { stdout } = await stage.do(reload.command)
      assert.match(stdout, /\b2\b[^]*shutdown\.window/)
      stage.authority.issue('localhost')
      await stage.do(certificates.command)
      await stage.gateway.logged(/"certificates replaced","target":"polyport::/)
      // These are found without a word, within the five seconds that the page names.
      stage.authority.issue('localhost')
    }],
    ['$ polyport log info,polyport_net=debug --for 10m', async (stage, block) => {
      // Of the time a little may be gone.
      const [printed] = await stage.commands(block, { varying: ['for 10m 0s more'] })
      assert.match(printed, /for (10m 0s|9m 59s) more/)
    }],
    ['polyport top            # anew every second, until Ctrl-C, which leaves the terminal as it was', async (stage, block) => {
      const [live, once] = commands(block).map(({ command }) => command.replace(/ *#.*/, ''))
      const overview = stage.do(once)
      const top = new OnTerminal(live.split(' ').slice(1), { cwd: stage.folder, env: stage.env })
      await top.shows(/, ready/)
      const seen = top.seen.length
      await until('the next overview', () => /polyport /.test(top.seen.slice(seen)))
      top.press('\x03')
      assert.equal(await within(top.ended, () => top.seen), 0)
      assert.ok(top.seen.includes('\x1b[?1049l'), 'the terminal as it was')
      assert.match((await overview).stdout, /, ready/)
    }],
    ['scrape_configs:', async (stage, { text }) => {
      const file = await stage.keep('prometheus.yml', text)
      program('promtool', ['check', 'config', file])
      const [, target] = /targets: \["(.*)"\]/.exec(fs.readFileSync(file, 'utf8'))
      const metrics = await (await fetch(`http://${target}/metrics`)).text()
      program('promtool', ['check', 'metrics'], { input: metrics })
      // Under this name the alerts look for it.
      const [, job] = /job_name: (\S+)/.exec(text)
      assert.ok(read('prometheus', 'alerts.yml').includes(`job="${job}"`), job)
    }],
    ['{"timestamp":"2026-11-21T08:37:34.885811Z","level":"INFO","message":"certificates replaced","target":"polyport_net::server","listener":"tcp"}', async (stage, { text }) => {
      await until(() => stage.gateway.log, () => stage.gateway.log.split('\n').some(likeness(text)))
    }],
    ['polyport upgrade --window 30s      # or kill -USR2: the binary at the path by which this one was started', async (stage, { text }) => {
      const line = new Line(stage.gateway)
      stage.ends.push(() => line.stop())
      await stage.do(text)
      await line.next()
      await line.ended(stage.gateway.pid)
      assert.equal((await stage.gateway.get('/readyz')).status, 200, 'the new process is there')
    }],
  ],
})

const comparing = story(PAGE, 'what a reload would change', {
  begin: async (stage) => {
    await stage.keep('gateway.toml', DIFFERENT.replace('REALM', ''))
    await stage.keep('gateway.toml.new', DIFFERENT.replace('REALM', 'realm = "other"\nlimits = { idle = "5m" }') + MORE)
  },
  steps: [['$ polyport config diff --file gateway.toml.new', async (stage, block) => stage.commands(block)]],
})

/** Lines of a file at the places that the page names. */
const MISTAKES = {
  1: '[admin]', 2: 'bind = "127.0.0.1:9900"',
  11: '[listeners.tcp.limits]', 12: '  sesions = 5',
  14: '[listeners.tcp]', 15: 'protocol = "tcp-verbs"', 16: 'bind = "127.0.0.1:5000"',
  19: '[shutdown]', 20: 'deadline = 5',
  29: '[listeners.web]', 30: 'protocol = "ws-channels"', 31: 'bind = "127.0.0.1:5000"',
}

const wrong = story('docs/configuration.md', 'mistakes', {
  steps: [
    ['gateway.toml:12:3: listeners.tcp.limits.sesions: unknown key; did you mean `sessions`? (valid: sessions, …)', async (stage, { text }) => {
      const lines = Array.from({ length: 31 }, (_, index) => MISTAKES[index + 1] ?? '')
      // Nothing is bound, so the addresses are those of the page.
      fs.writeFileSync(stage.file('gateway.toml'), lines.join('\n'))
      stage.env.POLYPORT_LISTENERS__TCP__BIDN = 'x'
      const { stderr } = await stage.do('polyport check', { status: 78 })
      assert.ok(alike(text.split('\n'), stderr.trim().split('\n')), stderr)
    }],
  ],
})

module.exports = [starting, changing, comparing, wrong]
