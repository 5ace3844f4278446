//! Requests to the admin listener of a gateway that runs.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, anyhow, bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use polyport_net::{
    ClientRequest, ClientResponse, HttpClient, HttpClientOptions, StreamedResponse,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Reach, table::visible};
use crate::{
    config::{API_KEY_VARIABLE, Inputs},
    health::from_here,
};

/// How long a connection and a whole request may take; the gateway itself gives a request 30 seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(35);

/// Bytes of an answer: a page of a thousand sessions, each in as many rooms as it may be, is far shorter.
const MAX_ANSWER: usize = 256 << 20;

/// Bytes of an answer that says no.
const MAX_REFUSAL: usize = 64 << 10;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A gateway that runs.
#[derive(Debug)]
pub(super) struct Gateway {
    /// Without a slash at its end.
    url: String,
    /// Shows the key, if there is one.
    headers: HeaderMap,
    client: HttpClient,
}

/// A page for operators.
#[derive(Debug)]
pub(super) struct Text {
    /// Whether the status is a good one.
    pub(super) is_good: bool,
    pub(super) body: String,
}

/// What the server API says of a request that it refuses.
#[derive(Debug, Deserialize)]
struct Refusal {
    error: RefusalBody,
}

#[derive(Debug, Deserialize)]
struct RefusalBody {
    code: String,
    message: String,
    #[serde(default)]
    problems: Vec<String>,
}

impl Gateway {
    /// The gateway that is meant, for commands that need a key.
    pub(super) fn with_key(inputs: &Inputs, reach: &Reach) -> anyhow::Result<Self> {
        let gateway = Self::new(inputs, reach)?;
        ensure!(
            gateway.has_key(),
            "a key of the server API is needed: set {API_KEY_VARIABLE}, or name a file that holds one with --key-file; `polyport api-key` makes one for [api.keys]"
        );
        Ok(gateway)
    }

    /// The same, with a key if there is one.
    pub(super) fn new(inputs: &Inputs, reach: &Reach) -> anyhow::Result<Self> {
        let url = match &reach.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => address(inputs.load()?.config.admin)?,
        };
        HttpClient::check_url(&url).with_context(|| format!("--url {url}"))?;
        let mut headers = HeaderMap::new();
        if let Some(key) = key(inputs, reach)? {
            let mut shown = HeaderValue::from_str(&format!("Bearer {key}"))
                .context("the key has characters that no key has")?;
            shown.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, shown);
        }
        let client = HttpClient::new(HttpClientOptions {
            connect_timeout: CONNECT_TIMEOUT,
            ..HttpClientOptions::default()
        });
        Ok(Self {
            url,
            headers,
            client,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Whether the server API can be asked.
    pub(super) fn has_key(&self) -> bool {
        self.headers.contains_key(header::AUTHORIZATION)
    }

    /// What one of the operator's pages says.
    pub(super) async fn text(&self, path: &str) -> anyhow::Result<Text> {
        let answer = self.send(Method::GET, path, Bytes::new()).await?;
        Ok(Text {
            is_good: answer.status.is_success(),
            body: String::from_utf8_lossy(&answer.body).into_owned(),
        })
    }

    /// Asks the server API; parameters without a value are left out.
    pub(super) async fn query(
        &self,
        path: &str,
        parameters: &[(&str, Option<&str>)],
    ) -> anyhow::Result<Value> {
        let path = with_query(path, parameters);
        self.understand(self.send(Method::GET, &path, Bytes::new()).await?)
    }

    /// Has the server API answer with lines, as long as it likes.
    pub(super) async fn lines(
        &self,
        path: &str,
        parameters: &[(&str, Option<&str>)],
    ) -> anyhow::Result<StreamedResponse> {
        let request = self.request(Method::GET, &with_query(path, parameters), Bytes::new());
        let sent = self.client.stream(request).await;
        let answer = sent.with_context(|| self.silence())?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let refusal = answer.whole(MAX_REFUSAL).await;
        let refusal = refusal.with_context(|| self.silence())?;
        let url = &self.url;
        Err(match self.understand(refusal) {
            Err(refusal) => refusal,
            Ok(_) => anyhow!("{url} refuses and answers as if it did not"),
        })
    }

    /// Has the server API do something.
    pub(super) async fn command(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Value> {
        let body = serde_json::to_vec(body)?;
        self.understand(self.send(Method::POST, path, body.into()).await?)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<ClientResponse> {
        let sent = self.client.send(self.request(method, path, body)).await;
        sent.with_context(|| self.silence())
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> ClientRequest {
        let mut headers = self.headers.clone();
        if !body.is_empty() {
            headers.insert(header::CONTENT_TYPE, JSON);
        }
        ClientRequest {
            method,
            url: format!("{}{path}", self.url),
            headers,
            body,
            timeout: TIMEOUT,
            max_body: MAX_ANSWER,
        }
    }

    fn silence(&self) -> String {
        format!(
            "{} does not answer: does the gateway run, and is this the address of its admin listener (admin.bind)? --url names another",
            self.url
        )
    }

    /// The answer, or what is to be done about not having got one.
    fn understand(&self, answer: ClientResponse) -> anyhow::Result<Value> {
        let url = &self.url;
        if answer.status.is_success() {
            let read = serde_json::from_slice(&answer.body);
            return read.with_context(|| format!("{url} answers what is no JSON"));
        }
        let Ok(Refusal { error }) = serde_json::from_slice(&answer.body) else {
            if answer.status == StatusCode::NOT_FOUND {
                bail!(
                    "{url} has no server API: add the table [api] to its configuration and start it anew; if this is no gateway's admin listener, --url names another"
                );
            }
            bail!("{url} answers {} and no reason", answer.status);
        };
        let message = visible(&error.message);
        let advice = match error.code.as_str() {
            "unauthorized" => format!(
                ": it knows the {API_KEY_VARIABLE} of its own environment, the keys whose hashes are in [api.keys], or, if it has none of them, the one that it printed at its start"
            ),
            "forbidden" => ": `verbs` and `rooms` of [api.keys.NAME] say what it may".to_owned(),
            _ => String::new(),
        };
        let mut text = format!("{message}{advice} ({})", visible(&error.code));
        for problem in &error.problems {
            text.push_str("\n  ");
            text.push_str(&visible(problem));
        }
        bail!(text)
    }
}

/// A path with those parameters that have a value.
fn with_query(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    format!("{path}?{}", query.finish())
}

/// Where a gateway with this admin listener is reached from the same machine.
pub(crate) fn address(admin: Option<SocketAddr>) -> anyhow::Result<String> {
    let admin = admin.context(
        "there is no [admin] listener in this configuration that could be asked: add it, or name a gateway with --url",
    )?;
    ensure!(
        admin.port() != 0,
        "admin.bind has port 0, so that nobody knows where the gateway is: name it with --url, as its start has printed it"
    );
    let address = SocketAddr::new(from_here(admin.ip()), admin.port());
    Ok(format!("http://{address}"))
}

/// The key by which the gateway is to know us, if there is one.
fn key(inputs: &Inputs, reach: &Reach) -> anyhow::Result<Option<String>> {
    if let Some(file) = &reach.key_file {
        return read_key(file).map(Some);
    }
    let mut variables = inputs.variables.iter();
    let found = variables.find(|(name, _)| name == API_KEY_VARIABLE);
    Ok(found.map(|(_, key)| key.clone()))
}

fn read_key(file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    let text =
        fs::read_to_string(file).with_context(|| format!("--key-file: cannot read {shown}"))?;
    let key = text.trim();
    ensure!(!key.is_empty(), "--key-file: {shown} is empty");
    Ok(key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_gateway_is() {
        let check = |bind: &str, expected: &str| {
            assert_eq!(address(bind.parse().ok()).unwrap(), expected);
        };
        check("127.0.0.1:9900", "http://127.0.0.1:9900");
        check("0.0.0.0:1", "http://127.0.0.1:1");
        check("[::]:1", "http://[::1]:1");
        for nowhere in [None, "127.0.0.1:0".parse().ok()] {
            let error = address(nowhere).unwrap_err().to_string();
            assert!(error.contains("--url"), "{error}");
        }
    }

    #[test]
    fn a_file_has_precedence_over_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "from-file\n").unwrap();
        let inputs = Inputs {
            variables: vec![(API_KEY_VARIABLE.to_owned(), "from-environment".to_owned())],
            ..Inputs::default()
        };
        let reach = |key_file: Option<&Path>| Reach {
            key_file: key_file.map(Path::to_owned),
            ..Reach::default()
        };
        let found = key(&inputs, &reach(None)).unwrap();
        assert_eq!(found.as_deref(), Some("from-environment"));
        let found = key(&inputs, &reach(Some(&file))).unwrap();
        assert_eq!(found.as_deref(), Some("from-file"));
        assert_eq!(key(&Inputs::default(), &reach(None)).unwrap(), None);
        fs::write(&file, "\n").unwrap();
        for bad in [&file, &folder.path().join("none")] {
            assert!(key(&inputs, &reach(Some(bad))).is_err(), "{bad:?}");
        }
    }
}
