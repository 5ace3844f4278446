'use strict'
// What deploy/ ships, checked by the programs that will read it: systemd, dpkg, Prometheus, and the schemas of Compose and Kubernetes.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const crypto = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const zlib = require('node:zlib')
const { after, before, describe, test } = require('node:test')
const {
  binds, has, installSchemas, ports, program, Prometheus, read, seconds, sorted, unit, validator, yaml, DEPLOY,
} = require('./lib/deployment')
const { Authority } = require('./lib/certificates')
const { Collector } = require('./lib/collector')
const { LineClient } = require('./lib/line-client')
const { Polyport, run, temporaryFolder, toToml, BINARY, ROOT } = require('./lib/polyport')
const { freePort } = require('./lib/ports')
const { RedisServer } = require('./lib/redis')
const { until } = require('./lib/wait')

const SECRETS = { POLYPORT_API_KEY: 'k'.repeat(64), POLYPORT_JWT_SECRET: 's'.repeat(64), REDIS_PASSWORD: 'p' }
/** The default of `shutdown.deadline`, and what sessions have for their goodbye. */
const DEADLINE = 10
const GOODBYE = 4
/** The oldest and the newest Kubernetes that the manifests are for. */
const KUBERNETES = ['1.30', '1.37']

const version = run(['--version']).stdout.trim().replace('polyport ', '')
/** What the first group of a pattern is, everywhere in a text. */
const named = (text, pattern) => [...text.matchAll(pattern)].map((match) => match[1])
const runbooks = () => fs.readdirSync(path.join(ROOT, 'docs', 'runbooks')).map((name) => `docs/runbooks/${name}`)

before(installSchemas)

describe('configurations', () => {
  for (const name of ['docker', 'compose', 'kubernetes', 'debian']) {
    test(`${name}: polyport check is content`, () => {
      const done = run(['check', '--config', path.join(DEPLOY, name, 'gateway.toml')], { env: SECRETS })
      assert.equal(done.status, 0, done.stderr)
    })
  }
})

describe('systemd', () => {
  const service = unit(read('systemd', 'polyport.service'))

  test('systemd-analyze finds nothing wrong', () => {
    const folder = temporaryFolder()
    const text = read('systemd', 'polyport.service').replaceAll('/usr/bin/polyport', BINARY)
    fs.writeFileSync(path.join(folder, 'polyport.service'), text)
    fs.copyFileSync(path.join(DEPLOY, 'systemd', 'polyport.socket'), path.join(folder, 'polyport.socket'))
    for (const name of ['polyport.service', 'polyport.socket']) {
      assert.equal(program('systemd-analyze', ['verify', '--man=no', path.join(folder, name)]).output, '', name)
    }
  })

  test('what a hijacked gateway could do to the machine is little', () => {
    const file = path.join(DEPLOY, 'systemd', 'polyport.service')
    const { status, output } = program('systemd-analyze', ['security', '--offline=true', '--threshold=15', file], { fails: true })
    assert.equal(status, 0, output)
  })

  test('it waits for the drain, and does not retry a wrong configuration', () => {
    assert.deepEqual(service.Type, ['notify'])
    assert.deepEqual(service.ExecReload, ['/bin/kill -HUP $MAINPID'])
    assert.deepEqual(service.RestartPreventExitStatus, ['78'])
    assert.ok(seconds(service.TimeoutStopSec[0]) >= DEADLINE + GOODBYE)
  })

  test('the sockets have the addresses of the listeners in the shipped gateway.toml', () => {
    const { admin, ...listeners } = binds('debian', 'gateway.toml')
    const { ListenStream } = unit(read('systemd', 'polyport.socket'))
    assert.deepEqual(ListenStream.sort(), Object.values(listeners).sort())
    assert.match(admin, /^127\.0\.0\.1:/)
  })

  test('sockets that systemd has bound are taken over, and kept when a listener is bound anew', async () => {
    const folder = temporaryFolder()
    const file = path.join(folder, 'gateway.toml')
    const [port, admin, idle] = [await freePort(), await freePort(), await freePort()]
    const socket = path.join(folder, 'tcp.sock')
    const config = {
      admin: { bind: `127.0.0.1:${admin}` },
      listeners: {
        tcp: { protocol: 'tcp-verbs', bind: `127.0.0.1:${port}` },
        unix: { protocol: 'tcp-verbs', bind: `unix:${socket}` },
      },
    }
    for (const listener of Object.values(config.listeners)) listener.verbs = { files: [] }
    fs.writeFileSync(file, toToml(config))
    // It starts the gateway in its own place when the first client knocks.
    const listens = [`127.0.0.1:${port}`, socket, `127.0.0.1:${admin}`, `127.0.0.1:${idle}`].flatMap((address) => ['-l', address])
    const child = spawn('systemd-socket-activate', [...listens, BINARY, 'run', '--config', file], { stdio: ['ignore', 'pipe', 'pipe'] })
    const kill = () => child.kill('SIGKILL')
    process.once('exit', kill)
    let log = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        log += text
      })
    }
    const ended = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => resolve({ code, signal }))
    })
    const logged = (pattern) => until(() => `${pattern} in:\n${log}`, () => pattern.test(log))
    try {
      await logged(new RegExp(`127\\.0\\.0\\.1:${idle}`))
      const client = await LineClient.open({ port })
      assert.equal((await client.ask('randomNumber')).messageCount, 1)
      const local = await LineClient.open({ path: socket })
      assert.equal((await local.ask('randomNumber')).messageCount, 1)
      assert.equal((await fetch(`http://127.0.0.1:${admin}/readyz`)).status, 200)
      await logged(new RegExp(`no listener has the address of.*127\\.0\\.0\\.1:${idle}`))
      config.listeners.tcp.join = ['lobby']
      fs.writeFileSync(file, toToml(config))
      child.kill('SIGHUP')
      await logged(/configuration reloaded/)
      const later = await LineClient.open({ port })
      assert.deepEqual((await later.ask('detailsView')).data.rooms, ['lobby'])
      assert.equal((await client.ask('randomNumber')).messageCount, 2)
      child.kill('SIGTERM')
      assert.deepEqual(await ended, { code: 0, signal: null })
      assert.ok(fs.existsSync(socket), 'the file is whose the socket is')
      for (const one of [client, local, later]) one.close()
    } finally {
      kill()
      await ended
      process.removeListener('exit', kill)
    }
  })
})

describe('alerts', () => {
  const rules = () => yaml('prometheus', 'alerts.yml')[0].groups.flatMap((group) => group.rules)

  test('promtool finds nothing wrong', () => {
    program('promtool', ['check', 'rules', path.join(DEPLOY, 'prometheus', 'alerts.yml')])
  })

  test('each is silent when it should be, and fires when it should', () => {
    program('promtool', ['test', 'rules', path.join(DEPLOY, 'prometheus', 'alerts_test.yml')])
    const cases = new Set(yaml('prometheus', 'alerts_test.yml')[0].tests.map((one) => one.name))
    for (const { alert } of rules()) {
      for (const what of ['is silent', 'fires']) assert.ok(cases.has(`${alert} ${what}`), `no case: ${alert} ${what}`)
    }
  })

  test('each has a page, and each page an alert', () => {
    assert.deepEqual(rules().map((rule) => rule.annotations.runbook_url).sort(), runbooks().sort())
    for (const { alert, annotations } of rules()) {
      assert.equal(annotations.runbook_url, `docs/runbooks/${alert}.md`)
      assert.match(fs.readFileSync(path.join(ROOT, annotations.runbook_url), 'utf8'), new RegExp(`^# ${alert}\\n`))
    }
  })
})

describe('queries', () => {
  const INTERVAL = '250ms'
  let redis
  let collector
  let gateway
  let prometheus
  let found

  before(async () => {
    redis = await RedisServer.start()
    collector = await Collector.start()
    const script = path.join(temporaryFolder(), 'script.js')
    fs.writeFileSync(script, 'module.exports = class { hello() { return "hello" } }\n')
    const listeners = {}
    for (const protocol of ['tcp-verbs', 'ws-channels', 'ws-rpc', 'socket-io', 'devtools-relay']) listeners[protocol] = { protocol }
    listeners['tcp-verbs'].verbs = { files: [] }
    const { cert, key } = new Authority(temporaryFolder()).issue('localhost', ['localhost'], 60)
    listeners.secure = { protocol: 'tcp-verbs', verbs: { files: [] }, tls: { cert, key } }
    listeners['ws-rpc'].backends = ['script', 'service']
    gateway = await Polyport.start({
      api: {},
      backplane: { engine: 'redis', url: redis.url },
      backends: { script: { kind: 'script', file: script }, service: { kind: 'http', url: 'http://127.0.0.1:9/' } },
      listeners,
      tracing: { endpoint: collector.endpoint },
    })
    prometheus = await Prometheus.start(`127.0.0.1:${gateway.ports.admin}`, { interval: INTERVAL })
    await until('two scrapes', async () => {
      const scraped = await prometheus.query('count_over_time(polyport_build_info[1m])')
      return Number(scraped[0]?.value[1]) >= 3
    })
    found = new Map()
  })

  after(async () => {
    await prometheus?.stop()
    await gateway?.stop()
    await collector?.stop()
    await redis?.stop()
  })

  /** The series that a selector has now. */
  async function series(selector) {
    if (!found.has(selector)) found.set(selector, await prometheus.query(selector))
    return found.get(selector).map(({ metric }) => metric)
  }

  /** Whether an expression can be evaluated, asks for series that exist by values that exist, and groups and shows labels that they have. */
  async function checkExpression(expression, shown) {
    await prometheus.query(expression)
    const selectors = named(expression, /\b((?:polyport_\w+|up\b)(?:\{[^}]*\})?)/g)
    assert.notEqual(selectors.length, 0, `${expression} asks for nothing`)
    const grouped = [...expression.matchAll(/\bby \(([^)]*)\)/g)].flatMap((match) => match[1].split(', '))
    for (const selector of selectors) {
      const labels = (await series(selector)).map(Object.keys)
      assert.notEqual(labels.length, 0, `${selector} of ${expression} selects nothing`)
      for (const label of grouped) assert.ok(labels.some((names) => names.includes(label)), `${selector} has no label ${label}`)
      for (const [, label, operator, values] of selector.matchAll(/(\w+)(=~|!~|!=|=)"([^"]*)"/g)) {
        if (values === '.*') continue
        for (const value of values.split('|')) {
          const one = `${selector.split('{')[0]}{${label}="${value}"}`
          assert.notEqual((await series(one)).length, 0, `${one}, of ${label}${operator} in ${expression}, selects nothing`)
        }
      }
      if (grouped.length > 0) continue
      for (const label of shown) assert.ok(labels.some((names) => names.includes(label)), `${selector} has no label ${label} to show`)
    }
    if (grouped.length > 0) for (const label of shown) assert.ok(grouped.includes(label), `${expression} keeps no label ${label}`)
  }

  const filled = (expression) =>
    expression.replaceAll('$instance', '.*').replaceAll('$listener', '.*').replaceAll('$__rate_interval', '5s')

  test('of the alerts', async () => {
    const rules = yaml('prometheus', 'alerts.yml')[0].groups.flatMap((group) => group.rules)
    for (const { expr, annotations } of rules) {
      await checkExpression(expr, named(annotations.summary, /\$labels\.(\w+)/g))
    }
    const loaded = await prometheus.rules()
    assert.deepEqual(loaded.map((rule) => rule.name), rules.map((rule) => rule.alert))
    await until('the rules to be evaluated', async () => (await prometheus.rules()).every((rule) => rule.health === 'ok'))
    const firing = (await prometheus.rules()).filter((rule) => rule.state !== 'inactive').map((rule) => rule.name)
    assert.deepEqual(firing, [], 'a gateway that is well alarms nobody')
  })

  test('of the dashboard', async () => {
    const dashboard = JSON.parse(read('grafana', 'polyport.json'))
    const panels = dashboard.panels.filter((panel) => panel.type !== 'row')
    assert.equal(new Set(panels.map((panel) => panel.title)).size, panels.length)
    for (const target of panels.flatMap((panel) => panel.targets)) {
      await checkExpression(filled(target.expr), named(target.legendFormat, /\{\{(\w+)\}\}/g))
    }
    for (const annotation of dashboard.annotations.list) await checkExpression(filled(annotation.expr), [])
    for (const variable of dashboard.templating.list.filter((one) => one.type === 'query')) {
      const [, selector, label] = /^label_values\((.*), (\w+)\)$/.exec(variable.query.query)
      assert.equal(label, variable.name)
      await checkExpression(filled(selector), [label])
    }
  })

  test('panels do not lie over each other', () => {
    const taken = new Set()
    for (const { title, gridPos: { x, y, w, h } } of JSON.parse(read('grafana', 'polyport.json')).panels) {
      assert.ok(x + w <= 24, title)
      for (let column = x; column < x + w; column += 1) {
        for (let line = y; line < y + h; line += 1) {
          assert.ok(!taken.has(`${column} ${line}`), title)
          taken.add(`${column} ${line}`)
        }
      }
    }
  })

  test('probes of Kubernetes are answered', async () => {
    const [deployment] = yaml('kubernetes', 'deployment.yaml')
    const [container] = deployment.spec.template.spec.containers
    for (const name of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
      const { path: target, port } = container[name].httpGet
      assert.equal(port, 'admin')
      assert.equal((await gateway.get(target)).status, 200, name)
    }
  })
})

describe('Docker', () => {
  const dockerfile = read('docker', 'Dockerfile')
  const instructions = (name) => named(dockerfile.replaceAll('\\\n', ' '), new RegExp(`^${name} +(.*)$`, 'gm'))

  test('the image runs as nobody, and tells its ports', () => {
    assert.deepEqual(instructions('USER'), ['nonroot:nonroot'])
    assert.deepEqual(sorted(instructions('EXPOSE')[0].split(' ').map(Number)), ports('docker', 'gateway.toml'))
    for (const image of instructions('FROM')) assert.match(image, /^\S+:\S+/, 'a version')
    const rust = /^rust-version = "(.*)"$/m.exec(fs.readFileSync(path.join(ROOT, 'Cargo.toml'), 'utf8'))[1]
    assert.match(instructions('FROM')[0], new RegExp(`^rust:${rust}-`))
  })

  test('what the image is built of is in the build context, and whole', () => {
    const kept = named(read('docker', 'Dockerfile.dockerignore'), /^!(.*)$/gm)
    for (const place of kept) assert.ok(fs.existsSync(path.join(ROOT, place)), place)
    const copied = instructions('COPY').filter((line) => !line.startsWith('--')).map((line) => line.split(' ')[0])
    for (const place of copied.filter((place) => place !== '.')) {
      assert.ok(fs.existsSync(path.join(ROOT, place)), place)
      assert.ok(kept.some((prefix) => place === prefix || place.startsWith(`${prefix}/`)), `${place} is ignored`)
    }
    const context = temporaryFolder()
    const isNoise = (name) => ['node_modules', 'target'].includes(path.basename(name))
    for (const place of kept) {
      fs.cpSync(path.join(ROOT, place), path.join(context, place), { recursive: true, filter: (name) => !isNoise(name) })
    }
    program('cargo', ['metadata', '--locked', '--offline', '--no-deps', '--format-version=1'], { cwd: context, maxBuffer: 1 << 26 })
    const included = path.join(context, 'gateway.toml')
    assert.ok(fs.existsSync(included), 'the binary includes it')
  })
})

describe('Compose', () => {
  const compose = () => yaml('compose', 'compose.yaml')[0]

  test('the file is one of Compose', () => {
    validator('check-jsonschema', ['--builtin-schema', 'vendor.compose-spec', path.join(DEPLOY, 'compose', 'compose.yaml')])
  })

  test('Compose itself reads it, and says which secrets are missing', () => {
    const folder = temporaryFolder()
    fs.cpSync(DEPLOY, folder, { recursive: true })
    const cwd = path.join(folder, 'compose')
    const services = () => program('docker-compose', ['config', '--services'], { cwd }).output
    assert.throws(services, /set it in \.env/)
    fs.writeFileSync(path.join(cwd, '.env'), read('compose', 'example.env').replace(/^(\w+)=$/gm, '$1=secret'))
    assert.deepEqual(services().trim().split('\n').sort(), Object.keys(compose().services).sort())
  })

  test('every listener is published, the admin listener is not', () => {
    const published = compose().services.gateway.ports.map((port) => Number(port.split(':')[1]))
    const admin = Number(binds('compose', 'gateway.toml').admin.split(':')[1])
    assert.deepEqual(sorted([...published, admin]), ports('compose', 'gateway.toml'))
    const [scraped] = yaml('compose', 'prometheus.yml')[0].scrape_configs
    assert.equal(scraped.dns_sd_configs[0].port, admin)
    assert.equal(scraped.job_name, 'polyport')
  })

  test('it waits for the drain', () => {
    assert.ok(seconds(compose().services.gateway.stop_grace_period) >= DEADLINE + GOODBYE)
  })

  test('what is mounted is there, and every secret is asked for in example.env', () => {
    for (const [name, { volumes = [] }] of Object.entries(compose().services)) {
      for (const place of volumes.map((volume) => volume.split(':')[0]).filter((place) => place.startsWith('.'))) {
        assert.ok(fs.existsSync(path.join(DEPLOY, 'compose', place)), `${name}: ${place}`)
      }
    }
    const asked = new Set(named(read('compose', 'compose.yaml'), /\$\{(\w+):\?/g))
    assert.deepEqual([...asked].sort(), named(read('compose', 'example.env'), /^(\w+)=$/gm).sort())
  })

  test('promtool takes the configuration of Prometheus', () => {
    const folder = temporaryFolder()
    fs.copyFileSync(path.join(DEPLOY, 'compose', 'prometheus.yml'), path.join(folder, 'prometheus.yml'))
    fs.copyFileSync(path.join(DEPLOY, 'prometheus', 'alerts.yml'), path.join(folder, 'alerts.yml'))
    program('promtool', ['check', 'config', path.join(folder, 'prometheus.yml')])
  })
})

describe('Kubernetes', () => {
  const load = (name) => yaml('kubernetes', `${name}.yaml`)[0]
  const pod = () => load('deployment').spec.template.spec
  const clients = () => {
    const admin = Number(binds('kubernetes', 'gateway.toml').admin.split(':')[1])
    return { admin, others: ports('kubernetes', 'gateway.toml').filter((port) => port !== admin) }
  }

  test('every resource is listed, and fits the schema of its kind', () => {
    const { resources } = load('kustomization')
    const files = fs.readdirSync(path.join(DEPLOY, 'kubernetes')).filter((name) => name.endsWith('.yaml'))
    assert.deepEqual([...resources, 'kustomization.yaml', 'servicemonitor.yaml'].sort(), files.sort())
    const paths = resources.map((name) => path.join(DEPLOY, 'kubernetes', name))
    for (const release of KUBERNETES) validator('kubernetes-validate', ['--strict', '-k', release, ...paths])
  })

  test('ports are those of the configuration everywhere', () => {
    const { admin, others } = clients()
    const [container] = pod().containers
    const byName = Object.fromEntries(container.ports.map((port) => [port.name, port.containerPort]))
    assert.deepEqual(sorted(Object.values(byName)), sorted([...others, admin]))
    assert.equal(byName.admin, admin)
    const [service, adminService] = yaml('kubernetes', 'service.yaml')
    const targets = ({ spec }) => sorted(spec.ports.map((port) => byName[port.targetPort]))
    assert.deepEqual(targets(service), others)
    assert.deepEqual(targets(adminService), [admin])
    const [toClients, toAdmin] = load('networkpolicy').spec.ingress.map((rule) => sorted(rule.ports.map(({ port }) => port)))
    assert.deepEqual([toClients, toAdmin], [others, [admin]])
    assert.equal(load('networkpolicy').spec.ingress[1].from.length, 2, 'the admin listener is not for everybody')
  })

  test('a pod is given the time that it takes to stop', () => {
    const deadline = seconds(/^deadline = "(.*)"$/m.exec(read('kubernetes', 'gateway.toml'))[1])
    const pause = pod().containers[0].lifecycle.preStop.sleep.seconds
    const { periodSeconds, failureThreshold } = pod().containers[0].readinessProbe
    assert.ok(pause >= periodSeconds * failureThreshold)
    assert.ok(pod().terminationGracePeriodSeconds >= pause + deadline + GOODBYE)
  })

  test('all select the same pods', () => {
    const labels = load('deployment').spec.template.metadata.labels
    const [service, adminService] = yaml('kubernetes', 'service.yaml')
    for (const selector of [
      load('deployment').spec.selector.matchLabels, load('poddisruptionbudget').spec.selector.matchLabels,
      load('networkpolicy').spec.podSelector.matchLabels, service.spec.selector, adminService.spec.selector,
    ]) {
      assert.deepEqual(selector, labels)
    }
    const { selector, jobLabel, endpoints } = load('servicemonitor').spec
    for (const [label, value] of Object.entries(selector.matchLabels)) assert.equal(adminService.metadata.labels[label], value)
    assert.equal(adminService.metadata.labels[jobLabel], 'polyport')
    assert.equal(endpoints[0].port, adminService.spec.ports[0].name)
  })

  test('the image is of this version, and the pod has no rights', () => {
    assert.deepEqual(load('kustomization').images, [{ name: 'polyport', newTag: version }])
    const [{ securityContext }] = pod().containers
    assert.equal(pod().securityContext.runAsNonRoot, true)
    assert.deepEqual(securityContext.capabilities, { drop: ['ALL'] })
    assert.equal(securityContext.allowPrivilegeEscalation, false)
    assert.equal(securityContext.readOnlyRootFilesystem, true)
  })
})

describe('the Debian package', () => {
  // Nobody waits for a compressor here.
  const env = { DPKG_DEB_COMPRESSOR_TYPE: 'none', SOURCE_DATE_EPOCH: '1700000000' }
  const file = `polyport_${version}-1_${program('dpkg', ['--print-architecture']).output.trim()}.deb`
  let root
  let deb

  const build = () => {
    const folder = temporaryFolder()
    program(path.join(DEPLOY, 'debian', 'build'), [BINARY, folder], { env })
    return path.join(folder, file)
  }
  const dpkg = (...args) =>
    program('dpkg', [`--root=${root}`, '--force-script-chrootless', '--force-depends', '--force-not-root', ...args])
  const inside = (name) => path.join(root, name)

  /** A page of each command, which the readers of manual pages take without a complaint. */
  function checkManual() {
    const folder = inside('usr/share/man/man1')
    const listed = run(['--help']).stdout.split(/^Commands:$/m)[1].split(/^\S/m)[0]
    const commands = named(listed, /^ {2}([a-z][a-z-]*)/gm).filter((name) => name !== 'help')
    assert.ok(commands.includes('check') && commands.includes('token'), listed)
    const pages = fs.readdirSync(folder)
    for (const page of ['polyport', ...commands.map((name) => `polyport-${name}`)]) assert.ok(pages.includes(`${page}.1.gz`), page)
    for (const page of pages) {
      const text = zlib.gunzipSync(fs.readFileSync(path.join(folder, page)))
      assert.match(text.toString(), /^\.TH /m, page)
      if (!has('groff')) continue
      const { status, output } = program('groff', ['-man', '-Tutf8', '-ww', '-z'], { input: text, fails: true })
      assert.deepEqual([status, output], [0, ''], page)
    }
  }

  /** What each shell loads by itself, and finds no mistake in. */
  function checkCompletions() {
    const shells = {
      bash: 'usr/share/bash-completion/completions/polyport',
      zsh: 'usr/share/zsh/vendor-completions/_polyport',
      fish: 'usr/share/fish/vendor_completions.d/polyport.fish',
    }
    for (const [shell, file] of Object.entries(shells)) {
      assert.equal(fs.readFileSync(inside(file), 'utf8'), run(['completions', shell]).stdout, file)
      if (has(shell)) program(shell, ['-n', inside(file)])
    }
  }

  const files = () => fs.readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())

  before(() => {
    root = temporaryFolder('polyport-root-')
    for (const name of ['info', 'updates', 'triggers']) fs.mkdirSync(inside(`var/lib/dpkg/${name}`), { recursive: true })
    for (const name of ['status', 'available']) fs.writeFileSync(inside(`var/lib/dpkg/${name}`), '')
    fs.mkdirSync(inside('etc'))
    deb = build()
  })

  test('the same binary is the same package', () => {
    const [one, two] = [deb, build()].map((name) => crypto.createHash('sha256').update(fs.readFileSync(name)).digest('hex'))
    assert.equal(one, two)
  })

  test('dpkg installs it into an empty root, where it works, and takes it away again', () => {
    dpkg('--install', deb)
    const status = program('dpkg-query', [`--admindir=${inside('var/lib/dpkg')}`, '-W', '-f', '${Status} ${Version}', 'polyport'])
    assert.equal(status.output, `install ok installed ${version}-1`)
    const installed = inside('usr/bin/polyport')
    assert.equal(program(installed, ['--version']).output, `polyport ${version}\n`)
    assert.match(program(installed, ['check', '--config', inside('etc/polyport/gateway.toml')]).output, /: ok, 5 listeners/)
    assert.match(fs.readFileSync(inside('etc/passwd'), 'utf8'), /^polyport:.*:\/var\/lib\/polyport:\/usr\/sbin\/nologin$/m)
    assert.equal(fs.statSync(inside('etc/polyport/polyport.env')).mode & 0o777, 0o600)
    const service = unit(fs.readFileSync(inside('lib/systemd/system/polyport.service'), 'utf8'))
    assert.ok(fs.existsSync(inside(service.ExecStart[0].split(' ')[0])))
    assert.ok(fs.existsSync(inside(/file:(\S+)/.exec(service.Documentation[0])[1])))
    checkManual()
    checkCompletions()
    // A configuration that somebody has changed outlasts the package, and goes when everything shall.
    fs.appendFileSync(inside('etc/polyport/gateway.toml'), '# mine\n')
    dpkg('--remove', 'polyport')
    assert.match(fs.readFileSync(inside('etc/polyport/gateway.toml'), 'utf8'), /# mine/)
    assert.ok(!fs.existsSync(installed))
    dpkg('--purge', 'polyport')
    const left = files().map((entry) => path.relative(root, path.join(entry.parentPath ?? entry.path, entry.name)))
    assert.deepEqual(left.filter((name) => name.includes('polyport')), [])
  })

  test('every file is known to its package by a sum, and every configuration file is one', () => {
    const folder = temporaryFolder()
    program('dpkg-deb', ['--raw-extract', deb, folder])
    program('md5sum', ['--check', '--quiet', '--strict', 'DEBIAN/md5sums'], { cwd: folder })
    const conffiles = fs.readFileSync(path.join(folder, 'DEBIAN', 'conffiles'), 'utf8').trim().split('\n')
    const etc = fs.readdirSync(path.join(folder, 'etc'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    const own = etc.map((entry) => `/${path.relative(folder, path.join(entry.parentPath ?? entry.path, entry.name))}`)
    assert.deepEqual(own.sort(), conffiles.sort())
    for (const script of ['postinst', 'prerm', 'postrm']) program('sh', ['-n', path.join(folder, 'DEBIAN', script)])
  })
})

describe('the release', () => {
  test('the version of the binary is that of the workspace', () => {
    const manifest = fs.readFileSync(path.join(ROOT, 'Cargo.toml'), 'utf8')
    assert.equal(version, /^version = "(.*)"$/m.exec(manifest)[1])
  })

  test('both licences are here, and named by every package', () => {
    for (const name of ['LICENSE-MIT', 'LICENSE-APACHE']) assert.ok(fs.existsSync(path.join(ROOT, 'docs', 'licenses', name)))
    const { packages } = JSON.parse(
      program('cargo', ['metadata', '--locked', '--offline', '--no-deps', '--format-version=1'], { cwd: ROOT, maxBuffer: 1 << 26 }).output,
    )
    for (const { name, license } of packages) assert.equal(license, 'MIT OR Apache-2.0', name)
  })
})
