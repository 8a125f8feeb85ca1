//! The training set as the optimizer sees it.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::{DFSchemaRef, Result, ScalarValue, internal_err};
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::prelude::Expr;
use skewless_udf::view::FeatureView;

/// One view of a training set.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Joined {
    /// The view with only the features asked for.
    pub(super) view: Arc<FeatureView>,
    /// The prefix of its columns: its name or an alias.
    pub(super) prefix: String,
    /// For a recorded view, the input plan that holds its source, and the spine's columns that are its key.
    pub(super) source: Option<usize>,
    pub(super) keys: Vec<usize>,
}

/// What is joined with what.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spec {
    /// The spine's column that holds the as-of time.
    pub(super) time: usize,
    pub(super) views: Vec<Joined>,
    pub(super) status: bool,
    pub(super) witness: bool,
    pub(super) known_at: Option<ScalarValue>,
}

/// The spine's rows, each with its features. The first input is the spine, the others are the views' sources.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TrainingSet {
    pub(super) inputs: Vec<LogicalPlan>,
    pub(super) spec: Arc<Spec>,
    pub(super) schema: DFSchemaRef,
}

impl Eq for TrainingSet {}

impl Hash for TrainingSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inputs.hash(state);
        self.schema.hash(state);
        for joined in &self.spec.views {
            joined.prefix.hash(state);
        }
    }
}

impl PartialOrd for TrainingSet {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.inputs.partial_cmp(&other.inputs).filter(|order| *order != Ordering::Equal || self == other)
    }
}

impl UserDefinedLogicalNodeCore for TrainingSet {
    fn name(&self) -> &'static str {
        "TrainingSet"
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
        write!(f, "TrainingSet: {}", self.spec)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        if !exprs.is_empty() || inputs.len() != self.inputs.len() {
            return internal_err!("TrainingSet was rebuilt with other inputs");
        }
        Ok(Self { inputs, spec: Arc::clone(&self.spec), schema: Arc::clone(&self.schema) })
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let views: Vec<String> = self
            .views
            .iter()
            .map(|joined| {
                let features: Vec<String> =
                    joined.view.feature_fields().iter().map(|field| field.name().clone()).collect();
                format!("{}({})", joined.prefix, features.join(", "))
            })
            .collect();
        write!(f, "views=[{}]", views.join(", "))?;
        match &self.known_at {
            Some(cutoff) => write!(f, ", known_at={cutoff}"),
            None => Ok(()),
        }
    }
}
