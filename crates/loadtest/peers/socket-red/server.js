// Started as `PEER_PORT=8001 node server.js`.
const socketRed = require("socket.red");

require("./app")(socketRed.default || socketRed, Number(process.env.PEER_PORT));
