//! How a connection is made: TCP, TLS over it, or a unix socket, within one time-out.

use std::{
    error::Error,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Uri, uri::Scheme};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls_pki_types::CertificateDer;
use tokio::{
    net::{TcpStream, UnixStream},
    sync::OnceCell,
    time::timeout,
};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use tower_service::Service;

use super::{
    stream::{Link, Stream},
    url::socket_path,
};

type BoxError = Box<dyn Error + Send + Sync>;

#[derive(Clone)]
pub(super) struct Connector {
    timeout: Duration,
    tcp: HttpConnector,
    trust: Arc<Trust>,
    is_http2: bool,
}

/// What a server's certificate is checked against. The system's certificates are read when TLS is first spoken: most
/// gateways never do, and all of them start faster.
struct Trust {
    roots: Vec<CertificateDer<'static>>,
    config: OnceCell<ClientConfig>,
}

impl Connector {
    pub(super) fn new(timeout: Duration, roots: Vec<CertificateDer<'static>>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        Self {
            timeout,
            tcp,
            trust: Arc::new(Trust {
                roots,
                config: OnceCell::new(),
            }),
            is_http2: false,
        }
    }

    /// The same for connections that speak HTTP/2.
    pub(super) fn for_http2(mut self) -> Self {
        self.is_http2 = true;
        self
    }

    async fn connect(self, uri: Uri) -> Result<Stream, BoxError> {
        let looks = !self.is_http2;
        let link = match socket_path(&uri) {
            Some(path) => {
                let unix = UnixStream::connect(&path).await;
                Link::Unix(TokioIo::new(unix.map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })?))
            }
            None => Link::Web(Box::new(self.connect_web(uri).await?)),
        };
        Ok(Stream::new(link, looks))
    }

    /// A connection to the server of an `http` or `https` address.
    pub(super) async fn connect_web(
        mut self,
        uri: Uri,
    ) -> Result<MaybeHttpsStream<TokioIo<TcpStream>>, BoxError> {
        if uri.scheme() != Some(&Scheme::HTTPS) {
            return Ok(MaybeHttpsStream::Http(self.tcp.call(uri).await?));
        }
        let mut config = self.trust.config().await?;
        config.alpn_protocols = vec![if self.is_http2 {
            b"h2".to_vec()
        } else {
            b"http/1.1".to_vec()
        }];
        HttpsConnector::from((self.tcp, config)).call(uri).await
    }
}

impl Trust {
    async fn config(&self) -> Result<ClientConfig, BoxError> {
        let config = self
            .config
            .get_or_try_init(|| async {
                let roots = self.roots.clone();
                // Reading the system's certificates blocks for some milliseconds.
                tokio::task::spawn_blocking(move || client_config(roots)).await?
            })
            .await?;
        Ok(config.clone())
    }
}

fn client_config(own: Vec<CertificateDer<'static>>) -> Result<ClientConfig, BoxError> {
    let mut roots = RootCertStore::empty();
    for certificate in own {
        roots.add(certificate)?;
    }
    let system = rustls_native_certs::load_native_certs();
    // A system's store may hold certificates that nobody can use; the others count.
    roots.add_parsable_certificates(system.certs);
    if roots.is_empty() {
        let why = system.errors.first().map(ToString::to_string);
        return Err(format!(
            "the system has no certificates of authorities to trust{}",
            why.map(|why| format!(": {why}")).unwrap_or_default()
        )
        .into());
    }
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth())
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            match timeout(connector.timeout, connector.connect(uri)).await {
                Ok(result) => result,
                Err(_) => Err("it took too long".into()),
            }
        })
    }
}
