//! A WebSocket as its client opens it, for commands of the gateway that talk to a server.

use std::{error::Error, io, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, Uri};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest as _},
};

use super::connect::Connector;

type Link = TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>;

/// An open WebSocket. Pings are answered while somebody reads.
#[derive(Debug)]
pub struct WsClient(WebSocketStream<Link>);

/// Why there is no WebSocket, or none any more. The texts hold nothing of the address.
#[derive(Debug, thiserror::Error)]
pub enum WsClientError {
    /// The address is none of a WebSocket.
    #[error("expected an address that begins with ws:// or wss://")]
    BadUrl,
    /// The server was not reached in time.
    #[error("it took too long")]
    TooLate,
    /// The server cannot be reached.
    #[error("it cannot be reached: {0}")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// The server answers with another status than 101.
    #[error("it answers {status} {text}")]
    Refused {
        /// The status.
        status: http::StatusCode,
        /// The body of the answer.
        text: String,
    },
    /// The connection has ended.
    #[error("the connection has ended: {0}")]
    Ended(String),
    /// The connection has failed.
    #[error("the connection has failed: {0}")]
    Failed(#[source] Box<tungstenite::Error>),
}

impl From<tungstenite::Error> for WsClientError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Http(answer) => Self::Refused {
                status: answer.status(),
                text: {
                    let body = answer.into_body().unwrap_or_default();
                    String::from_utf8_lossy(&body).trim().to_owned()
                },
            },
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
                Self::Ended("without a word".to_owned())
            }
            error => Self::Failed(Box::new(error)),
        }
    }
}

impl WsClient {
    /// Opens a WebSocket at `url`, with these headers beside its own, within `longest`.
    ///
    /// # Errors
    /// [`WsClientError`].
    pub async fn open(
        url: &str,
        headers: HeaderMap,
        longest: Duration,
    ) -> Result<Self, WsClientError> {
        let uri: Uri = url.parse().map_err(|_| WsClientError::BadUrl)?;
        let scheme = match uri.scheme_str() {
            Some("ws") => "http",
            Some("wss") => "https",
            _ => return Err(WsClientError::BadUrl),
        };
        let authority = uri.authority().ok_or(WsClientError::BadUrl)?.clone();
        let server = Uri::builder()
            .scheme(scheme)
            .authority(authority)
            .path_and_query("/")
            .build()
            .map_err(|_| WsClientError::BadUrl)?;
        let mut request = uri
            .into_client_request()
            .map_err(|_| WsClientError::BadUrl)?;
        request.headers_mut().extend(headers);
        let opening = async {
            let connector = Connector::new(longest, Vec::new());
            let link = connector.connect_web(server).await;
            let link = link.map_err(WsClientError::Unreachable)?;
            let (socket, _) = client_async(request, TokioIo::new(link)).await?;
            Ok(Self(socket))
        };
        timeout(longest, opening)
            .await
            .map_err(|_| WsClientError::TooLate)?
    }

    /// Sends a text.
    ///
    /// # Errors
    /// [`WsClientError`].
    pub async fn send(&mut self, text: String) -> Result<(), WsClientError> {
        Ok(self.0.send(Message::text(text)).await?)
    }

    /// The next text of the server. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`WsClientError`]; [`WsClientError::Ended`] says with which words.
    pub async fn next(&mut self) -> Result<String, WsClientError> {
        loop {
            let message = self.0.next().await;
            match message.ok_or_else(|| WsClientError::Ended("without a word".to_owned()))?? {
                Message::Text(text) => return Ok(text.as_str().to_owned()),
                Message::Binary(bytes) => {
                    let text = String::from_utf8(bytes.to_vec());
                    return text.map_err(|error| {
                        let error = io::Error::new(io::ErrorKind::InvalidData, error);
                        WsClientError::Failed(Box::new(error.into()))
                    });
                }
                Message::Close(Some(close)) => {
                    let code = u16::from(close.code);
                    let words = format!("{code} {}", close.reason.as_str());
                    return Err(WsClientError::Ended(words.trim_end().to_owned()));
                }
                Message::Close(None) => {
                    return Err(WsClientError::Ended("without a word".to_owned()));
                }
                _ => {}
            }
        }
    }
}
