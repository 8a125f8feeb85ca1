//! The label set as the optimizer sees it.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::prelude::Expr;
use skewless_udf::view::FeatureView;

/// One label, over the aggregates of the view.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Label {
    /// The aggregate at this place.
    Aggregate(usize),
    /// A canonical expression over the aggregates.
    Expression(String),
}

/// What is computed for each row of the spine.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spec {
    /// The spine's column that holds the time.
    pub(super) time: usize,
    /// The spine's columns that are the events' key.
    pub(super) keys: Vec<usize>,
    /// The events, with each aggregate as a window as of the end of the horizon. Where the events have an availability,
    /// three aggregates of it follow: its maximum, how many events have one, and how many events there are.
    pub(super) view: Arc<FeatureView>,
    pub(super) labels: Vec<(String, Label)>,
    pub(super) has_availability: bool,
    /// From the time to the end of the horizon, in the steps of [`Scale::steps`](skewless_udf::view::Scale::steps).
    pub(super) horizon: i128,
    /// Until when the events were observed, in steps; `None` for the greatest event time.
    pub(super) known_until: Option<i128>,
    /// The type of `label_known_at`: fine enough for the time, the horizon and the availability.
    pub(super) known_at: DataType,
}

/// The spine's rows, each with its labels. The inputs are the spine and the events.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LabelSet {
    pub(super) inputs: Vec<LogicalPlan>,
    pub(super) spec: Arc<Spec>,
    pub(super) schema: DFSchemaRef,
}

impl Eq for LabelSet {}

impl Hash for LabelSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inputs.hash(state);
        self.schema.hash(state);
        self.spec.horizon.hash(state);
    }
}

impl PartialOrd for LabelSet {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.inputs.partial_cmp(&other.inputs).filter(|order| *order != Ordering::Equal || self == other)
    }
}

impl UserDefinedLogicalNodeCore for LabelSet {
    fn name(&self) -> &'static str {
        "LabelSet"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        self.inputs.iter().collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LabelSet: {}", self.spec)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        if !exprs.is_empty() || inputs.len() != self.inputs.len() {
            return internal_err!("LabelSet was rebuilt with other inputs");
        }
        Ok(Self { inputs, spec: Arc::clone(&self.spec), schema: Arc::clone(&self.schema) })
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.labels.iter().map(|(name, _)| name.as_str()).collect();
        write!(f, "labels=[{}]", names.join(", "))
    }
}
