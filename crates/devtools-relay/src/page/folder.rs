//! The real page, from a folder such as `build/web` of npm `@redux-devtools/app`.
//!
//! It would ask its user for the address of the relay. So its `index.html` is served without its scripts and with one of ours,
//! which tells it the address first.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::asset::Asset;

/// What our script does.
const SEED: &str = include_str!("seed.js");

/// Files of a page at most, and folders below each other.
const MAX_FILES: usize = 500;
const MAX_DEPTH: usize = 8;

/// The longest `index.html`, in bytes.
const MAX_INDEX: u64 = 1 << 20;

/// Why a folder is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Something that should be there cannot be read.
    #[error("{} cannot be read (`polyport devtools install-page` makes a folder with the page)", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// There is an `index.html` of something else.
    #[error("{} is not the page of the Redux DevTools: expected the folder build/web of npm @redux-devtools/app", .0.display())]
    Other(PathBuf),
    /// A script is missing.
    #[error("{} names the script {}, which is not there", .0.display(), .1)]
    NoScript(PathBuf, String),
    /// It is some other folder.
    #[error("{} holds more than {MAX_FILES} files, or folders too deep: it is not the page alone", .0.display())]
    TooMuch(PathBuf),
}

/// The page as we serve it, and the files of the folder by their paths.
pub(super) fn load(folder: &Path) -> Result<(String, HashMap<String, Asset>), PageError> {
    let path = folder.join("index.html");
    let unreadable = |error| PageError::Unreadable(path.clone(), error);
    let length = fs::metadata(&path).map_err(unreadable)?.len();
    if length > MAX_INDEX {
        return Err(PageError::Other(path));
    }
    let html = fs::read_to_string(&path).map_err(unreadable)?;
    let (html, scripts) = without_scripts(&html);
    if scripts.is_empty() {
        return Err(PageError::Other(path));
    }
    let files = files(folder)?;
    if let Some(missing) = scripts
        .iter()
        .find(|script| !files.contains_key(&***script))
    {
        return Err(PageError::NoScript(path, (*missing).to_owned()));
    }
    Ok((seeded(&html, &scripts), files))
}

/// Takes the scripts out of a page that are files beside it; gives their addresses too.
fn without_scripts(html: &str) -> (String, Vec<&str>) {
    const END: &str = "</script>";
    let (mut kept, mut scripts, mut rest) = (String::new(), Vec::new(), html);
    while let Some(start) = rest.find("<script") {
        let Some(length) = rest[start..].find(END) else {
            break;
        };
        let end = start + length + END.len();
        let tag = &rest[start..end];
        let source = tag
            .split_once("src=\"")
            .and_then(|(_, rest)| rest.split_once('"'));
        kept.push_str(&rest[..start]);
        match source {
            Some((source, _)) => {
                scripts.push(source.trim_start_matches("./").trim_start_matches('/'))
            }
            None => kept.push_str(tag),
        }
        rest = &rest[end..];
    }
    kept.push_str(rest);
    (kept, scripts)
}

/// The page with our script, at whatever path it is opened.
fn seeded(html: &str, scripts: &[&str]) -> String {
    let list = serde_json::Value::from(scripts)
        .to_string()
        .replace('<', "\\u003c");
    let script = format!("<script>\n{}</script>", SEED.replace("{{scripts}}", &list));
    let html = html.replacen("<head>", "<head><base href=\"/\">", 1);
    match html.rsplit_once("</body>") {
        Some((before, behind)) => format!("{before}{script}</body>{behind}"),
        None => html + &script,
    }
}

/// Every file of a folder by its path. Links, hidden files and source maps are left out.
fn files(folder: &Path) -> Result<HashMap<String, Asset>, PageError> {
    let mut files = HashMap::new();
    let mut open = vec![(folder.to_owned(), String::new(), 0)];
    while let Some((path, prefix, depth)) = open.pop() {
        let unreadable = |error| PageError::Unreadable(path.clone(), error);
        for entry in fs::read_dir(&path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let kind = entry.file_type().map_err(unreadable)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if name.starts_with('.') || name.ends_with(".map") {
                continue;
            }
            if depth > MAX_DEPTH || files.len() > MAX_FILES {
                return Err(PageError::TooMuch(folder.to_owned()));
            }
            let name = format!("{prefix}{name}");
            if kind.is_dir() {
                open.push((entry.path(), format!("{name}/"), depth + 1));
            } else if kind.is_file() {
                files.insert(name, Asset::of_file(entry.path()));
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    const INDEX: &str = r#"<html><head><script defer="defer" src="js/a.js"></script><script src="./b.js"></script><script>x</script></head><body><p></p></body></html>"#;

    #[test]
    fn scripts_are_left_to_ours() {
        let folder = folder(&[
            ("index.html", INDEX),
            ("js/a.js", ""),
            ("js/a.js.map", ""),
            ("b.js", ""),
            (".hidden", ""),
        ]);
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link.js")).unwrap();
        let (html, files) = load(folder.path()).unwrap();
        let mut names: Vec<_> = files.keys().collect();
        names.sort();
        assert_eq!(names, ["b.js", "index.html", "js/a.js"]);
        assert!(
            html.starts_with(
                r#"<html><head><base href="/"><script>x</script></head><body><p></p><script>"#
            ),
            "{html}"
        );
        assert!(
            html.ends_with("})([\"js/a.js\",\"b.js\"])\n</script></body></html>"),
            "{html}"
        );
    }

    #[test]
    fn other_folders_are_refused() {
        let refused =
            |files: &[(&str, &str)]| load(folder(files).path()).err().unwrap().to_string();
        assert!(refused(&[]).contains("install-page"));
        assert!(refused(&[("index.html", "<p>hello</p>")]).contains("build/web"));
        assert!(
            refused(&[("index.html", INDEX), ("b.js", "")]).contains("js/a.js, which is not there")
        );
        let deep = format!("{}x.js", "d/".repeat(MAX_DEPTH + 2));
        let files = [
            ("index.html", INDEX),
            ("js/a.js", ""),
            ("b.js", ""),
            (&deep, ""),
        ];
        assert!(refused(&files).contains("not the page alone"));
    }
}
