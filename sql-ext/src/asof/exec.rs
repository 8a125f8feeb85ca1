//! The as-of join as it runs: the right input is gathered and sorted once, left batches look their rows up in it.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    Array, ArrayRef, AsArray, PrimitiveArray, RecordBatch, RecordBatchOptions, UInt64Builder, new_null_array,
};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, InputDistributionRequirements,
    PlanProperties, SendableRecordBatchStream,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use datafusion::prelude::Expr;
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};

use super::instant::{Distance, Instants, Probe};
use super::node::{AsOfJoin, Direction, Tolerance};

/// Plans [`AsOfJoin`].
pub(super) struct AsOfPlanner;

#[async_trait]
impl ExtensionPlanner for AsOfPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(join) = node.as_any().downcast_ref::<AsOfJoin>() else { return Ok(None) };
        let ([left_plan, right_plan], [left, right]) = (logical_inputs, physical_inputs) else {
            return internal_err!("AsOfJoin takes two inputs");
        };
        let of_left = |expr: &Expr| planner.create_physical_expr(expr, left_plan.schema(), session, context);
        let of_right = |expr: &Expr| planner.create_physical_expr(expr, right_plan.schema(), session, context);
        let rule = &join.rule;
        let physical = Rule {
            left_keys: rule.on.iter().map(|(left, _)| of_left(left)).collect::<Result<_>>()?,
            right_keys: rule.on.iter().map(|(_, right)| of_right(right)).collect::<Result<_>>()?,
            left_time: of_left(&rule.time.0)?,
            right_time: of_right(&rule.time.1)?,
            ties: rule.ties.iter().map(of_right).collect::<Result<_>>()?,
            direction: rule.direction,
            tolerance: rule.tolerance,
            text: rule.to_string(),
        };
        if right.boundedness().is_unbounded() {
            return plan_err!("ASOF JOIN reads its right side to the end, and this one has no end");
        }
        let schema = Arc::new(UserDefinedLogicalNode::schema(join).as_arrow().clone());
        Ok(Some(Arc::new(AsOfJoinExec::new(Arc::clone(left), Arc::clone(right), Arc::new(physical), schema))))
    }
}

/// What is matched with what, as physical expressions over the inputs.
#[derive(Debug)]
struct Rule {
    left_keys: Vec<Arc<dyn PhysicalExpr>>,
    right_keys: Vec<Arc<dyn PhysicalExpr>>,
    left_time: Arc<dyn PhysicalExpr>,
    right_time: Arc<dyn PhysicalExpr>,
    ties: Vec<Arc<dyn PhysicalExpr>>,
    direction: Direction,
    tolerance: Option<Tolerance>,
    text: String,
}

type Gathered = Shared<BoxFuture<'static, Result<Arc<Right>, Arc<DataFusionError>>>>;

/// The operator.
struct AsOfJoinExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    rule: Arc<Rule>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// The right side, gathered by the first partition that needs it for all of them.
    gathered: Mutex<Option<Gathered>>,
}

impl fmt::Debug for AsOfJoinExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsOfJoinExec").field("rule", &self.rule).finish_non_exhaustive()
    }
}

impl AsOfJoinExec {
    fn new(left: Arc<dyn ExecutionPlan>, right: Arc<dyn ExecutionPlan>, rule: Arc<Rule>, schema: SchemaRef) -> Self {
        // The left columns come first, so what orders and partitions the left input does the same for the output.
        let orderings = left.equivalence_properties().oeq_class().iter().cloned();
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(Arc::clone(&schema), orderings),
            left.output_partitioning().clone(),
            left.pipeline_behavior(),
            left.boundedness(),
        );
        Self {
            left,
            right,
            rule,
            schema,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            gathered: Mutex::new(None),
        }
    }

    fn gather(&self, context: &Arc<TaskContext>) -> Result<Gathered> {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gathered) = gathered.as_ref() {
            return Ok(gathered.clone());
        }
        let stream = self.right.execute(0, Arc::clone(context))?;
        let reservation = MemoryConsumer::new("AsOfJoinExec").register(context.memory_pool());
        let rule = Arc::clone(&self.rule);
        let future = async move { Right::gather(stream, &rule, reservation).await.map(Arc::new).map_err(Arc::new) }
            .boxed()
            .shared();
        *gathered = Some(future.clone());
        Ok(future)
    }
}

impl DisplayAs for AsOfJoinExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsOfJoinExec: {}", self.rule.text)
    }
}

impl ExecutionPlan for AsOfJoinExec {
    fn name(&self) -> &'static str {
        "AsOfJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::UnspecifiedDistribution, Distribution::SinglePartition])
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true, false]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        // Dealing the left rows out to more partitions would lose their order.
        vec![false, false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let Rule { left_keys, right_keys, left_time, right_time, ties, .. } = self.rule.as_ref();
        let mut recursion = TreeNodeRecursion::Continue;
        for expr in left_keys.iter().chain(right_keys).chain([left_time, right_time]).chain(ties) {
            recursion = recursion.visit_sibling(|| f(expr))?;
        }
        Ok(recursion)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([left, right]) = <[Arc<dyn ExecutionPlan>; 2]>::try_from(children) else {
            return internal_err!("AsOfJoinExec takes two inputs");
        };
        Ok(Arc::new(Self::new(left, right, Arc::clone(&self.rule), Arc::clone(&self.schema))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let gathered = self.gather(&context)?;
        let left = self.left.execute(partition, context)?;
        let rule = Arc::clone(&self.rule);
        let schema = Arc::clone(&self.schema);
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let stream = async move {
            let right = gathered.await.map_err(DataFusionError::Shared)?;
            Ok(left.map(move |batch| {
                let _timer = metrics.elapsed_compute().timer();
                Ok(right.join(&batch?, &rule, &schema)?.record_output(&metrics))
            }))
        }
        .try_flatten_stream();
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}

/// The right side: its rows, and for each key their order in time.
struct Right {
    batch: RecordBatch,
    /// Rows that can match, those of a key together, in order of time and then of the tie columns.
    rows: Vec<usize>,
    times: Instants,
    keys: Keys,
    _memory: MemoryReservation,
}

/// Where the rows of each key are.
enum Keys {
    /// There are no keys: every row.
    All,
    By {
        converter: RowConverter,
        ranges: HashMap<Box<[u8]>, Range<usize>>,
    },
}

impl Right {
    async fn gather(mut stream: SendableRecordBatchStream, rule: &Rule, memory: MemoryReservation) -> Result<Self> {
        let schema = stream.schema();
        let mut batches = Vec::new();
        while let Some(batch) = stream.try_next().await? {
            // Once as it came, once in one piece.
            memory.try_grow(2 * batch.get_array_memory_size())?;
            batches.push(batch);
        }
        let batch = concat_batches(&schema, &batches)?;
        drop(batches);

        let keys = columns(&rule.right_keys, &batch)?;
        let time = rule.right_time.evaluate(&batch)?.into_array(batch.num_rows())?;
        let times = Instants::new(&time)?;
        let mut rows: Vec<usize> = (0..batch.num_rows())
            .filter(|row| time.is_valid(*row) && keys.iter().all(|key| key.is_valid(*row)))
            .collect();

        let rank = tie_order(&rule.ties, &batch)?;
        let of_one_time = |a: usize, b: usize| match &rank {
            Some(rank) => rank.row(a).cmp(&rank.row(b)),
            None => std::cmp::Ordering::Equal,
        };
        let in_time = |a: &usize, b: &usize| times.order(*a).cmp(&times.order(*b)).then_with(|| of_one_time(*a, *b));
        let keys = if keys.is_empty() {
            rows.sort_unstable_by(in_time);
            Keys::All
        } else {
            let converter =
                RowConverter::new(keys.iter().map(|key| SortField::new(key.data_type().clone())).collect())?;
            let encoded = converter.convert_columns(&keys)?;
            rows.sort_unstable_by(|a, b| encoded.row(*a).cmp(&encoded.row(*b)).then_with(|| in_time(a, b)));
            let mut ranges = HashMap::new();
            let mut start = 0;
            for group in rows.chunk_by(|a, b| encoded.row(*a) == encoded.row(*b)) {
                if let Some(first) = group.first() {
                    ranges.insert(Box::from(encoded.row(*first).as_ref()), start..start + group.len());
                }
                start += group.len();
            }
            Keys::By { converter, ranges }
        };
        Ok(Self { batch, rows, times, keys, _memory: memory })
    }

    /// The left rows, each with its match.
    fn join(&self, left: &RecordBatch, rule: &Rule, schema: &SchemaRef) -> Result<RecordBatch> {
        let count = left.num_rows();
        let time = rule.left_time.evaluate(left)?.into_array(count)?;
        let times = Instants::new(&time)?;
        let keys = columns(&rule.left_keys, left)?;
        let encoded = match &self.keys {
            Keys::All => None,
            Keys::By { converter, .. } => Some(converter.convert_columns(&keys)?),
        };
        let mut matches = UInt64Builder::with_capacity(count);
        for row in 0..count {
            let known = time.is_valid(row) && keys.iter().all(|key| key.is_valid(row));
            let candidates = match (&self.keys, &encoded) {
                _ if !known => None,
                (Keys::By { ranges, .. }, Some(encoded)) => {
                    ranges.get(encoded.row(row).as_ref()).and_then(|range| self.rows.get(range.clone()))
                }
                _ => Some(self.rows.as_slice()),
            };
            let found = candidates.and_then(|rows| self.find(rows, times.probe(row), rule));
            matches.append_option(found.map(|row| row as u64));
        }
        let matches = matches.finish();
        let mut output = left.columns().to_vec();
        for column in self.batch.columns() {
            output.push(if matches.null_count() == count {
                new_null_array(column.data_type(), count)
            } else {
                take(column, &matches, None)?
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), output, &options)?)
    }

    /// The row that counts at `at` among the rows of one key.
    fn find(&self, rows: &[usize], at: Probe, rule: &Rule) -> Option<usize> {
        let found = match rule.direction {
            Direction::Backward { equal } => self.before(rows, at, equal),
            Direction::Forward { equal } => self.after(rows, at, equal),
            Direction::Nearest => match (self.before(rows, at, true), self.after(rows, at, true)) {
                (Some(before), Some(after)) => {
                    let farther = self.times.distance(after, at) < self.times.distance(before, at);
                    Some(if farther { after } else { before })
                }
                (before, after) => before.or(after),
            },
        }?;
        let limit = match rule.tolerance {
            None => return Some(found),
            Some(Tolerance::Whole(limit)) => Distance::Whole(limit),
            Some(Tolerance::Float(limit)) => Distance::Float(limit),
        };
        self.times.distance(found, at).within(limit).then_some(found)
    }

    fn before(&self, rows: &[usize], at: Probe, equal: bool) -> Option<usize> {
        let end = rows.partition_point(|row| self.times.reaches(*row, at, equal));
        rows.get(end.checked_sub(1)?).copied()
    }

    fn after(&self, rows: &[usize], at: Probe, equal: bool) -> Option<usize> {
        let later = rows.get(rows.partition_point(|row| self.times.reaches(*row, at, !equal))..)?;
        let time = self.times.order(*later.first()?);
        // The last of the rows of that time is the greatest.
        later.get(later.partition_point(|row| self.times.order(*row) == time).checked_sub(1)?).copied()
    }
}

/// The key columns, floats with one zero and one NaN.
fn columns(exprs: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    exprs.iter().map(|expr| Ok(one_zero(&expr.evaluate(batch)?.into_array(batch.num_rows())?))).collect()
}

/// The tie columns in a form that compares row by row; `None` where there are none.
fn tie_order(ties: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<Option<Rows>> {
    let mut columns = Vec::with_capacity(ties.len());
    let mut exact = Vec::new();
    for tie in ties {
        let column = tie.evaluate(batch)?.into_array(batch.num_rows())?;
        columns.push(one_zero(&column));
        // Rows that differ in the sign of a zero alone still come out in one order.
        if column.data_type().is_floating() {
            exact.push(column);
        }
    }
    columns.extend(exact);
    if columns.is_empty() {
        return Ok(None);
    }
    let converter = RowConverter::new(columns.iter().map(|c| SortField::new(c.data_type().clone())).collect())?;
    Ok(Some(converter.convert_columns(&columns)?))
}

fn one_zero(column: &ArrayRef) -> ArrayRef {
    fn map<T: ArrowPrimitiveType>(column: &ArrayRef, zero: T::Native, nan: T::Native) -> ArrayRef
    where
        T::Native: PartialOrd,
    {
        let values: PrimitiveArray<T> = column.as_primitive::<T>().unary(|value| {
            if value == zero {
                zero
            } else if value.partial_cmp(&value).is_none() {
                nan
            } else {
                value
            }
        });
        Arc::new(values)
    }
    match column.data_type() {
        DataType::Float16 => map::<Float16Type>(column, half::f16::ZERO, half::f16::NAN),
        DataType::Float32 => map::<Float32Type>(column, 0.0, f32::NAN),
        DataType::Float64 => map::<Float64Type>(column, 0.0, f64::NAN),
        _ => Arc::clone(column),
    }
}
