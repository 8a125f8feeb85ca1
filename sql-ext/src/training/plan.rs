//! From SQL to the training set: the arguments of `ml_training_set`, checked against the spine and the views.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::{Result, ScalarValue, plan_datafusion_err, plan_err};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{Extension, LogicalPlan};
use skewless_catalog::suggest::did_you_mean;
use skewless_udf::view::{FeatureView, compatible_keys, is_time, time_name, times_compatible};

use super::node::{Joined, Spec, TrainingSet};
use super::reference::Reference;
use crate::context::Shared;
use crate::ddl::View;
use crate::relation::{Arguments, Parameter, Relation};

/// The FROM-functions of this module.
pub(crate) static RELATIONS: &[Relation] = &[Relation {
    name: "ml_training_set",
    parameters: &[
        Parameter::required("spine"),
        Parameter::required("timestamp"),
        Parameter::required("features"),
        Parameter::optional("status"),
        Parameter::optional("witness"),
        Parameter::optional("known_at"),
    ],
    plan,
}];

fn plan(arguments: &Arguments, context: &mut dyn RelationPlannerContext, shared: &Shared) -> Result<LogicalPlan> {
    let spine = arguments.relation("spine", context)?;
    let timestamp = arguments.string("timestamp")?;
    let references = arguments.strings("features")?;
    let status = arguments.boolean("status", false)?;
    let witness = arguments.boolean("witness", false)?;
    let known_at = arguments.scalar("known_at", context)?.map(|at| instant("ml_training_set", at)).transpose()?;

    let columns: Vec<FieldRef> = spine.schema().fields().iter().map(Arc::clone).collect();
    let spine_columns = Columns { name: "spine", argument: "the spine", fields: &columns };
    let time = spine_columns.find(&timestamp, "the as-of time")?;
    let time_type = columns.get(time).map_or(&DataType::Null, |field| field.data_type());
    if !is_time(time_type) {
        return plan_err!(
            "the as-of time `{timestamp}` is of type {time_type}; it takes a timestamp, a date or an integer, so cast it \
             in the spine"
        );
    }

    let mut inputs = vec![spine.clone()];
    let mut spec = Spec { time, views: Vec::new(), known_at };
    for chosen in choose(&references, shared)? {
        let Chosen { view, prefix, keys, features } = chosen;
        let definition = &view.definition;
        let selected = match &features {
            None => Arc::clone(definition),
            Some(names) => Arc::new(definition.select(names)?),
        };
        let recorded = view.source.is_some();
        let mut joined = Joined {
            view: selected,
            prefix,
            keys: Vec::new(),
            status: status && recorded,
            witness: witness && recorded,
        };
        if let Some(source) = &view.source {
            joined.keys = entity_keys(definition, &keys, &spine_columns)?;
            check_time(definition, "the as-of time", &timestamp, time_type)?;
            if let Some(cutoff) = &spec.known_at {
                check_time(definition, "the argument", "known_at", &cutoff.data_type())?;
            }
            inputs.push(source.clone());
        } else {
            if !keys.is_empty() {
                return plan_err!(
                    "the feature view `{}` is ON DEMAND and has no key; its inputs are columns of the spine by name",
                    definition.name
                );
            }
            let features = spec.views.iter().flat_map(Joined::feature_fields);
            let known: Vec<FieldRef> = columns.iter().map(Arc::clone).chain(features).collect();
            let known = Columns { name: "spine", argument: "the spine", fields: &known };
            for input in joined.view.input_fields() {
                known.find(input.name(), &format!("an input of the feature view `{}`", definition.name))?;
            }
        }
        spec.views.push(joined);
    }
    check_names(&spec.fields(&columns), columns.len())?;

    let node = TrainingSet::new(inputs, Arc::new(spec))?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

/// One view with the features asked for, in the order of its first mention.
pub(crate) struct Chosen {
    pub(crate) view: Arc<View>,
    /// Of the names of its columns.
    pub(crate) prefix: String,
    /// (key column of the view, column that holds it).
    pub(crate) keys: Vec<(String, String)>,
    /// `None` for all.
    pub(crate) features: Option<Vec<String>>,
}

/// Reads feature references and finds their views.
pub(crate) fn choose(references: &[String], shared: &Shared) -> Result<Vec<Chosen>> {
    if references.is_empty() {
        return plan_err!("ml_training_set: `features` is empty; name a feature view, ['view'] or ['view:feature']");
    }
    let mut chosen: Vec<Chosen> = Vec::new();
    for text in references {
        let Reference { view, keys, feature, alias } = Reference::parse(text)?;
        let view = shared.views.find(&view)?;
        let prefix = alias.unwrap_or_else(|| view.definition.name.clone());
        match chosen.iter_mut().find(|other| other.prefix == prefix) {
            None => chosen.push(Chosen { view, prefix, keys, features: feature.map(|feature| vec![feature]) }),
            Some(other) if other.view.definition.name != view.definition.name || other.keys != keys => {
                return plan_err!(
                    "`{text}` would name its columns `{prefix}__…`, as another reference does; \
                     give it a name of its own: '… AS name'"
                );
            }
            Some(other) => match (&mut other.features, feature) {
                (Some(features), Some(feature)) if !features.contains(&feature) => features.push(feature),
                (Some(_), Some(_)) => return plan_err!("the feature `{text}` is asked for twice; leave one out"),
                (None, Some(_)) => {
                    return plan_err!("`{text}` is among the features of `{prefix}` already; leave it out");
                }
                (_, None) => return plan_err!("the feature view `{prefix}` is asked for twice; leave one out"),
            },
        }
    }
    Ok(chosen)
}

/// The columns that views are joined to: those of a spine or of a table that is audited, and for a view on demand the
/// features of the views before it.
pub(crate) struct Columns<'a> {
    /// What messages call the relation.
    pub(crate) name: &'static str,
    /// The argument that it is.
    pub(crate) argument: &'static str,
    pub(crate) fields: &'a [FieldRef],
}

impl Columns<'_> {
    pub(crate) fn data_type(&self, index: usize) -> &DataType {
        self.fields.get(index).map_or(&DataType::Null, |field| field.data_type())
    }

    pub(crate) fn find(&self, name: &str, what: &str) -> Result<usize> {
        let relation = self.name;
        let mut found = self.fields.iter().enumerate().filter(|(_, field)| field.name() == name);
        match (found.next(), found.next()) {
            (Some((index, _)), None) => Ok(index),
            (Some(_), Some(_)) => plan_err!("the {relation} has two columns named `{name}`; name them apart"),
            (None, _) => {
                let names: Vec<&str> = self.fields.iter().map(|field| field.name().as_str()).collect();
                plan_err!(
                    "the {relation} has no column `{name}`, {what}{}; it has {}",
                    did_you_mean(name, names.iter().copied()),
                    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
                )
            }
        }
    }
}

/// The columns that are the keys of a view, by the names of those or as `given` says.
pub(crate) fn entity_keys(view: &FeatureView, given: &[(String, String)], columns: &Columns<'_>) -> Result<Vec<usize>> {
    let Columns { name: relation, argument, .. } = columns;
    let entity = view.entity_fields();
    for (key, _) in given {
        if !entity.iter().any(|field| field.name() == key) {
            return plan_err!(
                "the feature view `{}` has no key `{key}`{}",
                view.name,
                did_you_mean(key, entity.iter().map(|field| field.name().as_str()))
            );
        }
    }
    let keys = entity.iter().map(|field| {
        let key = field.name();
        let column = given.iter().find(|(k, _)| k == key).map_or(key, |(_, column)| column);
        let what = format!("the key `{key}` of the feature view `{}`", view.name);
        let index = columns.find(column, &what).map_err(|error| {
            if column != key {
                return error;
            }
            plan_datafusion_err!(
                "{}; where the {relation} calls it otherwise, write '{}({key} => column)'",
                error.strip_backtrace().trim_start_matches("Error during planning: "),
                view.name
            )
        })?;
        let found = columns.data_type(index);
        if !compatible_keys(found, field.data_type()) {
            return plan_err!(
                "the {relation}'s column `{column}` of type {found} cannot equal the key `{key}` of type {} of the \
                 feature view `{}`; cast it in {argument}",
                field.data_type(),
                view.name
            );
        }
        Ok(index)
    });
    keys.collect()
}

/// The argument `known_at` of a function; a text is read as an instant.
pub(crate) fn instant(function: &str, value: ScalarValue) -> Result<ScalarValue> {
    if value.data_type().is_string() {
        return value.cast_to(&DataType::Timestamp(TimeUnit::Nanosecond, None)).map_err(|_| {
            plan_datafusion_err!(
                "{function}: argument `known_at` takes a time, TIMESTAMP '2024-05-01 12:00:00', not {value}"
            )
        });
    }
    Ok(value)
}

/// Refuses a time that does not compare with the event times of a view.
pub(crate) fn check_time(view: &FeatureView, what: &str, name: &str, time: &DataType) -> Result<()> {
    match view.timestamp_field() {
        Some(event) if !times_compatible(time, event.data_type()) => plan_err!(
            "{what} `{name}` is {} ({time}) and the time `{}` of the feature view `{}` is {} ({}); cast one to \
             the other",
            time_name(time),
            event.name(),
            view.name,
            time_name(event.data_type()),
            event.data_type()
        ),
        _ => Ok(()),
    }
}

fn check_names(output: &[FieldRef], spine: usize) -> Result<()> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (index, field) in output.iter().enumerate() {
        if let Some(first) = seen.insert(field.name(), index) {
            let name = field.name();
            return match (first < spine, index < spine) {
                (_, true) => plan_err!("the spine has two columns named `{name}`; name them apart"),
                (true, false) => plan_err!(
                    "the spine has a column `{name}`, which is also the name of a column of the training set; rename it \
                     in the spine, or give the view another prefix: 'view AS name'"
                ),
                (false, false) => plan_err!(
                    "two columns of the training set would be named `{name}`; give one view another prefix: 'view AS name'"
                ),
            };
        }
    }
    Ok(())
}
