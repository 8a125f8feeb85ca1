//! `skewless contract check`: the verdicts of `ml_validate_data`.

use std::fmt::Write as _;

use anyhow::{Context, Result, anyhow};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use serde::Serialize;

use super::{column, text};
use crate::Failure;
use crate::context::{ContextArgs, runtime};
use crate::progress;
use crate::sample::{rows, sample};

/// How the verdicts are told.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON list
    Json,
}

#[derive(clap::Args)]
pub(crate) struct Check {
    /// The data: a query, a table, or a file
    #[arg(long, value_name = "SQL|TABLE|FILE")]
    data: String,
    /// The contract's name
    #[arg(long)]
    contract: String,
    /// Statements that run first, such as CREATE CONTRACT
    #[arg(short = 'c', long, value_name = "SQL", allow_hyphen_values = true)]
    command: Option<String>,
    /// How the verdicts are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    context: ContextArgs,
}

/// One row of `ml_validate_data`.
#[derive(Serialize)]
struct Verdict {
    rule: String,
    kind: String,
    columns: String,
    rows: i64,
    /// NULL where the rule cannot be decided.
    violations: Option<i64>,
    share: Option<f64>,
    holds: Option<bool>,
    examples: Vec<String>,
}

pub(super) fn run(args: &Check) -> Result<(), Failure> {
    let batch = runtime()?.block_on(async {
        let context = args.context.open().await?;
        if let Some(text) = &args.command {
            context.sql(text).await?;
        }
        let spinner = progress::spinner("checking the data");
        let query = format!(
            "SELECT * FROM ml_validate_data(data => ({}), contract => {})",
            sample(&args.data),
            text(&args.contract)
        );
        let batch = rows(&context, &query).await?;
        spinner.finish_and_clear();
        Ok::<_, Failure>(batch)
    })?;
    let verdicts = (0..batch.num_rows()).map(|row| verdict(&batch, row)).collect::<Result<Vec<_>>>()?;
    match args.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&verdicts).context("the verdicts as JSON")?),
        Format::Text => print!("{}", summary(&verdicts)),
    }
    if verdicts.iter().any(|verdict| verdict.holds == Some(false)) {
        return Err(Failure::Different);
    }
    match verdicts.iter().filter(|verdict| verdict.holds.is_none()).count() {
        0 => Ok(()),
        open => Err(anyhow!("no promise is broken, but {open} of {} cannot be decided", verdicts.len()).into()),
    }
}

fn verdict(batch: &RecordBatch, row: usize) -> Result<Verdict> {
    let words = |name: &str| Ok::<_, anyhow::Error>(column(batch, name)?.as_string::<i32>().value(row).to_owned());
    let counted = |name: &str| Ok::<_, anyhow::Error>(column(batch, name)?.as_primitive::<Int64Type>());
    let violations = counted("violations")?;
    let holds = column(batch, "holds")?.as_boolean();
    let share = column(batch, "share")?.as_primitive::<Float64Type>();
    let examples = column(batch, "examples")?.as_list::<i32>().value(row);
    Ok(Verdict {
        rule: words("rule")?,
        kind: words("kind")?,
        columns: words("columns")?,
        rows: counted("rows")?.value(row),
        violations: violations.is_valid(row).then(|| violations.value(row)),
        share: share.is_valid(row).then(|| share.value(row)),
        holds: holds.is_valid(row).then(|| holds.value(row)),
        examples: examples.as_string::<i32>().iter().flatten().map(str::to_owned).collect(),
    })
}

fn summary(verdicts: &[Verdict]) -> String {
    let count = |holds| verdicts.iter().filter(|verdict| verdict.holds == holds).count();
    let mut summary = format!("{} promises, {} broken", verdicts.len(), count(Some(false)));
    if count(None) > 0 {
        let _ = write!(summary, ", {} open", count(None));
    }
    summary.push('\n');
    for Verdict { rule, kind, rows, violations, holds, examples, .. } in verdicts {
        let examples = examples.join(" | ");
        let _ = match (holds, violations) {
            (Some(true), _) => Ok(()),
            (Some(false), Some(violations)) => {
                writeln!(summary, "broken  {rule:<24} {kind:<9}  {violations} of {rows} rows  {examples}")
            }
            _ => writeln!(summary, "open    {rule:<24} {kind:<9}  {examples}"),
        };
    }
    summary
}
