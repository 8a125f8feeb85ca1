//! The promises of a data contract that one row shows, checked where requests come in.
//!
//! A contract's CHECK is written down in its canonical form (see [`expression`](crate::expression)), stored with the
//! feature view whose requests it is about, and evaluated there; `ml_validate_data` counts the same violations over a table.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Schema;
use datafusion_common::{Result, plan_err};
use datafusion_physical_expr::PhysicalExpr;
use serde::{Deserialize, Serialize};

use crate::expression;

/// What a contract asks of each row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowContract {
    /// The contract's name.
    pub name: String,
    /// Whether a request that breaks it is refused; else it is counted.
    pub is_enforced: bool,
    /// Its rules.
    pub rules: Vec<RowRule>,
}

/// One condition on a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowRule {
    /// The rule's name.
    pub name: String,
    /// The promise as it was written, such as `CHECK (delay > 0)`.
    pub text: String,
    /// The columns that it reads, sorted.
    pub columns: Vec<String>,
    /// The canonical condition over the row's columns. As in SQL, a row for which it is NULL keeps the rule.
    pub condition: String,
}

/// A rule, and the rows that break it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The contract's name.
    pub contract: String,
    /// Whether the contract is enforced.
    pub is_enforced: bool,
    /// The rule.
    pub rule: RowRule,
    /// Which rows break it, from 0 on; at least one.
    pub rows: Vec<usize>,
}

/// The rules of a contract, ready to be evaluated.
pub(crate) struct CompiledContract {
    conditions: Vec<Arc<dyn PhysicalExpr>>,
}

impl RowContract {
    pub(crate) fn compile(&self, input: &Schema) -> Result<CompiledContract> {
        let conditions = self.rules.iter().map(|rule| expression::compile(&rule.condition, input));
        Ok(CompiledContract { conditions: conditions.collect::<Result<_>>()? })
    }

    /// The rules that rows break, in the order of the contract.
    pub(crate) fn breaches(&self, compiled: &CompiledContract, rows: &RecordBatch) -> Result<Vec<Breach>> {
        let mut breaches = Vec::new();
        for (rule, condition) in self.rules.iter().zip(&compiled.conditions) {
            let kept = expression::evaluate(condition, rows)?;
            let Some(kept) = kept.as_boolean_opt() else {
                return plan_err!(
                    "the rule `{}` of the contract `{}`, {}, is not a condition",
                    rule.name,
                    self.name,
                    rule.text
                );
            };
            let broken: Vec<usize> = (0..kept.len()).filter(|row| kept.is_valid(*row) && !kept.value(*row)).collect();
            if !broken.is_empty() {
                breaches.push(Breach {
                    contract: self.name.clone(),
                    is_enforced: self.is_enforced,
                    rule: rule.clone(),
                    rows: broken,
                });
            }
        }
        Ok(breaches)
    }
}
