//! What can be measured of one server, each in a file of its own.

pub(crate) mod calls;
pub(crate) mod fanout;
pub(crate) mod idle;
pub(crate) mod say;

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::{calls, fanout, say};
    use crate::protocol::Protocol;
    use crate::subject::Subject;

    /// A server that knows just enough verbs; its threads end with their connections.
    fn verbs_server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let members = Arc::new(Mutex::new(Vec::new()));
            for stream in listener.incoming() {
                let members = Arc::clone(&members);
                std::thread::spawn(move || serve(stream.unwrap(), &members));
            }
        });
        address
    }

    fn serve(mut stream: TcpStream, members: &Mutex<Vec<TcpStream>>) {
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

    fn subject() -> Subject {
        Subject {
            protocol: Protocol::TcpVerbs,
            address: verbs_server(),
            member_path: "/".to_owned(),
            publish_path: "/".to_owned(),
            room: "lobby".to_owned(),
            join: true,
            process: None,
            tls: None,
            patience: Duration::from_secs(10),
        }
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
        let report = fanout::run(&subject(), &options).unwrap();
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
            let report = calls::run(&subject(), &options).unwrap();
            assert!(report.latency.count > 0, "{report:?}");
            assert!(report.errors >= report.latency.count, "{report:?}");
            assert_eq!((report.missing, report.lost_connections), (0, 0));
        }
    }

    #[test]
    fn say_waits_for_the_last_member() {
        let options = say::SayOptions {
            members: 4,
            count: 3,
            pause: Duration::from_millis(1),
            bytes: 60,
        };
        let report = say::run(&subject(), &options).unwrap();
        assert!(report.first_us_median <= report.last_us_median);
        assert!(report.last_us_best > 0.0);
    }
}
