//! TLS: certificates by name, replaced while connections stay open, and slow readers behind it.

use std::{
    fs,
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
};

use polyport_core::{CloseReason, RefuseReason};
use polyport_net::{CertificateFiles, TlsAcceptance};
use rustls_pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::aws_lc_rs,
};

use crate::{
    gateway::{Gateway, Plan},
    peer::Client,
};

/// A stream under TLS whose first write goes out together with something before it.
pub(crate) struct Behind {
    prefix: Vec<u8>,
    stream: TcpStream,
}

impl Read for Behind {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Behind {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.prefix.is_empty() {
            return self.stream.write(bytes);
        }
        let mut both = std::mem::take(&mut self.prefix);
        both.extend_from_slice(bytes);
        self.stream.write_all(&both)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

pub(crate) type TlsClient = Client<StreamOwned<ClientConnection, Behind>>;

/// Self-signed certificates in files of their own, one for each name.
pub(crate) struct Certificates {
    folder: TempDir,
    files: Vec<CertificateFiles>,
    trusted: Vec<CertificateDer<'static>>,
}

impl Certificates {
    pub(crate) fn new(names: &[&str]) -> Self {
        let mut certificates = Self {
            folder: tempfile::tempdir().unwrap(),
            files: Vec::new(),
            trusted: Vec::new(),
        };
        for (index, name) in names.iter().enumerate() {
            let path = |suffix| certificates.folder.path().join(format!("{index}.{suffix}"));
            certificates.files.push(CertificateFiles {
                cert: path("cert.pem"),
                key: path("key.pem"),
                names: Vec::new(),
            });
            certificates.renew(index, name);
        }
        certificates
    }

    /// Writes a new certificate over an old one.
    fn renew(&mut self, index: usize, name: &str) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        fs::write(&self.files[index].cert, made.cert.pem()).unwrap();
        fs::write(&self.files[index].key, made.signing_key.serialize_pem()).unwrap();
        self.trusted.push(made.cert.der().clone());
    }

    /// The same, with an end at the beginning of a year.
    fn renew_until(&mut self, index: usize, name: &str, year: i32) {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        fs::write(&self.files[index].cert, made.pem()).unwrap();
        fs::write(&self.files[index].key, key.serialize_pem()).unwrap();
        self.trusted.push(made.der().clone());
    }

    pub(crate) fn acceptance(&self) -> TlsAcceptance {
        TlsAcceptance::load(self.files.clone()).unwrap()
    }

    /// Trusts what has been written so far.
    pub(crate) fn client(&self, stream: TcpStream, name: &str) -> TlsClient {
        self.client_behind(&[], stream, name)
    }

    /// Sends `prefix` and the beginning of the handshake in one write.
    pub(crate) fn client_behind(&self, prefix: &[u8], stream: TcpStream, name: &str) -> TlsClient {
        let mut roots = RootCertStore::empty();
        for certificate in &self.trusted {
            roots.add(certificate.clone()).unwrap();
        }
        // One small key exchange keeps the client's first message short.
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let prefix = prefix.to_vec();
        Client::on(StreamOwned::new(connection, Behind { prefix, stream }))
    }
}

/// Which certificate the other end has shown, by its position in what was written.
fn shown(client: &TlsClient, certificates: &Certificates) -> usize {
    let chain = client.get_ref().conn.peer_certificates().unwrap();
    certificates
        .trusted
        .iter()
        .position(|known| *known == chain[0])
        .unwrap()
}

fn plan(certificates: &Certificates) -> Plan {
    let mut plan = Plan::default();
    plan.settings.tls = Some(certificates.acceptance());
    plan.limits.outbox = 64 << 20;
    plan
}

fn connect(gateway: &Gateway, certificates: &Certificates, name: &str) -> TlsClient {
    let mut client = certificates.client(Client::connect(gateway).stream(), name);
    assert_eq!(client.line(), "hello");
    client
}

#[test]
fn the_certificate_is_chosen_by_the_name_asked_for() {
    let certificates = Certificates::new(&["a.example", "b.example", "*.c.example"]);
    let gateway = Gateway::lines(plan(&certificates));
    for (index, name) in [
        (0, "a.example"),
        (1, "b.example"),
        (1, "B.example"),
        (2, "x.c.example"),
    ] {
        let mut client = connect(&gateway, &certificates, name);
        assert_eq!(shown(&client, &certificates), index, "{name}");
        assert_eq!(client.ask("echo under TLS"), "under TLS");
    }
    gateway.finish(());
}

#[test]
fn names_in_the_configuration_win_over_those_in_the_certificate() {
    let mut certificates = Certificates::new(&["first.example", "second.example"]);
    certificates.files[1].names = vec!["first.example".to_owned()];
    certificates.files[0].names = vec!["other.example".to_owned()];
    let gateway = Gateway::lines(plan(&certificates));
    let stream = Client::connect(&gateway).stream();
    let mut client = certificates.client(stream, "first.example");
    // The client refuses a certificate of another name, but it has seen which.
    let error = client.try_send(b"echo\n").unwrap_err().to_string();
    assert!(error.contains("second.example"), "{error}");
    drop(client);
    gateway.wait_for_refusal(RefuseReason::Tls);
    gateway.finish(());
}

#[test]
fn replaced_files_serve_new_connections_while_open_ones_go_on() {
    let mut certificates = Certificates::new(&["a.example"]);
    let plan = plan(&certificates);
    let acceptance = plan.settings.tls.clone().unwrap();
    let gateway = Gateway::lines(plan);
    let mut old = connect(&gateway, &certificates, "a.example");
    assert!(!acceptance.reload_if_changed().unwrap());
    certificates.renew(0, "a.example");
    assert!(acceptance.reload_if_changed().unwrap());
    assert!(!acceptance.reload_if_changed().unwrap());
    let new = connect(&gateway, &certificates, "a.example");
    assert_eq!(
        (shown(&old, &certificates), shown(&new, &certificates)),
        (0, 1)
    );
    assert_eq!(old.ask("echo still here"), "still here");
    gateway.finish((old, new));
}

#[test]
fn files_that_do_not_fit_leave_the_old_certificate_in_use() {
    let mut certificates = Certificates::new(&["a.example"]);
    let plan = plan(&certificates);
    let acceptance = plan.settings.tls.clone().unwrap();
    let gateway = Gateway::lines(plan);
    let key = fs::read(&certificates.files[0].key).unwrap();
    certificates.renew(0, "a.example");
    let new_key = fs::read(&certificates.files[0].key).unwrap();
    fs::write(&certificates.files[0].key, key).unwrap();
    let error = acceptance.reload_if_changed().unwrap_err().to_string();
    assert!(
        error.contains("0.key.pem") && error.contains("0.cert.pem"),
        "{error}"
    );
    assert_eq!(
        shown(
            &connect(&gateway, &certificates, "a.example"),
            &certificates
        ),
        0
    );
    fs::write(&certificates.files[0].key, new_key).unwrap();
    assert!(
        acceptance.reload_if_changed().unwrap(),
        "the second half came later"
    );
    assert_eq!(
        shown(
            &connect(&gateway, &certificates, "a.example"),
            &certificates
        ),
        1
    );
    gateway.finish(());
}

/// Nobody tells the server: it looks at the files by itself.
#[test]
fn the_server_finds_out_by_itself_that_files_were_replaced() {
    let mut certificates = Certificates::new(&["a.example"]);
    let gateway = Gateway::lines(plan(&certificates));
    certificates.renew(0, "a.example");
    crate::gateway::wait_until("the new certificate is shown", || {
        shown(
            &connect(&gateway, &certificates, "a.example"),
            &certificates,
        ) == 1
    });
    gateway.finish(());
}

#[test]
fn the_metric_of_the_end_is_that_of_the_certificate_that_is_served() {
    const FAMILY: &str = "polyport_certificate_expiry_timestamp_seconds";
    let mut certificates = Certificates::new(&["a.example", "b.example"]);
    certificates.renew_until(0, "a.example", 2040);
    certificates.renew_until(1, "b.example", 2050);
    let gateway = Gateway::lines(plan(&certificates));
    assert_eq!(gateway.metric(FAMILY, "under-test"), 2_208_988_800);
    certificates.renew_until(0, "a.example", 2060);
    crate::gateway::wait_until("the end of the other certificate is told", || {
        gateway.metric(FAMILY, "under-test") == 2_524_608_000
    });
    gateway.finish(());
    // A listener without TLS has no such metric.
    let plain = Gateway::lines(Plan::default());
    let families = plain.hub.metrics().registry().gather();
    assert!(families.iter().all(|family| family.name() != FAMILY));
    plain.finish(());
}

#[test]
fn unusable_files_are_named() {
    let mut certificates = Certificates::new(&["a.example", "b.example"]);
    let load = |files: &CertificateFiles| {
        TlsAcceptance::load(vec![files.clone()])
            .unwrap_err()
            .to_string()
    };
    let mixed = CertificateFiles {
        key: certificates.files[1].key.clone(),
        ..certificates.files[0].clone()
    };
    let error = load(&mixed);
    assert!(
        error.contains("1.key.pem") && error.contains("0.cert.pem"),
        "{error}"
    );
    let files = certificates.files.remove(0);
    fs::write(&files.cert, "no PEM at all").unwrap();
    assert!(load(&files).contains("0.cert.pem"), "{}", load(&files));
    fs::remove_file(&files.cert).unwrap();
    assert!(load(&files).contains("0.cert.pem"), "{}", load(&files));
}

#[test]
fn a_plain_client_is_refused_and_counted() {
    let certificates = Certificates::new(&["localhost"]);
    let gateway = Gateway::lines(plan(&certificates));
    let mut client = Client::connect(&gateway);
    client.send("echo no TLS\n");
    client.wait_for_end();
    gateway.wait_for_refusal(RefuseReason::Tls);
    assert_eq!(
        gateway.metric("polyport_sessions_opened_total", "under-test"),
        0
    );
    gateway.wait_until_empty();
    gateway.finish(client);
}

#[test]
fn a_client_that_leaves_within_its_handshake_is_refused_and_counted() {
    let certificates = Certificates::new(&["localhost"]);
    let gateway = Gateway::lines(plan(&certificates));
    let mut client = Client::connect(&gateway);
    client.send(b"\x16\x03\x01");
    drop(client);
    gateway.wait_for_refusal(RefuseReason::Tls);
    gateway.wait_until_empty();
    gateway.finish(());
}

#[test]
fn large_answers_reach_a_slow_reader_whole() {
    let certificates = Certificates::new(&["localhost"]);
    let gateway = Gateway::lines(plan(&certificates));
    let stream = Client::with_small_buffer(&gateway).stream();
    let mut client = certificates.client(stream, "localhost");
    assert_eq!(client.line(), "hello");
    let large = 3_000_000;
    client.send(format!(
        "big {large}\necho between\nsource {large}\necho after\n"
    ));
    assert_eq!(client.line().len(), large);
    assert_eq!(client.line(), "between");
    assert!(client.bytes(large).iter().all(|byte| *byte == b'x'));
    assert_eq!(client.line(), "after");
    for number in 0..300 {
        client.send(format!("big 20000\necho {number}\n"));
    }
    for number in 0..300 {
        assert_eq!(client.line().len(), 20_000);
        assert_eq!(client.line(), number.to_string());
    }
    gateway.finish(client);
}

#[test]
fn many_publishers_to_one_tls_member_lose_nothing() {
    let certificates = Certificates::new(&["localhost"]);
    let gateway = Gateway::lines(plan(&certificates));
    let mut members: Vec<_> = (0..4)
        .map(|_| connect(&gateway, &certificates, "localhost"))
        .collect();
    for member in &mut members {
        assert_eq!(member.ask("join room"), "joined");
    }
    let rounds = 2000;
    let heard: Vec<usize> = std::thread::scope(|scope| {
        let readers: Vec<_> = members
            .into_iter()
            .map(|mut member| {
                scope.spawn(move || {
                    let mut heard = 0;
                    for _ in 0..rounds / 100 {
                        member.send("say room x\n".repeat(100));
                        // Keep a distance that no outbox overflows at.
                        while heard < 100 {
                            assert_eq!(member.line(), "said room x");
                            heard += 1;
                        }
                        heard -= 100;
                    }
                    rounds - heard
                })
            })
            .collect();
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect()
    });
    assert_eq!(heard, [rounds; 4]);
    gateway.finish(());
}

#[test]
fn last_words_and_the_end_of_tls_arrive() {
    let certificates = Certificates::new(&["localhost"]);
    let gateway = Gateway::lines(plan(&certificates));
    let mut client = connect(&gateway, &certificates, "localhost");
    client.send("echo answered\nbye\n");
    // A stream without close_notify would be an error here.
    assert_eq!(client.rest(), "answered\nclosed client_left\n");
    gateway.wait_for_close(CloseReason::ClientLeft);
    drop(client);
    gateway.wait_until_empty();
    gateway.finish(());
}

#[test]
fn a_tls_client_that_leaves_without_a_word_is_gone() {
    let certificates = Certificates::new(&["localhost"]);
    let gateway = Gateway::lines(plan(&certificates));
    drop(connect(&gateway, &certificates, "localhost"));
    gateway.wait_for_close(CloseReason::PeerGone);
    gateway.wait_until_empty();
    gateway.finish(());
}

#[test]
fn a_websocket_may_be_opened_under_tls() {
    let certificates = Certificates::new(&["localhost"]);
    let gateway = Gateway::websocket(plan(&certificates));
    let stream = Client::connect(&gateway).stream();
    let mut client = certificates.client(stream, "localhost").opened();
    client.send_text("echo under TLS");
    assert_eq!(client.text_frame(), "under TLS");
    client.send_text("big 2000000");
    assert_eq!(client.text_frame().len(), 2_000_000);
    client.send_text("kick");
    client.closed_with(1000);
    gateway.finish(client);
}
