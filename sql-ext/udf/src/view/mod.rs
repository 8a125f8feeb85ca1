//! Feature views: what they are, how they are stored, and the point-in-time look-up of their rows.
//!
//! A [`FeatureView`] is plain data, stored as JSON in the registry and in the online store. [`FeatureTable`] indexes
//! rows of one view and answers as-of look-ups; the SQL operator and the online component call the same code.

pub mod chunk;
mod codec;
mod columns;
mod divide;
mod history;
mod kernel;
mod key;
mod table;
mod time;
mod types;
mod window;

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, ByteView, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::{DataFusionError, Result, plan_err};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::utils::collect_columns;
use serde::{Deserialize, Serialize};
use skewless_catalog::suggest::did_you_mean;

pub use history::{History, LATER_EVENTS, Standing};
pub use key::{compatible as compatible_keys, conform as conform_keys, entity_key};
pub use skewless_catalog::pit::Status;
pub use table::{FeatureTable, Lookup};
pub use time::{Scale, Span, is_time, time_name, times_compatible, values as time_values};
pub use types::ColumnType;

use crate::contract::{Breach, CompiledContract, RowContract};
use crate::expression;

/// The version of the JSON form.
pub const VERSION: u32 = 1;

/// A feature view: a name and how its features come about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureView {
    /// Version of this form; [`VERSION`].
    pub version: u32,
    /// Its name, folded as SQL folds identifiers.
    pub name: String,
    /// The statement that made it.
    pub definition: String,
    /// Recorded in rows, or computed on demand.
    pub kind: Kind,
    /// What is asked of the rows that requests bring: rows of the source, or inputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contracts: Vec<RowContract>,
    #[serde(skip)]
    compiled: Compiled,
}

/// How a view's features come about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "a session holds a few views, each behind an Arc")]
pub enum Kind {
    /// From rows that were recorded, looked up as of a time.
    Recorded(Recorded),
    /// From the columns of the spine or the request.
    OnDemand(OnDemand),
}

/// A view over recorded rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Columns of the rows that are the entity's key, in ENTITY order; none for a view of one entity.
    pub entity: Vec<String>,
    /// The column that holds the event time.
    pub timestamp: String,
    /// The column that holds the time from which a row is known; without it, a row is known at its event time.
    pub available_at: Option<String>,
    /// How old the row that counts may be, inclusive. Does not apply to windows.
    pub ttl: Option<Span>,
    /// Columns that decide between rows of equal event and availability: the greater wins.
    pub tie_break: Vec<String>,
    /// Every column of the stored rows, in order: keys, times, tie-breaks, plain features and window arguments.
    pub rows: Vec<ColumnType>,
    /// The features, in the order of the SELECT list.
    pub features: Vec<Feature>,
    /// How rows come from the source's columns; `None` where the body has joins, grouping or the like.
    pub push: Option<Push>,
    /// Why rows cannot be pushed online, where they cannot.
    pub materialize_only: Option<String>,
}

/// One feature of a recorded view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// The type of its value.
    pub data_type: types::TypeName,
    /// A column of the row that counts, or an aggregate over a window.
    pub value: FeatureValue,
}

/// Where a feature's value comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureValue {
    /// The value that this column of the rows has in the row that counts.
    Plain {
        /// A column of the rows.
        column: String,
    },
    /// One accumulator fed the window's rows in (event, available, tie) order.
    Window(Window),
}

/// A window aggregate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// The aggregate's name in the function table.
    pub function: String,
    /// Canonical expressions over the rows' columns.
    pub args: Vec<String>,
    /// `agg(DISTINCT …)`.
    pub distinct: bool,
    /// `IGNORE NULLS`.
    pub ignore_nulls: bool,
    /// Canonical condition over the rows' columns: only these rows are fed.
    pub filter: Option<String>,
    /// How far the window reaches back from the as-of time, inclusive.
    pub range: Span,
}

/// How the rows of a view come from its source's columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Push {
    /// The columns of the source that the view reads.
    pub source: Vec<ColumnType>,
    /// Canonical condition: only these rows are recorded.
    pub filter: Option<String>,
    /// One canonical expression for each column of the rows, in their order.
    pub columns: Vec<String>,
}

/// A view computed from the columns of the spine or the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnDemand {
    /// Its inputs: columns of the spine or the request, or features of earlier views by their full name.
    pub inputs: Vec<ColumnType>,
    /// Its features.
    pub features: Vec<OnDemandFeature>,
}

/// One feature of an on-demand view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnDemandFeature {
    /// Its name.
    pub name: String,
    /// The type of its value.
    pub data_type: types::TypeName,
    /// Canonical expression over the inputs.
    pub expression: String,
}

/// Compiled expressions of a view, made at first use; not part of its value.
#[derive(Clone, Default)]
struct Compiled(OnceLock<Arc<CompiledView>>);

struct CompiledView {
    filter: Option<Arc<dyn PhysicalExpr>>,
    columns: Vec<Arc<dyn PhysicalExpr>>,
    contracts: Vec<CompiledContract>,
    input: SchemaRef,
    output: SchemaRef,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compiled")
    }
}

impl PartialEq for Compiled {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl FeatureView {
    /// A view of this name, made by this statement.
    pub fn new(name: impl Into<String>, definition: impl Into<String>, kind: Kind) -> Self {
        let (name, definition) = (name.into(), definition.into());
        Self { version: VERSION, name, definition, kind, contracts: Vec::new(), compiled: Compiled::default() }
    }

    /// The same view with these contracts on its requests.
    #[must_use]
    pub fn with_contracts(&self, contracts: Vec<RowContract>) -> Self {
        Self { contracts, ..Self::new(self.name.clone(), self.definition.clone(), self.kind.clone()) }
    }

    /// Reads the JSON form; a version that this build does not know is an error.
    pub fn from_json(json: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let invalid = |e: serde_json::Error| DataFusionError::Plan(format!("this is not a stored feature view: {e}"));
        let Version { version } = serde_json::from_str(json).map_err(invalid)?;
        if version != VERSION {
            return plan_err!(
                "the feature view is stored in version {version} and this build reads version {VERSION}; \
                 materialize it again with one build for both"
            );
        }
        serde_json::from_str(json).map_err(invalid)
    }

    /// The JSON form.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|e| DataFusionError::External(Box::new(e)))
    }

    /// The recorded form, if it is one.
    pub fn recorded(&self) -> Option<&Recorded> {
        match &self.kind {
            Kind::Recorded(recorded) => Some(recorded),
            Kind::OnDemand(_) => None,
        }
    }

    /// The recorded form, or the error that the view has no rows.
    fn to_recorded(&self) -> Result<&Recorded> {
        let Some(recorded) = self.recorded() else {
            return plan_err!("the feature view `{}` is ON DEMAND and has no rows", self.name);
        };
        Ok(recorded)
    }

    /// The on-demand form, if it is one.
    pub fn on_demand(&self) -> Option<&OnDemand> {
        match &self.kind {
            Kind::OnDemand(on_demand) => Some(on_demand),
            Kind::Recorded(_) => None,
        }
    }

    /// The features by name and type; every one can be NULL.
    pub fn feature_fields(&self) -> Vec<Field> {
        match &self.kind {
            Kind::Recorded(recorded) => {
                recorded.features.iter().map(|f| expression::field(&f.name, &f.data_type.0)).collect()
            }
            Kind::OnDemand(on_demand) => {
                on_demand.features.iter().map(|f| expression::field(&f.name, &f.data_type.0)).collect()
            }
        }
    }

    /// The entity's key columns by name and type, in ENTITY order; none for a view of one entity and on demand.
    pub fn entity_fields(&self) -> Vec<Field> {
        let Some(recorded) = self.recorded() else { return Vec::new() };
        recorded.entity.iter().filter_map(|name| recorded.column(name)).map(ColumnType::field).collect()
    }

    /// The event time column by name and type.
    pub fn timestamp_field(&self) -> Option<Field> {
        self.recorded().and_then(|recorded| recorded.column(&recorded.timestamp)).map(ColumnType::field)
    }

    /// The inputs of an on-demand view by name and type.
    pub fn input_fields(&self) -> Vec<Field> {
        self.on_demand().map(|on_demand| on_demand.inputs.iter().map(ColumnType::field).collect()).unwrap_or_default()
    }

    /// The columns that requests bring: those of the source that rows are pushed from, or the inputs. `None` where no rows
    /// can be pushed.
    pub fn input_schema(&self) -> Option<SchemaRef> {
        let columns = match &self.kind {
            Kind::Recorded(recorded) => &recorded.push.as_ref()?.source,
            Kind::OnDemand(on_demand) => &on_demand.inputs,
        };
        Some(Arc::new(Schema::new(columns.iter().map(ColumnType::field).collect::<Vec<_>>())))
    }

    /// The schema of the stored rows.
    pub fn rows_schema(&self) -> SchemaRef {
        let fields: Vec<Field> =
            self.recorded().map(|r| r.rows.iter().map(ColumnType::field).collect()).unwrap_or_default();
        Arc::new(Schema::new(fields))
    }

    /// The same view with only these features, and on demand only the inputs that they read; an unknown name is an
    /// error.
    pub fn select<S: AsRef<str>>(&self, names: &[S]) -> Result<Self> {
        let known: Vec<String> = self.feature_fields().iter().map(|field| field.name().clone()).collect();
        for name in names {
            if !known.iter().any(|known| known == name.as_ref()) {
                let name = name.as_ref();
                return plan_err!(
                    "the feature view `{}` has no feature `{name}`{}; its features are {}",
                    self.name,
                    did_you_mean(name, known.iter().map(String::as_str)),
                    list(&known)
                );
            }
        }
        let mut view = Self::new(self.name.clone(), self.definition.clone(), self.kind.clone());
        match &mut view.kind {
            Kind::Recorded(recorded) => {
                let all = std::mem::take(&mut recorded.features);
                recorded.features = pick(&all, names, |feature| &feature.name);
            }
            Kind::OnDemand(on_demand) => {
                let all = std::mem::take(&mut on_demand.features);
                on_demand.features = pick(&all, names, |feature| &feature.name);
                let used = used_inputs(on_demand)?;
                on_demand.inputs.retain(|input| used.contains(&input.name));
            }
        }
        Ok(view)
    }

    /// The rows to record for a batch of the source: filter and projection by the canonical expressions.
    ///
    /// The batch needs the columns of [`Push::source`] by name, in any order and among others; their values are cast
    /// to the types given there, and a value that does not fit is an error.
    pub fn rows_from_source(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let compiled = self.compiled()?;
        let mut input = conform(&self.name, batch, &compiled.input)?;
        if let Some(filter) = &compiled.filter {
            let mask = expression::evaluate(filter, &input)?;
            let mask = mask.as_boolean_opt().ok_or_else(|| {
                DataFusionError::Plan(format!("the WHERE of the feature view `{}` is not a condition", self.name))
            })?;
            let mask = if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() };
            input = filter_record_batch(&input, &mask)?;
        }
        compiled.project(&input)
    }

    /// The rows that a batch of the view's own source gives: by its push form, or as they are where it has none.
    pub fn rows_of_body(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        match self.recorded() {
            Some(Recorded { push: None, .. }) => conform(&self.name, batch, &self.rows_schema()),
            _ => self.rows_from_source(batch),
        }
    }

    /// The features of an on-demand view for each row of its inputs, found by name among the batch's columns.
    pub fn evaluate(&self, inputs: &RecordBatch) -> Result<RecordBatch> {
        let compiled = self.compiled()?;
        let input = conform(&self.name, inputs, &compiled.input)?;
        compiled.project(&input)
    }

    /// The rules of the view's contracts that a request's rows break. The batch needs the columns of
    /// [`input_schema`](Self::input_schema) by name; their values are cast to the types given there, and a value that does
    /// not fit is an error.
    pub fn breaches(&self, inputs: &RecordBatch) -> Result<Vec<Breach>> {
        if self.contracts.is_empty() {
            return Ok(Vec::new());
        }
        let compiled = self.compiled()?;
        let input = conform(&self.name, inputs, &compiled.input)?;
        let mut breaches = Vec::new();
        for (contract, compiled) in self.contracts.iter().zip(&compiled.contracts) {
            breaches.extend(contract.breaches(compiled, &input)?);
        }
        Ok(breaches)
    }

    fn compiled(&self) -> Result<Arc<CompiledView>> {
        if let Some(compiled) = self.compiled.0.get() {
            return Ok(Arc::clone(compiled));
        }
        let made = Arc::new(self.compile()?);
        Ok(Arc::clone(self.compiled.0.get_or_init(|| made)))
    }

    fn compile(&self) -> Result<CompiledView> {
        let contracts =
            |input: &Schema| self.contracts.iter().map(|contract| contract.compile(input)).collect::<Result<Vec<_>>>();
        match &self.kind {
            Kind::Recorded(recorded) => {
                let Some(push) = &recorded.push else {
                    return plan_err!(
                        "rows of the feature view `{}` cannot be pushed, only materialized: {}",
                        self.name,
                        recorded
                            .materialize_only
                            .as_deref()
                            .unwrap_or("its body is more than scan, filter and projection")
                    );
                };
                let input = Arc::new(Schema::new(push.source.iter().map(ColumnType::field).collect::<Vec<_>>()));
                Ok(CompiledView {
                    contracts: contracts(&input)?,
                    filter: push.filter.as_ref().map(|sql| expression::compile(sql, &input)).transpose()?,
                    columns: push.columns.iter().map(|sql| expression::compile(sql, &input)).collect::<Result<_>>()?,
                    input,
                    output: self.rows_schema(),
                })
            }
            Kind::OnDemand(on_demand) => {
                let input = Arc::new(Schema::new(on_demand.inputs.iter().map(ColumnType::field).collect::<Vec<_>>()));
                Ok(CompiledView {
                    contracts: contracts(&input)?,
                    filter: None,
                    columns: on_demand
                        .features
                        .iter()
                        .map(|feature| expression::compile(&feature.expression, &input))
                        .collect::<Result<_>>()?,
                    input,
                    output: Arc::new(Schema::new(self.feature_fields())),
                })
            }
        }
    }
}

impl CompiledView {
    fn project(&self, input: &RecordBatch) -> Result<RecordBatch> {
        let columns = self
            .columns
            .iter()
            .zip(self.output.fields())
            .map(|(column, field)| cast(&expression::evaluate(column, input)?, field.data_type(), field.name()))
            .collect::<Result<Vec<_>>>()?;
        batch(&self.output, columns, input.num_rows())
    }
}

impl Recorded {
    /// A column of the stored rows by name.
    pub fn column(&self, name: &str) -> Option<&ColumnType> {
        self.rows.iter().find(|column| column.name == name)
    }
}

fn pick<T: Clone, S: AsRef<str>>(all: &[T], names: &[S], name_of: impl Fn(&T) -> &String) -> Vec<T> {
    names.iter().filter_map(|name| all.iter().find(|item| name_of(item) == name.as_ref()).cloned()).collect()
}

/// The inputs that the features of an on-demand view read.
fn used_inputs(on_demand: &OnDemand) -> Result<HashSet<String>> {
    let schema = Schema::new(on_demand.inputs.iter().map(ColumnType::field).collect::<Vec<_>>());
    let mut used = HashSet::new();
    for feature in &on_demand.features {
        let columns = collect_columns(&expression::compile(&feature.expression, &schema)?);
        used.extend(columns.into_iter().map(|column| column.name().to_owned()));
    }
    Ok(used)
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A batch with a row count of its own, so that one without columns keeps its rows.
fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// The bytes of these rows themselves, whatever larger buffers they are cut from.
pub fn row_bytes(rows: &RecordBatch) -> usize {
    /// Values of up to this length are inside the view itself.
    const INLINE: u32 = 12;
    let far = |views: &[u128]| -> usize {
        views.iter().map(|view| ByteView::from(*view).length).filter(|far| *far > INLINE).map(|far| far as usize).sum()
    };
    let size = |column: &ArrayRef| {
        let near = column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size());
        near + match column.data_type() {
            DataType::Utf8View => far(column.as_string_view().views()),
            DataType::BinaryView => far(column.as_binary_view().views()),
            _ => 0,
        }
    };
    rows.columns().iter().map(size).sum()
}

/// The batch's columns in the order and types of `schema`, found by name.
fn conform(view: &str, from: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let found = from.schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            let Some((index, _)) = found.column_with_name(field.name()) else {
                return plan_err!(
                    "the feature view `{view}` reads the column `{}`, which the input does not have{}",
                    field.name(),
                    did_you_mean(field.name(), found.fields().iter().map(|field| field.name().as_str()))
                );
            };
            cast(from.column(index), field.data_type(), field.name())
        })
        .collect::<Result<Vec<_>>>()?;
    batch(schema, columns, from.num_rows())
}

/// Casts without losing values: one that does not fit is an error that names the column.
fn cast(array: &ArrayRef, to: &DataType, column: &str) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &options).map_err(|e| {
        DataFusionError::Plan(format!("the column `{column}` does not fit the type {to} of the feature view: {e}"))
    })
}

#[cfg(test)]
mod tests;
