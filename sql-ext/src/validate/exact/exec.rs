//! Drift by exact tests of ranks as it runs: the profiles first, then one sorted column after another, then the report.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, StructArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexRequirement, OrderingRequirements, Partitioning, PhysicalExpr,
    PhysicalSortRequirement,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, InputDistributionRequirements,
    PlanProperties, SendableRecordBatchStream,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::TryStreamExt;

use super::node::{ExactDrift, Spec, row_field};
use super::sorted::ColumnPass;
use crate::execution::{collect_within, on_worker};
use crate::validate::drift::NAME;
use crate::validate::report::{OfRows, build, report, sides};

/// Plans [`ExactDrift`].
pub(in crate::validate) struct ExactDriftPlanner;

#[async_trait]
impl ExtensionPlanner for ExactDriftPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(drift) = node.as_any().downcast_ref::<ExactDrift>() else { return Ok(None) };
        if physical_inputs.iter().any(|input| input.boundedness().is_unbounded()) {
            return plan_err!("{NAME} reads both samples to their ends, and one of them has no end");
        }
        Ok(Some(Arc::new(ExactDriftExec::new(physical_inputs.to_vec(), Arc::clone(drift.spec()))?)))
    }
}

/// The operator: one output partition.
#[derive(Debug)]
pub(crate) struct ExactDriftExec {
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    spec: Arc<Spec>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ExactDriftExec {
    /// The profiles, and each column of the spec with its slices and sample.
    pub(crate) fn new(inputs: Vec<Arc<dyn ExecutionPlan>>, spec: Arc<Spec>) -> Result<Self> {
        let Some((profiles, columns)) = inputs.split_first() else {
            return plan_err!("ExactDriftExec takes profiles and columns, not no inputs");
        };
        let types = |input: &Arc<dyn ExecutionPlan>| -> Vec<DataType> {
            input.schema().fields().iter().map(|field| field.data_type().clone()).collect()
        };
        let is_column = |input: &Arc<dyn ExecutionPlan>| {
            matches!(types(input).as_slice(), [.., DataType::Boolean, DataType::Float64])
        };
        if columns.len() != spec.columns.len()
            || !matches!(types(profiles).as_slice(), [DataType::Struct(_)])
            || !columns.iter().all(is_column)
        {
            return plan_err!(
                "ExactDriftExec takes profiles and {} columns, each with its slices and sample; it was given others",
                spec.columns.len()
            );
        }
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(Schema::new(vec![row_field()]))),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Ok(Self { inputs, spec, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() })
    }

    pub(crate) fn spec(&self) -> &Arc<Spec> {
        &self.spec
    }
}

impl DisplayAs for ExactDriftExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExactDriftExec: {}", self.spec)
    }
}

/// By the slices and then by the value: all columns but the flag of the sample, which is the last but one.
fn order(schema: &Schema) -> Option<OrderingRequirements> {
    let flag = schema.fields().len().checked_sub(2)?;
    let keys = schema.fields().iter().enumerate().filter(|(index, _)| *index != flag).map(|(index, field)| {
        PhysicalSortRequirement::new(Arc::new(Column::new(field.name(), index)), Some(SortOptions::default()))
    });
    LexRequirement::new(keys).map(OrderingRequirements::new)
}

impl ExecutionPlan for ExactDriftExec {
    fn name(&self) -> &'static str {
        "ExactDriftExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition; self.inputs.len()])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let columns = self.inputs.iter().skip(1).map(|input| order(&input.schema()));
        std::iter::once(None).chain(columns).collect()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(children, Arc::clone(&self.spec))?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("ExactDriftExec has one partition");
        }
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let sorted = MetricBuilder::new(&self.metrics).counter("sorted_columns", partition);
        let batch_size = context.session_config().batch_size().max(1);
        let found = run(self.inputs.clone(), Arc::clone(&self.spec), context, sorted, self.schema());
        let batches = futures::stream::once(found).map_ok(move |batch| {
            let starts = (0..batch.num_rows()).step_by(batch_size);
            let cut = starts.map(|start| Ok(batch.slice(start, batch_size.min(batch.num_rows() - start))));
            futures::stream::iter(cut.collect::<Vec<_>>())
        });
        let batches = batches.try_flatten().map_ok(move |batch: RecordBatch| batch.record_output(&metrics));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

async fn run(
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    spec: Arc<Spec>,
    context: Arc<TaskContext>,
    sorted: Count,
    schema: SchemaRef,
) -> Result<RecordBatch> {
    let mut inputs = inputs.into_iter();
    let Some(profiles) = inputs.next() else { return internal_err!("ExactDriftExec has no profiles") };
    let (batches, memory) = collect_within(profiles, &context, "the profiles of ml_validate_drift", 1).await?;
    let slices = Arc::new(sides(batches.iter().filter_map(|batch| batch.columns().first().map(Arc::clone)))?);
    drop(batches);

    let mut of_rows = OfRows::new();
    for (place, input) in inputs.enumerate() {
        let Some(column) = spec.columns.get(place).copied() else { return internal_err!("a column has no name") };
        let pass = {
            let (spec, slices) = (Arc::clone(&spec), Arc::clone(&slices));
            on_worker(move || ColumnPass::new(&spec, &slices, column)).await?
        };
        let Some(mut pass) = pass else { continue };
        sorted.add(1);
        let mut rows = input.execute(0, Arc::clone(&context))?;
        while let Some(batch) = rows.try_next().await? {
            pass = on_worker(move || pass.add(&batch).map(|()| pass)).await?;
        }
        // The sort's memory is free for the next column.
        drop(rows);
        for (slice, outcomes) in on_worker(move || pass.finish()).await? {
            of_rows.entry(slice).or_default().insert(column, outcomes);
        }
    }

    on_worker(move || {
        let slices = Arc::unwrap_or_clone(slices);
        let rows: StructArray = build(&report(&spec.report, slices, &of_rows)?)?;
        drop(memory);
        Ok(RecordBatch::try_new(schema, vec![Arc::new(rows)])?)
    })
    .await
}
