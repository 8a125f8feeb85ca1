//! Rows as bytes: an uncompressed Arrow IPC stream, as the online store keeps them.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion_common::{DataFusionError, Result};

/// Writes the rows.
pub fn encode(rows: &RecordBatch) -> Result<Vec<u8>> {
    let rows = RecordBatch::try_new(rows.schema(), rows.columns().iter().map(compact).collect())?;
    let mut out = Vec::new();
    let mut writer = StreamWriter::try_new(&mut out, &rows.schema())?;
    writer.write(&rows)?;
    writer.finish()?;
    drop(writer);
    Ok(out)
}

/// A view array without the bytes of the other rows that it was cut from, which IPC would write along.
fn compact(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        _ => Arc::clone(array),
    }
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

#[cfg(test)]
mod tests {
    use arrow::array::StringViewArray;

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
