// Started as `PEER_PORT=8001 node server.js`; with `PEER_REDIS=redis://127.0.0.1:6379` it is one of several nodes.
const { createServer } = require("http");
const { Server } = require("socket.io");

const server = createServer();
const io = new Server(server, { serveClient: false });

io.on("connection", (socket) => {
  socket.join("all");
  socket.on("publish", (payload) => io.to("all").emit("msg", payload));
  socket.on("randomNumber", (ack) => ack({ randomNumber: Math.random() }));
});

async function meet(url) {
  const { createAdapter } = require("@socket.io/redis-adapter");
  const { createClient } = require("redis");
  const publisher = createClient({ url });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  io.adapter(createAdapter(publisher, subscriber));
}

async function main() {
  if (process.env.PEER_REDIS) await meet(process.env.PEER_REDIS);
  server.listen(Number(process.env.PEER_PORT), "127.0.0.1");
}

main();
