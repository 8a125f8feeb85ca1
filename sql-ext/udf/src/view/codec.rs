//! Rows as bytes: an uncompressed Arrow IPC stream, as the online store keeps them.

use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion_common::{DataFusionError, Result};

/// Writes the rows.
pub fn encode(rows: &RecordBatch) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut writer = StreamWriter::try_new(&mut out, &rows.schema())?;
    writer.write(rows)?;
    writer.finish()?;
    drop(writer);
    Ok(out)
}

/// Reads rows that [`encode`] wrote.
pub fn decode(bytes: &[u8]) -> Result<RecordBatch> {
    let invalid = |e| {
        DataFusionError::Execution(format!("the stored rows cannot be read ({e}); materialize the feature view again"))
    };
    let reader = StreamReader::try_new(Cursor::new(bytes), None).map_err(invalid)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(invalid)?;
    concat_batches(&schema, &batches).map_err(invalid)
}
