//! The contracts of a feature view, checked where its rows and inputs come in.

use arrow::array::RecordBatch;
use serde_json::{Map, Value, json};
use skewless_udf::contract::Breach;
use skewless_udf::view::FeatureView;

use crate::json::values;
use crate::problem::{Problem, Result};
use crate::store::plain;

/// How many rows that break a rule are shown.
const SHOWN: usize = 10;

/// What breaks the contracts that are counted only, as the answer tells it; `None` where the view has no contract. Rows
/// that break an enforced contract are refused with a 422 that holds all of it.
pub(crate) fn check(view: &FeatureView, rows: &RecordBatch) -> Result<Option<Vec<Value>>> {
    if view.contracts.is_empty() {
        return Ok(None);
    }
    let breaches = view.breaches(rows).map_err(|error| Problem::bad(plain(&error)))?;
    let told = breaches.iter().map(|breach| told(breach, rows)).collect::<Result<Vec<_>>>()?;
    let Some(first) = breaches.iter().find(|breach| breach.is_enforced) else { return Ok(Some(told)) };
    let Breach { contract, rule, rows: broken, .. } = first;
    let row = broken.first().copied().unwrap_or_default();
    let all: usize = breaches.iter().filter(|breach| breach.is_enforced).map(|breach| breach.rows.len()).sum();
    let more = if all > 1 { format!("; {all} violations in all, see `violations`") } else { String::new() };
    Err(Problem {
        violations: Some(Value::Array(told)),
        ..Problem::new(
            422,
            format!(
                "row {row} breaks the rule `{}` of the contract `{contract}`, {}: {}{more}",
                rule.name,
                rule.text,
                shown(&row_values(first, rows, row)?)
            ),
        )
    })
}

fn told(breach: &Breach, rows: &RecordBatch) -> Result<Value> {
    let examples =
        breach.rows.iter().take(SHOWN).map(|row| Ok(json!({"row": row, "values": row_values(breach, rows, *row)?})));
    Ok(json!({
        "contract": breach.contract,
        "rule": breach.rule.name,
        "promise": breach.rule.text,
        "columns": breach.rule.columns,
        "enforced": breach.is_enforced,
        "violations": breach.rows.len(),
        "examples": examples.collect::<Result<Vec<_>>>()?,
    }))
}

/// The values of the columns that the rule reads.
fn row_values(breach: &Breach, rows: &RecordBatch, row: usize) -> Result<Map<String, Value>> {
    let of = |name: &String| {
        let Some(column) = rows.column_by_name(name) else { return Ok((name.clone(), Value::Null)) };
        Ok((name.clone(), values(&column.slice(row, 1))?.pop().unwrap_or(Value::Null)))
    };
    breach.rule.columns.iter().map(of).collect()
}

fn shown(values: &Map<String, Value>) -> String {
    let parts: Vec<String> =
        values.iter().map(|(name, value)| format!("{name} is {}", crate::store::shown(&value.to_string()))).collect();
    parts.join(", ")
}
