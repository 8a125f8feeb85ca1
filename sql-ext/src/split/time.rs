//! `ml_time_split`: train before test, with what stands on both sides of a boundary taken out.
//!
//! A row at time t has features of events in [t − look-back, t] and a label of events in (t, t + horizon]. With `b` a
//! boundary (`validation_from`, `test_from`, or the start of a fold):
//!
//! - a row before `b` is *purged* where t + horizon > b: its label is known only after `b`;
//! - a row from `b` on is *embargoed* where t − look-back <= b: its features may reach events of the side before.
//!
//! Guarantee: the rows kept before a boundary are made of events up to `b` alone, those kept after it of later events
//! alone. So no event is in a label or a feature on both sides, and every training label was known when the first test row
//! was predicted. Nothing else is taken out. Without `features` and `look_back` there is no embargo, and the guarantee is
//! that of the labels alone: those before a boundary are known by it, so no label's events are on both sides.

use datafusion::common::{DataFusionError, Result, ScalarValue, plan_datafusion_err, plan_err};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, when};
use datafusion::prelude::{Expr, lit};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use skewless_udf::view::{FeatureValue, Scale, Span, time_name, time_values};

use super::SPLIT;
use crate::context::Shared;
use crate::ddl::{check_span, span};
use crate::relation::{Arguments, find, refuse_clash};
use crate::training::Reference;

/// The function's name in SQL.
pub(super) const NAME: &str = "ml_time_split";

/// How many folds one call makes at most; each is a column.
const MOST_FOLDS: i64 = 1000;

pub(super) fn plan(
    arguments: &Arguments,
    context: &mut dyn RelationPlannerContext,
    shared: &Shared,
) -> Result<LogicalPlan> {
    let data = arguments.relation("data", context)?;
    let timestamp = arguments.string("timestamp")?;
    let (_, column, data_type) = find(NAME, "data", data.schema(), &timestamp, "the time of its rows")?;
    let Some(scale) = Scale::of(data_type) else {
        return plan_err!(
            "{NAME}: the time `{timestamp}` is of type {data_type}; it takes a timestamp, a date or an integer, so cast it"
        );
    };
    let time = Time { column: Expr::Column(column), data_type: data_type.clone(), scale };

    let Some(horizon) = length(arguments, "horizon", &timestamp, data_type)? else {
        return plan_err!("{NAME}: argument `horizon` must not be NULL; where a label is known at once, it is 0");
    };
    let look_back = look_back(arguments, &timestamp, data_type, shared)?;
    let test_from = time.instant(arguments, "test_from", context)?;
    let Some(test_from) = test_from else { return plan_err!("{NAME}: argument `test_from` must not be NULL") };
    let validation_from = time.instant(arguments, "validation_from", context)?;
    let rule = Rule { time, horizon, look_back };

    let splits = match (folds(arguments, context)?, length(arguments, "fold_size", &timestamp, data_type)?) {
        (None, None) => {
            if let Some(validation_from) = validation_from {
                rule.check_validation(validation_from, test_from)?;
            }
            vec![(SPLIT.to_owned(), rule.split(validation_from, test_from, None)?)]
        }
        (Some(_), Some(_)) if validation_from.is_some() => {
            return plan_err!("{NAME}: folds have a test split alone; leave `validation_from` or `folds` out");
        }
        (Some(folds), Some(size)) if size > 0 => (0..folds)
            .map(|fold| {
                let from = test_from + i128::from(fold) * size;
                Ok((format!("{SPLIT}_{}", fold + 1), rule.split(None, from, Some(from + size))?))
            })
            .collect::<Result<Vec<_>>>()?,
        (Some(_), Some(_)) => return plan_err!("{NAME}: `fold_size` is 0, so the folds are empty; make it longer"),
        _ => {
            return plan_err!(
                "{NAME}: `folds` and `fold_size` go together: folds => 5, fold_size => INTERVAL '30 days'"
            );
        }
    };
    let names: Vec<String> = splits.iter().map(|(name, _)| name.clone()).collect();
    refuse_clash(NAME, "data", data.schema(), &names)?;
    let columns: Vec<Expr> = data.schema().columns().into_iter().map(Expr::Column).collect();
    let splits = splits.into_iter().map(|(name, split)| split.alias(name));
    LogicalPlanBuilder::from(data).project(columns.into_iter().chain(splits))?.alias(NAME)?.build()
}

/// A length of time among the arguments, in the steps of [`Scale::steps`].
fn length(arguments: &Arguments, name: &str, column: &str, time: &DataType) -> Result<Option<i128>> {
    let Some(value) = arguments.expr(name) else { return Ok(None) };
    let what = format!("{NAME}: `{name}`");
    let length = span(value, &what)?;
    check_span(length, &what, column, time)?;
    Ok(length.steps())
}

fn folds(arguments: &Arguments, context: &mut dyn RelationPlannerContext) -> Result<Option<i64>> {
    match arguments.scalar("folds", context)? {
        None => Ok(None),
        Some(ScalarValue::Int64(Some(folds))) if (1..=MOST_FOLDS).contains(&folds) => Ok(Some(folds)),
        Some(other) => plan_err!("{NAME}: `folds` takes a whole number from 1 to {MOST_FOLDS}, not {other}"),
    }
}

/// How far the features reach back: the greatest ttl of their plain columns and range of their windows; `None` where the
/// call names neither features nor a look-back.
fn look_back(arguments: &Arguments, timestamp: &str, time: &DataType, shared: &Shared) -> Result<Option<i128>> {
    let stated = length(arguments, "look_back", timestamp, time)?;
    let Some(references) = arguments.optional_strings("features")? else { return Ok(stated) };
    let mut longest = stated.unwrap_or(0);
    for text in references {
        let reference = Reference::parse(&text)?;
        let view = shared.views.find(&reference.view)?;
        let view = match &reference.feature {
            Some(feature) => view.definition.select(&[feature])?,
            None => view.definition.as_ref().clone(),
        };
        // A view on demand reads its row, and features of other views that are listed themselves.
        let Some(recorded) = view.recorded() else { continue };
        for feature in &recorded.features {
            let (reach, remedy) = match &feature.value {
                FeatureValue::Plain { .. } => (recorded.ttl, "give the view a TTL"),
                FeatureValue::Window(window) => (Some(window.range), "give the window a RANGE"),
            };
            let reach = reach.unwrap_or(Span::Unbounded);
            check_span(reach, &format!("the look-back of `{}:{}`", view.name, feature.name), timestamp, time)?;
            match (reach.steps(), stated) {
                (Some(steps), _) => longest = longest.max(steps),
                (None, Some(_)) => {}
                (None, None) => {
                    return plan_err!(
                        "{NAME}: `{}:{}` reaches back without limit, so an embargo after a boundary would have no end; \
                         {remedy}, leave the feature out of `features`, or say how far back it matters with \
                         look_back => INTERVAL '…'",
                        view.name,
                        feature.name
                    );
                }
            }
        }
    }
    Ok(Some(longest))
}

/// The column that holds the time of a row.
struct Time {
    column: Expr,
    data_type: DataType,
    scale: Scale,
}

impl Time {
    /// An instant among the arguments, in steps.
    fn instant(
        &self,
        arguments: &Arguments,
        name: &str,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<Option<i128>> {
        let Some(value) = arguments.scalar(name, context)? else { return Ok(None) };
        let wrong = || {
            plan_datafusion_err!(
                "{NAME}: `{name}` is {value} of type {}, and the time of the rows is {} ({}); give a time of that kind",
                value.data_type(),
                time_name(&self.data_type),
                self.data_type
            )
        };
        let parsed = if value.data_type().is_string() && !self.data_type.is_integer() {
            value.cast_to(&DataType::Timestamp(TimeUnit::Nanosecond, None)).map_err(|_| wrong())?
        } else {
            value.clone()
        };
        let (scale, values) = time_values(&parsed.to_array()?, name).map_err(|_| wrong())?;
        if scale.finer(self.scale).is_none() {
            return Err(wrong());
        }
        let values = values.as_primitive::<Int64Type>();
        if values.is_empty() || values.is_null(0) {
            return Err(wrong());
        }
        Ok(Some(i128::from(values.value(0)) * scale.steps()))
    }

    /// Whether a row's time is at or after an instant: exact, in the column's own unit.
    fn from(&self, steps: i128) -> Result<Expr> {
        let unit = self.scale.steps();
        let units = -(-steps).div_euclid(unit);
        Ok(match self.literal(units)? {
            Some(bound) => self.column.clone().gt_eq(lit(bound)),
            // Beyond what the type holds.
            None => lit(units < 0),
        })
    }

    fn literal(&self, units: i128) -> Result<Option<ScalarValue>> {
        let Ok(value) = i64::try_from(units) else { return Ok(None) };
        Ok(Some(match &self.data_type {
            DataType::Timestamp(unit, zone) => {
                let zone = zone.clone();
                match unit {
                    TimeUnit::Second => ScalarValue::TimestampSecond(Some(value), zone),
                    TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(Some(value), zone),
                    TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(Some(value), zone),
                    TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(Some(value), zone),
                }
            }
            DataType::Date32 => match i32::try_from(value) {
                Ok(days) => ScalarValue::Date32(Some(days)),
                Err(_) => return Ok(None),
            },
            DataType::Date64 => ScalarValue::Date64(Some(value)),
            integer => match ScalarValue::Int64(Some(value)).cast_to(integer) {
                Ok(bound) if !bound.is_null() => bound,
                Ok(_) | Err(DataFusionError::ArrowError(..)) => return Ok(None),
                Err(other) => return Err(other),
            },
        }))
    }
}

/// What is kept on either side of a boundary.
struct Rule {
    time: Time,
    horizon: i128,
    look_back: Option<i128>,
}

impl Rule {
    /// The split of a row: train, then validation if there is one, then test up to `end` (exclusive), then later.
    fn split(&self, validation_from: Option<i128>, test_from: i128, end: Option<i128>) -> Result<Expr> {
        let mut cases = vec![(self.time.column.clone().is_null(), lit(ScalarValue::Utf8(None)))];
        if let Some(end) = end {
            cases.push((self.time.from(end)?, lit("later")));
        }
        for (name, boundary) in [("test", Some(test_from)), ("validation", validation_from)] {
            let Some(boundary) = boundary else { continue };
            match self.look_back {
                None => cases.push((self.time.from(boundary)?, lit(name))),
                Some(look_back) => {
                    cases.push((self.time.from(boundary + look_back + 1)?, lit(name)));
                    cases.push((self.time.from(boundary)?, lit("embargoed")));
                }
            }
            cases.push((self.time.from(boundary - self.horizon + 1)?, lit("purged")));
        }
        let mut cases = cases.into_iter();
        let Some((first, value)) = cases.next() else {
            return datafusion::common::internal_err!("a split has a case for NULL");
        };
        let mut chain = when(first, value);
        for (condition, value) in cases {
            chain = chain.when(condition, value);
        }
        chain.otherwise(lit("train"))
    }

    /// Refuses boundaries between which no row is left.
    fn check_validation(&self, validation_from: i128, test_from: i128) -> Result<()> {
        if validation_from >= test_from {
            return plan_err!("{NAME}: `validation_from` is not before `test_from`; exchange them");
        }
        let first = self.look_back.map_or(validation_from, |look_back| validation_from + look_back + 1);
        if first > test_from - self.horizon {
            return plan_err!(
                "{NAME}: no row can be 'validation': between `validation_from` and `test_from` the embargo ends after the \
                 purge begins; move them apart by more than the look-back and the horizon"
            );
        }
        Ok(())
    }
}
