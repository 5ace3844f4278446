// Started as `PEER_PORT=8001 node server.js`; the same three paths as the Bun server beside it.
const { WebSocketServer } = require("ws");

const members = new Set();
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(process.env.PEER_PORT),
  perMessageDeflate: false,
});

server.on("connection", (socket, request) => {
  if (request.url === "/") {
    members.add(socket);
    socket.on("close", () => members.delete(socket));
  } else if (request.url === "/publish") {
    socket.on("message", (data, isBinary) => {
      for (const member of members) member.send(data, { binary: isBinary });
    });
  } else if (request.url === "/echo") {
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  }
});
