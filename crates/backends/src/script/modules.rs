//! Where a script's modules are: its own folder and below, never outside.

use std::{
    fs,
    path::{Path, PathBuf},
    rc::Rc,
    time::SystemTime,
};

use super::host::Host;
use rquickjs::{
    Ctx, Exception, Module, Result,
    loader::{ImportAttributes, Loader, Resolver},
    module::Declared,
};

/// Bytes of one file.
const MAX_FILE: u64 = 16 << 20;

/// By which a file is known to be another one.
pub(crate) type Stamp = (SystemTime, u64);

/// A script's folder. Files are named relative to it, with `/`.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder of a file, and the file's name in it.
    pub(crate) fn of(file: &Path) -> std::result::Result<(Self, String), String> {
        let shown = file.display();
        let file = file
            .canonicalize()
            .map_err(|error| format!("{shown}: {error}"))?;
        let name = file.file_name().and_then(|name| name.to_str());
        match (file.parent(), name) {
            (Some(root), Some(name)) if file.is_file() => Ok((
                Self {
                    root: root.to_owned(),
                },
                name.to_owned(),
            )),
            _ => Err(format!("{shown}: this is no file with a readable name")),
        }
    }

    /// The file that `specifier` means in the module `from`.
    pub(crate) fn resolve(
        &self,
        from: &str,
        specifier: &str,
    ) -> std::result::Result<String, String> {
        if !specifier.starts_with("./") && !specifier.starts_with("../") {
            return Err(format!(
                "Cannot find module '{specifier}': packages are not there, only 'socket.red', 'polyport', 'actionhero' and \
                 files ('./name')"
            ));
        }
        let base = self.root.join(from);
        let folder = if from.is_empty() {
            &*self.root
        } else {
            base.parent().unwrap_or(&self.root)
        };
        let wanted = folder.join(specifier);
        let text = wanted.to_string_lossy();
        let candidates = ["", ".js", ".json", ".mjs", "/index.js"];
        let found = candidates
            .iter()
            .map(|ending| PathBuf::from(format!("{text}{ending}")))
            .find(|path| path.is_file())
            .and_then(|path| path.canonicalize().ok());
        let Some(found) = found else {
            return Err(format!("Cannot find module '{specifier}'"));
        };
        let inside = found.strip_prefix(&self.root).map_err(|_| {
            format!("Cannot load module '{specifier}': it is outside of the script's folder")
        })?;
        let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
        Ok(parts.join("/"))
    }

    /// When a file was changed last, and its length: whoever writes a file in place changes it twice within one tick of the
    /// file system's clock, and it may have been read in between.
    pub(crate) fn stamp(&self, file: &str) -> Option<Stamp> {
        let found = fs::metadata(self.root.join(file)).ok()?;
        Some((found.modified().ok()?, found.len()))
    }

    /// The text of a file that [`Folder::resolve`] gave.
    pub(crate) fn read(&self, file: &str) -> std::result::Result<String, String> {
        let path = self.root.join(file);
        let size = fs::metadata(&path).map_or(0, |found| found.len());
        if size > MAX_FILE {
            return Err(format!("{file}: larger than 16 MiB"));
        }
        let text = fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?;
        Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
    }
}

/// Whether a file is a module of the kind that has `import` and `export`.
pub(crate) fn is_module(file: &str, source: &str) -> bool {
    file.ends_with(".mjs")
        || file.ends_with(".js")
            && source.lines().any(|line| {
                let line = line.trim_end();
                line.starts_with("export ")
                    || line.starts_with("export{")
                    || line.starts_with("import ")
                    || line.starts_with("import{")
            })
}

const BUILTIN: [&str; 3] = ["socket.red", "polyport", "actionhero"];

/// `import` for QuickJS.
pub(crate) struct Imports(pub(crate) Rc<Host>);

impl Resolver for Imports {
    fn resolve<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        base: &str,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> Result<String> {
        if BUILTIN.contains(&name) {
            return Ok(name.to_owned());
        }
        self.0
            .folder
            .resolve(base, name)
            .map_err(|error| Exception::throw_message(ctx, &error))
    }
}

impl Loader for Imports {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> Result<Module<'js, Declared>> {
        let required = |specifier: &str, names: &str| {
            format!(
                "const m = globalThis[Symbol.for('polyport.require')]({specifier:?}); export default m; {names}"
            )
        };
        let source = match name {
            "polyport" => required(
                name,
                "export const { Action, log, cache, publish, dispatch, join, leave, disconnect, sessions, presence, rooms, \
                 counter } = m;",
            ),
            "actionhero" => required(name, "export const { Action, api } = m;"),
            "socket.red" => required(name, ""),
            file => {
                let source = self
                    .0
                    .read(file)
                    .map_err(|error| Exception::throw_message(ctx, &error))?;
                if is_module(file, &source) {
                    source
                } else {
                    required(&format!("./{file}"), "")
                }
            }
        };
        Module::declare(ctx.clone(), name, source)
    }
}
