//! The as-of join as it runs.
//!
//! The right input is read by all its partitions at once and indexed in memory; left batches look their rows up in it
//! side by side and come out in their order, so neither a hot key nor the lack of keys leaves a core idle. A right side
//! that the memory pool has no room for is sorted on disk instead, see [`super::spilled`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::JoinSet;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, exec_datafusion_err, internal_datafusion_err, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::equivalence::ProjectionMapping;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{Distribution, EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, RecordOutput, SpillMetrics,
};
use datafusion::physical_plan::projection::{EmbeddedProjection, ProjectionExec, try_embed_projection};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, InputDistributionRequirements,
    PlanProperties, SendableRecordBatchStream,
};
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use tokio::sync::Semaphore;

use super::index::{Built, Index};
use super::rule::{Rule, Side};
use super::spilled::{Part, Sorted};
use crate::execution::on_worker;

/// Left batches that one task joins.
const BATCHES: usize = 4;

type Gathered = Shared<BoxFuture<'static, Result<Arc<Right>, Arc<DataFusionError>>>>;

/// The right side, gathered.
enum Right {
    Indexed { index: Index, _memory: MemoryReservation },
    Sorted(Sorted),
}

/// The operator.
pub(crate) struct AsOfJoinExec {
    pub(super) left: Arc<dyn ExecutionPlan>,
    pub(super) right: Arc<dyn ExecutionPlan>,
    /// The right side with every tie column, read only where there are ties.
    pub(super) wide: Option<Arc<dyn ExecutionPlan>>,
    pub(super) rule: Arc<Rule>,
    /// The schema of the left columns and then the right ones.
    pub(super) joined: SchemaRef,
    /// The columns of `joined` that come out; all where there is none.
    pub(super) projection: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// The right side, gathered by the first partition that needs it for all of them.
    gathered: Mutex<Option<Gathered>>,
    /// A permit for each core, which the partitions share.
    cores: OnceLock<Arc<Semaphore>>,
}

impl fmt::Debug for AsOfJoinExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsOfJoinExec").field("rule", &self.rule).finish_non_exhaustive()
    }
}

impl AsOfJoinExec {
    /// `joined` is the schema of the left columns and then the right ones, `projection` those of them that come out.
    pub(crate) fn try_new(
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
        wide: Option<Arc<dyn ExecutionPlan>>,
        rule: Rule,
        joined: SchemaRef,
        projection: Option<Vec<usize>>,
    ) -> Result<Self> {
        let width = left.schema().fields().len();
        let all: Vec<usize> = (0..joined.fields().len()).collect();
        let columns = projection.as_ref().unwrap_or(&all);
        if joined.fields().len() != width + right.schema().fields().len()
            || columns.iter().any(|column| *column >= joined.fields().len())
            || rule.wide.is_some() != wide.is_some()
        {
            return internal_err!("AsOfJoinExec was made of inputs of other columns");
        }
        let output = columns.iter().filter_map(|column| column.checked_sub(width)).collect();
        // The left columns come first, so what orders and partitions the left input does the same for the output.
        let orderings = left.equivalence_properties().oeq_class().iter().cloned();
        let whole = EquivalenceProperties::new_with_orderings(Arc::clone(&joined), orderings);
        let schema = Arc::new(joined.project(columns)?);
        let mapping = ProjectionMapping::from_indices(columns, &joined)?;
        let properties = PlanProperties::new(
            whole.project(&mapping, schema),
            left.output_partitioning().project(&mapping, &whole),
            left.pipeline_behavior(),
            left.boundedness(),
        );
        Ok(Self {
            left,
            right,
            wide,
            rule: Arc::new(Rule { output, ..rule }),
            joined,
            projection,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            gathered: Mutex::new(None),
            cores: OnceLock::new(),
        })
    }

    /// Where the left side is an as-of join too: one without the columns that neither this join nor `columns` of what
    /// it gives out need, and which columns remain.
    fn narrowed_left(&self, columns: &[usize]) -> Result<Option<Narrowed>> {
        let Some(left) = self.left.downcast_ref::<Self>() else { return Ok(None) };
        let width = self.left.schema().fields().len();
        let mut used: BTreeSet<usize> = columns.iter().copied().filter(|column| *column < width).collect();
        for expr in self.rule.left.keys.iter().chain([&self.rule.left.time]) {
            used.extend(collect_columns(expr).iter().map(Column::index));
        }
        if used.len() == width {
            return Ok(None);
        }
        let of_left = |column: &usize| match &left.projection {
            None => Some(*column),
            Some(projection) => projection.get(*column).copied(),
        };
        let narrowed = left.with_projection(Some(used.iter().filter_map(of_left).collect()))?;
        Ok(Some(Narrowed { left: Arc::new(narrowed), used: used.into_iter().collect() }))
    }

    /// The right side of this join, once those of the joins that its left side is made of are gathered too, as many at a
    /// time as there are cores: all are needed before the first row comes out.
    async fn gather_chain(chain: Vec<Gathered>, cores: usize) -> Result<Arc<Right>> {
        let own = chain.first().cloned();
        let all: Vec<_> = futures::stream::iter(chain)
            .buffer_unordered(cores)
            .try_collect()
            .await
            .map_err(DataFusionError::Shared)?;
        drop::<Vec<Arc<Right>>>(all);
        let Some(own) = own else { return internal_err!("an as-of join has a right side") };
        own.await.map_err(DataFusionError::Shared)
    }

    fn chain(&self, context: &Arc<TaskContext>) -> Vec<Gathered> {
        let mut chain = vec![self.gather(context)];
        let mut left = &self.left;
        while let Some(join) = left.downcast_ref::<Self>() {
            chain.push(join.gather(context));
            left = &join.left;
        }
        chain
    }

    fn gather(&self, context: &Arc<TaskContext>) -> Gathered {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gathered) = gathered.as_ref() {
            return gathered.clone();
        }
        let gathering = Gathering {
            right: Arc::clone(&self.right),
            wide: self.wide.clone(),
            rule: Arc::clone(&self.rule),
            metrics: self.metrics.clone(),
            context: Arc::clone(context),
        };
        let future = async move { gathering.run().await.map(Arc::new).map_err(Arc::new) }.boxed().shared();
        *gathered = Some(future.clone());
        future
    }
}

/// A left side without some of its columns.
struct Narrowed {
    left: Arc<dyn ExecutionPlan>,
    /// The columns that remain, ascending.
    used: Vec<usize>,
}

/// Reads the right side.
struct Gathering {
    right: Arc<dyn ExecutionPlan>,
    wide: Option<Arc<dyn ExecutionPlan>>,
    rule: Arc<Rule>,
    metrics: ExecutionPlanMetricsSet,
    context: Arc<TaskContext>,
}

impl Gathering {
    async fn run(self) -> Result<Right> {
        let memory = MemoryConsumer::new("AsOfJoinExec").with_can_spill(true).register(self.context.memory_pool());
        let parts = self.read(&self.right, &memory, Arc::new(Ok)).await?;
        let held: usize = parts.iter().map(|part| part.memory.size()).sum();
        let rows: usize = parts.iter().flat_map(|part| &part.batches).map(RecordBatch::num_rows).sum();
        // The rows are there once as they came and once in one piece; and then there is what finds them.
        let whole = parts.iter().all(|part| part.rest.is_none());
        if !whole || memory.try_grow(held + rows * Index::BYTES_A_ROW).is_err() {
            memory.free();
            return self.sort(parts).await.map(Right::Sorted);
        }
        let (rule, schema) = (Arc::clone(&self.rule), self.right.schema());
        let threads = self.context.session_config().target_partitions();
        let build_time = MetricBuilder::new(&self.metrics).subset_time("build_time", 0);
        let Built { mut index, ties } = on_worker(move || {
            let _timer = build_time.timer();
            let batches = parts.into_iter().flat_map(|part| part.batches).collect();
            Index::build(batches, &schema, &rule, threads)
        })
        .await?;
        if let Some(wide) = self.wide.as_ref().filter(|_| !ties.is_empty()) {
            let (shared, ties) = (Arc::new(index), Arc::new(ties));
            let (of, between, rule) = (Arc::clone(&shared), Arc::clone(&ties), Arc::clone(&self.rule));
            let keep = Arc::new(move |batch| of.tied(&between, &batch, &rule));
            let parts = self.read(wide, &memory, keep).await?;
            let Some(back) = Arc::into_inner(shared) else { return internal_err!("an as-of join is still read") };
            index = back;
            if parts.iter().any(|part| part.rest.is_some()) {
                drop((index, parts));
                memory.free();
                return self.sort(Vec::new()).await.map(Right::Sorted);
            }
            let rows: Vec<RecordBatch> = parts.into_iter().flat_map(|part| part.batches).collect();
            index.decide(&ties, &rows, &wide.schema(), &self.rule)?;
        }
        Ok(Right::Indexed { index, _memory: memory })
    }

    /// Reads all partitions of a plan at once, keeping what `keep` makes of each batch, for as long as memory lasts.
    async fn read(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        memory: &MemoryReservation,
        keep: Arc<dyn Fn(RecordBatch) -> Result<RecordBatch> + Send + Sync>,
    ) -> Result<Vec<Part>> {
        let mut tasks: JoinSet<Result<(usize, Part)>> = JoinSet::new();
        for partition in 0..plan.output_partitioning().partition_count() {
            let stream = plan.execute(partition, Arc::clone(&self.context))?;
            let (memory, keep) = (memory.new_empty(), Arc::clone(&keep));
            tasks.spawn(async move { Ok((partition, Part::read(stream, memory, keep.as_ref()).await?)) });
        }
        drop(keep);
        let mut parts = Vec::new();
        while let Some(part) = tasks.join_next().await {
            parts.push(part.map_err(|error| DataFusionError::External(error.into()))??);
        }
        parts.sort_by_key(|(partition, _)| *partition);
        Ok(parts.into_iter().map(|(_, part)| part).collect())
    }

    /// Sorts the right side on disk: what was read of it and the rest, or the wide one where that has the tie columns.
    async fn sort(&self, mut parts: Vec<Part>) -> Result<Sorted> {
        let plan = self.wide.as_ref().unwrap_or(&self.right);
        if self.wide.is_some() {
            parts.clear();
            let memory = MemoryConsumer::new("AsOfJoinExec").register(self.context.memory_pool());
            for partition in 0..plan.output_partitioning().partition_count() {
                let rest = Some(plan.execute(partition, Arc::clone(&self.context))?);
                parts.push(Part { batches: Vec::new(), memory: memory.new_empty(), rest });
            }
        }
        let metrics = SpillMetrics::new(&self.metrics, 0);
        Sorted::sort(&plan.schema(), parts, &self.rule, &self.context, metrics).await
    }
}

impl EmbeddedProjection for AsOfJoinExec {
    fn with_projection(&self, projection: Option<Vec<usize>>) -> Result<Self> {
        let columns = projection.unwrap_or_else(|| (0..self.joined.fields().len()).collect());
        let (right, wide, rule) = (Arc::clone(&self.right), self.wide.clone(), self.rule.as_ref().clone());
        let Some(Narrowed { left, used }) = self.narrowed_left(&columns)? else {
            return Self::try_new(Arc::clone(&self.left), right, wide, rule, Arc::clone(&self.joined), Some(columns));
        };
        let width = self.left.schema().fields().len();
        let place = |column: usize| match column.checked_sub(width) {
            None => used.binary_search(&column).map_err(|_| internal_datafusion_err!("an as-of join lost a column")),
            Some(of_right) => Ok(used.len() + of_right),
        };
        let over = |expr: Arc<dyn PhysicalExpr>| {
            let moved = expr.transform(|expr| match expr.downcast_ref::<Column>() {
                None => Ok(Transformed::no(expr)),
                Some(column) => Ok(Transformed::yes(Arc::new(Column::new(column.name(), place(column.index())?)) as _)),
            });
            moved.data()
        };
        let side = Side {
            keys: rule.left.keys.iter().map(|key| over(Arc::clone(key))).collect::<Result<_>>()?,
            time: over(Arc::clone(&rule.left.time))?,
        };
        let all: Vec<usize> = used.iter().copied().chain(width..self.joined.fields().len()).collect();
        let joined = Arc::new(self.joined.project(&all)?);
        let columns = columns.into_iter().map(place).collect::<Result<_>>()?;
        Self::try_new(left, right, wide, Rule { left: side, ..rule }, joined, Some(columns))
    }
}

impl DisplayAs for AsOfJoinExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsOfJoinExec: {}", self.rule.text)?;
        if self.wide.is_some() {
            f.write_str(", ties read the right side again")?;
        }
        if let Some(projection) = &self.projection {
            let name = |column: &usize| self.joined.fields().get(*column).map_or("", |field| field.name().as_str());
            write!(f, ", projection=[{}]", projection.iter().map(name).collect::<Vec<_>>().join(", "))?;
        }
        Ok(())
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
        InputDistributionRequirements::new(vec![Distribution::UnspecifiedDistribution; self.children().len()])
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.children().iter().enumerate().map(|(child, _)| child == 0).collect()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        // Dealing the left rows out to more partitions would lose their order, and the batches of one partition are
        // joined side by side anyway.
        vec![false; self.children().len()]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        [&self.left, &self.right].into_iter().chain(&self.wide).collect()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let mut recursion = TreeNodeRecursion::Continue;
        for expr in self.rule.expressions() {
            recursion = recursion.visit_sibling(|| f(expr))?;
        }
        Ok(recursion)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let mut children = children.into_iter();
        let (Some(left), Some(right), wide, None) =
            (children.next(), children.next(), children.next(), children.next())
        else {
            return internal_err!("AsOfJoinExec takes two inputs, and the right one twice");
        };
        let (rule, joined) = (self.rule.as_ref().clone(), Arc::clone(&self.joined));
        Ok(Arc::new(Self::try_new(left, right, wide, rule, joined, self.projection.clone())?))
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if self.projection.is_some() {
            return Ok(None);
        }
        try_embed_projection(projection, self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let left = self.left.execute(partition, Arc::clone(&context))?;
        let output = Output {
            rule: Arc::clone(&self.rule),
            schema: self.schema(),
            width: self.left.schema().fields().len(),
            columns: self.projection.clone().unwrap_or_else(|| (0..self.joined.fields().len()).collect()),
        };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let workers = context.session_config().target_partitions().max(1);
        let gathered = Self::gather_chain(self.chain(&context), workers);
        let cores = Arc::clone(self.cores.get_or_init(|| Arc::new(Semaphore::new(workers))));
        let stream = async move {
            let right = gathered.await?;
            if let Right::Sorted(sorted) = right.as_ref() {
                return sorted.join(left, output, &context);
            }
            let join = move |batches: Vec<RecordBatch>| {
                let (right, output, metrics) = (Arc::clone(&right), output.clone(), metrics.clone());
                move || {
                    let _timer = metrics.elapsed_compute().timer();
                    let Right::Indexed { index, .. } = right.as_ref() else {
                        return internal_err!("the right side of an as-of join changed");
                    };
                    let join = |batch: &RecordBatch| {
                        let joined = index.join(batch, &output.rule)?;
                        Ok(output.batch(batch, joined)?.record_output(&metrics))
                    };
                    batches.iter().map(join).collect::<Result<Vec<_>>>()
                }
            };
            let schema = left.schema();
            // Batches are joined side by side and come out in order: all rows may be in one partition. Several at a time,
            // since waking a thread takes as long as joining some thousand rows.
            let joined = left
                .ready_chunks(BATCHES)
                .map(|batches| batches.into_iter().collect::<Result<Vec<_>>>())
                .map_ok(move |batches| {
                    let (cores, join) = (Arc::clone(&cores), join(batches));
                    async move {
                        let _core = cores.acquire().await.map_err(|error| exec_datafusion_err!("{error}"))?;
                        on_worker(join).await
                    }
                })
                .try_buffered(workers)
                .map_ok(|batches| futures::stream::iter(batches.into_iter().map(Ok)))
                .try_flatten();
            let joined: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(schema, joined));
            Ok(joined)
        }
        .try_flatten_stream();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}

/// How left and right columns make up the output.
#[derive(Clone)]
pub(super) struct Output {
    pub(super) rule: Arc<Rule>,
    pub(super) schema: SchemaRef,
    /// How many columns the left input has.
    width: usize,
    /// Left columns by their position, right columns after them.
    columns: Vec<usize>,
}

impl Output {
    /// The rows of a left batch with their right columns, those of `Rule::output`.
    pub(super) fn batch(&self, left: &RecordBatch, right: Vec<ArrayRef>) -> Result<RecordBatch> {
        let mut right = right.into_iter();
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let column = if *column < self.width { left.columns().get(*column).cloned() } else { right.next() };
            columns.extend(column);
        }
        // A column that is missing, or of another length than the left rows, is refused here.
        let options = RecordBatchOptions::new().with_row_count(Some(left.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}
