//! `ml_group_split`: rows that share any of several keys, directly or through other rows, are in one split.
//!
//! Guarantee: no value of any of the key columns is in two splits. A component's split is the [`split`] of its
//! representative: its smallest value in the first key column in which it has one. So with one key column the result is
//! exactly `ml_split`'s, and neither order nor partitions matter; a row that joins two components, or brings one a
//! smaller representative, can move the rows of that component.
//!
//! [`split`]: skewless_catalog::split

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{
    LogicalPlan, LogicalPlanBuilder, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::prelude::{Expr, col, lit};
use skewless_udf::groups::{Groups, NO_GROUP};

use super::SPLIT;
use crate::context::Shared;
use crate::relation::{Arguments, find, refuse_clash};

/// The function's name in SQL.
pub(super) const NAME: &str = "ml_group_split";

/// What the representative is called between the two projections.
const COMPONENT: &str = "__ml_component";

pub(super) fn plan(
    arguments: &Arguments,
    context: &mut dyn RelationPlannerContext,
    _shared: &Shared,
) -> Result<LogicalPlan> {
    let data = arguments.relation("data", context)?;
    let names = arguments.strings("groups")?;
    let ([train, validation, test], _) = super::fractions(NAME, arguments, context)?;
    let seed = super::seed(NAME, arguments, context)?;
    refuse_clash(NAME, "data", data.schema(), &[SPLIT.to_owned(), COMPONENT.to_owned()])?;
    if names.is_empty() {
        return plan_err!("{NAME}: `groups` is empty; name the columns whose values must not be in two splits");
    }
    let keys = names
        .iter()
        .map(|name| {
            let (_, column, data_type) = find(NAME, "data", data.schema(), name, "one of the `groups`")?;
            key_text(NAME, name, Expr::Column(column), data_type)
        })
        .collect::<Result<Vec<_>>>()?;
    let columns: Vec<Expr> = data.schema().columns().into_iter().map(Expr::Column).collect();
    let component = function().call(keys).alias(COMPONENT);
    let split = split_function()?.call(vec![col(COMPONENT), lit(train), lit(validation), lit(test), lit(seed)]);
    LogicalPlanBuilder::from(data)
        .window(vec![component])?
        .project(columns.into_iter().chain([split.alias(SPLIT)]))?
        .alias(NAME)?
        .build()
}

fn split_function() -> Result<Arc<datafusion::logical_expr::ScalarUDF>> {
    skewless_udf::expression::scalar("split")
        .ok_or_else(|| datafusion::common::internal_datafusion_err!("the catalog has no function `split`"))
}

/// A key column as the text that its hash is of.
pub(super) fn key_text(function: &str, name: &str, column: Expr, data_type: &DataType) -> Result<Expr> {
    let plain = skewless_udf::view::ColumnType::plain(data_type);
    let one_spelling = plain.is_integer()
        || plain.is_string()
        || plain.is_null()
        || matches!(plain, DataType::Boolean | DataType::Date32 | DataType::Timestamp(..) | DataType::Decimal128(..));
    if !one_spelling {
        return plan_err!(
            "{function}: the key `{name}` is of type {data_type}, whose values have more than one spelling; cast it to \
             VARCHAR as you want it spelled"
        );
    }
    Ok(datafusion::logical_expr::cast(column, DataType::Utf8))
}

/// `ml_component(key, …) OVER ()`: the representative of each row's component; NULL for a row whose keys are all NULL.
pub(super) fn function() -> Arc<WindowUDF> {
    Arc::new(WindowUDF::new_from_impl(Component {
        signature: Signature::variadic(vec![DataType::Utf8], Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Component {
    signature: Signature,
}

impl WindowUDFImpl for Component {
    fn name(&self) -> &'static str {
        "ml_component"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, arguments: PartitionEvaluatorArgs<'_>) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Components { keys: arguments.input_exprs().len() }))
    }

    fn field(&self, arguments: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Field::new(arguments.name(), DataType::Utf8, true).into())
    }
}

#[derive(Debug)]
struct Components {
    keys: usize,
}

impl PartitionEvaluator for Components {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        // What an OVER orders by follows the arguments.
        let keys =
            values.iter().take(self.keys).map(|key| cast(key, &DataType::Utf8)).collect::<Result<Vec<_>, _>>()?;
        representatives(&keys, rows)
    }
}

/// The representative of each row's component.
fn representatives(keys: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    // Every value of every column is a node, and a row joins the nodes of its values.
    let mut columns = Vec::with_capacity(keys.len());
    let mut nodes = 0_usize;
    for key in keys {
        let (groups, ids) = Groups::of(std::slice::from_ref(key), rows)?;
        columns.push((nodes, ids));
        nodes += groups.len();
    }
    if u32::try_from(nodes).is_err() {
        return exec_err!("{NAME}: {nodes} different key values are more than {}", u32::MAX);
    }
    let node = |(offset, ids): &(usize, Vec<u32>), row: usize| match ids.get(row) {
        Some(&NO_GROUP) | None => None,
        Some(&id) => Some(offset + id as usize),
    };
    let mut sets = Sets::new(nodes);
    let first: Vec<Option<usize>> = (0..rows)
        .map(|row| {
            let mut all = columns.iter().filter_map(|column| node(column, row));
            let first = all.next();
            if let Some(first) = first {
                all.for_each(|other| sets.join(first, other));
            }
            first
        })
        .collect();
    // The smallest value in the first column in which the component has one.
    let mut best: Vec<Option<(usize, &str)>> = vec![None; nodes];
    for (place, (column, key)) in columns.iter().zip(keys).enumerate() {
        let texts = key.as_string::<i32>();
        for row in 0..rows {
            let Some(root) = node(column, row).map(|node| sets.root(node)) else { continue };
            let candidate = (place, texts.value(row));
            if let Some(slot) = best.get_mut(root)
                && slot.is_none_or(|best| candidate < best)
            {
                *slot = Some(candidate);
            }
        }
    }
    let texts = first.into_iter().map(|node| best.get(sets.root(node?)).copied().flatten().map(|(_, text)| text));
    Ok(Arc::new(texts.collect::<StringArray>()))
}

/// Disjoint sets of nodes.
struct Sets {
    parents: Vec<u32>,
}

impl Sets {
    fn new(nodes: usize) -> Self {
        Self { parents: (0..nodes as u32).collect() }
    }

    fn root(&mut self, mut node: usize) -> usize {
        while let Some(&parent) = self.parents.get(node) {
            if parent as usize == node {
                break;
            }
            // Halving the path keeps it short.
            let above = self.parents.get(parent as usize).copied().unwrap_or(parent);
            if let Some(slot) = self.parents.get_mut(node) {
                *slot = above;
            }
            node = above as usize;
        }
        node
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if let Some(slot) = self.parents.get_mut(a.max(b)) {
            *slot = a.min(b) as u32;
        }
    }
}
