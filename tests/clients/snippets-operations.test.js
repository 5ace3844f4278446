'use strict'
// The blocks of the pages for operators, done.

const { tell } = require('./lib/snippets/story')

tell(require('./lib/snippets/stories/operations'))
