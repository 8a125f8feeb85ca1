//! Data named on the command line: a query, a table or a file; and the rows of a query.

use std::sync::Arc;

use anyhow::{Result, bail};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use skewless_sql::{Outcome, SkewlessContext};

/// A query from what names a sample.
pub(crate) fn sample(text: &str) -> String {
    let text = text.trim().trim_end_matches(';').trim();
    let first = text.split(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default().to_lowercase();
    if ["select", "with", "values", "from"].contains(&first.as_str()) {
        return text.to_owned();
    }
    let is_file = text.contains('/') || [".parquet", ".csv", ".json", ".arrow"].iter().any(|end| text.ends_with(end));
    if is_file && !text.starts_with('\'') {
        return format!("SELECT * FROM '{}'", text.replace('\'', "''"));
    }
    format!("SELECT * FROM {text}")
}

/// The rows of one query.
pub(crate) async fn rows(context: &SkewlessContext, text: &str) -> Result<RecordBatch> {
    let mut outcomes = context.sql(text).await?;
    let (Some(Outcome::Rows(frame)), true) = (outcomes.pop(), outcomes.is_empty()) else {
        bail!("one query was expected: {text}");
    };
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await?;
    Ok(concat_batches(batches.first().map_or(&schema, |batch| batch.schema_ref()), &batches)?)
}
