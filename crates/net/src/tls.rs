//! TLS: certificates by name, replaced while connections stay open.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig, crypto,
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
};

use crate::Validity;

/// One certificate chain and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// The key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// Names it is for (`a.example`, `*.a.example`); empty: those in the certificate. The first certificate of a
    /// listener also serves clients that ask for another name, or for none.
    pub names: Vec<String>,
}

/// A certificate could not be used; names the file and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}", path = path.display())]
pub struct TlsError {
    path: PathBuf,
    problem: String,
}

/// A listener's certificates, replaceable.
#[derive(Debug, Clone)]
pub struct TlsAcceptance {
    files: Arc<Vec<CertificateFiles>>,
    resolver: Arc<Resolver>,
    acceptor: Acceptor,
    /// The state of the files when they were last read, well or badly.
    looked_at: Arc<Mutex<Vec<Stamp>>>,
}

/// When a file was changed and how long it is; `None` when it cannot be told.
type Stamp = Option<(SystemTime, u64)>;

#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsAcceptor")
    }
}

#[derive(Debug)]
struct Resolver(ArcSwap<Certificates>);

/// Certificates that were read and are not in use yet.
#[derive(Debug)]
pub struct FreshCertificates(Arc<Certificates>);

#[derive(Debug)]
struct Certificates {
    first: Arc<CertifiedKey>,
    by_name: HashMap<String, Arc<CertifiedKey>>,
    stamps: Vec<Stamp>,
}

impl TlsAcceptance {
    /// Reads the certificates of a listener.
    ///
    /// # Errors
    /// [`TlsError`] when a file cannot be read, holds no certificate or key, or the two do not belong together.
    ///
    /// # Panics
    /// When `files` is empty.
    pub fn load(files: Vec<CertificateFiles>) -> Result<Self, TlsError> {
        let resolver = Arc::new(Resolver(ArcSwap::from_pointee(read_all(&files)?)));
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default protocol versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&resolver) as Arc<dyn ResolvesServerCert>);
        let looked_at = Arc::new(Mutex::new(resolver.0.load().stamps.clone()));
        Ok(Self {
            files: Arc::new(files),
            looked_at,
            resolver,
            acceptor: Acceptor(TlsAcceptor::from(Arc::new(config))),
        })
    }

    /// Reads the files again if one has changed. Nothing is replaced before [`TlsAcceptance::replace`].
    ///
    /// # Errors
    /// [`TlsError`] when they cannot be used.
    pub fn read_if_changed(&self) -> Result<Option<FreshCertificates>, TlsError> {
        let now = stamps(&self.files);
        if now == self.resolver.0.load().stamps {
            return Ok(None);
        }
        let fresh = read_all(&self.files);
        *self.looked_at.lock() = now;
        Ok(Some(FreshCertificates(Arc::new(fresh?))))
    }

    /// New handshakes see these certificates from now on; open connections go on.
    pub fn replace(&self, fresh: FreshCertificates) {
        self.resolver.0.store(fresh.0);
    }

    /// Replaces the certificates if the files have changed since they were last read, well or badly.
    pub(crate) fn reload_if_new(&self) -> Result<bool, TlsError> {
        if stamps(&self.files) == *self.looked_at.lock() {
            return Ok(false);
        }
        self.reload_if_changed()
    }

    /// Reads the files again if one has changed, and replaces the certificates. Whether anything was replaced.
    ///
    /// # Errors
    /// [`TlsError`]; the old certificates stay in use.
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let fresh = self.read_if_changed()?;
        let is_changed = fresh.is_some();
        if let Some(fresh) = fresh {
            self.replace(fresh);
        }
        Ok(is_changed)
    }

    /// When the first of the certificates that are served ends, in seconds since 1970; `None` where it cannot be read.
    #[must_use]
    pub fn ends(&self) -> Option<u64> {
        let certificates = self.resolver.0.load();
        let by_name = certificates.by_name.values();
        let ends = std::iter::once(&certificates.first)
            .chain(by_name)
            .map(|key| Validity::of_chain(&key.cert).map(|valid| valid.until));
        ends.min().flatten()
    }

    /// The files in use.
    #[must_use]
    pub fn files(&self) -> &[CertificateFiles] {
        &self.files
    }

    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor.0
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificates = self.0.load();
        let by_name = hello
            .server_name()
            .and_then(|name| certificates.find(&name.to_ascii_lowercase()));
        Some(Arc::clone(by_name.unwrap_or(&certificates.first)))
    }
}

impl Certificates {
    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        self.by_name.get(name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        })
    }
}

fn read_all(files: &[CertificateFiles]) -> Result<Certificates, TlsError> {
    let stamps = stamps(files);
    let mut by_name = HashMap::new();
    let mut first = None;
    for entry in files {
        let key = Arc::new(read_one(entry)?);
        let names = if entry.names.is_empty() {
            names_in(&key, &entry.cert)?
        } else {
            entry.names.clone()
        };
        for name in names {
            by_name
                .entry(name.to_ascii_lowercase())
                .or_insert_with(|| Arc::clone(&key));
        }
        first.get_or_insert(key);
    }
    Ok(Certificates {
        first: first.expect("a TLS listener has at least one certificate"),
        by_name,
        stamps,
    })
}

fn read_one(files: &CertificateFiles) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| problem(&files.cert, error))?;
    if chain.is_empty() {
        return Err(problem(&files.cert, "holds no PEM certificate"));
    }
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| problem(&files.key, error))?;
    CertifiedKey::from_der(chain, key, &crypto::aws_lc_rs::default_provider()).map_err(|error| {
        problem(
            &files.key,
            format!(
                "does not belong to the certificate in {}: {error}",
                files.cert.display()
            ),
        )
    })
}

fn names_in(key: &CertifiedKey, path: &Path) -> Result<Vec<String>, TlsError> {
    let own = key
        .end_entity_cert()
        .map_err(|error| problem(path, error))?;
    let parsed = webpki::EndEntityCert::try_from(own).map_err(|error| problem(path, error))?;
    Ok(parsed.valid_dns_names().map(str::to_owned).collect())
}

fn problem(path: &Path, problem: impl std::fmt::Display) -> TlsError {
    TlsError {
        path: path.to_owned(),
        problem: problem.to_string(),
    }
}

fn stamps(files: &[CertificateFiles]) -> Vec<Stamp> {
    files
        .iter()
        .flat_map(|entry| [&entry.cert, &entry.key])
        .map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
        .collect()
}
