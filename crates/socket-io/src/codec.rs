//! Bytes of both layers, without I/O: Engine.IO packets and polling bodies, Socket.IO packets in JSON and msgpack.
