'use strict'
// What the suites of the verbs protocol share: the folder that the recorded servers served, and listeners.

const fs = require('node:fs')
const path = require('node:path')
const { temporaryFolder } = require('./polyport')

/** The 200,000 bytes of `big.bin`, as in the recordings. */
const BIG = Buffer.from(Uint8Array.from({ length: 200_000 }, (_, index) => (index * 7) & 0xff))

const PUBLIC = {
  'simple.txt': 'hello from a file\nsecond line\n',
  'nonewline.txt': 'no newline at end',
  'empty.txt': '',
  'sub/index.html': '<html>sub index</html>\n',
  'big.bin': BIG,
}

/** A folder with `public/` and, beside it, files that nobody may reach. */
function publicFolder() {
  const folder = temporaryFolder('polyport-files-')
  const put = (name, content) => {
    const file = path.join(folder, name)
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, content)
  }
  for (const [name, content] of Object.entries(PUBLIC)) put(path.join('public', name), content)
  put('outside.txt', 'nobody may read this')
  put('x', 'nobody may read this')
  put('public-secret/secret.txt', 'nobody may read this')
  return folder
}

const ROOMS = ['defaultRoom', 'otherRoom']

/** A verbs listener; `verbs` goes into its `verbs` table, everything else beside it. */
const verbsListener = ({ verbs = {}, ...rest } = {}) => ({
  protocol: 'tcp-verbs',
  backends: ['builtin'],
  ...rest,
  verbs: { rooms: ROOMS, ...verbs },
})

module.exports = { publicFolder, verbsListener, BIG, PUBLIC, ROOMS }
