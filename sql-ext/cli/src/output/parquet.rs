//! `--format parquet`: one result as one Snappy-compressed Parquet file.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use arrow::datatypes::SchemaRef;
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

#[derive(Default)]
pub(super) struct Parquet {
    pending: Pending,
    writer: Option<ArrowWriter<Pending>>,
}

impl Rows for Parquet {
    fn start(&mut self, schema: &SchemaRef, _out: &mut dyn Write) -> Result<()> {
        if schema.fields().is_empty() {
            bail!("a Parquet file needs at least one column");
        }
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        self.writer = Some(ArrowWriter::try_new(self.pending.clone(), Arc::clone(schema), Some(properties))?);
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        if let Some(writer) = &mut self.writer {
            writer.write(batch)?;
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
