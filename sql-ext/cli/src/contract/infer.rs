//! `skewless contract infer`: a contract that data keeps, from its profiles.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use arrow::array::{Array, AsArray, RecordBatch};
use skewless_catalog::profile::Profile;

use super::{column, quoted, text};
use crate::Failure;
use crate::context::{ContextArgs, runtime};
use crate::progress;
use crate::sample::{rows, sample};

#[derive(clap::Args)]
pub(crate) struct Infer {
    /// The data: a query, a table, or a file
    #[arg(long, value_name = "SQL|TABLE|FILE")]
    data: String,
    /// What the contract is called
    #[arg(long, default_value = "inferred")]
    name: String,
    /// Promise too that no column drifts from this data by that effect size or more
    #[arg(long, value_name = "LIMIT")]
    drift: Option<f64>,
    #[command(flatten)]
    context: ContextArgs,
}

pub(super) fn run(args: &Infer) -> Result<(), Failure> {
    let batch = runtime()?.block_on(async {
        let context = args.context.open().await?;
        let spinner = progress::spinner("reading the data");
        let query = format!("SELECT * FROM ml_describe_data(data => ({}))", sample(&args.data));
        let batch = rows(&context, &query).await?;
        spinner.finish_and_clear();
        Ok::<_, Failure>(batch)
    })?;
    print!("{}", inferred(&args.name, &batch, args.drift)?);
    Ok(())
}

/// The statement: types, NOT NULL where no value is, the range of numbers, the set of few texts, UNIQUE where that is sure.
///
/// Drift is promised of what may repeat: neither of keys nor of times, which move by nature.
fn inferred(name: &str, described: &RecordBatch, drift: Option<f64>) -> Result<String> {
    if let Some(limit) = drift.filter(|limit| !(*limit > 0.0 && limit.is_finite())) {
        bail!("--drift is {limit}, but an effect stays below a positive number");
    }
    let (names, types) =
        (column(described, "feature")?.as_string::<i32>(), column(described, "type")?.as_string::<i32>());
    let profiles = column(described, "profile")?.as_binary::<i32>();
    let mut lines = Vec::new();
    let mut drifts = Vec::new();
    for row in 0..described.num_rows() {
        let Some(data_type) = sql_type(types.value(row)) else { continue };
        let column = quoted(names.value(row));
        let mut line = format!("  {column} {data_type}");
        if profiles.is_valid(row) {
            let profile = Profile::from_bytes(profiles.value(row))?;
            line.push_str(&promises(&column, &data_type, &profile));
            let may_drift = !is_key(&profile) && !is_time(&data_type) && profile.rows() > profile.nulls();
            if let Some(limit) = drift.filter(|_| may_drift) {
                let digits = profiles.value(row).iter().fold(String::new(), |mut digits, byte| {
                    let _ = write!(digits, "{byte:02x}");
                    digits
                });
                drifts.push(format!("  DRIFT ({column}) < {limit} FROM X'{digits}'"));
            }
        }
        lines.push(line);
    }
    if lines.is_empty() {
        bail!("no column has a type that a contract names");
    }
    lines.extend(drifts);
    Ok(format!("CREATE CONTRACT {} (\n{}\n);\n", quoted(name), lines.join(",\n")))
}

/// Whether no value comes twice.
fn is_key(profile: &Profile) -> bool {
    profile.is_exact() && profile.rows() > 1 && profile.distinct().estimate as u64 == profile.rows()
}

fn is_time(data_type: &str) -> bool {
    ["DATE", "TIMESTAMP"].contains(&data_type)
}

fn promises(column: &str, data_type: &str, profile: &Profile) -> String {
    let mut line = String::new();
    if profile.rows() > 0 && profile.nulls() == 0 {
        line.push_str(" NOT NULL");
    }
    if is_key(profile) {
        line.push_str(" UNIQUE");
    }
    let is_number = data_type != "BOOLEAN" && !is_time(data_type);
    match profile.range().filter(|_| is_number) {
        Some((low, high)) if data_type == "DOUBLE" || data_type == "REAL" => {
            let _ = write!(line, " CHECK ({column} BETWEEN {low:?} AND {high:?})");
        }
        Some((low, high)) => {
            let _ = write!(line, " CHECK ({column} BETWEEN {low} AND {high})");
        }
        None => {}
    }
    let categories = profile.categories();
    let is_set = profile.is_exact() && data_type == "VARCHAR" && profile.rows() > 2 * categories.len() as u64;
    if is_set && (1..=20).contains(&categories.len()) && categories.iter().all(|category| !category.is_cut) {
        let mut texts: Vec<String> = categories.iter().map(|category| text(category.text)).collect();
        texts.sort();
        let _ = write!(line, " CHECK ({column} IN ({}))", texts.join(", "));
    }
    line
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
