'use strict'
// The blocks of the README, done.

const { tell } = require('./lib/snippets/story')

tell(require('./lib/snippets/stories/readme'))
