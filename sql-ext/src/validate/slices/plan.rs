//! From SQL to the plan: the arguments of `ml_find_slices`, checked against the data.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::utils::quote_identifier;
use datafusion::common::{Column, Result, ScalarValue, plan_datafusion_err, plan_err};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::functions_nested::expr_fn::make_array;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, cast, scalar_subquery};
use datafusion::prelude::{Expr, col, lit};
use skewless_catalog::suggest::did_you_mean;
use skewless_catalog::validate::Correction;
use skewless_catalog::validate::slices::{CORRECTIONS, Literal, MOST_COLUMNS, Options};

use super::cells::{Searched, Spec};
use super::{cells, gather, report};
use crate::context::Shared;
use crate::relation::{Arguments, find, refuse_clash};
use crate::validate::drift::{profile_function, read, reading};

/// The function's name in SQL.
pub(super) const NAME: &str = "ml_find_slices";

/// The most columns that are searched.
const MOST_SEARCHED: usize = 1_000;

/// The columns between the projections.
const LOSS: &str = "__ml_loss";
const CODES: &str = "__ml_codes";
const ROW: &str = "__ml_row";

pub(super) fn plan(
    arguments: &Arguments,
    context: &mut dyn RelationPlannerContext,
    _shared: &Shared,
) -> Result<LogicalPlan> {
    let data = arguments.relation("data", context)?;
    refuse_clash(NAME, "data", data.schema(), &[])?;
    refuse_volatile(&data)?;
    let options = options(arguments, context)?;
    let loss = loss(arguments, &data)?;
    let (spec, read) = searched(arguments, &data, options)?;
    let json = lit(spec.to_json());

    let name = |index: usize| format!("__ml_column_{index}");
    let profile = profile_function()?;
    let profiles = read.iter().enumerate().map(|(at, expr)| profile.call(vec![expr.clone()]).alias(name(at)));
    let listed = (0..read.len()).map(|at| col(Column::from_name(name(at)))).collect();
    let divided = LogicalPlanBuilder::from(data.clone())
        .aggregate(Vec::<Expr>::new(), profiles)?
        .project(vec![cells::divide().call(vec![make_array(listed), json.clone()]).alias("cells")])?
        .build()?;
    // Two equal subqueries are run once.
    let divided = scalar_subquery(Arc::new(divided));

    let codes = cells::code().call(std::iter::once(divided.clone()).chain(read).collect());
    let columns = |names: [&str; 2]| names.map(|name| col(Column::from_name(name)));
    let [loss_of_row, codes_of_row] = columns([LOSS, CODES]);
    let gathered =
        gather::function().call(vec![loss_of_row, codes_of_row, lit(spec.options.max_columns as i64)]).alias(ROW);
    let found = report::function().call(vec![col(Column::from_name(ROW)), divided, json]);
    let field = |name: &str| get_field(col(Column::from_name(ROW)), name).alias(name);
    LogicalPlanBuilder::from(data)
        .project(vec![loss.alias(LOSS), codes.alias(CODES)])?
        .aggregate(Vec::<Expr>::new(), vec![gathered])?
        .project(vec![found.alias(ROW)])?
        .unnest_column(Column::from_name(ROW))?
        .project(report::COLUMNS.map(field))?
        .alias(NAME)?
        .build()
}

/// The data is read twice, and has to be the same both times.
fn refuse_volatile(data: &LogicalPlan) -> Result<()> {
    let mut is_volatile = false;
    data.apply_with_subqueries(|node| {
        is_volatile |= node.expressions().iter().any(Expr::is_volatile);
        Ok(if is_volatile { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if is_volatile {
        return plan_err!(
            "{NAME}: the query in `data` is read twice and has a volatile function, such as random(); make a table of it: \
             CREATE TABLE t AS SELECT …"
        );
    }
    Ok(())
}

/// The loss of a row, as a number.
fn loss(arguments: &Arguments, data: &LogicalPlan) -> Result<Expr> {
    let name = arguments.string("loss")?;
    let (_, column, given) = find(NAME, "data", data.schema(), &name, "the loss of a row")?;
    if !(given.is_numeric() || *given == DataType::Boolean) {
        return plan_err!(
            "{NAME}: `{name}` is {given}, but the loss of a row is a number or a boolean, such as abs(label - prediction) AS loss"
        );
    }
    Ok(cast(Expr::Column(column), DataType::Float64))
}

/// The columns that are searched, and as what those that can be are read.
fn searched(arguments: &Arguments, data: &LogicalPlan, options: Options) -> Result<(Spec, Vec<Expr>)> {
    let loss = arguments.string("loss")?;
    let by = arguments.optional_strings("by")?;
    let names: Vec<String> = match &by {
        Some(by) => by.clone(),
        None => data.schema().fields().iter().map(|field| field.name().clone()).filter(|name| *name != loss).collect(),
    };
    let (mut spec, mut columns) = (Spec { columns: Vec::new(), others: Vec::new(), options }, Vec::new());
    for (at, name) in names.iter().enumerate() {
        let (_, column, given) = find(NAME, "data", data.schema(), name, "one of the columns in `by`")?;
        if *name == loss {
            return plan_err!("{NAME}: `by` names `{name}`, which is the loss; leave it out");
        }
        if names.iter().take(at).any(|before| before == name) {
            return plan_err!("{NAME}: `by` names `{name}` twice");
        }
        let quoted = quote_identifier(name).into_owned();
        match reading(given).filter(|_| !given.is_temporal()) {
            Some(reading) => {
                columns.push(read(Expr::Column(column), given, &reading));
                spec.columns.push(Searched { name: quoted, literal: literal(given) });
            }
            None if by.is_some() => {
                return plan_err!("{NAME}: `{name}` in `by` is {given}, which has no slices; {}", remedy(given));
            }
            None => spec.others.push((quoted, format!("{given} has no slices; {}", remedy(given)))),
        }
    }
    if columns.is_empty() {
        return plan_err!(
            "{NAME}: the data has no column besides the loss to make slices of; select numbers, texts or booleans"
        );
    }
    if columns.len() > MOST_SEARCHED {
        return plan_err!(
            "{NAME}: {} columns are more than {MOST_SEARCHED}; name those to search in `by`",
            columns.len()
        );
    }
    Ok((spec, columns))
}

fn literal(given: &DataType) -> Literal {
    match given {
        DataType::Boolean => Literal::Boolean,
        DataType::Dictionary(_, values) => literal(values),
        _ => Literal::Plain,
    }
}

fn remedy(given: &DataType) -> &'static str {
    if given.is_temporal() {
        "select a part of it, such as date_part('hour', t)"
    } else {
        "select a number, a text or a boolean of it"
    }
}

/// Whether a number is whole and between two others.
fn is_whole(number: f64, least: u32, most: u32) -> bool {
    number.fract() == 0.0 && number >= f64::from(least) && number <= f64::from(most)
}

fn options(arguments: &Arguments, context: &mut dyn RelationPlannerContext) -> Result<Options> {
    let mut options = Options::default();
    let mut number = |name: &str, what: &str, fits: fn(f64) -> bool| -> Result<Option<f64>> {
        let Some(value) = arguments.scalar(name, context)? else { return Ok(None) };
        match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(number))) if fits(number) => Ok(Some(number)),
            _ => plan_err!("{NAME}: `{name}` is {what}, not {value}"),
        }
    };
    if let Some(alpha) = number("alpha", "a share above 0 and up to 1", |alpha| alpha > 0.0 && alpha <= 1.0)? {
        options.alpha = alpha;
    }
    if let Some(effect) = number("min_effect", "a number from 0 on", |effect| effect >= 0.0 && effect.is_finite())? {
        options.min_effect = effect;
    }
    if let Some(columns) = number("max_columns", "1, 2 or 3", |n| is_whole(n, 1, MOST_COLUMNS as u32))? {
        options.max_columns = columns as usize;
    }
    if let Some(rows) = number("min_rows", "a whole number from 2 on", |n| is_whole(n, 2, u32::MAX))? {
        options.min_rows = rows as u64;
    }
    if let Some(bins) = number("bins", "a whole number from 2 to 100", |n| is_whole(n, 2, 100))? {
        options.bins = bins as usize;
    }
    if let Some(top) = number("top", "a whole number from 1 on", |n| is_whole(n, 1, u32::MAX))? {
        options.top = top as usize;
    }
    if let Some(name) = arguments.optional_string("correction")? {
        let allowed = || Correction::ALL.into_iter().filter(|(_, correction)| CORRECTIONS.contains(correction));
        let names: Vec<&str> = allowed().map(|(name, _)| name).collect();
        let correction = Correction::named(&name).ok_or_else(|| {
            let hint = did_you_mean(&name, names.iter().copied());
            plan_datafusion_err!("{NAME}: there is no correction '{name}'{hint}; there are {}", names.join(", "))
        })?;
        if !CORRECTIONS.contains(&correction) {
            return plan_err!(
                "{NAME}: the correction '{name}' is not proven for slices, which overlap; there are {}",
                names.join(", ")
            );
        }
        options.correction = correction;
    }
    Ok(options)
}
