//! `skewless contract`: infers a contract from data, and checks data against one.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use serde::Serialize;
use skewless_catalog::profile::Profile;

use crate::Failure;
use crate::context::{ContextArgs, runtime};
use crate::progress;
use crate::sample::{rows, sample};

/// Infer data contracts, and check data against them
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Print a CREATE CONTRACT that the data keeps: a start, to be edited
    Infer(Infer),
    /// Check every promise of a contract
    ///
    /// Exit code 0 when all hold, 3 when one is broken, 1 when they cannot be checked.
    Check(Check),
}

#[derive(clap::Args)]
pub(crate) struct Infer {
    /// The data: a query, a table, or a file
    #[arg(long, value_name = "SQL|TABLE|FILE")]
    data: String,
    /// What the contract is called
    #[arg(long, default_value = "inferred")]
    name: String,
    #[command(flatten)]
    context: ContextArgs,
}

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

/// Runs the subcommand.
pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Infer(args) => infer(args),
        Command::Check(args) => check(args),
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).with_context(|| format!("the answer has no column {name}"))
}

fn infer(args: &Infer) -> Result<(), Failure> {
    let batch = runtime()?.block_on(async {
        let context = args.context.open().await?;
        let spinner = progress::spinner("reading the data");
        let query = format!("SELECT * FROM ml_describe_data(data => ({}))", sample(&args.data));
        let batch = rows(&context, &query).await?;
        spinner.finish_and_clear();
        Ok::<_, Failure>(batch)
    })?;
    print!("{}", inferred(&args.name, &batch)?);
    Ok(())
}

/// The statement: types, NOT NULL where no value is, the range of numbers, the set of few texts, UNIQUE where that is sure.
fn inferred(name: &str, described: &RecordBatch) -> Result<String> {
    let (names, types) =
        (column(described, "feature")?.as_string::<i32>(), column(described, "type")?.as_string::<i32>());
    let profiles = column(described, "profile")?.as_binary::<i32>();
    let mut lines = Vec::new();
    for row in 0..described.num_rows() {
        let Some(data_type) = sql_type(types.value(row)) else { continue };
        let column = quoted(names.value(row));
        let mut line = format!("  {column} {data_type}");
        if profiles.is_valid(row) {
            let profile = Profile::from_bytes(profiles.value(row))?;
            line.push_str(&promises(&column, &data_type, &profile));
        }
        lines.push(line);
    }
    if lines.is_empty() {
        bail!("no column has a type that a contract names");
    }
    Ok(format!("CREATE CONTRACT {} (\n{}\n);\n", quoted(name), lines.join(",\n")))
}

fn promises(column: &str, data_type: &str, profile: &Profile) -> String {
    let mut text = String::new();
    if profile.rows() > 0 && profile.nulls() == 0 {
        text.push_str(" NOT NULL");
    }
    let distinct = profile.distinct();
    if profile.is_exact() && profile.rows() > 1 && distinct.estimate as u64 == profile.rows() {
        text.push_str(" UNIQUE");
    }
    let is_number = !["BOOLEAN", "DATE", "TIMESTAMP"].contains(&data_type);
    match profile.range().filter(|_| is_number) {
        Some((low, high)) if data_type == "DOUBLE" || data_type == "REAL" => {
            let _ = write!(text, " CHECK ({column} BETWEEN {low:?} AND {high:?})");
        }
        Some((low, high)) => {
            let _ = write!(text, " CHECK ({column} BETWEEN {low} AND {high})");
        }
        None => {}
    }
    let categories = profile.categories();
    let is_set = profile.is_exact() && data_type == "VARCHAR" && profile.rows() > 2 * categories.len() as u64;
    if is_set && (1..=20).contains(&categories.len()) && categories.iter().all(|category| !category.is_cut) {
        let mut texts: Vec<String> =
            categories.iter().map(|category| format!("'{}'", category.text.replace('\'', "''"))).collect();
        texts.sort();
        let _ = write!(text, " CHECK ({column} IN ({}))", texts.join(", "));
    }
    text
}

/// A name as SQL writes it.
fn quoted(name: &str) -> String {
    let mut letters = name.chars();
    let starts = letters.next().is_some_and(|first| first.is_ascii_lowercase() || first == '_');
    if starts && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// The SQL name of an arrow type; `None` where there is none that a contract would take it by.
fn sql_type(arrow: &str) -> Option<String> {
    let name = match arrow {
        "Int8" => "TINYINT",
        "Int16" | "UInt8" => "SMALLINT",
        "Int32" | "UInt16" => "INT",
        "Int64" | "UInt32" => "BIGINT",
        "Float32" => "REAL",
        "Float64" => "DOUBLE",
        "Boolean" => "BOOLEAN",
        "Date32" => "DATE",
        _ if arrow.contains("Utf8") => "VARCHAR",
        _ if arrow.starts_with("Timestamp(") && !arrow.contains('"') => "TIMESTAMP",
        _ => {
            let scale = arrow.strip_prefix("Decimal128(")?.strip_suffix(')')?;
            return Some(format!("DECIMAL({scale})"));
        }
    };
    Some(name.to_owned())
}

/// One row of `ml_validate_data`.
#[derive(Serialize)]
struct Verdict {
    rule: String,
    kind: String,
    columns: String,
    rows: i64,
    violations: i64,
    share: Option<f64>,
    holds: bool,
    examples: Vec<String>,
}

fn check(args: &Check) -> Result<(), Failure> {
    let batch = runtime()?.block_on(async {
        let context = args.context.open().await?;
        if let Some(text) = &args.command {
            context.sql(text).await?;
        }
        let spinner = progress::spinner("checking the data");
        let query = format!(
            "SELECT * FROM ml_validate_data(data => ({}), contract => '{}')",
            sample(&args.data),
            args.contract.replace('\'', "''")
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
    if verdicts.iter().all(|verdict| verdict.holds) { Ok(()) } else { Err(Failure::Different) }
}

fn verdict(batch: &RecordBatch, row: usize) -> Result<Verdict> {
    let text = |name: &str| Ok::<_, anyhow::Error>(column(batch, name)?.as_string::<i32>().value(row).to_owned());
    let count = |name: &str| Ok::<_, anyhow::Error>(column(batch, name)?.as_primitive::<Int64Type>().value(row));
    let share = column(batch, "share")?.as_primitive::<Float64Type>();
    let examples = column(batch, "examples")?.as_list::<i32>().value(row);
    Ok(Verdict {
        rule: text("rule")?,
        kind: text("kind")?,
        columns: text("columns")?,
        rows: count("rows")?,
        violations: count("violations")?,
        share: share.is_valid(row).then(|| share.value(row)),
        holds: column(batch, "holds")?.as_boolean().value(row),
        examples: examples.as_string::<i32>().iter().flatten().map(str::to_owned).collect(),
    })
}

fn summary(verdicts: &[Verdict]) -> String {
    let broken = verdicts.iter().filter(|verdict| !verdict.holds).count();
    let mut text = format!("{} promises, {broken} broken\n", verdicts.len());
    for verdict in verdicts.iter().filter(|verdict| !verdict.holds) {
        let _ = writeln!(
            text,
            "broken  {:<24} {:<9}  {} of {} rows  {}",
            verdict.rule,
            verdict.kind,
            verdict.violations,
            verdict.rows,
            verdict.examples.join(" | ")
        );
    }
    text
}
