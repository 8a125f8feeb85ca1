//! Drift by exact tests of ranks as the optimizer sees it.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, DFSchemaRef, Result, plan_err};
use datafusion::logical_expr::{Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::prelude::Expr;
use serde::{Deserialize, Serialize};

use crate::validate::drift::ROW;
use crate::validate::report;

/// What is reported, and which columns come in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(super) report: report::Spec,
    /// The columns of the inputs after the first, as places among those with a profile.
    pub(super) columns: Vec<usize>,
}

impl Spec {
    /// The name of the column at a place among those with a profile.
    pub(super) fn name(&self, place: usize) -> &str {
        let mut profiled = self.report.features.iter().filter(|feature| feature.problem.is_none());
        profiled.nth(place).map_or("?", |feature| feature.name.as_str())
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.columns.iter().map(|place| self.name(*place)).collect();
        write!(f, "columns=[{}]", names.join(", "))
    }
}

/// The one column that comes out: rows of the report.
pub(super) fn row_field() -> Field {
    Field::new(ROW, DataType::Struct(report::fields()), true)
}

/// The rows of the report, with exact tests of ranks. The inputs are the profiles and, for each column in [`Spec::columns`],
/// the slices, the flag of the base and the value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ExactDrift {
    inputs: Vec<LogicalPlan>,
    spec: Arc<Spec>,
    schema: DFSchemaRef,
}

impl ExactDrift {
    pub(in crate::validate) fn new(
        inputs: Vec<LogicalPlan>,
        report: report::Spec,
        columns: Vec<usize>,
    ) -> Result<Self> {
        Self::with_spec(inputs, Arc::new(Spec { report, columns }))
    }

    pub(crate) fn with_spec(inputs: Vec<LogicalPlan>, spec: Arc<Spec>) -> Result<Self> {
        if inputs.len() != 1 + spec.columns.len() {
            return plan_err!(
                "ExactDrift takes profiles and {} columns, not {} inputs",
                spec.columns.len(),
                inputs.len()
            );
        }
        let schema = DFSchema::from_unqualified_fields([row_field()].into_iter().collect(), HashMap::new())?;
        Ok(Self { inputs, spec, schema: Arc::new(schema) })
    }

    pub(in crate::validate) fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    pub(crate) fn spec(&self) -> &Arc<Spec> {
        &self.spec
    }
}

impl Eq for ExactDrift {}

impl Hash for ExactDrift {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inputs.hash(state);
        self.spec.columns.hash(state);
    }
}

impl PartialOrd for ExactDrift {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.inputs.partial_cmp(&other.inputs).filter(|order| *order != Ordering::Equal || self == other)
    }
}

impl UserDefinedLogicalNodeCore for ExactDrift {
    fn name(&self) -> &'static str {
        "ExactDrift"
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
        write!(f, "ExactDrift: {}", self.spec)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        if !exprs.is_empty() {
            return plan_err!("ExactDrift has no expressions");
        }
        Self::with_spec(inputs, Arc::clone(&self.spec))
    }
}
