//! `POST /push`: rows of a view's source, evaluated by the expressions that the view was created with, and appended to
//! the history of their entities.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema};
use serde::Deserialize;
use serde_json::{Value, json};
use skewless_catalog::suggest::did_you_mean;
use skewless_udf::view::FeatureTable;

use crate::door;
use crate::json::column;
use crate::problem::{Problem, Result};
use crate::server::Limits;
use crate::store::{KeyValue, Views, append, plain, shown};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    push_source_name: String,
    df: BTreeMap<String, Vec<Value>>,
    #[serde(default)]
    to: Option<String>,
    /// Feast's own settings, which have no meaning here.
    #[serde(default, rename = "allow_registry_cache")]
    _allow_registry_cache: Option<bool>,
    #[serde(default)]
    transform_on_write: Option<bool>,
}

/// Records the rows; says how many were recorded, how many the view's WHERE left out, and what breaks its contracts.
pub(crate) async fn push(store: &impl KeyValue, views: &Views, limits: &Limits, body: &Body) -> Result<Value> {
    if let Some(to) = body.to.as_deref().filter(|to| *to != "online") {
        return Err(Problem::bad(format!(
            "to is `{}`; rows can be pushed to `online` only, the offline rows are those of the view's source",
            shown(to)
        )));
    }
    if body.transform_on_write == Some(false) {
        return Err(Problem::bad(
            "transform_on_write is false; rows of the source are pushed, and the view's expressions make its features \
             of them",
        ));
    }
    let view = views.get(store, &body.push_source_name).await?;
    let Some(recorded) = view.recorded() else {
        return Err(Problem::bad(format!(
            "the feature view `{}` is ON DEMAND: it has no rows to push to, its inputs come with each request",
            view.name
        )));
    };
    let Some(source) = &recorded.push else {
        return Err(Problem::bad(format!(
            "rows of the feature view `{}` cannot be pushed, only materialized: {}",
            view.name,
            recorded.materialize_only.as_deref().unwrap_or("its body is more than scan, filter and projection")
        )));
    };
    let count = body.df.values().next().map_or(0, Vec::len);
    if count == 0 {
        return Err(Problem::bad("df has no rows; give each column of the source as a list"));
    }
    if count > limits.rows {
        return Err(Problem::bad(format!("df has {count} rows and the limit is {}; split the request", limits.rows)));
    }
    if let Some((name, other)) = body.df.iter().find(|(_, values)| values.len() != count) {
        return Err(Problem::bad(format!(
            "the column `{}` of df has {} values and others have {count}",
            shown(name),
            other.len()
        )));
    }
    let mut fields = Vec::with_capacity(source.source.len());
    let mut columns = Vec::with_capacity(source.source.len());
    for wanted in &source.source {
        let Some(values) = body.df.get(&wanted.name) else {
            return Err(Problem::bad(format!(
                "df has no column `{}`, which the feature view `{}` reads from its source{}",
                wanted.name,
                view.name,
                did_you_mean(&wanted.name, body.df.keys().map(String::as_str))
            )));
        };
        let array = column(&format!("the column `{}`", wanted.name), values, &wanted.data_type.0)?;
        fields.push(Field::new(&wanted.name, array.data_type().clone(), true));
        columns.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let pushed = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .map_err(|error| Problem::broken(plain(&error)))?;
    let violations = door::check(&view, &pushed)?;
    let wrong = |error: &dyn std::fmt::Display| Problem::bad(plain(&error));
    let made = view.rows_from_source(&pushed).map_err(|error| wrong(&error))?;
    let kept = made.num_rows();
    let table = FeatureTable::new(Arc::clone(&view), vec![made]).map_err(|error| wrong(&error))?;
    let fresh: Vec<(String, RecordBatch)> = table.entities().map_err(|error| wrong(&error))?.collect();
    let recorded_rows: usize = fresh.iter().map(|(_, rows)| rows.num_rows()).sum();
    for (entity, batch) in &fresh {
        append(store, &view, entity, batch).await?;
    }
    let mut answer = json!({
        "recorded": recorded_rows,
        "entities": fresh.len(),
        "filtered": count - kept,
        "null_key": kept - recorded_rows,
    });
    if let Some(violations) = violations {
        answer["violations"] = violations.into();
    }
    Ok(answer)
}
