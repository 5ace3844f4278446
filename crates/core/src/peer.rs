//! The other end of a connection.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// TCP; the client's own address if a PROXY header named it.
    Ip(SocketAddr),
    /// A unix socket.
    Unix,
}

impl Peer {
    /// The address as text, never in the IPv4-mapped form; empty for a unix socket.
    #[must_use]
    pub fn address(&self) -> String {
        self.ip().map(|ip| ip.to_string()).unwrap_or_default()
    }

    /// The address, canonical.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip().to_canonical()),
            Self::Unix => None,
        }
    }

    /// The port; 0 for a unix socket.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Unix => 0,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => fmt::Display::fmt(address, f),
            Self::Unix => f.write_str("unix"),
        }
    }
}
