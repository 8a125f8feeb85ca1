//! `cargo xtask test`: what CI runs, quick refusals first.

use anyhow::Result;

use crate::shell::step;
use crate::workspace::Workspace;
use crate::{component, docs, setup};

/// Every check; stops at the first that fails. The last lines are those of `cargo test`.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let cargo = |arguments: &[&str]| workspace.surroundings(workspace.cargo().args(arguments));
    step("setup", || setup::run(workspace, &setup::Arguments::default()))?;
    step("formatting", || cargo(&["fmt", "--all", "--check"]).run())?;
    step("generated docs", || docs::run(workspace, docs::Arguments { check: true }))?;
    step("components", || component::build_all(workspace))?;
    step("lints", || cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]).run())?;
    step("building tests", || cargo(&["test", "--workspace", "--no-run"]).run())?;
    crate::shell::say("tests …");
    cargo(&["test", "--workspace"]).args(arguments).run()
}
