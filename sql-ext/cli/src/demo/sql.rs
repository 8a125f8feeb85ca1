//! The SQL side of the demo: the training set, batch scoring, drift by month, and the multi-layer perceptron on WebGPU.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{concat_batches, take_record_batch};
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::datasource::MemTable;
use datafusion::prelude::{DataFrame, ParquetReadOptions};
use skewless_sql::{Device, Options, Outcome, SkewlessContext};

use super::answers::{Answers, Sample, column, floats, integers};
use super::statement;

/// Builds the training set into `path` and registers it as `training_set`; the number of its rows.
pub(super) async fn build_training_set(context: &SkewlessContext, project: &Path, path: &Path) -> Result<usize> {
    let frame = query(context, &statement(project, "training_set.sql")?).await?;
    save(frame, path).await?;
    context.session().register_parquet("training_set", path.to_string_lossy(), ParquetReadOptions::default()).await?;
    Ok(context.session().table("training_set").await?.count().await?)
}

/// Every flight with both models' answers, ordered by `n`.
pub(super) struct Scored {
    batch: RecordBatch,
}

/// Scores `training_set` into `path`, and registers the result as `scored`.
pub(super) async fn score(context: &SkewlessContext, project: &Path, path: &Path) -> Result<Scored> {
    let frame = query(context, &statement(project, "score.sql")?).await?;
    save(frame, path).await?;
    context.session().register_parquet("scored", path.to_string_lossy(), ParquetReadOptions::default()).await?;
    let frame = query(context, "SELECT * FROM scored ORDER BY n").await?;
    Ok(Scored { batch: collect(frame).await? })
}

impl Scored {
    pub(super) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// `n` flights that have a departure, spread evenly.
    pub(super) fn sample(&self, n: usize) -> Result<Sample> {
        let departed: Vec<u64> = integers(&self.batch, "late_label")?
            .iter()
            .zip(floats(&self.batch, "n")?)
            .enumerate()
            .filter(|(row, _)| column(&self.batch, "prediction_time").is_ok_and(|times| times.is_valid(*row)))
            .map(|(row, _)| row as u64)
            .collect();
        if departed.is_empty() {
            bail!("no flight has a departure");
        }
        let n = n.min(departed.len());
        let rows: Vec<u64> = (0..n).map(|i| departed[i * departed.len() / n]).collect();
        Sample::new(take_record_batch(&self.batch, &arrow::array::UInt64Array::from(rows))?)
    }

    pub(super) fn floats(&self, name: &str) -> Result<Vec<Option<f64>>> {
        floats(&self.batch, name)
    }

    pub(super) fn integers(&self, name: &str) -> Result<Vec<Option<i64>>> {
        integers(&self.batch, name)
    }
}

/// The population stability index of some columns, month by month.
pub(super) struct Drift {
    /// `2016-06` and on.
    pub(super) months: Vec<String>,
    /// Per column: its name and its value in each month; none where a month has no data.
    pub(super) columns: Vec<(String, Vec<Option<f64>>)>,
}

/// Runs `drift_by_month.sql` over `scored`.
pub(super) async fn drift_by_month(context: &SkewlessContext, project: &Path) -> Result<Drift> {
    let batch = collect(query(context, &statement(project, "drift_by_month.sql")?).await?).await?;
    let months = integers(&batch, "year")?
        .into_iter()
        .zip(integers(&batch, "month")?)
        .map(|(year, month)| format!("{}-{:02}", year.unwrap_or_default(), month.unwrap_or_default()))
        .collect();
    let columns = batch
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .filter(|name| !matches!(name.as_str(), "year" | "month"))
        .map(|name| Ok((name.clone(), floats(&batch, &name)?)))
        .collect::<Result<_>>()?;
    Ok(Drift { months, columns })
}

/// How far a column has moved since the month before, and whether that is drift.
pub(super) struct Move {
    pub(super) month: String,
    pub(super) column: String,
    pub(super) effect: f64,
    pub(super) is_drift: bool,
}

/// Runs `drift_month_to_month.sql` over `scored`.
pub(super) async fn drift_month_to_month(context: &SkewlessContext, project: &Path) -> Result<Vec<Move>> {
    let batch = collect(query(context, &statement(project, "drift_month_to_month.sql")?).await?).await?;
    let (years, months) = (integers(&batch, "year")?, integers(&batch, "month")?);
    let effects = floats(&batch, "effect_size")?;
    let (features, drifts) = (column(&batch, "feature")?, column(&batch, "is_drift")?);
    let (features, drifts) = (features.as_string::<i32>(), drifts.as_boolean());
    let moves = (0..batch.num_rows()).filter_map(|row| {
        let (year, month) = years.get(row).copied().flatten().zip(months.get(row).copied().flatten())?;
        Some(Move {
            month: format!("{year}-{month:02}"),
            column: features.value(row).to_owned(),
            effect: effects.get(row).copied().flatten()?,
            is_drift: drifts.value(row),
        })
    });
    Ok(moves.collect())
}

/// The sample through the multi-layer perceptron on a WebGPU adapter.
pub(super) async fn score_on_gpu(project: &Path, sample: &Sample) -> Result<Answers> {
    let options = Options { project: Some(project.to_owned()), device: Device::Gpu, ..Options::default() };
    let context = SkewlessContext::new(options).await?;
    let rows = MemTable::try_new(sample.rows.schema(), vec![vec![sample.rows.clone()]])?;
    context.session().register_table("training_set", Arc::new(rows))?;
    let text = "SELECT prediction, probabilities[2] AS probability FROM ml_predict('late_mlp', (SELECT * FROM training_set)) ORDER BY n";
    let batch = collect(query(&context, text).await?).await?;
    let labels = integers(&batch, "prediction")?;
    let probabilities = floats(&batch, "probability")?;
    let late_mlp = labels
        .into_iter()
        .zip(probabilities)
        .map(|(label, probability)| {
            Ok(super::answers::Prediction {
                label: label.context("the model gave no label")?,
                probability: probability.context("the model gave no probability")? as f32,
            })
        })
        .collect::<Result<_>>()?;
    Ok(Answers { surface: "wonnx", late_mlp, ..Answers::default() })
}

/// The one query of a text.
async fn query(context: &SkewlessContext, text: &str) -> Result<DataFrame> {
    let mut outcomes = context.sql(text).await?;
    match (outcomes.pop(), outcomes.is_empty()) {
        (Some(Outcome::Rows(frame)), true) => Ok(frame),
        _ => bail!("one query was expected: {text}"),
    }
}

async fn save(frame: DataFrame, path: &Path) -> Result<()> {
    if path.exists() {
        std::fs::remove_file(path).with_context(|| format!("{} cannot be replaced", path.display()))?;
    }
    let options = DataFrameWriteOptions::new().with_single_file_output(true);
    let progress = crate::progress::spinner(&format!("writing {}", path.display()));
    frame.write_parquet(&path.to_string_lossy(), options, None).await?;
    progress.finish_and_clear();
    Ok(())
}

async fn collect(frame: DataFrame) -> Result<RecordBatch> {
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await?;
    Ok(concat_batches(batches.first().map_or(&schema, |batch| batch.schema_ref()), &batches)?)
}
