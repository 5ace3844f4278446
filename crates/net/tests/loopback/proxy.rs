//! The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): who may speak it, and for whom.

use polyport_core::RefuseReason;

use crate::{
    gateway::{Gateway, Plan, wait_until},
    peer::Client,
    tls::Certificates,
};

/// The 12 bytes every header of version 2 begins with (section 2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

fn plan() -> Plan {
    let mut plan = Plan::default();
    plan.settings.proxy_from = vec!["127.0.0.1/32".parse().unwrap()];
    plan
}

/// A version 2 header: command and family bytes, addresses, and whatever else counts as its length.
fn version_2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend_from_slice(&[0x20 | command, family]);
    header.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
    header.extend_from_slice(body);
    header
}

/// 192.0.2.33:4000 to 192.0.2.1:80.
const TCP4: [u8; 12] = [192, 0, 2, 33, 192, 0, 2, 1, 0x0f, 0xa0, 0, 80];

#[track_caller]
fn check(header: &[u8], expected_peer: &str) {
    let gateway = Gateway::lines(plan());
    let mut input = header.to_vec();
    input.extend_from_slice(b"whoami\necho behind the header\n");
    // At once, and cut at every place of the header.
    let mut at_once = Client::connect(&gateway);
    at_once.send(&input);
    let address = at_once.get_ref().local_addr().unwrap().to_string();
    check_answers(&mut at_once, expected_peer, &address);
    for cut in [1, 5, header.len() / 2, header.len() - 1, header.len()] {
        let mut client = Client::connect(&gateway);
        client.send(&input[..cut]);
        client.hears_nothing_or_greeting(cut == header.len());
        client.send(&input[cut..]);
        let address = client.get_ref().local_addr().unwrap().to_string();
        check_answers(&mut client, expected_peer, &address);
    }
    gateway.finish(at_once);
}

#[track_caller]
fn check_answers(client: &mut Client<std::net::TcpStream>, expected_peer: &str, own: &str) {
    assert_eq!(client.line(), "hello");
    let expected = if expected_peer.is_empty() {
        own
    } else {
        expected_peer
    };
    assert_eq!(client.line(), expected);
    assert_eq!(client.line(), "behind the header");
}

#[test]
fn version_1_names_the_client() {
    check(
        b"PROXY TCP4 192.0.2.33 192.0.2.1 4000 80\r\n",
        "192.0.2.33:4000",
    );
    check(
        b"PROXY TCP6 2001:db8::33 2001:db8::1 4000 80\r\n",
        "[2001:db8::33]:4000",
    );
}

#[test]
fn version_2_names_the_client() {
    check(&version_2(1, 0x11, &TCP4), "192.0.2.33:4000");
    let mut tcp6 = vec![0x20, 0x01, 0x0d, 0xb8];
    tcp6.extend_from_slice(&[0; 11]);
    tcp6.push(0x33);
    tcp6.extend_from_slice(&[0; 16]);
    tcp6.extend_from_slice(&[0x0f, 0xa0, 0, 80]);
    check(&version_2(1, 0x21, &tcp6), "[2001:db8::33]:4000");
}

#[test]
fn extensions_of_version_2_are_passed_over() {
    let mut body = TCP4.to_vec();
    // A NOOP of 600 bytes (section 2.2.4).
    body.extend_from_slice(&[0x04, 0x02, 0x58]);
    body.extend_from_slice(&[0; 600]);
    check(&version_2(1, 0x11, &body), "192.0.2.33:4000");
}

#[test]
fn a_balancer_that_speaks_for_itself_keeps_its_address() {
    check(b"PROXY UNKNOWN\r\n", "");
    check(&version_2(0, 0x00, &[]), "");
}

#[test]
fn the_header_of_somebody_untrusted_is_data() {
    let gateway = Gateway::lines(plan());
    let mut client = Client::from([127, 0, 0, 2], &gateway);
    assert_eq!(client.line(), "hello", "nobody waits for a header");
    let header = "PROXY TCP4 192.0.2.33 192.0.2.1 4000 80";
    assert_eq!(client.ask(header), format!("unknown: {header}"));
    assert!(client.ask("whoami").starts_with("127.0.0.2:"));
    gateway.finish(client);
}

#[test]
fn a_trusted_peer_without_a_proper_header_is_refused_and_counted() {
    let gateway = Gateway::lines(plan());
    let malformed: [&[u8]; 6] = [
        b"echo no header\n",
        b"PROXY TCP4 192.0.2.33\r\n",
        b"PROXY TCP4 999.0.2.33 192.0.2.1 4000 80\r\n",
        b"PROXY TCP4 192.0.2.33 192.0.2.1 4000 99999\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x0c............",
        // Longer than any sensible header.
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    ];
    for (count, header) in (1..).zip(malformed) {
        let mut client = Client::connect(&gateway);
        client.send(header);
        // The peer may be gone before all of it is sent.
        drop(client.try_send(&[b'.'; 4096]));
        client.wait_for_end();
        wait_until("the refusal is counted", || {
            gateway.refused(RefuseReason::ProxyHeader) == count
        });
    }
    assert_eq!(
        gateway.metric("polyport_sessions_opened_total", "under-test"),
        0
    );
    gateway.wait_until_empty();
    gateway.finish(());
}

#[test]
fn a_trusted_peer_that_leaves_within_its_header_is_refused_and_counted() {
    let gateway = Gateway::lines(plan());
    let mut client = Client::connect(&gateway);
    client.send("PROXY TCP4");
    drop(client);
    gateway.wait_for_refusal(RefuseReason::ProxyHeader);
    gateway.wait_until_empty();
    gateway.finish(());
}

#[test]
fn the_bound_per_address_is_that_of_the_named_client() {
    let mut plan = plan();
    plan.limits.sessions_per_address = 1;
    let gateway = Gateway::lines(plan);
    let connect = |last: u8| {
        let mut client = Client::connect(&gateway);
        client.send(format!("PROXY TCP4 192.0.2.{last} 192.0.2.1 4000 80\r\n"));
        client
    };
    let mut clients: Vec<_> = (1..=3).map(connect).collect();
    for client in &mut clients {
        assert_eq!(client.line(), "hello");
    }
    connect(2).wait_for_end();
    gateway.wait_for_refusal(RefuseReason::AddressSessions);
    assert_eq!(
        gateway.refused(RefuseReason::ProxyHeader),
        0,
        "counted once"
    );
    gateway.finish(clients);
}

#[test]
fn a_websocket_may_be_opened_behind_a_header() {
    let gateway = Gateway::websocket(plan());
    let mut client = Client::connect(&gateway);
    client.send(version_2(1, 0x11, &TCP4));
    let mut client = client.opened();
    client.send_text("whoami");
    assert_eq!(client.text_frame(), "192.0.2.33:4000");

    let mut at_once = Client::connect(&gateway);
    at_once.send("PROXY TCP4 192.0.2.34 192.0.2.1 4000 80\r\n");
    let mut at_once = at_once.opened();
    at_once.send_text("whoami");
    assert_eq!(at_once.text_frame(), "192.0.2.34:4000");
    gateway.finish((client, at_once));
}

#[test]
fn tls_may_begin_right_behind_a_header() {
    let certificates = Certificates::new(&["localhost"]);
    let mut plan = plan();
    plan.settings.tls = Some(certificates.acceptance());
    let gateway = Gateway::lines(plan);
    // The longer the header, the more of the handshake is read along with it.
    for padding in [0, 10, 100, 400, 900, 1000, 1500] {
        let mut body = TCP4.to_vec();
        body.push(0x04);
        body.extend_from_slice(&u16::try_from(padding).unwrap().to_be_bytes());
        body.extend(std::iter::repeat_n(0, padding));
        let header = version_2(1, 0x11, &body);
        let stream = Client::connect(&gateway).stream();
        let mut client = certificates.client_behind(&header, stream, "localhost");
        assert_eq!(client.line(), "hello", "padding of {padding}");
        assert_eq!(client.ask("whoami"), "192.0.2.33:4000");
    }
    gateway.finish(());
}
