//! `skewless contract import`: a contract of another tool, as CREATE CONTRACT.
//!
//! A reader turns what the tool wrote into promises, one after another; what has no counterpart is kept with its reason.
//! A promise that would say more or less than the tool does is left out, or made with a remark.

mod draft;
mod great_expectations;
mod pandera;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::draft::Draft;
use crate::Failure;

#[derive(clap::Args)]
pub(crate) struct Import {
    /// A suite of Great Expectations (0.x or 1.x), or a schema of pandera, as JSON
    file: PathBuf,
    /// Which tool wrote the file [default: seen from the file]
    #[arg(long, value_enum)]
    format: Option<Tool>,
    /// What the contract is called [default: the suite's or schema's name]
    #[arg(long)]
    name: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Tool {
    /// An expectation suite: `suite.to_json_dict()`, or its file in gx/expectations
    GreatExpectations,
    /// `DataFrameSchema.to_json()`
    Pandera,
}

/// Runs the subcommand.
pub(super) fn run(args: &Import) -> Result<(), Failure> {
    let shown = args.file.display();
    let text = std::fs::read_to_string(&args.file).with_context(|| format!("{shown} cannot be read"))?;
    let value: Value = serde_json::from_str(&text).with_context(|| format!("{shown} is no JSON"))?;
    let draft = draft(&value, args.format).with_context(|| format!("{shown}"))?;
    let contract = draft.statement(args.name.as_deref()).with_context(|| format!("{shown}"))?;
    for remark in draft.remarks() {
        eprintln!("{remark}");
    }
    print!("{contract}");
    Ok(())
}

fn draft(value: &Value, tool: Option<Tool>) -> Result<Draft> {
    let tool = match tool {
        Some(tool) => tool,
        None if value.get("expectations").is_some() => Tool::GreatExpectations,
        None if value.get("schema_type").is_some() => Tool::Pandera,
        None => bail!(
            "it is neither a suite of Great Expectations (no `expectations`) nor a pandera schema (no `schema_type`); say \
             which it is with --format"
        ),
    };
    match tool {
        Tool::GreatExpectations => great_expectations::read(value),
        Tool::Pandera => pandera::read(value),
    }
}
