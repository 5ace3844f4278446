//! What can be measured of one server, each in a file of its own.

pub(crate) mod calls;
pub(crate) mod fanout;
pub(crate) mod idle;
pub(crate) mod say;

#[cfg(test)]
mod tests {
    use std::io::{self, BufRead as _, BufReader, Read, Write as _};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::{calls, fanout, say};
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

    /// Opens a session of Socket.IO, pings it meanwhile, and acknowledges every event.
    fn serve_socket_io(mut stream: TcpStream) {
        let mut requests = BufReader::new(stream.try_clone().unwrap());
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(requests.read_line(&mut head).unwrap(), 0);
        }
        assert!(head.starts_with("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"));
        let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        write!(stream, "HTTP/1.1 101 Yes\r\n{accept}\r\n\r\n").unwrap();
        let mut send = |text: &str| {
            stream.write_all(&[0x81, text.len() as u8]).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
        };
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

    /// The text of a short masked frame.
    fn receive(requests: &mut impl Read) -> io::Result<String> {
        let mut head = [0; 6];
        requests.read_exact(&mut head)?;
        let mut text = vec![0; usize::from(head[1] & 0x7F)];
        requests.read_exact(&mut text)?;
        for (byte, mask) in text.iter_mut().zip(head[2..].iter().cycle()) {
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
