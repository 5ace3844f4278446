// The project is the framework's own defaults and sample actions, changed only where a measurement needs it.
var port = Number(process.env.PEER_PORT);

exports.default = {
  general: function () {
    return {
      developmentMode: false,
      // The shipped limit of 5 would refuse most of a pipelined run; the cost of an accepted call stays the same.
      simultaneousActions: 100000
    };
  },
  servers: {
    socket: function () {
      return { enabled: true, bindIP: '127.0.0.1', port: port };
    },
    web: function () {
      return { enabled: false };
    },
    websocket: function () {
      return { enabled: false };
    }
  },
  // No log at all: a line per action would only add to the time of the original.
  logger: function () {
    return { transports: [] };
  }
};
