//! Requests over TLS.

use std::sync::Arc;

use polyport_net::{ClientError, HttpClient, HttpClientOptions};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs},
};

use crate::server::request;

/// Answers one request of each connection with what the client has agreed to speak; the port and the certificate.
async fn serve() -> (u16, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tasks = polyport_net::Tasks::new();
    tasks.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut head = Vec::new();
            while !head.ends_with(b"question") {
                head.push(stream.read_u8().await.unwrap());
            }
            let agreed = stream.get_ref().1.alpn_protocol().unwrap_or_default();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}",
                agreed.len(),
                str::from_utf8(agreed).unwrap()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (port, certificate)
}

#[tokio::test]
async fn a_trusted_server_is_asked_and_another_is_not() {
    let (port, certificate) = serve().await;
    let url = |host: &str| format!("https://{host}:{port}/");
    let trusting = HttpClient::new(HttpClientOptions {
        roots: vec![certificate],
        ..HttpClientOptions::default()
    });
    let response = trusting.send(request(&url("localhost"))).await.unwrap();
    assert_eq!(response.body, "http/1.1");

    let refused = |error: ClientError| {
        assert!(matches!(error, ClientError::Connect(_)), "{error:?}");
        assert!(!error.may_have_been_processed());
        error.to_string()
    };
    let text = refused(trusting.send(request(&url("127.0.0.1"))).await.unwrap_err());
    assert!(text.contains("certificate"), "{text}");
    let strict = HttpClient::new(HttpClientOptions::default());
    let text = refused(strict.send(request(&url("localhost"))).await.unwrap_err());
    assert!(text.contains("certificate"), "{text}");
}
