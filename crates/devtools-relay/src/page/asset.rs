//! One file of a page, read and compressed once.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    path::PathBuf,
};

use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::Full;
use polyport_net::{HttpAnswer, entity_tag, http_answer, knows_entity, takes_gzip};
use tokio::{sync::OnceCell, task::spawn_blocking};

/// The longest file that is served, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// A file of a page.
pub(crate) struct Asset {
    source: Source,
    kind: HeaderValue,
    policy: Option<HeaderValue>,
    packed: OnceCell<Packed>,
}

#[derive(Clone)]
enum Source {
    Text(Bytes),
    File(PathBuf),
}

/// What is kept in memory: compressed, if that saves something.
struct Packed {
    body: Bytes,
    is_gzip: bool,
    tag: HeaderValue,
}

impl Asset {
    /// A page of HTML.
    pub(crate) fn of_text(html: String) -> Self {
        Self::new(Source::Text(html.into()), "html")
    }

    /// A file, which is read when it is first needed.
    pub(crate) fn of_file(path: PathBuf) -> Self {
        let extension = path.extension().and_then(|it| it.to_str());
        let extension = extension.unwrap_or_default().to_ascii_lowercase();
        Self::new(Source::File(path), &extension)
    }

    fn new(source: Source, extension: &str) -> Self {
        Self {
            source,
            kind: HeaderValue::from_static(kind_of(extension)),
            policy: None,
            packed: OnceCell::new(),
        }
    }

    /// The same with a `Content-Security-Policy`.
    pub(crate) fn with_policy(self, policy: HeaderValue) -> Self {
        Self {
            policy: Some(policy),
            ..self
        }
    }

    /// Reads and compresses it. One that cannot be read says so when it is asked for.
    pub(crate) async fn prepare(&self) {
        let _ = self.packed().await;
    }

    /// Answers a `GET`.
    pub(crate) async fn answer(&self, headers: &HeaderMap) -> HttpAnswer {
        let answer = self.try_answer(headers).await;
        answer.unwrap_or_else(|error| {
            tracing::warn!(file = ?self.source.path(), %error, "a file of the page cannot be read");
            http_answer(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The file cannot be read.\n",
            )
        })
    }

    async fn try_answer(&self, asked: &HeaderMap) -> io::Result<HttpAnswer> {
        let packed = self.packed().await?;
        let is_known = knows_entity(asked, &packed.tag);
        let is_gzip = packed.is_gzip && takes_gzip(asked);
        let body = if is_known {
            Bytes::new()
        } else if packed.is_gzip && !is_gzip {
            let body = packed.body.clone();
            spawn_blocking(move || unpacked(&body)).await??
        } else {
            packed.body.clone()
        };
        let mut answer = HttpAnswer::new(Full::new(body));
        if is_known {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = answer.headers_mut();
        let value = HeaderValue::from_static;
        headers.insert(header::CONTENT_TYPE, self.kind.clone());
        headers.insert(header::ETAG, packed.tag.clone());
        headers.insert(header::CACHE_CONTROL, value("no-cache"));
        headers.insert(header::VARY, value("Accept-Encoding"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, value("nosniff"));
        if is_gzip && !is_known {
            headers.insert(header::CONTENT_ENCODING, value("gzip"));
        }
        if let Some(policy) = &self.policy {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
        }
        Ok(answer)
    }

    async fn packed(&self) -> io::Result<&Packed> {
        let pack = || async {
            let source = self.source.clone();
            spawn_blocking(move || source.pack()).await?
        };
        self.packed.get_or_try_init(pack).await
    }
}

impl Source {
    fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::Text(_) => None,
            Self::File(path) => Some(path),
        }
    }

    fn read(self) -> io::Result<Bytes> {
        let path = match self {
            Self::Text(text) => return Ok(text),
            Self::File(path) => path,
        };
        let mut body = Vec::new();
        fs::File::open(path)?
            .take(MAX_FILE + 1)
            .read_to_end(&mut body)?;
        if body.len() as u64 > MAX_FILE {
            return Err(io::Error::other("it is longer than 64 MiB"));
        }
        Ok(body.into())
    }

    fn pack(self) -> io::Result<Packed> {
        let body = self.read()?;
        let tag = entity_tag(&body);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&body)?;
        let gzip = encoder.finish()?;
        let is_gzip = gzip.len() < body.len() / 10 * 9;
        let body = if is_gzip { gzip.into() } else { body };
        Ok(Packed { body, is_gzip, tag })
    }
}

fn unpacked(gzip: &[u8]) -> io::Result<Bytes> {
    let mut body = Vec::new();
    GzDecoder::new(gzip).read_to_end(&mut body)?;
    Ok(body.into())
}

fn kind_of(extension: &str) -> &'static str {
    match extension {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json; charset=utf-8",
        "md" | "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn answered(asset: &Asset, name: header::HeaderName, value: &str) -> (HttpAnswer, Bytes) {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        let (head, body) = asset.answer(&headers).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (HttpAnswer::from_parts(head, Full::default()), body)
    }

    #[tokio::test]
    async fn what_shrinks_is_compressed_for_those_who_take_it() {
        let text = "<p>again</p>".repeat(100);
        let asset = Asset::of_text(text.clone());
        for (accepted, is_gzip) in [("gzip, br", true), ("gzip;q=0", false), ("br", false)] {
            let (answer, body) = answered(&asset, header::ACCEPT_ENCODING, accepted).await;
            let said = answer.headers().get(header::CONTENT_ENCODING);
            assert_eq!(said.is_some(), is_gzip, "{accepted}");
            let body = if is_gzip {
                unpacked(&body).unwrap()
            } else {
                body
            };
            assert_eq!(body, text);
        }
        let (answer, body) = answered(
            &Asset::of_text("x".to_owned()),
            header::ACCEPT_ENCODING,
            "gzip",
        )
        .await;
        assert!(!answer.headers().contains_key(header::CONTENT_ENCODING));
        assert_eq!(body, "x");
    }

    #[tokio::test]
    async fn what_is_known_is_not_sent_again() {
        let asset = Asset::of_text("x".to_owned());
        let (answer, _) = answered(&asset, header::IF_NONE_MATCH, "\"other\"").await;
        let tag = answer.headers()[header::ETAG].to_str().unwrap().to_owned();
        let (answer, body) = answered(&asset, header::IF_NONE_MATCH, &tag).await;
        assert_eq!((answer.status(), body.len()), (StatusCode::NOT_MODIFIED, 0));
    }

    #[tokio::test]
    async fn a_file_that_goes_is_an_error_until_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let asset = Asset::of_file(folder.path().join("a.js"));
        asset.prepare().await;
        let (answer, _) = answered(&asset, header::ACCEPT_ENCODING, "gzip").await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        fs::write(folder.path().join("a.js"), "a()").unwrap();
        let (answer, body) = answered(&asset, header::ACCEPT_ENCODING, "gzip").await;
        assert_eq!(
            answer.headers()[header::CONTENT_TYPE],
            "text/javascript; charset=utf-8"
        );
        assert_eq!(body, "a()");
    }
}
