//! Where things are: the checkout, the shared build folder and the folder of what setup brings.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::shell::Shell;

/// The checkout and its folders outside it.
pub(crate) struct Workspace {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// What setup brings and what clones share.
    pub(crate) cache: PathBuf,
    /// Native build products.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// The checkout that this binary was built from.
    pub(crate) fn locate() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.parent().context("xtask has no parent folder")?.to_path_buf();
        let cache = match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
            Some(folder) => PathBuf::from(folder),
            None => std::env::home_dir().context("no home folder; set XDG_CACHE_HOME")?.join(".cache"),
        }
        .join("skewless");
        let target = match std::env::var_os("CARGO_TARGET_DIR").filter(|value| !value.is_empty()) {
            Some(folder) => root.join(folder),
            None => cache.join("target"),
        };
        Ok(Self { root, cache, target })
    }

    /// Build products for wasm: a folder of their own, so that cargo's lock is not shared with native builds.
    pub(crate) fn wasm_target(&self) -> PathBuf {
        self.target.join("wasm")
    }

    /// Finished components, one `<name>.wasm` each.
    pub(crate) fn components(&self) -> PathBuf {
        self.root.join("target/components")
    }

    /// The finished web page: what the component `page` serves.
    pub(crate) fn page(&self) -> PathBuf {
        self.root.join("target/page")
    }

    /// The Python of the golden scripts.
    pub(crate) fn python(&self) -> PathBuf {
        self.cache.join("python/bin/python")
    }

    /// A command that runs in the checkout.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Shell {
        Shell::new(program.as_ref()).folder(&self.root)
    }

    /// The cargo that started us (or the one in PATH), on the shared build folder.
    pub(crate) fn cargo(&self) -> Shell {
        let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        let mut shell = self.command(cargo).env("CARGO_TARGET_DIR", &self.target);
        // `cargo xtask` describes xtask's own package to us. Build scripts that watch these variables (ring's) must not see
        // it, or every build by hand and every build by xtask would compile all that depends on them anew.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                shell = shell.env_remove(name);
            }
        }
        if crate::shell::plain() { shell.env("CARGO_TERM_COLOR", "never") } else { shell }
    }

    /// What integration tests and the demo need to find; each variable is described where it is read.
    pub(crate) fn surroundings(&self, shell: Shell) -> Shell {
        let shell = shell
            .env("SKEWLESS_ROOT", &self.root)
            .env("SKEWLESS_COMPONENTS", self.components())
            .env("SKEWLESS_PAGE", self.page())
            .env("SKEWLESS_PYTHON", self.python());
        match crate::setup::chromium() {
            Some(path) => shell.env("CHROME", path),
            None => shell,
        }
    }
}
