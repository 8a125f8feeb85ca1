//! The training set as it runs: the views' rows are gathered and indexed, then the spine's rows look their features up.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, exec_datafusion_err, internal_err, plan_err};
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, RecordOutput, SpillMetrics, Time,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, SendableRecordBatchStream,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::{Stream, StreamExt, TryStreamExt};
use tokio::sync::Semaphore;

use super::lookup::{Chunk, answers, assemble, chunks, questions, side_by_side};
use super::node::{Spec, TrainingSet};
use super::rows::{Rows, Run, Table};
use super::sequential::sequential;
use super::spill::spilled;
use crate::execution::on_worker;

/// Plans [`TrainingSet`].
pub(super) struct TrainingSetPlanner;

#[async_trait]
impl ExtensionPlanner for TrainingSetPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(set) = node.as_any().downcast_ref::<TrainingSet>() else { return Ok(None) };
        let (Some(spine), Some(sources)) = (logical_inputs.first(), physical_inputs.get(1..)) else {
            return internal_err!("TrainingSet has a spine");
        };
        // Planned on its own and for one partition, so that it keeps its ORDER BY, or the order of a serial scan.
        let spine = sequential(serial_plan(spine, session).await?)?;
        if spine.boundedness().is_unbounded() || sources.iter().any(|source| source.boundedness().is_unbounded()) {
            return plan_err!("ml_training_set reads its spine and its views to the end, and one of them has no end");
        }
        let exec = TrainingSetExec::new(spine, sources.to_vec(), Arc::clone(set.spec()))?;
        Ok(Some(Arc::new(TrainingSetExec { sealed: true, ..exec })))
    }
}

/// The plan in one partition, in the order of its ORDER BY or of a serial scan once [`sequential`] is around it.
pub(crate) async fn serial_plan(spine: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(state) = session.as_any().downcast_ref::<SessionState>() else {
        return internal_err!("a spine is planned by a SessionState");
    };
    let mut config = state.config().clone().with_target_partitions(1).with_round_robin_repartition(false);
    config.options_mut().optimizer.repartition_file_scans = false;
    let serial = SessionStateBuilder::new_from_existing(state.clone()).with_config(config).build();
    // The spine was optimized with the whole statement.
    serial.query_planner().create_physical_plan(spine, &serial).await
}

/// Shows the spines, once every rule that would deal their rows out to partitions has run.
#[derive(Debug)]
pub(super) struct ShowSpines;

impl PhysicalOptimizerRule for ShowSpines {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| match plan.downcast_ref::<TrainingSetExec>() {
            Some(set) if set.sealed => {
                let set = TrainingSetExec::new(Arc::clone(&set.spine), set.sources.clone(), Arc::clone(&set.spec))?;
                Ok(Transformed::yes(Arc::new(set) as _))
            }
            _ => Ok(Transformed::no(plan)),
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "show_spines"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The operator: one output partition, in the spine's order.
#[derive(Debug)]
pub(crate) struct TrainingSetExec {
    spine: Arc<dyn ExecutionPlan>,
    sources: Vec<Arc<dyn ExecutionPlan>>,
    spec: Arc<Spec>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// Whether the spine is hidden from the optimizer, which would deal its rows out and lose their order.
    sealed: bool,
}

impl TrainingSetExec {
    /// A spine of one partition, and the source of each recorded view.
    pub(crate) fn new(
        spine: Arc<dyn ExecutionPlan>,
        sources: Vec<Arc<dyn ExecutionPlan>>,
        spec: Arc<Spec>,
    ) -> Result<Self> {
        if sources.len() != spec.recorded().count() || spine.output_partitioning().partition_count() != 1 {
            return internal_err!("TrainingSetExec takes a spine of one partition and a source for each recorded view");
        }
        let schema = Arc::new(Schema::new(spec.fields(spine.schema().fields())));
        // The spine's columns come first, so what orders the spine orders the output.
        let orderings = spine.equivalence_properties().oeq_class().iter().cloned();
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(schema, orderings),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { spine, sources, spec, properties: Arc::new(properties), metrics, sealed: false })
    }

    pub(crate) fn spec(&self) -> &Arc<Spec> {
        &self.spec
    }
}

impl DisplayAs for TrainingSetExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrainingSetExec: {}", self.spec)
    }
}

impl ExecutionPlan for TrainingSetExec {
    fn name(&self) -> &'static str {
        "TrainingSetExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        let spine = (!self.sealed).then_some(true);
        spine.into_iter().chain(self.sources.iter().map(|_| false)).collect()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.children().len()]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        let spine = (!self.sealed).then_some(&self.spine);
        spine.into_iter().chain(&self.sources).collect()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let mut children = children.into_iter();
        let spine = if self.sealed { Some(Arc::clone(&self.spine)) } else { children.next() };
        let Some(spine) = spine else { return internal_err!("TrainingSetExec was rebuilt without its spine") };
        let exec = Self::new(spine, children.collect(), Arc::clone(&self.spec))?;
        Ok(Arc::new(Self { sealed: self.sealed, ..exec }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("TrainingSetExec has one partition");
        }
        let (spine, sources) = (Arc::clone(&self.spine), self.sources.clone());
        let (spec, schema) = (Arc::clone(&self.spec), self.schema());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let workers = context.session_config().target_partitions().max(1);
        let cores = Arc::new(Semaphore::new(workers));
        let run = Run {
            context: Arc::clone(&context),
            cores: Arc::clone(&cores),
            known_at: spec.known_at.clone(),
            spills: SpillMetrics::new(&self.metrics, partition),
            build_time: MetricBuilder::new(&self.metrics).subset_time("build_time", partition),
        };
        let lookup_time = metrics.elapsed_compute().clone();
        let rows = async move {
            let batch_size = context.session_config().batch_size();
            let rows = spec.recorded().zip(sources).map(|(joined, source)| run.gather(joined, source));
            let rows = futures::future::try_join_all(rows).await?;
            let spine = spine.execute(0, context)?;
            match in_memory(rows) {
                Ok(tables) => {
                    let tables = Arc::new(tables);
                    Ok(join(chunks(spine, batch_size), tables, spec, schema, (workers, cores), lookup_time).boxed())
                }
                Err(rows) => spilled(run, spec, schema, spine, rows, workers).await,
            }
        };
        let rows = futures::stream::once(rows).try_flatten().map_ok(move |batch| batch.record_output(&metrics));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The views' tables, if all of them are in memory.
fn in_memory(rows: Vec<Rows>) -> Result<Vec<Table>, Vec<Rows>> {
    if rows.iter().any(|rows| matches!(rows, Rows::Disk(_))) {
        return Err(rows);
    }
    let tables = rows.into_iter().filter_map(|rows| match rows {
        Rows::Memory(table) => Some(table),
        Rows::Disk(_) => None,
    });
    Ok(tables.collect())
}

/// The spine's rows with their features. A chunk's views are looked up side by side, and so are chunks.
fn join(
    spine: impl Stream<Item = Result<Chunk>> + Send + 'static,
    tables: Arc<Vec<Table>>,
    spec: Arc<Spec>,
    schema: SchemaRef,
    (workers, cores): (usize, Arc<Semaphore>),
    lookup_time: Time,
) -> impl Stream<Item = Result<RecordBatch>> + Send + 'static {
    let joined = side_by_side(spine, workers, move |chunk| {
        let (spec, schema, tables, cores) =
            (Arc::clone(&spec), Arc::clone(&schema), Arc::clone(&tables), Arc::clone(&cores));
        let lookup_time = lookup_time.clone();
        async move {
            let chunk = Arc::new(chunk);
            let lookups = (0..tables.len()).map(|view| {
                let (spec, tables, chunk) = (Arc::clone(&spec), Arc::clone(&tables), Arc::clone(&chunk));
                let (cores, lookup_time) = (Arc::clone(&cores), lookup_time.clone());
                async move {
                    let _core = cores.acquire().await.map_err(|error| exec_datafusion_err!("{error}"))?;
                    on_worker(move || {
                        let _timer = lookup_time.timer();
                        let (Some(joined), Some(table)) = (spec.recorded().nth(view), tables.get(view)) else {
                            return internal_err!("TrainingSet lost the rows of a view");
                        };
                        let (keys, times) = questions(&spec, joined, &chunk.batches)?;
                        answers(joined, &table.rows, &keys, &times)
                    })
                    .await
                }
            });
            let answers = futures::future::try_join_all(lookups).await?;
            on_worker(move || {
                let _timer = lookup_time.timer();
                let mut start = 0;
                let batches = chunk.batches.iter().map(|batch| {
                    let (from, rows) = (start, batch.num_rows());
                    start += rows;
                    let slice = |columns: &Vec<ArrayRef>| columns.iter().map(|c| c.slice(from, rows)).collect();
                    assemble(&spec, &schema, batch, answers.iter().map(slice).collect())
                });
                batches.collect::<Result<Vec<_>>>()
            })
            .await
        }
    });
    joined.map_ok(|batches| futures::stream::iter(batches.into_iter().map(Ok))).try_flatten()
}
