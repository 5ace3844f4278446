// Started as `PEER_PORT=8001 bun server.js`. `/`: a member of the room, which hears what others say.
// `/publish`: says to all members with server.publish. `/echo`: hears its own messages back.
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.env.PEER_PORT),
  fetch(request, server) {
    const path = new URL(request.url).pathname;
    if (server.upgrade(request, { data: { path } })) return undefined;
    return new Response("a WebSocket is expected", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    backpressureLimit: 64 * 1024 * 1024,
    open(socket) {
      if (socket.data.path === "/") socket.subscribe("room");
    },
    message(socket, message) {
      if (socket.data.path === "/publish") server.publish("room", message);
      else if (socket.data.path === "/echo") socket.send(message);
    },
  },
});
