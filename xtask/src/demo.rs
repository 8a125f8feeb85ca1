//! `cargo xtask demo`: everything the demo needs, then the demo.

use anyhow::Result;

use crate::shell::step;
use crate::workspace::Workspace;
use crate::{component, setup};

/// Runs `skewless demo` with these arguments.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    step("setup", || setup::run(workspace, &setup::Arguments::default()))?;
    step("components", || component::build_all(workspace))?;
    // The whole workspace is selected although one binary is built: a dependency's features are those that all selected
    // packages ask for together, and so the tests' builds of DataFusion, wasmtime and tract are this one's as well.
    step("building skewless", || workspace.cargo().args(["build", "--workspace", "--bin", "skewless"]).run())?;
    let binary = workspace.target.join("debug").join(format!("skewless{}", std::env::consts::EXE_SUFFIX));
    workspace.surroundings(workspace.command(binary).args(["demo"]).args(arguments)).interactive().run()
}
