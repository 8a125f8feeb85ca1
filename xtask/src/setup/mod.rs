//! `cargo xtask setup`: looks for what the build, the tests and the demo need, and brings what is missing.

mod packages;
mod stamp;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::shell::{say, which};
use crate::toolchain::{Source, Toolchain};
use crate::workspace::Workspace;
use stamp::Stamp;

/// Options of `cargo xtask setup`.
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Where the wasm targets come from
    #[arg(long, value_enum, default_value_t)]
    toolchain: Source,
}

/// Brings everything; one thing that cannot be brought does not keep the others away.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let started = Instant::now();
    let steps: [(&str, &dyn Fn() -> Result<String>); 4] = [
        ("system packages", &|| packages::ensure(workspace)),
        ("wasm targets", &|| Ok(Toolchain::ensure(workspace, arguments.toolchain)?.describe())),
        ("Python packages", &|| python(workspace)),
        ("npm packages", &|| npm(workspace)),
    ];
    let mut failed = false;
    for (name, ensure) in steps {
        match ensure() {
            Ok(found) => say(format_args!("{name}: {found}")),
            Err(error) => {
                failed = true;
                say(format_args!("{name}: MISSING\n{error:#}"));
            }
        }
    }
    if failed {
        bail!("setup is not complete; see the remedies above, then run `cargo xtask setup` again");
    }
    say(format_args!("setup is complete ({:.1} s)", started.elapsed().as_secs_f64()));
    Ok(())
}

/// The browser: `$CHROME`, or one of the usual names in PATH.
pub(crate) fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROME").filter(|value| !value.is_empty()).map(PathBuf::from);
    named.or_else(|| which(&["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]))
}

/// A virtual environment with what the golden scripts and HTTP clients need.
fn python(workspace: &Workspace) -> Result<String> {
    let requirements = workspace.root.join("tests/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).context("cannot read tests/requirements.txt")?;
    let folder = workspace.cache.join("python");
    let (python, stamp) = (workspace.python(), Stamp::new(folder.join("requirements.txt")));
    if python.is_file() && stamp.holds(&wanted) {
        return Ok(folder.display().to_string());
    }
    if !python.is_file() {
        let newest = ["python3.13", "python3.12", "python3.11", "python3"];
        let is_new_enough = |name: &&&str| {
            workspace.command(name).args(["-c", "import sys, venv; assert sys.version_info >= (3, 11)"]).succeeds()
        };
        let found = newest.iter().find(is_new_enough);
        let base = found.context("no Python 3.11 or newer with venv; run `sudo apt-get install python3-venv`")?;
        say(format_args!("making a virtual environment in {}", folder.display()));
        workspace.command(base).args(["-m", "venv"]).arg(&folder).read()?;
    }
    say(format_args!("installing tests/requirements.txt into {}", folder.display()));
    workspace
        .command(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(&requirements)
        .run()
        .context("pip cannot install tests/requirements.txt; does it reach a package index?")?;
    stamp.write(&wanted)?;
    Ok(folder.display().to_string())
}

/// What drives the browser in tests.
fn npm(workspace: &Workspace) -> Result<String> {
    let folder = workspace.root.join("tests/browser");
    let lock = folder.join("package-lock.json");
    let wanted = std::fs::read_to_string(&lock).context("cannot read tests/browser/package-lock.json")?;
    let stamp = Stamp::new(folder.join("node_modules/.skewless"));
    if !stamp.holds(&wanted) {
        say("installing the packages of tests/browser");
        workspace
            .command("npm")
            .folder(&folder)
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
            .run()
            .context("npm cannot install tests/browser; does it reach a registry?")?;
        stamp.write(&wanted)?;
    }
    Ok("tests/browser/node_modules".to_owned())
}
