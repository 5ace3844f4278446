'use strict'
// The blocks of the pages about scripts, services and tokens, done.

const { tell } = require('./lib/snippets/story')

tell(require('./lib/snippets/stories/backends'))
