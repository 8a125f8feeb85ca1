//! An as-of join whose right side memory has no room for: both sides are sorted by key and time on disk and merged, and
//! the result is sorted back into the left input's order. DataFusion's own sort does the spilling, so memory stays
//! bounded whatever the keys: one key that has every row, or no key at all, is merged like any other.
//!
//! Times are turned so that the row that counts is always the last one that is reached: `l.t <= r.t` looks backward
//! along an axis on which later times come first. For the nearest row the next one, which is not reached, is looked at too.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array, RecordBatch, UInt64Array, new_null_array,
};
use arrow::compute::{SortOptions, filter_record_batch, interleave};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::spill_file::SpillFile;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::metrics::SpillMetrics;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::spill::SpillManager;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::{StreamExt, TryStreamExt};

use super::exec::Output;
use super::index::limit;
use super::instant::{Axis, Moments};
use super::node::Direction;
use super::rule::{Rule, Side};

/// What one partition of an input gave: batches as long as memory lasted, and the stream of the rest.
pub(super) struct Part {
    pub(super) batches: Vec<RecordBatch>,
    pub(super) memory: MemoryReservation,
    pub(super) rest: Option<SendableRecordBatchStream>,
}

impl Part {
    /// Reads what memory has room for.
    pub(super) async fn read(
        mut stream: SendableRecordBatchStream,
        memory: MemoryReservation,
        keep: &(dyn Fn(RecordBatch) -> Result<RecordBatch> + Send + Sync),
    ) -> Result<Self> {
        let mut batches = Vec::new();
        while let Some(batch) = stream.try_next().await? {
            let batch = keep(batch)?;
            if memory.try_grow(bytes(&batch)?).is_err() {
                let schema = stream.schema();
                let rest = futures::stream::once(async move { Ok(batch) }).chain(stream);
                let rest: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(schema, rest));
                return Ok(Self { batches, memory, rest: Some(rest) });
            }
            batches.push(batch);
        }
        Ok(Self { batches, memory, rest: None })
    }

    /// All rows. What was kept goes to disk first: the sort that reads them needs the memory.
    fn into_stream(self, files: &SpillManager) -> Result<SendableRecordBatchStream> {
        let Self { batches, memory, rest } = self;
        let kept = files.spill_record_batch_and_finish(&batches, "the start of the right side of an as-of join")?;
        drop(batches);
        memory.free();
        let streams = [kept.map(|file| files.read_spill_as_stream(file, None)).transpose()?, rest];
        let all = futures::stream::iter(streams.into_iter().flatten()).flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(files.schema()), all)))
    }
}

/// The memory that the rows of a batch take, without those of others in the same buffers.
fn bytes(batch: &RecordBatch) -> Result<usize> {
    let mut bytes = 0;
    for column in batch.columns() {
        bytes += column.to_data().get_slice_memory_size()?;
        // The strings of views lie beside them.
        if let Some(views) = column.as_string_view_opt() {
            bytes += views.total_buffer_bytes_used();
        } else if let Some(views) = column.as_binary_view_opt() {
            bytes += views.total_buffer_bytes_used();
        }
    }
    Ok(bytes)
}

/// The right side on disk: for each key its times in order, each with the one row that counts.
pub(super) struct Sorted {
    manager: SpillManager,
    /// `None` where the right side has no row that can match.
    file: Option<Arc<dyn SpillFile>>,
    axis: Axis,
}

/// The row format of keys; `None` where there are none.
fn key_format(side: &Side, schema: &Schema) -> Result<Option<RowConverter>> {
    if side.keys.is_empty() {
        return Ok(None);
    }
    let field = |key: &Arc<dyn PhysicalExpr>| Ok(SortField::new(key.data_type(schema)?));
    Ok(Some(RowConverter::new(side.keys.iter().map(field).collect::<Result<_>>()?)?))
}

/// The key of each row as bytes, NULL where a part of it is.
fn key_bytes(format: Option<&RowConverter>, keys: &[ArrayRef], rows: usize) -> Result<BinaryArray> {
    let Some(format) = format else { return Ok(BinaryArray::from_iter_values(std::iter::repeat_n([], rows))) };
    let encoded = format.convert_columns(keys)?;
    let nulls: Vec<_> = keys.iter().filter_map(Array::logical_nulls).collect();
    let there = |row: usize| nulls.iter().all(|nulls| nulls.is_valid(row));
    Ok(encoded.iter().enumerate().map(|(row, key)| there(row).then_some(key.data().to_vec())).collect())
}

impl Sorted {
    /// Sorts the rows of `parts` and writes, of each key and time, the one that counts.
    pub(super) async fn sort(
        schema: &SchemaRef,
        parts: Vec<Part>,
        rule: &Arc<Rule>,
        context: &Arc<TaskContext>,
        metrics: SpillMetrics,
    ) -> Result<Self> {
        let (side, output) = rule.full();
        let axis = Axis::of_type(&side.time.data_type(schema)?)?;
        let width = schema.fields().len();
        let fields = schema.fields().iter().cloned().chain([
            Arc::new(Field::new(KEY, DataType::Binary, true)),
            Arc::new(Field::new(TIME, DataType::Int64, true)),
            Arc::new(Field::new(TIE, DataType::Binary, true)),
        ]);
        let wide: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let kept: Vec<usize> = output.iter().copied().chain([width, width + 1]).collect();

        let format = Arc::new(key_format(side, schema)?);
        let kept_files = SpillManager::new(context.runtime_env(), metrics.clone(), Arc::clone(schema));
        let mut sources: Vec<Arc<dyn PartitionStream>> = Vec::new();
        for part in parts {
            let (rule, axis, format, wide_schema) =
                (Arc::clone(rule), axis.clone(), Arc::clone(&format), Arc::clone(&wide));
            let stream = part.into_stream(&kept_files)?.map(move |batch| {
                let batch = batch?;
                let (side, _) = rule.full();
                let time = side.time(&batch)?;
                let nulls = time.logical_nulls();
                let places = axis.places(&time)?.into_iter().enumerate().map(|(row, place)| {
                    nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)).then(|| turned(place, rule.direction))
                });
                let places: Int64Array = places.collect();
                let keys = key_bytes(format.as_ref().as_ref(), &side.keys(&batch)?, batch.num_rows())?;
                let matchable: BooleanArray =
                    (0..batch.num_rows()).map(|row| Some(keys.is_valid(row) && places.is_valid(row))).collect();
                let ties = tie_bytes(&rule.ties, &batch)?;
                let mut columns = batch.columns().to_vec();
                columns.extend([Arc::new(keys) as ArrayRef, Arc::new(places), Arc::new(ties)]);
                let batch = RecordBatch::try_new(Arc::clone(&wide_schema), columns)?;
                Ok(filter_record_batch(&batch, &matchable)?)
            });
            sources
                .push(Arc::new(Once::new(&wide, Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&wide), stream)))));
        }
        let mut rows = sorted(&wide, sources, &[KEY, TIME, TIE], context)?;

        let file_schema = Arc::new(wide.project(&kept)?);
        let manager = SpillManager::new(context.runtime_env(), metrics, Arc::clone(&file_schema));
        let mut file = manager.create_in_progress_file("the right side of an as-of join")?;
        // Of the rows of one key and time the last one counts: a row is written when the next one differs.
        let mut before: Option<RecordBatch> = None;
        while let Some(batch) = rows.try_next().await? {
            let batch = batch.project(&kept)?;
            if batch.num_rows() == 0 {
                continue;
            }
            if let Some(last) = before.take()
                && !same(&last, 0, &batch, 0)
            {
                file.append_batch(&last)?;
            }
            let end = batch.num_rows() - 1;
            let counts = (0..end).map(|row| Some(!same(&batch, row, &batch, row + 1))).chain([Some(false)]);
            let counting = filter_record_batch(&batch, &counts.collect())?;
            if counting.num_rows() > 0 {
                file.append_batch(&counting)?;
            }
            before = Some(batch.slice(end, 1));
        }
        if let Some(last) = before {
            file.append_batch(&last)?;
        }
        Ok(Self { manager, file: file.finish()?, axis })
    }

    /// The rows of a left partition with their right columns, in their order.
    pub(super) fn join(
        &self,
        left: SendableRecordBatchStream,
        output: Output,
        context: &Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rule = Arc::clone(&output.rule);
        let left_schema = left.schema();
        let fields = left_schema.fields().iter().cloned().chain([
            Arc::new(Field::new(KEY, DataType::Binary, true)),
            Arc::new(Field::new(TIME, DataType::Int64, true)),
            Arc::new(Field::new(ORDINAL, DataType::UInt64, false)),
        ]);
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let width = left_schema.fields().len();
        let format = key_format(&rule.left, &left_schema)?;
        let (of_rule, axis, of_schema) = (Arc::clone(&rule), self.axis.clone(), Arc::clone(&schema));
        let mut ordinal = 0;
        let numbered = left.map(move |batch| {
            let batch = batch?;
            let rows = batch.num_rows();
            let time = of_rule.left.time(&batch)?;
            let nulls = time.logical_nulls();
            let keys = key_bytes(format.as_ref(), &of_rule.left.keys(&batch)?, rows)?;
            let last = reached(&Moments::new(&time)?, &axis, of_rule.direction);
            let known = |row: usize| keys.is_valid(row) && nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            let last: Int64Array =
                last.into_iter().enumerate().map(|(row, last)| last.filter(|_| known(row))).collect();
            let ordinals = UInt64Array::from_iter_values(ordinal..ordinal + rows as u64);
            ordinal += rows as u64;
            let mut columns = batch.columns().to_vec();
            columns.extend([Arc::new(keys) as ArrayRef, Arc::new(last), Arc::new(ordinals)]);
            Ok(RecordBatch::try_new(Arc::clone(&of_schema), columns)?)
        });
        let numbered = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), numbered));
        let left = sorted(&schema, vec![Arc::new(Once::new(&schema, numbered))], &[KEY, TIME], context)?;

        let right = if let Some(file) = &self.file {
            self.manager.read_spill_as_stream(Arc::clone(file), None)?
        } else {
            let schema = Arc::clone(self.manager.schema());
            Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::empty()))
        };
        let merge = Merge {
            left,
            right,
            rule,
            axis: self.axis.clone(),
            left_width: width,
            right_width: self.manager.schema().fields().len().saturating_sub(2),
            current: None,
            position: 0,
            last: None,
        };
        let fields = left_schema
            .fields()
            .iter()
            .chain(self.manager.schema().fields().iter().take(merge.right_width))
            .map(|field| field.as_ref().clone().with_nullable(true))
            .chain([Field::new(ORDINAL, DataType::UInt64, false)]);
        let merged_schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let of_schema = Arc::clone(&merged_schema);
        let merged = futures::stream::try_unfold((merge, of_schema), |(mut merge, schema)| async move {
            Ok(merge.next(&schema).await?.map(|batch| (batch, (merge, schema))))
        });
        let merged = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&merged_schema), merged));
        let back = sorted(&merged_schema, vec![Arc::new(Once::new(&merged_schema, merged))], &[ORDINAL], context)?;
        let out_schema = Arc::clone(&output.schema);
        let all: Vec<usize> = (0..width).collect();
        let batches = back.map(move |batch| {
            let batch = batch?;
            let right = batch.columns().iter().skip(width).take(output.rule.output.len()).cloned().collect();
            output.batch(&batch.project(&all)?, right)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(out_schema, batches)))
    }
}

const KEY: &str = "__key";
const TIME: &str = "__time";
const TIE: &str = "__tie";
const ORDINAL: &str = "__ordinal";

/// A place on the axis along which the join looks backward.
fn turned(place: i64, direction: Direction) -> i64 {
    if matches!(direction, Direction::Forward { .. }) { !place } else { place }
}

/// For each left time the last place on that axis that it reaches.
fn reached(moments: &Moments, axis: &Axis, direction: Direction) -> Vec<Option<i64>> {
    match direction {
        Direction::Backward { equal } => moments.last_places(axis, equal),
        Direction::Nearest => moments.last_places(axis, true),
        Direction::Forward { equal } => {
            // The first place that is not before the time; none before it means that every place is reached.
            let first = |last: Option<i64>| last.map_or(Some(i64::MIN), |last| last.checked_add(1));
            moments.last_places(axis, !equal).into_iter().map(|last| first(last).map(|first| !first)).collect()
        }
    }
}

/// The tie columns of each row as bytes that sort as they do.
fn tie_bytes(ties: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<BinaryArray> {
    Ok(match super::index::tie_order(ties, batch)? {
        Some(rows) => rows.try_into_binary()?,
        None => BinaryArray::from_iter_values(std::iter::repeat_n([], batch.num_rows())),
    })
}

/// Whether two rows of the right side have one key and one time.
fn same(a: &RecordBatch, row_a: usize, b: &RecordBatch, row_b: usize) -> bool {
    match (Place::of(a), Place::of(b)) {
        (Some(a), Some(b)) => a.at(row_a) == b.at(row_b),
        _ => false,
    }
}

/// The last two columns of the right side: key and time.
struct Place<'a> {
    keys: &'a BinaryArray,
    times: &'a Int64Array,
}

impl<'a> Place<'a> {
    fn of(batch: &'a RecordBatch) -> Option<Self> {
        let [.., keys, times] = batch.columns() else { return None };
        Some(Self { keys: keys.as_binary_opt()?, times: times.as_primitive_opt::<Int64Type>()? })
    }

    fn at(&self, row: usize) -> (&'a [u8], i64) {
        (self.keys.value(row), self.times.value(row))
    }
}

/// Sorts the rows of the sources by some of their columns, on disk where memory has no room.
fn sorted(
    schema: &SchemaRef,
    sources: Vec<Arc<dyn PartitionStream>>,
    by: &[&str],
    context: &Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let source = StreamingTableExec::try_new(Arc::clone(schema), sources, None, [], false, None)?;
    let mut order = Vec::new();
    for name in by {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, schema.index_of(name)?));
        order.push(PhysicalSortExpr::new(column, SortOptions { descending: false, nulls_first: true }));
    }
    let Some(order) = LexOrdering::new(order) else { return internal_err!("an as-of join sorts by nothing") };
    let source: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(Arc::new(source)));
    SortExec::new(order, source).execute(0, Arc::clone(context))
}

/// A stream that is read once.
struct Once {
    schema: SchemaRef,
    stream: Mutex<Option<SendableRecordBatchStream>>,
}

impl Once {
    fn new(schema: &SchemaRef, stream: SendableRecordBatchStream) -> Self {
        Self { schema: Arc::clone(schema), stream: Mutex::new(Some(stream)) }
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        stream.unwrap_or_else(|| {
            let again = futures::stream::once(async { exec_err!("an input of an as-of join was read twice") });
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), again))
        })
    }
}

/// Left rows by key and time beside right rows by key and time.
struct Merge {
    left: SendableRecordBatchStream,
    right: SendableRecordBatchStream,
    rule: Arc<Rule>,
    axis: Axis,
    /// How many columns of the left batches are the left input's, and of the right batches the right input's.
    left_width: usize,
    right_width: usize,
    /// The right batch that is being read, and its first row that no left row has reached.
    current: Option<RecordBatch>,
    position: usize,
    /// The last right row that was reached.
    last: Option<(RecordBatch, usize)>,
}

impl Merge {
    async fn next(&mut self, schema: &SchemaRef) -> Result<Option<RecordBatch>> {
        let Some(left) = self.left.try_next().await? else { return Ok(None) };
        let [.., keys, times, ordinals] = left.columns() else { return internal_err!("the left side lost its key") };
        let (keys, times) = (keys.as_binary::<i32>(), times.as_primitive::<Int64Type>());
        let moments = if self.rule.tolerance.is_some() || self.rule.direction == Direction::Nearest {
            Some(Moments::new(&self.rule.left.time(&left)?)?)
        } else {
            None
        };
        // Right batches that this left batch has rows of, after one row of NULLs.
        let mut held: Vec<RecordBatch> = Vec::new();
        let mut picks: Vec<(usize, usize)> = Vec::with_capacity(left.num_rows());
        for row in 0..left.num_rows() {
            if times.is_null(row) || keys.is_null(row) {
                picks.push((0, 0));
                continue;
            }
            let target = (keys.value(row), times.value(row));
            self.advance(target).await?;
            picks.push(match self.choose(target.0, moments.as_ref().map(|moments| (moments, row))) {
                None => (0, 0),
                Some((batch, at)) => {
                    let is =
                        |held: &RecordBatch| held.columns().iter().zip(batch.columns()).all(|(a, b)| Arc::ptr_eq(a, b));
                    // It is the last one, or the one before.
                    let place = if let Some(back) = held.iter().rev().take(2).position(is) {
                        held.len() - back
                    } else {
                        held.push(batch.clone());
                        held.len()
                    };
                    (place, at)
                }
            });
        }
        let mut columns: Vec<ArrayRef> = left.columns().iter().take(self.left_width).cloned().collect();
        for column in 0..self.right_width {
            let nulls = new_null_array(self.right.schema().field(column).data_type(), 1);
            let parts: Vec<&dyn Array> = std::iter::once(nulls.as_ref())
                .chain(held.iter().filter_map(|batch| Some(batch.columns().get(column)?.as_ref())))
                .collect();
            columns.push(interleave(&parts, &picks)?);
        }
        columns.push(Arc::clone(ordinals));
        Ok(Some(RecordBatch::try_new(Arc::clone(schema), columns)?))
    }

    /// The right row that counts for a left row of a key, once the right side was read up to it; `moment` is the left
    /// row's time where distances matter.
    fn choose(&self, key: &[u8], moment: Option<(&Moments, usize)>) -> Option<(&RecordBatch, usize)> {
        let of_key = |(batch, at): (&'_ RecordBatch, usize)| {
            let (own, time) = Place::of(batch)?.at(at);
            let distance = |(moments, row): (&Moments, usize)| {
                self.axis.distance(turned(time, self.rule.direction), moments.at(row))
            };
            (own == key).then(|| moment.map(distance))
        };
        let reached = self.last.as_ref().map(|(batch, at)| (batch, *at));
        let mut found = reached.and_then(|place| Some((place, of_key(place)?)));
        if self.rule.direction == Direction::Nearest {
            let next = self.current.as_ref().map(|batch| (batch, self.position));
            let next = next.and_then(|place| Some((place, of_key(place)?)));
            // Of two that are equally near the earlier one counts.
            found = match (found, next) {
                (Some((_, Some(before))), Some((place, Some(after)))) if after < before => Some((place, Some(after))),
                (None, next) => next,
                (found, _) => found,
            };
        }
        let (place, distance) = found?;
        let near = self.rule.tolerance.is_none_or(|tolerance| distance.is_some_and(|d| d.within(limit(tolerance))));
        near.then_some(place)
    }

    /// Reads the right side up to the last row that is reached from `target`.
    async fn advance(&mut self, target: (&[u8], i64)) -> Result<()> {
        loop {
            let Some(batch) = self.current.take() else {
                match self.right.try_next().await? {
                    None => return Ok(()),
                    Some(batch) => {
                        (self.current, self.position) = (Some(batch), 0);
                        continue;
                    }
                }
            };
            let Some(place) = Place::of(&batch) else { return internal_err!("the right side lost its key") };
            let from = self.position;
            while self.position < batch.num_rows() && place.at(self.position) <= target {
                self.position += 1;
            }
            if self.position > from {
                self.last = Some((batch.clone(), self.position - 1));
            }
            if self.position < batch.num_rows() {
                self.current = Some(batch);
                return Ok(());
            }
        }
    }
}
