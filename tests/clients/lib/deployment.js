'use strict'
// What is in deploy/, read the way those read it who use it: YAML, units, addresses, queries; and a real Prometheus.

const { execFileSync, spawn, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { ROOT, temporaryFolder } = require('./polyport')
const { freePort } = require('./ports')
const { until } = require('./wait')

const DEPLOY = path.join(ROOT, 'deploy')
const PYTHON = path.join(ROOT, 'target', 'python-schemas', 'bin')
// tests/run unpacks it where the machine has none.
const PROMETHEUS = path.join(ROOT, 'target', 'test-tools', 'prometheus', 'usr', 'bin')
const PATH = `${process.env.PATH}:${PROMETHEUS}:/usr/sbin:/sbin`

const AS_JSON = 'import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))'

/** Makes sure that the schemas are there; what cannot be installed is an error. */
function installSchemas() {
  execFileSync(path.resolve(__dirname, '..', 'python', 'install'), ['schemas'], { stdio: ['ignore', 'inherit', 'inherit'] })
}

/** Runs a program to its end. One that is not installed is an error, and so is one that fails unless `fails` says so. */
function program(name, args, { fails = false, env = {}, ...options } = {}) {
  const done = spawnSync(name, args, { encoding: 'utf8', ...options, env: { ...process.env, PATH, ...env } })
  if (done.error) throw done.error
  const output = done.stdout + done.stderr
  if (done.status !== 0 && !fails) throw new Error(`${name} ${args.join(' ')}: ${done.status ?? done.signal}\n${output}`)
  return { status: done.status, output }
}

/** Whether a program is installed. */
const has = (name) => spawnSync(name, ['--version'], { stdio: 'ignore', env: { ...process.env, PATH } }).error === undefined

const validator = (name, args) => program(path.join(PYTHON, name), args)

const read = (...parts) => fs.readFileSync(path.join(DEPLOY, ...parts), 'utf8')

const parsed = new Map()

/** The documents of a YAML file. */
function yaml(...parts) {
  const file = path.join(DEPLOY, ...parts)
  if (!parsed.has(file)) parsed.set(file, program(path.join(PYTHON, 'python'), ['-c', AS_JSON, file]).output)
  return JSON.parse(parsed.get(file))
}

/** The addresses of a `gateway.toml`, by the names of its listeners; `admin` is the admin listener's. */
function binds(...parts) {
  const found = {}
  let table
  for (const line of read(...parts).split('\n')) {
    table = /^\[(?:listeners\.)?(\w+)\]/.exec(line)?.[1] ?? table
    const bind = /^bind = "(.+?)"/.exec(line)?.[1]
    if (bind) found[table] = bind
  }
  return found
}

/** The ports of a `gateway.toml`, sorted. */
const ports = (...parts) => sorted(Object.values(binds(...parts)).map((bind) => Number(/\d+$/.exec(bind)[0])))

const sorted = (numbers) => [...numbers].sort((a, b) => a - b)

/** The values of each key of a unit, in their order. */
function unit(text) {
  const values = {}
  for (const [, key, value] of text.matchAll(/^(\w+)=(.*)$/gm)) (values[key] ??= []).push(value)
  return values
}

/** `"1m30s"` and `90` in seconds. */
function seconds(duration) {
  const units = { s: 1, m: 60, h: 3600 }
  return [...String(duration).matchAll(/(\d+)([smh]?)/g)].reduce((sum, [, count, of]) => sum + count * units[of || 's'], 0)
}

/** A Prometheus of one's own that asks a gateway for its metrics again and again, under the job name of the alert rules. */
class Prometheus {
  static async start(target, { interval }) {
    const prometheus = new Prometheus()
    const folder = temporaryFolder('polyport-prometheus-')
    const port = await freePort()
    prometheus.url = `http://127.0.0.1:${port}`
    const file = path.join(folder, 'prometheus.yml')
    const config = {
      global: { scrape_interval: interval, scrape_timeout: interval, evaluation_interval: interval },
      rule_files: [path.join(DEPLOY, 'prometheus', 'alerts.yml')],
      scrape_configs: [{ job_name: 'polyport', static_configs: [{ targets: [target] }] }],
    }
    fs.writeFileSync(file, JSON.stringify(config))
    const args = [`--config.file=${file}`, `--storage.tsdb.path=${path.join(folder, 'data')}`, `--web.listen-address=127.0.0.1:${port}`]
    prometheus.log = ''
    prometheus.child = spawn('prometheus', args, { cwd: folder, env: { ...process.env, PATH }, stdio: ['ignore', 'ignore', 'pipe'] })
    prometheus.child.stderr.setEncoding('utf8').on('data', (text) => {
      prometheus.log += text
    })
    const kill = () => prometheus.child.kill('SIGKILL')
    process.once('exit', kill)
    prometheus.ended = new Promise((resolve, reject) => {
      prometheus.child.once('error', reject)
      prometheus.child.once('close', () => resolve(process.removeListener('exit', kill)))
    })
    const isReady = () => fetch(`${prometheus.url}/-/ready`).then((answer) => answer.ok, () => false)
    const ready = until(() => `Prometheus; its log:\n${prometheus.log}`, isReady, 30_000)
    await Promise.race([ready, prometheus.ended.then(() => Promise.reject(new Error(`Prometheus has ended:\n${prometheus.log}`)))])
    return prometheus
  }

  /** The result of a query, a list of `{ metric, value }`; a query that is wrong is an error. */
  async query(query) {
    const answer = await fetch(`${this.url}/api/v1/query`, { method: 'POST', body: new URLSearchParams({ query }) })
    const { status, error, data } = await answer.json()
    if (status !== 'success') throw new Error(`${query}: ${error}`)
    return data.result
  }

  async rules() {
    const answer = await fetch(`${this.url}/api/v1/rules`)
    return (await answer.json()).data.groups.flatMap((group) => group.rules)
  }

  async stop() {
    this.child.kill('SIGTERM')
    await this.ended
  }
}

module.exports = { PATH, binds, has, installSchemas, ports, program, Prometheus, read, seconds, sorted, unit, validator, yaml, DEPLOY }
