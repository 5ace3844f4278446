//! A connection's bytes, plain or through TLS.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// How clients make sure of the server.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
}

/// One non-blocking connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Tls {
    /// Trusts the certificates in a PEM file: the server's own, or that of its authority.
    pub(crate) fn trusting(file: &Path) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        for certificate in certificates {
            let certificate =
                certificate.with_context(|| format!("{} is not PEM", file.display()))?;
            roots
                .add(certificate)
                .with_context(|| format!("cannot trust {}", file.display()))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("cannot set up TLS")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            config: Arc::new(config),
        })
    }
}

impl Stream {
    /// Wraps a connection to `host`, which the certificate must name if there is TLS.
    pub(crate) fn new(socket: TcpStream, host: IpAddr, tls: Option<&Tls>) -> anyhow::Result<Self> {
        let Some(tls) = tls else {
            return Ok(Self::Plain(socket));
        };
        let name = ServerName::IpAddress(host.into());
        let session = ClientConnection::new(Arc::clone(&tls.config), name)
            .context("cannot begin a TLS session")?;
        Ok(Self::Tls(Box::new(StreamOwned::new(session, socket))))
    }

    /// Whether a read that does not fill its buffer has emptied the socket. TLS hands out one record after the other.
    pub(crate) fn short_read_empties(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(socket) => socket.as_fd(),
            Self::Tls(stream) => stream.sock.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    /// Sends what TLS itself has to say, above all its first message.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
