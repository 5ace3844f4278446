//! An answer whose body is read as it comes.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{ClientError, ClientResponse, read};

/// An answer of which the head has come.
#[derive(Debug)]
pub struct StreamedResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
}

impl StreamedResponse {
    pub(super) fn new(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    /// What comes next of the body, as soon as it does; nothing at its end. May be given up and called again.
    ///
    /// # Errors
    /// [`ClientError`]; nothing more comes.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| ClientError::of_body(&error))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The same answer once all of it has come.
    ///
    /// # Errors
    /// [`ClientError`], also for a body of more than `max_body` bytes.
    pub async fn whole(self, max_body: usize) -> Result<ClientResponse, ClientError> {
        Ok(ClientResponse {
            status: self.status,
            headers: self.headers,
            body: read(self.body, max_body).await?,
        })
    }
}
