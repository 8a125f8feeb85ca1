//! `--format json` (an array of objects per result) and `--format ndjson` (an object a line).

use std::io::Write;

use anyhow::Result;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::Rows;
use super::cell::{Column, Style, key, object};

/// The rows as JSON objects; numbers that JSON has not are the texts `NaN`, `Infinity` and `-Infinity`.
pub(crate) fn records(batch: &RecordBatch) -> Result<Vec<serde_json::Map<String, serde_json::Value>>> {
    let mut lines = Vec::new();
    Json::lines().batch(batch, &mut lines)?;
    let records = serde_json::Deserializer::from_slice(&lines).into_iter();
    Ok(records.collect::<std::result::Result<_, _>>()?)
}

pub(super) struct Json {
    lines: bool,
    rows: usize,
}

impl Json {
    pub(super) fn array() -> Self {
        Self { lines: false, rows: 0 }
    }

    pub(super) fn lines() -> Self {
        Self { lines: true, rows: 0 }
    }
}

impl Rows for Json {
    fn start(&mut self, _schema: &SchemaRef, out: &mut dyn Write) -> Result<()> {
        self.rows = 0;
        if !self.lines {
            out.write_all(b"[")?;
        }
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let schema = batch.schema();
        let fields = schema
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, array)| Ok((key(field.name()), Column::new(array, Style::Json)?)))
            .collect::<Result<Vec<_>>>()?;
        let mut line = Vec::new();
        for row in 0..batch.num_rows() {
            line.clear();
            if !self.lines {
                line.extend_from_slice(if self.rows == 0 { b"\n" } else { b",\n" });
            }
            object(fields.iter(), row, &mut line);
            if self.lines {
                line.push(b'\n');
            }
            out.write_all(&line)?;
            self.rows += 1;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> Result<()> {
        if !self.lines {
            out.write_all(if self.rows == 0 { b"]\n" } else { b"\n]\n" })?;
        }
        Ok(())
    }
}
