'use strict'
// The blocks of the pages about protocols, done.

const { tell } = require('./lib/snippets/story')

tell(require('./lib/snippets/stories/protocols'))
