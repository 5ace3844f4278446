//! Where Redis is, and the way to it: looked up anew for every connection, since it may have moved.

mod probe;

use std::time::Duration;

use rand::seq::SliceRandom;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo,
    IntoConnectionInfo, ProtocolVersion, PushInfo, RedisConnectionInfo, TlsCertificates,
    aio::MultiplexedConnection,
    cluster::{ClusterClient, ClusterClientBuilder},
    io::tcp::TcpSettings,
};

pub use probe::ServerInfo;

/// How long a connection, the TLS and the login may take.
const CONNECT: Duration = Duration::from_secs(2);

/// How long an answer may take before the connection counts as dead.
pub(crate) const RESPONSE: Duration = Duration::from_secs(3);

/// One or several servers of Redis, and how to be let in.
#[derive(Clone)]
pub struct Deployment {
    nodes: Vec<ConnectionAddr>,
    kind: Kind,
    login: Login,
    tls: Option<TlsCertificates>,
}

/// What the servers are to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// There is one. Of several, the first that answers is taken.
    Single,
    /// They are Sentinels, which know where the primary of that name is.
    Sentinel {
        /// The primary's name, as the Sentinels have it.
        primary: String,
        /// How the Sentinels let in.
        login: Login,
    },
    /// They are some of the nodes of a Redis Cluster.
    Cluster,
}

/// A user and a password; neither is ever shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The user of an access list; without one, the default user.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The database, for servers that have several. Channels have no database.
    pub database: i64,
}

/// Whom a TLS connection trusts, and who it is itself; all in PEM.
#[derive(Clone, Default)]
pub struct Tls {
    /// The authorities that are trusted; those of the system if there are none.
    pub authorities: Option<Vec<u8>>,
    /// The own certificate and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A server says no, or nobody answers.
    #[error("{address}: {error}")]
    Redis {
        /// Where.
        address: String,
        /// Why.
        error: redis::RedisError,
    },
    /// No Sentinel knows the primary.
    #[error("no Sentinel knows a primary `{primary}`; the last one asked: {last}")]
    NoPrimary {
        /// Its name.
        primary: String,
        /// What the last Sentinel said.
        last: String,
    },
    /// A slot of a Cluster is nobody's, or is passed from node to node.
    #[error("no node of the Cluster serves the channel `{channel}`")]
    Unserved {
        /// One whose slot it is.
        channel: String,
    },
    /// What is written there would not reach anybody.
    #[error("{address} is a read-only replica; name its primary, or its Sentinels")]
    Replica {
        /// Where.
        address: String,
    },
}

/// The text is no address of Redis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It cannot be read.
    #[error(
        "no address of Redis: expected redis://HOST:PORT, rediss://HOST:PORT or redis+unix:///PATH"
    )]
    Malformed,
    /// It has a password, a user or a database in it.
    #[error(
        "user, password and database have settings of their own; leave them out of the address"
    )]
    Login,
}

impl Deployment {
    /// Servers by their addresses, at least one.
    ///
    /// # Errors
    /// The first address that is none, and why.
    pub fn new<'a>(
        urls: impl IntoIterator<Item = &'a str>,
        kind: Kind,
        login: Login,
        tls: Tls,
    ) -> Result<Self, UrlError> {
        let nodes = urls
            .into_iter()
            .map(read_url)
            .collect::<Result<Vec<_>, _>>()?;
        let certificates = TlsCertificates {
            client_tls: tls
                .identity
                .map(|(client_cert, client_key)| ClientTlsConfig {
                    client_cert,
                    client_key,
                }),
            root_cert: tls.authorities,
        };
        let is_needed = certificates.client_tls.is_some() || certificates.root_cert.is_some();
        if nodes.is_empty() {
            return Err(UrlError::Malformed);
        }
        Ok(Self {
            nodes,
            kind,
            login,
            tls: is_needed.then_some(certificates),
        })
    }

    /// Whether a text is an address of Redis.
    ///
    /// # Errors
    /// Why not.
    pub fn check_url(url: &str) -> Result<(), UrlError> {
        read_url(url).map(drop)
    }

    /// The servers that are named, for people.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(ToString::to_string).collect()
    }

    /// What the servers are to each other.
    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// A client of the nodes of a Cluster, for commands with keys. It tries so many times more when it is sent elsewhere or a
    /// node is lost.
    pub(crate) fn cluster(&self, retries: u32) -> redis::RedisResult<ClusterClient> {
        let nodes = self.nodes.iter();
        let nodes: Vec<ConnectionInfo> = nodes
            .map(|address| connection_info(address, &self.login))
            .collect::<Result<_, _>>()?;
        let mut builder = ClusterClientBuilder::new(nodes)
            .connection_timeout(CONNECT)
            .response_timeout(RESPONSE)
            .retries(retries)
            .tcp_settings(TcpSettings::default().set_nodelay(true));
        if let Some(certificates) = &self.tls {
            builder = builder.certs(certificates.clone());
        }
        builder.build()
    }

    /// Finds the server to talk to, as of now, and makes sure that what is published there reaches everybody.
    pub(crate) async fn find(&self) -> Result<Found, ConnectError> {
        let mut last = None;
        let mut nodes = self.nodes.clone();
        if self.kind == Kind::Cluster {
            // So that not all gateways sit on the first one.
            nodes.shuffle(&mut rand::rng());
        }
        if let Kind::Sentinel { primary, login } = &self.kind {
            let address = self.ask_sentinels(&nodes, primary, login).await?;
            nodes = vec![address];
        }
        for address in nodes {
            let found = Found {
                client: self.client(&address, &self.login)?,
                address: address.to_string(),
            };
            match found.connect(|_| ()).await {
                Ok(connection) => {
                    found.check_role(connection, &self.kind).await?;
                    return Ok(found);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("there is at least one node"))
    }

    /// Another node of the Cluster, by its address as that one says it.
    pub(crate) fn beside(&self, found: &Found, address: &str) -> Result<Found, ConnectError> {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
        let port = port.parse().unwrap_or_default();
        let at = like(
            found.client.get_connection_info().addr(),
            host.to_owned(),
            port,
        );
        Ok(Found {
            client: self.client(&at, &self.login)?,
            address: at.to_string(),
        })
    }

    async fn ask_sentinels(
        &self,
        sentinels: &[ConnectionAddr],
        primary: &str,
        login: &Login,
    ) -> Result<ConnectionAddr, ConnectError> {
        let mut last = String::new();
        for address in sentinels {
            match self.ask_sentinel(address, primary, login).await {
                Ok(Some((host, port))) => return Ok(like(address, host, port)),
                Ok(None) => last = format!("{address} does not know it"),
                Err(error) => last = error.to_string(),
            }
        }
        Err(ConnectError::NoPrimary {
            primary: primary.to_owned(),
            last,
        })
    }

    async fn ask_sentinel(
        &self,
        address: &ConnectionAddr,
        primary: &str,
        login: &Login,
    ) -> Result<Option<(String, u16)>, ConnectError> {
        let sentinel = Found {
            client: self.client(address, login)?,
            address: address.to_string(),
        };
        let mut connection = sentinel.connect(|_| ()).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(primary);
        let answer = question.query_async(&mut connection).await;
        answer.map_err(|error| sentinel.error(error))
    }

    fn client(&self, address: &ConnectionAddr, login: &Login) -> Result<Client, ConnectError> {
        let info = connection_info(address, login);
        let client = info.and_then(|info| match &self.tls {
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
            None => Client::open(info),
        });
        client.map_err(|error| ConnectError::Redis {
            address: address.to_string(),
            error,
        })
    }
}

impl std::fmt::Debug for Deployment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deployment")
            .field("nodes", &self.addresses())
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// A server that takes part.
pub(crate) struct Found {
    client: Client,
    pub(crate) address: String,
}

impl Found {
    /// The host, or nothing if it is reached by a file.
    pub(crate) fn host(&self) -> String {
        match self.client.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
            _ => String::new(),
        }
    }

    /// Opens a connection. `pushed` gets what the server says by itself, and hears when the connection is lost; it runs on
    /// the connection's task.
    pub(crate) async fn connect(
        &self,
        pushed: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, ConnectError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(RESPONSE))
            .set_push_sender(move |push| -> Result<(), ()> {
                pushed(push);
                Ok(())
            });
        let connecting = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        connecting.await.map_err(|error| self.error(error))
    }

    async fn check_role(
        &self,
        mut connection: MultiplexedConnection,
        kind: &Kind,
    ) -> Result<(), ConnectError> {
        // In a cluster the nodes pass on to each other what is published, whatever their role.
        if *kind == Kind::Cluster {
            return Ok(());
        }
        let role: Result<Vec<redis::Value>, _> =
            redis::cmd("ROLE").query_async(&mut connection).await;
        match role {
            Ok(role) => {
                let is_replica = role.first() == Some(&redis::Value::BulkString(b"slave".to_vec()));
                let address = self.address.clone();
                (!is_replica)
                    .then_some(())
                    .ok_or(ConnectError::Replica { address })
            }
            // A user who may not ask: then the first write tells.
            Err(error) if error.code() == Some("NOPERM") => Ok(()),
            Err(error) => Err(self.error(error)),
        }
    }

    pub(crate) fn error(&self, error: redis::RedisError) -> ConnectError {
        ConnectError::Redis {
            address: self.address.clone(),
            error,
        }
    }
}

fn read_url(url: &str) -> Result<ConnectionAddr, UrlError> {
    let info = url
        .into_connection_info()
        .map_err(|_| UrlError::Malformed)?;
    let settings = info.redis_settings();
    let has_login = settings.username().is_some() || settings.password().is_some();
    if has_login || settings.db() != 0 {
        return Err(UrlError::Login);
    }
    Ok(info.addr().clone())
}

/// The address of a server that is reached the same way as another.
fn like(other: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    match other {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    }
}

fn connection_info(address: &ConnectionAddr, login: &Login) -> redis::RedisResult<ConnectionInfo> {
    let mut settings = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name("polyport", env!("CARGO_PKG_VERSION"))
        .set_db(login.database);
    if let Some(user) = &login.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &login.password {
        settings = settings.set_password(password);
    }
    let info = address.clone().into_connection_info()?;
    Ok(info
        .set_tcp_settings(TcpSettings::default().set_nodelay(true))
        .set_redis_settings(settings))
}
