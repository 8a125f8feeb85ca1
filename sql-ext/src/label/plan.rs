//! From SQL to the label set: the arguments of `ml_label_set`, checked against the spine and the events.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
use datafusion::common::{Column, DFSchema, DataFusionError, Result, ScalarValue, plan_datafusion_err, plan_err};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{Extension, LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::Expr;
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, Function, Ident, SelectItem, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use skewless_udf::expression;
use skewless_udf::view::{
    ColumnType, Feature, FeatureTable, FeatureValue, FeatureView, Kind, Recorded, Scale, Span, Window, compatible_keys,
    time_name, time_values,
};

use super::node::{Label, LabelSet, Spec};
use crate::context::Shared;
use crate::ddl::{check_span, fold, span};
use crate::relation::{Arguments, Parameter, Relation, find, refuse_clash};

const NAME: &str = "ml_label_set";

/// The columns that follow the labels.
pub(super) const KNOWN_AT: &str = "label_known_at";
pub(super) const STATUS: &str = "label_status";

/// The FROM-functions of this module.
pub(crate) static RELATIONS: &[Relation] = &[Relation {
    name: NAME,
    parameters: &[
        Parameter::required("spine"),
        Parameter::required("events"),
        Parameter::required("timestamp"),
        Parameter::required("event_time"),
        Parameter::required("keys"),
        Parameter::required("horizon"),
        Parameter::required("aggregate"),
        Parameter::optional("start"),
        Parameter::optional("available_at"),
        Parameter::optional("known_until"),
    ],
    plan,
}];

fn plan(arguments: &Arguments, context: &mut dyn RelationPlannerContext, _shared: &Shared) -> Result<LogicalPlan> {
    let spine = arguments.relation("spine", context)?;
    let events = arguments.relation("events", context)?;
    let timestamp = arguments.string("timestamp")?;
    let event_time = arguments.string("event_time")?;
    let available_at = arguments.optional_string("available_at")?;

    let (time, _, time_type) = find(NAME, "spine", spine.schema(), &timestamp, "the prediction time")?;
    let scale = scale(&timestamp, time_type)?;
    let (_, _, event_type) = find(NAME, "events", events.schema(), &event_time, "the event time")?;
    comparable(&event_time, event_type, &timestamp, time_type)?;
    if let Some(name) = &available_at {
        let (_, _, available_type) = find(NAME, "events", events.schema(), name, "the availability")?;
        comparable(name, available_type, &timestamp, time_type)?;
    }
    let (keys, entity) = keys(arguments, spine.schema(), events.schema())?;

    let horizon = length(arguments, "horizon", &timestamp, time_type)?
        .ok_or_else(|| plan_datafusion_err!("{NAME}: argument `horizon` must not be NULL"))?;
    let start = length(arguments, "start", &timestamp, time_type)?.unwrap_or(0);
    if start >= horizon {
        return plan_err!(
            "{NAME}: no event is after t + start and at or before t + horizon, since `horizon` is not longer than \
             `start`; make it longer"
        );
    }
    let known_until = match arguments.scalar("known_until", context)? {
        None => None,
        Some(value) => Some(instant(&value, scale, &timestamp, time_type)?),
    };

    // The rows hold plain values: dictionary and run-end encodings are an accident of the file read.
    let plain: Vec<Field> = events
        .schema()
        .fields()
        .iter()
        .map(|field| Field::new(field.name(), ColumnType::plain(field.data_type()), true))
        .collect();
    refuse_clash(NAME, "events", events.schema(), &[])?;
    let rows = DFSchema::try_from(Schema::new(plain))?;
    let mut aggregates = Aggregates { rows: &rows, range: range(scale, horizon - start - 1)?, calls: Vec::new() };
    let labels = aggregates.labels(&arguments.strings("aggregate")?)?;
    if let Some(name) = &available_at {
        let column = Ident::with_quote('"', name.clone());
        for call in [format!("max({column})"), format!("count({column})"), "count(*)".to_owned()] {
            aggregates.add_own(&call)?;
        }
    }
    let features: Vec<Feature> = aggregates.calls.into_iter().map(|call| call.feature).collect();

    let used = used_columns(&features, entity.iter().chain([&event_time]).chain(&available_at))?;
    let needed: Vec<Expr> = events
        .schema()
        .iter()
        .filter(|(_, field)| used.contains(field.name()))
        .map(|found| Expr::Column(Column::from(found)))
        .collect();
    let stored = rows
        .fields()
        .iter()
        .filter(|field| used.contains(field.name()))
        .map(|field| ColumnType::new(field.name(), field.data_type().clone()))
        .collect();
    let events = LogicalPlanBuilder::from(events).project(needed)?.build()?;

    let known_at = known_type(time_type, horizon, available_at.as_deref(), &rows)?;
    let recorded = Recorded {
        entity,
        timestamp: event_time,
        // A label is what happened, whenever that became known.
        available_at: None,
        ttl: None,
        tie_break: Vec::new(),
        rows: stored,
        features,
        push: None,
        materialize_only: None,
    };
    let view = Arc::new(FeatureView::new(NAME, NAME, Kind::Recorded(recorded)));
    // Whatever the look-up could trip over shows on a table without rows.
    FeatureTable::new(Arc::clone(&view), Vec::new())?;

    let mut output: Vec<Arc<Field>> = spine.schema().fields().iter().map(Arc::clone).collect();
    output.extend(labels.iter().map(|label| Arc::new(Field::new(&label.name, label.data_type.clone(), true))));
    output.push(Arc::new(Field::new(KNOWN_AT, known_at.clone(), true)));
    output.push(Arc::new(Field::new(STATUS, DataType::Utf8, false)));
    let added: Vec<String> = output.iter().skip(spine.schema().fields().len()).map(|f| f.name().clone()).collect();
    refuse_clash(NAME, "spine", spine.schema(), &added)?;
    let spec = Spec {
        time,
        keys,
        view,
        labels: labels.into_iter().map(|label| (label.name, label.value)).collect(),
        has_availability: available_at.is_some(),
        horizon,
        known_until,
        known_at,
    };
    let schema = DFSchema::from_unqualified_fields(output.into(), HashMap::new())?;
    let node = LabelSet { inputs: vec![spine, events], spec: Arc::new(spec), schema: Arc::new(schema) };
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

fn scale(name: &str, data_type: &DataType) -> Result<Scale> {
    Scale::of(data_type).ok_or_else(|| {
        plan_datafusion_err!(
            "{NAME}: the time `{name}` is of type {data_type}; it takes a timestamp, a date or an integer, so cast it"
        )
    })
}

fn comparable(event: &str, event_type: &DataType, time: &str, time_type: &DataType) -> Result<()> {
    let own = scale(time, time_type)?;
    if scale(event, &ColumnType::plain(event_type))?.finer(own).is_none() {
        return plan_err!(
            "{NAME}: the prediction time `{time}` is {} ({time_type}) and `{event}` of the events is {} ({event_type}); \
             cast one to the other",
            time_name(time_type),
            time_name(event_type)
        );
    }
    Ok(())
}

/// The spine's columns that are the events' key, and the events' columns: `['k']` or `['k => spine_column']`.
fn keys(arguments: &Arguments, spine: &DFSchema, events: &DFSchema) -> Result<(Vec<usize>, Vec<String>)> {
    let mut columns = Vec::new();
    let mut entity: Vec<String> = Vec::new();
    for text in arguments.strings("keys")? {
        let (key, column) = match text.split_once("=>") {
            Some((key, column)) => (key.trim(), column.trim()),
            None => (text.as_str(), text.as_str()),
        };
        let (_, _, key_type) = find(NAME, "events", events, key, "a key")?;
        let found = find(NAME, "spine", spine, column, "a key");
        let (index, _, column_type) = if key == column {
            found.map_err(|error| {
                let error = error.strip_backtrace();
                let reason = error.strip_prefix("Error during planning: ").unwrap_or(&error);
                DataFusionError::Plan(format!("{reason}; where the spine calls it otherwise, write '{key} => column'"))
            })?
        } else {
            found?
        };
        if !compatible_keys(column_type, key_type) {
            return plan_err!(
                "{NAME}: the spine's column `{column}` of type {column_type} cannot equal the key `{key}` of type \
                 {key_type} of the events; cast one to the other"
            );
        }
        if entity.iter().any(|other| other == key) {
            return plan_err!("{NAME}: the key `{key}` is given twice; leave one out");
        }
        columns.push(index);
        entity.push(key.to_owned());
    }
    Ok((columns, entity))
}

/// A length of time among the arguments, in steps.
fn length(arguments: &Arguments, name: &str, column: &str, time: &DataType) -> Result<Option<i128>> {
    let Some(value) = arguments.expr(name) else { return Ok(None) };
    let what = format!("{NAME}: `{name}`");
    let length = span(value, &what)?;
    check_span(length, &what, column, time)?;
    Ok(length.steps())
}

/// A window of this many steps, inclusive at both ends.
fn range(scale: Scale, steps: i128) -> Result<Span> {
    let Ok(steps) = i64::try_from(steps) else {
        return plan_err!("{NAME}: `horizon` is beyond 64 bits; make it shorter");
    };
    Ok(match scale {
        Scale::Integer => Span::Integer(steps),
        Scale::Time(_) => Span::Time(steps),
    })
}

fn instant(value: &ScalarValue, scale: Scale, timestamp: &str, time: &DataType) -> Result<i128> {
    let wrong = || {
        plan_datafusion_err!(
            "{NAME}: `known_until` is {value} of type {}, and the time `{timestamp}` is {} ({time}); give a time of that \
             kind",
            value.data_type(),
            time_name(time)
        )
    };
    let parsed = if value.data_type().is_string() && scale != Scale::Integer {
        value.cast_to(&DataType::Timestamp(TimeUnit::Nanosecond, None)).map_err(|_| wrong())?
    } else {
        value.clone()
    };
    let (own, values) = time_values(&parsed.to_array()?, "known_until").map_err(|_| wrong())?;
    let values = values.as_primitive::<Int64Type>();
    if own.finer(scale).is_none() || values.is_empty() || values.is_null(0) {
        return Err(wrong());
    }
    Ok(i128::from(values.value(0)) * own.steps())
}

/// The coarsest type, no coarser than the time's own, that holds t + horizon and the availability exactly.
fn known_type(time: &DataType, horizon: i128, available_at: Option<&str>, events: &DFSchema) -> Result<DataType> {
    let own = scale("timestamp", time)?;
    let Scale::Time(own_unit) = own else { return Ok(DataType::Int64) };
    let available = match available_at {
        None => own,
        Some(name) => scale(name, events.field_with_unqualified_name(name)?.data_type())?,
    };
    let needed = own.finer(available).map_or(1, Scale::steps);
    if needed == i128::from(own_unit) && horizon % needed == 0 {
        return Ok(time.clone());
    }
    let zone = match time {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let units = [
        (TimeUnit::Second, 1_000_000_000),
        (TimeUnit::Millisecond, 1_000_000),
        (TimeUnit::Microsecond, 1_000),
        (TimeUnit::Nanosecond, 1),
    ];
    let fits = |unit: &i128| *unit <= needed && horizon % unit == 0;
    let unit = units.into_iter().find(|(_, nanos)| fits(nanos)).map_or(TimeUnit::Nanosecond, |(unit, _)| unit);
    Ok(DataType::Timestamp(unit, zone))
}

/// The columns of the events that anything reads.
fn used_columns<'a>(features: &[Feature], named: impl Iterator<Item = &'a String>) -> Result<BTreeSet<String>> {
    let mut used: BTreeSet<String> = named.cloned().collect();
    for feature in features {
        let FeatureValue::Window(window) = &feature.value else { continue };
        for sql in window.args.iter().chain(&window.filter) {
            let mut read = Names(BTreeSet::new());
            let _ = expression::parse(sql)?.visit(&mut read);
            used.extend(read.0);
        }
    }
    Ok(used)
}

/// The names in a canonical expression; those that are no column select none.
struct Names(BTreeSet<String>);

impl Visitor for Names {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &SqlExpr) -> ControlFlow<()> {
        if let SqlExpr::Identifier(name) = expr {
            self.0.insert(if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() });
        }
        ControlFlow::Continue(())
    }
}

/// One label with its type.
struct Named {
    name: String,
    value: Label,
    data_type: DataType,
}

/// The aggregates that the labels are made of, each once.
struct Aggregates<'a> {
    rows: &'a DFSchema,
    range: Span,
    calls: Vec<Call>,
}

struct Call {
    text: String,
    feature: Feature,
}

impl Aggregates<'_> {
    fn labels(&mut self, texts: &[String]) -> Result<Vec<Named>> {
        let mut items = Vec::new();
        for text in texts {
            items.extend(select_items(text)?);
        }
        let alone = items.len() == 1;
        if items.is_empty() {
            return plan_err!("{NAME}: `aggregate` is empty; write what to compute over the events, 'count(*) AS n'");
        }
        let mut labels: Vec<Named> = Vec::with_capacity(items.len());
        for item in items {
            let (name, expr) = match item {
                SelectItem::ExprWithAlias { expr, alias } => (fold(alias), expr),
                SelectItem::UnnamedExpr(expr) if alone => ("label".to_owned(), expr),
                other => return plan_err!("{NAME}: give each label a name: '{other} AS name'"),
            };
            if labels.iter().any(|label| label.name == name) || [KNOWN_AT, STATUS].contains(&name.as_str()) {
                return plan_err!("{NAME}: two columns would be named `{name}`; give the label another name");
            }
            labels.push(self.label(name, expr)?);
        }
        Ok(labels)
    }

    /// A label: an aggregate, or an expression over aggregates.
    fn label(&mut self, name: String, mut expr: SqlExpr) -> Result<Named> {
        let text = expr.to_string();
        let mut lift = Lift { aggregates: self, lifted: 0 };
        if let ControlFlow::Break(error) = VisitMut::visit(&mut expr, &mut lift) {
            return Err(error);
        }
        if lift.lifted == 0 {
            return plan_err!(
                "{NAME}: the label `{text}` has no aggregate; a label is of many events: count(*), max(x)"
            );
        }
        if let ControlFlow::Break(column) = expr.visit(&mut Outside) {
            return plan_err!(
                "{NAME}: `{column}` in the label `{text}` is outside an aggregate, and a label is of many events: write \
                 max({column}) or the like"
            );
        }
        if let SqlExpr::Identifier(ident) = &expr
            && let Some(at) = self.calls.iter().position(|call| call.feature.name == ident.value)
            && let Some(call) = self.calls.get(at)
        {
            return Ok(Named { name, value: Label::Aggregate(at), data_type: call.feature.data_type.0.clone() });
        }
        let fields: Vec<Field> =
            self.calls.iter().map(|call| expression::field(&call.feature.name, &call.feature.data_type.0)).collect();
        let canonical = expression::canonicalize(&expr, &DFSchema::try_from(Schema::new(fields))?)?;
        Ok(Named { name, value: Label::Expression(canonical.sql), data_type: canonical.data_type })
    }

    /// The name under which the aggregate's value is found.
    fn add(&mut self, call: &Function) -> Result<String> {
        let text = call.to_string();
        if let Some(known) = self.calls.iter().find(|known| known.text == text) {
            return Ok(known.feature.name.clone());
        }
        if call.over.is_some() {
            return plan_err!("{NAME}: `{text}` has OVER; a label is over the events in the horizon, so leave it out");
        }
        let feature = self.feature(call)?;
        let name = feature.name.clone();
        self.calls.push(Call { text, feature });
        Ok(name)
    }

    /// An aggregate of our own, at the end.
    fn add_own(&mut self, text: &str) -> Result<()> {
        let SqlExpr::Function(call) = expression::parse(text)? else {
            return datafusion::common::internal_err!("{text} is not a call");
        };
        let feature = self.feature(&call)?;
        self.calls.push(Call { text: text.to_owned(), feature });
        Ok(())
    }

    fn feature(&self, call: &Function) -> Result<Feature> {
        let aggregate = expression::canonicalize_aggregate(call, self.rows)?;
        let window = Window {
            function: aggregate.function,
            args: aggregate.args.into_iter().map(|arg| arg.sql).collect(),
            distinct: aggregate.distinct,
            ignore_nulls: aggregate.ignore_nulls,
            filter: aggregate.filter.map(|filter| filter.sql),
            range: self.range,
        };
        Ok(Feature {
            name: format!("#{}", self.calls.len()),
            data_type: aggregate.data_type.into(),
            value: FeatureValue::Window(window),
        })
    }
}

/// `expression [AS name], …`.
fn select_items(text: &str) -> Result<Vec<SelectItem>> {
    let syntax = |e| plan_datafusion_err!("{NAME}: cannot read `{text}` in `aggregate`: {e}");
    let mut parser = Parser::new(&GenericDialect {}).with_recursion_limit(256).try_with_sql(text).map_err(syntax)?;
    let items = parser.parse_projection().map_err(syntax)?;
    match parser.peek_token().token {
        Token::EOF => Ok(items),
        other => plan_err!("{NAME}: cannot read `{text}` in `aggregate`: it goes on with `{other}` after its end"),
    }
}

/// Puts the name of its value in the place of each aggregate.
struct Lift<'a, 'b> {
    aggregates: &'a mut Aggregates<'b>,
    lifted: usize,
}

impl VisitorMut for Lift<'_, '_> {
    type Break = DataFusionError;

    fn pre_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<DataFusionError> {
        if let SqlExpr::Function(call) = expr
            && expression::aggregate(&call.name.to_string().to_lowercase()).is_some()
        {
            match self.aggregates.add(call) {
                Ok(name) => *expr = SqlExpr::Identifier(Ident::with_quote('"', name)),
                Err(error) => return ControlFlow::Break(error),
            }
            self.lifted += 1;
        }
        ControlFlow::Continue(())
    }
}

/// Finds a column that is not the value of an aggregate.
struct Outside;

impl Visitor for Outside {
    type Break = String;

    fn pre_visit_expr(&mut self, expr: &SqlExpr) -> ControlFlow<String> {
        match expr {
            SqlExpr::Identifier(name) if !name.value.starts_with('#') => ControlFlow::Break(name.to_string()),
            SqlExpr::CompoundIdentifier(_) => ControlFlow::Break(expr.to_string()),
            _ => ControlFlow::Continue(()),
        }
    }
}
