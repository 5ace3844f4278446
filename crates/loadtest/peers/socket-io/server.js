// Started as `PEER_PORT=8001 node server.js`.
const { createServer } = require("http");
const { Server } = require("socket.io");

const server = createServer();
const io = new Server(server, { serveClient: false });

io.on("connection", (socket) => {
  socket.join("all");
  socket.on("publish", (payload) => io.to("all").emit("msg", payload));
  socket.on("randomNumber", (ack) => ack({ randomNumber: Math.random() }));
});

server.listen(Number(process.env.PEER_PORT), "127.0.0.1");
