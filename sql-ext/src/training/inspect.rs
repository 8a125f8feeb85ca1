//! What a plan reads through training sets, for the manifest of a file that is written from it.

use std::collections::BTreeSet;

use arrow::util::display::array_value_to_string;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

use super::node::TrainingSet;

/// The training sets of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// How many there are.
    pub(crate) sets: usize,
    /// The names of the views that they join.
    pub(crate) views: BTreeSet<String>,
    /// What they take as known, where they say so.
    pub(crate) known_at: BTreeSet<String>,
}

/// The training sets of a plan, in subqueries too.
pub(crate) fn used(plan: &LogicalPlan) -> Result<Used> {
    let mut used = Used::default();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Extension(extension) = node
            && let Some(set) = extension.node.as_any().downcast_ref::<TrainingSet>()
        {
            used.sets += 1;
            used.views.extend(set.spec().views.iter().map(|joined| joined.view.name.clone()));
            if let Some(cutoff) = &set.spec().known_at {
                used.known_at.insert(array_value_to_string(&cutoff.to_array()?, 0)?);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(used)
}
