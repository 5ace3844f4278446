// The same application inside the gateway, whose listener has the port, with the gateway's own way to reach everybody.
const polyport = require("polyport");

require("./app")(require("socket.red"), 0, (action) => polyport.dispatch({ everyone: true }, action));
