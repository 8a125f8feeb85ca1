//! Runs `tests/sql/*.slt`: the manual of the SQL surface, executed. One session per file; paths start at `tests/`.
//!
//! Values are compared as text: NULL, `(empty)` for the empty text, floats with the digits that tell them apart. A
//! value of several lines, as EXPLAIN has, is one row a line.
//! `SKEWLESS_SLT=name` runs the files whose name holds `name`.

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use datafusion::error::DataFusionError;
use skewless_sql::{Error, Options, Outcome, SkewlessContext};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

/// A session as the runner drives it.
struct Session(SkewlessContext);

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Failed(#[from] Error);

impl From<DataFusionError> for Failed {
    fn from(error: DataFusionError) -> Self {
        Self(error.into())
    }
}

#[async_trait]
impl AsyncDB for Session {
    type Error = Failed;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failed> {
        let mut output = DBOutput::StatementComplete(0);
        for statement in self.0.parse(sql)? {
            output = match self.0.run(statement).await? {
                Outcome::Done(_) => DBOutput::StatementComplete(0),
                Outcome::Rows(rows) => {
                    let types = rows.schema().fields().iter().map(|field| column_type(field.data_type())).collect();
                    let rows = text(&rows.collect().await?)?;
                    DBOutput::Rows { types, rows }
                }
            };
        }
        Ok(output)
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &'static str {
        "skewless"
    }
}

fn column_type(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        t if t.is_integer() => DefaultColumnType::Integer,
        t if t.is_floating() => DefaultColumnType::FloatingPoint,
        t if t.is_string() => DefaultColumnType::Text,
        _ => DefaultColumnType::Any,
    }
}

fn text(batches: &[RecordBatch]) -> Result<Vec<Vec<String>>, DataFusionError> {
    let options = FormatOptions::new().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let values: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            let height = values.iter().map(|value| value.lines().count()).max().unwrap_or(1).max(1);
            for line in 0..height {
                let line = |value: &String| match value.lines().nth(line) {
                    None if line == 0 => Some("(empty)".to_owned()),
                    line => line.map(str::to_owned),
                };
                rows.push(values.iter().filter_map(line).collect());
            }
        }
    }
    Ok(rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sql_manual_holds() -> anyhow::Result<()> {
    let only = std::env::var("SKEWLESS_SLT").unwrap_or_default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let mut files: Vec<_> = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "slt"));
    files.retain(|path| path.file_stem().is_some_and(|name| name.to_string_lossy().contains(&only)));
    files.sort();
    assert!(!files.is_empty(), "no file in tests/sql is called {only:?}");

    let mut failures = Vec::new();
    for path in files {
        // Several partitions and small batches, so that nothing depends on how rows are dealt out.
        let options = Options { target_partitions: Some(3), batch_size: Some(16), ..Options::default() };
        let mut runner = Runner::new(|| {
            let options = options.clone();
            async { Ok(Session(SkewlessContext::new(options).await?)) }
        });
        runner.with_column_validator(sqllogictest::strict_column_validator);
        if let Err(error) = runner.run_file_async(&path).await {
            failures.push(error.display(false).to_string());
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    Ok(())
}
