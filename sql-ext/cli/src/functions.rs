//! `skewless functions`: the catalog's functions, or one of them explained.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use skewless_catalog::FUNCTIONS;
use skewless_catalog::function::{Kind, names, signature};
use skewless_catalog::suggest::did_you_mean;

use crate::Failure;

/// List the functions of the catalog, or explain one
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Explain this function
    name: Option<String>,
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    print!("{}", text(args.name.as_deref())?);
    Ok(())
}

/// The list, or what one function does.
pub(crate) fn text(name: Option<&str>) -> Result<String> {
    let mut text = String::new();
    let Some(name) = name else {
        let width = FUNCTIONS.iter().map(|function| function.name().len()).max().unwrap_or_default();
        for function in FUNCTIONS {
            let kind = match function.kind() {
                Kind::Scalar => "scalar",
                Kind::Aggregate => "aggregate",
                Kind::Window => "window",
            };
            writeln!(text, "{:<width$}  {kind:<9}  {}", function.name(), function.short())?;
        }
        return Ok(text);
    };
    let lower = name.to_lowercase();
    let all: Vec<(String, usize)> = FUNCTIONS
        .iter()
        .enumerate()
        .flat_map(|(index, function)| names(*function).into_iter().map(move |name| (name, index)))
        .collect();
    let found = all.iter().find(|(name, _)| *name == lower).and_then(|(_, index)| FUNCTIONS.get(*index));
    let Some(function) = found else {
        let hint = did_you_mean(&lower, all.iter().map(|(name, _)| name.as_str()));
        bail!("the catalog has no function `{name}`{hint}; `skewless functions` lists them");
    };
    let end = if function.short().ends_with(['.', '?']) { "" } else { "." };
    writeln!(text, "{}\n\n{}{end}\n", signature(*function), function.short())?;
    for arg in function.args() {
        let default = arg.default.map(|default| format!(" (default {default})")).unwrap_or_default();
        writeln!(text, "  {:<12} {} {}{default}", arg.name, arg.data_type, arg.about)?;
    }
    let others: Vec<String> = names(*function).into_iter().filter(|name| name != function.name()).collect();
    if !others.is_empty() {
        writeln!(text, "\nAlso called {}.", others.join(", "))?;
    }
    writeln!(text, "\n{}", function.long().trim_end())?;
    Ok(text)
}
