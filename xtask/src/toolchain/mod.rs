//! A Rust toolchain that can build for wasm: the active one where it has the targets, else Debian's.

mod debian;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::shell::{Shell, say, which};
use crate::workspace::Workspace;

/// What we build for: Spin components and the browser.
pub(crate) const TARGETS: [&str; 2] = ["wasm32-wasip2", "wasm32-unknown-unknown"];

/// Where the wasm targets come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Source {
    /// rustup where it works, else Debian
    #[default]
    Auto,
    /// The active toolchain, its targets added by rustup
    Rustup,
    /// A private copy of Debian testing's rustc
    Debian,
}

/// A compiler for wasm that is known to be complete.
pub(crate) enum Toolchain {
    /// The toolchain that cargo uses anyway.
    Active,
    /// Debian's compiler in a private folder, behind wrapper scripts.
    Debian(debian::Wrappers),
}

impl Toolchain {
    /// A toolchain that is here already.
    pub(crate) fn find(workspace: &Workspace, source: Source) -> Option<Self> {
        let active = || active_is_complete(workspace).then_some(Self::Active);
        let debian = || debian::find(workspace).map(Self::Debian);
        match source {
            Source::Auto => active().or_else(debian),
            Source::Rustup => active(),
            Source::Debian => debian(),
        }
    }

    /// A toolchain that is here afterwards.
    pub(crate) fn ensure(workspace: &Workspace, source: Source) -> Result<Self> {
        if let Some(found) = Self::find(workspace, source) {
            return Ok(found);
        }
        let mut refusals = Vec::new();
        if source != Source::Debian {
            match add_by_rustup(workspace) {
                Ok(()) => return Ok(Self::Active),
                Err(error) => refusals.push(format!("rustup: {error:#}")),
            }
        }
        if source != Source::Rustup {
            if let Some(refusal) = refusals.first() {
                say(refusal);
            }
            match debian::fetch(workspace, &sysroot(workspace)?) {
                Ok(wrappers) => return Ok(Self::Debian(wrappers)),
                Err(error) => refusals.push(format!("Debian: {error:#}")),
            }
        }
        bail!(
            "no Rust toolchain for {}.\n{}\nRemedy: `rustup target add {}` on a machine that rustup can download on.",
            TARGETS.join(" and "),
            refusals.join("\n"),
            TARGETS.join(" ")
        )
    }

    /// Points cargo at this toolchain.
    pub(crate) fn apply(&self, cargo: Shell) -> Shell {
        match self {
            Self::Active => cargo,
            Self::Debian(wrappers) => cargo
                .env("RUSTC", &wrappers.rustc)
                .env("CARGO_TARGET_WASM32_WASIP2_LINKER", &wrappers.component_linker)
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", &wrappers.linker),
        }
    }

    /// What this is, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Active => "the active Rust toolchain".to_owned(),
            Self::Debian(wrappers) => format!("Debian's rustc in {}", wrappers.prefix.display()),
        }
    }
}

fn rustc(workspace: &Workspace) -> Shell {
    workspace.command(std::env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from))
}

fn sysroot(workspace: &Workspace) -> Result<PathBuf> {
    let printed = rustc(workspace).args(["--print", "sysroot"]).read().context("cannot ask rustc for its folder")?;
    Ok(PathBuf::from(printed.trim()))
}

/// Programs that rustup ships for linking, of the host that `sysroot` is for.
fn linkers(sysroot: &Path) -> Option<PathBuf> {
    let hosts = std::fs::read_dir(sysroot.join("lib/rustlib")).ok()?;
    hosts.flatten().map(|host| host.path().join("bin")).find(|folder| folder.join("rust-lld").is_file())
}

/// Whether the active toolchain has both targets and a component linker that runs on this machine's C library.
fn active_is_complete(workspace: &Workspace) -> bool {
    let Ok(sysroot) = sysroot(workspace) else { return false };
    let has_targets = TARGETS.iter().all(|target| {
        std::fs::read_dir(sysroot.join("lib/rustlib").join(target).join("lib"))
            .is_ok_and(|mut files| files.next().is_some())
    });
    has_targets
        && component_linker(&sysroot).is_some_and(|linker| workspace.command(linker).arg("--version").succeeds())
}

/// `wasm-component-ld`: rustup's own, else one from PATH (`cargo install wasm-component-ld`).
fn component_linker(sysroot: &Path) -> Option<PathBuf> {
    let own = linkers(sysroot).map(|folder| folder.join("wasm-component-ld")).filter(|file| file.is_file());
    own.or_else(|| which(&["wasm-component-ld"]))
}

fn add_by_rustup(workspace: &Workspace) -> Result<()> {
    let rustup = which(&["rustup"]).context("not in PATH")?;
    say(format_args!("adding the targets {} by rustup", TARGETS.join(", ")));
    workspace
        .command(rustup)
        .args(["target", "add"])
        .args(TARGETS)
        .env("RUSTUP_MAX_RETRIES", "1")
        .limit(Duration::from_mins(3))
        .run()?;
    if !active_is_complete(workspace) {
        bail!("the targets are installed, but the toolchain's wasm-component-ld does not run on this machine");
    }
    Ok(())
}
