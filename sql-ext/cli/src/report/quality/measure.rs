//! The queries of the report, and what they find.

use anyhow::{Context, Result, bail};
use arrow::array::{Array, AsArray, RecordBatch};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use skewless_catalog::profile::Profile;
use skewless_sql::{Outcome, SkewlessContext};

use super::Args;
use super::limit::Checked;
use super::task::Task;
use crate::output::records;
use crate::report::session::quoted;
use crate::report::shape::Shape;
use crate::sample::{rows, sample};

/// How many values of a column in `--by` are measured: the most frequent.
const MOST_VALUES: usize = 50;

/// A measure with its interval.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measure {
    pub(super) name: String,
    pub(super) value: Option<f64>,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    pub(super) n: Option<u64>,
    pub(super) note: Option<String>,
}

/// The measures of the rows with one value of a column.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Group {
    pub(super) column: String,
    pub(super) value: Option<String>,
    pub(super) rows: u64,
    pub(super) measures: Vec<Measure>,
}

/// All that is reported.
#[derive(Serialize)]
pub(super) struct Findings {
    pub(super) predicted: &'static str,
    pub(super) measures: Vec<Measure>,
    pub(super) limits: Vec<Checked>,
    pub(super) groups: Vec<Group>,
    pub(super) fairness: Vec<Measure>,
    /// What the slices are searched by.
    pub(super) loss: &'static str,
    /// The rows of `ml_find_slices`; the first is of all rows.
    pub(super) slices: Vec<Map<String, Json>>,
    /// Curves, the reliability table and the confusion matrix, as the functions give them.
    pub(super) pictures: Map<String, Json>,
    /// Quantiles of the error of predicted numbers.
    pub(super) errors: Vec<(f64, f64)>,
    /// How labels and predicted numbers are distributed.
    #[serde(skip)]
    pub(super) shape: Option<Shape>,
}

impl Findings {
    /// Whether no slice is worse and every limit holds.
    pub(super) fn is_well(&self) -> bool {
        self.worse().next().is_none() && self.limits.iter().all(|limit| limit.holds)
    }

    /// The slices that are worse.
    pub(super) fn worse(&self) -> impl Iterator<Item = &Map<String, Json>> {
        self.slices.iter().filter(|slice| slice.get("is_worse") == Some(&Json::Bool(true)))
    }
}

/// A number; `None` where it is NULL or no finite number.
pub(super) fn number(json: Option<&Json>) -> Option<f64> {
    json.and_then(Json::as_f64)
}

/// The numbers of a list.
pub(super) fn numbers(json: Option<&Json>) -> Vec<f64> {
    json.and_then(Json::as_array).into_iter().flatten().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect()
}

/// A text.
pub(super) fn text(json: Option<&Json>) -> Option<String> {
    json.and_then(Json::as_str).map(str::to_owned)
}

fn selected(calls: &[(&str, String)]) -> String {
    let calls: Vec<String> = calls.iter().map(|(name, call)| format!("{call} AS {name}")).collect();
    calls.join(", ")
}

fn measures(calls: &[(&str, String)], row: &Map<String, Json>) -> Vec<Measure> {
    let measure = |(name, _): &(&str, String)| {
        let found = row.get(*name);
        let field = |field: &str| found.and_then(|found| found.get(field));
        let groups = text(field("group_low")).zip(text(field("group_high")));
        let groups = groups.map(|(low, high)| format!("lowest: {low}, highest: {high}"));
        let chance = number(field("by_chance")).map(|chance| format!("{chance:.4} by chance"));
        let notes: Vec<String> = [groups, chance, text(field("note"))].into_iter().flatten().collect();
        Measure {
            name: (*name).to_owned(),
            value: number(field("value")),
            low: number(field("low")),
            high: number(field("high")),
            n: field("n").and_then(Json::as_u64),
            note: (!notes.is_empty()).then(|| notes.join("; ")),
        }
    };
    calls.iter().map(measure).collect()
}

/// The only row of a query.
async fn only(context: &SkewlessContext, query: &str) -> Result<(RecordBatch, Map<String, Json>)> {
    let batch = rows(context, query).await?;
    let row = records(&batch)?.into_iter().next().context("a query of aggregates has a row")?;
    Ok((batch, row))
}

/// Measures everything.
pub(super) async fn findings(
    context: &SkewlessContext,
    args: &Args,
    task: &Task,
    mut limits: Vec<Checked>,
) -> Result<Findings> {
    let data = task.rows(args, &sample(&args.data));
    let calls = task.measures();
    let (_, row) = only(context, &format!("SELECT {} FROM ({data})", selected(&calls))).await?;
    let overall = measures(&calls, &row);
    for limit in &mut limits {
        limit.check(&overall);
    }
    let mut groups = Vec::new();
    for column in &args.by {
        groups.extend(by_value(context, &data, column, &calls).await?);
    }
    let mut fairness = Vec::new();
    if let Some(group) = &args.group {
        let calls = task.fairness(group);
        let (_, row) = only(context, &format!("SELECT {} FROM ({data})", selected(&calls))).await?;
        fairness = measures(&calls, &row);
    }
    let (loss, slices) = slices(context, args, task, &data).await?;
    let query = format!("SELECT {} FROM ({data})", selected(&task.pictures()));
    let (batch, mut pictures) = only(context, &query).await?;
    let (mut shape, mut errors) = (None, Vec::new());
    if matches!(task, Task::Number) {
        pictures.clear();
        let [labels, predictions, profile] = ["labels", "predictions", "errors"].map(|name| profile(&batch, name));
        shape = Shape::of(&labels?, &predictions?);
        let profile = profile?;
        let shares = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];
        errors = shares.into_iter().filter_map(|share| Some((share, profile.quantile(share)?.value))).collect();
    }
    let predicted = task.name();
    Ok(Findings { predicted, measures: overall, limits, groups, fairness, loss, slices, pictures, errors, shape })
}

fn profile(batch: &RecordBatch, name: &str) -> Result<Profile> {
    match batch.column_by_name(name).and_then(|array| array.as_binary_opt::<i32>()) {
        Some(bytes) if bytes.len() == 1 && bytes.is_valid(0) => Ok(Profile::from_bytes(bytes.value(0))?),
        _ => bail!("the query has no profile of {name}"),
    }
}

async fn by_value(
    context: &SkewlessContext,
    data: &str,
    column: &str,
    calls: &[(&'static str, String)],
) -> Result<Vec<Group>> {
    let query = format!(
        "SELECT CAST({} AS VARCHAR) AS __value, count(*) AS __rows, {} FROM ({data}) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT \
         {MOST_VALUES}",
        quoted(column),
        selected(calls)
    );
    let group = |row: &Map<String, Json>| Group {
        column: column.to_owned(),
        value: text(row.get("__value")),
        rows: row.get("__rows").and_then(Json::as_u64).unwrap_or_default(),
        measures: measures(calls, row),
    };
    Ok(records(&rows(context, &query).await?)?.iter().map(group).collect())
}

/// The rows of `ml_find_slices`, and by which loss.
async fn slices(
    context: &SkewlessContext,
    args: &Args,
    task: &Task,
    data: &str,
) -> Result<(&'static str, Vec<Map<String, Json>>)> {
    let (name, loss) = task.loss();
    let mut columns = args.by.clone();
    if columns.is_empty() {
        let mut outcomes = context.sql(&format!("SELECT * FROM ({}) LIMIT 0", sample(&args.data))).await?;
        let Some(Outcome::Rows(frame)) = outcomes.pop() else { bail!("the data is a query: {}", args.data) };
        let all = frame.schema().fields().iter().map(|field| field.name().clone());
        columns = all.filter(|column| !Task::is_read(args, column)).collect();
    }
    if columns.is_empty() {
        return Ok((name, Vec::new()));
    }
    let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    let query = format!(
        "SELECT * FROM ml_find_slices(data => (SELECT {}, {loss} AS __loss FROM ({data})), loss => '__loss', alpha => {}, \
         max_columns => {}, min_rows => {}, min_effect => {})",
        columns.join(", "),
        args.alpha,
        args.max_columns,
        args.min_rows,
        args.min_effect
    );
    Ok((name, records(&rows(context, &query).await?)?))
}
