// Started as `PEER_PORT=8001 node server.js`.
const { createServer } = require("http");
const { attach } = require("socketcluster-server");

const server = createServer();
const cluster = attach(server);

async function answer(socket) {
  for await (const request of socket.procedure("randomNumber")) {
    request.end({ randomNumber: Math.random() });
  }
}

async function main() {
  server.listen(Number(process.env.PEER_PORT), "127.0.0.1");
  for await (const { socket } of cluster.listener("connection")) answer(socket);
}

main();
