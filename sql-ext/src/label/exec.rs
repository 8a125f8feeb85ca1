//! The label set as it runs: the events are gathered and indexed once, spine batches look their labels up.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{cast, max, nullif};
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_datafusion_err, exec_err, internal_err, plan_err};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryReservation;
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
use skewless_udf::expression;
use skewless_udf::view::{FeatureTable, Scale, Status, time_values};

use super::node::{Label, LabelSet, Spec};
use super::plan::KNOWN_AT;
use crate::execution::{collect_within, on_worker};
use crate::training::{sequential, serial_plan};

/// Plans [`LabelSet`].
pub(super) struct LabelSetPlanner;

#[async_trait]
impl ExtensionPlanner for LabelSetPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(set) = node.as_any().downcast_ref::<LabelSet>() else { return Ok(None) };
        let ([spine, _], [_, events]) = (logical_inputs, physical_inputs) else {
            return internal_err!("LabelSet has a spine and events");
        };
        // Planned on its own and for one partition, so that it keeps its ORDER BY, or the order of a serial scan.
        let spine = sequential(serial_plan(spine, session).await?)?;
        if spine.boundedness().is_unbounded() || events.boundedness().is_unbounded() {
            return plan_err!("ml_label_set reads its spine and its events to the end, and one of them has no end");
        }
        let schema = Arc::new(UserDefinedLogicalNode::schema(set).as_arrow().clone());
        Ok(Some(Arc::new(LabelSetExec::new(spine, Arc::clone(events), Arc::clone(&set.spec), schema))))
    }
}

/// The events, indexed, and until when they were observed, in steps.
struct Events {
    table: FeatureTable,
    known_until: Option<i128>,
    _memory: MemoryReservation,
}

/// What indexing the events takes, in times of them: as they came, in one piece, and in order.
const ROWS: usize = 3;

type Gathered = Shared<BoxFuture<'static, Result<Arc<Events>, Arc<DataFusionError>>>>;

/// The operator: one output partition, in the spine's order.
struct LabelSetExec {
    spine: Arc<dyn ExecutionPlan>,
    events: Arc<dyn ExecutionPlan>,
    spec: Arc<Spec>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    gathered: Mutex<Option<Gathered>>,
}

impl fmt::Debug for LabelSetExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LabelSetExec").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl LabelSetExec {
    fn new(spine: Arc<dyn ExecutionPlan>, events: Arc<dyn ExecutionPlan>, spec: Arc<Spec>, schema: SchemaRef) -> Self {
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
            events,
            spec,
            schema,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            gathered: Mutex::new(None),
        }
    }

    fn with_events(&self, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([events]) = <[Arc<dyn ExecutionPlan>; 1]>::try_from(children) else {
            return internal_err!("LabelSetExec was rebuilt with other inputs");
        };
        Ok(Arc::new(Self::new(Arc::clone(&self.spine), events, Arc::clone(&self.spec), Arc::clone(&self.schema))))
    }

    /// The events, gathered once however often the plan is run.
    fn gathered(&self, context: &Arc<TaskContext>) -> Gathered {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gathered) = gathered.as_ref() {
            return gathered.clone();
        }
        let (spec, events, context) = (Arc::clone(&self.spec), Arc::clone(&self.events), Arc::clone(context));
        let future = async move {
            let (batches, memory) = collect_within(events, &context, "the events of ml_label_set", ROWS).await?;
            on_worker(move || index(&spec, batches, memory).map(Arc::new)).await
        };
        let future = future.map(|result| result.map_err(Arc::new)).boxed().shared();
        *gathered = Some(future.clone());
        future
    }
}

fn index(spec: &Spec, batches: Vec<RecordBatch>, memory: MemoryReservation) -> Result<Events> {
    let mut known_until = spec.known_until;
    if known_until.is_none()
        && let Some(recorded) = spec.view.recorded()
    {
        for batch in &batches {
            let Some(column) = batch.column_by_name(&recorded.timestamp) else {
                return internal_err!("the events lost their time");
            };
            let (scale, times) = time_values(column, &recorded.timestamp)?;
            let greatest = max(times.as_primitive::<Int64Type>()).map(|time| i128::from(time) * scale.steps());
            known_until = known_until.max(greatest);
        }
    }
    Ok(Events { table: FeatureTable::new(Arc::clone(&spec.view), batches)?, known_until, _memory: memory })
}

impl DisplayAs for LabelSetExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LabelSetExec: {}", self.spec)?;
        if matches!(format, DisplayFormatType::Verbose) {
            write!(f, ", spine=[{}]", displayable(self.spine.as_ref()).one_line().to_string().trim())?;
        }
        Ok(())
    }
}

impl ExecutionPlan for LabelSetExec {
    fn name(&self) -> &'static str {
        "LabelSetExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        // Not the spine: the optimizer would deal its rows out to partitions and lose their order.
        vec![&self.events]
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
        self.with_events(children)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_events(children)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("LabelSetExec has one partition");
        }
        let events = self.gathered(&context);
        let spine = self.spine.execute(0, Arc::clone(&context))?;
        let (spec, schema) = (Arc::clone(&self.spec), Arc::clone(&self.schema));
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let workers = context.session_config().target_partitions().max(1);
        // Batches are worked on side by side and come out in order.
        let labelled = spine
            .map_ok(move |batch| {
                let (spec, schema, events) = (Arc::clone(&spec), Arc::clone(&schema), events.clone());
                async move {
                    let events = events.await.map_err(DataFusionError::Shared)?;
                    on_worker(move || label(&batch, &spec, &events, &schema)).await
                }
            })
            .try_buffered(workers)
            .map_ok(move |batch| batch.record_output(&metrics));
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), labelled)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The spine's rows with their labels.
fn label(spine: &RecordBatch, spec: &Spec, events: &Events, schema: &SchemaRef) -> Result<RecordBatch> {
    let column = |index: usize| {
        spine.columns().get(index).map(Arc::clone).ok_or_else(|| exec_datafusion_err!("the spine lost a column"))
    };
    let keys = spec.keys.iter().map(|&index| column(index)).collect::<Result<Vec<_>>>()?;
    let known = Known::of(&spec.known_at)?;
    let ends = known.ends(&column(spec.time)?, spec.horizon)?;
    let found = events.table.lookup(&keys, &known.array(&ends)?)?;
    let (aggregates, availability) = if spec.has_availability {
        let own = found.values.len().saturating_sub(3);
        found.values.split_at_checked(own).unwrap_or_default()
    } else {
        (found.values.as_slice(), [].as_slice())
    };

    let availability = Availability::of(availability)?;
    let mut known_at = Vec::with_capacity(ends.len());
    let mut statuses = Vec::with_capacity(ends.len());
    for (row, (end, status)) in ends.into_iter().zip(&found.status).enumerate() {
        let (at, status) = match (status, end) {
            (Status::NullKey, _) => (None, "null_key"),
            (_, None) => (None, "null_time"),
            (_, Some(end)) => {
                let at = match &availability {
                    None => Some(i128::from(end) * known.unit),
                    Some(availability) => availability.known_at(row, i128::from(end) * known.unit),
                };
                let observed = at.zip(events.known_until).is_some_and(|(at, until)| at <= until);
                (at, if observed { "ok" } else { "censored" })
            }
        };
        known_at.push(at.map(|at| known.units(at)).transpose()?);
        statuses.push(status);
    }
    let hidden: BooleanArray = statuses.iter().map(|status| Some(*status != "ok")).collect();
    let fields = spec.view.feature_fields();
    let fields: Vec<_> = fields.into_iter().take(aggregates.len()).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(spine.num_rows()));
    let values = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), aggregates.to_vec(), &options)?;

    let mut columns: Vec<ArrayRef> = spine.columns().to_vec();
    for (_, label) in &spec.labels {
        let value = match label {
            Label::Aggregate(at) => values.columns().get(*at).map(Arc::clone),
            Label::Expression(sql) => {
                Some(expression::evaluate(&expression::compile(sql, values.schema_ref())?, &values)?)
            }
        };
        let Some(value) = value else { return internal_err!("the label set lost an aggregate") };
        columns.push(nullif(&value, &hidden)?);
    }
    columns.push(known.array(&known_at)?);
    columns.push(Arc::new(StringArray::from_iter_values(statuses)));
    // Rows in = rows out: a column of another length is refused here.
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// Times of the type of `label_known_at`.
struct Known<'a> {
    data_type: &'a DataType,
    /// Steps to a unit.
    unit: i128,
}

impl<'a> Known<'a> {
    fn of(data_type: &'a DataType) -> Result<Self> {
        let Some(scale) = Scale::of(data_type) else { return internal_err!("{KNOWN_AT} is not a time") };
        Ok(Self { data_type, unit: scale.steps() })
    }

    /// Each time plus the horizon, in units.
    fn ends(&self, times: &ArrayRef, horizon: i128) -> Result<Vec<Option<i64>>> {
        let (scale, times) = time_values(times, "timestamp")?;
        let times = times.as_primitive::<Int64Type>().iter();
        times.map(|time| time.map(|t| self.units(i128::from(t) * scale.steps() + horizon)).transpose()).collect()
    }

    fn units(&self, steps: i128) -> Result<i64> {
        match i64::try_from(steps.div_euclid(self.unit)) {
            Ok(units) if *self.data_type != DataType::Date32 || i32::try_from(units).is_ok() => Ok(units),
            _ => exec_err!(
                "a label is known at a time beyond what {} holds; cast the prediction time to a coarser unit, or leave \
                 out rows of such times",
                self.data_type
            ),
        }
    }

    fn array(&self, units: &[Option<i64>]) -> Result<ArrayRef> {
        let integers: ArrayRef = Arc::new(units.iter().copied().collect::<Int64Array>());
        Ok(match self.data_type {
            DataType::Date32 => cast(&cast(&integers, &DataType::Int32)?, &DataType::Date32)?,
            other => cast(&integers, other)?,
        })
    }
}

/// When the events of each row's horizon were known.
struct Availability {
    scale: Scale,
    latest: ArrayRef,
    known: ArrayRef,
    events: ArrayRef,
}

impl Availability {
    /// From the maximum of the availability, its count and the count of events; `None` without an availability.
    fn of(columns: &[ArrayRef]) -> Result<Option<Self>> {
        let [latest, known, events] = columns else { return Ok(None) };
        let (scale, latest) = time_values(latest, "available_at")?;
        Ok(Some(Self { scale, latest, known: Arc::clone(known), events: Arc::clone(events) }))
    }

    /// The later of the horizon's end and the events' availability, in steps; `None` where an event has none.
    fn known_at(&self, row: usize, end: i128) -> Option<i128> {
        let count = |counts: &ArrayRef| counts.as_primitive_opt::<Int64Type>().map_or(0, |counts| counts.value(row));
        if count(&self.known) < count(&self.events) {
            return None;
        }
        let latest = self.latest.as_primitive::<Int64Type>();
        let latest = latest.is_valid(row).then(|| i128::from(latest.value(row)) * self.scale.steps());
        Some(latest.map_or(end, |latest| latest.max(end)))
    }
}
