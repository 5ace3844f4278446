//! Listeners and connections on real sockets, on loopback and free ports.

#![cfg(test)]

mod closing;
mod draining;
mod fan_out;
mod gateway;
mod keep_alive;
mod limits;
mod lines;
mod peer;
mod proxy;
mod slow_readers;
mod timeouts;
mod tls;
mod unix;
mod websocket;
mod websocket_opening;
