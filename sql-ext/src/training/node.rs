//! The training set as the optimizer sees it.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, DFSchemaRef, Result, ScalarValue, internal_err};
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::prelude::Expr;
use skewless_udf::view::FeatureView;

/// One view of a training set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Joined {
    /// The view with only the features asked for.
    pub(super) view: Arc<FeatureView>,
    /// The prefix of its columns: its name or an alias.
    pub(super) prefix: String,
    /// The spine's columns that are the key of a recorded view.
    pub(super) keys: Vec<usize>,
    /// Whether there is a column that says why the features are what they are.
    pub(super) status: bool,
    /// Whether there are columns with the times of the row that counts.
    pub(super) witness: bool,
}

/// What is joined with what.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spec {
    /// The spine's column that holds the as-of time.
    pub(super) time: usize,
    pub(super) views: Vec<Joined>,
    pub(super) known_at: Option<ScalarValue>,
}

/// The spine's rows, each with its features.
///
/// The first input is the spine, the others are the sources of the recorded views in the order of the views.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TrainingSet {
    inputs: Vec<LogicalPlan>,
    spec: Arc<Spec>,
    schema: DFSchemaRef,
}

impl Joined {
    /// Whether the view's rows are an input; a view on demand is computed from the columns before it.
    pub(super) fn is_recorded(&self) -> bool {
        self.view.recorded().is_some()
    }

    /// The columns of its features by their full names.
    pub(super) fn feature_fields(&self) -> impl Iterator<Item = FieldRef> {
        self.view.feature_fields().into_iter().map(|field| {
            let name = format!("{}__{}", self.prefix, field.name());
            Arc::new(field.with_name(name))
        })
    }

    pub(super) fn status_field(&self) -> Option<FieldRef> {
        self.status.then(|| Arc::new(Field::new(format!("{}__status", self.prefix), DataType::Utf8, false)))
    }

    /// The winner's times, of the types that the view's own columns have.
    pub(super) fn witness_fields(&self) -> Vec<FieldRef> {
        let Some(recorded) = self.view.recorded().filter(|_| self.witness) else { return Vec::new() };
        let available = recorded.available_at.as_ref().unwrap_or(&recorded.timestamp);
        [("event_time", &recorded.timestamp), ("available_at", available)]
            .into_iter()
            .filter_map(|(what, name)| {
                let column = recorded.column(name)?;
                Some(Arc::new(column.field().with_name(format!("{}__{what}", self.prefix))))
            })
            .collect()
    }
}

impl Spec {
    /// The recorded views, in the order of their sources.
    pub(super) fn recorded(&self) -> impl Iterator<Item = &Joined> {
        self.views.iter().filter(|joined| joined.is_recorded())
    }

    /// The columns of the training set: the spine's, then all features, then statuses, then witnesses.
    pub(super) fn fields(&self, spine: &[FieldRef]) -> Vec<FieldRef> {
        let features = self.views.iter().flat_map(Joined::feature_fields);
        let statuses = self.views.iter().filter_map(Joined::status_field);
        let witnesses = self.views.iter().flat_map(Joined::witness_fields);
        spine.iter().map(Arc::clone).chain(features).chain(statuses).chain(witnesses).collect()
    }

    /// The same with only the features, statuses and witnesses among `names`, the features that views on demand read
    /// for them, and no view that has nothing left. The second part lists, for each recorded view, whether it is left.
    pub(super) fn narrow(&self, names: &BTreeSet<String>) -> Result<(Self, Vec<bool>)> {
        let mut needed = names.clone();
        let mut views = Vec::new();
        let mut left = Vec::new();
        // A view on demand reads what is before it.
        for joined in self.views.iter().rev() {
            let prefix = format!("{}__", joined.prefix);
            let features: Vec<String> = joined
                .feature_fields()
                .filter(|field| needed.contains(field.name()))
                .filter_map(|field| field.name().strip_prefix(&prefix).map(str::to_owned))
                .collect();
            let mut narrow = joined.clone();
            narrow.status = joined.status_field().is_some_and(|field| needed.contains(field.name()));
            narrow.witness = joined.witness_fields().iter().any(|field| needed.contains(field.name()));
            let empty = features.is_empty() && !narrow.status && !narrow.witness;
            if joined.is_recorded() {
                left.push(!empty);
            }
            if empty {
                continue;
            }
            if features.len() < joined.view.feature_fields().len() {
                narrow.view = Arc::new(joined.view.select(&features)?);
            }
            needed.extend(narrow.view.input_fields().iter().map(|field| field.name().clone()));
            views.push(narrow);
        }
        views.reverse();
        left.reverse();
        Ok((Self { time: self.time, views, known_at: self.known_at.clone() }, left))
    }

    /// The spine's columns that the views themselves need: times, keys and inputs of views on demand.
    pub(super) fn spine_columns(&self, spine: &DFSchema) -> BTreeSet<usize> {
        let keys = self.views.iter().flat_map(|joined| joined.keys.iter().copied());
        let inputs = self.views.iter().flat_map(|joined| joined.view.input_fields());
        let inputs = inputs.filter_map(|input| spine.fields().iter().position(|field| field.name() == input.name()));
        let time = (!self.views.is_empty()).then_some(self.time);
        time.into_iter().chain(keys).chain(inputs).collect()
    }

    /// The same over a spine that has only these of its columns; `None` if one that is needed is not among them.
    pub(super) fn with_spine_columns(&self, columns: &BTreeSet<usize>) -> Option<Self> {
        let place = |column: &usize| columns.iter().position(|kept| kept == column);
        let mut spec = self.clone();
        // Without views the time is not read.
        spec.time = if self.views.is_empty() { 0 } else { place(&self.time)? };
        for joined in &mut spec.views {
            joined.keys = joined.keys.iter().map(place).collect::<Option<_>>()?;
        }
        Some(spec)
    }
}

impl TrainingSet {
    pub(crate) fn new(inputs: Vec<LogicalPlan>, spec: Arc<Spec>) -> Result<Self> {
        let Some(spine) = inputs.first().filter(|_| inputs.len() == 1 + spec.recorded().count()) else {
            return internal_err!("TrainingSet takes a spine and a source for each recorded view");
        };
        let fields = spec.fields(spine.schema().fields());
        let schema = DFSchema::from_unqualified_fields(fields.into(), HashMap::new())?;
        Ok(Self { inputs, spec, schema: Arc::new(schema) })
    }

    pub(crate) fn spec(&self) -> &Arc<Spec> {
        &self.spec
    }

    /// The rows that get features; its columns come first in the training set.
    pub(crate) fn spine(&self) -> Option<&LogicalPlan> {
        self.inputs.first()
    }

    /// Where the rows of the recorded views come from.
    pub(super) fn sources(&self) -> &[LogicalPlan] {
        self.inputs.get(1..).unwrap_or_default()
    }

    /// The same over another spine with the same columns.
    pub(crate) fn with_spine(&self, spine: LogicalPlan) -> Result<Self> {
        let sources = self.sources().iter().cloned();
        Self::new(std::iter::once(spine).chain(sources).collect(), Arc::clone(&self.spec))
    }
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
        let same_spine = |spine: &LogicalPlan| {
            self.spine().is_some_and(|own| own.schema().fields().len() == spine.schema().fields().len())
        };
        if !exprs.is_empty() || !inputs.first().is_some_and(same_spine) {
            return internal_err!("TrainingSet was rebuilt with other inputs");
        }
        Self::new(inputs, Arc::clone(&self.spec))
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let views: Vec<String> = self
            .views
            .iter()
            .map(|joined| {
                let features = joined.view.feature_fields().into_iter().map(|field| field.name().clone());
                let status = joined.status.then(|| "status".to_owned());
                let witness = joined.witness.then(|| "witness".to_owned());
                let columns: Vec<String> = features.chain(status).chain(witness).collect();
                format!("{}({})", joined.prefix, columns.join(", "))
            })
            .collect();
        write!(f, "views=[{}]", views.join(", "))?;
        match &self.known_at {
            Some(cutoff) => write!(f, ", known_at={cutoff}"),
            None => Ok(()),
        }
    }
}
