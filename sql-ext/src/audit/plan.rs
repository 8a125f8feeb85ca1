//! From SQL to the audit: the arguments of `ml_check_leakage`, checked against the table and the views.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_datafusion_err, plan_err};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, Word};
use skewless_udf::view::{FeatureView, is_time};

use super::compare::common;
use super::node::{Audited, LeakageAudit, Spec};
use crate::context::Shared;
use crate::relation::{Arguments, Parameter, Relation};
use crate::training::{Chosen, Columns, check_time, choose, entity_keys, instant};

/// The FROM-functions of this module.
pub(crate) static RELATIONS: &[Relation] = &[Relation {
    name: "ml_check_leakage",
    parameters: &[
        Parameter::required("data"),
        Parameter::required("timestamp"),
        Parameter::required("features"),
        Parameter::optional("columns"),
        Parameter::optional("label"),
        Parameter::optional("label_time"),
        Parameter::optional("examples"),
        Parameter::optional("tolerance"),
        Parameter::optional("known_at"),
    ],
    plan,
}];

/// How many examples a group shows where the call does not say.
const EXAMPLES: usize = 5;

fn plan(arguments: &Arguments, context: &mut dyn RelationPlannerContext, shared: &Shared) -> Result<LogicalPlan> {
    let data = arguments.relation("data", context)?;
    let fields: Vec<FieldRef> = data.schema().fields().iter().map(Arc::clone).collect();
    let table = Columns { name: "table", argument: "`data`", fields: &fields };
    let (time, time_type) = table.time(&arguments.string("timestamp")?, "the as-of time")?;
    let references = arguments.strings("features")?;
    if references.is_empty() {
        return plan_err!("ml_check_leakage: `features` is empty; name a feature view, ['view'] or ['view:feature']");
    }
    let mut mapping = mapping(&arguments.optional_strings("columns")?.unwrap_or_default())?;
    let known_at = arguments.scalar("known_at", context)?.map(|at| instant("ml_check_leakage", at)).transpose()?;
    let label = arguments.optional_string("label")?.map(|name| table.find(&name, "the label")).transpose()?;
    let label_time = arguments.optional_string("label_time")?;
    if label.is_none() && label_time.is_some() {
        return plan_err!("ml_check_leakage: `label_time` is the time of a label; name its column too, label => 'y'");
    }
    let label_time =
        label_time.map(|name| table.time(&name, "the label's time").map(|(at, _)| (name, at))).transpose()?;

    let mut inputs = vec![data.clone()];
    let mut views = Vec::new();
    for Chosen { view, prefix, keys, features } in choose(&references, shared)? {
        let definition = &view.definition;
        let selected = match &features {
            None => Arc::clone(definition),
            Some(names) => Arc::new(definition.select(names)?),
        };
        let columns = selected
            .feature_fields()
            .iter()
            .map(|feature| {
                let column = mapping.take(&prefix, feature.name());
                feature_column(&table, definition, &prefix, feature, column.as_deref())
            })
            .collect::<Result<_>>()?;
        let audited = if let Some(source) = &view.source {
            let keys = entity_keys(definition, &keys, &table)?;
            check_time(definition, "the as-of time", &arguments.string("timestamp")?, &time_type)?;
            if let Some(cutoff) = &known_at {
                check_time(definition, "the argument", "known_at", &cutoff.data_type())?;
            }
            if let Some((name, at)) = &label_time {
                check_time(definition, "the label's time", name, table.data_type(*at))?;
            }
            inputs.push(source.clone());
            Audited { view: selected, source: Some(inputs.len() - 1), inputs: keys, columns }
        } else {
            if !keys.is_empty() {
                return plan_err!(
                    "the feature view `{}` is ON DEMAND and has no key; its inputs are columns of the table by name",
                    definition.name
                );
            }
            let wanted = selected.input_fields();
            let found = wanted.iter().map(|input| {
                let name = mapping.column_of(input.name()).unwrap_or(input.name());
                table.find(name, &format!("an input of the feature view `{}`", definition.name))
            });
            let inputs = found.collect::<Result<_>>()?;
            Audited { view: selected, source: None, inputs, columns }
        };
        views.push(audited);
    }
    mapping.refuse_unused()?;

    let spec = Spec {
        time,
        views,
        label,
        label_time: label_time.map(|(_, at)| at),
        examples: examples(arguments.scalar("examples", context)?)?,
        tolerance: tolerance(arguments.scalar("tolerance", context)?)?,
        known_at,
    };
    let schema = DFSchema::from_unqualified_fields(report_fields(), HashMap::new())?;
    let node = LeakageAudit { inputs, spec: Arc::new(spec), schema: Arc::new(schema) };
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

/// The columns of the report.
fn report_fields() -> Fields {
    vec![
        Field::new("feature_view", DataType::Utf8, false),
        Field::new("feature", DataType::Utf8, false),
        Field::new("column", DataType::Utf8, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("cells", DataType::Int64, false),
        Field::new("share", DataType::Float64, false),
        Field::new("examples", DataType::List(Arc::new(example_field())), false),
    ]
    .into()
}

/// One example.
pub(super) fn example_field() -> Field {
    Field::new("item", DataType::Struct(example_fields()), false)
}

/// What is told of an example, all of it as text: views differ in the types of their times and values.
pub(super) fn example_fields() -> Fields {
    ["key", "as_of", "found", "expected", "event_time", "available_at"]
        .into_iter()
        .map(|name| Field::new(name, DataType::Utf8, true))
        .collect()
}

impl Columns<'_> {
    fn time(&self, name: &str, what: &str) -> Result<(usize, DataType)> {
        let index = self.find(name, what)?;
        let data_type = self.data_type(index);
        if !is_time(data_type) {
            return plan_err!(
                "{what} `{name}` is of type {data_type}; it takes a timestamp, a date or an integer, so cast it in `data`"
            );
        }
        Ok((index, data_type.clone()))
    }
}

/// `columns => ['view:feature = column']`: which column holds which feature, where the names do not say.
#[derive(Default)]
struct Mapping {
    /// (prefix, feature, column, whether it was used).
    entries: Vec<(String, String, String, bool)>,
    /// The mapped features by the name that a training set gives them.
    named: HashMap<String, String>,
}

fn mapping(texts: &[String]) -> Result<Mapping> {
    let mut mapping = Mapping::default();
    for text in texts {
        let malformed =
            || plan_err!("`{text}` does not say which column holds which feature; write 'view:feature = column'");
        let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else { return malformed() };
        let tokens: Vec<Token> = tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
        let [Token::Word(prefix), Token::Colon, Token::Word(feature), Token::Eq, Token::Word(column)] =
            tokens.as_slice()
        else {
            return malformed();
        };
        let (prefix, feature, column) = (fold(prefix), fold(feature), fold(column));
        if mapping.named.insert(format!("{prefix}__{feature}"), column.clone()).is_some() {
            return plan_err!(
                "ml_check_leakage: `columns` names the column of `{prefix}:{feature}` twice; leave one out"
            );
        }
        mapping.entries.push((prefix, feature, column, false));
    }
    Ok(mapping)
}

fn fold(word: &Word) -> String {
    if word.quote_style.is_some() { word.value.clone() } else { word.value.to_lowercase() }
}

impl Mapping {
    fn take(&mut self, prefix: &str, feature: &str) -> Option<String> {
        let entry = self.entries.iter_mut().find(|entry| entry.0 == prefix && entry.1 == feature)?;
        entry.3 = true;
        Some(entry.2.clone())
    }

    fn column_of(&self, name: &str) -> Option<&str> {
        self.named.get(name).map(String::as_str)
    }

    fn refuse_unused(&self) -> Result<()> {
        match self.entries.iter().find(|entry| !entry.3) {
            Some((prefix, feature, ..)) => plan_err!(
                "ml_check_leakage: `columns` names the column of `{prefix}:{feature}`, which is not among `features`; \
                 ask for it there too"
            ),
            None => Ok(()),
        }
    }
}

fn feature_column(
    table: &Columns<'_>,
    view: &FeatureView,
    prefix: &str,
    feature: &Field,
    column: Option<&str>,
) -> Result<usize> {
    let name = feature.name();
    let what = format!("the feature `{name}` of the feature view `{}`", view.name);
    let index = match column {
        Some(column) => table.find(column, &what)?,
        None => table.find(&format!("{prefix}__{name}"), &what).map_err(|error| {
            plan_datafusion_err!(
                "{}; where the table calls it otherwise, write columns => ['{prefix}:{name} = column'], and to check \
                 some features only, name them: '{prefix}:feature'",
                error.strip_backtrace().trim_start_matches("Error during planning: ")
            )
        })?,
    };
    let found = table.data_type(index);
    if common(found, feature.data_type()).is_none() {
        return plan_err!(
            "the table's column `{}` of type {found} cannot equal {what} of type {}; cast it in `data`",
            table.fields.get(index).map_or("", |field| field.name()),
            feature.data_type()
        );
    }
    Ok(index)
}

fn examples(value: Option<ScalarValue>) -> Result<usize> {
    let Some(value) = value else { return Ok(EXAMPLES) };
    match value.cast_to(&DataType::UInt64) {
        Ok(ScalarValue::UInt64(Some(count))) if value.data_type().is_integer() && count <= 1000 => Ok(count as usize),
        _ => plan_err!("ml_check_leakage: argument `examples` takes a whole number from 0 to 1000, not {value}"),
    }
}

fn tolerance(value: Option<ScalarValue>) -> Result<f64> {
    let Some(value) = value else { return Ok(0.0) };
    match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(Some(tolerance))) if value.data_type().is_numeric() && tolerance >= 0.0 => {
            Ok(tolerance)
        }
        _ => plan_err!(
            "ml_check_leakage: argument `tolerance` takes how far floats may lie apart, a number from 0 on, not {value}"
        ),
    }
}
