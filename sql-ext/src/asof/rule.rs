//! What is matched with what, as physical expressions over the inputs.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type};
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExpr;

use super::node::{Direction, Tolerance};

/// The rule of one as-of join.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(super) left: Side,
    pub(super) right: Side,
    /// The right side as it is read again where there are ties; `None` where `right` has every column itself.
    pub(super) wide: Option<Wide>,
    /// What the greatest of several rows of one time is found by, over the wide right side if there is one.
    pub(super) ties: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) direction: Direction,
    pub(super) tolerance: Option<Tolerance>,
    /// Right columns that the join gives out.
    pub(super) output: Vec<usize>,
    /// How EXPLAIN shows the rule.
    pub(super) text: String,
}

/// The keys and the time of one input.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(super) keys: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) time: Arc<dyn PhysicalExpr>,
}

/// The right side with every column that ties are decided by.
#[derive(Clone, Debug)]
pub(crate) struct Wide {
    pub(super) side: Side,
    /// For each column of the right side, where it is here.
    pub(super) columns: Vec<usize>,
}

impl Rule {
    /// The right side that has the tie columns: its keys and time, and its columns that the join gives out.
    pub(super) fn full(&self) -> (&Side, Vec<usize>) {
        match &self.wide {
            None => (&self.right, self.output.clone()),
            Some(wide) => {
                let column = |column: &usize| wide.columns.get(*column).copied();
                (&wide.side, self.output.iter().filter_map(column).collect())
            }
        }
    }

    /// Every expression.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        let sides = [Some(&self.left), Some(&self.right), self.wide.as_ref().map(|wide| &wide.side)];
        sides.into_iter().flatten().flat_map(|side| side.keys.iter().chain([&side.time])).chain(&self.ties)
    }
}

impl Side {
    /// The key columns, floats with one zero and one NaN.
    pub(super) fn keys(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        self.keys.iter().map(|key| Ok(one_zero(&key.evaluate(batch)?.into_array(batch.num_rows())?))).collect()
    }

    pub(super) fn time(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        self.time.evaluate(batch)?.into_array(batch.num_rows())
    }
}

/// A column of floats with one zero and one NaN; any other as it is.
pub(super) fn one_zero(column: &ArrayRef) -> ArrayRef {
    fn map<T: ArrowPrimitiveType>(column: &ArrayRef, zero: T::Native, nan: T::Native) -> ArrayRef
    where
        T::Native: PartialOrd,
    {
        let values: PrimitiveArray<T> = column.as_primitive::<T>().unary(|value| {
            if value == zero {
                zero
            } else if value.partial_cmp(&value).is_none() {
                nan
            } else {
                value
            }
        });
        Arc::new(values)
    }
    match column.data_type() {
        DataType::Float16 => map::<Float16Type>(column, half::f16::ZERO, half::f16::NAN),
        DataType::Float32 => map::<Float32Type>(column, 0.0, f32::NAN),
        DataType::Float64 => map::<Float64Type>(column, 0.0, f64::NAN),
        _ => Arc::clone(column),
    }
}
