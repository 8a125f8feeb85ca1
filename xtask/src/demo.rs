//! `cargo xtask demo`: everything the demo needs, then the demo.

use anyhow::Result;

use crate::shell::step;
use crate::workspace::Workspace;
use crate::{component, setup};

/// Runs `skewless demo` with these arguments.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    step("setup", || setup::run(workspace, &setup::Arguments::default()))?;
    step("components", || component::build_all(workspace))?;
    step("building skewless", || workspace.cargo().args(["build", "--package", "skewless"]).run())?;
    let cargo = workspace.cargo().args(["run", "--quiet", "--package", "skewless", "--", "demo"]).args(arguments);
    workspace.surroundings(cargo).interactive().run()
}
