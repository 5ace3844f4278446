'use strict'
// Whether what was printed is what a page shows: ids, times and chance may be others, and `…` stands for what is left out.

const HEX = '[0-9a-f]'
const UUID = `${HEX}{8}(?:-${HEX}{4}){3}-${HEX}{12}`

/** What a page cannot know, by how it looks there and by what may stand in its place. */
const UNKNOWN = [
  [`\\b${HEX}{8}-…`, UUID],
  [UUID, UUID],
  ['\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?Z', '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?Z'],
  ['\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d+', '\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d+'],
  ['\\b\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z', '\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z'],
  ['\\b\\d{13}\\b', '\\d{13}'],
  ['\\b0\\.\\d{7,}\\b', '(?:0\\.\\d+|\\d(?:\\.\\d+)?e-\\d+)'],
  ['…', '.*'],
  [' {2,}', ' +'],
]
const LOOKS = new RegExp(UNKNOWN.map(([look]) => `(${look})`).join('|'), 'g')

const literal = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** The numbers of a fragment stand for any. */
const numbers = (fragment) => fragment.split(/\d+/).map(literal).join('\\d+')

/** One line of a page as a pattern. `varying` are fragments whose numbers may be others. */
function plain(line, varying) {
  const [first, ...rest] = varying
  if (first !== undefined) return line.split(first).map((part) => plain(part, rest)).join(numbers(first))
  let pattern = ''
  let from = 0
  for (const match of line.matchAll(LOOKS)) {
    const [, ...groups] = match
    pattern += literal(line.slice(from, match.index)) + UNKNOWN[groups.findIndex((group) => group !== undefined)][1]
    from = match.index + match[0].length
  }
  return pattern + literal(line.slice(from))
}

/** A test for lines that are like one of a page. */
function likeness(line, varying = []) {
  const pattern = new RegExp(`^${plain(line, varying)}$`, 's')
  return (printed) => pattern.test(printed)
}

/** Whether several lines are, each in its place. A line that is `…` alone stands for any number of lines. */
function alike(shown, printed, varying = []) {
  const [first, ...rest] = shown
  if (first === undefined) return printed.length === 0
  if (first.trim() === '…') return printed.some((_, index) => alike(rest, printed.slice(index), varying)) || alike(rest, [], varying)
  return printed.length > 0 && likeness(first, varying)(printed[0]) && alike(rest, printed.slice(1), varying)
}

module.exports = { likeness, alike }
