//! `skewless report drift`: `ml_validate_drift` over two queries, with a picture of each column.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::Serialize;
use skewless_catalog::profile::Profile;
use skewless_sql::{Outcome, SkewlessContext};

use super::page::{Table, page, shown};
use super::session::{Session, quoted, texts};
use super::shape::Shape;
use crate::Failure;
use crate::context::runtime;
use crate::plot::{Bars, escape};
use crate::progress;
use crate::sample::{rows, sample};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The base (reference) sample: a query, a table, or a file
    #[arg(long, value_name = "SQL|TABLE|FILE")]
    base: String,
    /// The study sample: a query, a table, or a file
    #[arg(long, value_name = "SQL|TABLE|FILE")]
    study: String,
    /// Columns whose values make slices that are compared by themselves
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    by: Vec<String>,
    /// What is computed of each column [default: the test that fits it]
    #[arg(long, value_name = "METRIC", value_delimiter = ',')]
    metrics: Vec<String>,
    /// Make the tests of ranks exact, by a second pass that sorts the values of each column
    #[arg(long)]
    exact: bool,
    /// The rate of false alarms that is accepted
    #[arg(long, default_value_t = 0.05)]
    alpha: f64,
    /// Drift with a smaller effect is not reported as such
    #[arg(long, default_value_t = 0.0)]
    min_effect: f64,
    #[command(flatten)]
    session: Session,
}

/// One row of `ml_validate_drift`.
#[derive(Serialize)]
struct Finding {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    slice: Vec<(String, Option<String>)>,
    feature: String,
    metric: Option<String>,
    statistic: Option<f64>,
    effect_size: Option<f64>,
    p_value: Option<f64>,
    p_adjusted: Option<f64>,
    threshold: Option<f64>,
    is_drift: Option<bool>,
    n_base: i64,
    n_study: i64,
    note: Option<String>,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (findings, shapes) = runtime()?.block_on(async {
        let context = args.session.open().await?;
        let spinner = progress::spinner("comparing the samples");
        let findings = findings(&context, args).await?;
        let shapes = shapes(&context, args).await?;
        spinner.finish_and_clear();
        Ok::<_, Failure>((findings, shapes))
    })?;
    args.session.tell(|| document(args, &findings, &shapes), &findings, || summary(&findings, &shapes))?;
    if findings.iter().any(|finding| finding.is_drift == Some(true)) { Err(Failure::Different) } else { Ok(()) }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).with_context(|| format!("ml_validate_drift has no column {name}"))
}

async fn findings(context: &SkewlessContext, args: &Args) -> Result<Vec<Finding>> {
    let mut call = format!(
        "SELECT * FROM ml_validate_drift(base => ({}), study => ({}), alpha => {}, min_effect => {}",
        sample(&args.base),
        sample(&args.study),
        args.alpha,
        args.min_effect
    );
    for (name, given) in [("by", &args.by), ("metrics", &args.metrics)] {
        if !given.is_empty() {
            let _ = write!(call, ", {name} => {}", texts(given));
        }
    }
    if args.exact {
        call += ", exact => true";
    }
    let batch = rows(context, &(call + ")")).await?;
    let text = |name: &str, row: usize| -> Result<Option<String>> {
        let array = column(&batch, name)?;
        let shown = ArrayFormatter::try_new(array, &FormatOptions::default())?;
        Ok(array.is_valid(row).then(|| shown.value(row).to_string()))
    };
    let float = |name: &str, row: usize| -> Result<Option<f64>> {
        let array = column(&batch, name)?;
        Ok(array.is_valid(row).then(|| array.as_primitive::<Float64Type>().value(row)))
    };
    let count =
        |name: &str, row: usize| Ok::<_, anyhow::Error>(column(&batch, name)?.as_primitive::<Int64Type>().value(row));
    let finding = |row: usize| -> Result<Finding> {
        let drift = column(&batch, "is_drift")?.as_boolean();
        Ok(Finding {
            slice: args.by.iter().map(|name| Ok((name.clone(), text(name, row)?))).collect::<Result<_>>()?,
            feature: text("feature", row)?.unwrap_or_default(),
            metric: text("metric", row)?,
            statistic: float("statistic", row)?,
            effect_size: float("effect_size", row)?,
            p_value: float("p_value", row)?,
            p_adjusted: float("p_adjusted", row)?,
            threshold: float("threshold", row)?,
            is_drift: drift.is_valid(row).then(|| drift.value(row)),
            n_base: count("n_base", row)?,
            n_study: count("n_study", row)?,
            note: text("note", row)?,
        })
    };
    let mut findings = (0..batch.num_rows()).map(finding).collect::<Result<Vec<_>>>()?;
    // The surest drift first; what could not be tested last.
    findings.sort_by(|a, b| {
        let key = |finding: &Finding| finding.p_adjusted.unwrap_or(f64::INFINITY);
        key(a).total_cmp(&key(b)).then_with(|| b.effect_size.unwrap_or(0.0).total_cmp(&a.effect_size.unwrap_or(0.0)))
    });
    Ok(findings)
}

/// The shapes of the columns that both samples have as numbers or texts.
async fn shapes(context: &SkewlessContext, args: &Args) -> Result<Vec<(String, Shape)>> {
    let mut sides = Vec::new();
    for side in [sample(&args.base), sample(&args.study)] {
        let mut outcomes = context.sql(&format!("SELECT * FROM ({side}) LIMIT 0")).await?;
        let Some(Outcome::Rows(frame)) = outcomes.pop() else { bail!("a sample is a query: {side}") };
        let fields: Vec<(String, DataType)> =
            frame.schema().fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
        sides.push((side, fields));
    }
    let [(base, ours), (study, theirs)] = sides.as_slice() else { bail!("two samples are compared") };
    let is_shown = |data_type: &DataType| {
        data_type.is_numeric()
            || data_type.is_string()
            || matches!(data_type, DataType::Boolean | DataType::Dictionary(_, _))
    };
    let names: Vec<&String> = ours
        .iter()
        .filter(|(name, data_type)| {
            let other = theirs.iter().find(|(other, _)| other == name);
            is_shown(data_type)
                && other.is_some_and(|(_, other)| other.is_numeric() == data_type.is_numeric() && is_shown(other))
                && !args.by.contains(name)
        })
        .map(|(name, _)| name)
        .collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut profiles: Vec<Vec<Profile>> = Vec::new();
    for side in [base, study] {
        let calls: Vec<String> =
            names.iter().enumerate().map(|(index, name)| format!("ml_profile({}) AS p{index}", quoted(name))).collect();
        let batch = rows(context, &format!("SELECT {} FROM ({side})", calls.join(", "))).await?;
        let profile = |array: &ArrayRef| match array.as_binary_opt::<i32>() {
            Some(bytes) if bytes.len() == 1 && bytes.is_valid(0) => Ok(Profile::from_bytes(bytes.value(0))?),
            _ => bail!("a sample has no profile"),
        };
        profiles.push(batch.columns().iter().map(profile).collect::<Result<_>>()?);
    }
    let [base, study] = profiles.as_slice() else { bail!("two samples are compared") };
    let shapes = names.into_iter().zip(base.iter().zip(study));
    Ok(shapes.filter_map(|(name, (base, study))| Some((name.clone(), Shape::of(base, study)?))).collect())
}

impl Finding {
    fn verdict(&self) -> &'static str {
        match self.is_drift {
            Some(true) => "drift",
            Some(false) => "no drift",
            None => "untestable",
        }
    }

    /// The column, and the slice it is of.
    fn title(&self) -> String {
        let slice: Vec<String> =
            self.slice.iter().map(|(name, value)| format!("{name} = {}", value.as_deref().unwrap_or("NULL"))).collect();
        if slice.is_empty() { self.feature.clone() } else { format!("{} ({})", self.feature, slice.join(", ")) }
    }
}

fn summary(findings: &[Finding], shapes: &[(String, Shape)]) -> String {
    let count = |verdict: Option<bool>| findings.iter().filter(|finding| finding.is_drift == verdict).count();
    let mut text = format!(
        "{} tests: {} drift, {} no drift, {} untestable\n\n",
        findings.len(),
        count(Some(true)),
        count(Some(false)),
        count(None)
    );
    let width = findings.iter().map(|finding| finding.title().chars().count()).max().unwrap_or_default();
    for finding in findings {
        let title = finding.title();
        let padding = " ".repeat(width - title.chars().count());
        let _ = writeln!(
            text,
            "{:<10}  {title}{padding}  {:<12}  {:>9}  effect {:>8}  p {:>8}  {}",
            finding.verdict(),
            finding.metric.as_deref().unwrap_or(""),
            shown(finding.statistic),
            shown(finding.effect_size),
            shown(finding.p_adjusted),
            finding.note.as_deref().unwrap_or("")
        );
        if finding.is_drift == Some(true)
            && let Some((_, shape)) = shapes.iter().find(|(name, _)| *name == finding.feature)
        {
            let (base, study) = shape.blocks();
            let _ = writeln!(text, "{:12}base   {base}\n{:12}study  {study}", "", "");
        }
    }
    text
}

fn document(args: &Args, findings: &[Finding], shapes: &[(String, Shape)]) -> Result<String> {
    let mut table = Table::new(&[
        ("column", false),
        ("metric", false),
        ("statistic", true),
        ("effect", true),
        ("p", true),
        ("p adjusted", true),
        ("base rows", true),
        ("study rows", true),
        ("note", false),
        ("verdict", false),
    ]);
    for finding in findings {
        table.row(
            finding.is_drift.map(|is_drift| !is_drift),
            &[
                &finding.title(),
                finding.metric.as_deref().unwrap_or(""),
                &shown(finding.statistic),
                &shown(finding.effect_size),
                &shown(finding.p_value),
                &shown(finding.p_adjusted),
                &finding.n_base.to_string(),
                &finding.n_study.to_string(),
                finding.note.as_deref().unwrap_or(""),
                finding.verdict(),
            ],
        );
    }
    // In the order of the findings: what surely moved comes first.
    let mut plots = String::new();
    let mut drawn: Vec<&str> = Vec::new();
    for finding in findings {
        let shape = shapes.iter().find(|(name, _)| *name == finding.feature);
        if let Some((name, shape)) = shape.filter(|(name, _)| !drawn.contains(&name.as_str())) {
            drawn.push(name);
            let title = format!("{name}: {}", finding.verdict());
            let names = ["base", "study"];
            plots.push_str(&Bars { title: &title, labels: &shape.labels, names, shares: &shape.shares }.svg()?);
        }
    }
    let body = format!(
        "<p>Base: <code>{base}</code><br>Study: <code>{study}</code><br>False alarms accepted: {alpha}; p-values adjusted for \
         {tests} tests.</p>\n{table}<h2>Distributions</h2>\n<div class=\"plots\">{plots}</div>\n",
        base = escape(&args.base),
        study = escape(&args.study),
        alpha = args.alpha,
        tests = findings.iter().filter(|finding| finding.p_value.is_some()).count(),
        table = table.html(),
    );
    Ok(page("Drift", &body))
}
