//! The audit as the optimizer sees it.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::{DFSchemaRef, Result, ScalarValue, internal_err};
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::prelude::Expr;
use skewless_udf::view::FeatureView;

/// One view and the columns of the table that claim to hold its features.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Audited {
    /// The view with only the features that are checked.
    pub(super) view: Arc<FeatureView>,
    /// For a recorded view, the input plan that holds its source.
    pub(super) source: Option<usize>,
    /// The table's columns that are the view's key, or the inputs of a view on demand.
    pub(super) inputs: Vec<usize>,
    /// The table's column of each feature.
    pub(super) columns: Vec<usize>,
}

/// What is checked against what.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spec {
    /// The table's column that holds the as-of time.
    pub(super) time: usize,
    pub(super) views: Vec<Audited>,
    /// The table's columns that hold the label and its time.
    pub(super) label: Option<usize>,
    pub(super) label_time: Option<usize>,
    /// How many examples a group shows.
    pub(super) examples: usize,
    pub(super) tolerance: f64,
    pub(super) known_at: Option<ScalarValue>,
}

/// The cells of a table, counted by why they hold what they hold. The first input is the table, the others are the
/// views' sources.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LeakageAudit {
    pub(super) inputs: Vec<LogicalPlan>,
    pub(super) spec: Arc<Spec>,
    pub(super) schema: DFSchemaRef,
}

impl Eq for LeakageAudit {}

impl Hash for LeakageAudit {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inputs.hash(state);
        self.spec.time.hash(state);
        for audited in &self.spec.views {
            audited.view.name.hash(state);
            audited.columns.hash(state);
        }
    }
}

impl PartialOrd for LeakageAudit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.inputs.partial_cmp(&other.inputs).filter(|order| *order != Ordering::Equal || self == other)
    }
}

impl UserDefinedLogicalNodeCore for LeakageAudit {
    fn name(&self) -> &'static str {
        "LeakageAudit"
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
        write!(f, "LeakageAudit: {}", self.spec)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        if !exprs.is_empty() || inputs.len() != self.inputs.len() {
            return internal_err!("LeakageAudit was rebuilt with other inputs");
        }
        Ok(Self { inputs, spec: Arc::clone(&self.spec), schema: Arc::clone(&self.schema) })
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let views: Vec<String> = self
            .views
            .iter()
            .map(|audited| {
                let features: Vec<String> =
                    audited.view.feature_fields().iter().map(|field| field.name().clone()).collect();
                format!("{}({})", audited.view.name, features.join(", "))
            })
            .collect();
        write!(f, "views=[{}]", views.join(", "))?;
        match &self.known_at {
            Some(cutoff) => write!(f, ", known_at={cutoff}"),
            None => Ok(()),
        }
    }
}
