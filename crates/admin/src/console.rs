//! The console: a page and what it consists of, all of it part of the binary. It shows and does what the server API lets
//! its user's key do, and nothing by itself.

use std::{
    collections::HashMap,
    io::{self, Write as _},
    sync::LazyLock,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body_util::Full;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue,
        REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use polyport_net::{entity_tag, knows_entity, takes_gzip};

/// What the page may do: its own scripts and styles, questions to the gateway that it comes from, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../console/", $name)).as_slice())),*]
    };
}

/// By their paths below `/console/`.
const FILES: [(&str, &[u8]); 35] = files![
    "index.html",
    "style.css",
    "icon.svg",
    "main.js",
    "api.js",
    "app.js",
    "chart.js",
    "configuration.js",
    "dialog.js",
    "figures.js",
    "format.js",
    "forms.js",
    "parts.js",
    "poll.js",
    "route.js",
    "store.js",
    "views/calls.js",
    "views/cluster.js",
    "views/operations.js",
    "views/overview.js",
    "views/record.js",
    "views/room.js",
    "views/rooms.js",
    "views/session.js",
    "views/sessions.js",
    "views/tap.js",
    "views/trouble.js",
    "views/welcome.js",
    "vendor/htm.LICENSE",
    "vendor/htm.mjs",
    "vendor/preact.LICENSE",
    "vendor/preact.mjs",
    "vendor/uPlot.LICENSE",
    "vendor/uPlot.iife.min.js",
    "vendor/uPlot.min.css",
];

/// The page itself.
const PAGE: &str = "index.html";

static ASSETS: LazyLock<HashMap<&str, Asset>> = LazyLock::new(|| {
    let assets = FILES.iter();
    assets
        .map(|(name, body)| (*name, Asset::of(name, body)))
        .collect()
});

/// One file, in both of its forms.
struct Asset {
    body: Bytes,
    /// If that saves something.
    gzip: Option<Bytes>,
    kind: &'static str,
    tag: HeaderValue,
}

/// Answers a `GET` for the page, or for a file by its path below `/console/`; nothing if there is no such file.
pub(crate) async fn answer(path: Option<&str>, asked: &HeaderMap) -> Option<Response<Full<Bytes>>> {
    if LazyLock::get(&ASSETS).is_none() {
        // They are compressed when they are first asked for.
        let prepared = tokio::task::spawn_blocking(|| LazyLock::force(&ASSETS)).await;
        prepared.ok()?;
    }
    let asset = ASSETS.get(path.unwrap_or(PAGE))?;
    Some(asset.answer(asked))
}

impl Asset {
    fn of(name: &str, body: &'static [u8]) -> Self {
        let gzip = compressed(body).ok();
        Self {
            gzip: gzip.filter(|gzip| gzip.len() < body.len() / 10 * 9),
            body: Bytes::from_static(body),
            kind: kind_of(name),
            tag: entity_tag(body),
        }
    }

    fn answer(&self, asked: &HeaderMap) -> Response<Full<Bytes>> {
        let gzip = self.gzip.as_ref().filter(|_| takes_gzip(asked));
        let is_known = knows_entity(asked, &self.tag);
        let body = if is_known {
            Bytes::new()
        } else {
            gzip.unwrap_or(&self.body).clone()
        };
        let mut response = Response::new(Full::new(body));
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        if gzip.is_some() && !is_known {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers.insert(ETAG, self.tag.clone());
        for (name, value) in [
            (CONTENT_TYPE, self.kind),
            (CACHE_CONTROL, "no-cache"),
            (VARY, "Accept-Encoding"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (REFERRER_POLICY, "no-referrer"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

fn compressed(body: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body)?;
    encoder.finish().map(Bytes::from)
}

fn kind_of(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    fn below(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type().unwrap().is_dir() {
                below(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let mut found = BTreeSet::new();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("console");
        below(&folder, "", &mut found);
        let served: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(served, found);
    }

    /// What one file names of the others is there, so that the page never asks for what it does not get.
    #[test]
    fn every_file_that_is_named_is_there() {
        let has = |name: &str| FILES.iter().any(|(known, _)| *known == name);
        for (name, body) in FILES {
            if name.starts_with("vendor/") || !name.ends_with(".js") {
                continue;
            }
            let text = std::str::from_utf8(body).unwrap();
            for rest in text.split(" from '").skip(1) {
                let (target, _) = rest.split_once('\'').unwrap();
                let path = match (name.starts_with("views/"), target.strip_prefix("../")) {
                    (_, Some(above)) => above.to_owned(),
                    (true, None) => target.replace("./", "views/"),
                    (false, None) => target.replacen("./", "", 1),
                };
                assert!(has(&path), "{name} imports {target}");
            }
        }
        let page = std::str::from_utf8(FILES[0].1).unwrap();
        for rest in page.split("\"/console/").skip(1) {
            let (target, _) = rest.split_once('"').unwrap();
            assert!(has(target), "the page names {target}");
        }
    }

    #[test]
    fn the_page_has_no_script_or_style_of_its_own() {
        let page = std::str::from_utf8(FILES[0].1).unwrap();
        for script in page.split("<script").skip(1) {
            let (attributes, rest) = script.split_once('>').unwrap();
            assert!(attributes.contains("src="), "{attributes}");
            assert!(rest.starts_with("</script>"), "{attributes}");
        }
        assert!(!page.contains("style=") && !page.contains("<style"));
    }
}
