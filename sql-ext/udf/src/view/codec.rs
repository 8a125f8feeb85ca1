//! Rows as bytes: an uncompressed Arrow IPC stream, as the online store keeps them.

use std::io::Cursor;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::{concat_batches, take};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::row::{RowConverter, SortField};
use datafusion_common::{DataFusionError, Result};

/// Writes the rows; equal rows give equal bytes.
pub(super) fn encode(rows: &RecordBatch) -> Result<Vec<u8>> {
    let rows = compact(rows)?;
    let mut out = Vec::new();
    let mut writer = StreamWriter::try_new(&mut out, &rows.schema())?;
    writer.write(&rows)?;
    writer.finish()?;
    drop(writer);
    Ok(out)
}

/// The rows in buffers of their own: a slice shares those of all the rows that it was cut from, and IPC would write
/// bytes of the others along.
fn compact(rows: &RecordBatch) -> Result<RecordBatch> {
    let fields: Vec<SortField> = rows.columns().iter().map(|c| SortField::new(c.data_type().clone())).collect();
    let columns = if fields.is_empty() || !RowConverter::supports_fields(&fields) {
        let all: UInt64Array = (0..rows.num_rows() as u64).collect();
        rows.columns().iter().map(|column| take(column, &all, None)).collect::<Result<Vec<_>, _>>()?
    } else {
        let converter = RowConverter::new(fields)?;
        converter.convert_rows(&converter.convert_columns(rows.columns())?)?
    };
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(rows.schema(), columns, &options)?)
}

/// Reads rows that [`encode`] wrote.
pub(super) fn decode(bytes: &[u8]) -> Result<RecordBatch> {
    let invalid = |e| {
        DataFusionError::Execution(format!("the stored rows cannot be read ({e}); materialize the feature view again"))
    };
    let reader = StreamReader::try_new(Cursor::new(bytes), None).map_err(invalid)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(invalid)?;
    concat_batches(&schema, &batches).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringViewArray};

    use super::*;

    #[test]
    fn rows_cut_from_many_leave_the_others_behind() {
        let names: StringViewArray = (0..10_000).map(|i| Some(format!("a name beyond twelve bytes {i}"))).collect();
        let all = RecordBatch::try_from_iter([("name", Arc::new(names) as ArrayRef)]).unwrap();
        let one = all.slice(5_000, 1);
        let bytes = encode(&one).unwrap();
        assert!(bytes.len() < 1_000, "{}", bytes.len());
        assert_eq!(decode(&bytes).unwrap(), one);
    }
}
