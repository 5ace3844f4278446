//! What a browser sees that opens the relay's address: the page of the Redux DevTools from a folder, or one of our own.

mod asset;
mod folder;

use std::{collections::HashMap, path::Path, sync::LazyLock};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode, header, request::Parts};
use polyport_net::{HttpAnswer, HttpRequest, http_answer};

use crate::{
    access::{Right, cookie},
    shared::Shared,
};
use asset::Asset;
pub use folder::PageError;

/// Our own page.
const OWN: &str = include_str!("page/own.html");

/// What our own page may do: its script and no other, its style, and connections to where it comes from.
static OWN_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let script = OWN.split_once("<script>").map_or("", |(_, rest)| rest);
    let script = script
        .split_once("</script>")
        .map_or("", |(script, _)| script);
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, script.as_bytes()));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{hash}'; style-src 'unsafe-inline'; img-src data:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'"
    );
    HeaderValue::from_str(&policy).expect("letters and quotes are a header value")
});

/// A page and the files that it consists of.
pub(crate) struct Page {
    index: Asset,
    /// By their paths, without the first slash.
    files: HashMap<String, Asset>,
}

impl Page {
    /// Our own, for a relay that is served at `path`.
    pub(crate) fn own(path: &str) -> Self {
        let path = path
            .replace('&', "&amp;")
            .replace('"', "&quot;")
            .replace('<', "&lt;");
        let index = Asset::of_text(OWN.replace("{{path}}", &path));
        Self {
            index: index.with_policy(OWN_POLICY.clone()),
            files: HashMap::new(),
        }
    }

    /// The one of a folder.
    ///
    /// # Errors
    /// [`PageError`].
    pub(crate) fn load(folder: &Path) -> Result<Self, PageError> {
        let (index, files) = folder::load(folder)?;
        Ok(Self {
            index: Asset::of_text(index),
            files,
        })
    }

    /// Packs everything, one after the other.
    pub(crate) async fn prepare(&self) {
        for asset in self.files.values() {
            asset.prepare().await;
        }
    }

    /// Answers a `GET` of who may watch. Others are asked for a name, which a cookie keeps for the page's connection.
    pub(crate) async fn show(&self, shared: &Shared, request: &HttpRequest) -> HttpAnswer {
        let access = match shared.access(request).await {
            Ok(access) => access,
            Err(answer) => return *answer,
        };
        if !access.has(shared, Right::Monitor) {
            return shared.ask_for_name(request);
        }
        let mut answer = self.answer(&request.head).await;
        if !shared.is_open()
            && let Some(cookie) =
                cookie(&request.head.headers, &shared.options.path, request.is_tls)
        {
            answer.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        answer
    }

    /// A missing file is missing; a path that names none is the page, as in the original.
    async fn answer(&self, head: &Parts) -> HttpAnswer {
        let path = head.uri.path();
        let path = path.strip_prefix('/').unwrap_or(path);
        let name = path.rsplit('/').next().unwrap_or_default();
        let asset = if path == "index.html" || !name.contains('.') {
            Some(&self.index)
        } else {
            self.files.get(path)
        };
        match asset {
            Some(asset) => asset.answer(&head.headers).await,
            None => http_answer(StatusCode::NOT_FOUND, "There is no such file.\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    async fn get(page: &Page, path: &str) -> HttpAnswer {
        let request = Request::get(path).body(()).unwrap();
        page.answer(&request.into_parts().0).await
    }

    #[tokio::test]
    async fn paths_that_name_no_file_are_the_page() {
        let page = Page::own("/a\"<&/");
        for (path, status) in [
            ("/", 200),
            ("/some/where", 200),
            ("/index.html", 200),
            ("/port.js", 404),
            ("/favicon.ico", 404),
            ("/../Cargo.toml", 404),
            ("/js/%2e%2e/Cargo.toml", 404),
        ] {
            assert_eq!(get(&page, path).await.status(), status, "{path}");
        }
    }

    #[tokio::test]
    async fn our_own_page_runs_its_own_script_only() {
        let answer = get(&Page::own("/x/"), "/").await;
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(policy.contains("script-src 'sha256-"), "{policy}");
        assert_eq!(OWN.matches("<script").count(), 1);
        assert_eq!(OWN.matches("innerHTML").count(), 0);
    }
}
