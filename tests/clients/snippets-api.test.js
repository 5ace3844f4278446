'use strict'
// The blocks of the pages about the server API, taps and the console, done.

const { tell } = require('./lib/snippets/story')

tell(require('./lib/snippets/stories/api'))
