// Started as `PEER_PORT=8001 node server.js`. The database, which only reports need, is not connected to: its driver would have to be compiled.
require("remotedev-server")({
  hostname: "127.0.0.1",
  port: Number(process.env.PEER_PORT),
  dbOptions: { client: "sqlite3" },
  logLevel: 1,
});
