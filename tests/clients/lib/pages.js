'use strict'
// The pages of docs/ and the README, and what stands in them.

const fs = require('node:fs')
const path = require('node:path')
const { ROOT } = require('./polyport')

/** Every page below docs/, and the README, by its path from the top of the repository. */
function pages() {
  const below = fs.readdirSync(path.join(ROOT, 'docs'), { recursive: true })
  const names = below.filter((name) => name.endsWith('.md')).map((name) => path.join('docs', name))
  return new Map(['README.md', ...names.sort()].map((name) => [name, fs.readFileSync(path.join(ROOT, name), 'utf8')]))
}

/**
 * The blocks of a page in order: `language`, `text`, the `line` they begin in, and `lead`, the paragraph right before them.
 */
function blocks(page) {
  const found = []
  let paragraph = { lines: [], goesOn: true }
  let open
  for (const [index, line] of page.split('\n').entries()) {
    if (open && line === '```') {
      found.push({ ...open, text: open.lines.join('\n') })
      open = undefined
      paragraph = { lines: [], goesOn: true }
    } else if (open) {
      open.lines.push(line)
    } else if (line.startsWith('```')) {
      open = { language: line.slice(3), lead: paragraph.lines.join(' '), line: index + 1, lines: [] }
    } else if (line.trim() === '') {
      paragraph.goesOn = false
    } else {
      paragraph = { lines: paragraph.goesOn ? [...paragraph.lines, line] : [line], goesOn: true }
    }
  }
  return found
}

const withoutBlocks = (page) => page.replace(/^```.*\n[^]*?^```$/gm, '')

/** What the links of a page lead to, other sites left out. */
function links(page) {
  const prose = withoutBlocks(page).replace(/`[^`\n]*`/g, '')
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target).filter((target) => !target.includes('://'))
}

/** The anchors of a page's headings, as GitHub and mdBook make them. */
function anchors(page) {
  const seen = new Map()
  return new Set(
    [...withoutBlocks(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => {
      const plain = heading.trim().toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')
      const times = seen.get(plain) ?? 0
      seen.set(plain, times + 1)
      return times === 0 ? plain : `${plain}-${times}`
    }),
  )
}

/** What tutorial.test.js does step by step: pages, and sections of pages, under their names. */
function walked(all) {
  const sections = (file) => all.get(file).split(/^(?=## )/m).slice(1).map((section) => [`${file}, ${section.split('\n')[0]}`, section])
  return [
    ...['docs/start.md', 'docs/tutorial.md'].map((file) => [file, all.get(file)]),
    ...sections('docs/scripts.md').filter(([name]) => name.endsWith('Five minutes to a first API')),
    ...sections('docs/moving.md').filter(([, section]) => section.includes('```console')),
  ]
}

/** Whether a block is one of the gateway's configuration, also where it is shown as plain text, from the first table or its only setting on. */
const isConfiguration = ({ language, text }) =>
  language === 'toml' || (language === 'text' && (/^\[[a-z]+[\w.-]*\]$/m.test(text) || /^[a-z_]+ = [[{]/.test(text)))

module.exports = { pages, blocks, links, anchors, walked, isConfiguration }
