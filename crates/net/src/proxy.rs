//! The PROXY protocol: a trusted load balancer says whom it speaks for.

use std::{io, net::SocketAddr};

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::AsyncReadExt;

use crate::stream::PlainStream;

/// The longest header of version 1 is 107 bytes; version 2 with many extensions may be longer, but not sensibly.
const MAX_HEADER: usize = 2048;

/// Reads the header (version 1 or 2) that a trusted peer must send first. Returns the client's address, `None` when the
/// balancer speaks for itself (health checks), and what it sent behind the header.
pub(crate) async fn read_header(
    stream: &mut PlainStream,
) -> io::Result<(Option<SocketAddr>, Vec<u8>)> {
    let mut received = Vec::new();
    loop {
        if stream.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match ProxyHeader::parse(&received, ParseConfig::default()) {
            Ok((header, length)) => {
                let client = header.proxied_address().map(|address| address.source);
                let rest = received.get(length..).unwrap_or_default().to_vec();
                return Ok((client, rest));
            }
            Err(proxy_header::Error::BufferTooShort) if may_go_on(&received) => {}
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
}

/// Whether a header that is not complete yet can become one.
fn may_go_on(received: &[u8]) -> bool {
    let is_finished_line = received.starts_with(b"PROXY") && received.contains(&b'\n');
    received.len() < MAX_HEADER && !is_finished_line
}
