'use strict'
// Writes a plain object as TOML: enough for the configurations of these tests.

const inline = (value) => {
  if (Array.isArray(value)) return `[${value.map(inline).join(', ')}]`
  if (value !== null && typeof value === 'object') {
    return `{ ${Object.entries(value).map(([key, inner]) => `${name(key)} = ${inline(inner)}`).join(', ')} }`
  }
  return JSON.stringify(value)
}

const name = (key) => (/^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key))

const isTable = (value) => value !== null && typeof value === 'object' && !Array.isArray(value)

/** Scalars and lists of a table come first, its sub-tables after it, as TOML demands. */
function table(value, path) {
  const own = Object.entries(value).filter(([, inner]) => inner !== undefined)
  const lines = []
  const plain = own.filter(([, inner]) => !isTable(inner))
  if (path.length > 0 && (plain.length > 0 || own.length === 0)) lines.push(`[${path.map(name).join('.')}]`)
  for (const [key, inner] of plain) lines.push(`${name(key)} = ${inline(inner)}`)
  for (const [key, inner] of own.filter(([, inner]) => isTable(inner))) lines.push(table(inner, [...path, key]))
  return lines.join('\n')
}

const toToml = (config) => `${table(config, [])}\n`

module.exports = { toToml }
