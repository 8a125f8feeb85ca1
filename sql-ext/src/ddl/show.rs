//! SHOW FEATURE VIEWS and DESCRIBE FEATURE VIEW, and the same of contracts.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::Result;
use skewless_udf::view::{FeatureValue, FeatureView, Kind, OnDemand, Recorded, Window};

use super::{View, ViewRegistry};
use crate::contract::Contract;

type Cell = Option<String>;

/// One row a view, by name.
pub(super) fn views(registry: &ViewRegistry) -> Result<RecordBatch> {
    let rows = registry
        .names()
        .iter()
        .filter_map(|name| registry.get(name))
        .map(|view| {
            let view: &FeatureView = &view.definition;
            let features: Vec<String> = view.feature_fields().iter().map(|field| field.name().clone()).collect();
            let features = Some(features.join(", "));
            let name = Some(view.name.clone());
            match &view.kind {
                Kind::Recorded(r) => [
                    name,
                    Some(r.entity.join(", ")),
                    Some(r.timestamp.clone()),
                    r.available_at.clone(),
                    r.ttl.map(|ttl| ttl.to_string()),
                    features,
                    Some(match &r.materialize_only {
                        None => "push".to_owned(),
                        Some(reason) => format!("materialize only: {reason}"),
                    }),
                ],
                Kind::OnDemand(_) => [name, None, None, None, None, features, Some("on demand".to_owned())],
            }
        })
        .collect::<Vec<_>>();
    table(["name", "entity", "timestamp", "available_at", "ttl", "features", "online"], &rows)
}

/// One row a contract: its name, how many promises it makes, and its statement.
pub(super) fn contracts(contracts: &[Arc<Contract>], statement: fn(&Contract) -> String) -> Result<RecordBatch> {
    let row = |contract: &Arc<Contract>| {
        [Some(contract.name.clone()), Some(contract.len().to_string()), Some(statement(contract))]
    };
    table(["name", "promises", "statement"], &contracts.iter().map(row).collect::<Vec<_>>())
}

/// One row a column: its role, type and definition.
pub(super) fn view(view: &View) -> Result<RecordBatch> {
    let rows = match &view.definition.kind {
        Kind::Recorded(recorded) => recorded_rows(recorded),
        Kind::OnDemand(on_demand) => on_demand_rows(on_demand),
    };
    table(["role", "name", "type", "definition"], &rows)
}

fn recorded_rows(recorded: &Recorded) -> Vec<[Cell; 4]> {
    let column = |role: &str, name: &String| {
        let position = recorded.rows.iter().position(|column| &column.name == name);
        let data_type = position.and_then(|at| recorded.rows.get(at)).map(|column| column.data_type.0.to_string());
        let definition = recorded.push.as_ref().zip(position).and_then(|(push, at)| push.columns.get(at)).cloned();
        [Some(role.to_owned()), Some(name.clone()), data_type, definition]
    };
    let mut rows: Vec<[Cell; 4]> = recorded.entity.iter().map(|name| column("entity", name)).collect();
    rows.push(column("timestamp", &recorded.timestamp));
    rows.extend(recorded.available_at.iter().map(|name| column("available at", name)));
    rows.extend(recorded.tie_break.iter().map(|name| column("tie break", name)));
    for feature in &recorded.features {
        rows.push(match &feature.value {
            FeatureValue::Plain { column: name } => {
                let [_, _, data_type, definition] = column("feature", name);
                [Some("feature".to_owned()), Some(feature.name.clone()), data_type, definition]
            }
            FeatureValue::Window(window) => [
                Some("window".to_owned()),
                Some(feature.name.clone()),
                Some(feature.data_type.0.to_string()),
                Some(window_text(window)),
            ],
        });
    }
    if let Some(filter) = recorded.push.as_ref().and_then(|push| push.filter.clone()) {
        rows.push([Some("where".to_owned()), None, None, Some(filter)]);
    }
    rows
}

fn window_text(window: &Window) -> String {
    let distinct = if window.distinct { "DISTINCT " } else { "" };
    let nulls = if window.ignore_nulls { " IGNORE NULLS" } else { "" };
    let filter = window.filter.as_ref().map(|filter| format!(" FILTER (WHERE {filter})")).unwrap_or_default();
    format!(
        "{}({distinct}{}){nulls}{filter} OVER (RANGE {} PRECEDING)",
        window.function,
        window.args.join(", "),
        window.range
    )
}

fn on_demand_rows(on_demand: &OnDemand) -> Vec<[Cell; 4]> {
    let inputs = on_demand
        .inputs
        .iter()
        .map(|input| [Some("input".to_owned()), Some(input.name.clone()), Some(input.data_type.0.to_string()), None]);
    let features = on_demand.features.iter().map(|feature| {
        [
            Some("feature".to_owned()),
            Some(feature.name.clone()),
            Some(feature.data_type.0.to_string()),
            Some(feature.expression.clone()),
        ]
    });
    inputs.chain(features).collect()
}

fn table<const N: usize>(names: [&str; N], rows: &[[Cell; N]]) -> Result<RecordBatch> {
    let schema = Schema::new(names.map(|name| Field::new(name, DataType::Utf8, true)).to_vec());
    let columns = (0..N)
        .map(|i| Arc::new(rows.iter().map(|row| row.get(i).cloned().flatten()).collect::<StringArray>()) as ArrayRef)
        .collect();
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}
