// The same application inside the gateway, untouched: it reaches everybody by a loop over its sessions.
require("./app")(require("socket.red"), 0);
