'use strict'
// The pages say what is so: the book names each of them, links lead somewhere, configurations pass the check, commands exist.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { describe, test } = require('node:test')
const { Authority } = require('./lib/certificates')
const { anchors, blocks, isConfiguration, links, pages } = require('./lib/pages')
const { ROOT, run, temporaryFolder } = require('./lib/polyport')

const PAGES = pages()
const inDocs = (file) => file.startsWith('docs/')

describe('the book', () => {
  test('names every page, once', () => {
    const named = links(PAGES.get('docs/SUMMARY.md')).map((link) => path.join('docs', link))
    const all = [...PAGES.keys()].filter((file) => inDocs(file) && file !== 'docs/SUMMARY.md')
    assert.deepEqual(named.sort(), all.sort())
  })

  test('takes the pages beside it and leaves nothing among them', () => {
    const settings = fs.readFileSync(path.join(ROOT, 'docs', 'book.toml'), 'utf8')
    assert.match(settings, /^src = "\."$/m)
    assert.match(settings, /^build-dir = "\.\.\/target\//m)
    assert.match(settings, /^create-missing = false$/m)
  })
})

describe('links', () => {
  for (const [file, page] of PAGES) {
    test(file, () => {
      const dead = links(page).filter((link) => {
        const [target, anchor] = link.split('#')
        const there = target === '' ? file : path.join(path.dirname(file), target)
        // Whoever reads the site has nothing but docs/.
        if (inDocs(file) && !inDocs(there)) return true
        if (!fs.existsSync(path.join(ROOT, there))) return true
        return anchor !== undefined && !anchors(PAGES.get(there) ?? '').has(anchor)
      })
      assert.deepEqual(dead, [])
    })
  }
})

/** What snippets name: files that are not shipped, and variables. */
function surroundings() {
  const folder = temporaryFolder('polyport-snippets-')
  fs.cpSync(path.join(ROOT, 'docs', 'examples'), path.join(folder, 'docs', 'examples'), { recursive: true })
  fs.mkdirSync(path.join(folder, 'keys'))
  for (const name of ['rs', 'es']) fs.writeFileSync(path.join(folder, 'keys', `${name}.pem`), '')
  fs.mkdirSync(path.join(folder, 'devtools-page'))
  fs.writeFileSync(path.join(folder, 'devtools-page', 'index.html'), '<!doctype html>')
  for (const name of ['anna', 'ci']) fs.writeFileSync(path.join(folder, `${name}.secret`), `the secret of ${name}\n`)
  fs.writeFileSync(path.join(folder, 'collector.key'), 'a key of the collector\n')
  const authority = new Authority(folder)
  authority.issue('localhost')
  for (const [cert, key] of [['cert.pem', 'key.pem'], ['a.pem', 'a-key.pem'], ['b.pem', 'b-key.pem']]) {
    fs.copyFileSync(path.join(folder, 'localhost.pem'), path.join(folder, cert))
    fs.copyFileSync(path.join(folder, 'localhost.key'), path.join(folder, key))
  }
  return { folder, env: { POLYPORT_JWT_SECRET: 'a secret that is long enough for HS256' } }
}

const PROTOCOLS = { tcp: 'tcp-verbs', rpc: 'ws-rpc', pocket: 'ws-channels', messaging: 'socket-io', devtools: 'devtools-relay' }

/** What a fragment leaves out and cannot do without: its listener's protocol and address, the backends and tokens that it names. */
function frame(snippet) {
  const has = (table) => new RegExp(`^\\[${table}[.\\]]`, 'm').test(snippet)
  const set = []
  const listeners = new Set([...snippet.matchAll(/^\[listeners\.(\w+)/gm)].map(([, name]) => name))
  if (listeners.size === 0) listeners.add('tcp')
  for (const name of listeners) {
    const own = snippet.match(new RegExp(`^\\[listeners\\.${name}\\]\\n((?:(?!\\[).*\\n?)*)`, 'm'))?.[1] ?? ''
    if (!/^protocol\s*=/m.test(own)) set.push(`listeners.${name}.protocol=${PROTOCOLS[name]}`)
    if (!/^bind\s*=/m.test(own)) set.push(`listeners.${name}.bind=127.0.0.1:0`)
  }
  if (/"tour"/.test(snippet) && !has('backends\\.tour')) set.push('backends.tour.kind=script', 'backends.tour.file=docs/examples/tour.js')
  if (/tokens = "main"/.test(snippet) && !has('tokens\\.main')) set.push('tokens.main.keys=[{ algorithm = "HS256", secret = "env:POLYPORT_JWT_SECRET" }]')
  if (has('api') && !has('admin')) set.push('admin.bind=127.0.0.1:0')
  return set.flatMap((setting) => ['--set', setting])
}

/** The table of a setting that is shown alone. */
const TABLES = { keys: 'tokens.main', jwks: 'tokens.main', permissions: 'listeners.tcp' }

/** A fragment as it would stand in a file. */
function whole(text) {
  const [, key] = /^([a-z_]+) = [[{]/.exec(text) ?? []
  const complete = TABLES[key] === undefined ? text : `[${TABLES[key]}]\n${text}`
  return `${complete.replaceAll('"sha256:…"', `"sha256:${'0'.repeat(64)}"`)}\n`
}

describe('configurations', () => {
  const { folder, env } = surroundings()
  const check = (text, args = []) => {
    // The reader's own scripts, which the page shows, or need not.
    for (const [, name] of text.matchAll(/^file = "([\w-]+\.js)"$/gm)) fs.writeFileSync(path.join(folder, name), 'exports.none = {}\n')
    const file = path.join(folder, 'gateway.toml')
    fs.writeFileSync(file, text)
    return run(['check', '--config', file, ...args], { env })
  }

  for (const [file, page] of PAGES) {
    for (const { text, line } of blocks(page).filter(isConfiguration)) {
      test(`${file}:${line}`, () => {
        const done = check(whole(text), frame(whole(text)))
        assert.equal(done.status, 0, done.stderr)
      })
    }
  }

  test('a snippet with a mistake does not pass', () => {
    assert.notEqual(check('[listeners.tcp]\nprotocol = "tcp-verbs"\nbind = "127.0.0.1:0"\ncompat = "v20"\n').status, 0)
    assert.notEqual(check('[listeners.tcp.verbs]\ncompat = "v99"\n', frame('[listeners.tcp.verbs]\n')).status, 0)
  })
})

/** Commands of the gateway in blocks that a shell would take, and in code within the text. */
function commands(page) {
  const shell = blocks(page).filter(({ language }) => ['', 'sh', 'console'].includes(language))
  const lines = shell.flatMap(({ text }) => text.replace(/\\\n\s*/g, ' ').split('\n'))
  const inText = [...page.matchAll(/`(polyport[^`\n]*)`/g)].map(([, code]) => code)
  return [...lines, ...inText]
    .map((line) => line.replace(/^\$ /, '').replace(/^target\/release\//, ''))
    .filter((line) => /^polyport( |$)/.test(line))
    // The first line of what a start prints.
    .filter((line) => !/^polyport \d/.test(line))
    .map((line) => line.split(/\s/).slice(1))
}

/** The words before the first option or value that is the reader's own. */
function subcommands(words) {
  const end = words.findIndex((word) => !/^[a-z][a-z-]*$/.test(word))
  return end < 0 ? words : words.slice(0, end)
}

const UNITS = { '': 1, µs: 1e-6, ms: 1e-3, B: 1, KB: 1e3, MB: 1e6, GB: 1e9, KiB: 2 ** 10, MiB: 2 ** 20 }
const AMOUNT = /([\d.,]*\d)(?: (µs|ms|B|KB|MB|GB|KiB|MiB)\b)?/g
const amount = (number, unit = '') => Number(number.replaceAll(',', '')) * UNITS[unit]

/** What a calculation gives: products and quotients, and sums of them. */
function calculated(text) {
  const plain = text.replace(AMOUNT, (_, number, unit) => amount(number, unit))
  return plain.split(' + ').reduce((sum, term) => {
    const [first, ...more] = term.split(/ ([×/]) /)
    let product = Number(first)
    for (let at = 0; at < more.length; at += 2) product *= more[at] === '×' ? Number(more[at + 1]) : 1 / Number(more[at + 1])
    return sum + product
  }, 0)
}

describe('capacity', () => {
  const page = PAGES.get('docs/capacity.md')

  test('its figures are those that were measured', () => {
    const tables = page.split('\n').filter((line) => line.startsWith('|')).join('\n')
    const figures = [...tables.matchAll(/[\d.,]*\d (?:µs|B)\b/g)].map(([figure]) => figure.split(' '))
    assert.ok(figures.length > 20, `only ${figures.length} figures`)
    const [, measured] = /^## Side by side$([^]*?)^### How a script is asked$/m.exec(PAGES.get('docs/performance.md'))
    const strange = figures.filter(([number]) => !new RegExp(`(?<![\\d.,])${number.replaceAll('.', '\\.')}(?![\\d.,]*\\d)`).test(measured))
    assert.deepEqual(strange, [])
  })

  for (const { text } of blocks(page).filter(({ language }) => language === 'text')) {
    for (const line of text.split('\n')) {
      test(line, () => {
        const [, calculation, result] = /^\S.*?\s{2,}(.*) = (.*)$/.exec(line)
        const [[, number, unit]] = result.matchAll(AMOUNT)
        const told = amount(number, unit)
        const right = calculated(calculation)
        assert.ok(Math.abs(right - told) <= 0.02 * told, `it is ${right}`)
      })
    }
  }
})

describe('commands of the gateway', () => {
  const helps = new Map()
  const help = (words) => {
    const key = words.join(' ')
    if (!helps.has(key)) helps.set(key, run([...words, '--help']))
    return helps.get(key)
  }

  for (const [file, page] of PAGES) {
    const shown = commands(page)
    if (shown.length === 0) continue
    test(file, () => {
      for (const words of shown) {
        const { status, stdout, stderr } = help(subcommands(words))
        assert.equal(status, 0, `polyport ${words.join(' ')}: ${stderr}`)
        for (const [option] of words.join(' ').matchAll(/(?<=^| )--[a-z-]+/g)) {
          assert.match(stdout, new RegExp(`${option}\\b`), `polyport ${words.join(' ')}`)
        }
      }
    })
  }

  test('there is no help of a command that does not exist', () => {
    assert.notEqual(help(['chekc']).status, 0)
  })
})
