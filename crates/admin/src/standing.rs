//! What the hub does not know of the node: where its listeners listen, and which backends it asks.

/// How the configuration in force stands. The binary tells it at the start and after every reload.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// The listeners that accept.
    pub listeners: Vec<BoundListener>,
    /// The backends that are configured.
    pub backends: Vec<KnownBackend>,
}

/// A listener that accepts.
#[derive(Debug, Clone)]
pub struct BoundListener {
    /// The name in the configuration.
    pub name: String,
    /// The address, as it is bound.
    pub address: String,
    /// Whether clients come with TLS.
    pub is_tls: bool,
}

/// A backend that is configured.
#[derive(Debug, Clone)]
pub struct KnownBackend {
    /// The name in the configuration.
    pub name: String,
    /// What it is, in the words of the configuration.
    pub kind: &'static str,
}
