//! Files of rows on disk: those of a view, the questions to it and the answers.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::row::OwnedRow;
use datafusion::common::{Result, internal_err};
use datafusion::execution::spill_file::SpillFile;
use datafusion::physical_plan::SpillManager;
use skewless_udf::view::row_bytes;

/// A file with the rows of some entities.
pub(super) struct Part {
    pub(super) file: Arc<dyn SpillFile>,
    pub(super) rows: usize,
    pub(super) bytes: usize,
    /// Whether all rows are of one entity, so that dealing them out again would not help.
    pub(super) one_entity: bool,
}

/// Files being written, each begun with its first row.
pub(super) struct Parts {
    files: SpillManager,
    open: Vec<Option<Open>>,
}

struct Open {
    writer: Writer,
    rows: usize,
    bytes: usize,
    first: Option<OwnedRow>,
    one_entity: bool,
}

impl Parts {
    pub(super) fn new(files: SpillManager, count: usize) -> Self {
        Self { files, open: (0..count).map(|_| None).collect() }
    }

    /// Appends rows to a file. `first` is the key of the first of them, and `same` whether it is that of all.
    pub(super) fn append(
        &mut self,
        part: usize,
        batch: &RecordBatch,
        first: Option<&OwnedRow>,
        same: bool,
    ) -> Result<()> {
        let Some(slot) = self.open.get_mut(part) else { return internal_err!("there is no file {part}") };
        let open = match slot {
            Some(open) => open,
            None => slot.insert(Open {
                writer: Writer::create(&self.files)?,
                rows: 0,
                bytes: 0,
                first: first.cloned(),
                one_entity: true,
            }),
        };
        open.one_entity &= same && open.first.as_ref() == first;
        open.rows += batch.num_rows();
        open.bytes += row_bytes(batch);
        open.writer.push(batch)
    }

    /// The files, `None` for one without rows.
    pub(super) fn finish(self) -> Result<Vec<Option<Part>>> {
        let parts = self.open.into_iter().map(|open| {
            let Some(Open { writer, rows, bytes, one_entity, .. }) = open else { return Ok(None) };
            Ok(writer.finish()?.map(|file| Part { file, rows, bytes, one_entity }))
        });
        parts.collect()
    }
}

/// Appends a batch; without one, closes the file and gives it back.
type Append = dyn FnMut(Option<&RecordBatch>) -> Result<Option<Arc<dyn SpillFile>>> + Send;

/// A file being written. It is deleted with the last handle to it.
pub(super) struct Writer(Box<Append>);

impl Writer {
    pub(super) fn create(files: &SpillManager) -> Result<Self> {
        // DataFusion does not name the type of such a file.
        let mut file = files.create_in_progress_file("ml_training_set")?;
        Ok(Self(Box::new(move |batch| match batch {
            Some(batch) => file.append_batch(batch).map(|_| None),
            None => file.finish(),
        })))
    }

    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() > 0 {
            (self.0)(Some(batch))?;
        }
        Ok(())
    }

    /// The file; `None` if it has no rows.
    pub(super) fn finish(mut self) -> Result<Option<Arc<dyn SpillFile>>> {
        (self.0)(None)
    }
}
