//! What can be measured of one server, each in a file of its own.

pub(crate) mod calls;
pub(crate) mod fanout;
pub(crate) mod full;
pub(crate) mod idle;
pub(crate) mod say;

#[cfg(test)]
mod tests {
    use std::io::{self, BufRead, BufReader, Read, Write as _};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use serde_json::Value;

    use super::{calls, fanout, full, say};
    use crate::protocol::Protocol;
    use crate::subject::Subject;

    /// A server that serves every connection in a thread of its own, which ends with it.
    fn server(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let serve = serve.clone();
                std::thread::spawn(move || serve(stream.unwrap()));
            }
        });
        address
    }

    /// A server that knows just enough verbs.
    fn verbs_server() -> SocketAddr {
        let members = Arc::new(Mutex::new(Vec::new()));
        server(move |stream| serve_verbs(stream, &members))
    }

    fn serve_verbs(mut stream: TcpStream, members: &Mutex<Vec<TcpStream>>) {
        stream.write_all(b"{\"welcome\":\"hi\"}\r\n").unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        for (line, count) in lines.map_while(Result::ok).zip(1..) {
            let mut words = line.splitn(3, ' ');
            let answer = match (words.next(), words.nth(1)) {
                (Some("roomAdd"), _) => {
                    members.lock().unwrap().push(stream.try_clone().unwrap());
                    r#""status":"OK""#
                }
                (Some("say"), Some(text)) => {
                    for mut member in members.lock().unwrap().iter() {
                        write!(member, "{{\"message\":\"{text}\"}}\r\n").unwrap();
                    }
                    r#""status":"OK""#
                }
                _ => r#""error":"unknown""#,
            };
            let rest = format!(r#""context":"response","messageCount":{count}"#);
            if write!(stream, "{{{answer},{rest}}}\r\n").is_err() {
                return;
            }
        }
    }

    /// Reads the head of an upgrade to WebSocket at `path` and agrees.
    fn upgrade(stream: &mut TcpStream, requests: &mut impl BufRead, path: &str) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(requests.read_line(&mut head).unwrap(), 0);
        }
        assert!(
            head.starts_with(&format!("GET {path} HTTP/1.1\r\n")),
            "{head}"
        );
        let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        write!(stream, "HTTP/1.1 101 Yes\r\n{accept}\r\n\r\n").unwrap();
    }

    /// Writes a text of less than 64 KiB as servers frame it.
    fn send(mut stream: &TcpStream, text: &str) -> io::Result<()> {
        let mut frame = vec![0x81];
        match u8::try_from(text.len()) {
            Ok(length) if length < 126 => frame.push(length),
            _ => {
                frame.push(126);
                frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            }
        }
        frame.extend_from_slice(text.as_bytes());
        stream.write_all(&frame)
    }

    /// Opens a session of Socket.IO, pings it meanwhile, and acknowledges every event.
    fn serve_socket_io(mut stream: TcpStream) {
        let mut requests = BufReader::new(stream.try_clone().unwrap());
        upgrade(
            &mut stream,
            &mut requests,
            "/socket.io/?EIO=4&transport=websocket",
        );
        let send = |text: &str| send(&stream, text).unwrap();
        send(r#"0{"sid":"x"}"#);
        assert_eq!(receive(&mut requests).unwrap(), "40");
        send("2");
        assert_eq!(receive(&mut requests).unwrap(), "3");
        send(r#"40{"sid":"y"}"#);
        while let Ok(event) = receive(&mut requests) {
            let number = event.strip_prefix("42").unwrap();
            let (number, _) = number.split_once('[').unwrap();
            send(&format!("43{number}[0.5]"));
        }
    }

    /// A server of SocketCluster that relays publications, and what apps log. It pings in the ways of both generations and
    /// wants `pong`.
    fn socketcluster_server(pong: &'static str) -> SocketAddr {
        let members = Arc::new(Mutex::new(Vec::new()));
        server(move |stream| serve_socketcluster(stream, pong, &members))
    }

    /// Subscribes to every channel but `closed`, and answers every call but `nothing`.
    fn serve_socketcluster(mut stream: TcpStream, pong: &str, members: &Mutex<Vec<TcpStream>>) {
        let mut requests = BufReader::new(stream.try_clone().unwrap());
        upgrade(&mut stream, &mut requests, "/socketcluster/");
        send(&stream, "#1").unwrap();
        send(&stream, "").unwrap();
        let handshake = receive(&mut requests).unwrap();
        assert!(
            handshake.contains(r##""event":"#handshake""##),
            "{handshake}"
        );
        assert_eq!(receive(&mut requests).unwrap(), pong);
        send(&stream, r#"{"rid":1,"data":{"id":"x"}}"#).unwrap();
        while let Ok(text) = receive(&mut requests) {
            let packet: Value = serde_json::from_str(&text).unwrap();
            let (event, data) = (packet["event"].as_str().unwrap(), &packet["data"]);
            match event {
                "#subscribe" if data["channel"] != "closed" => {
                    members.lock().unwrap().push(stream.try_clone().unwrap())
                }
                "#publish" | "log" => {
                    let message = format!(r##"{{"event":"#publish","data":{data}}}"##);
                    for member in members.lock().unwrap().iter() {
                        send(member, &message).unwrap();
                    }
                }
                _ => {}
            }
            let result = match event {
                "nothing" => r#""error":"no""#,
                _ if data["channel"] == "closed" => r#""error":"no""#,
                _ => r#""data":0.5"#,
            };
            if let Some(cid) = packet["cid"].as_u64()
                && send(&stream, &format!(r#"{{"rid":{cid},{result}}}"#)).is_err()
            {
                return;
            }
        }
    }

    /// The text of a masked frame of less than 64 KiB.
    fn receive(requests: &mut impl Read) -> io::Result<String> {
        let mut head = [0; 2];
        requests.read_exact(&mut head)?;
        let mut length = usize::from(head[1] & 0x7F);
        if length == 126 {
            let mut longer = [0; 2];
            requests.read_exact(&mut longer)?;
            length = u16::from_be_bytes(longer).into();
        }
        let mut mask = [0; 4];
        requests.read_exact(&mut mask)?;
        let mut text = vec![0; length];
        requests.read_exact(&mut text)?;
        for (byte, mask) in text.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        Ok(String::from_utf8(text).unwrap())
    }

    fn subject(protocol: Protocol, address: SocketAddr) -> Subject {
        Subject {
            protocol,
            address,
            member_path: protocol.path().to_owned(),
            publish_path: protocol.path().to_owned(),
            room: "lobby".to_owned(),
            join: true,
            process: None,
            far: None,
            tls: None,
            patience: Duration::from_secs(10),
        }
    }

    fn verbs() -> Subject {
        subject(Protocol::TcpVerbs, verbs_server())
    }

    #[test]
    fn every_delivery_of_a_fanout_is_seen() {
        let options = fanout::FanoutOptions {
            members: 5,
            rate: 200.0,
            burst: 4,
            bytes: 100,
            warmup: Duration::from_millis(40),
            duration: Duration::from_millis(200),
        };
        let report = fanout::run(&verbs(), &options).unwrap();
        assert_eq!(report.latency.count, 5 * 40, "{report:?}");
        assert_eq!((report.missing, report.out_of_order), (0, 0), "{report:?}");
        assert_eq!(report.used.server_us_per_message, None);
    }

    #[test]
    fn calls_are_answered_and_errors_counted_in_both_loops() {
        for rate in [None, Some(500.0)] {
            let options = calls::CallsOptions {
                connections: 3,
                in_flight: 2,
                rate,
                action: "randomNumber".to_owned(),
                bytes: 100,
                warmup: Duration::from_millis(20),
                duration: Duration::from_millis(100),
            };
            let report = calls::run(&verbs(), &options).unwrap();
            assert!(report.latency.count > 0, "{report:?}");
            assert!(report.errors >= report.latency.count, "{report:?}");
            assert_eq!((report.missing, report.lost_connections), (0, 0));
        }
    }

    #[test]
    fn sessions_of_socket_io_open_and_their_acknowledgements_are_counted() {
        let options = calls::CallsOptions {
            connections: 3,
            in_flight: 2,
            rate: None,
            action: "sum [4,5]".to_owned(),
            bytes: 0,
            warmup: Duration::from_millis(20),
            duration: Duration::from_millis(100),
        };
        let subject = subject(Protocol::SocketIo, server(serve_socket_io));
        let report = calls::run(&subject, &options).unwrap();
        assert!(report.latency.count > 0, "{report:?}");
        assert_eq!((report.errors, report.missing), (0, 0), "{report:?}");
    }

    #[test]
    fn calls_of_socketcluster_are_answered_and_errors_counted() {
        for (action, works) in [("sum [4,5]", true), ("nothing", false)] {
            let options = calls::CallsOptions {
                connections: 3,
                in_flight: 2,
                rate: None,
                action: action.to_owned(),
                bytes: 0,
                warmup: Duration::from_millis(20),
                duration: Duration::from_millis(100),
            };
            let subject = subject(Protocol::Socketcluster, socketcluster_server(""));
            let report = calls::run(&subject, &options).unwrap();
            assert!(report.latency.count > 0, "{report:?}");
            assert_eq!(report.errors == 0, works, "{report:?}");
            assert_eq!(report.missing, 0, "{report:?}");
        }
    }

    #[test]
    fn everybody_subscribed_has_every_publication() {
        let options = fanout::FanoutOptions {
            members: 3,
            rate: 200.0,
            burst: 2,
            bytes: 200,
            warmup: Duration::from_millis(20),
            duration: Duration::from_millis(100),
        };
        let subject = subject(Protocol::Socketcluster, socketcluster_server(""));
        let report = fanout::run(&subject, &options).unwrap();
        assert_eq!(report.latency.count, 3 * 20, "{report:?}");
        assert_eq!((report.missing, report.out_of_order), (0, 0), "{report:?}");
    }

    #[test]
    fn at_full_load_every_message_reaches_every_member_in_order() {
        let options = full::FullOptions {
            members: 3,
            publishers: 2,
            in_flight: 4,
            bytes: 500,
            warmup: Duration::from_millis(20),
            duration: Duration::from_millis(100),
        };
        for (protocol, server) in [
            (Protocol::TcpVerbs, verbs_server()),
            (Protocol::DevtoolsRelay, socketcluster_server("#2")),
        ] {
            let report = full::run(&subject(protocol, server), &options).unwrap();
            assert!(report.messages_per_second > 0.0, "{report:?}");
            assert!(report.latency.count > 0, "{report:?}");
            assert_eq!((report.missing, report.out_of_order), (0, 0), "{report:?}");
            assert_eq!(report.lost_connections, 0, "{report:?}");
        }
    }

    #[test]
    fn who_is_not_let_in_measures_nothing() {
        let mut subject = subject(Protocol::Socketcluster, socketcluster_server(""));
        subject.room = "closed".to_owned();
        let mut clients = subject.clients().unwrap();
        let refused = subject.open_members(&mut clients, 1).unwrap_err();
        assert!(refused.to_string().contains(r#""error":"no""#), "{refused}");
    }

    #[test]
    fn say_waits_for_the_last_member() {
        let options = say::SayOptions {
            members: 4,
            count: 3,
            pause: Duration::from_millis(1),
            bytes: 60,
        };
        let report = say::run(&verbs(), &options).unwrap();
        assert!(report.first_us_median <= report.last_us_median);
        assert!(report.last_us_best > 0.0);
    }
}
