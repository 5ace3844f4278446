//! Fetching the real page of the Redux DevTools: `polyport devtools install-page`.
//!
//! The page is no part of the gateway. It comes from the npm registry, as the one package whose hash is known here, and of that
//! package only the page, without its source maps.

use std::{
    env, fs,
    io::{self, Read as _},
    path::{Component, Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, Method, header};
use polyport_net::{ClientRequest, ClientResponse, HttpClient, HttpClientOptions};
use tokio::runtime;

/// What is fetched.
const PACKAGE: &str = "@redux-devtools/app";
const VERSION: &str = "8.0.0";
/// `dist.integrity` of that version, without the name of the hash.
const SHA512: &str =
    "iWyUuD5WiaFJcIZ4HJ0dQEfnb3QnSHRVr/PQl/0wuNKw3A6BCYmr/dVCNkVtDTthtnRYN6eDw6sS0T58oew7fQ==";

/// Where npm packages come from, unless npm is told otherwise by one of these.
const REGISTRY: &str = "https://registry.npmjs.org";
const REGISTRY_VARIABLES: [&str; 2] = ["npm_config_registry", "NPM_CONFIG_REGISTRY"];

/// Bounds of a download.
const TIMEOUT: Duration = Duration::from_mins(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const MAX_PACKAGE: usize = 64 << 20;
const MAX_UNPACKED: u64 = 256 << 20;
const MAX_REDIRECTS: usize = 5;

/// Where the page and its licence stand in the package.
const PAGE_FOLDER: &str = "package/build/web";
const LICENCE: &str = "package/LICENSE.md";

/// Makes the folder `to` with the page; gives what to tell the user.
///
/// # Errors
/// When the package cannot be fetched, is another than expected, or the folder cannot be made.
pub fn install(to: &Path) -> anyhow::Result<String> {
    ensure!(
        !to.exists(),
        "{} is there already: remove it first, or name another folder with --to",
        to.display()
    );
    let url = format!("{}/{PACKAGE}/-/app-{VERSION}.tgz", registry());
    let fetched = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(fetch(&url));
    let package = fetched.with_context(|| {
        format!(
            "{url} cannot be fetched; where npm gets through, `npm pack {PACKAGE}@{VERSION}` fetches it too: unpack it and set devtools.page to its folder build/web"
        )
    })?;
    check(&package).with_context(|| format!("what {url} answers is not installed"))?;
    unpack(&package, to).with_context(|| format!("{} cannot be made", to.display()))?;
    let folder = fs::canonicalize(to).unwrap_or_else(|_| to.to_owned());
    let line = toml::Value::from(folder.to_string_lossy().into_owned());
    Ok(format!(
        "{} has the page of {PACKAGE} {VERSION}; its licence is beside it. Put this into the table `devtools` of the listener in gateway.toml:\n\npage = {line}\n",
        to.display()
    ))
}

/// The address of the registry, without a slash at its end.
fn registry() -> String {
    let set = REGISTRY_VARIABLES
        .iter()
        .find_map(|name| env::var(name).ok());
    let set = set.filter(|address| !address.trim().is_empty());
    let address = set.as_deref().unwrap_or(REGISTRY);
    address.trim().trim_end_matches('/').to_owned()
}

async fn fetch(url: &str) -> anyhow::Result<Bytes> {
    let client = HttpClient::new(HttpClientOptions {
        connect_timeout: CONNECT_TIMEOUT,
        ..HttpClientOptions::default()
    });
    let mut url = url.to_owned();
    for _ in 0..=MAX_REDIRECTS {
        let answer = get(&client, &url).await?;
        if !answer.status.is_redirection() {
            ensure!(
                answer.status.is_success(),
                "the registry answers {}",
                answer.status
            );
            return Ok(answer.body);
        }
        let location = answer.headers.get(header::LOCATION);
        let location = location.and_then(|it| it.to_str().ok());
        url = location
            .context("the registry sends us on without an address")?
            .to_owned();
    }
    bail!("the registry sends us on and on");
}

async fn get(client: &HttpClient, url: &str) -> anyhow::Result<ClientResponse> {
    let request = ClientRequest {
        method: Method::GET,
        url: url.to_owned(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout: TIMEOUT,
        max_body: MAX_PACKAGE,
    };
    Ok(client.send(request).await?)
}

/// Nothing of a package is looked at before this.
fn check(package: &[u8]) -> anyhow::Result<()> {
    let found = STANDARD.encode(digest::digest(&digest::SHA512, package));
    ensure!(
        found == SHA512,
        "its hash is sha512-{found}, and that of {PACKAGE} {VERSION} is sha512-{SHA512}: ask who runs the registry, or set npm_config_registry to another"
    );
    Ok(())
}

/// Unpacks the page beside the folder first, so that the folder is there as a whole or not at all.
fn unpack(package: &[u8], to: &Path) -> anyhow::Result<()> {
    let name = to.file_name().context("it has no name")?;
    let mut unfinished = name.to_owned();
    unfinished.push(".unfinished");
    let unfinished = to.with_file_name(unfinished);
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    let done = unpack_into(package, &unfinished).and_then(|()| Ok(fs::rename(&unfinished, to)?));
    if done.is_err() && unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    done
}

fn unpack_into(package: &[u8], folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let mut archive = tar::Archive::new(GzDecoder::new(package).take(MAX_UNPACKED));
    let mut has_page = false;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let Some(name) = wanted(&entry.path()?) else {
            continue;
        };
        ensure!(
            entry.header().entry_type().is_file(),
            "{} is no file",
            name.display()
        );
        let path = folder.join(&name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        io::copy(&mut entry, &mut fs::File::create(&path)?)?;
        has_page |= name == Path::new("index.html");
    }
    ensure!(has_page, "the package has no page");
    Ok(())
}

/// The path in our folder of a path in the package, if it is of the page and leads nowhere else.
fn wanted(path: &Path) -> Option<PathBuf> {
    if path == Path::new(LICENCE) {
        return path.file_name().map(PathBuf::from);
    }
    let path = path.strip_prefix(PAGE_FOLDER).ok()?;
    let is_inside = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let is_map = path.extension().is_some_and(|extension| extension == "map");
    let is_file = path.file_name().is_some();
    (is_inside && is_file && !is_map).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn package(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, text) in files {
            let mut header = tar::Header::new_ustar();
            // Not by `set_path`, which refuses what an attacker would not.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn only_the_page_is_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("page");
        let package = package(&[
            ("package/package.json", "{}"),
            ("package/LICENSE.md", "MIT"),
            ("package/build/web/index.html", "<p>"),
            ("package/build/web/js/a.js", "a"),
            ("package/build/web/js/a.map", "{}"),
            ("package/build/web/../../../escaped.js", "x"),
            ("/package/build/web/b.js", "x"),
        ]);
        unpack(&package, &to).unwrap();
        let mut names: Vec<_> = fs::read_dir(&to)
            .unwrap()
            .map(|it| it.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["LICENSE.md", "index.html", "js"]);
        let scripts: Vec<_> = fs::read_dir(to.join("js"))
            .unwrap()
            .map(|it| it.unwrap().file_name())
            .collect();
        assert_eq!(scripts, ["a.js"]);
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing beside it"
        );
    }

    #[test]
    fn a_package_without_the_page_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for package in [
            package(&[("package/package.json", "{}")]),
            b"nonsense".to_vec(),
        ] {
            assert!(unpack(&package, &folder.path().join("page")).is_err());
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn another_package_is_refused() {
        let error = check(b"another").unwrap_err().to_string();
        assert!(error.contains("its hash is sha512-"), "{error}");
    }
}
