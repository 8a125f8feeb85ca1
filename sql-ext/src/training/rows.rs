//! The rows of the recorded views, gathered: indexed in memory, or in files by entity where they do not fit.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{and, filter_record_batch, is_not_null, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, resources_datafusion_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_plan::metrics::{SpillMetrics, Time};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, SpillManager};
use futures::{StreamExt, TryStreamExt};
use skewless_udf::view::{FeatureTable, FeatureView, conform_keys, row_bytes};
use tokio::sync::Semaphore;

use super::node::Joined;
use super::part::{Part, Parts};
use crate::execution::on_worker;

/// Into how many files the rows of a view that does not fit are dealt, and again those of a file that does not fit.
pub(super) const PARTITIONS: usize = 16;

/// What building a table takes, in times of its rows: as they came, in one piece, and in order.
const BUILD: usize = 3;

/// What the tasks of one run share.
pub(super) struct Run {
    pub(super) context: Arc<TaskContext>,
    pub(super) known_at: Option<ScalarValue>,
    pub(super) spills: SpillMetrics,
    /// Time spent indexing the rows of views.
    pub(super) build_time: Time,
    /// A permit for each core.
    pub(super) cores: Arc<Semaphore>,
}

/// The rows of one view.
pub(super) enum Rows {
    Memory(Table),
    /// By the hash of the key; `None` for a file without rows.
    Disk(Vec<Option<Part>>),
}

/// Rows indexed in memory, and their share of the memory pool.
pub(super) struct Table {
    pub(super) rows: Arc<FeatureTable>,
    _memory: MemoryReservation,
}

impl Run {
    pub(super) fn memory(&self, joined: &Joined) -> MemoryReservation {
        MemoryConsumer::new(format!("TrainingSetExec[{}]", joined.prefix))
            .with_can_spill(true)
            .register(self.context.memory_pool())
    }

    pub(super) fn files(&self, schema: SchemaRef) -> SpillManager {
        SpillManager::new(self.context.runtime_env(), self.spills.clone(), schema)
            .with_compression_type(self.context.session_config().spill_compression())
    }

    /// Reads all rows of a view's source, and indexes them if they fit.
    pub(super) async fn gather(&self, joined: &Joined, source: Arc<dyn ExecutionPlan>) -> Result<Rows> {
        let memory = self.memory(joined);
        let mut stream = read(&joined.view, &source, &self.context)?;
        let mut held: Vec<RecordBatch> = Vec::new();
        while let Some(batch) = stream.try_next().await? {
            if memory.try_grow(BUILD * row_bytes(&batch)).is_ok() {
                held.push(batch);
                continue;
            }
            let mut files = self.deal_rows(joined, 0)?;
            for batch in held.drain(..).chain([batch]) {
                files.push(&batch)?;
            }
            memory.free();
            while let Some(batch) = stream.try_next().await? {
                files.push(&batch)?;
            }
            return Ok(Rows::Disk(files.finish()?));
        }
        let table = self.index(joined, held).await?;
        // The index may be larger than the rows were thought to need.
        if memory.try_resize(table.size()).is_ok() {
            return Ok(Rows::Memory(Table { rows: table, _memory: memory }));
        }
        let mut files = self.deal_rows(joined, 0)?;
        files.push(&table.rows()?)?;
        Ok(Rows::Disk(files.finish()?))
    }

    /// The rows of a file and these besides, indexed; `None` if they do not fit.
    pub(super) async fn load(
        &self,
        joined: &Joined,
        part: Option<&Part>,
        besides: Option<RecordBatch>,
    ) -> Result<Option<Table>> {
        let memory = self.memory(joined);
        let bytes = part.map_or(0, |part| part.bytes) + besides.as_ref().map_or(0, row_bytes);
        if memory.try_grow(BUILD * bytes).is_err() {
            return Ok(None);
        }
        let mut rows: Vec<RecordBatch> = match part {
            None => Vec::new(),
            Some(part) => self.read_back(joined, part)?.try_collect().await?,
        };
        rows.extend(besides);
        let rows = self.index(joined, rows).await?;
        Ok(memory.try_resize(rows.size()).is_ok().then_some(Table { rows, _memory: memory }))
    }

    pub(super) fn read_back(&self, joined: &Joined, part: &Part) -> Result<SendableRecordBatchStream> {
        self.files(joined.view.rows_schema()).read_spill_as_stream(Arc::clone(&part.file), None)
    }

    async fn index(&self, joined: &Joined, rows: Vec<RecordBatch>) -> Result<Arc<FeatureTable>> {
        let (view, known_at) = (Arc::clone(&joined.view), self.known_at.clone());
        let build_time = self.build_time.clone();
        let _core = self.cores.acquire().await.map_err(|error| exec_datafusion_err!("{error}"))?;
        on_worker(move || {
            let _timer = build_time.timer();
            let table = match known_at {
                None => FeatureTable::new(view, rows),
                Some(cutoff) => FeatureTable::known_at(view, rows, &cutoff),
            };
            table.map(Arc::new)
        })
        .await
    }

    /// Files for the rows of a view, by their keys.
    pub(super) fn deal_rows(&self, joined: &Joined, seed: u64) -> Result<DealRows> {
        let keys = joined.view.entity_fields();
        let types: Vec<DataType> = keys.iter().map(|key| key.data_type().clone()).collect();
        let schema = joined.view.rows_schema();
        let columns = keys.iter().map(|key| schema.index_of(key.name())).collect::<Result<_, _>>()?;
        Ok(DealRows { columns, dealer: self.dealer(joined, &types, schema, seed)?, types })
    }

    /// Files for `schema`, by keys in the form in which those of these types are compared.
    pub(super) fn dealer(&self, joined: &Joined, keys: &[DataType], schema: SchemaRef, seed: u64) -> Result<Dealer> {
        if !self.context.runtime_env().disk_manager.tmp_files_enabled() {
            return Err(resources_datafusion_err!(
                "the rows of the feature view `{}` do not fit into the memory limit, and they cannot go to disk because \
                 the disk manager is disabled; raise the memory limit, or allow temporary files",
                joined.view.name
            ));
        }
        let keys = keys.iter().map(|key| Ok(SortField::new(compared(key)?))).collect::<Result<Vec<_>>>()?;
        let converter = if keys.is_empty() { None } else { Some(RowConverter::new(keys)?) };
        Ok(Dealer { parts: Parts::new(self.files(schema), PARTITIONS), converter, seed })
    }
}

/// The type in which keys of this type are compared.
pub(super) fn compared(key: &DataType) -> Result<DataType> {
    Ok(conform_keys(&arrow::array::new_empty_array(key), key)?.data_type().clone())
}

/// The rows of a view from all partitions of its source at once, in any order, without those that have no key.
fn read(
    view: &Arc<FeatureView>,
    source: &Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let partitions = source.output_partitioning().partition_count();
    let mut all = RecordBatchReceiverStreamBuilder::new(view.rows_schema(), partitions);
    for partition in 0..partitions {
        let mut stream = source.execute(partition, Arc::clone(context))?;
        let (sender, view) = (all.tx(), Arc::clone(view));
        all.spawn(async move {
            while let Some(batch) = stream.next().await {
                let rows = batch.and_then(|batch| with_keys(&view, view.rows_of_body(&batch)?));
                let failed = rows.is_err();
                // The receiver is gone when the statement is.
                if sender.send(rows).await.is_err() || failed {
                    break;
                }
            }
            Ok(())
        });
    }
    Ok(all.build())
}

fn with_keys(view: &FeatureView, rows: RecordBatch) -> Result<RecordBatch> {
    let mut there = None;
    for key in view.entity_fields() {
        let Some(column) = rows.column_by_name(key.name()).filter(|column| column.null_count() > 0) else { continue };
        let valid = is_not_null(column)?;
        there = Some(match there {
            None => valid,
            Some(there) => and(&there, &valid)?,
        });
    }
    Ok(match there {
        None => rows,
        Some(there) => filter_record_batch(&rows, &there)?,
    })
}

/// Deals rows of a view out to files.
pub(super) struct DealRows {
    dealer: Dealer,
    columns: Vec<usize>,
    types: Vec<DataType>,
}

impl DealRows {
    pub(super) fn push(&mut self, rows: &RecordBatch) -> Result<()> {
        let keys = self
            .columns
            .iter()
            .zip(&self.types)
            .map(|(column, key)| conform_keys(rows.column(*column), key))
            .collect::<Result<Vec<_>>>()?;
        self.dealer.push(&keys, rows)
    }

    pub(super) fn finish(self) -> Result<Vec<Option<Part>>> {
        self.dealer.finish()
    }
}

/// Deals rows out to files by the hash of their keys, so that rows of one entity share a file.
pub(super) struct Dealer {
    parts: Parts,
    /// `None` where there are no keys: one entity.
    converter: Option<RowConverter>,
    seed: u64,
}

impl Dealer {
    /// Keys are in the form in which they are compared; one that is NULL is an entity like others.
    pub(super) fn push(&mut self, keys: &[ArrayRef], batch: &RecordBatch) -> Result<()> {
        let Some(converter) = &self.converter else { return self.parts.append(0, batch, None, true) };
        let keys = converter.convert_columns(keys)?;
        let mut chosen: Vec<Vec<u32>> = vec![Vec::new(); PARTITIONS];
        for (row, key) in keys.iter().enumerate() {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(self.seed);
            hasher.write(key.as_ref());
            let part = (hasher.finish() % PARTITIONS as u64) as usize;
            if let Some(rows) = chosen.get_mut(part) {
                rows.push(row as u32);
            }
        }
        for (part, rows) in chosen.into_iter().enumerate() {
            let Some(first) = rows.first() else { continue };
            let first = keys.row(*first as usize);
            let same = rows.iter().all(|row| keys.row(*row as usize) == first);
            let first = first.owned();
            self.parts.append(part, &take_record_batch(batch, &UInt32Array::from(rows))?, Some(&first), same)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Vec<Option<Part>>> {
        self.parts.finish()
    }
}
