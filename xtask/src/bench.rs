//! `cargo xtask bench`: each folder of `tests/bench` is one benchmark, started by its `run.py`.

use anyhow::{Context, Result, bail};

use crate::shell::{say, step};
use crate::workspace::Workspace;
use crate::{component, setup};

/// Runs the benchmarks whose name contains `filter`, in name order.
pub(crate) fn run(workspace: &Workspace, filter: Option<&str>) -> Result<()> {
    let folder = workspace.root.join("tests/bench");
    let mut scripts = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.context("cannot read tests/bench")?;
        let (name, script) = (entry.file_name().to_string_lossy().into_owned(), entry.path().join("run.py"));
        if script.is_file() && filter.is_none_or(|filter| name.contains(filter)) {
            scripts.push((name, script));
        }
    }
    scripts.sort();
    if scripts.is_empty() {
        match filter {
            Some(filter) => bail!("no benchmark in tests/bench has {filter:?} in its name"),
            None => say("no benchmarks in tests/bench: one is a folder there with a run.py"),
        }
        return Ok(());
    }
    step("setup", || setup::run(workspace, &setup::Arguments::default()))?;
    step("components", || component::build_all(workspace))?;
    step("building skewless", || workspace.cargo().args(["build", "--release", "--package", "skewless"]).run())?;
    for (name, script) in scripts {
        let python = workspace.command(workspace.python()).arg(script);
        let python = python.env("SKEWLESS", workspace.target.join("release/skewless"));
        step(&name, || workspace.surroundings(python).run())?;
    }
    Ok(())
}
