//! Servers that fail, each in its own way; and what the error says about the request.

use std::{
    io::Read,
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use polyport_net::{ClientError, HttpClient, HttpClientOptions};
use socket2::SockRef;

use crate::server::{Server, ask, client, request, say, wait_for_end};

#[track_caller]
fn assert_broken_and_sent(error: &ClientError) {
    assert!(
        matches!(error, ClientError::LinkBroken { sent: true, .. }),
        "{error:?}"
    );
    assert!(error.may_have_been_processed());
}

#[tokio::test]
async fn nobody_listens() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let error = ask(&format!("http://127.0.0.1:{port}/")).await.unwrap_err();
    assert!(matches!(error, ClientError::Connect(_)), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(!error.may_have_been_processed());
}

#[tokio::test]
async fn the_name_is_unknown() {
    let error = ask("http://name.invalid/").await.unwrap_err();
    assert!(matches!(error, ClientError::Connect(_)), "{error:?}");
}

#[tokio::test]
async fn the_connection_is_reset_after_the_request() {
    let server = Server::after_request(|stream, _| {
        SockRef::from(&*stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    });
    assert_broken_and_sent(&ask(&server.url("/")).await.unwrap_err());
    assert_eq!(server.connections(), 1, "it must not be sent again");
}

#[tokio::test]
async fn the_connection_is_closed_after_the_request() {
    let server = Server::after_request(|_, _| {});
    assert_broken_and_sent(&ask(&server.url("/")).await.unwrap_err());
    assert_eq!(server.connections(), 1, "it must not be sent again");
}

#[tokio::test]
async fn no_answer_ever_comes() {
    let server = Server::after_request(|stream, _| wait_for_end(stream));
    let mut request = request(&server.url("/"));
    request.timeout = Duration::from_millis(150);
    let started = Instant::now();
    let error = client().send(request).await.unwrap_err();
    assert_eq!(error, ClientError::Timeout { sent: true });
    assert!(started.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_connection_that_is_given_up_is_closed() {
    let (tell, told) = std::sync::mpsc::channel();
    let server = Server::after_request(move |stream, _| {
        wait_for_end(stream);
        tell.send(()).unwrap();
    });
    let mut request = request(&server.url("/"));
    request.timeout = Duration::from_millis(50);
    let client = client();
    client.send(request).await.unwrap_err();
    // The runtime has to run for it.
    tokio::task::spawn_blocking(move || told.recv_timeout(crate::server::PATIENCE).unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_handshake_never_ends() {
    let server = Server::start(|mut stream, _| wait_for_end(&mut stream));
    let url = server.url("/").replace("http:", "https:");
    let mut given_up = request(&url);
    given_up.timeout = Duration::from_millis(100);
    let error = client().send(given_up).await.unwrap_err();
    assert_eq!(error, ClientError::Timeout { sent: false });
    assert!(!error.may_have_been_processed());

    let hasty = HttpClient::new(HttpClientOptions {
        connect_timeout: Duration::from_millis(100),
        ..HttpClientOptions::default()
    });
    let error = hasty.send(request(&url)).await.unwrap_err();
    assert_eq!(error, ClientError::Connect("it took too long".to_owned()));
    assert!(!error.may_have_been_processed());
}

#[tokio::test]
async fn a_slow_answer_is_waited_for_until_the_deadline() {
    let server = Server::after_request(|stream, request| {
        let pause = if request.head.contains("/endless") {
            20
        } else {
            1
        };
        say(stream, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n");
        for _ in 0..100 {
            thread::park_timeout(Duration::from_millis(pause));
            say(stream, "x");
        }
    });
    let response = ask(&server.url("/")).await.unwrap();
    assert_eq!(response.body.len(), 100);
    let mut endless = request(&server.url("/endless"));
    endless.timeout = Duration::from_millis(200);
    let error = client().send(endless).await.unwrap_err();
    assert_eq!(error, ClientError::Timeout { sent: true });
}

#[tokio::test]
async fn half_an_answer_comes() {
    for half in [
        "HTTP/1.1 200 O",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let server = Server::after_request(move |stream, _| say(stream, half));
        assert_broken_and_sent(&ask(&server.url("/")).await.unwrap_err());
    }
}

#[tokio::test]
async fn what_comes_is_not_http() {
    let long_head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(300_000));
    for words in [
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        "HTTP/1.1 abc\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nhello\r\n".to_owned(),
        long_head,
    ] {
        let shown = words.chars().take(60).collect::<String>();
        let server = Server::after_request(move |stream, _| {
            say(stream, &words);
            wait_for_end(stream);
        });
        let error = ask(&server.url("/")).await.unwrap_err();
        assert!(
            matches!(error, ClientError::NotHttp(_)),
            "{shown}: {error:?}"
        );
        assert!(error.may_have_been_processed());
    }
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_not_read() {
    let announced = Server::after_request(|stream, _| {
        say(stream, "HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n");
        wait_for_end(stream);
    });
    let endless = Server::after_request(|stream, _| {
        say(
            stream,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        );
        loop {
            use std::io::Write;
            if stream.write_all(b"5\r\nhello\r\n").is_err() {
                return;
            }
        }
    });
    for server in [announced, endless] {
        let mut request = request(&server.url("/"));
        request.max_body = 1000;
        let error = client().send(request).await.unwrap_err();
        assert_eq!(error, ClientError::TooLarge { limit: 1000 });
        assert!(error.may_have_been_processed());
    }
}

#[tokio::test]
async fn a_server_of_http1_is_told_apart_by_a_client_of_http2() {
    let server = Server::start(|mut stream, _| {
        let mut preface = [0; 24];
        drop(stream.read_exact(&mut preface));
        say(
            &mut stream,
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
        );
        wait_for_end(&mut stream);
    });
    let client = client().with_http2();
    let error = client.send(request(&server.url("/"))).await.unwrap_err();
    assert!(matches!(error, ClientError::NotHttp(_)), "{error:?}");
}

#[tokio::test]
async fn a_bad_url_is_refused_before_anything_is_opened() {
    for url in ["localhost:80/", "ftp://localhost/", "unix:relative.sock"] {
        let error = ask(url).await.unwrap_err();
        assert!(matches!(error, ClientError::BadUrl(_)), "{url}: {error:?}");
        assert_eq!(HttpClient::check_url(url).unwrap_err(), error);
    }
}
