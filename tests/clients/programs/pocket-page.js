'use strict'
// Makes a process what a page is that has loaded the library of Pocketsocket: the original script if POCKETSOCKET_JS names it.

const original = require('../lib/pocket-original')
const standIn = require('../lib/pocket-stand-in')

globalThis.pocket = (original.given ? original : standIn).load().pocket
