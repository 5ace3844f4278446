//! The admin listener over loopback, with requests written by hand.

use std::{future::pending, net::SocketAddr, sync::Arc, time::Duration};

use polyport_admin::{AdminState, Readiness, Until, serve};
use polyport_core::Hub;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

struct Admin {
    address: SocketAddr,
    readiness: Arc<Readiness>,
    relieved: CancellationToken,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

async fn admin() -> Admin {
    let readiness = Arc::new(Readiness::default());
    let state = AdminState::new(Hub::new(0, None), Arc::clone(&readiness), "1.2.3");
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let shutdown = CancellationToken::new();
    let relieved = CancellationToken::new();
    let until = Until {
        relieved: relieved.clone(),
        shutdown: shutdown.clone(),
    };
    let serving = TaskTracker::new().spawn(serve(listener, state, until));
    Admin {
        address,
        readiness,
        relieved,
        shutdown,
        serving,
    }
}

impl Admin {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address)
            .await
            .expect("the listener is bound")
    }

    /// Writes `request` and reads until the server closes.
    async fn raw(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it is open");
        read_all(&mut stream).await
    }

    /// Status line without the version, and the whole answer.
    async fn ask(&self, method: &str, path: &str) -> (String, String) {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n\r\n");
        let answer = self.raw(&request).await;
        let status = answer.lines().next().unwrap_or_default();
        let status = status.trim_start_matches("HTTP/1.1 ").to_owned();
        (status, answer)
    }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .await
        .expect("it is closed in order");
    String::from_utf8(answer).expect("answers are text")
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[tokio::test]
async fn metrics_of_hub_process_and_build() {
    let admin = admin().await;
    let (status, answer) = admin.ask("GET", "/metrics").await;
    assert_eq!(status, "200 OK");
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    let lines: Vec<&str> = body(&answer).lines().collect();
    assert!(
        lines.contains(&r#"polyport_build_info{version="1.2.3"} 1"#),
        "{answer}"
    );
    let wanted: &[&str] = if cfg!(target_os = "linux") {
        &[
            "polyport_process_resident_memory_bytes ",
            "polyport_process_cpu_seconds_total ",
            "polyport_process_open_fds ",
        ]
    } else {
        &[]
    };
    for name in wanted {
        assert!(
            lines.iter().any(|line| line.starts_with(name)),
            "{name}: {answer}"
        );
    }
}

#[tokio::test]
async fn the_metric_of_readiness_is_what_readyz_says() {
    let admin = admin().await;
    for ready in [false, true, false] {
        admin.readiness.set_ready(ready);
        let (status, _) = admin.ask("GET", "/readyz").await;
        assert_eq!(status == "200 OK", ready);
        let (_, answer) = admin.ask("GET", "/metrics").await;
        let line = format!("polyport_ready {}", u8::from(ready));
        assert!(body(&answer).lines().any(|it| it == line), "{answer}");
    }
}

#[tokio::test]
async fn a_second_state_over_one_hub_is_no_error() {
    let hub = Hub::new(0, None);
    for _ in 0..2 {
        let _state = AdminState::new(Arc::clone(&hub), Arc::default(), "1.2.3");
    }
}

#[tokio::test]
async fn healthy_as_long_as_it_answers() {
    let admin = admin().await;
    admin.readiness.set_draining();
    let (status, answer) = admin.ask("GET", "/healthz").await;
    assert_eq!((&*status, body(&answer)), ("200 OK", "ok\n"));
}

#[tokio::test]
async fn ready_when_bound_and_not_draining() {
    const UNAVAILABLE: &str = "503 Service Unavailable";
    let admin = admin().await;
    let check = async |status: &str, text: &str| {
        let (found, answer) = admin.ask("GET", "/readyz").await;
        assert_eq!((&*found, body(&answer)), (status, text));
    };
    check(UNAVAILABLE, "not all listeners are bound\n").await;
    admin.readiness.set_ready(true);
    check("200 OK", "ready\n").await;
    admin.readiness.set_draining();
    check(UNAVAILABLE, "draining: the process is stopping\n").await;
    admin.readiness.set_ready(false);
    check(
        UNAVAILABLE,
        "not all listeners are bound\ndraining: the process is stopping\n",
    )
    .await;
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let admin = admin().await;
    for path in ["/healthz", "/metrics", "/readyz"] {
        let (get_status, _) = admin.ask("GET", path).await;
        let (head_status, answer) = admin.ask("HEAD", path).await;
        assert_eq!(head_status, get_status);
        assert!(answer.contains("\r\ncontent-length: "), "{answer}");
        assert_eq!(body(&answer), "");
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_told_what_there_is() {
    let admin = admin().await;
    for path in [
        "/metrics/",
        "/console/",
        "/console/none.js",
        "/console/vendor",
        "/Metrics",
        "//healthz",
        "/healthz/../metrics",
        "*",
    ] {
        let (status, answer) = admin.ask("GET", path).await;
        assert_eq!(status, "404 Not Found", "{path}");
        assert_eq!(
            body(&answer),
            "not found: there is /metrics, /healthz, /readyz, and the console at /\n"
        );
    }
    for method in ["POST", "DELETE", "OPTIONS", "get"] {
        let (status, answer) = admin.ask(method, "/metrics").await;
        assert_eq!(status, "405 Method Not Allowed", "{method}");
        assert!(answer.contains("\r\nallow: GET, HEAD\r\n"), "{answer}");
        assert_eq!(body(&answer), "method not allowed: use GET or HEAD\n");
    }
    let (status, _) = admin.ask("GET", "/healthz?verbose=1").await;
    assert_eq!(status, "200 OK");
}

#[tokio::test]
async fn the_console_needs_no_key_and_comes_with_its_policy() {
    let admin = admin().await;
    for (path, kind) in [
        ("/", "text/html"),
        ("/console/main.js", "text/javascript"),
        ("/console/style.css", "text/css"),
        ("/console/vendor/htm.LICENSE", "text/plain"),
    ] {
        let (status, answer) = admin.ask("GET", path).await;
        assert_eq!(status, "200 OK", "{path}");
        let kind = format!("\r\ncontent-type: {kind}; charset=utf-8\r\n");
        assert!(answer.contains(&kind), "{path}");
        assert!(
            answer.contains("\r\ncontent-security-policy: default-src 'none'; script-src 'self'"),
            "{path}"
        );
    }
    let (status, _) = admin.ask("POST", "/").await;
    assert_eq!(status, "405 Method Not Allowed");
}

#[tokio::test]
async fn a_body_is_not_waited_for() {
    let admin = admin().await;
    let answer = admin
        .raw("POST /metrics HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

#[tokio::test]
async fn one_request_per_connection() {
    let admin = admin().await;
    let request = "GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n";
    let answer = admin.raw(&request.repeat(2)).await;
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    const TOO_LARGE: &str = "HTTP/1.1 431 ";
    let admin = admin().await;
    let many = "x: y\r\n".repeat(100);
    let answer = admin
        .raw(&format!("GET /healthz HTTP/1.1\r\n{many}\r\n"))
        .await;
    assert!(answer.starts_with(TOO_LARGE), "{answer}");

    // As long as the head may be, and without an end.
    let long = "x".repeat((16 << 10) - "GET / HTTP/1.1\r\nx: ".len());
    let answer = admin.raw(&format!("GET / HTTP/1.1\r\nx: {long}")).await;
    assert!(answer.starts_with(TOO_LARGE), "{answer}");

    let answer = admin.raw("hello\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

/// In virtual time: it jumps ahead whenever client and server both wait.
#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_cut() {
    let admin = admin().await;
    let started = Instant::now();
    let mut stream = admin.connect().await;
    assert_eq!(read_all(&mut stream).await, "");
    assert_eq!(started.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn who_sends_a_byte_a_second_is_cut() {
    let admin = admin().await;
    let started = Instant::now();
    let (mut reader, mut writer) = admin.connect().await.into_split();
    let slowly = async {
        for byte in b"GET /healthz HTTP/1.1\r\n" {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if writer.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        pending().await
    };
    let mut answer = Vec::new();
    tokio::select! {
        // Cutting a client that is still writing may reach it as a reset.
        _ = reader.read_to_end(&mut answer) => {}
        () = slowly => {}
    }
    assert_eq!(answer, b"");
    assert_eq!(started.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn more_connections_than_there_are_places_wait() {
    let admin = admin().await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(admin.connect().await);
    }
    let started = Instant::now();
    let (status, _) = admin.ask("GET", "/healthz").await;
    assert_eq!(status, "200 OK");
    assert_eq!(
        started.elapsed().as_secs(),
        5,
        "answered once the silent ones were cut"
    );
}

#[tokio::test]
async fn stops_when_told_to() {
    let admin = admin().await;
    let mut idle = admin.connect().await;
    let (status, _) = admin.ask("GET", "/healthz").await;
    assert_eq!(status, "200 OK");
    admin.shutdown.cancel();
    admin.serving.await.expect("it does not panic");
    assert_eq!(read_all(&mut idle).await, "");
    assert!(TcpStream::connect(admin.address).await.is_err());
}

#[tokio::test]
async fn once_relieved_it_answers_who_is_there_and_lets_nobody_in() {
    let admin = admin().await;
    // One whose request is on its way, and one that has none yet.
    let mut early = admin.connect().await;
    early.write_all(b"GET /healthz HT").await.unwrap();
    let mut late = admin.connect().await;
    // An answer to a third one says that both were accepted.
    assert!(admin.ask("GET", "/healthz").await.0.contains("200"));
    admin.relieved.cancel();
    for (stream, rest) in [
        (&mut early, "TP/1.1\r\nhost: test\r\n\r\n"),
        (&mut late, "GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n"),
    ] {
        stream.write_all(rest.as_bytes()).await.unwrap();
        let answer = read_all(stream).await;
        assert!(answer.contains(" 200 OK"), "{answer}");
    }
    admin.serving.await.unwrap();
    assert!(TcpStream::connect(admin.address).await.is_err());
}
