//! Expectation suites of Great Expectations, 0.x (`expectation_type`) and 1.x (`type`).
//!
//! As there, NULL meets every expectation on values but `not_be_null`; `mostly` is the share of the values that are not
//! NULL.

use std::cell::RefCell;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use super::super::quoted;
use super::draft::{Draft, Promise, between, in_list, literal, matches, sql_type};

pub(super) fn read(suite: &Value) -> Result<Draft> {
    let text =
        |value: &Value, names: [&str; 2]| names.iter().find_map(|name| value.get(name)?.as_str()).map(str::to_owned);
    let mut draft = Draft::new("Great Expectations", text(suite, ["name", "expectation_suite_name"]).as_deref());
    let expectations = suite.get("expectations").and_then(Value::as_array);
    for (at, expectation) in expectations.context("`expectations` is no list")?.iter().enumerate() {
        let kind = text(expectation, ["type", "expectation_type"]);
        let kind = kind.with_context(|| format!("expectation {at} has neither `type` nor `expectation_type`"))?;
        let none = Map::new();
        let settings = Settings {
            given: expectation.get("kwargs").and_then(Value::as_object).unwrap_or(&none),
            read: RefCell::default(),
        };
        let what = format!("{kind}{}", settings.subject());
        // Older suites spell the columns of a pair in capitals.
        match promises(&kind.to_lowercase(), &settings).and_then(|found| settings.all_read().map(|()| found)) {
            Err(reason) => draft.leave_out(&what, &reason),
            Ok(Found { promises, remark }) => {
                for promise in promises {
                    draft.add(promise);
                }
                if let Some(remark) = remark {
                    draft.remark(&what, &remark);
                }
            }
        }
    }
    Ok(draft)
}

/// What an expectation comes to.
#[derive(Default)]
struct Found {
    promises: Vec<Promise>,
    remark: Option<String>,
}

impl From<Vec<Promise>> for Found {
    fn from(promises: Vec<Promise>) -> Self {
        Self { promises, remark: None }
    }
}

/// The kwargs of an expectation; those that are read are known.
struct Settings<'a> {
    given: &'a Map<String, Value>,
    read: RefCell<Vec<&'static str>>,
}

/// Settings that say how a result is told, not what is expected.
const OF_THE_REPORT: [&str; 7] =
    ["batch_id", "catch_exceptions", "condition_parser", "include_config", "meta", "result_format", "severity"];

impl Settings<'_> {
    fn value(&self, name: &'static str) -> Option<&Value> {
        self.read.borrow_mut().push(name);
        self.given.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &'static str) -> Result<&str, String> {
        self.value(name).and_then(Value::as_str).ok_or_else(|| format!("it has no `{name}`"))
    }

    fn list(&self, name: &'static str) -> Result<&[Value], String> {
        self.value(name).and_then(Value::as_array).map(Vec::as_slice).ok_or_else(|| format!("its `{name}` is no list"))
    }

    fn texts(&self, name: &'static str) -> Result<Vec<String>, String> {
        let texts = self.list(name)?.iter().map(|value| value.as_str().map(str::to_owned));
        texts.collect::<Option<_>>().ok_or_else(|| format!("its `{name}` holds more than texts"))
    }

    fn flag(&self, name: &'static str) -> bool {
        self.value(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A bound, and whether it is one of the values allowed.
    fn bound(&self, name: &'static str, strict: &'static str) -> Result<Option<(String, bool)>, String> {
        let is_included = !self.flag(strict);
        self.value(name).map(|value| Ok((literal(value)?, is_included))).transpose()
    }

    fn between(&self, expr: &str) -> Result<String, String> {
        let (low, high) = (self.bound("min_value", "strict_min")?, self.bound("max_value", "strict_max")?);
        between(expr, low, high).ok_or_else(|| "it has neither `min_value` nor `max_value`".to_owned())
    }

    fn subject(&self) -> String {
        let names = ["column", "column_A", "column_B"].iter().filter_map(|name| self.given.get(*name)?.as_str());
        let listed = self.given.get("column_list").and_then(Value::as_array).into_iter().flatten();
        let names: Vec<&str> = names.chain(listed.filter_map(Value::as_str)).collect();
        if names.is_empty() { String::new() } else { format!(" on {}", names.join(", ")) }
    }

    /// Refuses what the mapping has not looked at.
    fn all_read(&self) -> Result<(), String> {
        let read = self.read.borrow();
        let says_nothing = |value: &Value| value.is_null() || *value == Value::Bool(false);
        let unread = self.given.iter().find(|(name, value)| {
            !read.contains(&name.as_str()) && !OF_THE_REPORT.contains(&name.as_str()) && !says_nothing(value)
        });
        match unread {
            Some((name, value)) => Err(format!("its `{name}`, {value}, has no counterpart")),
            None => Ok(()),
        }
    }

    /// A condition on each row, or on the share of the rows where it is known.
    fn rows(&self, columns: &[&str], named: &str, condition: String) -> Result<Found, String> {
        let condition = match self.value("mostly") {
            None => condition,
            Some(mostly) => {
                let share = mostly.as_f64().ok_or_else(|| format!("its `mostly`, {mostly}, is no number"))?;
                if share >= 1.0 {
                    condition
                } else {
                    format!("avg(CASE WHEN {condition} THEN 1.0 WHEN NOT ({condition}) THEN 0.0 END) >= {share:?}")
                }
            }
        };
        let mut promises: Vec<Promise> = columns.iter().map(|name| Promise::Column((*name).to_owned())).collect();
        promises.push(Promise::Check { name: format!("{}_{named}", columns.join("_")), condition });
        Ok(promises.into())
    }

    /// A condition on all rows.
    fn whole(&self, column: &str, named: &str, expr: &str) -> Result<Found, String> {
        let check = Promise::Check { name: format!("{column}_{named}"), condition: self.between(expr)? };
        Ok(vec![Promise::Column(column.to_owned()), check].into())
    }
}

/// The promises of one expectation, or why it has no counterpart.
fn promises(kind: &str, settings: &Settings<'_>) -> Result<Found, String> {
    if settings.given.get("row_condition").is_some_and(|condition| !condition.is_null()) {
        return Err("it has a `row_condition`; check a query with that WHERE by a contract of its own".to_owned());
    }
    let table =
        |name: &str, condition: String| Ok(Found::from(vec![Promise::Check { name: name.to_owned(), condition }]));
    match kind {
        "expect_table_row_count_to_be_between" => table("row_count", settings.between("count(*)")?),
        "expect_table_row_count_to_equal" => {
            let value = settings.value("value").ok_or("it has no `value`")?;
            table("row_count", format!("count(*) = {}", literal(value)?))
        }
        "expect_table_columns_to_match_set" => {
            let is_exact = settings.value("exact_match").and_then(Value::as_bool).unwrap_or(true);
            let promises = settings.texts("column_set")?.into_iter().map(Promise::Column).collect();
            let remark = is_exact.then(|| "a contract does not refuse columns that it does not name".to_owned());
            Ok(Found { promises, remark })
        }
        "expect_compound_columns_to_be_unique" => {
            let columns = settings.texts("column_list")?;
            let remark = match settings.text("ignore_row_if") {
                Ok("any_value_is_missing") => None,
                Ok("never") => return Err("it compares NULLs, and in SQL no NULL equals another".to_owned()),
                _ => Some("rows with a NULL among these columns are different from all others".to_owned()),
            };
            Ok(Found { promises: vec![Promise::Unique(columns)], remark })
        }
        "expect_column_pair_values_a_to_be_greater_than_b" => {
            pair(settings, if settings.flag("or_equal") { ">=" } else { ">" }, "not_below")
        }
        "expect_column_pair_values_to_be_equal" => pair(settings, "=", "equal"),
        _ => of_column(kind, settings),
    }
}

fn pair(settings: &Settings<'_>, sign: &str, named: &str) -> Result<Found, String> {
    let columns = [settings.text("column_A")?, settings.text("column_B")?];
    let [a, b] = columns.map(quoted);
    let compared = format!("{a} {sign} {b}");
    let condition = match settings.text("ignore_row_if").unwrap_or("both_values_are_missing") {
        "both_values_are_missing" => {
            // NULL for the rows that are ignored, so that they are in no share.
            format!("CASE WHEN {a} IS NOT NULL OR {b} IS NOT NULL THEN coalesce({compared}, false) END")
        }
        "either_value_is_missing" => compared,
        "neither" | "never" => format!("coalesce({compared}, false)"),
        other => return Err(format!("its `ignore_row_if`, {other}, has no counterpart")),
    };
    settings.rows(&columns, named, condition)
}

fn of_column(kind: &str, settings: &Settings<'_>) -> Result<Found, String> {
    let unknown = || Err("it has no counterpart in a contract".to_owned());
    let Ok(name) = settings.text("column") else { return unknown() };
    let column = quoted(name);
    let rows = |named: &str, condition: String| settings.rows(&[name], named, condition);
    match kind {
        "expect_column_to_exist" => {
            settings.value("column_index").map_or(Ok(()), |_| Err("a contract knows columns by name, not by place"))?;
            Ok(vec![Promise::Column(name.to_owned())].into())
        }
        "expect_column_values_to_not_be_null" => match settings.value("mostly").and_then(Value::as_f64) {
            Some(share) if share < 1.0 => {
                let condition = format!("avg(CASE WHEN {column} IS NULL THEN 0.0 ELSE 1.0 END) >= {share:?}");
                let check = Promise::Check { name: format!("{name}_complete"), condition };
                Ok(vec![Promise::Column(name.to_owned()), check].into())
            }
            _ => Ok(vec![Promise::NotNull(name.to_owned())].into()),
        },
        "expect_column_values_to_be_null" => rows("null", format!("{column} IS NULL")),
        "expect_column_values_to_be_unique" => match settings.value("mostly").and_then(Value::as_f64) {
            Some(share) if share < 1.0 => Err("UNIQUE has no share of the rows for `mostly`".to_owned()),
            _ => Ok(vec![Promise::Unique(vec![name.to_owned()])].into()),
        },
        "expect_column_values_to_be_of_type" => {
            let given = settings.text("type_")?;
            let data_type = sql_type(given).ok_or_else(|| format!("the type {given} has no counterpart"))?;
            Ok(vec![Promise::Type(name.to_owned(), data_type)].into())
        }
        "expect_column_values_to_be_in_type_list" => {
            let given = settings.texts("type_list")?;
            let types: Vec<&str> = given.iter().filter_map(|name| sql_type(name)).collect();
            match types.as_slice() {
                [first, rest @ ..] if types.len() == given.len() && rest.iter().all(|other| other == first) => {
                    let data_type = sql_type(given.first().map_or("", String::as_str)).unwrap_or("VARCHAR");
                    Ok(vec![Promise::Type(name.to_owned(), data_type)].into())
                }
                _ => Err("its types are not one in SQL".to_owned()),
            }
        }
        "expect_column_values_to_be_between" => rows("between", settings.between(&column)?),
        "expect_column_values_to_be_in_set" => rows("in_set", in_list(&column, settings.list("value_set")?, false)?),
        "expect_column_values_to_not_be_in_set" => {
            rows("not_in_set", in_list(&column, settings.list("value_set")?, true)?)
        }
        "expect_column_values_to_match_regex" => rows("matches", matches(&column, settings.text("regex")?)?),
        "expect_column_values_to_not_match_regex" => {
            rows("not_matches", format!("NOT {}", matches(&column, settings.text("regex")?)?))
        }
        "expect_column_values_to_match_regex_list" => {
            let joint = match settings.text("match_on").unwrap_or("any") {
                "any" => " OR ",
                "all" => " AND ",
                other => return Err(format!("its `match_on`, {other}, has no counterpart")),
            };
            let all = settings.texts("regex_list")?;
            let all = all.iter().map(|pattern| matches(&column, pattern)).collect::<Result<Vec<_>, _>>()?;
            if all.is_empty() {
                Err("its list of patterns is empty".to_owned())
            } else {
                rows("matches", all.join(joint))
            }
        }
        "expect_column_value_lengths_to_be_between" => {
            rows("length", settings.between(&format!("character_length({column})"))?)
        }
        "expect_column_value_lengths_to_equal" => {
            let value = settings.value("value").ok_or("it has no `value`")?;
            rows("length", format!("character_length({column}) = {}", literal(value)?))
        }
        "expect_column_min_to_be_between" => settings.whole(name, "min", &format!("min({column})")),
        "expect_column_max_to_be_between" => settings.whole(name, "max", &format!("max({column})")),
        "expect_column_mean_to_be_between" => settings.whole(name, "mean", &format!("avg({column})")),
        "expect_column_median_to_be_between" => {
            settings.whole(name, "median", &format!("median(CAST({column} AS DOUBLE))"))
        }
        "expect_column_sum_to_be_between" => settings.whole(name, "sum", &format!("sum({column})")),
        "expect_column_stdev_to_be_between" => settings.whole(name, "stdev", &format!("stddev({column})")),
        "expect_column_unique_value_count_to_be_between" => {
            settings.whole(name, "distinct", &format!("count(DISTINCT {column})"))
        }
        _ => unknown(),
    }
}
