//! `cargo xtask docs`: pages that are generated from the catalog's definitions.

use anyhow::Result;

use crate::workspace::Workspace;

/// Options of `cargo xtask docs`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Write nothing; fail where a page is not what would be written
    #[arg(long)]
    pub(crate) check: bool,
}

/// Writes or checks every generated page.
#[allow(clippy::unnecessary_wraps, clippy::needless_pass_by_value, reason = "there is no generated page yet")]
pub(crate) fn run(_workspace: &Workspace, _arguments: Arguments) -> Result<()> {
    Ok(())
}
