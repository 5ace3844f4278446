// Started as `PEER_PORT=5000 node server.js` in this folder: the original server on 127.0.0.1, the fake redis inside.
var Actionhero = require('actionhero').actionheroPrototype;

new Actionhero().start(function (error) {
  if (error) {
    console.error(error);
    process.exit(1);
  }
});
