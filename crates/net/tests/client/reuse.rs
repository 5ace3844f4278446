//! Connections that serve several requests.

use std::{sync::mpsc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use polyport_net::{ClientError, HttpClient, HttpClientOptions};
use tokio::net::TcpListener;

use crate::server::{PATIENCE, Server, answer, client, receive, request, wait_for_end};

#[tokio::test]
async fn requests_share_a_connection() {
    let server = Server::start(|mut stream, _| {
        while let Some(request) = receive(&mut stream) {
            answer(&mut stream, std::str::from_utf8(&request.body).unwrap());
        }
    });
    let client = client();
    for _ in 0..20 {
        let response = client.send(request(&server.url("/"))).await.unwrap();
        assert_eq!(response.body, "question");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_request_to_a_server_that_has_closed_meanwhile_is_sent_anew() {
    let (tell, told) = mpsc::channel();
    let server = Server::start(move |mut stream, _| {
        if receive(&mut stream).is_some() {
            answer(&mut stream, "one answer for each connection");
            drop(stream);
            tell.send(()).unwrap();
        }
    });
    let client = client();
    for _ in 0..10 {
        let response = client.send(request(&server.url("/"))).await.unwrap();
        assert_eq!(response.body, "one answer for each connection");
        // Blocks the runtime on purpose: the client cannot have noticed yet.
        told.recv_timeout(PATIENCE).unwrap();
    }
    assert_eq!(server.connections(), 10);
}

#[tokio::test]
async fn a_second_request_that_was_read_is_not_sent_anew() {
    let server = Server::start(|mut stream, _| {
        receive(&mut stream);
        answer(&mut stream, "first");
        receive(&mut stream);
    });
    let client = client();
    client.send(request(&server.url("/"))).await.unwrap();
    let error = client.send(request(&server.url("/"))).await.unwrap_err();
    assert!(
        matches!(error, ClientError::LinkBroken { sent: true, .. }),
        "{error:?}"
    );
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_unused_connection_is_closed_after_a_while() {
    let (tell, told) = mpsc::channel();
    let server = Server::start(move |mut stream, _| {
        receive(&mut stream);
        answer(&mut stream, "answer");
        wait_for_end(&mut stream);
        tell.send(()).unwrap();
    });
    let client = HttpClient::new(HttpClientOptions {
        idle_timeout: Duration::from_millis(50),
        ..HttpClientOptions::default()
    });
    client.send(request(&server.url("/"))).await.unwrap();
    tokio::task::spawn_blocking(move || told.recv_timeout(PATIENCE).unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn http2_by_prior_knowledge_carries_requests_side_by_side() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(10));
    let serving = async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(|request: Request<Incoming>| {
            let barrier = std::sync::Arc::clone(&barrier);
            async move {
                assert_eq!(request.version(), http::Version::HTTP_2);
                let body = request.into_body().collect().await.unwrap().to_bytes();
                // All ten are here before the first is answered.
                barrier.wait().await;
                Ok::<_, std::convert::Infallible>(Response::new(Full::new(body)))
            }
        });
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await
            .unwrap();
    };
    let client = client().with_http2();
    let asking = async {
        let requests = (0..10).map(|index| {
            let mut request = request(&url);
            request.body = Bytes::from(format!("question {index}"));
            client.send(request)
        });
        for (index, response) in futures_util::future::join_all(requests)
            .await
            .into_iter()
            .enumerate()
        {
            assert_eq!(response.unwrap().body, format!("question {index}"));
        }
    };
    tokio::select! {
        () = asking => {}
        () = serving => panic!("the connection ended"),
    }
}
