//! `--format parquet`: one result as one Snappy-compressed Parquet file. Parquet has no timestamps in seconds, and readers
//! other than arrow's would find bare integers, so these are written in milliseconds.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Fields, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;

use super::Rows;

/// What the Parquet writer has produced and the output has not taken yet.
#[derive(Clone, Default)]
struct Pending(Arc<Mutex<Vec<u8>>>);

impl Pending {
    fn drain(&self, out: &mut dyn Write) -> io::Result<()> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        out.write_all(&bytes)
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The type that a column is stored as, where that is another.
fn stored(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Timestamp(TimeUnit::Second, zone) => Some(DataType::Timestamp(TimeUnit::Millisecond, zone.clone())),
        _ => None,
    }
}

pub(super) struct Parquet {
    pending: Pending,
    schema: SchemaRef,
    writer: Option<ArrowWriter<Pending>>,
}

impl Default for Parquet {
    fn default() -> Self {
        Self { pending: Pending::default(), schema: Arc::new(Schema::empty()), writer: None }
    }
}

impl Rows for Parquet {
    fn start(&mut self, schema: &SchemaRef, _out: &mut dyn Write) -> Result<()> {
        if schema.fields().is_empty() {
            bail!("a Parquet file needs at least one column");
        }
        let fields = schema.fields().iter().map(|field| match stored(field.data_type()) {
            Some(data_type) => Arc::new(field.as_ref().clone().with_data_type(data_type)),
            None => Arc::clone(field),
        });
        let schema = Arc::new(Schema::new_with_metadata(fields.collect::<Fields>(), schema.metadata().clone()));
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        self.schema = Arc::clone(&schema);
        self.writer = Some(ArrowWriter::try_new(self.pending.clone(), Arc::clone(&schema), Some(properties))?);
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        if let Some(writer) = &mut self.writer {
            let columns = batch.columns().iter().zip(self.schema.fields()).map(|(column, field)| {
                if column.data_type() == field.data_type() {
                    return Ok(Arc::clone(column));
                }
                cast_with_options(column, field.data_type(), &CastOptions { safe: false, ..CastOptions::default() })
            });
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            writer.write(&RecordBatch::try_new(Arc::clone(&self.schema), columns)?)?;
        }
        Ok(self.pending.drain(out)?)
    }

    fn end(&mut self, out: &mut dyn Write) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            writer.close()?;
        }
        Ok(self.pending.drain(out)?)
    }
}
