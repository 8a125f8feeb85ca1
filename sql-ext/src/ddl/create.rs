//! CREATE FEATURE VIEW: from a body in SQL to rows, features and, where the body allows it, a push form.
//!
//! A body that is one table, a WHERE and a SELECT list becomes canonical expressions that every surface evaluates.
//! Any other body is a query that DataFusion plans; its rows can be materialized but not pushed online.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, Result, ScalarValue, plan_err};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, Volatility};
use datafusion::prelude::Expr;
use datafusion::sql::parser::Statement as SqlStatement;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType as SqlDataType, Expr as SqlExpr, GroupByExpr, Query, Select, SelectFlavor, SelectItem, SetExpr,
    Statement, TableFactor, Value,
};
use skewless_catalog::suggest::did_you_mean;
use skewless_udf::expression::{self, Canonical};
use skewless_udf::view::{
    ColumnType, Feature, FeatureTable, FeatureValue, FeatureView, Kind, OnDemand, OnDemandFeature, Push, Recorded,
    Span, Window, compatible_keys, is_time, time_name, times_compatible,
};

use super::parse::{CreateFeatureView, Form, fold};
use super::window::{self, Item, Lifted};
use super::{View, ViewRegistry};

/// Creates the view in the registry; the message says what was done.
pub(super) async fn create(statement: CreateFeatureView, state: &SessionState, views: &ViewRegistry) -> Result<String> {
    let CreateFeatureView { name, or_replace, if_not_exists, form, query, text } = statement;
    if views.get(&name).is_some_and(|view| view.definition.name == name) {
        if if_not_exists {
            return Ok(format!("feature view {name} is there already"));
        }
        if !or_replace {
            return plan_err!(
                "there is a feature view `{name}` already; CREATE OR REPLACE FEATURE VIEW {name} … replaces it"
            );
        }
    }
    let (kind, source) = match form {
        Form::OnDemand { inputs } => (Kind::OnDemand(on_demand(inputs, &query)?), None),
        Form::Recorded { entity, timestamp, available_at, ttl, tie_break } => {
            let declared = Declared {
                entity,
                timestamp,
                available_at,
                ttl: ttl.as_ref().map(|ttl| span(ttl, "TTL")).transpose()?,
                tie_break,
            };
            let (recorded, source) = recorded(declared, *query, state).await?;
            (Kind::Recorded(recorded), Some(source))
        }
    };
    let definition = Arc::new(FeatureView::new(name.clone(), text, kind));
    // Whatever a look-up could trip over shows on a table without rows.
    if definition.recorded().is_some() {
        FeatureTable::new(Arc::clone(&definition), Vec::new())?;
    }
    views.insert(View { definition, source });
    Ok(format!("feature view {name} created"))
}

/// What stands between the name and the body.
struct Declared {
    entity: Vec<String>,
    timestamp: String,
    available_at: Option<String>,
    ttl: Option<Span>,
    tie_break: Vec<String>,
}

impl Declared {
    /// Each declared column with its clause.
    fn columns(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let of = |clause: &'static str| move |name| (clause, name);
        self.entity
            .iter()
            .map(of("ENTITY"))
            .chain(std::iter::once(&self.timestamp).map(of("TIMESTAMP")))
            .chain(self.available_at.iter().map(of("AVAILABLE AT")))
            .chain(self.tie_break.iter().map(of("TIE BREAK")))
    }
}

/// The rows of a body: their columns and the plan that they come from.
struct Body {
    rows: Vec<ColumnType>,
    push: Option<Push>,
    materialize_only: Option<String>,
    source: LogicalPlan,
}

async fn recorded(declared: Declared, mut query: Query, state: &SessionState) -> Result<(Recorded, LogicalPlan)> {
    crate::front::rewrite_query(&mut query)?;
    let items = window::lift(&mut query)?;
    let body = match pushable(&query, state).await? {
        Ok(body) => body,
        Err(reason) => materialized(query, &reason, state).await?,
    };
    let mut names = HashSet::new();
    for column in &body.rows {
        if !names.insert(column.name.as_str()) {
            return plan_err!("the view's SELECT list has two columns named `{}`; name them apart", column.name);
        }
    }
    check_declared(&declared, &body.rows)?;

    let schema = DFSchema::try_from(Schema::new(body.rows.iter().map(ColumnType::field).collect::<Vec<_>>()))?;
    let hidden = |name: &str| name.contains('#');
    let everything = || body.rows.iter().filter(|c| !hidden(&c.name)).map(|c| Item::Column(c.name.clone())).collect();
    let mut listed: Vec<Item> = Vec::new();
    for item in items.unwrap_or_else(everything) {
        match item {
            Item::Wildcard => {
                let explicit: HashSet<String> = listed
                    .iter()
                    .filter_map(|item| match item {
                        Item::Column(name) => Some(name.clone()),
                        _ => None,
                    })
                    .collect();
                listed.extend(
                    body.rows
                        .iter()
                        .filter(|column| !hidden(&column.name) && !explicit.contains(&column.name))
                        .map(|column| Item::Column(column.name.clone())),
                );
            }
            item => listed.push(item),
        }
    }
    let declared_names: BTreeSet<&String> = declared.columns().map(|(_, name)| name).collect();
    let mut features = Vec::new();
    for item in listed {
        match item {
            Item::Column(name) if !declared_names.contains(&name) => {
                if let Some(column) = body.rows.iter().find(|column| column.name == name)
                    && !features.iter().any(|feature: &Feature| feature.name == name)
                {
                    let data_type = column.data_type.clone();
                    features.push(Feature { value: FeatureValue::Plain { column: name.clone() }, name, data_type });
                }
            }
            Item::Window(call) => features.push(window_feature(call, &schema, &declared, &body.rows)?),
            Item::Column(_) | Item::Wildcard => {}
        }
    }
    let mut seen = HashSet::new();
    for feature in &features {
        if !seen.insert(feature.name.as_str()) || declared_names.contains(&feature.name) {
            return plan_err!("the view has two columns named `{}`; name them apart", feature.name);
        }
    }
    if features.is_empty() {
        return plan_err!(
            "the view has no features: its SELECT list holds only key, time and tie-break columns; add a column"
        );
    }
    let Body { rows, push, materialize_only, source } = body;
    let Declared { entity, timestamp, available_at, ttl, tie_break } = declared;
    let recorded = Recorded { entity, timestamp, available_at, ttl, tie_break, rows, features, push, materialize_only };
    Ok((recorded, source))
}

fn check_declared(declared: &Declared, rows: &[ColumnType]) -> Result<()> {
    let find = |clause: &str, name: &String| {
        rows.iter().find(|column| &column.name == name).map(|column| &column.data_type.0).ok_or_else(|| {
            let names = rows.iter().map(|column| column.name.as_str()).filter(|name| !name.contains('#'));
            DataFusionError::Plan(format!(
                "{clause} names the column `{name}`, which the view's SELECT list does not have{}; select it",
                did_you_mean(name, names)
            ))
        })
    };
    for (clause, name) in declared.columns() {
        find(clause, name)?;
    }
    for name in &declared.entity {
        let data_type = find("ENTITY", name)?;
        if !compatible_keys(data_type, data_type) {
            return plan_err!(
                "the column `{name}` of type {data_type} cannot be a key; cast it, to VARCHAR for example"
            );
        }
    }
    let event = find("TIMESTAMP", &declared.timestamp)?;
    for (clause, name) in [("TIMESTAMP", Some(&declared.timestamp)), ("AVAILABLE AT", declared.available_at.as_ref())] {
        let Some(name) = name else { continue };
        let data_type = find(clause, name)?;
        if !is_time(data_type) {
            return plan_err!(
                "{clause} takes a timestamp, a date or an integer, and the column `{name}` is of type {data_type}; \
                 cast it"
            );
        }
        if !times_compatible(event, data_type) {
            return plan_err!(
                "the event time `{}` is {} and the availability `{name}` is {}; cast one to the other",
                declared.timestamp,
                time_name(event),
                time_name(data_type)
            );
        }
    }
    if let Some(ttl) = declared.ttl {
        check_span(ttl, "TTL", &declared.timestamp, event)?;
    }
    Ok(())
}

pub(crate) fn check_span(span: Span, what: &str, column: &str, time: &DataType) -> Result<()> {
    match span {
        Span::Time(_) if time.is_integer() => plan_err!(
            "{what} is an interval and the time `{column}` is an integer; write a number, in the column's own unit"
        ),
        Span::Integer(_) if !time.is_integer() => plan_err!(
            "{what} is a number and the time `{column}` is of type {time}; write INTERVAL '… hours' or the like"
        ),
        _ => Ok(()),
    }
}

/// A length of time from an INTERVAL or, for integer times, a number.
pub(crate) fn span(expr: &SqlExpr, what: &str) -> Result<Span> {
    let fixed = |nanos: i128| match i64::try_from(nanos) {
        Ok(nanos) if nanos >= 0 => Ok(Span::Time(nanos)),
        Ok(_) => plan_err!("{what} is negative: {expr}"),
        Err(_) => plan_err!("{what} is over 292 years: {expr}; for a window without limit, write UNBOUNDED PRECEDING"),
    };
    match expression::constant(expr)? {
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months != 0 => {
            plan_err!("{what} is {expr}, and a month has no fixed length; write it in days or hours")
        }
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            fixed(i128::from(interval.days) * 86_400_000_000_000 + i128::from(interval.nanoseconds))
        }
        ScalarValue::Int64(Some(n)) if n >= 0 => Ok(Span::Integer(n)),
        ScalarValue::Int64(Some(_)) => plan_err!("{what} is negative: {expr}"),
        _ => plan_err!("{what} takes an INTERVAL '…' or, where times are integers, a whole number, not {expr}"),
    }
}

fn window_feature(lifted: Lifted, rows: &DFSchema, declared: &Declared, columns: &[ColumnType]) -> Result<Feature> {
    let Lifted { name, call, range } = lifted;
    let range = match &range {
        None => Span::Unbounded,
        Some(expr) => span(expr, &format!("the window of `{name}`"))?,
    };
    if let Some(time) = columns.iter().find(|column| column.name == declared.timestamp) {
        check_span(range, &format!("the window of `{name}`"), &declared.timestamp, &time.data_type.0)?;
    }
    let aggregate = expression::canonicalize_aggregate(&call, rows)?;
    let value = FeatureValue::Window(Window {
        function: aggregate.function,
        args: aggregate.args.into_iter().map(|arg| arg.sql).collect(),
        distinct: aggregate.distinct,
        ignore_nulls: aggregate.ignore_nulls,
        filter: aggregate.filter.map(|filter| filter.sql),
        range,
    });
    Ok(Feature { name, data_type: aggregate.data_type.into(), value })
}

/// The push form of a body, or the reason why it has none.
async fn pushable(query: &Query, state: &SessionState) -> Result<std::result::Result<Body, String>> {
    let (select, table) = match simple_select(query) {
        Ok(found) => found,
        Err(reason) => return Ok(Err(reason.to_owned())),
    };
    let table = plan_table(table, state).await?;
    refuse_unrepeatable(&table)?;
    // Files may hold encoded columns; rows, pushed ones included, hold plain ones.
    let fields = table
        .schema()
        .iter()
        .map(|(qualifier, field)| {
            let plain = Field::new(field.name(), ColumnType::plain(field.data_type()), true);
            (qualifier.cloned(), Arc::new(plain))
        })
        .collect();
    let schema = DFSchema::new_with_metadata(fields, std::collections::HashMap::new())?;
    match push_form(select, &schema) {
        Err(error) => {
            let error = error.strip_backtrace();
            Ok(Err(error.strip_prefix("Error during planning: ").unwrap_or(&error).to_owned()))
        }
        Ok((rows, push)) => {
            let needed = push
                .source
                .iter()
                .map(|column| {
                    let found = table.schema().iter().find(|(_, field)| field.name() == &column.name);
                    found.map(|found| Expr::Column(Column::from(found))).ok_or_else(|| {
                        DataFusionError::Internal(format!("the column {} is not in its table", column.name))
                    })
                })
                .collect::<Result<Vec<_>>>()?;
            let source = LogicalPlanBuilder::from(table).project(needed)?.build()?;
            Ok(Ok(Body { rows, push: Some(push), materialize_only: None, source }))
        }
    }
}

/// A SELECT over one table with at most a WHERE, or what it has more than that.
fn simple_select(query: &Query) -> std::result::Result<(&Select, &TableFactor), &'static str> {
    let select = plain_select(query)?;
    match select.from.as_slice() {
        [from] if from.joins.is_empty() => match &from.relation {
            table @ TableFactor::Table { args: None, sample: None, .. } => Ok((select, table)),
            TableFactor::NestedJoin { .. } => Err("its body has a join"),
            _ => Err("its body reads a subquery or a function"),
        },
        [_] => Err("its body has a join"),
        [] => Err("its body has no FROM"),
        _ => Err("its body reads several tables"),
    }
}

/// A query that is nothing but SELECT, FROM and WHERE, or what it has more than that.
fn plain_select(query: &Query) -> std::result::Result<&Select, &'static str> {
    if query.with.is_some() {
        return Err("its body has a WITH clause");
    }
    if query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
        return Err("its body has ORDER BY or LIMIT");
    }
    let SetExpr::Select(select) = query.body.as_ref() else {
        return Err("its body combines several queries");
    };
    if select.distinct.is_some() {
        return Err("its body has DISTINCT");
    }
    let grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(exprs, modifiers) => !exprs.is_empty() || !modifiers.is_empty(),
    };
    if grouped || select.having.is_some() {
        return Err("its body has GROUP BY or HAVING");
    }
    if select.qualify.is_some() || !select.named_window.is_empty() {
        return Err("its body has QUALIFY or WINDOW");
    }
    if select.top.is_some() || select.exclude.is_some() || select.prewhere.is_some() || select.into.is_some() {
        return Err("its body has more than SELECT, FROM and WHERE");
    }
    if select.flavor != SelectFlavor::Standard || !select.lateral_views.is_empty() {
        return Err("its body has more than SELECT, FROM and WHERE");
    }
    if window::is_in(query) {
        return Err("its body has a window function with an order of its own");
    }
    Ok(select)
}

async fn plan_table(table: &TableFactor, state: &SessionState) -> Result<LogicalPlan> {
    let sql = format!("SELECT * FROM {table}");
    let plan = state.create_logical_plan(&sql).await?;
    // The projection of `*` is the table's columns with their qualifiers.
    Ok(plan)
}

fn push_form(select: &Select, schema: &DFSchema) -> Result<(Vec<ColumnType>, Push)> {
    let mut rows: Vec<ColumnType> = Vec::new();
    let mut columns: Vec<Canonical> = Vec::new();
    for item in &select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                let name = match (item, expr) {
                    (SelectItem::ExprWithAlias { alias, .. }, _) => fold(alias.clone()),
                    (_, SqlExpr::Identifier(ident)) => fold(ident.clone()),
                    (_, SqlExpr::CompoundIdentifier(idents)) => idents.last().cloned().map(fold).unwrap_or_default(),
                    (_, other) => return plan_err!("give the column a name: `{other} AS name`"),
                };
                let canonical = expression::canonicalize(expr, schema)?;
                rows.push(ColumnType::new(name, canonical.data_type.clone()));
                columns.push(canonical);
            }
            SelectItem::Wildcard(options) if options.to_string().is_empty() => {
                for field in schema.fields() {
                    let name =
                        SqlExpr::Identifier(datafusion::sql::sqlparser::ast::Ident::with_quote('"', field.name()));
                    let canonical = expression::canonicalize(&name, schema)?;
                    rows.push(ColumnType::new(field.name(), canonical.data_type.clone()));
                    columns.push(canonical);
                }
            }
            other => return plan_err!("its SELECT list has `{other}`"),
        }
    }
    let filter = select.selection.as_ref().map(|filter| expression::canonicalize(filter, schema)).transpose()?;
    if let Some(filter) = &filter
        && filter.data_type != DataType::Boolean
    {
        return plan_err!("the WHERE `{}` is of type {}, not a condition", filter.sql, filter.data_type);
    }
    let used: BTreeSet<&String> = columns.iter().chain(&filter).flat_map(|canonical| &canonical.columns).collect();
    let source = schema
        .fields()
        .iter()
        .filter(|field| used.contains(field.name()))
        .map(|field| ColumnType::new(field.name(), field.data_type().clone()))
        .collect();
    let columns = columns.into_iter().map(|canonical| canonical.sql).collect();
    Ok((rows, Push { source, filter: filter.map(|filter| filter.sql), columns }))
}

/// A body that DataFusion plans.
async fn materialized(query: Query, reason: &str, state: &SessionState) -> Result<Body> {
    let statement = SqlStatement::Statement(Box::new(Statement::Query(Box::new(query))));
    let source = state.statement_to_plan(statement).await.map_err(|error| {
        // Where both refuse the body, ours is the message that knows feature expressions.
        if reason.starts_with("unknown") || reason.contains("did you mean") {
            DataFusionError::Plan(reason.to_owned())
        } else {
            error
        }
    })?;
    refuse_unrepeatable(&source)?;
    let rows = source
        .schema()
        .fields()
        .iter()
        .map(|field| ColumnType::new(field.name(), ColumnType::plain(field.data_type())))
        .collect();
    Ok(Body { rows, push: None, materialize_only: Some(reason.to_owned()), source })
}

fn refuse_unrepeatable(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|e| match e {
                Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable => {
                    expression::refuse_function(call.func.name())
                }
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })
    })
    .map(|_| ())
}

fn on_demand(inputs: Vec<(String, SqlDataType)>, query: &Query) -> Result<OnDemand> {
    let mut columns: Vec<ColumnType> = Vec::with_capacity(inputs.len());
    for (name, data_type) in inputs {
        if columns.iter().any(|column| column.name == name) {
            return plan_err!("the input `{name}` is declared twice");
        }
        let null = SqlExpr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(SqlExpr::value(Value::Null)),
            data_type,
            array: false,
            format: None,
        };
        let canonical = expression::canonicalize(&null, &DFSchema::empty())?;
        columns.push(ColumnType::new(name, canonical.data_type));
    }
    let schema = DFSchema::try_from(Schema::new(columns.iter().map(ColumnType::field).collect::<Vec<_>>()))?;
    let only = "a view ON DEMAND has a body of `SELECT expression AS name, …` over its inputs, without FROM";
    let select = match plain_select(query) {
        Ok(select) if select.from.is_empty() && select.selection.is_none() => select,
        Ok(_) => return plan_err!("{only}"),
        Err(reason) => return plan_err!("{only}, and {reason}"),
    };
    let mut features: Vec<OnDemandFeature> = Vec::with_capacity(select.projection.len());
    for item in &select.projection {
        let (name, expr) = match item {
            SelectItem::ExprWithAlias { expr, alias } => (fold(alias.clone()), expr),
            SelectItem::UnnamedExpr(expr @ SqlExpr::Identifier(ident)) => (fold(ident.clone()), expr),
            SelectItem::UnnamedExpr(other) => return plan_err!("give the column a name: `{other} AS name`"),
            other => return plan_err!("{only}, and this one has `{other}`"),
        };
        if features.iter().any(|feature| feature.name == name) {
            return plan_err!("the view has two columns named `{name}`; name them apart");
        }
        let canonical = expression::canonicalize(expr, &schema)?;
        features.push(OnDemandFeature { name, data_type: canonical.data_type.into(), expression: canonical.sql });
    }
    Ok(OnDemand { inputs: columns, features })
}
