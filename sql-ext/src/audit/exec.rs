//! The audit as it runs: the views' rows are gathered once, batches of the table are checked side by side, and what
//! was counted is merged into one report.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, RecordBatchOptions, StringArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_datafusion_err, internal_err, plan_err};
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
    SendableRecordBatchStream, execute_stream,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::TryStreamExt;
use skewless_udf::view::{FeatureTable, History, entity_key};

use super::compare::{Comparable, Comparer, common};
use super::node::{Audited, LeakageAudit, Spec};
use super::plan::{example_field, example_fields};
use super::tally::{Example, Group, Reason, Tally};
use super::trace::{Cell, Label, Traced};
use crate::execution::{collect_within, on_worker};

/// Plans [`LeakageAudit`].
pub(super) struct LeakageAuditPlanner;

#[async_trait]
impl ExtensionPlanner for LeakageAuditPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(audit) = node.as_any().downcast_ref::<LeakageAudit>() else { return Ok(None) };
        if physical_inputs.iter().any(|input| input.boundedness().is_unbounded()) {
            return plan_err!("ml_check_leakage reads its table and its views to the end, and one of them has no end");
        }
        let schema = Arc::new(UserDefinedLogicalNode::schema(audit).as_arrow().clone());
        Ok(Some(Arc::new(LeakageAuditExec::new(physical_inputs.to_vec(), Arc::clone(&audit.spec), schema))))
    }
}

/// The operator: one output partition with the report. The first input is the table.
struct LeakageAuditExec {
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    spec: Arc<Spec>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl fmt::Debug for LeakageAuditExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeakageAuditExec").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl LeakageAuditExec {
    fn new(inputs: Vec<Arc<dyn ExecutionPlan>>, spec: Arc<Spec>, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { inputs, spec, schema, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }

    fn with_inputs(&self, inputs: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if inputs.len() != self.inputs.len() {
            return internal_err!("LeakageAuditExec was rebuilt with other inputs");
        }
        Ok(Arc::new(Self::new(inputs, Arc::clone(&self.spec), Arc::clone(&self.schema))))
    }
}

impl DisplayAs for LeakageAuditExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeakageAuditExec: {}", self.spec)
    }
}

impl ExecutionPlan for LeakageAuditExec {
    fn name(&self) -> &'static str {
        "LeakageAuditExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.inputs.len()]
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

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_inputs(children)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_inputs(children)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("LeakageAuditExec has one partition");
        }
        let (inputs, spec, schema) = (self.inputs.clone(), Arc::clone(&self.spec), Arc::clone(&self.schema));
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let report = async move {
            let report = audit(&inputs, &spec, &schema, &context).await?;
            Ok(report.record_output(&metrics))
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::once(report))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

async fn audit(
    inputs: &[Arc<dyn ExecutionPlan>],
    spec: &Arc<Spec>,
    schema: &SchemaRef,
    context: &Arc<TaskContext>,
) -> Result<RecordBatch> {
    let Some(data) = inputs.first() else { return internal_err!("LeakageAuditExec has a table") };
    let data = (Arc::clone(data), data.schema());
    let mut views = Vec::with_capacity(spec.views.len());
    for audited in &spec.views {
        views.push(gather(audited, inputs, spec, &data.1, context).await?);
    }
    let views = Arc::new(views);
    let workers = context.session_config().target_partitions().max(1);
    let empty = Tally::new(spec.views.iter().map(|audited| audited.columns.len()).sum());
    let tally = execute_stream(data.0, Arc::clone(context))?
        .map_ok(|batch| {
            let (spec, views) = (Arc::clone(spec), Arc::clone(&views));
            on_worker(move || check(&batch, &spec, &views))
        })
        .try_buffer_unordered(workers)
        .try_fold(empty, |mut all, part| async move {
            all.merge(part, spec.examples);
            Ok(all)
        })
        .await?;
    report(&tally, spec, &data.1, schema)
}

/// A view and how its columns are compared.
struct Checked {
    /// `None` for a view on demand.
    traced: Option<Traced>,
    columns: Vec<Comparers>,
    _memory: Option<MemoryReservation>,
}

/// What is kept of a view's rows, in times of them: all of them and those known at the cutoff, each with an index, and
/// what was not known in time.
const ROWS: usize = 4;

struct Comparers {
    cell: Comparer,
    /// With the label; `None` where there is none, or none of its values equals one of the feature.
    label: Option<Comparer>,
}

async fn gather(
    audited: &Audited,
    inputs: &[Arc<dyn ExecutionPlan>],
    spec: &Arc<Spec>,
    data: &SchemaRef,
    context: &Arc<TaskContext>,
) -> Result<Checked> {
    let label = spec.label.and_then(|label| data.fields().get(label)).map(|field| field.data_type());
    let mut columns = Vec::with_capacity(audited.columns.len());
    for (feature, &column) in audited.view.feature_fields().iter().zip(&audited.columns) {
        let found = data.fields().get(column).map(|field| field.data_type());
        let Some(data_type) = found.and_then(|found| common(found, feature.data_type())) else {
            return internal_err!("a column of ml_check_leakage changed its type");
        };
        let label = label.and_then(|label| common(label, &data_type));
        columns.push(Comparers {
            cell: Comparer::new(data_type, spec.tolerance)?,
            label: label.map(|data_type| Comparer::new(data_type, spec.tolerance)).transpose()?,
        });
    }
    let Some(source) = audited.source else { return Ok(Checked { traced: None, columns, _memory: None }) };
    let Some(source) = inputs.get(source) else { return internal_err!("ml_check_leakage lost the source of a view") };
    let what = format!("the rows of the feature view `{}`", audited.view.name);
    let (batches, memory) = collect_within(Arc::clone(source), context, &what, ROWS).await?;
    let (view, known_at) = (Arc::clone(&audited.view), spec.known_at.clone());
    let traced = on_worker(move || {
        let pushable = view.recorded().is_some_and(|recorded| recorded.push.is_some());
        let rows = if pushable {
            batches.iter().map(|batch| view.rows_from_source(batch)).collect::<Result<Vec<_>>>()?
        } else {
            batches
        };
        let all = FeatureTable::new(Arc::clone(&view), rows.clone())?;
        let history = History::new(&all, known_at.as_ref())?;
        let table = match &known_at {
            None => all,
            Some(cutoff) => FeatureTable::known_at(Arc::clone(&view), rows, cutoff)?,
        };
        Traced::new(&view, table, history)
    })
    .await?;
    Ok(Checked { traced: Some(traced), columns, _memory: Some(memory) })
}

/// Counts the cells of a batch.
fn check(batch: &RecordBatch, spec: &Spec, views: &[Checked]) -> Result<Tally> {
    let mut tally = Tally::new(spec.views.iter().map(|audited| audited.columns.len()).sum());
    let table = Table::new(batch, spec)?;
    let mut first = 0;
    for (audited, checked) in spec.views.iter().zip(views) {
        match &checked.traced {
            Some(traced) => check_recorded(&table, audited, checked, traced, spec, first, &mut tally)?,
            None => check_on_demand(&table, audited, checked, spec, first, &mut tally)?,
        }
        first += audited.columns.len();
    }
    Ok(tally)
}

/// A batch of the table.
struct Table<'a> {
    batch: &'a RecordBatch,
    times: ArrayRef,
    instants: Vec<Option<i128>>,
    label: Option<ArrayRef>,
    label_instants: Option<Vec<Option<i128>>>,
}

impl<'a> Table<'a> {
    fn new(batch: &'a RecordBatch, spec: &Spec) -> Result<Self> {
        let times = column(batch, spec.time)?;
        let label_times = spec.label_time.map(|index| column(batch, index)).transpose()?;
        Ok(Self {
            instants: History::instants(&times)?,
            times,
            label: spec.label.map(|index| column(batch, index)).transpose()?,
            label_instants: label_times.map(|times| History::instants(&times)).transpose()?,
            batch,
        })
    }

    fn t(&self, row: usize) -> Option<i128> {
        self.instants.get(row).copied().flatten()
    }

    /// What the cell has to do with the label.
    fn label(&self, compared: Option<&(&Comparer, Comparable, Comparable)>, row: usize) -> Label {
        let Some((by, found, label)) = compared else { return Label::Other };
        if found.is_null(row) || !by.equal(found, row, label, row) {
            return Label::Other;
        }
        let time = self.label_instants.as_ref().and_then(|times| times.get(row).copied().flatten());
        time.map_or(Label::Equal, Label::At)
    }
}

fn column(batch: &RecordBatch, index: usize) -> Result<ArrayRef> {
    batch.columns().get(index).map(Arc::clone).ok_or_else(|| exec_datafusion_err!("the table lost a column"))
}

fn check_recorded(
    table: &Table<'_>,
    audited: &Audited,
    checked: &Checked,
    traced: &Traced,
    spec: &Spec,
    first: usize,
    tally: &mut Tally,
) -> Result<()> {
    let keys = audited.inputs.iter().map(|&index| column(table.batch, index)).collect::<Result<Vec<_>>>()?;
    let lookup = traced.table.lookup(&keys, &table.times)?;
    let own_keys = traced.history.keys(&keys)?;
    for (feature, (&index, comparers)) in audited.columns.iter().zip(&checked.columns).enumerate() {
        let found_array = column(table.batch, index)?;
        let Some(expected_array) = lookup.values.get(feature) else { return internal_err!("a look-up lost a feature") };
        let found = comparers.cell.prepare(&found_array)?;
        let expected = comparers.cell.prepare(expected_array)?;
        let label = match (&comparers.label, &table.label) {
            (Some(comparer), Some(label)) => {
                Some((comparer, comparer.prepare(&found_array)?, comparer.prepare(label)?))
            }
            _ => None,
        };
        for row in 0..table.batch.num_rows() {
            let label = table.label(label.as_ref(), row);
            let entity = || traced.history.entity(&own_keys, row);
            let (reason, origin) = if comparers.cell.equal(&found, row, &expected, row) {
                match (&label, table.t(row)) {
                    (Label::At(_), Some(t)) if traced.is_label(feature, &entity(), t, &label) => {
                        (Reason::LabelSource, traced.history.winner(&entity(), t))
                    }
                    _ => (Reason::Ok, None),
                }
            } else if found.is_null(row) {
                (Reason::Missing, table.t(row).and_then(|t| traced.history.winner(&entity(), t)))
            } else if let Some(t) = table.t(row) {
                let cell = Cell { feature, comparer: &comparers.cell, found: &found, row, entity: entity(), t };
                traced.explain(&cell, &label)?
            } else {
                (Reason::Unexplained, None)
            };
            let Some(group) = tally.group(first + feature, reason) else { return internal_err!("a column got lost") };
            group.cells += 1;
            if reason == Reason::Ok || !group.wants(table.t(row), spec.examples) {
                continue;
            }
            let (event_time, available_at) = match origin {
                Some(position) => traced.history.times_text(position)?,
                None => (None, None),
            };
            let example = Example {
                t: table.t(row),
                key: entity_key(&own_keys, row),
                as_of: text(&table.times, row)?,
                found: text(&found_array, row)?,
                expected: text(expected_array, row)?,
                event_time,
                available_at,
            };
            group.keep(example, spec.examples);
        }
    }
    Ok(())
}

fn check_on_demand(
    table: &Table<'_>,
    audited: &Audited,
    checked: &Checked,
    spec: &Spec,
    first: usize,
    tally: &mut Tally,
) -> Result<()> {
    let fields = audited.view.input_fields();
    let columns = audited.inputs.iter().map(|&index| column(table.batch, index)).collect::<Result<Vec<_>>>()?;
    let typed: Vec<_> = fields
        .into_iter()
        .zip(&columns)
        .map(|(field, column)| field.with_data_type(column.data_type().clone()).with_nullable(true))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(table.batch.num_rows()));
    let inputs = RecordBatch::try_new_with_options(Arc::new(Schema::new(typed)), columns, &options)?;
    let values = audited.view.evaluate(&inputs)?;
    for (feature, (&index, comparers)) in audited.columns.iter().zip(&checked.columns).enumerate() {
        let (found_array, expected_array) = (column(table.batch, index)?, column(&values, feature)?);
        let (found, expected) = (comparers.cell.prepare(&found_array)?, comparers.cell.prepare(&expected_array)?);
        for row in 0..table.batch.num_rows() {
            let reason = if comparers.cell.equal(&found, row, &expected, row) {
                Reason::Ok
            } else if found.is_null(row) {
                Reason::Missing
            } else {
                Reason::Unexplained
            };
            let Some(group) = tally.group(first + feature, reason) else { return internal_err!("a column got lost") };
            group.cells += 1;
            if reason == Reason::Ok || !group.wants(table.t(row), spec.examples) {
                continue;
            }
            let example = Example {
                t: table.t(row),
                key: None,
                as_of: text(&table.times, row)?,
                found: text(&found_array, row)?,
                expected: text(&expected_array, row)?,
                event_time: None,
                available_at: None,
            };
            group.keep(example, spec.examples);
        }
    }
    Ok(())
}

/// A value as text; `None` for NULL.
fn text(array: &ArrayRef, row: usize) -> Result<Option<String>> {
    if array.is_null(row) {
        return Ok(None);
    }
    let one = array.slice(row, 1);
    Ok(Some(ArrayFormatter::try_new(one.as_ref(), &FormatOptions::default())?.value(0).try_to_string()?))
}

/// One row for each column and reason that has cells.
fn report(tally: &Tally, spec: &Spec, data: &SchemaRef, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = spec.views.iter().flat_map(|audited| {
        let fields = audited.view.feature_fields();
        audited.columns.iter().zip(fields).map(move |(&column, field)| (audited, field, column))
    });
    let mut names: [Vec<String>; 3] = Default::default();
    let (mut reasons, mut cells, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    let (mut examples, mut lengths) = (Vec::new(), Vec::new());
    for (groups, (audited, feature, column)) in tally.columns().zip(columns) {
        let all: u64 = groups.iter().map(|group| group.cells).sum();
        for (reason, group) in Reason::ALL.iter().zip(groups).filter(|(_, group)| group.cells > 0) {
            let Group { cells: count, .. } = group;
            let found = data.fields().get(column).map(|field| field.name().clone()).unwrap_or_default();
            for (list, name) in names.iter_mut().zip([audited.view.name.clone(), feature.name().clone(), found]) {
                list.push(name);
            }
            reasons.push(reason.as_str());
            cells.push(i64::try_from(*count).unwrap_or(i64::MAX));
            shares.push(*count as f64 / all as f64);
            let shown = group.examples();
            lengths.push(shown.len());
            examples.extend(shown);
        }
    }
    let texts = |of: fn(&Example) -> &Option<String>| -> ArrayRef {
        Arc::new(examples.iter().map(|example| of(example).as_deref()).collect::<StringArray>())
    };
    let parts = vec![
        texts(|example| &example.key),
        texts(|example| &example.as_of),
        texts(|example| &example.found),
        texts(|example| &example.expected),
        texts(|example| &example.event_time),
        texts(|example| &example.available_at),
    ];
    let items = StructArray::try_new_with_length(example_fields(), parts, None, examples.len())?;
    let lists =
        ListArray::try_new(Arc::new(example_field()), OffsetBuffer::from_lengths(lengths), Arc::new(items), None)?;
    let [views, features, found] = names;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(views)),
        Arc::new(StringArray::from(features)),
        Arc::new(StringArray::from(found)),
        Arc::new(StringArray::from(reasons)),
        Arc::new(Int64Array::from(cells)),
        Arc::new(Float64Array::from(shares)),
        Arc::new(lists),
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
