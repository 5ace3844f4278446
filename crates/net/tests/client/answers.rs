//! What a good server is asked, and what becomes of its answers.

use std::io::Write;

use bytes::Bytes;
use http::{HeaderValue, Method};
use polyport_net::{ClientError, ClientRequest};

use crate::server::{Server, answer, ask, client, receive, request, say, serve_unix, wait_for_end};

#[tokio::test]
async fn a_request_is_sent_whole_and_its_answer_is_given_back() {
    let server = Server::after_request(|stream, request| {
        let port = stream.local_addr().unwrap().port();
        assert!(request.head.starts_with("PUT /some/path?x=1 HTTP/1.1\r\n"));
        assert!(
            request.has(&format!("host: 127.0.0.1:{port}")),
            "{request:?}"
        );
        assert!(request.has("content-length: 8"), "{request:?}");
        assert!(request.has("x-own: value"), "{request:?}");
        assert!(request.has("user-agent: polyport/0.1.0"), "{request:?}");
        assert_eq!(request.body, b"question");
        say(
            stream,
            "HTTP/1.1 418 Teapot\r\nx-pot: tea\r\ncontent-length: 5\r\n\r\nshort",
        );
    });
    let mut request = request(&server.url("/some/path?x=1"));
    request.method = Method::PUT;
    request
        .headers
        .insert("x-own", HeaderValue::from_static("value"));
    let response = client().send(request).await.unwrap();
    assert_eq!(response.status, 418);
    assert_eq!(response.headers["x-pot"], "tea");
    assert_eq!(response.body, "short");
}

#[tokio::test]
async fn a_request_without_a_body_has_none() {
    let server = Server::after_request(|stream, request| {
        assert!(!request.head.to_ascii_lowercase().contains("content-length"));
        answer(stream, "found");
    });
    let get = ClientRequest {
        method: Method::GET,
        body: Bytes::new(),
        ..request(&server.url("/"))
    };
    assert_eq!(client().send(get).await.unwrap().body, "found");
}

#[tokio::test]
async fn an_answer_may_come_in_chunks_or_end_with_the_connection() {
    let chunked = Server::after_request(|stream, _| {
        say(
            stream,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        );
        for chunk in [
            "5\r\nfirst\r\n",
            "8\r\n, second\r\n",
            "7\r\n, third\r\n",
            "0\r\n\r\n",
        ] {
            say(stream, chunk);
            stream.flush().unwrap();
        }
        wait_for_end(stream);
    });
    assert_eq!(
        ask(&chunked.url("/")).await.unwrap().body,
        "first, second, third"
    );
    let unannounced = Server::after_request(|stream, _| {
        say(
            stream,
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it",
        );
    });
    assert_eq!(ask(&unannounced.url("/")).await.unwrap().body, "all of it");
    let empty = Server::after_request(|stream, _| {
        say(stream, "HTTP/1.1 204 No Content\r\n\r\n");
        wait_for_end(stream);
    });
    assert_eq!(ask(&empty.url("/")).await.unwrap().body, "");
}

#[tokio::test]
async fn redirects_are_answers_like_others() {
    let server = Server::after_request(|stream, _| {
        say(
            stream,
            "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
        );
    });
    let response = ask(&server.url("/")).await.unwrap();
    assert_eq!(response.status, 302);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_unix_socket_is_asked_like_a_host() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    serve_unix(&path, |mut stream| {
        while let Some(request) = receive(&mut stream) {
            assert!(request.head.starts_with("POST /polyport?a=b HTTP/1.1\r\n"));
            assert!(request.has("host: localhost"), "{request:?}");
            answer(&mut stream, "from the socket");
        }
    });
    let url = format!("unix:{}:/polyport?a=b", path.display());
    let client = client();
    for _ in 0..2 {
        let response = client.send(request(&url)).await.unwrap();
        assert_eq!(response.body, "from the socket");
    }
}

#[tokio::test]
async fn a_missing_unix_socket_is_named() {
    let error = ask("unix:/nowhere/app.sock:/").await.unwrap_err();
    assert!(!error.may_have_been_processed());
    assert!(matches!(error, ClientError::Connect(_)), "{error:?}");
    assert!(error.to_string().contains("/nowhere/app.sock"), "{error}");
}

#[tokio::test]
async fn a_body_of_exactly_the_bound_is_taken() {
    let server = Server::after_request(|stream, _| answer(stream, "12345"));
    let mut request = request(&server.url("/"));
    request.max_body = 5;
    assert_eq!(client().send(request).await.unwrap().body, "12345");
}

#[tokio::test]
async fn a_streamed_answer_is_given_as_it_comes() {
    let (told, go_on) = std::sync::mpsc::channel::<()>();
    let go_on = std::sync::Mutex::new(go_on);
    let server = Server::after_request(move |stream, _| {
        say(
            stream,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        );
        for chunk in ["first", "last!"] {
            go_on.lock().unwrap().recv().unwrap();
            say(stream, &format!("5\r\n{chunk}\r\n"));
        }
        go_on.lock().unwrap().recv().unwrap();
        say(stream, "0\r\n\r\n");
    });
    let mut response = client().stream(request(&server.url("/"))).await.unwrap();
    assert_eq!(response.status, 200);
    for chunk in ["first", "last!"] {
        told.send(()).unwrap();
        assert_eq!(response.next().await.unwrap().unwrap(), chunk);
    }
    told.send(()).unwrap();
    assert_eq!(response.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_streamed_answer_that_breaks_off_is_an_error_and_one_can_be_taken_whole() {
    let server = Server::after_request(|stream, request| {
        say(
            stream,
            "HTTP/1.1 403 No\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        );
        if request.head.contains("/whole") {
            say(stream, "0\r\n\r\n");
        }
    });
    let mut response = client()
        .stream(request(&server.url("/broken")))
        .await
        .unwrap();
    assert_eq!(response.next().await.unwrap().unwrap(), "first");
    assert!(response.next().await.is_err());
    let whole = async |max_body| {
        let response = client()
            .stream(request(&server.url("/whole")))
            .await
            .unwrap();
        response.whole(max_body).await
    };
    let refusal = whole(5).await.unwrap();
    assert_eq!(
        (refusal.status.as_u16(), &*refusal.body),
        (403, &b"first"[..])
    );
    assert!(matches!(whole(4).await, Err(ClientError::TooLarge { .. })));
}
