//! `POST /get-online-features`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Schema};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use skewless_catalog::suggest::did_you_mean;
use skewless_udf::view::{FeatureTable, FeatureView, Kind, Lookup, Status, entity_key};

use crate::door;
use crate::json::{column, instant, times, values};
use crate::problem::{Problem, Result};
use crate::server::Limits;
use crate::store::{KeyValue, Views, history, plain, shown};

/// What Feast gives as the time of a value that has none; its client reads the field without looking at the status.
const NO_TIME: &str = "1970-01-01T00:00:00Z";

/// The separator of view and feature in a full name.
const FULL: &str = "__";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    #[serde(default)]
    features: Option<Vec<String>>,
    #[serde(default)]
    feature_service: Option<String>,
    entities: BTreeMap<String, Vec<Value>>,
    #[serde(default)]
    full_feature_names: bool,
    #[serde(default)]
    as_of: Value,
    /// Sent by some of Feast's clients; there is no cache to control.
    #[serde(default, rename = "allow_registry_cache")]
    _allow_registry_cache: Option<bool>,
}

/// One feature of the answer.
struct Wanted {
    view: String,
    feature: String,
}

/// What is known of one view for all rows of the request.
struct Answer {
    /// One column for each feature of the view, in its order.
    columns: Vec<ArrayRef>,
    view: Arc<FeatureView>,
    /// The parts of a look-up that are not values; an on-demand view has none.
    lookup: Option<Lookup>,
}

impl Answer {
    fn column(&self, feature: &str) -> Option<(&ArrayRef, bool)> {
        let position = self.view.feature_fields().iter().position(|field| field.name() == feature)?;
        let window = self.view.recorded().is_some_and(|recorded| {
            use skewless_udf::view::FeatureValue;
            recorded.features.get(position).is_some_and(|feature| matches!(feature.value, FeatureValue::Window(_)))
        });
        Some((self.columns.get(position)?, window))
    }
}

/// A request being answered.
struct Asked<'a, S: KeyValue> {
    store: &'a S,
    views: &'a Views,
    entities: &'a BTreeMap<String, Vec<Value>>,
    rows: usize,
    as_of: Option<&'a Value>,
    now: i64,
    answers: HashMap<String, Answer>,
    /// What breaks the contracts of the views; `None` where none of them has one.
    violations: Option<Vec<Value>>,
}

/// Answers the request. What `entities` holds beyond what the views read is given back as it came: a caller may send
/// the same row whatever it asks for, and a name that was mistyped leaves the right one missing, which is refused.
pub(crate) async fn get<S: KeyValue>(
    store: &S,
    views: &Views,
    limits: &Limits,
    body: &Body,
    now: i64,
) -> Result<Value> {
    let as_of = Some(&body.as_of).filter(|as_of| !as_of.is_null());
    let rows = row_count(&body.entities, as_of, limits)?;
    if let Some(Value::Array(times)) = as_of
        && times.len() != rows
    {
        return Err(Problem::bad(format!(
            "as_of is a list of {} times and there are {rows} rows of entities; give one time, or one for each row",
            times.len()
        )));
    }
    let mut asked =
        Asked { store, views, entities: &body.entities, rows, as_of, now, answers: HashMap::new(), violations: None };
    let wanted = wanted(&mut asked, body, limits).await?;
    let names = names(&wanted, &body.entities, body.full_feature_names)?;
    if rows.saturating_mul(names.len()) > limits.values {
        return Err(Problem::bad(format!(
            "the answer would have {} values and the limit is {}; ask for fewer rows or features in one request",
            rows.saturating_mul(names.len()),
            limits.values
        )));
    }
    for wanted in &wanted {
        asked.answer(&wanted.view, 0).await?;
    }
    render(&asked, &wanted, &names)
}

/// The number of rows: every list of entities is as long as the others. A request without entities, which is one for
/// views without a key, has a row for each as-of time.
fn row_count(entities: &BTreeMap<String, Vec<Value>>, as_of: Option<&Value>, limits: &Limits) -> Result<usize> {
    let Some((first, values)) = entities.iter().next() else {
        let rows = as_of.and_then(Value::as_array).map_or(1, Vec::len);
        return within(rows, limits);
    };
    if let Some((other, longer)) = entities.iter().find(|(_, list)| list.len() != values.len()) {
        return Err(Problem::bad(format!(
            "`{}` has {} values and `{}` has {}; every list in entities has one value for each row",
            shown(first),
            values.len(),
            shown(other),
            longer.len()
        )));
    }
    within(values.len(), limits)
}

fn within(rows: usize, limits: &Limits) -> Result<usize> {
    if rows > limits.rows {
        return Err(Problem::bad(format!("there are {rows} rows and the limit is {}; split the request", limits.rows)));
    }
    Ok(rows)
}

/// The features asked for, in order.
async fn wanted<S: KeyValue>(asked: &mut Asked<'_, S>, body: &Body, limits: &Limits) -> Result<Vec<Wanted>> {
    let features = match (&body.features, &body.feature_service) {
        (Some(features), None) if !features.is_empty() => features,
        (_, Some(service)) => {
            return Err(Problem::bad(format!(
                "feature_service `{}`: there are no feature services; list the features, such as \
                 {{\"features\": [\"view:feature\", \"other_view\"]}}",
                shown(service)
            )));
        }
        _ => {
            return Err(Problem::bad(
                "features is missing or empty; list them, such as {\"features\": [\"view:feature\", \"other_view\"]}",
            ));
        }
    };
    let mut wanted: Vec<Wanted> = Vec::new();
    let many = || Problem::bad(format!("more than {} features were asked for; split the request", limits.features));
    if features.len() > limits.features {
        return Err(many());
    }
    for reference in features {
        let (view, feature) = match reference.split_once(':') {
            Some((view, feature)) => (view, Some(feature)),
            None => (reference.as_str(), None),
        };
        let definition = asked.views.get(asked.store, view).await?;
        let known: Vec<String> = definition.feature_fields().iter().map(|field| field.name().clone()).collect();
        let chosen = match feature {
            None => known,
            Some(feature) if known.iter().any(|known| known == feature) => vec![feature.to_owned()],
            Some(feature) => {
                return Err(Problem::missing(format!(
                    "the feature view `{view}` has no feature `{}`{}; its features are {}",
                    shown(feature),
                    did_you_mean(feature, known.iter().map(String::as_str)),
                    list(&known)
                )));
            }
        };
        for feature in chosen {
            if !wanted.iter().any(|wanted| wanted.view == view && wanted.feature == feature) {
                wanted.push(Wanted { view: view.to_owned(), feature });
            }
        }
        if wanted.len() > limits.features {
            return Err(many());
        }
    }
    Ok(wanted)
}

/// The names of the answer's columns: entities first, as Feast has them.
fn names(wanted: &[Wanted], entities: &BTreeMap<String, Vec<Value>>, full: bool) -> Result<Vec<String>> {
    let mut names: Vec<String> = entities.keys().cloned().collect();
    for wanted in wanted {
        let name = if full { format!("{}{FULL}{}", wanted.view, wanted.feature) } else { wanted.feature.clone() };
        if names.contains(&name) {
            return Err(Problem::bad(format!(
                "two columns of the answer would be named `{name}`; ask with \"full_feature_names\": true, which names \
                 them view{FULL}feature"
            )));
        }
        names.push(name);
    }
    Ok(names)
}

impl<S: KeyValue> Asked<'_, S> {
    /// Looks a view up, or evaluates it, for all rows, once.
    async fn answer(&mut self, name: &str, depth: usize) -> Result<()> {
        if self.answers.contains_key(name) {
            return Ok(());
        }
        if depth > 16 {
            return Err(Problem::broken(format!("the feature view `{name}` reads itself through its inputs")));
        }
        let view = self.views.get(self.store, name).await?;
        let answer = match view.kind {
            Kind::Recorded(_) => self.recorded(view).await?,
            Kind::OnDemand(_) => Box::pin(self.on_demand(view, depth)).await?,
        };
        self.answers.insert(name.to_owned(), answer);
        Ok(())
    }

    async fn recorded(&mut self, view: Arc<FeatureView>) -> Result<Answer> {
        let fields = view.entity_fields();
        let mut keys = Vec::with_capacity(fields.len());
        for field in &fields {
            let values = self.given(&view, field, "entity")?;
            keys.push(column(&format!("the entity `{}`", field.name()), values, field.data_type())?);
        }
        let times = self.times(&view)?;
        // A key that the view's type cannot hold is no entity; the look-up says so.
        let own: Vec<ArrayRef> = keys
            .iter()
            .zip(&fields)
            .map(|(key, field)| cast(key, field.data_type()))
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| Problem::bad(plain(&error)))?;
        let mut asked: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for row in 0..self.rows {
            if let Some(entity) = entity_key(&own, row) {
                asked.entry(entity).or_default().push(row as u32);
            }
        }
        let mut batches = Vec::with_capacity(asked.len());
        for (entity, own) in asked {
            let own = take(&times, &UInt32Array::from(own), None).map_err(|error| Problem::broken(plain(&error)))?;
            batches.extend(history(self.store, &view, &entity, &own).await?);
        }
        let lookup = FeatureTable::new(Arc::clone(&view), batches)
            .and_then(|table| table.lookup(&keys, &times))
            .map_err(|error| Problem::bad(plain(&error)))?;
        Ok(Answer { columns: lookup.values.clone(), view, lookup: Some(lookup) })
    }

    async fn on_demand(&mut self, view: Arc<FeatureView>, depth: usize) -> Result<Answer> {
        let mut fields = Vec::new();
        let mut columns = Vec::new();
        for field in view.input_fields() {
            let array = if let Some(array) = self.other(&field, depth).await? {
                array
            } else {
                let values = self.given(&view, &field, "input")?;
                column(&format!("the input `{}`", field.name()), values, field.data_type())?
            };
            fields.push(Field::new(field.name(), array.data_type().clone(), true));
            columns.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let inputs = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
            .map_err(|error| Problem::broken(plain(&error)))?;
        if let Some(found) = door::check(&view, &inputs)? {
            self.violations.get_or_insert_default().extend(found);
        }
        let features = view.evaluate(&inputs).map_err(|error| Problem::bad(plain(&error)))?;
        Ok(Answer { columns: features.columns().to_vec(), view, lookup: None })
    }

    /// An input that is not given but is the feature of another view, by its full name.
    async fn other(&mut self, field: &Field, depth: usize) -> Result<Option<ArrayRef>> {
        if self.entities.contains_key(field.name()) {
            return Ok(None);
        }
        let Some((view, feature)) = field.name().split_once(FULL) else { return Ok(None) };
        match self.answer(view, depth + 1).await {
            // A name may hold the separator and be no feature's; then the input itself is missing.
            Err(problem) if problem.status == 404 => return Ok(None),
            answered => answered?,
        }
        Ok(self.answers.get(view).and_then(|answer| answer.column(feature)).map(|(array, _)| Arc::clone(array)))
    }

    fn given(&self, view: &FeatureView, field: &Field, kind: &str) -> Result<&[Value]> {
        self.entities.get(field.name()).map(Vec::as_slice).ok_or_else(|| {
            Problem::bad(format!(
                "the feature view `{}` needs the {kind} `{}` in entities{}",
                view.name,
                field.name(),
                did_you_mean(field.name(), self.entities.keys().map(String::as_str))
            ))
        })
    }

    /// The as-of times for a view: the request's, or now.
    fn times(&self, view: &FeatureView) -> Result<ArrayRef> {
        let own = view.timestamp_field().map(|field| field.data_type().clone());
        let integer = own.as_ref().is_some_and(DataType::is_integer);
        let given: Vec<Value> = match self.as_of {
            None if integer => {
                return Err(Problem::bad(format!(
                    "the time of the feature view `{}` is an integer, for which there is no current time; give as_of",
                    view.name
                )));
            }
            None => return Ok(Arc::new(TimestampMicrosecondArray::from(vec![self.now; self.rows]))),
            Some(Value::Array(times)) => times.clone(),
            Some(one) => vec![one.clone(); self.rows],
        };
        match own {
            Some(data_type) if integer => column("as_of", &given, &data_type),
            _ => times(&given),
        }
    }
}

/// The answer in Feast's shape.
fn render<S: KeyValue>(asked: &Asked<'_, S>, wanted: &[Wanted], names: &[String]) -> Result<Value> {
    let mut results = Vec::with_capacity(names.len());
    for given in asked.entities.values() {
        let statuses: Vec<&str> =
            given.iter().map(|value| if value.is_null() { "NULL_VALUE" } else { "PRESENT" }).collect();
        results.push(json!({
            "values": given, "statuses": statuses, "event_timestamps": vec![NO_TIME; asked.rows],
        }));
    }
    for wanted in wanted {
        let answer = asked.answers.get(&wanted.view);
        let Some((answer, (array, window))) = answer.and_then(|a| Some((a, a.column(&wanted.feature)?))) else {
            return Err(Problem::broken(format!("`{}:{}` was not computed", wanted.view, wanted.feature)));
        };
        let mut statuses = Vec::with_capacity(asked.rows);
        let mut event_times = Vec::with_capacity(asked.rows);
        for row in 0..asked.rows {
            let status = answer.lookup.as_ref().and_then(|lookup| lookup.status.get(row)).copied();
            statuses.push(feast_status(status, array.is_null(row), window));
            event_times.push(match &answer.lookup {
                Some(lookup) if lookup.event_time.is_valid(row) => event_time(&lookup.event_time, row)?,
                _ => NO_TIME.to_owned(),
            });
        }
        results.push(json!({"values": values(array)?, "statuses": statuses, "event_timestamps": event_times}));
    }
    let mut views = Map::new();
    for wanted in wanted {
        let Some(lookup) = asked.answers.get(&wanted.view).and_then(|answer| answer.lookup.as_ref()) else { continue };
        if !views.contains_key(&wanted.view) {
            let status: Vec<&str> = lookup.status.iter().map(|status| status.as_str()).collect();
            let known = json!({
                "status": status,
                "event_time": values(&lookup.event_time)?,
                "available_at": values(&lookup.available_at)?,
            });
            views.insert(wanted.view.clone(), known);
        }
    }
    let mut own = json!({"views": views});
    if let Some(violations) = &asked.violations {
        own["violations"] = violations.clone().into();
    }
    Ok(json!({
        "metadata": {"feature_names": names},
        "results": results,
        "skewless": own,
    }))
}

/// Feast's status of one value. `status` is that of the row that counts, absent for an on-demand feature; a window has
/// a value of its own where no row counts.
fn feast_status(status: Option<Status>, null: bool, window: bool) -> &'static str {
    match status {
        _ if !null => "PRESENT",
        None | Some(Status::Ok) => "NULL_VALUE",
        Some(Status::Expired) => {
            if window {
                "NULL_VALUE"
            } else {
                "OUTSIDE_MAX_AGE"
            }
        }
        Some(_) => "NOT_FOUND",
    }
}

/// The event time where Feast's client reads it: an integer time has no place there.
fn event_time(times: &ArrayRef, row: usize) -> Result<String> {
    if times.data_type().is_integer() {
        return Ok(NO_TIME.to_owned());
    }
    if times.data_type() == &DataType::Date32 {
        let days = cast(times, &DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None));
        return instant(&days.map_err(|error| Problem::broken(plain(&error)))?, row);
    }
    instant(times, row)
}

fn list<T: AsRef<str>>(names: &[T]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}
