//! The training set as it runs: the views' rows are gathered and indexed once, spine batches look their features up.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, internal_err, plan_err};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream, displayable,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::TryStreamExt;
use futures::future::{BoxFuture, FutureExt, Shared};
use skewless_udf::view::{FeatureTable, FeatureView, Lookup};

use super::node::{Joined, Spec, TrainingSet};
use super::sequential::sequential;

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
        let schema = Arc::new(UserDefinedLogicalNode::schema(set).as_arrow().clone());
        Ok(Some(Arc::new(TrainingSetExec::new(spine, sources.to_vec(), Arc::clone(&set.spec), schema))))
    }
}

async fn serial_plan(spine: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(state) = session.as_any().downcast_ref::<SessionState>() else {
        return internal_err!("TrainingSet is planned by a SessionState");
    };
    let mut config = state.config().clone().with_target_partitions(1).with_round_robin_repartition(false);
    config.options_mut().optimizer.repartition_file_scans = false;
    let serial = SessionStateBuilder::new_from_existing(state.clone()).with_config(config).build();
    // The spine was optimized with the whole statement.
    serial.query_planner().create_physical_plan(spine, &serial).await
}

/// Rows of a view's source, indexed.
pub(super) fn index(
    view: &Arc<FeatureView>,
    batches: Vec<RecordBatch>,
    known_at: Option<&ScalarValue>,
) -> Result<FeatureTable> {
    let pushable = view.recorded().is_some_and(|recorded| recorded.push.is_some());
    let rows = if pushable {
        batches.iter().map(|batch| view.rows_from_source(batch)).collect::<Result<Vec<_>>>()?
    } else {
        batches
    };
    match known_at {
        None => FeatureTable::new(Arc::clone(view), rows),
        Some(cutoff) => FeatureTable::known_at(Arc::clone(view), rows, cutoff),
    }
}

type Tables = Shared<BoxFuture<'static, Result<Arc<Vec<FeatureTable>>, Arc<DataFusionError>>>>;

/// The operator: one output partition, in the spine's order.
struct TrainingSetExec {
    spine: Arc<dyn ExecutionPlan>,
    sources: Vec<Arc<dyn ExecutionPlan>>,
    spec: Arc<Spec>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    tables: Mutex<Option<Tables>>,
}

impl fmt::Debug for TrainingSetExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrainingSetExec").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl TrainingSetExec {
    fn new(
        spine: Arc<dyn ExecutionPlan>,
        sources: Vec<Arc<dyn ExecutionPlan>>,
        spec: Arc<Spec>,
        schema: SchemaRef,
    ) -> Self {
        // The spine's columns come first, so what orders the spine orders the output.
        let orderings = spine.equivalence_properties().oeq_class().iter().cloned();
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(Arc::clone(&schema), orderings),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            spine,
            sources,
            spec,
            schema,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            tables: Mutex::new(None),
        }
    }

    fn with_sources(&self, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.len() != self.sources.len() {
            return internal_err!("TrainingSetExec was rebuilt with other inputs");
        }
        let spine = Arc::clone(&self.spine);
        Ok(Arc::new(Self::new(spine, children, Arc::clone(&self.spec), Arc::clone(&self.schema))))
    }

    /// The views' rows, gathered once however often the plan is run.
    fn tables(&self, context: &Arc<TaskContext>) -> Tables {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tables) = tables.as_ref() {
            return tables.clone();
        }
        let spec = Arc::clone(&self.spec);
        let sources = self.sources.clone();
        let context = Arc::clone(context);
        let future =
            async move { gather(&spec, &sources, &context).await.map(Arc::new).map_err(Arc::new) }.boxed().shared();
        *tables = Some(future.clone());
        future
    }
}

async fn gather(
    spec: &Arc<Spec>,
    sources: &[Arc<dyn ExecutionPlan>],
    context: &Arc<TaskContext>,
) -> Result<Vec<FeatureTable>> {
    let recorded = spec.views.iter().filter_map(|joined| Some((joined, joined.source?)));
    let jobs: Vec<_> = recorded
        .map(|(joined, input)| {
            let source = input.checked_sub(1).and_then(|at| sources.get(at)).map(Arc::clone);
            let (view, known_at) = (Arc::clone(&joined.view), spec.known_at.clone());
            let context = Arc::clone(context);
            async move {
                let Some(source) = source else { return internal_err!("TrainingSet lost the source of a view") };
                let batches = datafusion::physical_plan::collect(source, context).await?;
                on_worker(move || index(&view, batches, known_at.as_ref())).await
            }
        })
        .collect();
    futures::future::try_join_all(jobs).await
}

/// Runs work that would hold an async worker for long.
pub(super) async fn on_worker<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| exec_datafusion_err!("a worker of ml_training_set stopped: {error}"))?
}

impl DisplayAs for TrainingSetExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrainingSetExec: {}", self.spec)?;
        if matches!(format, DisplayFormatType::Verbose) {
            write!(f, ", spine=[{}]", displayable(self.spine.as_ref()).one_line().to_string().trim())?;
        }
        Ok(())
    }
}

impl ExecutionPlan for TrainingSetExec {
    fn name(&self) -> &'static str {
        "TrainingSetExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.sources.len()]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        // Not the spine: the optimizer would deal its rows out to partitions and lose their order.
        self.sources.iter().collect()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_sources(children)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_sources(children)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("TrainingSetExec has one partition");
        }
        let tables = self.tables(&context);
        let spine = self.spine.execute(0, Arc::clone(&context))?;
        let (spec, schema) = (Arc::clone(&self.spec), Arc::clone(&self.schema));
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let workers = context.session_config().target_partitions().max(1);
        // Batches are worked on side by side and come out in order.
        let joined = spine
            .map_ok(move |batch| {
                let (spec, schema, tables) = (Arc::clone(&spec), Arc::clone(&schema), tables.clone());
                async move {
                    let tables = tables.await.map_err(DataFusionError::Shared)?;
                    on_worker(move || join(&batch, &spec, &tables, &schema)).await
                }
            })
            .try_buffered(workers)
            .map_ok(move |batch| batch.record_output(&metrics));
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), joined)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The spine's rows with their features.
fn join(spine: &RecordBatch, spec: &Spec, tables: &[FeatureTable], schema: &SchemaRef) -> Result<RecordBatch> {
    let column = |index: usize| {
        spine.columns().get(index).map(Arc::clone).ok_or_else(|| exec_datafusion_err!("the spine lost a column"))
    };
    let times = column(spec.time)?;
    let mut columns: Vec<ArrayRef> = spine.columns().to_vec();
    let mut statuses: Vec<ArrayRef> = Vec::new();
    let mut witnesses: Vec<ArrayRef> = Vec::new();
    let mut tables = tables.iter();
    for joined in &spec.views {
        if joined.source.is_none() {
            columns.extend(on_demand(joined, &columns, schema, spine.num_rows())?);
            continue;
        }
        let Some(table) = tables.next() else { return internal_err!("TrainingSet lost the rows of a view") };
        let keys = joined.keys.iter().map(|&index| column(index)).collect::<Result<Vec<_>>>()?;
        let Lookup { values, status, event_time, available_at } = table.lookup(&keys, &times)?;
        columns.extend(values);
        if spec.status {
            statuses.push(Arc::new(StringArray::from_iter_values(status.iter().map(|status| status.as_str()))));
        }
        if spec.witness {
            witnesses.extend([event_time, available_at]);
        }
    }
    columns.extend(statuses);
    columns.extend(witnesses);
    // Rows in = rows out: a column of another length is refused here.
    let options = RecordBatchOptions::new().with_row_count(Some(spine.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// The features of a view on demand, over the columns made so far.
fn on_demand(joined: &Joined, columns: &[ArrayRef], schema: &SchemaRef, rows: usize) -> Result<Vec<ArrayRef>> {
    let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = joined
        .view
        .input_fields()
        .iter()
        .filter_map(|input| {
            let (index, field) = schema.column_with_name(input.name())?;
            Some((field.clone().with_nullable(true), Arc::clone(columns.get(index)?)))
        })
        .unzip();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let inputs = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
    Ok(joined.view.evaluate(&inputs)?.columns().to_vec())
}
