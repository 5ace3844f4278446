//! Started with `PEER_PORT=8001` in its environment; the same application as the npm server `../socket-io`.

use std::error::Error;

use axum::Router;
use axum::serve::ListenerExt as _;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::var("PEER_PORT")?.parse::<u16>()?;
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", connected);
    // Node switches Nagle's algorithm off by itself.
    let listener = TcpListener::bind(("127.0.0.1", port))
        .await?
        .tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
    axum::serve(listener, Router::new().layer(layer)).await?;
    Ok(())
}

async fn connected(socket: SocketRef) {
    socket.join("all");
    socket.on("publish", publish);
    socket.on("randomNumber", random_number);
}

async fn publish(io: SocketIo, Data(payload): Data<Value>) {
    // Members whose queue is full miss the message, which the load generator counts.
    let _ = io.to("all").emit("msg", &payload).await;
}

async fn random_number(ack: AckSender) {
    let _ = ack.send(&json!({ "randomNumber": rand::random::<f64>() }));
}
