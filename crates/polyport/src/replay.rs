//! Saying again what an app has said: `polyport devtools replay`.
//!
//! It is a client of SocketCluster, as apps are, so that it needs nothing of a relay but what every relay has. Whoever watches sees an
//! app; one that comes later is told everything from the last whole state on, as an app would do.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
    time::Duration,
};

use anyhow::{Context, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, header};
use polyport_devtools_relay::{
    Recording,
    codec::{self, Channel, Generation, Message, Packet, string, write_event},
};
use polyport_net::WsClient;
use serde_json::value::RawValue;
use tokio::{
    runtime,
    time::{Instant, sleep_until, timeout},
};

use crate::cli::Replay;

/// How long the relay may take to let an app in.
const PATIENCE: Duration = Duration::from_secs(20);

/// Numbers of the calls by which an app comes in.
const HANDSHAKE: u64 = 1;
const LOGIN: u64 = 2;
const SUBSCRIBE: u64 = 3;

/// Replays a recording until the relay ends the connection; `say` tells the user how it goes.
///
/// # Errors
/// When there is no recording, the relay cannot be reached or lets no app in, or the connection ends.
pub fn replay(options: &Replay, say: impl Fn(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let shown = options.file.display();
    let text = read(&options.file).with_context(|| format!("{shown} cannot be read"))?;
    let recording = Recording::read(&text).with_context(|| format!("{shown} is no recording"))?;
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(async {
            let opening = timeout(PATIENCE, App::open(&options.url));
            let opened = opening.await.context("it took too long")?;
            let app = opened.context("the relay does not let an app in")?;
            let pace = (!options.at_once).then_some(options.speed);
            app.play(&recording, pace, say).await
        })
}

fn read(file: &Path) -> io::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    fs::read_to_string(file)
}

/// A client that has logged in as an app.
struct App {
    socket: WsClient,
    /// What the relay calls the connection.
    id: String,
    /// By what monitors know the instance: another than the recorded one, which may be there too.
    instance: String,
    /// Where it hears what it is to do.
    channel: String,
}

impl App {
    async fn open(url: &str) -> anyhow::Result<Self> {
        let (url, headers) = address(url)?;
        let socket = WsClient::open(&url, headers, PATIENCE).await?;
        let mut app = Self {
            socket,
            id: String::new(),
            instance: format!("replay-{:08x}", rand::random::<u32>()),
            channel: String::new(),
        };
        let answer = app.call(HANDSHAKE, "#handshake", r#"{"authToken":null}"#);
        let status: serde_json::Value = serde_json::from_str(&answer.await?)?;
        app.id = status["id"].as_str().context("it gives no id")?.to_owned();
        let answer = app.call(LOGIN, "login", r#""master""#);
        app.channel = serde_json::from_str(&answer.await?).context("it names no channel")?;
        let channel = serde_json::to_string(&app.channel)?;
        let subscribing = format!(r#"{{"channel":{channel}}}"#);
        app.call(SUBSCRIBE, "#subscribe", &subscribing).await?;
        Ok(app)
    }

    /// Sends a call and gives its answer.
    async fn call(&mut self, number: u64, name: &str, data: &str) -> anyhow::Result<String> {
        let packet = format!(r#"{{"event":"{name}","data":{data},"cid":{number}}}"#);
        self.socket.send(packet).await?;
        loop {
            let text = self.socket.next().await?;
            let mut found = None;
            self.hear(&text, |packet| {
                if packet.answered() == Some(number) {
                    let error = packet.error.map(|error| error.get().to_owned());
                    let data = packet.data.map_or("null", RawValue::get).to_owned();
                    found = Some((error, data));
                }
            })
            .await?;
            match found {
                Some((Some(error), _)) => bail!("`{name}` is answered with the error {error}"),
                Some((None, data)) => return Ok(data),
                None => {}
            }
        }
    }

    /// Takes a text of the relay up: answers a ping, or hands out its packets.
    async fn hear(&mut self, text: &str, mut each: impl FnMut(&Packet<'_>)) -> anyhow::Result<()> {
        let ping = [Generation::V1, Generation::V2]
            .into_iter()
            .find(|generation| generation.ping() == text);
        if let Some(generation) = ping {
            return Ok(self.socket.send(generation.pong().to_owned()).await?);
        }
        if let Message::Packets(packets) = codec::read(text) {
            packets.each(|packet| {
                each(&packet);
                true
            })?;
        }
        Ok(())
    }

    /// Says everything in its time, and again to who comes later. Ends with the connection.
    async fn play(
        mut self,
        recording: &Recording,
        speed: Option<f64>,
        say: impl Fn(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let messages = &recording.messages;
        let name = recording.name.as_deref().unwrap_or("an app");
        say(&format!(
            "{name} is there again, with {} messages; Ctrl-C ends it",
            messages.len()
        ))?;
        self.log(&self.start(recording)?).await?;
        let began = Instant::now();
        let moment = |index: usize| {
            let after = messages.get(index).map(|it| it.after);
            after.map(|after| match speed {
                Some(speed) => began + after.div_f64(speed),
                None => began,
            })
        };
        let (mut next, mut base) = (0, 0);
        loop {
            let due = moment(next);
            let wait = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                text = self.socket.next() => {
                    let text = text?;
                    let mut is_asked = false;
                    let channel = self.channel.clone();
                    self.hear(&text, |packet| is_asked |= asks_for_state(packet, &channel)).await?;
                    if is_asked {
                        for message in &messages[base..next] {
                            self.log(&message.said_by(&self.id, &self.instance)).await?;
                        }
                    }
                }
                () = wait => {
                    let message = &messages[next];
                    if message.is_base {
                        base = next;
                    }
                    self.log(&message.said_by(&self.id, &self.instance)).await?;
                    next += 1;
                    if next == messages.len() {
                        say("that was all; monitors can travel in it until Ctrl-C")?;
                    }
                }
            }
        }
    }

    /// The message by which an app says that it is there.
    fn start(&self, recording: &Recording) -> anyhow::Result<String> {
        let mut start =
            serde_json::json!({ "type": "START", "id": self.id, "instanceId": self.instance });
        if let Some(name) = &recording.name {
            start["name"] = name.as_str().into();
        }
        Ok(serde_json::to_string(&start)?)
    }

    async fn log(&mut self, message: &str) -> anyhow::Result<()> {
        let mut text = String::new();
        write_event(&mut text, "log", Some(message));
        Ok(self.socket.send(text).await?)
    }
}

/// Whether a monitor wants to see where the app is: it comes by the channel or, in generation 1, as an event of that name.
fn asks_for_state(packet: &Packet<'_>, channel: &str) -> bool {
    let Some(name) = packet.name() else {
        return false;
    };
    let data = match &*name {
        "#publish" => {
            let published = Channel::read(packet.data);
            published
                .data
                .filter(|_| published.name().as_deref() == Some(channel))
        }
        name if name == channel => packet.data,
        _ => None,
    };
    let kind = data.and_then(|data| codec::member(data, "type"));
    matches!(kind.and_then(string).as_deref(), Some("START" | "UPDATE"))
}

/// The address without a name and a secret in front of the host, and the header that shows them.
fn address(url: &str) -> anyhow::Result<(String, HeaderMap)> {
    let mut headers = HeaderMap::new();
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let host = rest.find(['/', '?']).unwrap_or(rest.len());
        let (user, _) = rest[..host].rsplit_once('@')?;
        Some((scheme, user, &rest[user.len() + 1..]))
    });
    let Some((scheme, user, rest)) = parts else {
        return Ok((url.to_owned(), headers));
    };
    let basic = format!("Basic {}", STANDARD.encode(user));
    let mut basic = HeaderValue::from_str(&basic)?;
    basic.set_sensitive(true);
    headers.insert(header::AUTHORIZATION, basic);
    Ok((format!("{scheme}://{rest}"), headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_front_of_the_host_becomes_a_header() {
        let check = |url: &str, expected: &str, basic: Option<&str>| {
            let (url, headers) = address(url).unwrap();
            let found = headers.get(header::AUTHORIZATION);
            let found = found.map(|it| it.to_str().unwrap().to_owned());
            assert_eq!((url.as_str(), found.as_deref()), (expected, basic));
        };
        check("ws://a:1/x", "ws://a:1/x", None);
        check("ws://a:1/x?y=b@c", "ws://a:1/x?y=b@c", None);
        check("wss://u:s@a/x", "wss://a/x", Some("Basic dTpz"));
        check("ws://u:s@t@a", "ws://a", Some("Basic dTpzQHQ="));
    }

    #[test]
    fn what_asks_for_the_state() {
        let check = |text: &str, expected: bool| {
            let Message::Packets(packets) = codec::read(text) else {
                panic!("{text}");
            };
            let mut found = false;
            let taken = packets.each(|packet| {
                found |= asks_for_state(&packet, "respond");
                true
            });
            assert_eq!((found, taken), (expected, Ok(())), "{text}");
        };
        check(r#"{"event":"respond","data":{"type":"START"}}"#, true);
        check(
            r##"{"event":"#publish","data":{"channel":"respond","data":{"type":"UPDATE"}}}"##,
            true,
        );
        check(
            r##"{"event":"#publish","data":{"channel":"other","data":{"type":"START"}}}"##,
            false,
        );
        check(r#"{"event":"respond","data":{"type":"DISPATCH"}}"#, false);
        check(r#"{"event":"respond"}"#, false);
        check(r#"{"rid":1}"#, false);
    }
}
