//! Commands about a gateway that runs. They are clients of its admin listener and know no more of it than any other client.

mod args;
mod commands;
mod gateway;
mod log;
mod metrics;
mod process;
mod table;
mod tap;
mod top;

use anyhow::Context;
use tokio::runtime;

pub use args::{
    Asked, Disconnect, Drain, Log, Publish, Reach, Reload, Rooms, Sessions, Tap, Target, Upgrade,
    Watched, Whom,
};

use crate::config::Inputs;
use gateway::Gateway;
pub(crate) use gateway::address;

/// Does what is asked for; gives what to tell the user.
///
/// # Errors
/// When the gateway cannot be asked, or refuses; the text says what to do.
pub fn ask(inputs: &Inputs, reach: &Reach, asked: &Asked, as_json: bool) -> anyhow::Result<String> {
    let gateway = Gateway::with_key(inputs, reach)?;
    block_on(async {
        match asked {
            Asked::Sessions(wanted) => commands::sessions(&gateway, wanted, as_json).await,
            Asked::Rooms(wanted) => commands::rooms(&gateway, wanted, as_json).await,
            Asked::Publish(publish) => commands::publish(&gateway, publish, as_json).await,
            Asked::Disconnect(whom) => commands::disconnect(&gateway, whom, as_json).await,
            Asked::Drain(drain) => commands::drain(&gateway, drain, as_json).await,
            Asked::Log(wanted) => log::log(&gateway, wanted, as_json).await,
            Asked::Reload(what) => process::reload(&gateway, what, as_json).await,
            Asked::Upgrade(upgrade) => process::upgrade(&gateway, upgrade, as_json).await,
        }
    })
}

/// Shows how the gateway does, until a signal, or once; what is left to tell the user then.
///
/// # Errors
/// When the gateway cannot be asked, or there is no terminal to show it on.
pub fn top(inputs: &Inputs, reach: &Reach, once: bool) -> anyhow::Result<String> {
    let gateway = Gateway::new(inputs, reach)?;
    block_on(async {
        if once {
            return top::once(&gateway).await;
        }
        top::watch(&gateway).await.map(|()| String::new())
    })
}

/// Shows what happens in the gateway, line by line, until a signal or until nobody reads it.
///
/// # Errors
/// When the gateway cannot be asked, refuses, or goes away.
pub fn tap(inputs: &Inputs, reach: &Reach, wanted: &Tap, as_json: bool) -> anyhow::Result<()> {
    let gateway = Gateway::with_key(inputs, reach)?;
    block_on(tap::watch(&gateway, wanted, as_json))
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(work)
}
